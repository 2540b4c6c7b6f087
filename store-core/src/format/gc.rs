//! Prune records: what may be deleted, what is, and that it is done (`spec/FORMAT.md`, section 10).

use std::collections::BTreeSet;

use bincode::{Decode, Encode};

use super::record::{Extra, Time};
use crate::base::ids::{PackId, SnapshotId};
use crate::base::limits;
use crate::base::wire::WireError;

/// `gc/<n>.plan`: what may be deleted, decided before anybody was waited for.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Plan {
    /// When it was made, by that host's clock.
    pub time: Time,
    /// On which host.
    pub host: String,
    /// Name and version of the program.
    pub program: String,
    /// Packs that may be deleted. Nobody who sees the plan relies on them.
    pub condemned: BTreeSet<PackId>,
    /// Snapshots that did not count as live.
    pub dropped: BTreeSet<SnapshotId>,
    /// Room for later.
    pub extra: Extra,
}

/// `gc/<n>.final`: what is deleted, decided after all who could rely on it had ended.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Final {
    /// When it was made, by that host's clock.
    pub time: Time,
    /// On which host.
    pub host: String,
    /// Name and version of the program.
    pub program: String,
    /// Packs that are deleted, among those that the plan condemned.
    pub deleted: BTreeSet<PackId>,
    /// Snapshots that are no more, among those of the plan.
    pub dropped: BTreeSet<SnapshotId>,
    /// Room for later.
    pub extra: Extra,
}

/// `gc/<n>.done`: all that the final says is deleted.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Done {
    /// When it was made, by that host's clock.
    pub time: Time,
    /// On which host.
    pub host: String,
    /// Name and version of the program.
    pub program: String,
    /// Room for later.
    pub extra: Extra,
}

impl Plan {
    /// Refuses more than a reader takes.
    pub fn check(&self) -> Result<(), WireError> {
        check(self.condemned.len(), self.dropped.len())
    }
}

impl Final {
    /// Refuses more than a reader takes.
    pub fn check(&self) -> Result<(), WireError> {
        check(self.deleted.len(), self.dropped.len())
    }
}

fn check(packs: usize, snapshots: usize) -> Result<(), WireError> {
    for (what, value, limit) in
        [("packs of a prune record", packs, limits::GC_PACKS), ("snapshots of a prune record", snapshots, limits::GC_SNAPSHOTS)]
    {
        if value > limit {
            return Err(WireError::TooLarge { what, value: value as u64, limit: limit as u64 });
        }
    }
    Ok(())
}
