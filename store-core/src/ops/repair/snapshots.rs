//! `repair snapshots`: for each snapshot that refers to what is lost, one of what is left, marked as such; the broken one goes to the trash.
//! One whose record cannot be read is lost as a whole, and is given up (`spec/PROTOCOL.md`, section 6).

use std::collections::BTreeSet;

use super::remains::Remains;
use super::whole::WholeWriter;
use crate::base::ids::{ChunkId, NodeId, PackId, SnapshotId};
use crate::clock;
use crate::error::{Error, ErrorKind, chain};
use crate::format::copied::COPIED;
use crate::format::entry::Kind;
use crate::format::lost::{LOST, Lost, REPAIRS};
use crate::format::session::Purpose;
use crate::format::snapshot::{Snapshot, Totals};
use crate::merkle::EntriesCursor;
use crate::monitor::Monitor;
use crate::notes::{DEFAULT_TRASH, forgetting};
use crate::ops::check::{Read, Seen, diagnose};
use crate::plan::gc::Standing;
use crate::repo::{Committed, PackWriter, Repo, Root, Standings, StoredSnapshot, Unplaced};

/// The tag of snapshots that lack something.
const TAG: &str = "repaired";

/// Which snapshots, and whether it is done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SnapshotsOptions {
    /// Only these; all that are not forgotten when empty.
    pub snapshots: BTreeSet<SnapshotId>,
    /// Reads all packs first, to know all that is lost; otherwise what this host remembers, and what is missing, counts.
    pub read_data: bool,
    /// Seconds that broken snapshots stay in the trash; 7 days when `None`.
    pub trash: Option<u64>,
    /// Does it; otherwise nothing is written.
    pub execute: bool,
}

/// What becomes of a broken snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SnapshotFate {
    /// One of what is left stands for it, or will, and it goes to the trash.
    Replaced,
    /// It is pinned, so it stays; one of what is left stands beside it, or will.
    Pinned,
    /// Not even its root can be read: it stays as it is.
    Unreadable,
}

/// A broken snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotLine {
    /// Which.
    pub id: SnapshotId,
    /// What becomes of it.
    pub fate: SnapshotFate,
    /// What of it is lost.
    pub lost: Lost,
    /// The one of what is left, once it is made.
    pub repaired: Option<SnapshotId>,
    /// Refs that point to it: once it is forgotten, they name nothing.
    pub refs: BTreeSet<String>,
}

/// A snapshot whose record cannot be read, so that all of it is lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostSnapshot {
    /// Which.
    pub id: SnapshotId,
    /// Why its record cannot be read.
    pub why: String,
    /// Whether it was given up: it is in nobody's way any more.
    pub given_up: bool,
}

/// What was found, and done or planned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SnapshotsReport {
    /// Snapshots whose records cannot be read.
    pub lost: Vec<LostSnapshot>,
    /// Broken snapshots, oldest first.
    pub broken: Vec<SnapshotLine>,
    /// How many are whole.
    pub whole: u64,
}

/// Makes snapshots of what is left of broken ones, and forgets those; or says what it would do.
///
/// # Errors
/// When the repository cannot be read or written. Of kind [`ErrorKind::Usage`] when a snapshot that was asked for is not there, of kind
/// [`ErrorKind::Damage`] while a note is lost, of kind [`ErrorKind::Busy`] when a prune comes in between. Each snapshot is done for itself.
pub fn snapshots(repo: &Repo, options: &SnapshotsOptions, monitor: &dyn Monitor) -> Result<SnapshotsReport, Error> {
    let _past = repo.past_cache();
    let marked = repo.damage().0.into_keys().collect();
    let standings = repo.standing()?;
    if options.execute {
        standings.need_all_notes()?;
    }
    let is_there = |id: &SnapshotId| standings.snapshots.iter().any(|stored| stored.id == *id) || standings.unread_snapshots.contains(id);
    if let Some(id) = options.snapshots.iter().find(|id| !is_there(id)) {
        return Err(Error::new(ErrorKind::Usage, format!("snapshot {} is not there, or is forgotten", id.short())));
    }
    let read = if options.read_data { Read::All } else { Read::None };
    let diagnosis = diagnose(repo, read, &marked, monitor)?;
    let mut report = SnapshotsReport::default();
    let chosen = |stored: &&StoredSnapshot| options.snapshots.is_empty() || options.snapshots.contains(&stored.id);
    // What it forgets is of one run, so it comes back at once.
    let (began, mut heads) = (repo.now(), standings.fold.heads.clone());
    for stored in standings.snapshots.iter().filter(chosen) {
        let job = Job { repo, options, standings: &standings, seen: &diagnosis.seen, stored, monitor };
        let Some(line) = job.run()? else {
            report.whole += 1;
            continue;
        };
        if let (SnapshotFate::Replaced, Some(made)) = (line.fate, line.repaired) {
            let trash = options.trash.unwrap_or(DEFAULT_TRASH);
            let said = forgetting(stored, &format!("repaired: {} stands for it", made.short()), trash);
            heads = repo.write_notes_at(began, vec![said], &heads)?.into_iter().collect();
        }
        report.broken.push(line);
    }
    report.lost = lost(repo, options, &standings)?;
    Ok(report)
}

