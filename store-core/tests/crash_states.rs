//! The crash after every step of pushes and prunes, and every disk that a power failure may leave then: each is opened again, checked to the last
//! byte, every snapshot in it restored, pruned, and checked again. Nothing that was reported is lost, and nothing that is listed is broken.
//!
//! Of each step four disks are looked at (`disk::Survives`): all survived, only what was synced, and two where chance decides; equal ones once.
//! A usual run looks at 20,000 disks that differ. A million takes some hours: `SNAP_STATES=1000000 cargo test --release -p store-core --test
//! crash_states every`. `SNAP_SEED=n` begins with history `n`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod disk;
mod rig;
#[path = "disk/tiny.rs"]
mod tiny;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use disk::{Disk, Forgets, Moment, Objects, Step, Survives};
use rig::{Noise, Tree, push_path, tree_at};
use store_core::base::ids::SnapshotId;
use store_core::monitor::Silent;
use store_core::ops::restore;
use store_core::repo::Repo;
use tiny::{Folders, init, open, prune_all, write_copy, write_version};

/// What happened until some step of the log.
#[derive(Debug, Clone, Default)]
struct Told {
    step: usize,
    /// Snapshots that were reported.
    reported: BTreeSet<SnapshotId>,
    /// Those that were forgotten before the prune that is under way began.
    forgotten: BTreeSet<SnapshotId>,
}

/// A history of a few pushes and prunes.
struct History {
    before: Objects,
    log: Vec<Step>,
    told: Vec<Told>,
    trees: BTreeMap<SnapshotId, Tree>,
    /// Chunks that its prunes coded anew.
    recoded: u64,
}

impl History {
    fn new(seed: u64, forgets: Forgets) -> Self {
        let folders = Folders::new();
        let first = Disk::new();
        drop(init(&first, &folders.cache));
        let before = first.objects();
        let disk = Disk::that(forgets, before.clone());
        let mut noise = Noise::new(seed + 1);
        let (mut told, mut trees) = (vec![Told::default()], BTreeMap::new());
        let mut live: Vec<SnapshotId> = Vec::new();
        let mut recoded = 0;
        for round in 0..2 {
            let repo = open(&disk, &folders.cache).unwrap();
            for version in 0..2 + noise.below(2) {
                write_version(&folders.data, &mut noise, round * 4 + version);
                write_copy(&folders.data);
                let id = push_path(&repo, &folders.data).unwrap().snapshot.unwrap();
                live.push(id);
                trees.insert(id, tree_at(&folders.data));
                let mut now = told.last().unwrap().clone();
                now.step = disk.steps();
                now.reported.insert(id);
                told.push(now);
            }
            let mut now = told.last().unwrap().clone();
            now.step = disk.steps();
            for _ in 0..1 + noise.below(2) {
                now.forgotten.insert(live.remove(noise.below(live.len() as u64) as usize));
            }
            told.push(now.clone());
            // By another process than the one that pushed.
            recoded += prune_all(&open(&disk, &folders.cache).unwrap(), &now.forgotten).unwrap().recoded_chunks;
            now.step = disk.steps();
            now.reported.retain(|id| !now.forgotten.contains(id));
            told.push(now);
        }
        Self { before, log: disk.log(), told, trees, recoded }
    }

    /// What had happened when `step` steps were done.
    fn told(&self, step: usize) -> &Told {
        self.told.iter().rfind(|told| told.step <= step).unwrap()
    }

    /// Every disk that a failure may leave, each once, with how many steps were done.
    fn states(&self, seed: u64, seen: &mut HashSet<u64>) -> Vec<(usize, Survives, Objects)> {
        let mut moment = Moment::new(self.before.clone());
        let mut states = Vec::new();
        for done in 0..=self.log.len() {
            let chance = seed.wrapping_mul(1_000_003) ^ done as u64;
            for survives in [Survives::Everything, Survives::Nothing, Survives::Some(chance), Survives::Torn(chance + 1)] {
                let objects = moment.after_failure(survives);
                if seen.insert(fingerprint(&objects, self.told(done))) {
                    states.push((done, survives, objects));
                }
            }
            if let Some(step) = self.log.get(done) {
                moment.step(step);
            }
        }
        states
    }
}

/// Tells disks apart, and what is asked of them.
fn fingerprint(objects: &Objects, told: &Told) -> u64 {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    let mut hasher = DefaultHasher::new();
    for (path, bytes) in objects {
        (path, bytes.len(), bytes.first(), bytes.last()).hash(&mut hasher);
    }
    (&told.reported, &told.forgotten).hash(&mut hasher);
    hasher.finish()
}

fn restores(repo: &Repo, id: SnapshotId, tree: &Tree, target: &Path) -> Result<(), String> {
    let stored = rig::find(repo, id).ok_or_else(|| format!("{id} is not there"))?;
    let _ = std::fs::remove_dir_all(target);
    let options = restore::Options { target: target.to_path_buf(), ..restore::Options::default() };
    let report = restore::restore(repo, &stored, &options, &Silent).map_err(|error| format!("{id}: {error:?}"))?;
    if report.failed > 0 || tree_at(target) != *tree {
        return Err(format!("{id} came back otherwise, {} entries failed", report.failed));
    }
    Ok(())
}

