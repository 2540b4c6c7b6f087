//! `check`: is every snapshot whole? Damage is a finding that names the object, the byte range and the files that it hits; it ends nothing.
//! Damage that hits nothing, since all that snapshots need of it is intact elsewhere, is a note.
//!
//! Records first (`records`), then index segments and packs (`packs`, `pack`); `spread` carries damage on to what is coded against it, and
//! `walk` finds the files that it hits. What packs have lost is remembered on this host, so that the next push stores it again.

mod defects;
mod pack;
mod packs;
mod records;
mod select;
mod spread;
mod walk;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::Range;

pub(crate) use packs::{ListedPack, ListedPacks};
pub use select::Read;
pub(crate) use walk::Seen;

use defects::Defects;
use spread::Damage;

use crate::backend::ObjectPath;
use crate::base::ids::{ChunkId, PackId, SnapshotId};
use crate::error::{Error, ErrorKind, chain};
use crate::format::snapshot::Outcome;
use crate::monitor::{Monitor, Warning};
use crate::repo::Repo;

/// What to check.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Options {
    /// How much of the packs is read.
    pub read: Read,
}

/// A file of a snapshot that a defect hits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hit {
    /// Which snapshot.
    pub snapshot: SnapshotId,
    /// Which file or directory.
    pub path: String,
}

/// One observed defect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Which object.
    pub object: String,
    /// Which of its bytes, as far as is known.
    pub range: Option<Range<u64>>,
    /// What is wrong and what to do. It does not repeat the object.
    pub problem: String,
    /// What it hits: the first few, each once.
    pub hits: Vec<Hit>,
    /// How many more it hits.
    pub more_hits: u64,
}

/// What was looked at and what was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Defects, in the order of their objects.
    pub findings: Vec<Finding>,
    /// Damage to packs of which snapshots need nothing, or nothing that is not intact in another pack.
    pub notes: Vec<Finding>,
    /// Snapshots walked.
    pub snapshots: u64,
    /// Distinct nodes walked.
    pub nodes: u64,
    /// Distinct chunks that they refer to.
    pub chunks: u64,
    /// Packs.
    pub packs: u64,
    /// Blobs in them.
    pub blobs: u64,
    /// Bytes read from packs.
    pub read_bytes: u64,
    /// Packs that no index segment names: left by a push that was cut off. No defect.
    pub unlisted_packs: u64,
}

/// Checks a repository. Memory grows with what index segments say, and with the number of distinct chunks that snapshots refer to: about 50
/// bytes each.
///
/// # Errors
/// When the repository cannot be read at all, the monitor interrupts, or prunes get on beside it time and again, so that nobody knows whether
/// what is missed is lost. Damage is in the report.
pub fn check(repo: &Repo, options: &Options, monitor: &dyn Monitor) -> Result<Report, Error> {
    for _ in 0..PASSES {
        let before = repo.gc_names()?;
        let report = diagnose(repo, options.read, &BTreeSet::new(), monitor)?.report;
        // What is missed may have been taken by a prune between two looks.
        if report.findings.is_empty() || repo.gc_names()? == before {
            return Ok(report);
        }
    }
    Err(Error::new(
        ErrorKind::Busy,
        "something is missed, but prunes moved things while this checked, each time: check again when they have ended",
    ))
}

/// How often a check goes through all because a prune got on beside it.
const PASSES: usize = 4;

/// What a check knows when it is done, for those who repair.
pub(crate) struct Diagnosis {
    /// What it tells.
    pub(crate) report: Report,
    /// What index segments say of packs.
    pub(crate) listed: ListedPacks,
    /// Packs that are missing, or of which a part is not as it should be, as far as they were read.
    pub(crate) suspects: BTreeSet<PackId>,
    /// Those of which footer, length or hash are not.
    pub(crate) frames: BTreeSet<PackId>,
    /// What of all snapshots is whole.
    pub(crate) seen: Seen,
    /// Chunks and nodes of which no intact copy is known, as far as anything names them.
    pub(crate) lost: HashSet<ChunkId>,
}

