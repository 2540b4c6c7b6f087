//! Histories by seed: pushes, prunes, restores, checks and forgettings of many writers that interrupt one another at any call of a backend, some
//! of which die there, and some of which sleep so long that they are fenced, pruned away, and wake up all the same.
//!
//! An operation begins another one in the middle of one of its calls, and that one another: the outer ones sleep until the inner ones are done. Any
//! of them may die: from then on all its calls fail, and what it left stays. In the end every snapshot that was reported and not forgotten is
//! there, and whole.
//!
//! The same on a store that ignores the condition of a creation (`spec/BUCKETS.md`, section 5), where nobody is fenced, one prune at a time deletes,
//! and whoever died is named to it.
//!
//! A usual run takes 200 seeds, and half as many of the second kind. `SNAP_SEEDS=10000 cargo test --release -p store-core --test simulation` takes more; `SNAP_SEED=n` begins with
//! seed `n`. A seed says what is done and when; names and salts are random all the same, so that the number of calls may differ a little.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod disk;
mod rig;
#[path = "disk/tiny.rs"]
mod tiny;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use disk::{Disk, Forgets, Objects};
use rig::{Noise, Tree, push_path, tree_at};
use store_core::backend::{Backend, BackendError, Created, Effort, Folder, Listed, ObjectPath};
use store_core::base::ids::{SessionId, SnapshotId};
use store_core::error::ErrorKind;
use store_core::monitor::Silent;
use store_core::ops::prune::{self, prune};
use store_core::ops::restore;
use store_core::repo::Repo;

/// How deep operations interrupt one another.
const DEPTH: usize = 4;

/// What all have in common.
struct World {
    disk: Arc<Disk>,
    /// Whether it ignores the condition of a creation.
    is_careless: bool,
    /// Sessions of those who died.
    dead: Mutex<BTreeSet<SessionId>>,
    folder: tempfile::TempDir,
    noise: Mutex<Noise>,
    /// Operations that may still begin.
    left: AtomicU64,
    next_actor: AtomicU64,
    reported: Mutex<BTreeMap<SnapshotId, Tree>>,
    forgotten: Mutex<BTreeSet<SnapshotId>>,
    counts: Mutex<BTreeMap<&'static str, u64>>,
}

/// The disk as one process sees it.
struct ActorDisk {
    world: Arc<World>,
    depth: usize,
    /// One call in so many begins another operation.
    busy: u64,
    /// At this call it dies.
    dies_at: Option<u64>,
    calls: AtomicU64,
    inside: AtomicBool,
    announced: Mutex<Vec<SessionId>>,
}

impl std::fmt::Debug for ActorDisk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ActorDisk")
    }
}

impl ActorDisk {
    fn call(&self) -> Result<(), BackendError> {
        let number = self.calls.fetch_add(1, Ordering::SeqCst);
        if self.dies_at.is_some_and(|at| number >= at) {
            self.world.dead.lock().unwrap().extend(self.announced.lock().unwrap().drain(..));
            return Err(BackendError { action: "reach", object: "anything".into(), source: io::Error::other("the process is dead") });
        }
        if self.depth < DEPTH && !self.inside.swap(true, Ordering::SeqCst) {
            if self.world.noise.lock().unwrap().below(self.busy) == 0 {
                // In a thread of its own, as another process would be: this one may hold locks and be one of a pool.
                std::thread::scope(|threads| _ = threads.spawn(|| act(&self.world, self.depth + 1)));
            }
            self.inside.store(false, Ordering::SeqCst);
        }
        Ok(())
    }
}

impl Backend for ActorDisk {
    fn location(&self) -> String {
        self.world.disk.location()
    }

    fn read(&self, path: &ObjectPath, limit: usize) -> Result<Vec<u8>, BackendError> {
        self.call()?;
        self.world.disk.read(path, limit)
    }

    fn read_range(&self, path: &ObjectPath, offset: u64, len: usize) -> Result<Vec<u8>, BackendError> {
        self.call()?;
        self.world.disk.read_range(path, offset, len)
    }

    fn len(&self, path: &ObjectPath) -> Result<u64, BackendError> {
        self.call()?;
        self.world.disk.len(path)
    }

    fn create(&self, path: &ObjectPath, bytes: &[u8]) -> Result<Created, BackendError> {
        self.call()?;
        if let ObjectPath::Session(id) = path {
            self.announced.lock().unwrap().push(*id);
        }
        if self.world.is_careless {
            self.world.disk.replace(path, bytes);
            return Ok(Created::New);
        }
        self.world.disk.create(path, bytes)
    }