fn whole(repo: &Repo) -> Result<(), String> {
    let report = rig::check_all(repo).map_err(|error| format!("check: {error:?}"))?;
    if report.findings.is_empty() { Ok(()) } else { Err(format!("check: {:?}", report.findings)) }
}

/// Looks at one disk. What is wrong is told.
fn look(history: &History, step: usize, objects: &Objects, folder: &Path) -> Result<(), String> {
    let told = history.told(step);
    let disk = Disk::that(Forgets::Nothing, objects.clone());
    let target = folder.join("target");
    let reopened = || open(&disk, &folder.join("cache")).map_err(|error| format!("open: {error:?}"));
    let repo = reopened()?;
    whole(&repo)?;
    let listed: BTreeSet<SnapshotId> = repo.snapshots().map_err(|error| format!("{error:?}"))?.iter().map(|stored| stored.id).collect();
    if let Some(lost) = told.reported.difference(&told.forgotten).find(|id| !listed.contains(id)) {
        return Err(format!("{lost} was reported and is lost"));
    }
    for id in &listed {
        // One that was never reported, since the crash came between, is whole all the same.
        restores(&repo, *id, &history.trees[id], &target)?;
    }
    prune_all(&repo, &told.forgotten).map_err(|error| format!("prune: {error:?}"))?;
    let repo = reopened()?;
    whole(&repo)?;
    for id in &listed {
        match told.forgotten.contains(id) {
            true if rig::find(&repo, *id).is_some() => return Err(format!("{id} is still there")),
            true => {}
            false => restores(&repo, *id, &history.trees[id], &target)?,
        }
    }
    Ok(())
}

/// What came of looking at many disks.
struct Sweep {
    looked: usize,
    histories: u64,
    /// How many chunks the prunes of these histories coded anew.
    recoded: u64,
    failures: Vec<String>,
}

/// Looks at disks of histories from `first` on, until so many were looked at; on two threads.
fn run(first: u64, wanted: usize, forgets: Forgets) -> Sweep {
    let (next, looked, recoded) = (AtomicU64::new(first), AtomicU64::new(0), AtomicU64::new(0));
    let failures = Mutex::new(Vec::new());
    let started = Instant::now();
    std::thread::scope(|threads| {
        for _ in 0..2 {
            threads.spawn(|| {
                let folder = rig::quick_folder();
                while looked.load(Ordering::Relaxed) < wanted as u64 && failures.lock().unwrap().len() < 3 {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    let history = History::new(seed, forgets);
                    recoded.fetch_add(history.recoded, Ordering::Relaxed);
                    // Each history has its own ids: states of two of them are never equal.
                    for (step, survives, objects) in history.states(seed, &mut HashSet::new()) {
                        let count = looked.fetch_add(1, Ordering::Relaxed) + 1;
                        if let Err(why) = look(&history, step, &objects, folder.path()) {
                            let after =
                                step.checked_sub(1).map(|step| format!("{:?}", history.log[step]).chars().take(120).collect::<String>());
                            failures.lock().unwrap().push(format!("SNAP_SEED={seed}, {step} steps, {survives:?}, after {after:?}: {why}"));
                            break;
                        }
                        if count.is_multiple_of(10_000) {
                            eprintln!("{count} states, {:.0} s", started.elapsed().as_secs_f64());
                        }
                        if count >= wanted as u64 {
                            break;
                        }
                    }
                }
            });
        }
    });
    let looked = looked.into_inner() as usize;
    let (histories, recoded) = (next.into_inner() - first, recoded.into_inner());
    eprintln!("{looked} states of {histories} histories, {recoded} chunks coded anew, in {:.0} s", started.elapsed().as_secs_f64());
    Sweep { looked, histories, recoded, failures: failures.into_inner().unwrap() }
}

fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name).map_or(usual, |number| number.parse().unwrap())
}

#[test]
fn every_disk_that_a_crash_leaves_holds_all_that_was_reported() {
    let wanted = number("SNAP_STATES", 20_000) as usize;
    let sweep = run(number("SNAP_SEED", 0), wanted, Forgets::Nothing);
    assert!(sweep.failures.is_empty(), "{:#?}", sweep.failures);
    assert!(sweep.looked >= wanted);
    // Most histories code nothing anew; a sweep of hundreds does so often enough that none at all would be a fault of this test.
    assert!(
        sweep.recoded * 4 >= sweep.histories,
        "too few chains are coded anew: {} chunks in {} histories",
        sweep.recoded,
        sweep.histories
    );
}

#[test]
fn a_driver_that_forgets_to_sync_is_noticed() {
    for forgets in [Forgets::SyncFile, Forgets::SyncFolder] {
        assert!(!run(0, 2_000, forgets).failures.is_empty(), "{forgets:?}");
    }
}
