//! Every call of a driver fails, once and for ever, in each of nine ways, under each verb: what a verb reports is so, what was reported before
//! is still there and whole, and the verb works when it is called again.
//!
//! A usual run takes every seventh call. All of them: `SNAP_FAULTS=all cargo test --release -p store-core --test faults every`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "disk/damaged.rs"]
mod damaged;
mod disk;
#[path = "disk/faulty.rs"]
mod faulty;
mod rig;
#[path = "disk/tiny.rs"]
mod tiny;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use damaged::{Harm, Whole, findings, write_tree};
use disk::{Disk, Forgets, Objects};
use faulty::{Fault, Faulty};
use rig::{Tree, push_path, tree_at};
use store_core::backend::{Backend, ObjectPath};
use store_core::base::ids::SnapshotId;
use store_core::crypto::Secret;
use store_core::error::{Error, ErrorKind};
use store_core::monitor::Silent;
use store_core::ops::repair::{self, PacksOptions, SnapshotFate, SnapshotsOptions};
use store_core::ops::{check, forget, key, restore, tag};
use store_core::repo::{Repo, Secrets};
use tiny::{Folders, open, options, prune_all};

/// What is done while calls fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verb {
    Push,
    Restore,
    Check,
    Tag,
    Forget,
    Prune,
    RepairIndex,
    RepairPacks,
    RepairSnapshots,
    KeyAdd,
    KeyRemove,
    KeyPasswd,
}

const VERBS: [Verb; 12] = [
    Verb::Push,
    Verb::Restore,
    Verb::Check,
    Verb::Tag,
    Verb::Forget,
    Verb::Prune,
    Verb::RepairIndex,
    Verb::RepairPacks,
    Verb::RepairSnapshots,
    Verb::KeyAdd,
    Verb::KeyRemove,
    Verb::KeyPasswd,
];

fn secrets(of: u8) -> Secrets {
    Secrets { passphrase: None, key_file: Some(Secret::take(&mut [of; 32])) }
}

/// Where a verb starts from.
struct Start {
    verb: Verb,
    objects: Objects,
    whole: Whole,
    /// What a push pushes.
    next: Tree,
    /// Versions that are broken, and can be repaired.
    broken: BTreeSet<SnapshotId>,
}

impl Start {
    fn new(verb: Verb, seed: u64) -> Self {
        let whole = Whole::new(seed, 4);
        let folders = Folders::new();
        let disk = whole.spoilt(&[]);
        let repo = open(&disk, &folders.cache).unwrap();
        if matches!(verb, Verb::KeyRemove) {
            key::add(&repo, &secrets(8), "other").unwrap();
        }
        write_tree(&folders.data, &whole.made[1].1);
        std::fs::write(folders.data.join("text"), "another text\n".repeat(100)).unwrap();
        let next = tree_at(&folders.data);
        let mut objects = disk.objects();
        let mut broken = BTreeSet::new();
        match verb {
            Verb::RepairIndex => {
                let segment = whole.segments()[1];
                Harm::Flip(150).to(&mut objects, &segment);
            }
            Verb::RepairPacks | Verb::RepairSnapshots => {
                // One that breaks files and leaves the trees alone.
                let harmed = whole.packs().into_iter().find_map(|pack| {
                    let disk = whole.spoilt(&[(pack, Harm::Flip(150))]);
                    let repo = open(&disk, &folders.cache.join(pack.to_string())).unwrap();
                    let report =
                        repair::snapshots(&repo, &SnapshotsOptions { read_data: true, ..SnapshotsOptions::default() }, &Silent).unwrap();
                    let all_replaced = report.broken.iter().all(|line| line.fate == SnapshotFate::Replaced);
                    (all_replaced && !report.broken.is_empty()).then(|| (pack, report.broken.iter().map(|line| line.id).collect()))
                });
                let (pack, ids) = harmed.unwrap();
                Harm::Flip(150).to(&mut objects, &pack);
                broken = ids;
            }
            _ => {}
        }
        Self { verb, objects, whole, next, broken }
    }

