//! Reading and writing notes (`spec/NOTES.md`). What they mean together is decided in [`crate::notes`].

use std::collections::{BTreeMap, BTreeSet};

use super::kept::{self, KeptRecords};
use super::snapshots::Commits;
use super::{Repo, StoredSnapshot};
use crate::backend::{Created, Folder, ObjectPath};
use crate::base::ids::{NodeId, NoteId, SnapshotId, WriterId};
use crate::base::limits;
use crate::base::wire;
use crate::clock;
use crate::error::{Error, ErrorKind};
use crate::format::envelope::{ObjectKind, Place, Sealed};
use crate::format::note::{Note, Statement};
use crate::format::record::{Extra, Time};
use crate::format::snapshot::{Snapshot, Totals};
use crate::notes::{Fold, Move, SEEN, Standing, StoredNote, fold, forgetting_unread, missing};
use crate::rng;

/// Most statements of one note: `spec/NOTES.md`, section 6.
const STATEMENTS: usize = 4096;

/// Most bytes of statements of one note, besides the last one, so that it stays below what a reader takes.
const STATEMENTS_LEN: usize = 2 << 20;

/// All snapshots as notes leave them.
#[derive(Debug, Clone, Default)]
pub struct Standings {
    /// Those that are not forgotten, oldest first.
    pub snapshots: Vec<StoredSnapshot>,
    /// Those that are and that no prune has dropped, oldest first.
    pub forgotten: Vec<StoredSnapshot>,
    /// Refs, the policy, and what the next note has seen.
    pub fold: Fold,
    /// Notes that are there and cannot be read.
    pub unread: BTreeSet<NoteId>,
    /// All notes that can be read, in no order.
    pub notes: Vec<StoredNote>,
    /// Snapshots whose records are there and cannot be read, but for those that were given up.
    pub unread_snapshots: BTreeSet<SnapshotId>,
    /// Whether packs were ever deleted, by a prune or a repair, or are to be.
    pub has_pruned: bool,
}

/// Which snapshots count as live at a time.
#[derive(Debug, Clone, Default)]
pub struct LiveSnapshots {
    /// Those that do, oldest first: in the trash or not forgotten.
    pub live: Vec<StoredSnapshot>,
    /// The others, oldest first: forgotten, and their trash time is over.
    pub dropped: Vec<StoredSnapshot>,
    /// The notes that no other one has seen.
    pub heads: BTreeSet<NoteId>,
}

impl Standings {
    /// The moves of a ref, of which those to snapshots that `lets_through` or, with `all`, every one.
    pub(crate) fn history<'s>(
        &'s self,
        moves: &'s [Move],
        lets_through: impl Fn(&StoredSnapshot) -> bool + 's,
        all: bool,
    ) -> impl Iterator<Item = &'s Move> {
        let fits = move |id: SnapshotId| self.find(&id).is_some_and(&lets_through);
        moves.iter().filter(move |to| all || to.to.is_some_and(&fits))
    }

    /// A snapshot, forgotten or not.
    pub fn find(&self, id: &SnapshotId) -> Option<&StoredSnapshot> {
        self.snapshots.iter().chain(&self.forgotten).find(|stored| stored.id == *id)
    }

    /// Snapshots that `text` may name, in full or by 4 or more digits, and whose records cannot be read.
    pub(crate) fn unread_named(&self, text: &str) -> Vec<SnapshotId> {
        let prefix = text.to_ascii_lowercase();
        let fits = |id: &&SnapshotId| prefix.len() >= 4 && id.to_string().starts_with(&prefix);
        self.unread_snapshots.iter().filter(fits).copied().collect()
    }

    /// Refuses to go on while a note is lost or a snapshot cannot be read.
    ///
    /// # Errors
    /// Of kind [`ErrorKind::Damage`], naming the first one.
    pub fn need_all(&self) -> Result<(), Error> {
        if let Some(first) = self.unread_snapshots.first() {
            let what = "cannot be read, so nothing is dropped";
            let next = "put it back from a copy of the repository, or give it up with `snap repair snapshots`";
            let message = format!("{} {what}: {next}", ObjectPath::Outcome(*first));
            return Err(Error::new(ErrorKind::Damage, message));
        }
        self.need_all_notes()
    }

    /// Refuses to go on while a note is lost: it may have said what is to be kept.
    ///
    /// # Errors
    /// Of kind [`ErrorKind::Damage`], naming the first one.
    pub fn need_all_notes(&self) -> Result<(), Error> {
        let Some(first) = self.fold.lost.first() else { return Ok(()) };
        let (path, count) = (ObjectPath::Note(*first), self.fold.lost.len());
        let more = if count > 1 { format!(" and {} more", count - 1) } else { String::new() };
        let what = "cannot be read or is not there, and may say what is to be kept";
        let next = "put it back from a copy of the repository, or give it up with `snap repair notes`";
        Err(Error::new(ErrorKind::Damage, format!("{path}{more} {what}, so nothing is dropped: {next}")))
    }
}

