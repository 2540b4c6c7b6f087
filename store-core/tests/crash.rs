//! Crashes: pushes that are killed at any moment, and a local chunk index that is damaged in any way. Every snapshot that was reported
//! stays whole, and the next command works without being helped.
//!
//! A usual run kills 20 pushes. `SNAP_KILLS=200 cargo test --release -p store-core --test crash killed` kills so many.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod rig;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rig::{Noise, Place, Thing, Tree, assert_restores, assert_whole, find, push_path, reported, start_child, tree_at};
use store_core::base::ids::SnapshotId;

#[test]
fn child_that_pushes() {
    rig::be_child();
}

/// Makes the next version of a few files: one grows, one changes in the middle, one comes, one goes.
fn change(data: &Path, noise: &mut Noise, version: u64) {
    std::fs::create_dir_all(data.join("sub")).unwrap();
    let large = data.join("large");
    let mut bytes = std::fs::read(&large).unwrap_or_else(|_| noise.bytes(1_500_000));
    let at = noise.below(bytes.len() as u64 - 70_000) as usize;
    bytes[at..at + 70_000].copy_from_slice(&noise.bytes(70_000));
    std::fs::write(&large, bytes).unwrap();
    let mut log = std::fs::read(data.join("log")).unwrap_or_default();
    log.extend_from_slice(format!("version {version}\n").repeat(300).as_bytes());
    std::fs::write(data.join("log"), log).unwrap();
    let len = noise.below(200_000) as usize;
    std::fs::write(data.join(format!("sub/{version}")), noise.bytes(len)).unwrap();
    let _ = std::fs::remove_file(data.join(format!("sub/{}", version.wrapping_sub(5))));
}

#[test]
fn what_was_reported_survives_pushes_that_are_killed() {
    let kills: u64 = std::env::var("SNAP_KILLS").map_or(20, |kills| kills.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let place = Place::below(folder.path());
    let data = folder.path().join("data");
    let mut noise = Noise::new(std::env::var("SNAP_SEED").map_or(1, |seed| seed.parse().unwrap()));
    let mut snapshots: BTreeMap<SnapshotId, Tree> = BTreeMap::new();
    drop(place.init());
    change(&data, &mut noise, 0);
    let started = Instant::now();
    let (ids, well, errors) = reported(start_child(&place, &data, 1));
    let mut usual = started.elapsed();
    assert!(well && ids.len() == 1, "{errors}");
    snapshots.insert(ids[0], tree_at(&data));
    let (mut before, mut after) = (0, 0);
    for version in 1..=kills {
        change(&data, &mut noise, version);
        let tree = tree_at(&data);
        let mut child = start_child(&place, &data, 1);
        std::thread::sleep(Duration::from_nanos(noise.below(usual.as_nanos() as u64 * 5 / 4)));
        let _ = child.kill();
        let (ids, _, _) = reported(child);
        if ids.is_empty() {
            before += 1
        } else {
            after += 1
        }
        snapshots.extend(ids.iter().map(|id| (*id, tree.clone())));

        // The next push works as it is, and what was reported before comes back.
        let started = Instant::now();
        let (ids, well, errors) = reported(start_child(&place, &data, 1));
        usual = (usual + started.elapsed()) / 2;
        assert!(well, "the push after kill {version}: {errors}");
        snapshots.insert(ids[0], tree);
        let repo = place.open().unwrap();
        assert_restores(&repo, ids[0], &snapshots[&ids[0]]);
        let any = snapshots.iter().nth(noise.below(snapshots.len() as u64) as usize).unwrap();
        assert_restores(&repo, *any.0, any.1);
        assert_eq!(repo.take_warnings(), []);
    }
    let repo = place.open().unwrap();
    assert_whole(&repo);
    snapshots.iter().for_each(|(id, tree)| assert_restores(&repo, *id, tree));
    // Those that were committed and not yet reported are whole, too.
    let all = repo.snapshots().unwrap().len();
    assert!(all >= snapshots.len());
    eprintln!("{kills} pushes killed: {before} before they reported, {after} after; {all} snapshots, all whole");
}

/// Names and lengths of what is in a folder of the repository. Nothing is read: a process that is to be killed in time goes on meanwhile.
fn objects(place: &Place, folder: &str) -> Vec<(PathBuf, u64)> {
    let (mut found, mut open) = (Vec::new(), vec![place.repo.join(folder)]);
    while let Some(folder) = open.pop() {
        for item in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            match item.metadata().unwrap() {
                meta if meta.is_dir() => open.push(item.path()),
                meta => found.push((item.path(), meta.len())),
            }
        }
    }
    found
}

