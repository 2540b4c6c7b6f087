use serde_json::Value;

use crate::harness::{Place, noise, objects};

#[test]
fn quiet_push_prints_the_id_alone() {
    let place = Place::new();
    place.write("d/a", "a");
    let run = place.snap(&["-q", "push", "d"]);
    let id = run.ok().strip_suffix('\n').unwrap();
    assert!(id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
    assert_eq!(run.err, "");
    let unchanged = place.snap(&["-q", "push", "d", "--skip-if-unchanged"]);
    assert_eq!(unchanged.ok(), run.out, "what is unchanged is what its parent is");
    assert_eq!(place.snap(&["list", "-q"]).ok(), run.out);
}

#[test]
fn the_summary_is_one_line_on_standard_output() {
    let place = Place::new();
    place.write("d/a", noise(1, 2_000_000));
    let run = place.snap(&["push", "d"]);
    let parts: Vec<_> = run.ok().trim_end().split("  ").collect();
    assert_eq!(parts[1..4], ["1 file", "2.00 MB", "new 2.00 MB"]);
    assert!(parts[4].starts_with("stored 2.0") && parts[6].ends_with(" s"), "{parts:?}");
    assert_eq!(run.err, "", "no progress where there is no terminal");
}

#[test]
fn json_is_one_object_a_line_with_restics_names() {
    let place = Place::new();
    place.write("d/a", noise(1, 100_000));
    place.write("d/sub/b", "b");
    let pushed = place.snap(&["push", "d", "--json", "--tag", "x,y", "--meta", "loss=0.4", "--series", "s"]);
    let summary = pushed.objects().pop().unwrap();
    assert_eq!(pushed.ok().lines().count(), 1);
    assert_eq!(summary["message_type"], "summary");
    assert_eq!(summary["files_new"], 2);
    assert_eq!(summary["total_bytes_processed"], 100_001);
    for name in ["files_changed", "files_unmodified", "data_added", "data_added_packed", "total_duration"] {
        assert!(summary[name].is_number(), "{name}");
    }
    let listed = place.snap(&["list", "--json"]).objects().pop().unwrap();
    assert_eq!(listed["id"], summary["snapshot_id"]);
    assert_eq!((&listed["tags"][1], &listed["meta"]["loss"], &listed["series"]), (&"y".into(), &"0.4".into(), &"s".into()));

    let nodes = place.snap(&["ls", "-R", "--sha256", "--json", "latest"]).objects();
    let paths: Vec<_> = nodes.iter().map(|node| node["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["a", "sub", "sub/b"]);
    assert_eq!(nodes[2]["sha256"], "3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d");
    assert_eq!(place.snap(&["restore", "latest", "-t", "out", "--json"]).objects().pop().unwrap()["total_files"], 2);
    assert_eq!(place.snap(&["stats", "--json"]).objects().pop().unwrap()["snapshots_count"], 1);
    assert_eq!(place.snap(&["check", "--json"]).objects().pop().unwrap()["num_errors"], 0);
}

#[test]
fn json_errors_are_objects_too() {
    let place = Place::empty();
    for (words, code) in [(&["list", "--json"][..], 10), (&["list", "--json", "--frob"], 2)] {
        let run = place.snap(words);
        let error: Value = objects(run.fails(code)).pop().unwrap();
        assert_eq!((&error["message_type"], &error["code"]), (&"exit_error".into(), &code.into()));
        assert!(error["message"].is_string());
        assert_eq!(run.out, "");
    }
}

#[test]
fn list_shows_what_filters_ask_for() {
    let place = Place::new();
    place.write("d/a", "a");
    place.push(&["d", "--series", "one", "--meta", "loss=0.9", "--time", "2026-01-01 00:00"]);
    place.push(&["d", "--series", "two", "--meta", "loss=0.1", "--tag", "x", "--ref", "v2"]);
    let ids = |words: &[&str]| place.snap(&[&["-q", "list"], words].concat()).ok().lines().count();
    assert_eq!(ids(&[]), 2);
    assert_eq!(ids(&["--series", "one"]), 1);
    assert_eq!(ids(&["--tag", "x"]), 1);
    assert_eq!(ids(&["--where", "meta.loss < 0.5"]), 1);
    assert_eq!(ids(&["--until", "2026-01-02"]), 1);
    assert_eq!(ids(&["--since", "1d"]), 1);
    let table = place.snap(&["list", "--series", "two", "-v"]);
    assert!(table.ok().contains("loss=0.1") && table.out.contains("v2") && table.out.lines().count() == 2, "{}", table.out);
}

#[test]
fn sha256_lines_can_be_checked() {
    let place = Place::new();
    place.write("d/a", "abc");
    place.push(&["d"]);
    assert_eq!(place.snap(&["ls", "--sha256", "latest"]).ok(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  a\n");
}

#[test]
fn tensors_of_a_weights_file_are_listed_and_compared() {
    let place = Place::new();
    let file = |value: u16| {
        let header = br#"{"w":{"dtype":"BF16","shape":[2,4],"data_offsets":[0,16]}}"#;
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend_from_slice(header);
        (0..8).for_each(|_| bytes.extend_from_slice(&value.to_le_bytes()));
        bytes
    };
    place.write("d/m.safetensors", file(0x3f80));
    place.push(&["d"]);
    place.write("d/m.safetensors", file(0x3f81));
    place.push(&["d"]);
    let listed = place.snap(&["ls", "--tensors", "latest:m.safetensors", "--json"]).objects();
    assert_eq!((&listed[0]["name"], &listed[0]["shape"][1], &listed[0]["size"]), (&"w".into(), &4.into(), &16.into()));
    let changed = place.snap(&["diff", "latest~1", "latest", "--tensors", "--json"]).objects();
    assert_eq!((&changed[0]["name"], &changed[0]["changed_elements"]), (&"w".into(), &8.into()));
}

#[test]
fn completions_and_man_pages_are_made_without_a_repository() {
    let place = Place::empty();
    assert!(place.snap(&["completion", "bash"]).ok().contains("_snap"));
    place.snap(&["man", "pages"]).ok();
    assert!(place.path("pages/snap-push.1").exists());
}

/// A name that recolours the screen, moves the cursor, ends the line, and turns text around.
const HOSTILE: &str = "a\u{1b}[31m\r\u{9b}2J\n\u{202e}b";

fn acts(text: &str) -> bool {
    text.chars().any(|c| (c.is_control() && c != '\n') || c == '\u{202e}')
}

#[test]
fn names_do_not_act_on_a_terminal() {
    let place = Place::new();
    place.write(&format!("d/{HOSTILE}"), "abc");
    place.push(&["d"]);
    place.write(&format!("d/{HOSTILE}2"), "def");
    let pushed = place.snap(&["-v", "push", "d", "--series", HOSTILE, "--description", HOSTILE, "--tag", HOSTILE, "--meta", "k=\u{1b}c"]);
    pushed.ok();
    let id = place.snap(&["-q", "list", "--series", HOSTILE]).ok().trim().to_owned();
    for words in [
        &["ls", id.as_str()][..],
        &["ls", "-lR", &id],
        &["list", "-v"],
        &["diff", &id[..8], "./d"],
        &["restore", &id, "-t", "out", "-v"],
        &["restore", &format!("{id}:{HOSTILE}x"), "-t", "out"],
        &["ls", &format!("{id}:{HOSTILE}x")],
        &["push", &format!("{HOSTILE}x")],
        &["-r", &format!("{HOSTILE}x"), "list"],
    ] {
        let run = place.snap(words);
        assert!(!acts(&run.out) && !acts(&run.err), "{words:?}: {:?} {:?}", run.out, run.err);
    }
    assert!(!acts(&pushed.err), "{:?}", pushed.err);
    let named = place.snap(&["ls", &id, "--json"]).objects();
    assert_eq!(named[0]["name"], HOSTILE, "programs get the name as it is");
    assert_eq!(place.snap(&["ls", &id]).ok().lines().count(), 2);
}

#[test]
fn a_warning_names_a_file_without_acting() {
    use std::os::unix::fs::symlink;
    let place = Place::new();
    place.write("d/a", "abc");
    symlink("x".repeat(200), place.path(&format!("d/{HOSTILE}"))).unwrap();
    std::os::unix::net::UnixListener::bind(place.path("d/socket")).unwrap();
    place.snap(&["push", "d", &format!("d/{HOSTILE}gone")]);
    let run = place.snap(&["push", "d", &format!("d/{HOSTILE}gone")]);
    assert!(!run.err.is_empty() && !acts(&run.err), "{:?}", run.err);
}

#[test]
fn sha256sum_checks_the_lines_of_odd_names() {
    let place = Place::new();
    for name in ["a\nb", "a\\b", "a\rb", "plain", "a\u{1b}b"] {
        place.write(&format!("d/{name}"), name);
    }
    place.push(&["d"]);
    let lines = place.snap(&["ls", "--sha256", "latest"]);
    place.write("sums", lines.ok());
    let checked = std::process::Command::new("sha256sum").args(["-c", "../sums"]).current_dir(place.path("d")).output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
}

#[test]
fn tensors_are_compared_with_the_names_of_their_files() {
    let place = Place::new();
    let file = |value: u8| {
        let header = br#"{"w":{"dtype":"U8","shape":[8],"data_offsets":[0,8]}}"#;
        [&(header.len() as u64).to_le_bytes()[..], header, &[value; 8]].concat()
    };
    for value in [1, 2] {
        place.write("d/sub/m.safetensors", file(value));
        place.push(&["d"]);
    }
    let changed = place.snap(&["diff", "latest~1", "latest", "--tensors", "--json"]).objects();
    assert_eq!(changed[0]["file"], "sub/m.safetensors");
    assert!(place.snap(&["diff", "latest~1", "latest", "--tensors"]).ok().contains("sub/m.safetensors"));
}

#[test]
fn unmodified_files_are_told_of_by_their_paths() {
    let place = Place::new();
    place.write("d/sub/a", "a");
    let told = || place.snap(&["-v", "push", "d"]).err;
    let (new, unmodified) = (told(), told());
    assert!(new.contains("d/sub/a") && unmodified.contains("unmodified") && unmodified.contains("d/sub/a"), "{unmodified}");
}

#[test]
fn a_time_to_come_is_warned_of() {
    let place = Place::new();
    place.write("a", "a");
    let run = place.snap(&["push", "a", "--time", "2999-01-01"]);
    run.ok();
    assert!(run.err.contains("--time: this time is yet to come"), "{}", run.err);
    assert_eq!(place.snap(&["push", "a", "--time", "1h"]).err, "");
}
