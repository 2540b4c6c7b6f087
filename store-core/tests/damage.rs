//! Damage: every byte of every object of a small repository is changed, one at a time, and objects are cut short, removed and exchanged.
//! Whatever is done, nothing panics, `check` or the opening itself finds it, and a restore gives the exact bytes or says which it cannot give.
//!
//! A usual run changes every 61st byte. All of them, one after the other, which takes some minutes:
//! `cargo test --release -p store-core --test damage -- --ignored`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod rig;
#[path = "../src/tensor/samples.rs"]
mod samples;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rig::{Noise, Place, Thing, Tree, assert_restores, assert_whole, check_all, push_path, restored, tree_at};
use store_core::base::ids::SnapshotId;
use store_core::crypto::Secret;
use store_core::error::{ErrorKind, chain};
use store_core::monitor::Silent;
use store_core::ops::{repair, tag};
use store_core::repo::{Repo, Secrets};

/// A repository with two snapshots, and copies of all its objects.
struct Victim {
    folder: tempfile::TempDir,
    place: Place,
    objects: BTreeMap<PathBuf, Vec<u8>>,
    snapshots: Vec<(SnapshotId, Tree)>,
}

impl Victim {
    fn new() -> Self {
        let folder = rig::quick_folder();
        let place = Place::below(folder.path());
        let data = folder.path().join("data");
        let repo = place.init();
        repo.add_slot(&other_secrets(), "other").unwrap();
        let mut snapshots = Vec::new();
        for version in 0..2 {
            write_version(&data, version);
            let id = push_path(&repo, &data).unwrap().snapshot.unwrap();
            snapshots.push((id, tree_at(&data)));
            if version == 0 {
                // Two notes: the second has seen the first, and the next snapshot the second.
                for label in ["one", "two"] {
                    let options = tag::Options { add: vec![label.into()], ..tag::Options::default() };
                    tag::tag(&repo, &[id], &options).unwrap();
                }
            }
        }
        assert_whole(&repo);
        let objects = tree_at(&place.repo).into_iter().filter_map(|(path, thing)| match thing {
            Thing::File(bytes) => Some((path, bytes)),
            _ => None,
        });
        // What is kept free for prunes means nothing.
        let objects: BTreeMap<_, _> = objects.filter(|(path, _)| path != Path::new("reserve")).collect();
        let total: usize = objects.values().map(Vec::len).sum();
        assert!(total < 60_000, "{total} bytes are too many to change each");
        Self { place, objects, snapshots, folder }
    }

    fn write(&self, object: &Path, bytes: &[u8]) {
        let path = self.place.repo.join(object);
        let _ = std::fs::remove_file(&path);
        std::fs::write(path, bytes).unwrap();
    }

    fn mend(&self, object: &Path) {
        self.write(object, &self.objects[object]);
    }

    fn fresh_cache(&self) -> Place {
        let _ = std::fs::remove_dir_all(&self.place.cache);
        self.place.clone()
    }

    /// Looks at the repository as it is now. Says whether the damage was noticed; panics when a restore passes off wrong bytes as right ones.
    #[track_caller]
    fn noticed(&self, what: &str) -> bool {
        let repo = match self.fresh_cache().open() {
            Ok(repo) => repo,
            Err(error) => {
                assert!(!chain(&error).is_empty());
                return true;
            }
        };
        // What is sealed in a slot only its own key can tell.
        let theirs = Repo::open(&self.place.options(), &other_secrets());
        let report = check_all(&repo);
        let noticed = theirs.is_err() || report.as_ref().map_or(true, |report| !report.findings.is_empty());
        for (id, tree) in &self.snapshots {
            let Ok(snapshots) = repo.snapshots() else { continue };
            let Some(stored) = snapshots.into_iter().find(|stored| stored.id == *id) else { continue };
            let (found, report, warnings) = restored(&repo, &stored);
            let Ok(report) = report else { continue };
            for (path, thing) in tree {
                let said = || warnings.iter().any(|warning| Path::new("/").join(path).starts_with(Path::new("/").join(&warning.item)));
                let right = found.get(path) == Some(thing);
                assert!(right || (report.failed > 0 && said()), "{what}: {} is wrong and nothing says so: {warnings:?}", path.display());
            }
            let stray: Vec<_> = found.keys().filter(|path| !tree.contains_key(*path)).collect();
            assert!(stray.is_empty(), "{what}: {stray:?} come from nowhere");
            assert!(noticed || report.failed == 0, "{what}: a restore fails and check finds nothing");
        }
        noticed
    }

