//! The program with a repository in a bucket, which an S3 server in this process keeps.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{PASSWORD, Place, Run, noise, tree};
use crate::s3::{BUCKET, KEY_ID, SECRET, Server, google};

/// A place to work in, and a bucket.
pub(crate) struct Shop {
    pub(crate) server: Server,
    pub(crate) place: Place,
    prefix: String,
    /// Whether the server speaks as Google Cloud Storage does, or else as S3.
    is_google: bool,
}

impl Shop {
    /// Without a repository.
    pub(crate) fn empty() -> Self {
        Self { server: Server::start(), place: Place::empty(), prefix: "team/models".into(), is_google: false }
    }

    fn google() -> Self {
        let shop = Self { server: Server::start_google(), is_google: true, ..Self::empty() };
        shop.snap(&["init"]).ok();
        shop
    }

    pub(crate) fn new() -> Self {
        let shop = Self::empty();
        shop.snap(&["init"]).ok();
        shop
    }

    fn location(&self) -> String {
        format!("{}://{BUCKET}/{}", if self.is_google { "gs" } else { "s3" }, self.prefix)
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = self.place.command(args);
        command.env("SNAP_REPOSITORY", self.location());
        if self.is_google {
            command.env("GOOGLE_BASE_URL", self.server.endpoint()).env("GOOGLE_BEARER_TOKEN", google::TOKEN);
        } else {
            command.env("AWS_ENDPOINT_URL", self.server.endpoint()).env("AWS_REGION", "eu-test-1");
            command.env("AWS_ACCESS_KEY_ID", KEY_ID).env("AWS_SECRET_ACCESS_KEY", SECRET);
        }
        command
    }

    pub(crate) fn snap(&self, args: &[&str]) -> Run {
        self.command(args).output().unwrap().into()
    }

    pub(crate) fn push(&self, args: &[&str]) -> String {
        self.snap(&[&["-q", "push"], args].concat()).ok().trim().to_owned()
    }

    /// The lengths of the objects that stand in a folder.
    fn lens(&self, folder: &str) -> Vec<usize> {
        let start = format!("{}/{folder}/", self.prefix);
        self.server.shelf.all().iter().filter(|(name, _)| name.starts_with(&start)).map(|(_, bytes)| bytes.len()).collect()
    }

    fn count(&self, folder: &str) -> usize {
        self.lens(folder).len()
    }

    fn bytes(&self, folder: &str) -> usize {
        self.lens(folder).iter().sum()
    }
}

#[test]
fn a_bucket_is_pushed_to_restored_from_checked_and_pruned() {
    is_used_from_first_to_last(&Shop::new());
}

#[test]
fn so_is_a_bucket_at_google() {
    let shop = Shop::google();
    is_used_from_first_to_last(&shop);
    // Refused for good, not tried again.
    let mut foreign = shop.command(&["list"]);
    let run: Run = foreign.env("GOOGLE_BEARER_TOKEN", "another").output().unwrap().into();
    assert!(run.fails(1).contains("401"), "{}", run.err);
}

fn is_used_from_first_to_last(shop: &Shop) {
    assert!(shop.server.shelf.all().keys().all(|name| name.starts_with("team/models/")));
    shop.place.write("d/sub/a", noise(1, 700_000));
    shop.place.write("d/b", "text\n".repeat(10_000));
    let first = (shop.push(&["d"]), tree(&shop.place.path("d")));
    shop.place.write("d/sub/a", noise(2, 900_000));
    shop.place.write("d/c", "");
    let second = (shop.push(&["d"]), tree(&shop.place.path("d")));
    assert_eq!(shop.count("sessions"), 0);
    for (number, (id, data)) in [&first, &second].into_iter().enumerate() {
        let target = format!("out-{number}");
        shop.snap(&["restore", id, "-t", &target, "--verify"]).ok();
        assert!(tree(&shop.place.path(&target)) == *data);
    }
    assert_eq!(shop.snap(&["list", "--json"]).objects().len(), 2);
    shop.snap(&["check", "--read-data"]).ok();
    let packs = shop.bytes("packs");
    shop.snap(&["forget", &first.0, "--trash", "0d", "--execute"]).ok();
    assert!(shop.snap(&["prune"]).ok().contains("nothing was deleted"));
    assert_eq!(shop.bytes("packs"), packs);
    assert!(shop.snap(&["prune", "--execute"]).ok().contains("deleted"));
    assert!(shop.bytes("packs") + 600_000 < packs, "{packs}");
    shop.snap(&["check", "--read-data"]).ok();
    shop.snap(&["restore", &second.0, "-t", "after"]).ok();
    assert!(tree(&shop.place.path("after")) == second.1);
    shop.snap(&["restore", &first.0, "-t", "gone"]).fails(2);
}

