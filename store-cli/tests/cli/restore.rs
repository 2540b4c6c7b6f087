use std::fs;

use crate::harness::{PASSWORD, Place, Run, noise, tree};

fn checkpoint(place: &Place, seed: u64) {
    place.write("run/model.bin", noise(seed, 3_000_000));
    place.write("run/config.json", format!("{{\"step\": {seed}}}"));
    place.write("run/logs/train.log", "step loss\n".repeat(1000));
    place.write("run/empty", "");
}

#[test]
fn what_was_pushed_is_restored_byte_for_byte() {
    let place = Place::new();
    checkpoint(&place, 1);
    let first = tree(&place.path("run"));
    let id = place.push(&["run", "--series", "s"]);
    checkpoint(&place, 2);
    place.push(&["run", "--series", "s"]);
    let second = tree(&place.path("run"));

    place.snap(&["restore", "latest", "-t", "latest"]).ok();
    place.snap(&["restore", &id, "-t", "first"]).ok();
    place.snap(&["restore", &id[..8], "-t", "by-prefix"]).ok();
    place.snap(&["restore", "latest~1", "-t", "before"]).ok();
    assert_eq!(tree(&place.path("latest")), second);
    for target in ["first", "by-prefix", "before"] {
        assert_eq!(tree(&place.path(target)), first, "{target}");
    }
}

#[test]
fn a_part_is_restored_by_path_and_by_pattern() {
    let place = Place::new();
    checkpoint(&place, 1);
    place.push(&["run", "--ref", "v1"]);
    place.snap(&["restore", "v1:logs", "-t", "logs"]).ok();
    assert_eq!(tree(&place.path("logs")).len(), 1);
    place.snap(&["restore", "v1", "-t", "json", "*.json"]).ok();
    assert_eq!(tree(&place.path("json")), [("config.json".to_owned(), b"{\"step\": 1}".to_vec())]);
    place.snap(&["restore", "v1", "-t", "small", "--exclude", "*.bin"]).ok();
    assert_eq!(tree(&place.path("small")).len(), 3);
}

#[test]
fn a_dry_run_and_a_plan_write_nothing() {
    let place = Place::new();
    checkpoint(&place, 1);
    place.push(&["run"]);
    place.snap(&["restore", "latest", "-t", "out", "-n"]).ok();
    let plan = place.snap(&["restore", "latest", "-t", "out", "--plan"]);
    assert!(plan.ok().contains("reads 3.0"), "{}", plan.out);
    assert!(!place.path("out").exists());
    let before = place.snap(&["list", "-q"]).out;
    place.snap(&["push", "run", "-n"]).ok();
    assert_eq!(place.snap(&["list", "-q"]).out, before);
}

#[test]
fn a_target_is_always_named() {
    let place = Place::new();
    checkpoint(&place, 1);
    place.push(&["run"]);
    assert!(place.snap(&["restore", "latest"]).fails(2).contains("-t"));
}

#[test]
fn what_is_too_much_in_the_target_is_deleted_only_if_asked() {
    let place = Place::new();
    checkpoint(&place, 1);
    place.push(&["run"]);
    place.write("out/extra", "x");
    place.snap(&["restore", "latest", "-t", "out"]).ok();
    assert!(place.path("out/extra").exists());
    place.snap(&["restore", "latest", "-t", "out", "--delete"]).ok();
    assert_eq!(tree(&place.path("out")), tree(&place.path("run")));
}

#[test]
fn going_back_in_place_deletes_neither_repository_nor_keys() {
    let place = Place::new();
    place.write("run/a", "first");
    place.write("secret", PASSWORD);
    place.push(&["run"]);
    place.write("run/b", "second");
    place.push(&["run"]);
    place.write("cache/CACHEDIR.TAG", "");
    let words = ["restore", "latest~1", "-t", ".", "--delete", "-p", "secret", "--cache-dir", "cache"];
    let run = |more: &[&str]| {
        let mut command = place.command(&[&words, more].concat());
        Run::from(command.env_remove("SNAP_PASSWORD").output().unwrap())
    };
    let dry = run(&["-n", "-v"]);
    assert!(dry.ok().contains("would delete 1") && dry.err.contains("/run"), "{}{}", dry.out, dry.err);
    assert!(place.path("run/b").exists());
    assert!(run(&[]).ok().contains("deleted 1"));
    assert!(place.path("a").exists() && !place.path("run").exists() && place.path("secret").exists());
    assert_eq!(place.snap(&["list", "-q"]).ok().lines().count(), 2);
    place.snap(&["restore", "latest", "-t", "run", "--delete"]).ok();
    assert!(place.path("run/b").exists());
}

