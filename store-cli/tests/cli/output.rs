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
