//! How chunks found older ones to be coded against.

use serde::Serialize;
use store_core::monitor;

/// Chunks by the way; fields of the object that has them.
#[derive(Debug, Serialize)]
pub(crate) struct BaseWays {
    #[serde(rename = "bases_parent")]
    pub(crate) parent: u64,
    #[serde(rename = "bases_votes")]
    pub(crate) votes: u64,
    #[serde(rename = "bases_locality")]
    pub(crate) locality: u64,
    #[serde(rename = "bases_none")]
    pub(crate) none: u64,
    #[serde(rename = "bases_full")]
    full: u64,
    #[serde(rename = "bases_unpaid")]
    unpaid: u64,
}

impl From<monitor::BaseWays> for BaseWays {
    fn from(ways: monitor::BaseWays) -> Self {
        let monitor::BaseWays { parent, votes, locality, none, full, unpaid } = ways;
        Self { parent, votes, locality, none, full, unpaid }
    }
}
