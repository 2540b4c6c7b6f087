//! Snapshots, and aborts in their place (`spec/FORMAT.md`, section 10).

use std::collections::{BTreeMap, BTreeSet};

use bincode::{Decode, Encode};

use super::envelope::ObjectError;
use super::record::{Extra, Time};
use crate::base::ids::{NodeId, SnapshotId, WriterId};

/// What a snapshot holds, counted when it was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Encode, Decode)]
pub struct Totals {
    /// Regular files.
    pub files: u64,
    /// Directories.
    pub directories: u64,
    /// Everything else: links, pipes, devices.
    pub others: u64,
    /// Bytes of all files.
    pub bytes: u64,
    /// Plain bytes of the chunks that it brought.
    pub new_bytes: u64,
    /// Bytes of the packs that it wrote.
    pub stored_bytes: u64,
    /// Paths that could not be read and are missing.
    pub unreadable: u64,
}

/// One version of what somebody pushed. It never changes.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Snapshot {
    /// A list with one entry, the directory `root`.
    pub root: NodeId,
    /// When it was taken.
    pub time: Time,
    /// Seconds east of UTC where and when it was taken.
    pub zone: i32,
    /// Host that it was taken on.
    pub host: String,
    /// User who took it.
    pub user: String,
    /// Installation that took it.
    pub writer: WriterId,
    /// The last snapshot of that installation before it.
    pub previous: Option<SnapshotId>,
    /// The snapshot that unchanged files were compared with.
    pub parent: Option<SnapshotId>,
    /// The line of versions that it continues.
    pub series: Option<String>,
    /// Labels.
    pub tags: BTreeSet<String>,
    /// Names given to it.
    pub refs: BTreeSet<String>,
    /// What it is, in words.
    pub description: Option<String>,
    /// What its maker says of it: `loss` = `0.42`.
    pub meta: BTreeMap<String, String>,
    /// The paths that were pushed, byte for byte.
    pub paths: Vec<Vec<u8>>,
    /// Features that a reader of this snapshot must know.
    pub incompatible: u64,
    /// Counts.
    pub totals: Totals,
    /// Name and version of the program.
    pub program: String,
    /// Room for later.
    pub extra: Extra,
}

/// What versions that follow one another have in common: their series, or, without one, host and paths. A push compares with the last one of its
/// line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Line<'s> {
    /// By its name.
    Series(&'s str),
    /// The same files of the same host.
    Source {
        /// Which host.
        host: &'s str,
        /// Which paths, byte for byte.
        paths: &'s [Vec<u8>],
    },
}

impl<'s> Line<'s> {
    /// The line of a snapshot with these.
    pub fn of(series: Option<&'s str>, host: &'s str, paths: &'s [Vec<u8>]) -> Self {
        series.map_or(Self::Source { host, paths }, Self::Series)
    }
}

impl Snapshot {
    /// The line of versions that it belongs to.
    pub fn line(&self) -> Line<'_> {
        Line::of(self.series.as_deref(), &self.host, &self.paths)
    }
}

/// How a session ended.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[expect(clippy::large_enum_variant, reason = "nearly every outcome is a commit")]
pub enum Outcome {
    /// With a snapshot.
    Commit(Snapshot),
    /// It was fenced.
    Abort {
        /// When.
        time: Time,
        /// By whom.
        by: String,
        /// Why.
        reason: String,
    },
}

impl Snapshot {
    /// Refuses a snapshot that needs a feature this program lacks.
    pub fn check_readable(&self) -> Result<(), ObjectError> {
        if self.incompatible == 0 { Ok(()) } else { Err(ObjectError::Unknown { what: "snapshot feature set", value: self.incompatible }) }
    }
}
