//! Restores and checks while prunes move what they read, get on, or die.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use crate::disk::Disk;
use crate::rig::{Noise, assert_restores, assert_whole, push_path, tree_at};
use crate::tiny::{Folders, open, prune_all};
use crate::tricky::{Trick, Tricky};
use crate::versions::{Versions, interrupt};
use store_core::backend::{Folder, ObjectPath};
use store_core::base::ids::SnapshotId;
use store_core::format::config::Config;
use store_core::repo::Repo;

/// A restore, and a check, from which a whole prune takes packs at the `at`th call.
fn restore_with_a_prune_at(at: u64) -> bool {
    let versions = Versions::new(5);
    let forgotten = versions.ids([0, 1, 2]);
    let gone = forgotten.clone();
    let pruned = versions.interrupt(at, move |repo| prune_all(&repo, &gone).unwrap());
    let (id, tree) = &versions.made[4];
    assert_restores(&versions.repo, *id, tree);
    assert_whole(&versions.repo);
    versions.disk.clear_hook();
    let pruned = pruned.lock().unwrap();
    assert!(pruned.as_ref().is_none_or(|report| report.repacked_packs > 0), "{pruned:?}");
    pruned.is_some()
}

#[test]
fn a_restore_and_a_check_survive_a_prune_at_each_of_their_calls() {
    let calls = (0..).take_while(|at| restore_with_a_prune_at(*at)).count();
    assert!(calls > 20, "{calls}");
    eprintln!("a prune at each of {calls} calls of a restore and a check");
}

/// Six files in one pack, and a snapshot each of all but the first few of them: of each snapshot that goes, a part of the pack is unused.
struct OnePack {
    folders: Folders,
    disk: Arc<Disk>,
    repo: Repo,
    made: Vec<SnapshotId>,
}

impl OnePack {
    fn new() -> Self {
        let folders = Folders::new();
        let disk = Disk::new();
        let config = Config { pack_len: 100_000, ..crate::tiny::config() };
        let repo = Repo::init_on(Arc::<Disk>::clone(&disk), config, &crate::tiny::options(&folders.cache), &crate::rig::secrets(), "test")
            .unwrap()
            .0;
        let repo = repo.with_index_in_memory();
        std::fs::create_dir_all(&folders.data).unwrap();
        (0..6).for_each(|i| std::fs::write(folders.data.join(i.to_string()), Noise::new(i).bytes(4000)).unwrap());
        let mut made = Vec::new();
        for i in 0..6 {
            made.push(push_path(&repo, &folders.data).unwrap().snapshot.unwrap());
            if i < 5 {
                std::fs::remove_file(folders.data.join(i.to_string())).unwrap();
            }
        }
        Self { folders, disk, repo, made }
    }

    /// The first snapshots.
    fn first(&self, count: usize) -> BTreeSet<SnapshotId> {
        self.made[..count].iter().copied().collect()
    }

    /// The last snapshot comes back by this process.
    #[track_caller]
    fn assert_last(&self, repo: &Repo) {
        assert_restores(repo, self.made[5], &tree_at(&self.folders.data));
    }
}

/// A restore, or a check, by a process that has no index yet. At its `at`th call a prune deletes packs, and dies before it deletes the index
/// segments that name them. `announced`: its records are there before, and no more come.
fn reading_with_a_dying_prune_at(at: u64, announced: bool, reads: impl Fn(&OnePack, &Repo)) -> bool {
    let pack = OnePack::new();
    let (disk, gone, cache) = (Arc::clone(&pack.disk), pack.first(3), pack.folders.cache.join("dying"));
    let die = move |trick| {
        let disk = Tricky::new(&disk, trick);
        let repo = Repo::open_on(Arc::<Tricky>::clone(&disk), &crate::tiny::options(&cache), &crate::rig::secrets())
            .unwrap()
            .with_index_in_memory();
        prune_all(&repo, &gone).unwrap_err();
        disk.happened()
    };
    assert!(!announced || die(Trick::PackStays));
    let repo = open(&pack.disk, &pack.folders.cache).unwrap();
    let died = interrupt(&pack.disk, at, move || die(Trick::SegmentStays));
    reads(&pack, &repo);
    pack.disk.clear_hook();
    let died = *died.lock().unwrap();
    assert_ne!(died, Some(false));
    died.is_some()
}

#[test]
fn who_reads_survives_a_prune_that_dies_at_each_of_its_calls() {
    for announced in [false, true] {
        let restores = (0..).take_while(|at| reading_with_a_dying_prune_at(*at, announced, OnePack::assert_last)).count();
        let checks = (0..).take_while(|at| reading_with_a_dying_prune_at(*at, announced, |_, repo| assert_whole(repo))).count();
        assert!(restores > 10 && checks > 10, "{restores} {checks}");
        eprintln!("a prune that dies at each of {restores} calls of a restore, and of {checks} of a check");
    }
}

/// Whenever a restore has looked which packs there are, and is about to read one, another prune moves all that it needs.
#[test]
fn a_restore_follows_what_prune_after_prune_moves() {
    let pack = OnePack::new();
    let reports = Arc::new(Mutex::new(Vec::new()));
    let (pruned, disk, cache) = (Arc::clone(&reports), Arc::clone(&pack.disk), pack.folders.cache.join("other"));
    let gone: Vec<BTreeSet<SnapshotId>> = (1..6).map(|count| pack.first(count)).collect();
    let mut has_listed = true;
    pack.disk.set_hook(move |_, action, path| {
        has_listed |= action == Folder::Packs.name();
        let mut done = pruned.lock().unwrap();
        if matches!(path, Some(ObjectPath::Pack(_))) && done.len() < gone.len() && std::mem::take(&mut has_listed) {
            let prune = || prune_all(&open(&disk, &cache).unwrap(), &gone[done.len()]).unwrap();
            let report = std::thread::scope(|threads| threads.spawn(prune).join().unwrap());
            done.push(report);
        }
        Ok(())
    });
    pack.assert_last(&pack.repo);
    pack.disk.clear_hook();
    let reports = reports.lock().unwrap();
    assert!(reports.len() == 5 && reports.iter().all(|report| report.repacked_packs > 0), "{reports:?}");
}
