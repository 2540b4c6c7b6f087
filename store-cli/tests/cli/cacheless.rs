//! A cache folder that cannot be written: what reads goes on without, and says so once; what writes says what is wrong.

use std::process::Command;

use crate::bucket::Shop;
use crate::harness::{Place, Run, noise, tree};

/// Below a file no folder can be made, whoever asks.
const NOWHERE: &str = "file/cache";

/// Has the verbs go without a cache; `command` makes one of words, `place` is where it runs.
fn goes_on(place: &Place, command: &dyn Fn(&[&str]) -> Command) {
    place.write("file", "a file");
    std::fs::create_dir(place.path("temporary")).unwrap();
    for (temporary, told) in [("temporary", "temporary/snap-index-"), (NOWHERE, "in memory")] {
        let target = format!("out of {told}").replace('/', "-");
        for verb in [&["restore", "latest", "-t", &target][..], &["check", "--read-data"], &["ls", "latest", "-R"], &["stats"]] {
            let mut command = command(&[verb, &["--cache-dir", NOWHERE]].concat());
            let run: Run = command.env("TMPDIR", place.path(temporary)).output().unwrap().into();
            run.ok();
            assert_eq!(run.err.matches("--cache-dir").count(), 1, "{verb:?}: {}", run.err);
            assert!(run.err.contains(told) && run.err.contains(NOWHERE), "{verb:?}: {}", run.err);
        }
        assert_eq!(tree(&place.path(&target)), tree(&place.path("d")));
        assert_eq!(std::fs::read_dir(place.path("temporary")).unwrap().count(), 0, "nothing is left");
    }
    let run: Run = command(&["push", "d", "--cache-dir", NOWHERE]).output().unwrap().into();
    assert!(run.fails(1).contains("--cache-dir"), "{}", run.err);
    let run: Run = command(&["list", "--json", "--cache-dir", NOWHERE]).output().unwrap().into();
    assert_eq!((run.objects().len(), run.err.as_str()), (1, ""), "what asks for no chunk needs no index");
}

#[test]
fn a_folder_is_read_without_a_cache() {
    let place = Place::new();
    place.write("d/sub/a", noise(1, 300_000));
    place.push(&["d"]);
    goes_on(&place, &|args| place.command(args));
}

#[test]
fn a_bucket_is_read_without_a_cache() {
    let shop = Shop::new();
    shop.place.write("d/sub/a", noise(1, 300_000));
    shop.push(&["d"]);
    goes_on(&shop.place, &|args| shop.command(args));
}

#[test]
fn a_cache_that_becomes_usable_is_used_again() {
    let place = Place::new();
    place.write("d/a", noise(1, 100_000));
    place.push(&["d"]);
    place.write("file", "a file");
    assert_ne!(place.snap(&["ls", "latest", "--cache-dir", NOWHERE]).err, "");
    std::fs::remove_file(place.path("file")).unwrap();
    for _ in 0..2 {
        assert_eq!(place.snap(&["ls", "latest", "-R", "--cache-dir", NOWHERE]).err, "");
    }
    assert!(place.path(NOWHERE).read_dir().unwrap().count() == 1);
}