/// Gives up snapshots whose records cannot be read, or only says which they are.
fn lost(repo: &Repo, options: &SnapshotsOptions, standings: &Standings) -> Result<Vec<LostSnapshot>, Error> {
    let mut lost = Vec::new();
    for id in standings.unread_snapshots.iter().filter(|id| options.snapshots.is_empty() || options.snapshots.contains(id)) {
        // What one read does not give another one may.
        let why = match repo.read_outcome(id) {
            Err(error) if error.kind() == ErrorKind::Damage => chain(&error),
            Err(error) if error.is_not_found() => continue,
            Err(error) => return Err(error),
            Ok(_) => continue,
        };
        if options.execute {
            repo.give_up_snapshot(*id, &standings.fold.heads)?;
        }
        lost.push(LostSnapshot { id: *id, why, given_up: options.execute });
    }
    Ok(lost)
}

/// The snapshot that `text` names, in full or by 4 or more digits, if its record cannot be read.
///
/// # Errors
/// When records cannot be listed. Of kind [`ErrorKind::Usage`] when several are meant.
pub fn find_lost(repo: &Repo, text: &str) -> Result<Option<SnapshotId>, Error> {
    let found = repo.standing()?.unread_named(text);
    if found.len() > 1 {
        return Err(Error::new(ErrorKind::Usage, format!("'{text}' could be {} snapshots: give more digits", found.len())));
    }
    Ok(found.first().copied())
}

fn busy() -> Error {
    Error::new(ErrorKind::Busy, "a prune came in between: try again once it has ended")
}

/// One snapshot.
struct Job<'j> {
    repo: &'j Repo,
    options: &'j SnapshotsOptions,
    standings: &'j Standings,
    seen: &'j Seen,
    stored: &'j StoredSnapshot,
    monitor: &'j dyn Monitor,
}