impl Repo {
    /// Reads all notes and snapshots. What cannot be read is a [warning](Repo::take_warnings).
    pub fn standing(&self) -> Result<Standings, Error> {
        let standings = self.read_standing()?;
        self.warn_of(&standings);
        Ok(standings)
    }

    /// The same for whoever shows snapshots, or reads what is in them: what this host has read before of a store where requests take long is not read
    /// again, though damage to it does not show. Which records there are is what the store says.
    pub fn shown_standing(&self) -> Result<Standings, Error> {
        let kept = self.kept.is_on().then_some(KeptRecords::Files(&self.kept));
        let standings = self.standing_with(kept.as_ref())?;
        self.warn_of(&standings);
        Ok(standings)
    }

    /// The same for a push: records that this host has read before are taken as they were. They do not change, so that is what they say,
    /// though damage to them does not show.
    pub(crate) fn known_standing(&self) -> Result<Standings, Error> {
        let index = self.index()?;
        let kept = KeptRecords::in_index(&*index, &self.kept);
        let standings = self.standing_with(Some(&kept))?;
        self.warn_of(&standings);
        kept.settle()?;
        Ok(standings)
    }

    fn warn_of(&self, standings: &Standings) {
        for id in &standings.unread_snapshots {
            let advice = "is damaged: put it back from a copy of the repository, or give it up with `snap repair snapshots`";
            self.warn(&ObjectPath::Outcome(*id), advice);
        }
        for id in &standings.fold.lost {
            let advice =
                "is damaged or missing, so nothing counts as forgotten: put it back from a copy of the repository, or `snap repair notes`";
            self.warn(&ObjectPath::Note(*id), advice);
        }
    }

    /// The snapshots that count as live at `now`: all commits but those that are forgotten and whose trash time is over (`spec/NOTES.md`, N3).
    /// What they need stays.
    ///
    /// # Errors
    /// When any note or any outcome of a session cannot be read, or a note is lost: then nobody knows, and nothing may be dropped.
    pub fn live_snapshots(&self, now: Time) -> Result<LiveSnapshots, Error> {
        let standings = self.read_standing()?;
        standings.need_all()?;
        let in_trash = |stored: &StoredSnapshot| stored.standing.forgotten.as_ref().is_some_and(|forgotten| forgotten.in_trash(now));
        let (trash, dropped): (Vec<_>, Vec<_>) = standings.forgotten.into_iter().partition(in_trash);
        let mut live = standings.snapshots;
        live.extend(trash);
        live.sort_by_key(|stored| (stored.snapshot.time, stored.id));
        Ok(LiveSnapshots { live, dropped, heads: standings.fold.heads })
    }

    /// Notes are listed before snapshots, so that a snapshot is never without the notes that made it live.
    pub(crate) fn read_standing(&self) -> Result<Standings, Error> {
        self.standing_with(None)
    }

