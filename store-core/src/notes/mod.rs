//! L2: what all notes mean together (`spec/NOTES.md`).
//!
//! [`fold`] takes notes and snapshots as they are stored and gives one state: tags, refs with their history, pins, what is forgotten, the
//! policy. It depends on the set of both alone: not on their order, not on a clock. Where two notes disagree, keeping wins over dropping;
//! while a note is lost, nothing counts as forgotten. It never reads, writes, or decides what is to be forgotten.

mod fold;
mod made;
mod order;
mod refs;
mod terms;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

pub use fold::{Fold, Policy, Told, fold, missing};
pub use made::{Made, forgetting, forgetting_unread, telling};
pub use refs::Move;
pub use terms::{DEFAULT_TRASH, pin_reason};

use crate::base::ids::{NoteId, SnapshotId};
use crate::format::note::Note;
use crate::format::record::Time;
use crate::format::snapshot::Snapshot;

/// In a snapshot's `extra`: the heads of the notes that its writer knew, their ids one after the other.
pub const SEEN: &str = "seen";

/// A note with its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredNote {
    /// Its name.
    pub id: NoteId,
    /// What it says.
    pub note: Note,
}

/// A snapshot with its name, and what notes say of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSnapshot {
    /// Its name.
    pub id: SnapshotId,
    /// What it says, with tags, refs, description and metadata as they are by now.
    pub snapshot: Snapshot,
    /// What else notes say of it.
    pub standing: Standing,
}

/// What notes say of a snapshot that it has no field for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// Pins that were not taken back.
    pub pins: Vec<Pin>,
    /// Refs that pointed to it and do not any more, and since when.
    pub left: BTreeMap<String, Time>,
    /// That it is forgotten.
    pub forgotten: Option<Forgotten>,
    /// What its record says of refs, if it was made with any.
    pub made: Option<Made>,
    /// Whether a forgetting tells that, so that the record is not needed for it any more.
    pub is_told: bool,
    /// Whether its record cannot be read, so that what `snapshot` says of it is nothing. Not from notes: whoever reads records says so.
    pub is_unread: bool,
}

impl Standing {
    /// The pin that holds at `now`; of several the one that holds longest.
    pub fn pinned(&self, now: Time) -> Option<&Pin> {
        let holding = self.pins.iter().filter(|pin| pin.until.is_none_or(|until| until > now));
        holding.max_by_key(|pin| (pin.until.is_none(), pin.until))
    }
}

/// Why a snapshot stays, whatever a policy says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// Who said so.
    pub by: String,
    /// When.
    pub time: Time,
    /// Why.
    pub reason: Option<String>,
    /// Until when; `None` for ever.
    pub until: Option<Time>,
}

/// That a snapshot is dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forgotten {
    /// Who said so.
    pub by: String,
    /// When.
    pub time: Time,
    /// By which rule, or why.
    pub reason: String,
    /// When its trash time is over; `None`: it is over, whatever the clock says.
    pub until: Option<Time>,
}

impl Forgotten {
    /// Whether it can still be brought back for sure.
    pub fn in_trash(&self, now: Time) -> bool {
        self.until.is_some_and(|until| now < until)
    }
}