    fn forgotten(&self) -> BTreeSet<SnapshotId> {
        self.whole.made[..2].iter().map(|(id, _)| *id).collect()
    }

    /// Does it. What it reports as done is what is returned; `Ok(None)` is a report that not all was done.
    fn run(&self, backend: Arc<dyn Backend>, folder: &Path) -> Result<Option<Done>, Error> {
        let cache = folder.join("cache");
        let repo = Repo::open_on(backend, &options(&cache), &rig::secrets())?.with_index_in_memory();
        Ok(match self.verb {
            Verb::Push => {
                let data = folder.join("data");
                if !data.exists() {
                    write_tree(&data, &self.next);
                }
                let report = push_path(&repo, &data)?;
                (report.unreadable == 0).then_some(Done::Pushed(report.snapshot.unwrap()))
            }
            Verb::Restore => {
                let (id, tree) = &self.whole.made[3];
                let target = folder.join("target");
                let _ = std::fs::remove_dir_all(&target);
                let stored = repo.snapshots()?.into_iter().find(|stored| stored.id == *id);
                let stored = stored.ok_or_else(|| Error::new(ErrorKind::Failed, "it is not listed"))?;
                let options = restore::Options { target: target.clone(), ..restore::Options::default() };
                let report = restore::restore(&repo, &stored, &options, &Silent)?;
                if report.failed == 0 {
                    assert!(tree_at(&target) == *tree, "a restore that went well restored something else");
                }
                (report.failed == 0).then_some(Done::Nothing)
            }
            Verb::Check => {
                let report = check::check(&repo, &check::Options { read: check::Read::All }, &Silent)?;
                report.findings.is_empty().then_some(Done::Nothing)
            }
            Verb::Tag => {
                let options = tag::Options { add: vec!["new".into()], ..tag::Options::default() };
                tag::tag(&repo, &[self.whole.made[0].0], &options)?;
                Some(Done::Tagged)
            }
            Verb::Forget => {
                let plan = forget::named(&repo, &[self.whole.made[0].0], None);
                match plan {
                    // It was forgotten by the run before, though that did not know; or it is not listed, since it could not be read.
                    Err(error) if error.kind() == ErrorKind::Usage => return Ok(None),
                    plan => forget::carry_out(&repo, &plan?)?,
                }
                Some(Done::Forgotten)
            }
            Verb::Prune => {
                prune_all(&repo, &self.forgotten())?;
                Some(Done::Pruned)
            }
            Verb::RepairIndex => {
                let report = repair::index(&repo, false, &Silent)?;
                let _ = repair::sketches(&repo, &Silent)?;
                (report.unreadable_packs == 0).then_some(Done::Nothing)
            }
            Verb::RepairPacks => {
                let report = repair::packs(&repo, &PacksOptions { read_data: true, execute: true, ..PacksOptions::default() }, &Silent)?;
                (report.removed > 0).then_some(Done::PacksRepaired)
            }
            Verb::RepairSnapshots => {
                let options = SnapshotsOptions { read_data: true, execute: true, ..SnapshotsOptions::default() };
                let report = repair::snapshots(&repo, &options, &Silent)?;
                let done = report.broken.iter().all(|line| line.fate == SnapshotFate::Replaced && line.repaired.is_some());
                done.then_some(Done::SnapshotsRepaired)
            }
            Verb::KeyAdd => {
                key::add(&repo, &secrets(8), "other")?;
                Some(Done::KeyAdded)
            }
            Verb::KeyRemove => {
                match repo.slot_of(&secrets(8))? {
                    Some(slot) => key::remove(&repo, slot, &rig::secrets())?,
                    None => return Ok(None),
                }
                Some(Done::KeyRemoved)
            }
            Verb::KeyPasswd => {
                key::passwd(&repo, &rig::secrets(), &secrets(8), "new")?;
                Some(Done::KeyReplaced)
            }
        })
    }