/// Checks, and reads the packs `also` besides those that `read` says.
pub(crate) fn diagnose(repo: &Repo, read: Read, also: &BTreeSet<PackId>, monitor: &dyn Monitor) -> Result<Diagnosis, Error> {
    let _past = repo.past_cache();
    // Listed before the segments are read, here and for the index: all that these snapshots refer to is in them, whoever pushes meanwhile.
    let outcomes = repo.outcome_ids()?;
    repo.refresh()?;
    let mut checker = Checker {
        repo,
        monitor,
        report: Report::default(),
        defects: Defects::default(),
        listed: HashMap::new(),
        damage: Damage::default(),
        lost: HashMap::new(),
        all_walked: true,
        given_up: repo.backend.given_up(),
    };
    checker.records()?;
    checker.missing_notes()?;
    checker.segments()?;
    checker.packs(read, also)?;
    let suspects = checker.suspects();
    let seen = checker.snapshots(&outcomes)?;
    checker.reached()?;
    checker.finish(&seen);
    let Checker { report, listed, damage, lost, .. } = checker;
    let lost = lost.into_keys().collect();
    Ok(Diagnosis { report, listed, suspects, frames: damage.frames, seen, lost })
}

/// Where a defect is: object, start and end of the bytes.
type Spot = (String, u64, u64);

struct Checker<'r> {
    repo: &'r Repo,
    monitor: &'r dyn Monitor,
    report: Report,
    defects: Defects,
    /// What index segments say of packs.
    listed: ListedPacks,
    damage: Damage,
    /// Chunks and nodes of which no intact copy is known, and the spot that is to blame.
    lost: HashMap<ChunkId, Spot>,
    /// Whether every snapshot and every node could be read: else nobody knows all that is needed.
    all_walked: bool,
    /// How often the store had been given up before.
    given_up: u64,
}

impl Checker<'_> {
    fn interrupted(&self) -> Result<(), Error> {
        if self.monitor.interrupted() {
            return Err(Error::new(ErrorKind::Interrupted, "interrupted: not all was checked"));
        }
        self.reached()
    }

    /// Fails once the store could not be reached: what cannot be fetched is not damaged, and must not be remembered as if it were.
    fn reached(&self) -> Result<(), Error> {
        if self.repo.backend.given_up() == self.given_up {
            return Ok(());
        }
        let message = format!("{} could not be reached all the time, so that not all was checked: try again", self.repo.location());
        Err(Error::new(ErrorKind::Unreachable, message))
    }

    /// Walks every snapshot.
    fn snapshots(&mut self, outcomes: &[SnapshotId]) -> Result<Seen, Error> {
        let mut seen = Seen::default();
        for id in outcomes.iter().copied() {
            self.interrupted()?;
            match self.repo.outcome(&id) {
                Ok(Some(Outcome::Commit(snapshot))) => {
                    self.report.snapshots += 1;
                    walk::Walk::new(self, id, &mut seen).run(snapshot.root)?;
                }
                Ok(Some(Outcome::Abort { .. }) | None) => {}
                Err(error) => {
                    self.all_walked = false;
                    self.defects.object(ObjectPath::Outcome(id), chain(&error));
                }
            }
        }
        self.report.nodes = seen.good.len() as u64;
        self.report.chunks = seen.chunks.len() as u64;
        Ok(seen)
    }

    fn finish(&mut self, seen: &Seen) {
        let all_walked = self.all_walked;
        let spare: Vec<PackId> = self.defects.frames().filter(|pack| self.is_spare(pack, seen)).collect();
        let is_note = |pack: Option<&PackId>, hits: usize| match pack {
            Some(pack) => hits == 0 && all_walked && spare.contains(pack),
            None => hits == 0 && all_walked,
        };
        (self.report.findings, self.report.notes) = std::mem::take(&mut self.defects).into_findings(is_note);
        if let Err(error) = self.remember() {
            let message = format!("what is damaged is not remembered for the next push: {}", chain(&error));
            self.monitor.warning(&Warning { item: "the cache".into(), message });
        }
    }
}