    fn store_to_probe(&self) -> Option<String> {
        self.world.is_careless.then(|| "careless".to_owned())
    }

    fn list(&self, folder: Folder) -> Result<Vec<Listed>, BackendError> {
        self.call()?;
        self.world.disk.list(folder)
    }

    fn settle(&self, path: &ObjectPath) -> Result<(), BackendError> {
        self.call()?;
        self.world.disk.settle(path)
    }

    fn delete(&self, path: &ObjectPath) -> Result<(), BackendError> {
        self.call()?;
        self.world.disk.delete(path)
    }
}

impl World {
    fn below(&self, end: u64) -> u64 {
        self.noise.lock().unwrap().below(end)
    }

    fn count(&self, what: &'static str) {
        *self.counts.lock().unwrap().entry(what).or_default() += 1;
    }

    /// A process of its own, with its own cache, that sees the disk as `busy` and `dies_at` say.
    fn open(self: &Arc<Self>, depth: usize, busy: u64, dies_at: Option<u64>) -> (PathBuf, Option<Repo>) {
        let folder = self.folder.path().join(self.next_actor.fetch_add(1, Ordering::Relaxed).to_string());
        let (calls, inside) = (AtomicU64::new(0), AtomicBool::new(false));
        let disk = ActorDisk { world: Arc::clone(self), depth, busy, dies_at, calls, inside, announced: Mutex::default() };
        let repo = Repo::open_on(Arc::new(disk), &tiny::options(&folder.join("cache")), &rig::secrets());
        (folder, repo.ok().map(Repo::with_index_in_memory))
    }
}

/// Begins some operation of some process, and lets it come to some end.
fn act(world: &Arc<World>, depth: usize) {
    if world.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_err() {
        return;
    }
    let dies_at = (world.below(5) == 0).then(|| world.below(120));
    let (folder, repo) = world.open(depth, 30, dies_at);
    let Some(repo) = repo else { return };
    match world.below(10) {
        0..=4 => {
            let data = folder.join("data");
            // Several have the same data, or nearly.
            let mut noise = Noise::new(world.below(4) + 1);
            for version in 0..1 + world.below(3) {
                tiny::write_version(&data, &mut noise, version);
            }
            let tree = tree_at(&data);
            match push_path(&repo, &data) {
                Ok(report) => {
                    world.count("pushes");
                    world.reported.lock().unwrap().insert(report.snapshot.unwrap(), tree);
                }
                Err(error) => {
                    world.count("pushes that failed");
                    // Who is alive fails only when it was fenced time and again.
                    assert!(dies_at.is_some() || error.kind() == ErrorKind::Busy, "a push failed: {error:?}");
                }
            }
        }
        5 | 6 => {
            let forgotten = world.forgotten.lock().unwrap().clone();
            // Half of the time everybody is taken for dead, and otherwise waited for, though not for long.
            let patient = world.below(2) == 0;
            let options = prune::Options {
                execute: true,
                max_unused: [0.0, 0.05, 0.5][world.below(3) as usize],
                fence_after: if patient { Duration::from_secs(3600) } else { Duration::ZERO },
                wait: Duration::ZERO,
                ended: world.dead.lock().unwrap().clone(),
                late: Duration::ZERO,
                forgotten,
                ..prune::Options::default()
            };
            match prune(&repo, &options, &Silent) {
                Ok(report) if report.stopped.is_some() => world.count("prunes that stopped"),
                Ok(report) => {
                    world.count("prunes");
                    (0..report.sessions_fenced).for_each(|_| world.count("pushes that were fenced"));
                    (0..report.deleted_packs).for_each(|_| world.count("packs deleted"));
                    (0..report.recoded_chunks).for_each(|_| world.count("chunks coded anew"));
                }
                Err(error) => {
                    world.count("prunes that failed");
                    assert!(dies_at.is_some() || error.kind() == ErrorKind::Busy, "a prune failed: {error:?}");
                }
            }
        }
        7 => {
            let ids: Vec<SnapshotId> = world.reported.lock().unwrap().keys().copied().collect();
            if !ids.is_empty() {
                world.forgotten.lock().unwrap().insert(ids[world.below(ids.len() as u64) as usize]);
            }
        }
        8 => {
            let reported = world.reported.lock().unwrap().clone();
            let Some((id, tree)) = reported.iter().nth(world.below(reported.len().max(1) as u64) as usize) else { return };
            let Some(stored) = repo.snapshots().ok().and_then(|all| all.into_iter().find(|stored| stored.id == *id)) else { return };
            let target = folder.join("target");
            let options = restore::Options { target: target.clone(), ..restore::Options::default() };
            let report = restore::restore(&repo, &stored, &options, &Silent);
            world.count("restores");
            // What is forgotten meanwhile may go.
            if dies_at.is_none() && !world.forgotten.lock().unwrap().contains(id) {
                assert_eq!(report.unwrap().failed, 0, "a restore beside all this");
                assert!(tree_at(&target) == *tree);
            }
        }
        _ => {
            world.count("checks");
            if let Ok(report) = rig::check_all(&repo)
                && dies_at.is_none()
            {
                assert_eq!(report.findings, []);
            }
        }
    }
    let _ = std::fs::remove_dir_all(folder);
}