    fn flip_every(&self, step: usize) {
        let (mut flips, mut at) = (0, 0);
        for (object, bytes) in &self.objects {
            while at < bytes.len() {
                let mut bad = bytes.clone();
                bad[at] ^= 1 << (at % 8);
                self.write(object, &bad);
                let what = format!("{} with byte {at} changed", object.display());
                assert!(self.noticed(&what), "{what}: nobody noticed");
                flips += 1;
                at += step;
            }
            at -= bytes.len();
            self.mend(object);
        }
        eprintln!("{flips} bytes of {} objects changed, each noticed", self.objects.len());
    }

    fn of_kind<'a>(&'a self, kind: &'a str) -> Vec<&'a PathBuf> {
        self.objects.keys().filter(|path| path.starts_with(kind)).collect()
    }
}

fn other_secrets() -> Secrets {
    Secrets { passphrase: None, key_file: Some(Secret::take(&mut [8; 32])) }
}

fn write_version(data: &Path, version: u64) {
    std::fs::create_dir_all(data.join("sub/empty")).unwrap();
    let mut noise = Noise::new(5);
    let mut weights = samples::safetensors(&[("a", "F32", &[8, 16], 512), ("b", "BF16", &[32], 64)]);
    let values = weights.len() - 576;
    weights[values..].copy_from_slice(&noise.bytes(576));
    weights[values + 9] ^= version as u8;
    std::fs::write(data.join("weights.safetensors"), weights).unwrap();
    std::fs::write(data.join("text"), format!("version {version}\n")).unwrap();
    std::fs::write(data.join(format!("only in {version}")), [version as u8; 40]).unwrap();
    if version == 0 {
        // Stays as it is; long enough for a list of extents of its own.
        std::fs::write(data.join("sub/long"), vec![7; 1_400_000]).unwrap();
        std::fs::write(data.join("sub/noise"), noise.bytes(300)).unwrap();
        std::fs::write(data.join("empty"), "").unwrap();
        std::os::unix::fs::symlink("../text", data.join("sub/link")).unwrap();
    }
}

#[test]
fn any_changed_byte_is_noticed_and_no_wrong_byte_is_restored() {
    Victim::new().flip_every(61);
}

#[test]
#[ignore = "takes minutes"]
fn every_changed_byte_is_noticed_and_no_wrong_byte_is_restored() {
    Victim::new().flip_every(1);
}

#[test]
fn an_object_that_is_cut_short_or_goes_on_is_noticed() {
    let victim = Victim::new();
    for (object, bytes) in &victim.objects {
        for len in [0, 1, 87, 88, 89, bytes.len() / 2, bytes.len() - 8, bytes.len() - 1] {
            victim.write(object, &bytes[..len]);
            let what = format!("{} cut to {len} of {} bytes", object.display(), bytes.len());
            assert!(victim.noticed(&what), "{what}: nobody noticed");
        }
        victim.write(object, &[&bytes[..], &[0]].concat());
        let what = format!("{} with a byte behind it", object.display());
        assert!(victim.noticed(&what), "{what}: nobody noticed");
        victim.mend(object);
    }
}

#[test]
fn an_object_that_is_gone_is_noticed_unless_it_is_a_snapshot() {
    let victim = Victim::new();
    let mut unnoticed = Vec::new();
    for object in victim.objects.keys() {
        std::fs::remove_file(victim.place.repo.join(object)).unwrap();
        if !victim.noticed(&format!("{} removed", object.display())) {
            unnoticed.push(object.clone());
        }
        victim.mend(object);
    }
    // Nothing refers to a snapshot but the next one, and whoever removes the newest leaves no trace.
    assert!(unnoticed.iter().all(|path| path.starts_with("snapshots")), "{unnoticed:?}");
    assert_whole(&victim.fresh_cache().open().unwrap());
}

