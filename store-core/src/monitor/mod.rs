//! L3: how an operation tells of its progress while it runs, and learns that it should stop.

use std::fmt;

/// Counts of a running operation. All only grow, but for the totals, which become known while it runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Files (or objects) finished.
    pub files_done: u64,
    /// Files (or objects) there are, as far as is known.
    pub files_total: u64,
    /// Plain bytes worked through.
    pub bytes_done: u64,
    /// Plain bytes there are, as far as is known.
    pub bytes_total: u64,
    /// Plain bytes that the repository did not hold yet (push), or that were written (restore).
    pub new_bytes: u64,
    /// Bytes written to the repository.
    pub stored_bytes: u64,
}

/// Something that went wrong with one file, which the operation goes on without.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// What it is about: a path, an object.
    pub item: String,
    /// What happened and what follows.
    pub message: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.item, self.message)
    }
}

/// What an operation talks to while it runs. Calls come from several threads.
pub trait Monitor: Send + Sync {
    /// Counts changed. Called often: a receiver draws when it likes.
    fn progress(&self, _progress: &Progress) {}

    /// A file was finished; `what` says how: `new`, `changed`, `unmodified`, `restored`.
    fn file(&self, _path: &str, _what: &'static str, _bytes: u64) {}

    /// Something went wrong that does not end the operation.
    fn warning(&self, _warning: &Warning) {}

    /// What `-vv` shows: decisions with their reasons.
    fn detail(&self, _message: &dyn fmt::Display) {}

    /// Whether the operation should stop at the next good place, leaving the repository clean.
    fn interrupted(&self) -> bool {
        false
    }
}

/// Hears nothing and never interrupts.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Monitor for Silent {}
