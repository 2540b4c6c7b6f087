//! Sessions: a writer is active (`spec/FORMAT.md`, section 10).

use bincode::{Decode, Encode};

use super::record::{Extra, Time};
use crate::base::ids::WriterId;

/// Why a session writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum Purpose {
    /// It makes a snapshot.
    Push,
    /// It moves live blobs out of packs that hold dead ones.
    Repack,
    /// It rewrites what damage left.
    Repair,
}

/// One writer's period of activity.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Session {
    /// Which installation.
    pub writer: WriterId,
    /// When it began, by that host's clock.
    pub started: Time,
    /// On which host.
    pub host: String,
    /// Process id there.
    pub pid: u32,
    /// Name and version of the program.
    pub program: String,
    /// What for.
    pub purpose: Purpose,
    /// Which process it is (`spec/FORMAT.md`, section 10), whether it is a turn, and room for later.
    pub extra: Extra,
}

/// Says in `extra` that a session is the turn of a prune.
pub const TURN: &str = "turn";

impl Session {
    /// Whether it announces that a prune wants to delete, or does.
    pub fn is_turn(&self) -> bool {
        self.extra.contains_key(TURN)
    }
}