    /// Looks at what is there afterwards, by a host that knows nothing.
    fn look(&self, disk: &Arc<Disk>, done: Option<&Done>, folder: &Path) {
        let _ = std::fs::remove_dir_all(folder.join("fresh"));
        let open_with = |secrets: &Secrets| {
            let disk = Arc::<Disk>::clone(disk);
            Repo::open_on(disk, &options(&folder.join("fresh")), secrets).map(Repo::with_index_in_memory)
        };
        let (old, new) = (open_with(&rig::secrets()), open_with(&secrets(8)));
        let is_key_change = matches!(self.verb, Verb::KeyAdd | Verb::KeyRemove | Verb::KeyPasswd);
        match done {
            Some(Done::KeyAdded) => assert!(old.is_ok() && new.is_ok()),
            Some(Done::KeyRemoved) => assert!(old.is_ok() && new.is_err()),
            Some(Done::KeyReplaced) => assert!(old.is_err() && new.is_ok()),
            _ => assert!(old.is_ok() || (self.verb == Verb::KeyPasswd && new.is_ok())),
        }
        let repo = old.or(new).unwrap();
        let is_damaged = matches!(self.verb, Verb::RepairIndex | Verb::RepairPacks | Verb::RepairSnapshots);
        let findings = findings(&repo);
        assert!(is_damaged || findings.is_empty(), "{findings:?}");
        if self.verb == Verb::RepairIndex {
            repair::index(&repo, false, &Silent).unwrap();
        }
        let snapshots = repo.snapshots().unwrap();
        for (id, tree) in &self.whole.made {
            let there = snapshots.iter().find(|stored| stored.id == *id);
            let may_be_gone = match self.verb {
                Verb::Prune => self.forgotten().contains(id),
                Verb::Forget => *id == self.whole.made[0].0,
                // What was repaired is in the trash, and can be brought back.
                Verb::RepairSnapshots => {
                    if there.is_none() {
                        let back = forget::undo(&repo, &[*id], false).unwrap();
                        assert_eq!(back.gone, []);
                    }
                    continue;
                }
                _ => false,
            };
            assert!(there.is_some() || may_be_gone, "{id} is lost");
            if let Some(stored) = there.filter(|_| !self.broken.contains(id)) {
                assert_eq!(damaged::restorable(&repo, stored, tree).len(), tree.len());
            }
        }
        if !is_key_change && let Some(Done::Pushed(id)) = done {
            rig::assert_restores(&repo, *id, &self.next);
        }
        match done {
            Some(Done::Forgotten) => assert!(rig::find(&repo, self.whole.made[0].0).is_none()),
            Some(Done::Pruned) => self.forgotten().iter().for_each(|id| assert!(rig::find(&repo, *id).is_none())),
            Some(Done::Tagged) => {
                assert!(rig::find(&repo, self.whole.made[0].0).unwrap().snapshot.tags.contains("new"));
            }
            _ => {}
        }
        if is_damaged {
            // Nothing that could be read is lost: the same data make all whole.
            self.whole.push_again(&repo);
            let findings = damaged::findings(&repo);
            assert!(findings.is_empty(), "{findings:?}");
            for (id, tree) in &self.whole.made {
                rig::assert_restores(&repo, *id, tree);
            }
        }
    }

