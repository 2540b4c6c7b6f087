use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use crate::harness::{Place, noise, objects_of};

#[test]
fn no_repository_is_10_and_says_how_to_make_one() {
    let place = Place::empty();
    assert!(place.snap(&["list"]).fails(10).contains("snap init"));
    assert!(place.snap(&["-r", "nowhere", "list"]).fails(10).contains("snap init"));
    fs::create_dir(place.path("folder")).unwrap();
    place.snap(&["-r", "folder", "list"]).fails(10);
}

#[test]
fn a_wrong_password_is_12_and_soon() {
    let place = Place::new();
    let started = Instant::now();
    let run = place.command(&["list"]).env("SNAP_PASSWORD", "wrong").output().unwrap();
    assert!(started.elapsed() < Duration::from_secs(2));
    assert_eq!(run.status.code(), Some(12));
    assert!(!String::from_utf8(run.stderr).unwrap().contains("wrong'"), "a secret is never printed");
}

#[test]
fn bad_usage_is_2() {
    let place = Place::new();
    for words in [
        &["frobnicate"][..],
        &["push"],
        &["push", "-", "x"],
        &["list", "--frob"],
        &["list", "--since", "yesterday"],
        &["--threads", "0", "list"],
        &["--memory", "lots", "list"],
        &["--compression", "extreme", "list"],
        &["check", "--read-data-subset", "4/3"],
        &["push", "no/such/path"],
        &["init", "-n"],
        &["restore", "latest", "-t", "x"],
    ] {
        let run = place.snap(words);
        assert!(run.fails(2).contains(':'), "{words:?}");
        assert_eq!(run.out, "", "{words:?}");
    }
}

#[test]
fn without_a_password_and_a_terminal_nothing_is_asked() {
    let place = Place::new();
    let run = place.command(&["list"]).env_remove("SNAP_PASSWORD").output().unwrap();
    assert_eq!(run.status.code(), Some(2));
    assert!(String::from_utf8(run.stderr).unwrap().contains("SNAP_PASSWORD_FILE"));
}

#[test]
fn a_repository_is_not_made_twice() {
    let place = Place::new();
    place.snap(&["init"]).fails(13);
}

#[test]
fn what_cannot_be_read_makes_a_partial_snapshot_and_3() {
    let place = Place::new();
    place.write("d/good", "good");
    place.write("d/bad", "bad");
    fs::set_permissions(place.path("d/bad"), fs::Permissions::from_mode(0o0)).unwrap();
    if fs::read(place.path("d/bad")).is_ok() {
        // Root reads everything; a list with a path that is gone is as good.
        place.write("list", format!("{}\n{}\n", place.path("d/good").display(), place.path("d/gone").display()));
        let run = place.snap(&["-q", "push", "--files-from", "list"]);
        assert!(run.fails(3).contains("gone"));
        assert_eq!(run.out.trim().len(), 64, "the snapshot is made");
        return;
    }
    let run = place.snap(&["-q", "push", "d"]);
    assert!(run.fails(3).contains("bad"));
    assert_eq!(run.out.trim().len(), 64, "the snapshot is made");
}

#[test]
fn damage_is_found_and_is_15() {
    let place = Place::new();
    place.write("d/a", noise(1, 1_000_000));
    place.push(&["d"]);
    place.snap(&["check", "--read-data"]).ok();
    let pack = objects_of(&place.path(".snap"), "packs").pop().unwrap();
    let mut bytes = fs::read(&pack).unwrap();
    bytes[5000] ^= 1;
    fs::set_permissions(&pack, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&pack, bytes).unwrap();
    let run = place.snap(&["check", "--read-data"]);
    run.fails(15);
    assert!(run.out.contains("1 finding") || run.out.contains(" findings"), "{}", run.out);
    assert!(run.out.contains(":a") || run.out.contains(":/a"), "the file that is hit is named: {}", run.out);
    let json = place.snap(&["check", "--read-data", "--json"]);
    assert_eq!(json.code, Some(15));
    let objects = json.objects();
    assert_eq!(objects[0]["message_type"], "finding");
    assert_eq!(objects.last().unwrap()["num_errors"], objects.len() - 1);
}

