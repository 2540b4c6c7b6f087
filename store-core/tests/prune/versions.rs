//! A repository of some versions of the same data, and what is expected of it.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use crate::disk::Disk;
use crate::rig::{Noise, Tree, assert_restores, assert_whole, find, push_path, tree_at};
use crate::tiny::{Folders, init, open, prune_all, write_copy, write_numbers, write_version};
use store_core::backend::ObjectPath;
use store_core::base::ids::SnapshotId;
use store_core::repo::Repo;

/// A repository with some versions of the same data.
pub(crate) struct Versions {
    pub(crate) folders: Folders,
    pub(crate) disk: Arc<Disk>,
    pub(crate) repo: Repo,
    pub(crate) noise: Noise,
    pub(crate) weights: usize,
    /// Whether the text is there twice, or nearly: one is coded against the other, which comes with it.
    pub(crate) has_copy: bool,
    pub(crate) made: Vec<(SnapshotId, Tree)>,
}

impl Versions {
    pub(crate) fn new(count: u64) -> Self {
        Self::with_weights(count, 0)
    }

    /// The same, with so many numbers besides: a tensor, of which long chains are made whatever the keys are.
    pub(crate) fn with_weights(count: u64, weights: usize) -> Self {
        Self::with(count, weights, false)
    }

    /// The same, with a text that is nearly there already.
    pub(crate) fn with_copy(count: u64) -> Self {
        Self::with(count, 0, true)
    }

    fn with(count: u64, weights: usize, has_copy: bool) -> Self {
        let folders = Folders::new();
        let disk = Disk::new();
        let repo = init(&disk, &folders.cache);
        let mut versions = Self { folders, disk, repo, noise: Noise::new(1), weights, has_copy, made: Vec::new() };
        (0..count).for_each(|_| versions.push());
        versions
    }

    pub(crate) fn change(&mut self) -> Tree {
        write_version(&self.folders.data, &mut self.noise, self.made.len() as u64);
        if self.has_copy {
            write_copy(&self.folders.data);
        }
        if self.weights > 0 {
            write_numbers(&self.folders.data.join("weights.npy"), self.weights, &mut self.noise);
        }
        tree_at(&self.folders.data)
    }

    pub(crate) fn push(&mut self) {
        let tree = self.change();
        let id = push_path(&self.repo, &self.folders.data).unwrap().snapshot.unwrap();
        self.made.push((id, tree));
    }

    pub(crate) fn ids(&self, which: impl IntoIterator<Item = usize>) -> BTreeSet<SnapshotId> {
        which.into_iter().map(|i| self.made[i].0).collect()
    }

    /// All but the forgotten ones are there and whole, by an index that is built anew, too.
    #[track_caller]
    pub(crate) fn assert_kept(&self, forgotten: &BTreeSet<SnapshotId>) {
        for repo in [&self.repo, &open(&self.disk, &self.folders.cache).unwrap()] {
            assert_whole(repo);
            for (id, tree) in &self.made {
                if forgotten.contains(id) {
                    assert!(find(repo, *id).is_none());
                } else {
                    assert_restores(repo, *id, tree);
                }
            }
        }
    }

    /// The same, and again after one more prune, with nobody in between.
    #[track_caller]
    pub(crate) fn assert_kept_by_the_next_prune(&self, forgotten: &BTreeSet<SnapshotId>) {
        self.assert_kept(forgotten);
        prune_all(&self.repo, forgotten).unwrap();
        self.assert_kept(forgotten);
    }

    /// At the `at`th call from here, once, `act` is done by another process. What it gives is there once it was.
    pub(crate) fn interrupt<T: Send + 'static>(&self, at: u64, act: impl Fn(Repo) -> T + Send + Sync + 'static) -> Arc<Mutex<Option<T>>> {
        let (disk, cache) = (Arc::clone(&self.disk), self.folders.cache.join("other"));
        interrupt(&self.disk, at, move || act(open(&disk, &cache).unwrap()))
    }

    pub(crate) fn pack_bytes(&self) -> usize {
        self.disk.objects().iter().filter(|(path, _)| matches!(path, ObjectPath::Pack(_))).map(|(_, bytes)| bytes.len()).sum()
    }
}

/// At the `at`th call from here, once, `act` is done, as by another process. What it gives is there once it was.
pub(crate) fn interrupt<T: Send + 'static>(disk: &Disk, at: u64, act: impl Fn() -> T + Send + Sync + 'static) -> Arc<Mutex<Option<T>>> {
    let first = disk.calls();
    let done = Arc::new(Mutex::new(None));
    let (result, began) = (Arc::clone(&done), AtomicBool::new(false));
    disk.set_hook(move |number, _, _| {
        if number == first + at && !began.swap(true, Ordering::Relaxed) {
            // In a thread of its own, as another process would be: this one may be of a pool, and would take up further work of that while
            // it waits for the pool of the other.
            let came = std::thread::scope(|threads| threads.spawn(&act).join().unwrap());
            *result.lock().unwrap() = Some(came);
        }
        Ok(())
    });
    done
}