#[test]
fn another_host_needs_the_bucket_alone() {
    let shop = Shop::new();
    shop.place.write("d/a", noise(1, 300_000));
    shop.push(&["d"]);
    let out = shop.snap(&["restore", "latest", "-t", "out", "--cache-dir", "another-cache"]);
    out.ok();
    assert!(tree(&shop.place.path("out")) == tree(&shop.place.path("d")));
}

#[test]
fn a_listing_of_many_pages_is_read_to_its_end() {
    let shop = Shop::new();
    shop.server.shelf.page.store(2, Ordering::Relaxed);
    for version in 0..5 {
        shop.place.write("d/a", noise(version, 50_000));
        shop.push(&["d"]);
    }
    assert_eq!(shop.snap(&["list", "--json"]).objects().len(), 5);
    shop.snap(&["check", "--read-data"]).ok();
}

#[test]
fn exit_codes_tell_what_is_wrong_with_a_bucket() {
    let shop = Shop::empty();
    assert!(shop.snap(&["list"]).fails(10).contains("s3://bucket/team/models"));
    assert!(shop.snap(&["list", "-r", "s3://other/x"]).fails(10).contains("no bucket"));
    shop.snap(&["init", "-r", "ftp://host/x"]).fails(2);
    shop.snap(&["init", "-r", "s3:///x"]).fails(2);
    shop.snap(&["init"]).ok();
    shop.snap(&["init"]).fails(13);
    shop.snap(&["init", "-r", "s3://bucket/team"]).fails(13);
    let wrong: Run = shop.command(&["list"]).env("AWS_SECRET_ACCESS_KEY", "wrong").output().unwrap().into();
    assert!(wrong.fails(1).contains("SignatureDoesNotMatch"), "{}", wrong.err);
    assert!(!wrong.err.contains(SECRET));
    shop.server.shelf.is_full.store(true, Ordering::Relaxed);
    shop.place.write("a", "text");
    assert!(shop.snap(&["push", "a"]).fails(17).contains("sessions/"));
}

#[test]
fn keys_may_be_in_a_profile() {
    let shop = Shop::new();
    let profile = |name: &str| -> Run {
        let mut command = shop.command(&["list"]);
        command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY").env("AWS_PROFILE", name);
        command.output().unwrap().into()
    };
    let folder = shop.place.home(".aws");
    std::fs::create_dir(&folder).unwrap();
    let text = format!("[default]\naws_access_key_id = x\n\n[work]\naws_access_key_id = {KEY_ID}\naws_secret_access_key = {SECRET}\n");
    std::fs::write(folder.join("credentials"), text).unwrap();
    profile("work").ok();
    assert!(profile("none").fails(2).contains("'none'"));
    // Keys of the environment, and where that is from the file.
    std::fs::write(folder.join("config"), format!("[profile here]\nregion = eu-1\nendpoint_url = {}\n", shop.server.endpoint())).unwrap();
    let mut command = shop.command(&["list"]);
    command.env_remove("AWS_ENDPOINT_URL").env_remove("AWS_REGION").env("AWS_PROFILE", "here");
    Run::from(command.output().unwrap()).ok();
}