#[test]
fn a_push_takes_up_what_a_killed_one_wrote_and_ends_its_session() {
    const LEN: u64 = 60_000_000;
    let folder = rig::quick_folder();
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    std::fs::write(data.join("file"), Noise::new(77).bytes(LEN as usize)).unwrap();
    // On a busy machine a push may end before it is killed: then another one is, elsewhere.
    let killed = (0..10).map(|attempt| {
        let place = Place::below(&folder.path().join(attempt.to_string()));
        std::fs::create_dir_all(place.repo.parent().unwrap()).unwrap();
        drop(place.init());
        let mut child = start_child(&place, &data, 1);
        let deadline = Instant::now() + Duration::from_secs(60);
        while objects(&place, "packs").len() < 2 && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
        }
        child.kill().unwrap();
        let _ = reported(child);
        place
    });
    let place = killed.into_iter().find(|place| objects(place, "index").is_empty()).expect("a push is killed before it writes a segment");
    let left = objects(&place, "packs");
    let bytes = |packs: &[(PathBuf, u64)]| packs.iter().map(|(_, len)| len).sum::<u64>();
    assert!(left.len() >= 2 && objects(&place, "snapshots").is_empty(), "{left:?}");
    assert_eq!(objects(&place, "sessions").len(), 1);

    let repo = place.open().unwrap();
    let report = push_path(&repo, &data).unwrap();
    let all = objects(&place, "packs");
    assert!(left.iter().all(|pack| all.contains(pack)));
    assert!(bytes(&all) < LEN + LEN / 50, "{} bytes were left, {} are there now", bytes(&left), bytes(&all));
    assert_eq!(objects(&place, "sessions"), []);
    assert_eq!(objects(&place, "snapshots").len(), 2, "an abort and a snapshot");
    assert_eq!(repo.snapshots().unwrap().len(), 1);
    assert_restores(&repo, report.snapshot.unwrap(), &tree_at(&data));
    assert_whole(&repo);
}

#[test]
fn sessions_that_may_be_alive_are_left_alone() {
    let folder = rig::quick_folder();
    let place = Place::below(folder.path());
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    std::fs::write(data.join("file"), "x").unwrap();
    let repo = place.init();
    // Of this very process, and of a process that is gone and belongs to another installation.
    let own = repo.begin_session(store_core::format::session::Purpose::Push).unwrap();
    let other = Place { cache: folder.path().join("other cache"), ..place.clone() };
    std::fs::write(data.join("large"), Noise::new(3).bytes(20_000_000)).unwrap();
    let mut child = start_child(&other, &data, 1);
    let deadline = Instant::now() + Duration::from_secs(60);
    while objects(&place, "sessions").len() < 2 && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    let _ = reported(child);
    push_path(&repo, &data).unwrap();
    assert_eq!(objects(&place, "sessions").len(), 2);
    repo.end_session(&own);
    // The installation itself knows better.
    push_path(&other.open().unwrap(), &data).unwrap();
    assert_eq!(objects(&place, "sessions"), []);
}

#[test]
fn an_open_repository_sees_what_others_push() {
    let folder = rig::quick_folder();
    let place = Place::below(folder.path());
    let data = folder.path().join("data");
    let mut noise = Noise::new(5);
    let repo = place.init();
    let other = Place { cache: folder.path().join("other cache"), ..place.clone() };
    for version in 0..3 {
        change(&data, &mut noise, version);
        let id = push_path(&other.open().unwrap(), &data).unwrap().snapshot.unwrap();
        assert_restores(&repo, id, &tree_at(&data));
        assert_whole(&repo);
        let again = push_path(&repo, &data).unwrap();
        assert_eq!(again.new_bytes, 0, "what others pushed is known");
    }
    // Segments that vanish make the index anew, under way or not.
    for (name, _) in objects(&place, "index") {
        std::fs::remove_file(place.repo.join("index").join(name)).unwrap();
    }
    change(&data, &mut noise, 9);
    let id = push_path(&repo, &data).unwrap().snapshot.unwrap();
    assert_restores(&repo, id, &tree_at(&data));
}

/// A repository with two snapshots and an index with tables on disk, and a copy of that index.
struct Indexed {
    folder: tempfile::TempDir,
    place: Place,
    data: PathBuf,
    snapshots: Vec<(SnapshotId, Tree)>,
    index: Tree,
}

impl Indexed {
    fn new() -> Self {
        let folder = rig::quick_folder();
        let place = Place::below(folder.path());
        let data = folder.path().join("data");
        let mut noise = Noise::new(9);
        drop(place.init());
        let mut snapshots = Vec::new();
        for version in 0..3 {
            change(&data, &mut noise, version);
            let id = push_path(&place.open().unwrap(), &data).unwrap().snapshot.unwrap();
            snapshots.push((id, tree_at(&data)));
        }
        let index = tree_at(&place.cache);
        Self { folder, place, data, snapshots, index }
    }

