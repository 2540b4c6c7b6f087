//! Where objects stand (`spec/FORMAT.md`, section 1).

use std::fmt;

use crate::base::ids::{NoteId, PackId, PlanNumber, ProbeId, SegmentId, SessionId, SlotId};

/// The path of one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectPath {
    /// The config.
    Config,
    /// A key slot.
    Key(SlotId),
    /// A pack.
    Pack(PackId),
    /// An index segment.
    Segment(SegmentId),
    /// A session.
    Session(SessionId),
    /// How a session ended.
    Outcome(SessionId),
    /// A note.
    Note(NoteId),
    /// A record of a prune.
    Gc(PlanNumber, GcStage),
    /// What came of a store's trials.
    Probe(ProbeId),
    /// An object that means nothing, made to see what a store does with it.
    Trial(ProbeId),
}

/// How far a prune has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GcStage {
    /// It says what may be deleted.
    Plan,
    /// It says what is.
    Final,
    /// It says that this is done.
    Done,
}

impl GcStage {
    /// All of them, in order.
    pub const ALL: [Self; 3] = [Self::Plan, Self::Final, Self::Done];

    /// The end of its records' names.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plan => "plan",
            Self::Final => "final",
            Self::Done => "done",
        }
    }
}

/// A folder of objects of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Folder {
    /// `keys`
    Keys,
    /// `packs`, with its folders of two digits
    Packs,
    /// `index`
    Segments,
    /// `sessions`
    Sessions,
    /// `snapshots`
    Outcomes,
    /// `notes`
    Notes,
    /// `gc`
    Gc,
    /// `probes`
    Probes,
    /// `trials`
    Trials,
}

impl Folder {
    /// The folders that every repository may have: all but those of trials, which only buckets need.
    pub const ALL: [Self; 7] = [Self::Keys, Self::Packs, Self::Segments, Self::Sessions, Self::Outcomes, Self::Notes, Self::Gc];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Keys => "keys",
            Self::Packs => "packs",
            Self::Segments => "index",
            Self::Sessions => "sessions",
            Self::Outcomes => "snapshots",
            Self::Notes => "notes",
            Self::Gc => "gc",
            Self::Probes => "probes",
            Self::Trials => "trials",
        }
    }
}

impl ObjectPath {
    /// The folder that it is in; `None` for the config.
    pub fn folder(&self) -> Option<Folder> {
        Some(match self {
            Self::Config => return None,
            Self::Key(_) => Folder::Keys,
            Self::Pack(_) => Folder::Packs,
            Self::Segment(_) => Folder::Segments,
            Self::Session(_) => Folder::Sessions,
            Self::Outcome(_) => Folder::Outcomes,
            Self::Note(_) => Folder::Notes,
            Self::Gc(..) => Folder::Gc,
            Self::Probe(_) => Folder::Probes,
            Self::Trial(_) => Folder::Trials,
        })
    }
}

impl fmt::Display for ObjectPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config => f.write_str("config"),
            Self::Key(id) => write!(f, "keys/{id}"),
            Self::Pack(id) => write!(f, "packs/{:02x}/{id}", id.as_bytes()[0]),
            Self::Segment(id) => write!(f, "index/{id}"),
            Self::Session(id) => write!(f, "sessions/{id}"),
            Self::Outcome(id) => write!(f, "snapshots/{id}"),
            Self::Note(id) => write!(f, "notes/{id}"),
            Self::Gc(number, stage) => write!(f, "gc/{number}.{}", stage.name()),
            Self::Probe(id) => write!(f, "probes/{id}"),
            Self::Trial(id) => write!(f, "trials/{id}"),
        }
    }
}

/// Whether a name in a folder is that of an object.
pub(crate) fn is_object_name(folder: Folder, name: &str) -> bool {
    match folder {
        Folder::Gc => parse_gc_name(name).is_some(),
        _ => name.len() == 64 && name.bytes().all(|c| c.is_ascii_digit() || (b'a'..=b'f').contains(&c)),
    }
}

/// What a name in `gc` says.
pub(crate) fn parse_gc_name(name: &str) -> Option<(PlanNumber, GcStage)> {
    let (number, stage) = name.split_once('.')?;
    Some((number.parse().ok()?, GcStage::ALL.into_iter().find(|known| known.name() == stage)?))
}
