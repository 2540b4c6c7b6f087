//! What a host keeps of a bucket: fewer requests, and the same results.

use std::fs;
use std::path::{Path, PathBuf};

use crate::bucket::Shop;
use crate::bucket_figures::requests;
use crate::harness::{noise, tree};

/// What is kept below a cache folder.
fn kept(folder: &Path) -> Vec<PathBuf> {
    let (mut found, mut open) = (Vec::new(), vec![folder.to_path_buf()]);
    while let Some(folder) = open.pop() {
        for path in fs::read_dir(folder).into_iter().flatten().map(|item| item.unwrap().path()) {
            if path.is_dir() {
                open.push(path);
            } else if path.components().any(|part| part.as_os_str() == "sealed") {
                found.push(path);
            }
        }
    }
    found
}

fn shop() -> Shop {
    let shop = Shop::new();
    for version in 0..3 {
        for file in 0..8 {
            shop.place.write(&format!("d/sub{file}/{file}"), noise(100 * version + file, 20_000));
        }
        shop.push(&["d", "--series", "s"]);
    }
    shop
}

#[test]
fn what_one_command_read_the_next_ones_need_not_ask_for() {
    let shop = shop();
    let verbs: [&[&str]; 5] = [
        &["list"],
        &["ls", "latest", "-R"],
        &["diff", "latest~1", "latest"],
        &["restore", "latest", "-t", "out"],
        &["push", "d", "--series", "s", "--skip-if-unchanged"],
    ];
    for verb in verbs {
        let asked = |more: &[&str]| requests(&shop, &[verb, more].concat()).values().sum::<u64>();
        // Each by a host of its own that has never seen the repository; then once more.
        let cache = shop.place.path(&format!("cache-{}", verb[0]));
        let cache = ["--cache-dir", cache.to_str().unwrap()];
        let (cold, warm) = (asked(&cache), asked(&cache));
        let _ = fs::remove_dir_all(shop.place.path("out"));
        assert!(warm < cold, "{verb:?}: {warm} after {cold}");
        assert!(!kept(Path::new(cache[1])).is_empty());
        // Without: nothing is kept, and the index is what is left to save requests.
        let without = [&cache[..], &["--cache-size", "0"]].concat();
        assert!(asked(&without) > warm, "{verb:?}");
        let _ = fs::remove_dir_all(shop.place.path("out"));
        assert_eq!(kept(Path::new(cache[1])), Vec::<PathBuf>::new());
    }
}

#[test]
fn a_spoilt_cache_gives_nothing_wrong_and_hides_nothing_from_a_check() {
    let shop = shop();
    let data = tree(&shop.place.path("d"));
    let cache = shop.place.path("other");
    let at = |args: &[&str]| shop.snap(&[args, &["--cache-dir", cache.to_str().unwrap()]].concat());
    at(&["restore", "latest", "-t", "first"]).ok();
    let files = kept(&cache);
    assert!(files.len() >= 4, "{files:?}");
    for (number, file) in files.iter().enumerate() {
        let mut bytes = fs::read(file).unwrap();
        let middle = bytes.len() / 2;
        match number % 3 {
            0 => bytes[middle] ^= 1,
            1 => bytes.truncate(middle),
            _ => bytes.fill(0),
        }
        fs::write(file, bytes).unwrap();
    }
    let run = at(&["restore", "latest", "-t", "second", "--verify"]);
    run.ok();
    assert_eq!((tree(&shop.place.path("second")), run.err.as_str()), (data, ""));
    // A restore whose target is above the cache leaves it.
    at(&["restore", "latest", "-t", ".", "--delete"]).ok();
    assert!(!kept(&cache).is_empty());
    // The store loses all packs: what is kept says what was there, and a check says that it is not.
    let objects = shop.server.shelf.all().into_iter().filter(|(name, _)| !name.contains("/packs/"));
    shop.server.shelf.replace(objects.collect());
    at(&["check"]).fails(15);
    at(&["repair", "packs"]).fails(15);
    assert!(at(&["list", "--json"]).objects().len() == 3);
}
