//! What several records have in common.

use std::collections::BTreeMap;

use bincode::{Decode, Encode};

/// Room for what later versions add, by name.
pub type Extra = BTreeMap<String, Vec<u8>>;

/// A moment, in a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct Time {
    /// Whole seconds since 1970-01-01T00:00:00Z.
    pub seconds: i64,
    /// Nanoseconds within the second.
    pub nanos: u32,
}
