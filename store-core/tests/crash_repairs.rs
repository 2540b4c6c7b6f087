//! The crash after every step of repairs and of key changes, and every disk that a power failure may leave then, as in `crash_states.rs`: each is
//! opened by a host that knows nothing, what could be read before the repair can be read, the repair goes on, and pushing the same data again
//! makes all whole; of key changes, each key that was reported opens, and none that was reported as removed.
//!
//! A usual run looks at 1,200 disks that differ; more of them: `SNAP_STATES=100000 cargo test --release -p store-core --test crash_repairs`.
//! `SNAP_SEED=n` begins with history `n`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "disk/damaged.rs"]
mod damaged;
mod disk;
mod rig;
#[path = "disk/tiny.rs"]
mod tiny;

use std::collections::{BTreeSet, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use damaged::{Harm, Restorable, Whole, findings, restorable};
use disk::{Disk, Forgets, Moment, Objects, Step, Survives};
use rig::Noise;
use store_core::base::ids::SnapshotId;
use store_core::crypto::Secret;
use store_core::error::Error;
use store_core::format::lost::REPAIRS;
use store_core::monitor::Silent;
use store_core::ops::copy::{self, copy};
use store_core::ops::list::{Filter, list};
use store_core::ops::repair::{self, PacksOptions, SnapshotFate, SnapshotsOptions};
use store_core::ops::{forget, key};
use store_core::repo::{Repo, Secrets};
use tiny::{open, options, prune_all};

/// What is cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Index,
    Packs,
    /// Of packs, with a second repository that has a copy of everything.
    Healed,
    Snapshots,
    Keys,
}

const KINDS: [Kind; 5] = [Kind::Packs, Kind::Healed, Kind::Snapshots, Kind::Index, Kind::Keys];

/// Which keys open, and which do not, from a step of the log on.
#[derive(Debug, Clone, Default)]
struct Keys {
    step: usize,
    open: BTreeSet<u8>,
    shut: BTreeSet<u8>,
}

struct History {
    kind: Kind,
    whole: Whole,
    before: Objects,
    readable: Restorable,
    log: Vec<Step>,
    keys: Vec<Keys>,
    second: Option<Repo>,
}

fn secrets(of: u8) -> Secrets {
    Secrets { passphrase: None, key_file: Some(Secret::take(&mut [of; 32])) }
}

fn repair_packs(repo: &Repo, second: Option<&Repo>) -> Result<repair::PacksReport, Error> {
    repair::packs_with(repo, second, &PacksOptions { read_data: true, execute: true, ..PacksOptions::default() }, &Silent)
}

fn repair_snapshots(repo: &Repo) -> Result<repair::SnapshotsReport, Error> {
    repair::snapshots(repo, &SnapshotsOptions { read_data: true, execute: true, ..SnapshotsOptions::default() }, &Silent)
}

impl History {
    fn new(kind: Kind, seed: u64) -> Self {
        let whole = Whole::new(seed + 1, 3);
        let mut noise = Noise::new(seed.wrapping_mul(31) + 7);
        let folder = rig::quick_folder();
        let damaged = match kind {
            Kind::Keys => whole.spoilt(&[]),
            Kind::Index => {
                let segments = whole.segments();
                whole.spoilt(&[(segments[noise.below(segments.len() as u64) as usize], Harm::Flip(noise.below(120) as i64))])
            }
            Kind::Packs | Kind::Healed | Kind::Snapshots => {
                let packs = whole.packs();
                let mut harm = || {
                    let pack = packs[noise.below(packs.len() as u64) as usize];
                    let at = noise.below(whole.objects[&pack].len() as u64) as i64;
                    (pack, if noise.below(4) == 0 { Harm::Cut(at) } else { Harm::Flip(at) })
                };
                let (first, second) = (harm(), harm());
                if first.0 == second.0 { whole.spoilt(&[first]) } else { whole.spoilt(&[first, second]) }
            }
        };
        let before = damaged.objects();
        let readable = whole.restorable(&open(&damaged, &folder.path().join("before")).unwrap());
        let disk = Disk::that(Forgets::Nothing, before.clone());
        let repo = open(&disk, &folder.path().join("cache")).unwrap();
        let second = (kind == Kind::Healed).then(|| {
            let second = tiny::init(&Disk::new(), &folder.path().join("second"));
            let sound = open(&whole.spoilt(&[]), &folder.path().join("sound")).unwrap();
            let items = list(&sound, &Filter::default()).unwrap();
            copy(&sound, &second, &items, &copy::Options::default(), &Silent, &mut |_, _| Ok(())).unwrap();
            second
        });
        let mut keys = vec![Keys { step: 0, open: [7].into(), shut: BTreeSet::new() }];
        match kind {
            Kind::Index => {
                let _ = repair::index(&repo, false, &Silent).unwrap();
                let _ = repair::sketches(&repo, &Silent).unwrap();
            }
            Kind::Packs | Kind::Healed => _ = repair_packs(&repo, second.as_ref()).unwrap(),
            Kind::Snapshots => _ = repair_snapshots(&repo).unwrap(),
            Kind::Keys => {
                let mut now = |open: &[u8], shut: &[u8], disk: &Disk| {
                    keys.push(Keys { step: disk.steps(), open: open.iter().copied().collect(), shut: shut.iter().copied().collect() });
                };
                let added = key::add(&repo, &secrets(8), "added").unwrap();
                now(&[7, 8], &[], &disk);
                // While the old one goes the other stays.
                now(&[8], &[], &disk);
                key::passwd(&repo, &secrets(7), &secrets(9), "new").unwrap();
                now(&[8, 9], &[7], &disk);
                now(&[9], &[7], &disk);
                key::remove(&repo, added, &secrets(9)).unwrap();
                now(&[9], &[7, 8], &disk);
            }
        }
        Self { kind, whole, before, readable, log: disk.log(), keys, second }
    }

