use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::harness::{Place, noise, objects_of, tree};

fn write_over(object: &Path, bytes: &[u8]) {
    fs::set_permissions(object, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(object, bytes).unwrap();
}

/// Flips a byte so far into the largest pack.
fn damage(place: &Place, share: f64) {
    let packs = objects_of(&place.path(".snap"), "packs");
    let pack = packs.into_iter().max_by_key(|pack| fs::metadata(pack).unwrap().len()).unwrap();
    let mut bytes = fs::read(&pack).unwrap();
    let at = (bytes.len() as f64 * share) as usize;
    bytes[at] ^= 1;
    write_over(&pack, &bytes);
}

fn packs_len(place: &Place) -> u64 {
    objects_of(&place.path(".snap"), "packs").iter().map(|pack| fs::metadata(pack).unwrap().len()).sum()
}

fn forget_cache(place: &Place) {
    fs::remove_dir_all(place.home(".cache")).unwrap();
}

fn assert_restores(place: &Place, snap: &str, what: &[(String, Vec<u8>)]) {
    let _ = fs::remove_dir_all(place.path("out"));
    place.snap(&["restore", snap, "-t", "out", "--verify"]).ok();
    assert!(tree(&place.path("out")) == what, "{snap} is restored wrong");
}

#[test]
fn the_next_push_of_the_same_data_heals_a_damaged_pack() {
    for (share, args) in [(0.3, &["d", "--force"][..]), (0.3, &["d"]), (0.999, &["d"])] {
        let place = Place::new();
        place.write("d/noise", noise(1, 3_000_000));
        place.write("d/text", "a line that repeats\n".repeat(20_000));
        let first = place.push(&["d"]);
        let data = tree(&place.path("d"));
        damage(&place, share);
        place.snap(&["check", "--read-data"]).fails(15);
        let second = place.push(args);
        let run = place.snap(&["check", "--read-data"]);
        assert!(run.ok().contains("note: packs/"), "{}", run.out);
        assert_restores(&place, &first, &data);
        assert_restores(&place, &second, &data);
        // Another host, that knows nothing of the damage.
        forget_cache(&place);
        assert_restores(&place, &first, &data);
        assert_restores(&place, &second, &data);
        place.snap(&["check", "--read-data"]).ok();
        // What is healed is stored once more, not each time.
        let before = packs_len(&place);
        place.push(&["d", "--force"]);
        let grown = packs_len(&place) - before;
        assert!(grown < 100_000, "{grown} bytes are stored again");
    }
}

#[test]
fn what_is_coded_against_a_damaged_blob_comes_back_with_it() {
    let place = Place::new();
    let lines = |version: usize| -> String {
        let line = |i: usize| if i % 500 == 7 { format!("{i} changed {version}\n") } else { format!("{i} {}\n", i * 7919 % 10_007) };
        (0..100_000).map(line).collect()
    };
    let mut versions = Vec::new();
    for version in 0..4 {
        place.write("d/table", lines(version));
        versions.push((place.push(&["d"]), tree(&place.path("d"))));
    }
    damage(&place, 0.2);
    let run = place.snap(&["check", "--read-data"]);
    run.fails(15);
    let table = run.out.lines().find(|line| line.contains(":/table")).unwrap();
    assert_eq!(table.matches(":/table").count(), 4, "the file is named once for each snapshot: {}", run.out);
    place.write("d/table", lines(0));
    place.push(&["d"]);
    assert!(place.snap(&["check", "--read-data"]).ok().contains("note: "));
    for (id, data) in &versions {
        assert_restores(&place, id, data);
    }
}

#[test]
fn a_damaged_blob_is_one_finding_that_names_each_file_once() {
    let place = Place::new();
    place.write("d/a", noise(1, 2_000_000));
    place.push(&["d"]);
    damage(&place, 0.4);
    let run = place.snap(&["check", "--read-data"]);
    run.fails(15);
    let findings: Vec<_> = run.out.lines().filter(|line| line.starts_with("packs/")).collect();
    assert_eq!(findings.len(), 1, "{}", run.out);
    assert_eq!((findings[0].matches("packs/").count(), findings[0].matches(":/a").count()), (1, 1), "{}", findings[0]);
    assert!(run.out.contains("1 finding"), "{}", run.out);
}

#[test]
fn a_pack_that_is_gone_is_a_note_once_its_data_were_pushed_again() {
    let place = Place::new();
    place.write("d/a", noise(1, 2_000_000));
    let id = place.push(&["d"]);
    let data = tree(&place.path("d"));
    objects_of(&place.path(".snap"), "packs").iter().for_each(|pack| fs::remove_file(pack).unwrap());
    place.snap(&["check"]).fails(15);
    place.push(&["d"]);
    let json = place.snap(&["check", "--json"]);
    json.ok();
    assert_eq!(json.objects()[0]["message_type"], "note");
    assert_restores(&place, &id, &data);
}