    fn standing_with(&self, kept: Option<&KeptRecords<'_>>) -> Result<Standings, Error> {
        let (mut notes, mut unread) = self.read_notes(kept)?;
        let Commits { found: mut snapshots, unread: unread_snapshots, has_pruned } = self.commits(kept)?;
        // A note that was made during the listing may be missing there, though one that has seen it is not.
        let mut missing = missing(&notes, &snapshots);
        while let Some(id) = missing.pop_first() {
            if unread.contains(&id) || notes.iter().any(|stored| stored.id == id) {
                continue;
            }
            // No listing has shown it: what is kept does not say that it is there.
            match self.read_note(&id, None) {
                Ok(note) => {
                    missing.extend(&note.seen);
                    notes.push(StoredNote { id, note });
                }
                Err(error) if error.is_not_found() => {}
                Err(error) if error.kind() == ErrorKind::Damage => {
                    unread.insert(id);
                }
                Err(error) => return Err(error),
            }
        }
        let known = snapshots.len();
        snapshots.extend(unread_snapshots.iter().map(|id| unreadable(*id)));
        let fold = fold(&notes, &unread, &mut snapshots);
        let unread_snapshots = snapshots.split_off(known).iter().filter(|stored| !self.is_over(stored)).map(|stored| stored.id).collect();
        let (forgotten, snapshots) = snapshots.into_iter().partition(|stored| stored.standing.forgotten.is_some());
        Ok(Standings { snapshots, forgotten, fold, unread, notes, unread_snapshots, has_pruned })
    }

    /// Whether a snapshot is forgotten and its trash time is over.
    fn is_over(&self, stored: &StoredSnapshot) -> bool {
        stored.standing.forgotten.as_ref().is_some_and(|forgotten| !forgotten.in_trash(self.now()))
    }

    /// Whether nothing is asked any more of a record that cannot be read (`spec/NOTES.md`, section 5).
    pub(super) fn is_given_up(&self, id: &SnapshotId) -> Result<bool, Error> {
        Ok(!self.read_standing()?.unread_snapshots.contains(id))
    }

    /// Gives up a snapshot whose record cannot be read: it counts as forgotten, for good, whatever was said of it before. The record stays where it
    /// is, since it may be an abort that keeps a writer from committing (`spec/PROTOCOL.md`, I21).
    pub(crate) fn give_up_snapshot(&self, id: SnapshotId, seen: &BTreeSet<NoteId>) -> Result<(), Error> {
        let forgetting = forgetting_unread(id, "its record cannot be read and was given up", 0);
        let statements = vec![Statement::Unpin { snapshot: id }, Statement::Unforget { snapshot: id }, forgetting];
        self.write_notes(statements, seen).map(drop)
    }

    fn read_notes(&self, kept: Option<&KeptRecords<'_>>) -> Result<(Vec<StoredNote>, BTreeSet<NoteId>), Error> {
        let (mut notes, mut unread) = (Vec::new(), BTreeSet::new());
        for id in self.backend.list(Folder::Notes)?.iter().filter_map(|listed| listed.name.parse().ok()) {
            match self.read_note(&id, kept) {
                Ok(note) => notes.push(StoredNote { id, note }),
                Err(error) if error.is_not_found() => {}
                Err(error) if error.kind() == ErrorKind::Damage => {
                    unread.insert(id);
                }
                Err(error) => return Err(error),
            }
        }
        Ok((notes, unread))
    }

    fn read_note(&self, id: &NoteId, kept: Option<&KeptRecords<'_>>) -> Result<Note, Error> {
        let path = ObjectPath::Note(*id);
        let damaged =
            |error: Box<dyn std::error::Error + Send + Sync>| Error::with(ErrorKind::Damage, format!("cannot read {path}"), error);
        let read = || match self.backend.read(&path, limits::RECORD_LEN) {
            // A note that is too long, or on a spoilt place of the disk, is lost; the others can still be read.
            Err(error) if error.is_damage() => Err(damaged(error.into())),
            object => Ok(object?),
        };
        kept::open(kept, &*self.backend, &path, read, |object| {
            let sealed = Sealed::parse(object, ObjectKind::Note).map_err(|error| damaged(error.into()))?;
            let key = self.keys.object(ObjectKind::Note as u8, sealed.header.epoch, &sealed.header.salt);
            let body = sealed.open(&key, Place::Path(&path.to_string())).map_err(|error| damaged(error.into()))?;
            wire::decode(&body).map_err(|error| damaged(error.into()))
        })
    }