#[test]
fn a_lost_index_is_rebuilt() {
    let place = Place::new();
    place.write("d/a", noise(1, 100_000));
    place.push(&["d"]);
    assert!(place.snap(&["repair", "index", "--execute", "-n"]).ok().contains("nothing was written"));
    for segment in objects_of(&place.path(".snap"), "index") {
        fs::remove_file(segment).unwrap();
    }
    fs::remove_dir_all(place.home(".cache")).unwrap();
    // The plan comes first, and writes nothing.
    for words in [&["repair", "index"][..], &["-q", "repair", "index"], &["--json", "repair", "index"]] {
        let plan = place.snap(words);
        plan.ok();
        assert!(words.len() < 3 && plan.out.contains("1 would be added") || !plan.out.contains("repaired"), "{}", plan.out);
        assert!(objects_of(&place.path(".snap"), "index").is_empty());
    }
    let plan = place.snap(&["--json", "repair", "index"]).objects().pop().unwrap();
    assert!(plan["dry_run"] == true && plan["packs_added"].as_u64() > Some(0), "{plan}");
    assert!(place.snap(&["repair", "index", "--execute"]).ok().contains("index repaired"));
    place.snap(&["restore", "latest", "-t", "out"]).ok();
    assert_eq!(fs::read(place.path("out/a")).unwrap(), noise(1, 100_000));
}

/// Runs the program with a standard output that nobody reads.
fn unread(place: &Place, words: &[&str]) -> Option<i32> {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    place.command(words).stdout(writer).output().unwrap().status.code()
}

#[test]
fn that_nobody_reads_the_result_makes_it_no_better() {
    let place = Place::new();
    place.write("d/sub/a", noise(1, 300_000));
    place.push(&["d"]);
    place.write("out/sub", "a file where a folder should be");
    assert_eq!(unread(&place, &["restore", "latest", "-t", "out", "--overwrite", "never"]), Some(1));
    for words in [&["list"][..], &["check"], &["dump", "latest"], &["push", "d"], &["prune"]] {
        assert_eq!(unread(&place, words), Some(0), "{words:?}");
    }
    for pack in objects_of(&place.path(".snap"), "packs") {
        fs::remove_file(pack).unwrap();
    }
    assert_eq!(unread(&place, &["check"]), Some(15));
    assert_eq!(unread(&place, &["repair", "packs"]), Some(15));
}