    /// One run in which the `at`th call fails. `None` when there is no such call.
    fn with(&self, fault: Fault, at: u64, once: bool, folder: &Path) -> Option<bool> {
        let disk = Disk::that(Forgets::Nothing, self.objects.clone());
        let backend = Faulty::new(&disk, fault, at, once);
        for left in ["cache", "data", "target"] {
            let _ = std::fs::remove_dir_all(folder.join(left));
        }
        let result = self.run(Arc::<Faulty>::clone(&backend), folder);
        if backend.hits() == 0 {
            return None;
        }
        let done = result.as_ref().ok().and_then(Option::as_ref);
        // A check that could not read everything from some call on must not say that all is well.
        let reads = matches!(fault, Fault::Io | Fault::Permission | Fault::Truncated | Fault::Corrupt | Fault::Interrupted);
        assert!(done.is_none() || once || !reads || self.verb != Verb::Check, "nothing could be read, and nothing is said");
        self.look(&disk, done, folder);
        // Once more, on the disk as it was left, with nothing failing.
        if self.verb != Verb::KeyPasswd && !matches!(self.verb, Verb::RepairIndex | Verb::RepairPacks | Verb::RepairSnapshots) {
            let again = self.run(Arc::<Disk>::clone(&disk), folder).unwrap_or_else(|error| panic!("it does not work again: {error:?}"));
            self.look(&disk, again.as_ref(), folder);
        }
        Some(done.is_some())
    }
}

/// What a verb reported.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Done {
    Nothing,
    Pushed(SnapshotId),
    Tagged,
    Forgotten,
    Pruned,
    PacksRepaired,
    SnapshotsRepaired,
    KeyAdded,
    KeyRemoved,
    KeyReplaced,
}

#[test]
fn every_call_that_fails_is_survived() {
    let step = if std::env::var("SNAP_FAULTS").is_ok_and(|all| all == "all") { 1 } else { 7 };
    // Of three repositories, when all calls are taken.
    let seeds = if step == 1 { 11..14 } else { 11..12 };
    let ways =
        || VERBS.into_iter().flat_map(|verb| Fault::ALL.into_iter().flat_map(move |fault| [(verb, fault, true), (verb, fault, false)]));
    let jobs: Vec<(u64, (Verb, Fault, bool))> = seeds.flat_map(|seed| ways().map(move |way| (seed, way))).collect();
    let (next, tried, told) = (AtomicUsize::new(0), AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|threads| {
        for _ in 0..2 {
            threads.spawn(|| {
                let folder = rig::quick_folder();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some((seed, (verb, fault, once))) = jobs.get(number).copied() else { break };
                    let start = Start::new(verb, seed);
                    let mut at = if step == 1 { 0 } else { number as u64 % step };
                    loop {
                        let what = format!("seed {seed}, {verb:?}, {fault:?} at call {at}, {}", if once { "once" } else { "for ever" });
                        let tries = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| start.with(fault, at, once, folder.path())));
                        let Ok(hit) = tries else { panic!("{what}") };
                        let Some(is_done) = hit else { break };
                        tried.fetch_add(1, Ordering::Relaxed);
                        told.fetch_add(u64::from(!is_done), Ordering::Relaxed);
                        at += step;
                    }
                }
            });
        }
    });
    let (tried, told) = (tried.into_inner(), told.into_inner());
    eprintln!("{tried} faults, of {told} the verb told, the others did no harm");
    assert!(tried > if step == 1 { 10_000 } else { 500 }, "{tried}");
}

#[test]
fn packs_whose_bytes_never_come_right_are_not_given_up_by_a_reader_that_fails() {
    let start = Start::new(Verb::RepairPacks, 11);
    let folder = rig::quick_folder();
    for fault in [Fault::Corrupt, Fault::Truncated, Fault::Io] {
        for at in 0..400 {
            let disk = Disk::that(Forgets::Nothing, start.objects.clone());
            let backend = Faulty::new(&disk, fault, at, false);
            let _ = std::fs::remove_dir_all(folder.path().join("cache"));
            let result = start.run(Arc::<Faulty>::clone(&backend), folder.path());
            if backend.hits() == 0 {
                break;
            }
            let packs =
                |objects: &Objects| objects.keys().filter(|path| matches!(path, ObjectPath::Pack(_))).copied().collect::<BTreeSet<_>>();
            let gone = packs(&start.objects).difference(&packs(&disk.objects())).count();
            assert!(gone <= 1, "{fault:?} from call {at}: {gone} packs are gone, {result:?}");
        }
    }
}
