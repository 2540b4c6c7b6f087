//! Restores with a second repository at hand: what is lost in the first comes from there, and never a wrong byte.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "disk/damaged.rs"]
mod damaged;
mod disk;
mod rig;
#[path = "disk/tiny.rs"]
mod tiny;

use std::collections::BTreeSet;
use std::path::PathBuf;

use damaged::{Harm, Whole, fresh};
use disk::Disk;
use rig::{Heard, Tree, tree_at};
use store_core::error::ErrorKind;
use store_core::monitor::Silent;
use store_core::ops::copy::{self, copy};
use store_core::ops::list::{Filter, list};
use store_core::ops::push;
use store_core::ops::repair::{self, PacksOptions};
use store_core::ops::restore::{Options, Report, restore_with};
use store_core::repo::{Repo, StoredSnapshot};

fn copy_all(from: &Repo, to: &Repo) {
    let report = copy(from, to, &list(from, &Filter::default()).unwrap(), &copy::Options::default(), &Silent, &mut |_, _| Ok(())).unwrap();
    assert_eq!(report.failed, 0);
}

/// What comes out with the second repository, and what of it is right. Whatever is missing must be told.
fn restored(repo: &Repo, stored: &StoredSnapshot, second: &Repo, tree: &Tree) -> (BTreeSet<PathBuf>, Report) {
    let (target, heard) = (rig::quick_folder(), Heard::default());
    let options = Options { target: target.path().to_path_buf(), verify: true, ..Options::default() };
    let report = restore_with(repo, stored, Some(second), &options, &heard).unwrap();
    let found = tree_at(target.path());
    let right: BTreeSet<PathBuf> =
        tree.iter().filter(|(path, thing)| found.get(*path) == Some(thing)).map(|(path, _)| path.clone()).collect();
    assert!(right.len() == tree.len() || report.failed > 0, "something is missing and nobody says so");
    (right, report)
}

#[test]
fn what_is_lost_comes_from_a_copy() {
    let whole = Whole::new(21, 3);
    let (cache, sound) = fresh(&whole.spoilt(&[]));
    let second = tiny::init(&Disk::new(), &cache.path().join("second"));
    copy_all(&sound, &second);
    let (mut saved, mut unsaved, mut after_repair) = (0, 0, 0);
    for pack in whole.packs() {
        let middle = Harm::Flip(whole.objects[&pack].len() as i64 / 2);
        for harm in [Harm::Gone, Harm::Flip(120), middle] {
            let disk = whole.spoilt(&[(pack, harm)]);
            let (_cache, repo) = fresh(&disk);
            for repaired in [false, true] {
                if repaired {
                    repair::packs(&repo, &PacksOptions { read_data: true, execute: true, ..PacksOptions::default() }, &Silent).unwrap();
                }
                let alone = whole.restorable(&repo);
                for (id, tree) in &whole.made {
                    let Some(stored) = rig::find(&repo, *id) else { continue };
                    // A root that is lost is no matter of chunks.
                    if repo.find(&stored, b"").is_err() {
                        continue;
                    }
                    let (with, report) = restored(&repo, &stored, &second, tree);
                    assert!(with.is_superset(&alone[id]), "{pack} {harm:?}: {:?} came back without it", alone[id].difference(&with));
                    let more = with.len() - alone[id].len();
                    assert!(more == 0 || report.spared_bytes > 0);
                    saved += more;
                    after_repair += if repaired { more } else { 0 };
                    unsaved += tree.len() - with.len();
                }
            }
        }
    }
    assert!(saved > 0 && after_repair > 0, "{saved} saved, {after_repair} of them after a repair, {unsaved} not");
}

#[test]
fn a_part_is_completed_too_and_a_whole_snapshot_asks_nobody() {
    let whole = Whole::new(22, 1);
    let (cache, sound) = fresh(&whole.spoilt(&[]));
    let second = tiny::init(&Disk::new(), &cache.path().join("second"));
    copy_all(&sound, &second);
    let (id, tree) = &whole.made[0];
    let (right, report) = restored(&sound, &rig::find(&sound, *id).unwrap(), &second, tree);
    assert_eq!((right.len(), report.spared_bytes), (tree.len(), 0));
    let mut completed = 0;
    for pack in whole.packs() {
        let (_cache, repo) = fresh(&whole.spoilt(&[(pack, Harm::Flip(120))]));
        let stored = rig::find(&repo, *id).unwrap();
        for (path, name) in [("sub", "0"), ("sub/0", "0"), ("text", "text"), ("", "text")] {
            let target = rig::quick_folder();
            let options = Options { target: target.path().to_path_buf(), path: path.into(), ..Options::default() };
            let Ok(report) = restore_with(&repo, &stored, Some(&second), &options, &Silent) else { continue };
            if report.spared_bytes > 0 && report.failed == 0 {
                let whole = if path.starts_with("sub") { "sub/0" } else { "text" };
                let bytes = std::fs::read(target.path().join(name)).unwrap();
                assert_eq!(tree[&PathBuf::from(whole)], rig::Thing::File(bytes));
                completed += 1;
            }
        }
    }
    assert!(completed > 0);
}

#[test]
fn a_push_of_the_same_files_will_do_and_other_bytes_at_the_same_path_will_not() {
    let whole = Whole::new(23, 1);
    let (cache, _) = fresh(&whole.spoilt(&[]));
    let (id, tree) = &whole.made[0];
    let series = |data: &std::path::Path| push::Options { series: Some("versions".into()), ..rig::push_options(data) };
    let pushed = |name: &str, change: bool| {
        let second = tiny::init(&Disk::new(), &cache.path().join(name));
        let data = cache.path().join(name).join("data");
        damaged::write_tree(&data, tree);
        if change {
            for (path, thing) in tree {
                let rig::Thing::File(bytes) = thing else { continue };
                std::fs::write(data.join(path), bytes.iter().map(|byte| byte ^ 1).collect::<Vec<_>>()).unwrap();
            }
        }
        push::push(&second, series(&data), &Silent).unwrap();
        second
    };
    let (same, other) = (pushed("same", false), pushed("other", true));
    let mut saved = 0;
    for pack in whole.packs() {
        let (_cache, repo) = fresh(&whole.spoilt(&[(pack, Harm::Flip(120))]));
        let stored = rig::find(&repo, *id).unwrap();
        if repo.find(&stored, b"").is_err() {
            continue;
        }
        let alone = &whole.restorable(&repo)[id];
        saved += restored(&repo, &stored, &same, tree).0.len() - alone.len();
        let (right, report) = restored(&repo, &stored, &other, tree);
        assert_eq!((&right, report.spared_bytes), (alone, 0), "bytes that were never there came out");
    }
    assert!(saved > 0);
}

#[test]
fn a_repository_is_no_second_one_of_itself() {
    let whole = Whole::new(24, 1);
    let (_cache, repo) = fresh(&whole.spoilt(&[]));
    let (_other, again) = fresh(&whole.spoilt(&[]));
    let target = rig::quick_folder();
    let options = Options { target: target.path().to_path_buf(), ..Options::default() };
    let stored = rig::find(&repo, whole.made[0].0).unwrap();
    assert_eq!(restore_with(&repo, &stored, Some(&again), &options, &Silent).unwrap_err().kind(), ErrorKind::Usage);
}
