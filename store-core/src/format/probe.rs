//! What came of a store's trials (`spec/FORMAT.md`, section 10).

use std::collections::BTreeSet;

use bincode::{Decode, Encode};

use super::record::{Extra, Time};
use crate::base::ids::ProbeId;

/// Says in `extra` that names were tried for which nobody raced.
pub const LONE: &str = "lone";

/// `probes/<id>`: whether a store keeps what the order of writes rests on.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Probe {
    /// When it was tested, by that host's clock.
    pub time: Time,
    /// By which host.
    pub host: String,
    /// Name and version of the program.
    pub program: String,
    /// Which store.
    pub store: String,
    /// The probes that were there. This one stands for them.
    pub seen: BTreeSet<ProbeId>,
    /// Which promises were not kept, and how that showed.
    pub failures: Vec<String>,
    /// What was tried besides, and room for later.
    pub extra: Extra,
}
