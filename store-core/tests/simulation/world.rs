//! What all processes of a history share, and how one of them sees the disk.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use store_core::backend::{Backend, BackendError, Created, Effort, Folder, Listed, ObjectPath};
use store_core::base::ids::{SessionId, SnapshotId};
use store_core::clock::Clock;
use store_core::monitor::Silent;
use store_core::ops::prune::{self, prune};
use store_core::repo::Repo;

use super::disk::{Disk, Forgets};
use super::rig::{self, Tree};
use super::tiny;

/// Longer than any clock is wrong.
const CENTURY: i64 = 100 * 365 * 24 * 3600;

/// A repository, and what is known to be in it.
pub(crate) struct World {
    disk: Arc<Disk>,
    /// Whether its disk ignores the condition of a creation.
    pub(crate) is_careless: bool,
    folder: tempfile::TempDir,
    next_process: AtomicU64,
    said: Mutex<Said>,
}

/// What was said, and by whom.
#[derive(Default)]
pub(crate) struct Said {
    pub(crate) reported: BTreeMap<SnapshotId, Tree>,
    /// What somebody forgot, or tried to.
    pub(crate) forgotten: BTreeSet<SnapshotId>,
    /// Sessions of those who died.
    pub(crate) dead: BTreeSet<SessionId>,
    counts: BTreeMap<&'static str, u64>,
}

impl Said {
    pub(crate) fn count(&mut self, what: &'static str, times: u64) {
        *self.counts.entry(what).or_default() += times;
    }
}

impl World {
    pub(crate) fn new(is_careless: bool) -> Arc<Self> {
        let folder = rig::quick_folder();
        let first = Disk::new();
        drop(tiny::init(&first, &folder.path().join("first")));
        let disk = Disk::that(Forgets::Nothing, first.objects());
        let world = Arc::new(Self { disk, is_careless, folder, next_process: AtomicU64::new(0), said: Mutex::default() });
        if is_careless {
            let (_, repo) = world.open(Box::new(|| ()), None, Clock::default());
            let found = repo.unwrap().probe_store(Effort { rounds: 1, writers: 4 }).unwrap();
            assert!(!found.is_empty() && found.iter().all(|found| found.starts_with("S1: ")), "{found:?}");
        }
        world
    }

    pub(crate) fn said(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How often what was done.
    pub(crate) fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.said().counts.clone()
    }

    /// The repository, opened by a process of its own that has its own cache and clock, calls `before_call` before each call, and is dead
    /// from its call `dies_at` on; with a folder for what else it has.
    pub(crate) fn open(self: &Arc<Self>, before_call: BeforeCall, dies_at: Option<u64>, clock: Clock) -> (PathBuf, Option<Repo>) {
        let folder = self.folder.path().join(self.next_process.fetch_add(1, Ordering::Relaxed).to_string());
        let world = Arc::clone(self);
        let disk = ProcessDisk { world, before_call, dies_at, calls: AtomicU64::new(0), announced: Mutex::default() };
        let repo = Repo::open_on(Arc::new(disk), &tiny::options(&folder.join("cache")), &rig::secrets());
        (folder, repo.ok().map(|repo| repo.with_index_in_memory().with_clock(clock)))
    }

    /// All is quiet: every snapshot that was reported and not forgotten is there, whole, and so it is after one more prune, which drops what
    /// was forgotten.
    pub(crate) fn assert_kept(self: &Arc<Self>) {
        let (reported, forgotten, ended) = {
            let said = self.said();
            (said.reported.clone(), said.forgotten.clone(), said.dead.clone())
        };
        for is_pruned in [false, true] {
            let (_, repo) = self.open(Box::new(|| ()), None, Clock { ahead: CENTURY });
            let repo = repo.unwrap();
            if is_pruned {
                let options = prune::Options { ended: ended.clone(), late: Duration::ZERO, ..tiny::prune_options(&forgotten) };
                let report = prune(&repo, &options, &Silent).unwrap();
                assert_eq!(report.stopped, None);
                assert!(!self.is_careless || report.sessions_fenced == 0);
                assert!(forgotten.iter().all(|id| rig::find(&repo, *id).is_none()));
            }
            rig::assert_whole(&repo);
            for (id, tree) in reported.iter().filter(|(id, _)| !forgotten.contains(id)) {
                rig::assert_restores(&repo, *id, tree);
            }
        }
    }
}

/// What a process does before each of its calls.
pub(crate) type BeforeCall = Box<dyn Fn() + Send + Sync>;

/// The disk as one process sees it.
struct ProcessDisk {
    world: Arc<World>,
    before_call: BeforeCall,
    dies_at: Option<u64>,
    calls: AtomicU64,
    announced: Mutex<Vec<SessionId>>,
}

impl std::fmt::Debug for ProcessDisk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ProcessDisk")
    }
}

impl ProcessDisk {
    fn call(&self) -> Result<&Disk, BackendError> {
        let number = self.calls.fetch_add(1, Ordering::SeqCst);
        if self.dies_at.is_some_and(|at| number >= at) {
            self.world.said().dead.extend(self.announced.lock().unwrap().drain(..));
            return Err(BackendError { action: "reach", object: "anything".into(), source: io::Error::other("the process is dead") });
        }
        (self.before_call)();
        Ok(&self.world.disk)
    }
}

impl Backend for ProcessDisk {
    fn location(&self) -> String {
        self.world.disk.location()
    }

    fn read(&self, path: &ObjectPath, limit: usize) -> Result<Vec<u8>, BackendError> {
        self.call()?.read(path, limit)
    }

    fn read_range(&self, path: &ObjectPath, offset: u64, len: usize) -> Result<Vec<u8>, BackendError> {
        self.call()?.read_range(path, offset, len)
    }

    fn len(&self, path: &ObjectPath) -> Result<u64, BackendError> {
        self.call()?.len(path)
    }

    fn create(&self, path: &ObjectPath, bytes: &[u8]) -> Result<Created, BackendError> {
        let disk = self.call()?;
        if let ObjectPath::Session(id) = path {
            self.announced.lock().unwrap().push(*id);
        }
        if self.world.is_careless {
            disk.replace(path, bytes);
            return Ok(Created::New);
        }
        disk.create(path, bytes)
    }

    fn store_to_probe(&self) -> Option<String> {
        self.world.is_careless.then(|| "careless".to_owned())
    }

    fn list(&self, folder: Folder) -> Result<Vec<Listed>, BackendError> {
        self.call()?.list(folder)
    }

    fn settle(&self, path: &ObjectPath) -> Result<(), BackendError> {
        self.call()?.settle(path)
    }

    fn delete(&self, path: &ObjectPath) -> Result<(), BackendError> {
        self.call()?.delete(path)
    }
}