#[test]
fn the_repository_in_the_pushed_folder_is_left_out() {
    let place = Place::new();
    place.write("a", "b");
    place.push(&["."]);
    place.push(&["."]);
    assert_eq!(place.snap(&["ls", "-R", "latest"]).ok(), "a\n");
}

#[test]
fn a_diff_names_what_changed() {
    let place = Place::new();
    checkpoint(&place, 1);
    place.push(&["run"]);
    fs::remove_file(place.path("run/empty")).unwrap();
    place.write("run/new", "new");
    place.write("run/config.json", "{}");
    place.push(&["run"]);
    let run = place.snap(&["diff", "latest~1", "latest"]);
    let mut lines: Vec<_> = run.ok().lines().collect();
    assert!(lines.pop().unwrap().starts_with("1 file added, 1 removed, 1 changed"), "{}", run.out);
    lines.sort_unstable();
    assert_eq!(lines, ["+  new", "-  empty", "M  config.json"]);
    assert_eq!(place.snap(&["diff", "latest"]).out, run.out, "one side is compared with its parent");
    assert_eq!(place.snap(&["diff", "latest", "./run", "--stat"]).ok().lines().count(), 1);
    let counts = place.snap(&["diff", "latest", "./run", "--json"]).objects();
    assert_eq!((counts.len(), &counts[0]["changed_files"]), (1, &0.into()));
}

#[test]
fn a_pattern_that_matches_nothing_is_no_success() {
    let place = Place::new();
    checkpoint(&place, 1);
    place.push(&["run"]);
    let run = place.snap(&["restore", "latest", "-t", "out", "*.gguf"]);
    assert!(run.fails(1).contains("nothing in") && run.err.contains("snap ls -R"), "{}", run.err);
    place.snap(&["restore", "latest", "-t", "out", "*.gguf", "*.json"]).ok();
}

#[test]
fn names_that_look_like_something_else_can_be_asked_for() {
    use std::os::unix::ffi::OsStrExt;
    let place = Place::new();
    place.write("d/a#b", "sharp");
    place.write("d/a", "flat");
    let odd = std::ffi::OsStr::from_bytes(b"d/o\xffd");
    fs::write(place.path("").join(odd), "odd").unwrap();
    place.push(&["d"]);
    assert_eq!(place.snap(&["dump", "latest:a#b"]).ok(), "sharp");
    assert_eq!(place.snap(&["dump", "latest:a#b#"]).ok(), "sharp");
    assert!(place.snap(&["ls", "latest:a#b"]).ok().contains("a#b"));
    assert!(place.snap(&["dump", "latest:a#c"]).fails(2).contains("no file has this name"));
    let dumped = place.command(&["dump"]).arg(std::ffi::OsStr::from_bytes(b"latest:o\xffd")).output().unwrap();
    assert_eq!((dumped.status.code(), dumped.stdout.as_slice()), (Some(0), &b"odd"[..]));
}

#[test]
fn a_folder_is_compared_without_what_a_push_leaves_out() {
    let place = Place::new();
    place.write("a", "a");
    place.write("x.tmp", "t");
    place.write("snap.toml", "[push]\nexclude = ['*.tmp']\n[repository]\ncache-dir = 'cache'\n");
    place.snap(&["push", "."]).ok();
    place.write("b", "b");
    assert_eq!(place.snap(&["diff", "latest", "."]).ok().lines().next(), Some("+  b"));
    assert!(place.snap(&["diff", "latest", ".", "--stat"]).ok().starts_with("1 file added, 0 removed, 0 changed"));
    let run = place.snap(&["diff", "latest", "./nosuch"]);
    assert!(run.fails(2).contains("cannot compare with ./nosuch"), "{}", run.err);
    place.write("c/a", "other");
    assert!(place.snap(&["diff", "latest:a", "./c/a"]).ok().contains("1 changed"));
}

#[test]
fn a_socket_that_does_not_come_back_is_told_of() {
    let place = Place::new();
    place.write("d/a", "a");
    let _listening = std::os::unix::net::UnixListener::bind(place.path("d/s")).unwrap();
    place.push(&["d"]);
    let run = place.snap(&["restore", "latest", "-t", "out"]);
    run.ok();
    assert!(run.err.contains("a socket is not restored"), "{}", run.err);
}
