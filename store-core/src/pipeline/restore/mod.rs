//! From blobs to files: each blob is read, opened and decoded once, each chunk compared with its id, and written wherever it is wanted,
//! out of order and by several workers, in one file too.

mod ahead;
mod batch;
mod kept;
mod run;
mod slot;
mod spare;

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

pub(crate) use batch::RestoreBatch;
pub(crate) use slot::FileSlot;
pub(crate) use spare::Spare;

use crate::error::ErrorKind;
use crate::format::entry::Metadata;
use crate::monitor::{Monitor, Progress, Warning};
use crate::repo::Repo;
use crate::sink::{Target, TargetPath};

/// What all workers of a restore share.
pub(crate) struct RestoreContext<'r> {
    pub(crate) repo: &'r Repo,
    /// `None` in a dry run.
    pub(crate) target: Option<&'r Target>,
    pub(crate) monitor: &'r dyn Monitor,
    /// Leaves runs of zeros out of files.
    pub(crate) sparse: bool,
    pub(crate) counts: Counts,
    /// From where what is lost is read, if there is such a place.
    pub(crate) spare: Option<Spare<'r>>,
    /// Files that are not as they are in the snapshot, since they failed or were left as they were.
    pub(crate) other: Mutex<HashSet<TargetPath>>,
    /// Of files with several names, the names under which they were restored to their end.
    pub(crate) finished: Mutex<HashSet<TargetPath>>,
}

/// Counts that all workers add to.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Files and bytes to work through.
    pub(crate) expected: (u64, u64),
    pub(crate) files_done: AtomicU64,
    /// Bytes worked through: written, found right, left as they were, made holes, compared.
    pub(crate) bytes_done: AtomicU64,
    pub(crate) written: AtomicU64,
    pub(crate) kept: AtomicU64,
    pub(crate) failed: AtomicU64,
    /// The gravest reason for which one of these failed.
    pub(crate) gravest: Mutex<Option<ErrorKind>>,
    /// Blobs that are needed, bases among them.
    pub(crate) blobs: AtomicU64,
    /// Blobs that were decoded, again ones counted again.
    pub(crate) decoded: AtomicU64,
    pub(crate) read: AtomicU64,
    /// Plain bytes that were read from the second repository.
    pub(crate) spared: AtomicU64,
}

/// Damage is to be known of whatever else fails; then what somebody can do something about.
fn gravity(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::Damage => 3,
        ErrorKind::NoSpace => 2,
        ErrorKind::Unreachable => 1,
        _ => 0,
    }
}

impl RestoreContext<'_> {
    pub(crate) fn warn(&self, item: impl std::fmt::Display, message: impl Into<String>) {
        self.monitor.warning(&Warning { item: item.to_string(), message: message.into() });
    }

    pub(crate) fn fail(&self, item: impl std::fmt::Display, message: impl Into<String>) {
        self.fail_as(ErrorKind::Failed, item, message);
    }

    /// Counts an entry that failed for such a reason, and tells.
    pub(crate) fn fail_as(&self, kind: ErrorKind, item: impl std::fmt::Display, message: impl Into<String>) {
        self.counts.failed.fetch_add(1, Ordering::Relaxed);
        let mut gravest = self.counts.gravest.lock().unwrap_or_else(PoisonError::into_inner);
        if gravest.is_none_or(|before| gravity(kind) > gravity(before)) {
            *gravest = Some(kind);
        }
        drop(gravest);
        self.warn(item, message);
    }

    /// Fails the entry at `path`, so that nobody compares it, or what is beneath, later.
    pub(crate) fn fail_at(&self, path: &TargetPath, kind: ErrorKind, message: impl Into<String>) {
        self.is_other(path);
        self.fail_as(kind, path.as_path().display(), message);
    }

    /// Notes that what is at `path` is not what the snapshot has.
    pub(crate) fn is_other(&self, path: &TargetPath) {
        self.other.lock().unwrap_or_else(PoisonError::into_inner).insert(path.clone());
    }

    /// Notes that what is at `path` is all there, if it will get other names.
    pub(crate) fn is_finished(&self, path: &TargetPath, meta: &Metadata) {
        if meta.links > 1 {
            self.finished.lock().unwrap_or_else(PoisonError::into_inner).insert(path.clone());
        }
    }

    /// Counts bytes that were worked through, and tells.
    pub(crate) fn advance(&self, bytes: u64) {
        let counts = &self.counts;
        let bytes_done = counts.bytes_done.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.monitor.progress(&Progress {
            files_done: counts.files_done.load(Ordering::Relaxed),
            files_total: counts.expected.0,
            bytes_done,
            bytes_total: counts.expected.1,
            new_bytes: counts.written.load(Ordering::Relaxed),
            stored_bytes: counts.read.load(Ordering::Relaxed),
        });
    }
}