#[test]
fn an_endpoint_that_is_none_is_refused_at_once() {
    let shop = Shop::empty();
    for endpoint in ["127.0.0.1:9000", "ftp://127.0.0.1", "localhost"] {
        let run = Run::from(shop.command(&["list"]).env("AWS_ENDPOINT_URL", endpoint).output().unwrap());
        assert!(run.fails(2).contains("AWS_ENDPOINT_URL") && run.err.contains("http://"), "{}", run.err);
    }
}

#[test]
fn a_prefix_may_have_any_letters() {
    let shop = Shop { prefix: "team/\u{fc}ml ~x*{y}%41+&=".into(), ..Shop::empty() };
    shop.snap(&["init"]).ok();
    shop.place.write("d/a", noise(1, 100_000));
    shop.push(&["d"]);
    shop.snap(&["check", "--read-data"]).ok();
    let start = format!("{}/", shop.prefix);
    assert!(shop.server.shelf.all().keys().all(|name| name.starts_with(&start)));
}

#[test]
fn a_host_that_may_create_and_not_overwrite_is_told_so_in_place_of_what_is_there() {
    let shop = Shop::new();
    let shelf = &shop.server.shelf;
    [&shelf.keeps_all, &shelf.forbids_overwriting].iter().for_each(|flag| flag.store(true, Ordering::Relaxed));
    for version in 0..3 {
        shop.place.write("d/a", noise(version, 50_000));
        shop.push(&["d"]);
    }
    assert_eq!(shop.count("snapshots"), 3);
    shop.snap(&["check", "--read-data"]).ok();
}