fn simulate(seed: u64, is_careless: bool, totals: &Mutex<BTreeMap<&'static str, u64>>) {
    let folder = rig::quick_folder();
    let first = Disk::new();
    drop(tiny::init(&first, &folder.path().join("first")));
    let objects: Objects = first.objects();
    let world = Arc::new(World {
        disk: Disk::that(Forgets::Nothing, objects),
        is_careless,
        dead: Mutex::default(),
        folder,
        noise: Mutex::new(Noise::new(seed + 1)),
        left: AtomicU64::new(70),
        next_actor: AtomicU64::new(0),
        reported: Mutex::default(),
        forgotten: Mutex::default(),
        counts: Mutex::default(),
    });
    if is_careless {
        let (_, repo) = world.open(DEPTH, 1, None);
        let found = repo.unwrap().probe_store(Effort { rounds: 1, writers: 4 }).unwrap();
        assert!(!found.is_empty() && found.iter().all(|found| found.starts_with("S1: ")), "{found:?}");
    }
    while world.left.load(Ordering::SeqCst) > 0 {
        act(&world, 0);
    }
    // Quiet: nobody interrupts anybody any more.
    let (reported, forgotten) = (world.reported.lock().unwrap().clone(), world.forgotten.lock().unwrap().clone());
    for round in 0..2 {
        let (_, repo) = world.open(DEPTH, 1, None);
        let repo = repo.unwrap();
        rig::assert_whole(&repo);
        for (id, tree) in reported.iter().filter(|(id, _)| !forgotten.contains(id)) {
            rig::assert_restores(&repo, *id, tree);
        }
        if round == 0 {
            let (ended, late) = (world.dead.lock().unwrap().clone(), Duration::ZERO);
            let report = prune(&repo, &prune::Options { ended, late, ..tiny::prune_options(&forgotten) }, &Silent).unwrap();
            assert_eq!(report.stopped, None);
            assert!(!is_careless || report.sessions_fenced == 0);
            assert!(reported.keys().filter(|id| forgotten.contains(id)).all(|id| rig::find(&repo, *id).is_none()));
        }
    }
    let mut totals = totals.lock().unwrap();
    for (what, count) in &*world.counts.lock().unwrap() {
        *totals.entry(what).or_default() += count;
    }
}

#[test]
fn what_was_reported_survives_all_that_others_do() {
    simulate_all(false, 200);
}

#[test]
fn so_it_does_where_the_store_ignores_the_condition_of_a_creation() {
    simulate_all(true, 100);
}

fn simulate_all(is_careless: bool, usual: u64) {
    let number = |name: &str, usual: u64| std::env::var(name).map_or(usual, |number| number.parse().unwrap());
    let (first, seeds) = (number("SNAP_SEED", 0), number("SNAP_SEEDS", usual));
    let (next, totals) = (AtomicU64::new(first), Mutex::default());
    std::thread::scope(|threads| {
        for _ in 0..2 {
            threads.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + seeds {
                        break;
                    }
                    let failed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| simulate(seed, is_careless, &totals)));
                    if let Err(why) = failed {
                        eprintln!("SNAP_SEED={seed} fails");
                        next.store(first + seeds, Ordering::Relaxed);
                        std::panic::resume_unwind(why);
                    }
                }
            });
        }
    });
    eprintln!("{seeds} seeds: {:?}", totals.into_inner().unwrap());
}