    fn files(&self) -> impl Iterator<Item = (&PathBuf, &Vec<u8>)> {
        self.index.iter().filter_map(|(path, thing)| match thing {
            Thing::File(bytes) => Some((path, bytes)),
            _ => None,
        })
    }

    /// Puts the cache back as it was, all but one file.
    fn with(&self, path: &Path, bytes: Option<&[u8]>) {
        let _ = std::fs::remove_dir_all(&self.place.cache);
        for (file, was) in self.files() {
            let content = if file == path { bytes } else { Some(&was[..]) };
            let full = self.place.cache.join(file);
            std::fs::create_dir_all(full.parent().unwrap()).unwrap();
            content.into_iter().for_each(|content| std::fs::write(&full, content).unwrap());
        }
    }

    /// The first command restores or pushes, by turns; all snapshots come back.
    fn works(&self, what: &str, restore_first: bool) {
        let push = || {
            let repo = self.place.open().unwrap_or_else(|error| panic!("{what}: {error:?}"));
            push_path(&repo, &self.data).unwrap_or_else(|error| panic!("{what}: {error:?}")).snapshot.unwrap()
        };
        let (id, tree) = &self.snapshots[2];
        if restore_first {
            assert_restores(&self.place.open().unwrap(), *id, tree);
        }
        let new = push();
        let repo = self.place.open().unwrap();
        assert_restores(&repo, new, tree);
        self.snapshots.iter().for_each(|(id, tree)| assert_restores(&repo, *id, tree));
        assert!(find(&repo, new).is_some());
    }
}

#[test]
fn an_index_with_damaged_or_missing_files_is_built_again() {
    let indexed = Indexed::new();
    let mut noise = Noise::new(3);
    for (file, bytes) in indexed.files() {
        let name = file.display();
        for restore_first in [true, false] {
            indexed.with(file, None);
            indexed.works(&format!("{name} is missing"), restore_first);
            indexed.with(file, Some(&[]));
            indexed.works(&format!("{name} is empty"), restore_first);
            indexed.with(file, Some(&bytes[..bytes.len() / 2]));
            indexed.works(&format!("{name} is cut in half"), restore_first);
            indexed.with(file, Some(&noise.bytes(bytes.len())));
            indexed.works(&format!("{name} is noise"), restore_first);
        }
    }
    std::fs::remove_dir_all(&indexed.place.cache).unwrap();
    indexed.works("there is no cache", true);
    std::fs::remove_dir_all(&indexed.place.cache).unwrap();
    indexed.works("there is no cache", false);
    assert_whole(&indexed.place.open().unwrap());
    assert!(indexed.folder.path().exists());
}

#[test]
fn an_index_with_changed_bytes_fails_one_command_at_most_and_gives_no_wrong_bytes() {
    let indexed = Indexed::new();
    let mut noise = Noise::new(4);
    let (mut failed, mut cases) = (0, 0);
    for (file, bytes) in indexed.files().filter(|(_, bytes)| !bytes.is_empty()) {
        for part in 0..6 {
            let mut bad = bytes.clone();
            let at = bytes.len() * part / 6;
            let end = bytes.len().min(at + 16);
            bad[at..end].copy_from_slice(&noise.bytes(end - at));
            indexed.with(file, Some(&bad));
            cases += 1;
            let mut failures = 0;
            // Tables are looked at where they are read: the damage may show in any of these, and is gone with the next.
            for command in 0..4 {
                let (id, tree) = &indexed.snapshots[command % 3];
                let repo = indexed.place.open().unwrap();
                let worked = if (command + part) % 2 == 0 {
                    push_path(&repo, &indexed.data).is_ok()
                } else {
                    let stored = find(&repo, *id).unwrap();
                    let (found, report, _) = rig::restored(&repo, &stored);
                    let worked = report.is_ok_and(|report| report.failed == 0);
                    assert!(!worked || found == *tree, "{} changed at {at}: wrong bytes were restored", file.display());
                    worked
                };
                failures += u32::from(!worked);
            }
            assert!(failures <= 1, "{} changed at {at}: {failures} commands failed", file.display());
            failed += failures;
            indexed.works("", part % 2 == 0);
        }
    }
    eprintln!("{cases} changes, {failed} commands had to be run again");
}

#[test]
fn a_cache_that_cannot_be_used_is_told_of() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::below(folder.path());
    let data = folder.path().join("data");
    change(&data, &mut Noise::new(1), 0);
    let repo = place.init();
    std::fs::write(&place.cache, "a file where a folder should be").unwrap();
    let error = push_path(&repo, &data).unwrap_err();
    assert!(store_core::error::chain(&error).contains("--cache-dir"), "{}", store_core::error::chain(&error));
    std::fs::remove_file(&place.cache).unwrap();
    assert!(push_path(&repo, &data).is_ok());
}