    /// Every disk that a failure may leave, each once, with how many steps were done.
    fn states(&self, seed: u64) -> Vec<(usize, Survives, Objects)> {
        let (mut moment, mut seen, mut states) = (Moment::new(self.before.clone()), HashSet::new(), Vec::new());
        for done in 0..=self.log.len() {
            let chance = seed.wrapping_mul(1_000_003) ^ done as u64;
            for survives in [Survives::Everything, Survives::Nothing, Survives::Some(chance), Survives::Torn(chance + 1)] {
                let objects = moment.after_failure(survives);
                let names: Vec<_> = objects.iter().map(|(path, bytes)| (*path, bytes.len(), bytes.last().copied())).collect();
                if seen.insert((names, self.keys_at(done).open.clone())) {
                    states.push((done, survives, objects));
                }
            }
            if let Some(step) = self.log.get(done) {
                moment.step(step);
            }
        }
        states
    }

    fn keys_at(&self, step: usize) -> &Keys {
        self.keys.iter().rfind(|keys| keys.step <= step).unwrap()
    }

    /// Looks at one disk. What is wrong is told.
    fn look(&self, step: usize, objects: &Objects, folder: &Path) -> Result<(), String> {
        let disk = Disk::that(Forgets::Nothing, objects.clone());
        let told = |error: Error| format!("{error:?}");
        let cache = folder.join("cache");
        let _ = std::fs::remove_dir_all(&cache);
        if self.kind == Kind::Keys {
            return self.look_at_keys(step, &disk, &cache);
        }
        let reopened = || open(&disk, &cache).map_err(told);
        let repo = reopened()?;
        match self.kind {
            Kind::Keys => {}
            Kind::Index => {
                self.nothing_lost(&repo)?;
                repair::index(&repo, false, &Silent).map_err(told)?;
                repair::sketches(&repo, &Silent).map_err(told)?;
                self.nothing_lost(&reopened()?)?;
            }
            Kind::Packs => {
                self.nothing_lost(&repo)?;
                repair_packs(&repo, None).map_err(told)?;
                self.nothing_lost(&reopened()?)?;
            }
            Kind::Healed => {
                self.nothing_lost(&repo)?;
                let report = repair_packs(&repo, self.second.as_ref()).map_err(told)?;
                if !report.findings.is_empty() {
                    return Err(format!("the second repository has all, and there is left: {:?}", report.findings));
                }
                self.all_whole(&reopened()?)?;
            }
            Kind::Snapshots => {
                self.each_once(&repo, false)?;
                let report = repair_snapshots(&repo).map_err(told)?;
                let repo = reopened()?;
                self.each_once(&repo, report.broken.iter().all(|line| line.fate == SnapshotFate::Replaced))?;
                let forgotten: Vec<SnapshotId> = repo.standing().map_err(told)?.forgotten.iter().map(|stored| stored.id).collect();
                if !forgotten.is_empty() {
                    forget::undo(&repo, &forgotten, false).map_err(told)?;
                }
            }
        }
        let repo = reopened()?;
        self.whole.push_again(&repo);
        let repo = reopened()?;
        let found = findings(&repo);
        if !found.is_empty() {
            return Err(format!("check: {found:?}"));
        }
        self.all_whole(&repo)?;
        prune_all(&repo, &BTreeSet::new()).map_err(told)?;
        self.all_whole(&reopened()?)
    }