#[test]
fn ctrl_c_ends_a_push_that_waits_for_the_store() {
    let shop = Shop::new();
    shop.place.write("d/a", noise(1, 4_000_000));
    let mut command = shop.command(&["push", "d", "--limit-upload", "20"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let began = Instant::now();
    while shop.count("sessions") == 0 {
        assert!(began.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(10));
    }
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let sent = Instant::now();
    let run = Run::from(child.wait_with_output().unwrap());
    // What it would have sent takes more than three minutes.
    assert!(sent.elapsed() < Duration::from_secs(60), "{:?}", sent.elapsed());
    run.fails(130);
    assert_eq!(shop.count("snapshots"), 0);
}

#[test]
fn requests_are_shown_to_whoever_asks() {
    let shop = Shop::new();
    shop.place.write("a", noise(1, 100_000));
    let push = shop.snap(&["-vv", "push", "a"]);
    push.ok();
    for made in ["packs put 1", "index put 1", "sessions put 1", "sessions delete 1", "snapshots put 1"] {
        assert!(push.err.contains(made), "{made}: {}", push.err);
    }
    let list = shop.snap(&["-vv", "--json", "list"]);
    list.ok();
    let said = list.err.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let requests = said.into_iter().find(|said| said["message_type"] == "requests").unwrap();
    assert!(requests["requests"].as_array().unwrap().iter().all(|made| made["asked"] == "get" || made["asked"] == "list"), "{requests}");
    assert!(!shop.snap(&["-v", "list"]).err.contains("requests"));
}

#[test]
fn of_two_repositories_it_is_said_whose_requests_they_are() {
    let shop = Shop::new();
    shop.place.write("a", noise(1, 100_000));
    shop.push(&["a"]);
    shop.snap(&["init", "-r", "s3://bucket/second"]).ok();
    let mut command = shop.command(&["-vv", "copy", "--to", "s3://bucket/second"]);
    let copied: Run = command.env("SNAP_TO_PASSWORD", PASSWORD).output().unwrap().into();
    copied.ok();
    let of = |location: &str| {
        copied.err.lines().find(|line| line.contains(&format!("requests to {location}: "))).unwrap_or_else(|| panic!("{}", copied.err))
    };
    assert!(!of("s3://bucket/team/models").contains("packs put") && of("s3://bucket/second").contains("packs put 1"), "{}", copied.err);
    let mut command = shop.command(&["-vv", "--json", "copy", "--to", "s3://bucket/second"]);
    let again: Run = command.env("SNAP_TO_PASSWORD", PASSWORD).output().unwrap().into();
    let said = crate::harness::objects(&again.err);
    let mut whose: Vec<&str> =
        said.iter().filter(|said| said["message_type"] == "requests").map(|said| said["repository"].as_str().unwrap()).collect();
    whose.sort_unstable();
    assert_eq!(whose, ["s3://bucket/second", "s3://bucket/team/models"]);
}

#[test]
fn a_limit_slows_down_what_it_limits() {
    let shop = Shop::new();
    shop.place.write("a", noise(1, 300_000));
    let started = std::time::Instant::now();
    shop.snap(&["--limit-upload", "400", "push", "a"]).ok();
    assert!(started.elapsed().as_millis() >= 650, "{:?}", started.elapsed());
    let started = std::time::Instant::now();
    shop.snap(&["--limit-download", "400", "restore", "latest", "-t", "out"]).ok();
    assert!(started.elapsed().as_millis() >= 650, "{:?}", started.elapsed());
    assert!(tree(&shop.place.path("out"))[0].1 == noise(1, 300_000));
}

#[test]
fn a_bucket_is_put_to_the_test_when_it_is_made_and_when_asked_for() {
    let shop = Shop::empty();
    assert_eq!(shop.snap(&["init"]).err, "");
    assert_eq!((shop.count("probes"), shop.count("trials")), (1, 0));
    let again = shop.snap(&["check", "--probe", "--json"]);
    let said = &again.objects()[0];
    assert_eq!((again.code, &said["message_type"], &said["recorded"]), (Some(0), &"probed".into(), &true.into()), "{said}");
    assert_eq!(shop.count("probes"), 2);
    shop.snap(&["check"]).ok();
    // A folder may be tested, too, and needs no record.
    let folder = Place::new();
    assert!(folder.snap(&["check", "--probe"]).ok().contains("keeps what it must"));
    assert!(!folder.path(".snap/probes").exists());
}

#[test]
fn a_store_that_ignores_conditions_is_pruned_once_all_pushes_have_ended() {
    let shop = Shop::empty();
    shop.server.shelf.ignores_conditions.store(true, Ordering::Relaxed);
    let init = shop.snap(&["init"]);
    init.ok();
    assert!(init.err.contains("S1: more than one writer"), "{}", init.err);
    shop.place.write("d/a", noise(1, 400_000));
    let first = shop.push(&["d"]);
    shop.place.write("d/a", noise(2, 400_000));
    let second = shop.push(&["d"]);
    shop.snap(&["restore", &second, "-t", "out", "--verify"]).ok();
    shop.snap(&["check", "--read-data"]).ok();
    shop.snap(&["forget", &first, "--trash", "0d", "--execute"]).ok();
    let plan = shop.snap(&["prune"]);
    plan.ok();
    assert!(plan.err.contains("one prune at a time") && plan.err.contains("S1"), "{}", plan.err);
    // A push that has not ended, however long ago it began: nobody ends it.
    let mut push = shop.command(&["push", "-q", "-", "--stdin-filename", "s"]);
    let mut push = push.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    push.stdin.as_mut().unwrap().write_all(&noise(3, 200_000)).unwrap();
    while shop.count("sessions") == 0 {
        std::thread::sleep(Duration::from_millis(20));
    }
    let packs = shop.bytes("packs");
    let busy = shop.snap(&["prune", "--execute", "--wait", "0s", "--fence-after", "0s"]);
    assert!(busy.fails(11).contains("--end-session"), "{}", busy.err);
    assert!(shop.bytes("packs") >= packs);
    drop(push.stdin.take());
    let pushed: Run = push.wait_with_output().unwrap().into();
    let third = pushed.ok().trim().to_owned();
    let packs = shop.bytes("packs");
    shop.snap(&["prune", "--execute"]).ok();
    assert!(shop.bytes("packs") + 300_000 < packs);
    assert_eq!(shop.count("sessions"), 0);
    shop.snap(&["check", "--read-data"]).ok();
    shop.snap(&["restore", &second, "-t", "again", "--verify"]).ok();
    shop.snap(&["restore", &third, "-t", "streamed", "--verify"]).ok();
    shop.snap(&["restore", &first, "-t", "gone"]).fails(2);
    shop.snap(&["repair", "packs", "--execute"]).ok();
}

#[test]
fn nothing_is_deleted_from_a_store_that_failed_its_test() {
    let shop = Shop::empty();
    shop.server.shelf.keeps_all.store(true, Ordering::Relaxed);
    assert!(shop.snap(&["init"]).err.contains("S4: "));
    shop.place.write("d/a", noise(1, 400_000));
    let first = shop.push(&["d"]);
    shop.place.write("d/a", noise(2, 400_000));
    shop.push(&["d"]);
    shop.snap(&["forget", &first, "--trash", "0d", "--execute"]).ok();
    let before = shop.server.shelf.all();
    let plan = shop.snap(&["prune"]);
    plan.ok();
    assert!(plan.err.contains("would not be deleted") && plan.err.contains("S4"), "{}", plan.err);
    assert!(shop.snap(&["prune", "--execute"]).fails(13).contains("copy the repository"));
    assert!(shop.snap(&["repair", "packs", "--execute"]).fails(13).contains("failed its test"));
    assert!(shop.server.shelf.all() == before);
    shop.snap(&["check", "--probe"]).fails(13);
    // Once the store is better, and tested again, all is as elsewhere.
    shop.server.shelf.keeps_all.store(false, Ordering::Relaxed);
    shop.snap(&["prune", "--execute"]).fails(13);
    shop.snap(&["check", "--probe"]).ok();
    let packs = shop.bytes("packs");
    shop.snap(&["prune", "--execute"]).ok();
    assert!(shop.bytes("packs") + 300_000 < packs);
    shop.snap(&["check", "--read-data"]).ok();
}

#[test]
fn a_copy_of_a_bucket_is_tested_where_it_is() {
    let shop = Shop::new();
    let objects = shop.server.shelf.all();
    for (name, bytes) in objects {
        shop.server.shelf.put(&name.replace("team/models", "copy"), &bytes);
    }
    let copy = Shop { prefix: "copy".into(), ..shop };
    copy.snap(&["list"]).ok();
    assert!(copy.snap(&["prune", "--execute"]).fails(13).contains("never put to the test"));
    copy.snap(&["check", "--probe"]).ok();
    copy.snap(&["prune", "--execute"]).ok();
}

#[test]
fn a_host_that_may_not_delete_pushes_and_a_prune_elsewhere_tidies_up() {
    let shop = Shop::new();
    let may_delete = |may: bool| shop.server.shelf.keeps_all.store(!may, Ordering::Relaxed);
    may_delete(false);
    shop.place.write("d/a", noise(1, 400_000));
    let id = shop.push(&["d"]);
    shop.snap(&["tag", &id, "--add", "kept"]).ok();
    assert_eq!((shop.count("sessions"), shop.count("snapshots")), (1, 1));
    // A push that comes to nothing says so with an abort, so that nobody waits for it.
    assert!(shop.snap(&["push", "d", "--skip-if-unchanged"]).ok().contains("unchanged"));
    shop.snap(&["push", "d", "--require", "not/there"]).fails(1);
    assert_eq!((shop.count("sessions"), shop.count("snapshots")), (3, 3));
    assert_eq!(shop.snap(&["list", "--json"]).objects().len(), 1);
    shop.snap(&["check", "--read-data"]).ok();
    may_delete(true);
    shop.snap(&["prune", "--execute", "--wait", "0s"]).ok();
    assert_eq!((shop.count("sessions"), shop.count("snapshots")), (0, 3));
    shop.snap(&["restore", &id, "-t", "out"]).ok();
    assert!(tree(&shop.place.path("out")) == tree(&shop.place.path("d")));
}