/// Flips a byte in the middle of a file of the repository.
fn spoil(object: &std::path::Path) {
    let mut bytes = fs::read(object).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    fs::set_permissions(object, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(object, bytes).unwrap();
}

#[test]
fn while_a_snapshots_record_is_damaged_none_is_the_latest() {
    let place = Place::new();
    place.write("a", "one");
    let first = place.push(&["a"]);
    place.write("a", "two");
    let second = place.push(&["a"]);
    spoil(&place.path(".snap/snapshots").join(&second));
    for words in [&["restore", "latest", "-t", "out"][..], &["dump", "latest:a"], &["dump", "@1s:a"], &["ls", "latest~1"]] {
        let run = place.snap(words);
        assert!(run.fails(15).contains(&second) && run.err.contains("by its id"), "{words:?}: {}", run.err);
        assert_eq!(run.out, "");
    }
    assert_eq!(place.snap(&["dump", &format!("{first}:a")]).ok(), "one");
    // What can be listed and copied is, and the rest is not passed over.
    let listed = place.snap(&["list", "-q"]);
    listed.fails(15);
    assert_eq!(listed.out.trim(), first);
    place.snap(&["init", "-r", "second"]).ok();
    let copy = |words: &[&str]| {
        let words = [&["copy", "--to", "second"], words].concat();
        crate::harness::Run::from(place.command(&words).env("SNAP_TO_PASSWORD", crate::harness::PASSWORD).output().unwrap())
    };
    copy(&[&first]).ok();
    let all = copy(&["--json"]);
    all.fails(15);
    assert_eq!(all.objects().last().unwrap()["snapshots_failed"], 1);
    // A push goes on.
    place.snap(&["push", "a"]).ok();
}

#[test]
fn a_restore_from_a_damaged_pack_is_15() {
    let place = Place::new();
    place.write("d/a", noise(1, 1_000_000));
    place.push(&["d"]);
    let pack = objects_of(&place.path(".snap"), "packs").into_iter().max_by_key(|pack| fs::metadata(pack).unwrap().len()).unwrap();
    spoil(&pack);
    let run = place.snap(&["restore", "latest", "-t", "out"]);
    assert!(run.fails(15).contains("a: its bytes from"), "{}", run.err);
}

#[test]
fn a_push_that_could_read_nothing_makes_no_snapshot() {
    let place = Place::new();
    place.write("a", "a");
    let before = place.push(&["a", "--series", "s"]);
    place.write("list", "gone\nalso/lost\n*.none\n");
    let run = place.snap(&["push", "--files-from", "list", "--series", "s"]);
    assert!(run.fails(3).contains("no snapshot") && run.err.contains("no file matches \"*.none\""), "{}", run.err);
    assert_eq!(place.snap(&["list", "-q"]).ok().trim(), before);
    assert_eq!(fs::read_dir(place.path(".snap/sessions")).unwrap().count(), 0);
    // One that could read something is one, and says so.
    place.write("list", "gone\na\n");
    place.snap(&["push", "--files-from", "list", "--series", "s"]).fails(3);
    let table = place.snap(&["list"]);
    assert!(table.ok().lines().next().unwrap().contains("unreadable"), "{}", table.out);
    assert_eq!(place.snap(&["list", "--json"]).objects()[1]["summary"]["unreadable"], 1);
}

#[test]
fn versions_of_one_list_are_a_line_of_their_own() {
    let place = Place::new();
    for name in ["x/1", "x/2", "y/1"] {
        place.write(name, name);
    }
    place.write("of-x", "x/*\n");
    place.write("of-y", "y/1\n");
    let push = |list: &str| place.push(&["--files-from", list]);
    let (_, of_y) = (push("of-x"), push("of-y"));
    // The pattern stays the same whatever it matches.
    place.write("x/3", "x/3");
    let of_x = push("of-x");
    let listed = place.snap(&["list", "--json"]).objects();
    assert_eq!(listed[0]["paths"], listed[2]["paths"]);
    assert_eq!((&listed[2]["parent"], &listed[1]["parent"]), (&listed[0]["id"], &serde_json::Value::Null));
    assert_eq!(listed[1]["paths"][0].as_str().unwrap(), place.path("y/1").to_str().unwrap());
    place.snap(&["forget", "--keep-last", "1", "--execute"]).ok();
    let left = place.snap(&["list", "-q"]);
    assert!(left.ok().contains(&of_x) && left.out.contains(&of_y) && left.out.lines().count() == 2, "{}", left.out);
}

#[test]
fn what_is_lost_or_there_already_is_named() {
    let place = Place::new();
    assert!(place.snap(&["init"]).fails(13).contains("there is a repository at"));
    fs::rename(place.path(".snap/config"), place.path("config")).unwrap();
    let run = place.snap(&["list"]);
    assert!(run.fails(15).contains("'config'") && !run.err.contains("snap init"), "{}", run.err);
}

#[test]
fn conditions_that_can_hardly_be_meant_are_bad_usage() {
    let place = Place::new();
    place.write("a", "a");
    place.snap(&["push", "a", "--meta", "loss=0.5"]).ok();
    for condition in ["meta.loss > 0.4 && meta.loss < 0.6", "meta.loss < 0.6 and", "meta.loss <", "series =", "meta.loss < 0.1f"] {
        let run = place.snap(&["list", "--where", condition]);
        assert!(run.fails(2).contains("is no condition"), "{condition}: {}", run.err);
    }
    for (condition, count) in [("bytes < 1MB", 1), ("bytes > 1MB", 0), ("meta.loss > 0.4 and meta.loss < 0.6", 1)] {
        assert_eq!(place.snap(&["list", "-q", "--where", condition]).ok().lines().count(), count, "{condition}");
    }
    place.write("p.toml", "[[retention]]\nmatch = 'bytes > big'\nkeep = true\n");
    assert!(place.snap(&["forget", "--set-policy", "p.toml"]).fails(2).contains("p.toml: rule 1: match: "));
    place.write("p.toml", "[retention]\nkeep = true\n");
    let run = place.snap(&["forget", "--set-policy", "p.toml"]);
    assert!(run.fails(2).contains("p.toml: line 1: a list") && !run.err.contains("map"), "{}", run.err);
}