impl Job<'_> {
    /// Makes a snapshot of what is left, where that is asked for. `None` when nothing of it is lost.
    fn run(&self) -> Result<Option<SnapshotLine>, Error> {
        let remains = Remains::of(self.repo, self.stored.snapshot.root, self.seen, self.monitor)?;
        let is_pinned = self.stored.standing.pinned(self.repo.now()).is_some();
        let mut line = SnapshotLine {
            id: self.stored.id,
            fate: SnapshotFate::Replaced,
            lost: remains.lost.clone(),
            repaired: None,
            refs: self.stored.snapshot.refs.clone(),
        };
        let Some(root) = remains.root else { return Ok(Some(SnapshotLine { fate: SnapshotFate::Unreadable, ..line })) };
        if remains.lost == Lost::default() {
            return Ok(None);
        }
        if is_pinned {
            line.fate = SnapshotFate::Pinned;
        }
        if !self.options.execute {
            return Ok(Some(line));
        }
        let made = match self.made_before(root) {
            Some(id) => id,
            None => self.make(root, &remains)?,
        };
        line.repaired = Some(made);
        Ok(Some(line))
    }

    /// The snapshot that a repair made before it was cut off.
    fn made_before(&self, root: NodeId) -> Option<SnapshotId> {
        let is_it = |other: &&StoredSnapshot| {
            other.snapshot.root == root && other.snapshot.extra.get(REPAIRS).is_some_and(|id| id[..] == self.stored.id.as_bytes()[..])
        };
        self.standings.snapshots.iter().find(is_it).map(|stored| stored.id)
    }

    /// Commits what is left.
    fn make(&self, root: NodeId, remains: &Remains) -> Result<SnapshotId, Error> {
        let session = self.repo.begin_session(Purpose::Repair)?;
        let snapshot = self.snapshot_of(root, remains).inspect_err(|_| self.repo.end_session(&session))?;
        // A commit that fails may have come through all the same: the announcement stays, for a prune to find out.
        match self.repo.commit(&session, &snapshot)? {
            Committed::Snapshot(id) => Ok(id),
            Committed::Fenced => Err(busy()),
        }
    }

    /// Stores what is left, and says what is to be committed.
    fn snapshot_of(&self, root: NodeId, remains: &Remains) -> Result<Snapshot, Error> {
        let Self { repo, stored, .. } = self;
        let condemned = repo.condemned()?;
        repo.refresh()?;
        let writer = PackWriter::new(repo, false)?;
        remains.write(repo, &writer)?;
        let mut written = writer.finish()?.counts.bytes;
        let standing = |pack: &PackId| if condemned.contains(pack) { Standing::Gone } else { Standing::Stays };
        let root_of = Root { of: format!("what is left of {}", stored.id.short()), node: root };
        // What can be read may have no place that a prune counts on: in a pack of another length than it should have, say.
        let unplaced = repo.unplaced(&root_of, &repo.listed_packs()?, standing, self.monitor)?;
        if !unplaced.is_empty() {
            written += self.store_whole(&unplaced)?;
        }
        match repo.mark(&[root_of], &repo.listed_packs()?, standing, self.monitor) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::Damage && !condemned.is_empty() => return Err(busy()),
            Err(error) => return Err(error),
        }
        let old = &stored.snapshot;
        let mut extra = old.extra.clone();
        extra.extend(Repo::seen_notes(&self.standings.fold.heads));
        // It lacks what the snapshots have that the old one is a copy of.
        extra.remove(COPIED);
        extra.insert(REPAIRS.into(), stored.id.as_bytes().to_vec());
        // What a repaired one lacked before, it lacks still.
        let before = old.extra.get(LOST).and_then(|lost| Lost::decode(lost).ok()).unwrap_or_default();
        let mut lost = remains.lost.clone();
        lost.losses.extend(before.losses);
        lost.losses.sort();
        lost.more = lost.more.saturating_add(before.more);
        extra.insert(LOST.into(), lost.encode());
        let mut tags = old.tags.clone();
        tags.insert(TAG.into());
        let left = self.totals(root)?;
        let totals = Totals {
            new_bytes: 0,
            stored_bytes: written,
            unreadable: old.totals.unreadable.saturating_add(lost.losses.len() as u64).saturating_add(lost.more),
            ..left
        };
        Ok(Snapshot {
            root,
            writer: repo.writer()?,
            parent: Some(stored.id),
            refs: BTreeSet::new(),
            tags,
            totals,
            program: clock::PROGRAM.into(),
            extra,
            ..old.clone()
        })
    }

    /// Stores what can be read once more, coded against nothing. Says how many bytes that took.
    fn store_whole(&self, unplaced: &Unplaced) -> Result<u64, Error> {
        let repo = self.repo;
        let writer = PackWriter::new(repo, false)?;
        let mut whole = WholeWriter::new(repo, &writer);
        for id in &unplaced.nodes {
            whole.node(ChunkId::from_bytes(*id.as_bytes()), &repo.node_bytes(id)?)?;
        }
        for id in &unplaced.chunks {
            whole.chunk(*id, &repo.chunk(id)?)?;
        }
        whole.finish()?;
        Ok(writer.finish()?.counts.bytes)
    }

    /// Counts what is left.
    fn totals(&self, root: NodeId) -> Result<Totals, Error> {
        let mut totals = Totals::default();
        let first = EntriesCursor::new(self.repo, Some(root)).next()?;
        let Some(Kind::Directory { entries }) = first.map(|first| first.kind) else { return Ok(totals) };
        self.repo.walk(b"", entries, true, &mut |_, entry| {
            match &entry.kind {
                Kind::File { size, .. } => {
                    totals.files += 1;
                    totals.bytes += size;
                }
                Kind::Directory { .. } => totals.directories += 1,
                _ => totals.others += 1,
            }
            Ok(())
        })?;
        Ok(totals)
    }
}