    fn nothing_lost(&self, repo: &Repo) -> Result<(), String> {
        let now = self.whole.restorable(repo);
        for (id, readable) in &self.readable {
            if let Some(path) = readable.difference(&now[id]).next() {
                return Err(format!("{} of {id} could be read before", path.display()));
            }
        }
        Ok(())
    }

    fn all_whole(&self, repo: &Repo) -> Result<(), String> {
        for (id, tree) in &self.whole.made {
            let stored = rig::find(repo, *id).ok_or_else(|| format!("{id} is not there"))?;
            if restorable(repo, &stored, tree).len() != tree.len() {
                return Err(format!("{id} is not whole"));
            }
        }
        Ok(())
    }

    /// Each version is there, itself or what is left of it, with all that could be read; `exactly` one of both.
    fn each_once(&self, repo: &Repo, exactly: bool) -> Result<(), String> {
        let snapshots = repo.snapshots().map_err(|error| format!("{error:?}"))?;
        for (id, tree) in &self.whole.made {
            let stands_for = |extra: Option<&Vec<u8>>| extra.is_some_and(|of| of[..] == id.as_bytes()[..]);
            let found: Vec<_> =
                snapshots.iter().filter(|stored| stored.id == *id || stands_for(stored.snapshot.extra.get(REPAIRS))).collect();
            if found.is_empty() || (exactly && found.len() > 1) || found.len() > 2 {
                return Err(format!("{} snapshots stand for {id}", found.len()));
            }
            for stored in found {
                let now = restorable(repo, stored, tree);
                if let Some(path) = self.readable[id].difference(&now).next() {
                    return Err(format!("{} of {id} could be read before, and not from {}", path.display(), stored.id));
                }
            }
        }
        Ok(())
    }

    fn look_at_keys(&self, step: usize, disk: &Arc<Disk>, cache: &Path) -> Result<(), String> {
        let keys = self.keys_at(step);
        let open_with = |of: u8| Repo::open_on(Arc::<Disk>::clone(disk), &options(cache), &secrets(of)).map(Repo::with_index_in_memory);
        let mut opened = None;
        for of in 7..=9 {
            match (open_with(of), keys.open.contains(&of), keys.shut.contains(&of)) {
                (Err(error), true, _) => return Err(format!("key {of} does not open: {error:?}")),
                (Ok(_), _, true) => return Err(format!("key {of} was removed and opens")),
                (Ok(repo), ..) => opened = Some(repo),
                (Err(_), ..) => {}
            }
        }
        let repo = opened.ok_or("no key opens")?;
        let found = findings(&repo);
        if found.is_empty() { self.all_whole(&repo) } else { Err(format!("check: {found:?}")) }
    }
}

#[test]
fn every_disk_that_a_crash_of_a_repair_leaves_holds_all_that_could_be_read() {
    let number = |name: &str, usual: u64| std::env::var(name).map_or(usual, |number| number.parse().unwrap());
    let (wanted, first) = (number("SNAP_STATES", 1200), number("SNAP_SEED", 0));
    let (next, looked, started) = (AtomicU64::new(first * KINDS.len() as u64), AtomicU64::new(0), Instant::now());
    std::thread::scope(|threads| {
        for _ in 0..2 {
            threads.spawn(|| {
                let folder = rig::quick_folder();
                while looked.load(Ordering::Relaxed) < wanted {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let (kinds, seed) = (KINDS.len() as u64, number / KINDS.len() as u64);
                    let kind = KINDS[(number % kinds) as usize];
                    let history = History::new(kind, seed);
                    for (step, survives, objects) in history.states(seed) {
                        looked.fetch_add(1, Ordering::Relaxed);
                        if let Err(why) = history.look(step, &objects, folder.path()) {
                            let after =
                                step.checked_sub(1).map(|step| format!("{:?}", history.log[step]).chars().take(120).collect::<String>());
                            panic!("SNAP_SEED={seed}, {kind:?}, {step} steps, {survives:?}, after {after:?}: {why}");
                        }
                    }
                }
            });
        }
    });
    let (looked, histories) = (looked.into_inner(), next.into_inner() - first * KINDS.len() as u64);
    eprintln!("{looked} disks of {histories} histories in {:.0} s", started.elapsed().as_secs_f64());
    assert!(looked >= wanted);
}