    /// Writes what is said, in as many notes as it takes, each of which has seen `seen` and those before it. When it returns, all survive a
    /// power failure. Without statements it writes nothing.
    pub fn write_notes(&self, statements: Vec<Statement>, seen: &BTreeSet<NoteId>) -> Result<Vec<NoteId>, Error> {
        self.write_notes_at(self.now(), statements, seen)
    }

    /// The same for a run that began at `time` and writes notes of that time more than once (`spec/NOTES.md`, section 6).
    pub(crate) fn write_notes_at(&self, time: Time, statements: Vec<Statement>, seen: &BTreeSet<NoteId>) -> Result<Vec<NoteId>, Error> {
        let (mut ids, mut seen) = (Vec::new(), seen.clone());
        let mut statements = statements.into_iter().peekable();
        while statements.peek().is_some() {
            let (mut some, mut len) = (Vec::new(), 0);
            while let Some(statement) = statements.next_if(|_| some.len() < STATEMENTS && len <= STATEMENTS_LEN) {
                len += wire::encode(&statement).len();
                some.push(statement);
            }
            let id = self.write_note(some, seen, time)?;
            seen = [id].into();
            ids.push(id);
        }
        Ok(ids)
    }

    /// Gives up the notes that are lost: whatever they may have said, what is forgotten comes back (`spec/NOTES.md`, section 5). Those that
    /// cannot be read are deleted once that is durable.
    pub fn give_up_notes(&self, standings: &Standings) -> Result<(), Error> {
        let seen = standings.fold.heads.union(&standings.fold.lost).copied().collect();
        self.write_note(Vec::new(), seen, self.now())?;
        standings.unread.iter().try_for_each(|id| self.backend.delete(&ObjectPath::Note(*id)))?;
        Ok(())
    }

    fn write_note(&self, statements: Vec<Statement>, seen: BTreeSet<NoteId>, time: Time) -> Result<NoteId, Error> {
        self.check_writable()?;
        let author = format!("{}@{}", clock::user(), clock::host());
        let id = NoteId::from_bytes(rng::bytes()?);
        let path = ObjectPath::Note(id);
        match self.create_record(&path, ObjectKind::Note, wire::encode(&Note { author, time, seen, statements }))? {
            Created::New => Ok(id),
            Created::Exists => Err(Error::new(ErrorKind::Failed, format!("{path} exists already, which chance does not explain"))),
        }
    }

    /// What a snapshot says of the notes that its writer knew: the value of [`SEEN`] in its `extra`, if there are any.
    pub(crate) fn seen_notes(heads: &BTreeSet<NoteId>) -> Option<(String, Vec<u8>)> {
        (!heads.is_empty()).then(|| (SEEN.to_owned(), heads.iter().flat_map(|id| *id.as_bytes()).collect()))
    }
}

/// A snapshot of which nothing is known but its name, to see what notes say of it.
fn unreadable(id: SnapshotId) -> StoredSnapshot {
    let snapshot = Snapshot {
        root: NodeId::from_bytes([0; 32]),
        time: Time { seconds: 0, nanos: 0 },
        zone: 0,
        host: String::new(),
        user: String::new(),
        writer: WriterId::from_bytes([0; 16]),
        previous: None,
        parent: None,
        series: None,
        tags: BTreeSet::new(),
        refs: BTreeSet::new(),
        description: None,
        meta: BTreeMap::new(),
        paths: Vec::new(),
        incompatible: 0,
        totals: Totals::default(),
        program: String::new(),
        extra: Extra::new(),
    };
    StoredSnapshot { id, snapshot, standing: Standing { is_unread: true, ..Standing::default() } }
}
