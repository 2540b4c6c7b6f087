//! Notes: what is said of snapshots after the fact (`spec/FORMAT.md`, section 10).

use std::collections::BTreeSet;

use bincode::{Decode, Encode};

use super::record::Time;
use crate::base::ids::{NoteId, SnapshotId};

/// One statement.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Statement {
    /// Labels come and go.
    Tags {
        /// Of which snapshot.
        snapshot: SnapshotId,
        /// Labels that it gets.
        add: Vec<String>,
        /// Labels that it loses.
        remove: Vec<String>,
    },
    /// A name points to a snapshot from now on, or to none.
    Ref {
        /// The name.
        name: String,
        /// What it points to.
        snapshot: Option<SnapshotId>,
    },
    /// A snapshot is kept whatever the policy says.
    Pin {
        /// Which.
        snapshot: SnapshotId,
        /// Why.
        reason: Option<String>,
    },
    /// A snapshot is no longer pinned.
    Unpin {
        /// Which.
        snapshot: SnapshotId,
    },
    /// A metadata value changes.
    Meta {
        /// Of which snapshot.
        snapshot: SnapshotId,
        /// Which value.
        key: String,
        /// To what; `None` removes it.
        value: Option<String>,
    },
    /// A snapshot is dropped.
    Forget {
        /// Which.
        snapshot: SnapshotId,
        /// By which rule.
        reason: String,
    },
    /// It is not dropped after all.
    Unforget {
        /// Which.
        snapshot: SnapshotId,
    },
    /// The retention policy from now on.
    Policy {
        /// As TOML.
        toml: String,
    },
    /// A description changes.
    Describe {
        /// Of which snapshot.
        snapshot: SnapshotId,
        /// To what.
        text: Option<String>,
    },
}

/// One small immutable record of statements.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Note {
    /// Who says it.
    pub author: String,
    /// When, by that host's clock.
    pub time: Time,
    /// Notes that were known then.
    pub seen: BTreeSet<NoteId>,
    /// What is said.
    pub statements: Vec<Statement>,
}
