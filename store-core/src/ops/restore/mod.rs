//! `restore`: writes what a snapshot has beneath a folder.
//!
//! The walk (`walk`) goes through the tree level by level and without recursion; `entries` places what it meets, as far as `guard` allows
//! where something stands already, and `file` finds out which bytes of a regular file are wanted. `verify` walks again and compares.

mod entries;
mod file;
mod guard;
mod lost;
mod spare;
mod verify;
mod walk;

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use entries::Restorer;
pub use lost::missing;
use verify::Verifier;
use walk::walk;

use crate::error::{Error, ErrorKind};
use crate::monitor::Monitor;
use crate::pipeline::{RestoreContext, RestoreCounts};
use crate::repo::{Repo, StoredSnapshot};
use crate::sink::{SinkError, Target, TargetPath};
use crate::source::Excludes;

/// What happens to an entry where something is already, whatever it is: a file, a link, a pipe, a device, a folder. A folder that stays
/// as it is keeps its metadata; what it lacks is made in it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Overwrite {
    /// It becomes what the snapshot has. Of a file that is there, only bytes that differ are written.
    #[default]
    Always,
    /// The same, unless it is of the same kind, size (target, device) and modification time: then it stays as it is. A folder gets the
    /// metadata of the snapshot.
    IfChanged,
    /// It becomes what the snapshot has if its modification time is older than that of the snapshot; else it stays as it is.
    IfNewer,
    /// It stays as it is.
    Never,
}

/// What to restore, and how.
#[derive(Debug, Default)]
pub struct Options {
    /// The folder to write beneath; made if it is not there.
    pub target: PathBuf,
    /// What of the snapshot: the content of this directory, or this one file. Empty for all.
    pub path: Vec<u8>,
    /// If given, only what these match, and what is below it.
    pub include: Option<Excludes>,
    /// Not what these match, nor what is below it.
    pub exclude: Option<Excludes>,
    /// What happens to what is there.
    pub overwrite: Overwrite,
    /// Removes what is there and not in the snapshot.
    pub delete: bool,
    /// Reads all files again afterwards and compares.
    pub verify: bool,
    /// Writes runs of zeros as holes.
    pub sparse: bool,
    /// Writes nothing, and reports what would be.
    pub dry_run: bool,
}

/// What was done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Report {
    /// Files.
    pub files: u64,
    /// Directories.
    pub directories: u64,
    /// Links, pipes, devices.
    pub others: u64,
    /// Of all these, what was there and stayed as it was, as [`Overwrite`] has it.
    pub skipped: u64,
    /// Bytes of the files.
    pub bytes: u64,
    /// Bytes that were written.
    pub written_bytes: u64,
    /// Bytes that were there and right, and those of files that stayed as they were.
    pub kept_bytes: u64,
    /// Things removed that are not in the snapshot.
    pub deleted: u64,
    /// Entries that could not be restored.
    pub failed: u64,
    /// The gravest reason for which one of these could not: damage, then no space, then a store that cannot be reached, then anything else.
    pub gravest: Option<ErrorKind>,
    /// What a repaired snapshot lacks of what was asked for: it was lost before.
    pub lost: u64,
    /// Blobs of file contents that were needed, with those that they are coded against.
    pub blobs: u64,
    /// How many blobs were decoded for that. More than were needed when memory did not hold a base until its last use, or when files
    /// were too many to be planned together.
    pub decoded: u64,
    /// Bytes of them read from packs.
    pub read_bytes: u64,
    /// Plain bytes that were lost and came from the second repository.
    pub spared_bytes: u64,
    /// How long it took.
    pub duration: Duration,
}

/// Restores a snapshot, or a part of it. Every chunk is compared with its id before it reaches a file.
///
/// # Errors
/// When nothing can be read or written at all. What concerns single entries is a warning and is counted in `failed`.
pub fn restore(repo: &Repo, stored: &StoredSnapshot, options: &Options, monitor: &dyn Monitor) -> Result<Report, Error> {
    restore_with(repo, stored, None, options, monitor)
}

/// The same with a second repository that has a copy of the snapshot, or others of the same files: chunks that cannot be read in the first one
/// are read there. They too have the ids that the snapshot names. Lists of names and of chunks are those of the first repository: where one
/// of these is lost, so is what it lists.
///
/// # Errors
/// The same, and when the second repository's snapshots cannot be listed.
pub fn restore_with(
    repo: &Repo,
    stored: &StoredSnapshot,
    second: Option<&Repo>,
    options: &Options,
    monitor: &dyn Monitor,
) -> Result<Report, Error> {
    repo.refresh()?;
    let started = Instant::now();
    let start = repo.find(stored, &options.path)?;
    let spare = second.map(|second| spare::of(repo, stored, &start, options, second)).transpose()?;
    let target_was_there = options.target.exists();
    let target = if options.dry_run { None } else { Some(Target::open(&options.target, true)?) };
    let totals = &stored.snapshot.totals;
    let passes = if options.verify && target.is_some() { 2 } else { 1 };
    let expected = (totals.files, totals.bytes.saturating_mul(passes));
    let context = RestoreContext {
        repo,
        target: target.as_ref(),
        monitor,
        sparse: options.sparse,
        counts: RestoreCounts { expected, ..RestoreCounts::default() },
        spare,
        other: Mutex::default(),
    };
    let mut restorer = Restorer::new(&context, options, target_was_there);
    walk(repo, &start, options, &mut restorer)?;
    let mut report = restorer.finish()?;
    if let (true, Some(target)) = (options.verify, &target) {
        walk(repo, &start, options, &mut Verifier { context: &context, target })?;
    }
    let missing = missing(stored, options);
    missing.iter().for_each(|warning| monitor.warning(warning));
    report.lost = missing.len() as u64;
    let counts = &context.counts;
    report.written_bytes = counts.written.load(Ordering::Relaxed);
    report.kept_bytes = counts.kept.load(Ordering::Relaxed);
    report.failed = counts.failed.load(Ordering::Relaxed);
    report.gravest = *counts.gravest.lock().unwrap_or_else(PoisonError::into_inner);
    report.blobs = counts.blobs.load(Ordering::Relaxed);
    report.decoded = counts.decoded.load(Ordering::Relaxed);
    report.read_bytes = counts.read.load(Ordering::Relaxed);
    report.spared_bytes = counts.spared.load(Ordering::Relaxed);
    report.duration = started.elapsed();
    Ok(report)
}

impl From<SinkError> for Error {
    fn from(error: SinkError) -> Self {
        Self::with(error.kind(), "cannot restore there", error)
    }
}

/// Where a walk is: in the target, in the snapshot, and whether all from here on is wanted.
struct Here {
    target: TargetPath,
    shown: PathBuf,
    wanted: bool,
}
