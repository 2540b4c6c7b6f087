//! What a push says besides its result: compressed inputs, and with `-vv` its decisions.

use std::process::Command;

use crate::harness::{Place, noise, objects};

/// A gzip of bytes that do not compress, made by gzip.
fn gzip(place: &Place, name: &str, seed: u64) {
    place.write("plain", noise(seed, 200_000));
    let made = Command::new("gzip").arg("-c").arg(place.path("plain")).output().unwrap();
    assert!(made.status.success());
    place.write(name, made.stdout);
    std::fs::remove_file(place.path("plain")).unwrap();
}

#[test]
fn compressed_files_are_told_of_once_with_what_to_do() {
    let place = Place::new();
    gzip(&place, "d/a.gz", 1);
    gzip(&place, "d/b.gz", 2);
    place.write("d/custom.dump", [&include_bytes!("../../../store-core/tests/compressed/custom.dump")[..], &noise(3, 100_000)].concat());
    let run = place.snap(&["push", "d"]);
    run.ok();
    assert!(run.err.contains("d/a.gz and 1 more: gzip hides") && run.err.contains("gunzip -c"), "{}", run.err);
    assert!(run.err.contains("d/custom.dump: a compressed pg_dump -Fc") && run.err.contains("-Z0"), "{}", run.err);
    assert_eq!(run.err.matches("gzip hides").count(), 1);
    let again = place.snap(&["push", "d"]);
    again.ok();
    assert_eq!(again.err, "", "what is unchanged was told of before");
    let touched = std::fs::File::open(place.path("d/a.gz")).unwrap();
    touched.set_modified(std::time::UNIX_EPOCH).unwrap();
    assert_eq!(place.snap(&["push", "d"]).err, "", "and so was what has but another time");
}

#[test]
fn notices_are_objects_for_programs_and_nothing_when_quiet() {
    let place = Place::new();
    gzip(&place, "d/a.gz", 4);
    let run = place.snap(&["push", "--json", "d"]);
    run.ok();
    let notice = &objects(&run.err)[0];
    assert_eq!((&notice["message_type"], &notice["kind"], &notice["files"]), (&"notice".into(), &"gzip".into(), &1.into()));
    assert!(notice["item"].as_str().unwrap().ends_with("d/a.gz") && notice["hint"].as_str().unwrap().contains("gunzip"));
    gzip(&place, "d/c.gz", 5);
    assert_eq!(place.snap(&["-q", "push", "d"]).err, "");
}

#[test]
fn a_compressed_stream_is_noticed() {
    let place = Place::new();
    gzip(&place, "a.gz", 6);
    let mut command = place.command(&["push", "-", "--stdin-filename", "app.sql.gz"]);
    command.stdin(std::fs::File::open(place.path("a.gz")).unwrap());
    let output = command.output().unwrap();
    assert!(output.status.success());
    let err = String::from_utf8(output.stderr).unwrap();
    assert!(err.contains("app.sql.gz: gzip hides"), "{err}");
}

#[test]
fn decisions_are_told_to_who_asks_twice() {
    let place = Place::new();
    let header = br#"{"w":{"dtype":"F32","shape":[256,256],"data_offsets":[0,262144]}}"#;
    let file = |step: f32| {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend_from_slice(header);
        let value = |(i, byte): (usize, &u8)| ((i as f32).sin() * 0.02 + f32::from(*byte) * (1e-5 + step)).to_le_bytes();
        bytes.extend(noise(7, 65_536).iter().enumerate().flat_map(value));
        bytes
    };
    place.write("d/m.safetensors", file(0.0));
    let first = place.snap(&["push", "-vv", "d"]);
    assert!(first.ok().contains("1 file"));
    assert!(first.err.contains("F32") && first.err.contains("bases: none") && first.err.contains("weighed: planes ~"), "{}", first.err);
    place.write("d/m.safetensors", file(1e-7));
    let next = place.snap(&["push", "-vv", "d"]);
    let blob = next.err.lines().find(|line| line.starts_with("blob  F32")).unwrap();
    assert!(blob.contains("difference") && blob.contains("bases: parent 1") && blob.contains("from d/m.safetensors"), "{blob}");
    let once = place.snap(&["push", "-v", "--force", "d"]);
    assert!(!once.err.contains("weighed"), "{}", once.err);
    place.write("d/m.safetensors", file(2e-7));
    let json = place.snap(&["push", "-vv", "--json", "d"]);
    let decisions = objects(&json.err);
    let blob = decisions.iter().find(|object| object["data"] == "F32").unwrap();
    assert_eq!((&blob["message_type"], &blob["bases_parent"]), (&"decision".into(), &1.into()));
    assert!(["difference", "trend"].contains(&blob["codec"].as_str().unwrap()), "{blob}");
    assert!(blob["weighed"][0]["bytes"].is_number());
    let stats = place.snap(&["stats", "--json"]).objects().pop().unwrap();
    assert!(stats["by_depth"].as_array().unwrap().iter().any(|share| share["name"] != "none"), "{stats}");
}

#[test]
fn a_chain_that_is_full_is_told_of() {
    let place = Place::new();
    let header = br#"{"w":{"dtype":"F32","shape":[256,256],"data_offsets":[0,262144]}}"#;
    let mut told = Vec::new();
    for version in 0..8_u8 {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend_from_slice(header);
        // A third of the bytes of each number is new each time: a few differences take as much as the whole.
        let (old, new) = (noise(7, 262_144), noise(u64::from(version) + 20, 65_536));
        bytes.extend(old.chunks(4).zip(new).flat_map(|(old, new)| [new, old[1], 0x20 | old[2] & 0x1f, 0x3c]));
        place.write("d/m.safetensors", bytes);
        let run = place.snap(&["push", "-vv", "d"]);
        told.push(run.err.lines().find(|line| line.starts_with("blob  F32")).unwrap().to_owned());
    }
    assert!(told[..2].iter().all(|line| !line.contains("full")), "{told:#?}");
    assert!(told.iter().any(|line| line.contains("chains of 1 are full: coded against older ones, or by itself")), "{told:#?}");
}