#[test]
fn two_objects_that_change_places_are_noticed() {
    let victim = Victim::new();
    for kind in ["packs", "index", "snapshots", "keys", "notes"] {
        let [a, b] = victim.of_kind(kind)[..] else { panic!("two of {kind} are expected") };
        victim.write(a, &victim.objects[b]);
        victim.write(b, &victim.objects[a]);
        assert!(victim.noticed(&format!("two of {kind} exchanged")), "nobody noticed that two of {kind} were exchanged");
        victim.mend(a);
        victim.mend(b);
    }
}

/// Takes each object of a kind away or damages it, pushes the newest files again, with a fresh cache or without, and has the new snapshot
/// restored; then undoes all that.
fn push_with_loss(victim: &Victim, kind: &str, caches: &[bool], lose: impl Fn(&Path), then: impl Fn(&Repo)) {
    let data = victim.folder.path().join("data");
    let pristine = tree_at(&victim.place.repo);
    for object in victim.of_kind(kind) {
        for fresh in caches.iter().copied() {
            let place = if fresh { victim.fresh_cache() } else { victim.place.clone() };
            lose(object);
            let id = push_path(&place.open().unwrap(), &data).unwrap().snapshot.unwrap();
            then(&place.open().unwrap());
            assert_restores(&place.open().unwrap(), id, &victim.snapshots[1].1);
            assert_restores(&victim.fresh_cache().open().unwrap(), id, &victim.snapshots[1].1);
            // Back to what was there before: what was lost is found again.
            for path in tree_at(&victim.place.repo).keys().filter(|path| !pristine.contains_key(*path)) {
                std::fs::remove_file(victim.place.repo.join(path)).unwrap();
            }
            victim.objects.keys().for_each(|path| victim.mend(path));
            let repo = place.open().unwrap();
            assert_whole(&repo);
            victim.snapshots.iter().for_each(|(id, tree)| assert_restores(&repo, *id, tree));
        }
    }
}

#[test]
fn pushing_the_same_files_again_heals_the_loss_of_a_pack() {
    let victim = Victim::new();
    push_with_loss(&victim, "packs", &[true, false], |pack| std::fs::remove_file(victim.place.repo.join(pack)).unwrap(), |_| {});
}

#[test]
fn a_push_beside_a_damaged_segment_relies_on_nothing_that_it_names() {
    let victim = Victim::new();
    // An index that took the segment in while it was whole knows what it said, and finds all of it.
    push_with_loss(&victim, "index", &[true], |segment| victim.write(segment, &[0; 200]), |_| {});
}

#[test]
fn a_push_after_the_loss_of_a_segment_comes_back_once_the_index_is_repaired() {
    let victim = Victim::new();
    let lose = |segment: &Path| std::fs::remove_file(victim.place.repo.join(segment)).unwrap();
    push_with_loss(&victim, "index", &[true, false], lose, |repo| {
        repair::index(repo, false, &Silent).unwrap();
    });
}

#[test]
fn a_damaged_key_slot_is_told_from_a_wrong_key() {
    let victim = Victim::new();
    let ours = victim.of_kind("keys").into_iter().find(|slot| {
        std::fs::remove_file(victim.place.repo.join(slot)).unwrap();
        let wrong = victim.place.open().is_err_and(|error| error.kind() == ErrorKind::WrongKey);
        victim.mend(slot);
        wrong
    });
    let ours = ours.expect("one of the slots is ours");
    let mut bad = victim.objects[ours].clone();
    *bad.last_mut().unwrap() ^= 1;
    victim.write(ours, &bad);
    assert_eq!(victim.place.open().unwrap_err().kind(), ErrorKind::Damage);
    assert!(Repo::open(&victim.place.options(), &other_secrets()).is_ok());
    victim.mend(ours);
    let stranger = Secrets { passphrase: None, key_file: Some(Secret::take(&mut [9; 32])) };
    assert_eq!(Repo::open(&victim.place.options(), &stranger).unwrap_err().kind(), ErrorKind::WrongKey);
}
