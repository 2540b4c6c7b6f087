//! `snap bench`, and that what it says is what a push does.

use std::path::Path;

use serde_json::Value;

use crate::harness::{Place, noise, tree};

/// Rows of a table, of which a later version has others here and there.
fn rows(version: u64, count: u64) -> String {
    let row = |i: u64| {
        let changed = if (i * 7 + version).is_multiple_of(101) { version } else { 0 };
        let words = noise(i * 31 + changed, 24).iter().map(|byte| char::from(b'a' + byte % 26)).collect::<String>();
        format!("{i}\t{words}\t{}\t2026-0{}-1{}\n", i * 37 % 1000, 1 + i % 9, i % 10)
    };
    (0..count).map(row).collect()
}

/// A file of weights, each version a small step from the one before.
fn weights(version: u64, count: usize) -> Vec<u8> {
    let len = count * 2;
    let header = format!(r#"{{"w":{{"dtype":"BF16","shape":[{}, 64],"data_offsets":[0,{len}]}}}}"#, count / 64);
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header.as_bytes());
    let (low, high, step) = (noise(1, count), noise(2, count), noise(3, count));
    for i in 0..count {
        // The exponents are few; each version moves a quarter of the values by a little.
        let moved = u16::from(step[i].is_multiple_of(4)) * version as u16;
        let value = u16::from_le_bytes([low[i], 0x3c | high[i] & 0x81]).wrapping_add(moved);
        bytes.extend_from_slice(&value.to_le_bytes());
    }
    bytes
}

fn measured(place: &Place, words: &[&str]) -> Value {
    place.snap(&[&["bench", "--json"], words].concat()).objects().pop().unwrap()
}

fn stored(measured: &Value) -> Vec<u64> {
    measured["versions"].as_array().unwrap().iter().map(|version| version["stored"].as_u64().unwrap()).collect()
}

fn bytes_of(repository: &Path) -> u64 {
    tree(repository).iter().map(|(_, bytes)| bytes.len() as u64).sum()
}

/// What pushes of these folders really add.
fn pushed(place: &Place, folders: &[&str]) -> Vec<u64> {
    let repository = place.path(".snap");
    let mut before = bytes_of(&repository);
    let grown = |folder: &&str| {
        place.push(&[folder, "--series", "bench"]);
        let now = bytes_of(&repository);
        now - std::mem::replace(&mut before, now)
    };
    folders.iter().map(grown).collect()
}

#[test]
fn what_it_says_of_a_version_is_what_a_push_adds() {
    let place = Place::new();
    for version in 0..3 {
        place.write(&format!("d/v{version}/table.tsv"), rows(version, 3_000));
        place.write(&format!("d/v{version}/model.safetensors"), weights(version, 2 << 20));
        place.write(&format!("d/v{version}/sub/same"), noise(9, 300_000));
    }
    let said = stored(&measured(&place, &["--full", "d"]));
    let real = pushed(&place, &["d/v0", "d/v1", "d/v2"]);
    for (said, real) in said.iter().zip(&real) {
        // Each repository cuts plain bytes at places of its own, so the figures cannot be equal; the names of a chunk more or less take some
        // 220 bytes.
        assert!(said.abs_diff(*real) <= real * 4 / 100 + 2 * 220, "{said} said, {real} real");
    }
    assert_eq!((said.len(), real.len()), (3, 3));
    assert!(real[1] * 3 < real[0], "the next version is a difference");
}

#[test]
fn a_sample_is_as_good_as_the_error_that_it_states() {
    let place = Place::empty();
    for version in 0..2 {
        place.write(&format!("d/v{version}/table.tsv"), rows(version, 200_000));
        place.write(&format!("d/v{version}/model.safetensors"), weights(version, 24 << 20));
    }
    let all = measured(&place, &["--full", "d"]);
    assert_eq!((&all["sampled"], &all["versions"][1]["stored_error"]), (&false.into(), &0.into()));
    let mut said = Vec::new();
    for seed in ["0", "1", "2"] {
        let sample = measured(&place, &["--sample", "32MB", "--seed", seed, "d"]);
        assert_eq!(sample["sampled"], true);
        for (version, (exact, guess)) in stored(&all).into_iter().zip(stored(&sample)).enumerate() {
            let error = sample["versions"][version]["stored_error"].as_u64().unwrap();
            assert!(error > 0 && error * 5 < exact, "{error} of {exact}");
            assert!(exact.abs_diff(guess) <= error * 2, "{guess} ± {error} for {exact}");
        }
        said.push(stored(&sample));
    }
    assert!(said[0] != said[1] && said[1] != said[2], "another seed, another sample");
}

#[test]
fn tables_csv_and_the_last_line_say_the_same() {
    let place = Place::empty();
    for version in 0..2 {
        place.write(&format!("d/2026-01-0{}/table.tsv", version + 1), rows(version, 5_000));
    }
    let run = place.snap(&["bench", "d"]);
    assert!(run.ok().contains("snap push would store ") && run.out.contains(" for each next version") && run.out.contains("zstd -19"));
    assert!(run.err.contains("holds 2 versions: 2026-01-01, 2026-01-02"), "{}", run.err);
    let next = stored(&measured(&place, &["d"]))[1];
    let csv = place.snap(&["bench", "--csv", "d"]);
    let columns = csv.ok().lines().next().unwrap().split(',').count();
    assert!(csv.out.lines().all(|line| line.split(',').count() == columns), "{}", csv.out);
    let row = csv.out.lines().find(|line| line.starts_with("version,2026-01-02,")).unwrap();
    assert_eq!(row.split(',').nth(4).unwrap().parse::<u64>().unwrap().abs_diff(next) * 100 / next, 0, "{row}");
    assert_eq!(measured(&place, &["--single", "d"])["versions"].as_array().unwrap().len(), 1);
    assert_eq!(measured(&place, &["d/2026-01-02", "d/2026-01-01"])["versions"][0]["name"], "2026-01-02", "the order is the user's");
}

#[test]
fn nothing_is_left_behind_and_bad_words_are_refused() {
    let place = Place::empty();
    place.write("d/a", rows(0, 2_000));
    place.snap(&["bench", "d"]).ok();
    let left: Vec<_> = tree(&place.home(".cache")).into_iter().map(|(path, _)| path).collect();
    assert!(left.is_empty(), "{left:?}");
    assert!(!place.path(".snap").exists());
    place.snap(&["bench"]).fails(2);
    place.snap(&["bench", "nowhere"]).fails(2);
    place.snap(&["bench", "d", "nowhere"]).fails(2);
    place.snap(&["bench", "--sample", "much", "d"]).fails(2);
    place.snap(&["bench", "--full", "--sample", "1G", "d"]).fails(2);
}

#[test]
fn an_empty_folder_and_the_smallest_memory_do() {
    let place = Place::empty();
    std::fs::create_dir(place.path("empty")).unwrap();
    assert_eq!(measured(&place, &["empty"])["full_copies"], 0);
    for version in 0..2 {
        place.write(&format!("d/v{version}/model.safetensors"), weights(version, 2 << 20));
    }
    let small = stored(&measured(&place, &["--memory", "64MiB", "--threads", "1", "d"]));
    for (small, usual) in small.iter().zip(stored(&measured(&place, &["d"]))) {
        // Records hold times and random names.
        assert!(small.abs_diff(usual) <= 40, "memory and threads change no size: {small}, {usual}");
    }
}
