//! `restore`: writes what a snapshot has beneath a folder.
//!
//! The walk (`walk`) goes through the tree level by level and without recursion; `entries` places what it meets, as far as `guard` allows
//! where something stands already, and `file` finds out which bytes of a regular file are wanted. `delete` walks again once all is there, and
//! `verify` once more and compares.

mod delete;
mod entries;
mod file;
mod guard;
mod lost;
pub(super) mod spare;
mod verify;
mod walk;

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use delete::Deleter;
use entries::Restorer;
use lost::Precious;
pub use lost::missing;
use verify::Verifier;
use walk::walk;

use crate::backend::Location;
use crate::error::{Error, ErrorKind};
use crate::format::entry::Entry;
use crate::format::lost::LOST;
use crate::monitor::Monitor;
use crate::pipeline::{RestoreContext, RestoreCounts};
use crate::repo::{Repo, StoredSnapshot};
use crate::sink::{Keep, SinkError, Target, TargetPath};
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
    /// Removes what is there and not in the snapshot, once all that is in it was restored without a failure. Not the repositories that are
    /// read, nor their caches; and not what may be what a repaired snapshot lacks.
    pub delete: bool,
    /// What else is never removed: files and folders, wherever they are. What is not there is no error.
    pub keep: Vec<PathBuf>,
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
    /// Things removed that are not in the snapshot, or that would be: a folder with all that is in it is one.
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
    let keep = keep(repo, second, options)?;
    let target = if options.dry_run { None } else { Some(Target::open_keeping(&options.target, true, keep.clone())?) };
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
        finished: Mutex::default(),
    };
    let mut restorer = Restorer::new(&context, stored.id, options, target_was_there);
    walk(repo, &start, options, &mut restorer)?;
    restorer.write_rest()?;
    let deleted = if options.delete { delete(&context, &start, options, stored, keep) } else { Ok(0) };
    // Folders get their metadata even if the deleting was cut off: all is restored by then.
    let mut report = restorer.finish();
    report.deleted = deleted?;
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

/// What has to stay: the repositories that are read, with their caches, and what the caller names.
fn keep(repo: &Repo, second: Option<&Repo>, options: &Options) -> Result<Keep, Error> {
    let mut keep = Keep::default();
    let failed = |path: &Path, error| Error::with(ErrorKind::Failed, format!("cannot look at {}", path.display()), error);
    for repo in [Some(repo), second].into_iter().flatten() {
        // What is no folder is nowhere that a target could be.
        let folder = match Location::parse(&repo.location()) {
            Ok(Location::Folder(folder)) => Some(folder),
            _ => None,
        };
        for path in folder.iter().chain([&repo.cache_dir]) {
            keep.close(path).map_err(|error| failed(path, error))?;
        }
    }
    options.keep.iter().try_for_each(|path| keep.keep(path).map_err(|error| failed(path, error)))?;
    Ok(keep)
}

/// Deletes what is too much, if all that there should be is there. Says how much that was.
fn delete(context: &RestoreContext<'_>, start: &Entry, options: &Options, stored: &StoredSnapshot, keep: Keep) -> Result<u64, Error> {
    if context.counts.failed.load(Ordering::Relaxed) > 0 {
        context.warn("/", "nothing was deleted, since not all was restored");
        return Ok(0);
    }
    let precious = Precious::of(stored.snapshot.extra.get(LOST).map(Vec::as_slice), &options.path);
    if precious.is_everything() {
        context.warn("/", "nothing was deleted, since it may be what the snapshot lost: it does not say what that was");
        return Ok(0);
    }
    let looked;
    let target = match context.target {
        Some(target) => target,
        None if !options.target.exists() => return Ok(0),
        None => {
            looked = Target::open_keeping(&options.target, false, keep)?;
            &looked
        }
    };
    let mut deleter = Deleter { context, options, target, precious, deleted: 0 };
    walk(context.repo, start, options, &mut deleter)?;
    Ok(deleter.deleted)
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
