//! `restore`: writes the files of a snapshot beneath a folder.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rayon::prelude::*;

use crate::error::{Error, ErrorKind, chain};
use crate::format::entry::{Content, Entry, Extent, Kind, Metadata, Timestamp};
use crate::merkle::{EntriesCursor, ExtentsCursor, MerkleError};
use crate::monitor::Monitor;
use crate::pipeline::{FileSlot, RestoreBatch, RestoreContext};
use crate::repo::{ReadError, Repo, StoredSnapshot};
use crate::sink::{Existing, SinkError, Target, TargetFile, TargetPath};
use crate::source::Excludes;

/// What happens to a file that is there already.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Overwrite {
    /// Its bytes are compared, and what differs is written.
    #[default]
    Always,
    /// The same, unless size and modification time are those of the snapshot.
    IfChanged,
    /// The same, if the snapshot's is newer.
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
    /// What happens to files that are there.
    pub overwrite: Overwrite,
    /// Removes what is there and not in the snapshot.
    pub delete: bool,
    /// Reads everything again afterwards and compares.
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
    /// Bytes of the files.
    pub bytes: u64,
    /// Bytes that were written.
    pub written_bytes: u64,
    /// Bytes that were there and right.
    pub kept_bytes: u64,
    /// Things removed that are not in the snapshot.
    pub deleted: u64,
    /// Entries that could not be restored.
    pub failed: u64,
    /// Blobs read.
    pub blobs: u64,
    /// Bytes read from packs.
    pub read_bytes: u64,
    /// How long it took.
    pub duration: Duration,
}

/// Restores a snapshot, or a part of it. Every chunk is compared with its id before it reaches a file.
///
/// # Errors
/// When nothing can be read or written at all. What concerns single entries is a warning and is counted in `failed`.
pub fn restore(repo: &Repo, stored: &StoredSnapshot, options: &Options, monitor: &dyn Monitor) -> Result<Report, Error> {
    repo.refresh()?;
    let started = Instant::now();
    let start = find(repo, stored, &options.path)?;
    let target = if options.dry_run { None } else { Some(Target::open(&options.target, true)?) };
    let totals = &stored.snapshot.totals;
    let context = RestoreContext {
        repo,
        target: target.as_ref(),
        monitor,
        sparse: options.sparse,
        expected: (totals.files, totals.bytes),
        files_done: AtomicU64::new(0),
        written: AtomicU64::new(0),
        kept: AtomicU64::new(0),
        failed: AtomicU64::new(0),
        blobs: AtomicU64::new(0),
        read: AtomicU64::new(0),
    };
    let mut restorer = Restorer {
        context: &context,
        options,
        batch: RestoreBatch::default(),
        report: Report::default(),
        directories: Vec::new(),
        made: HashSet::new(),
        links: HashMap::new(),
        pending_links: Vec::new(),
        comparing: false,
    };
    restorer.all(&start)?;
    let mut report = restorer.finish()?;
    if let (true, Some(_)) = (options.verify, &target) {
        restorer.comparing = true;
        restorer.all(&start)?;
    }
    report.written_bytes = context.written.load(Ordering::Relaxed);
    report.kept_bytes = if options.verify { report.kept_bytes } else { context.kept.load(Ordering::Relaxed) };
    report.failed = context.failed.load(Ordering::Relaxed);
    report.blobs = context.blobs.load(Ordering::Relaxed);
    report.read_bytes = context.read.load(Ordering::Relaxed);
    report.duration = started.elapsed();
    Ok(report)
}

/// The entry at `path` in a snapshot: its root directory for an empty path.
pub(crate) fn find(repo: &Repo, stored: &StoredSnapshot, path: &[u8]) -> Result<Entry, Error> {
    let mut found =
        EntriesCursor::new(repo, Some(stored.snapshot.root)).next().map_err(unreadable)?.ok_or_else(|| not_there(path, stored))?;
    for name in path.split(|byte| *byte == b'/').filter(|name| !name.is_empty() && *name != b".") {
        let Kind::Directory { entries } = found.kind else { return Err(not_there(path, stored)) };
        found = EntriesCursor::new(repo, entries).find(name).map_err(unreadable)?.ok_or_else(|| not_there(path, stored))?;
    }
    Ok(found)
}

fn not_there(path: &[u8], stored: &StoredSnapshot) -> Error {
    let message = format!("snapshot {} has no '{}': `snap ls` shows what it has", stored.id.short(), String::from_utf8_lossy(path));
    Error::new(ErrorKind::Usage, message)
}

fn unreadable(error: MerkleError<ReadError>) -> Error {
    Error::with(ErrorKind::Damage, "a list of the snapshot cannot be read", error)
}

impl From<SinkError> for Error {
    fn from(error: SinkError) -> Self {
        Self::with(ErrorKind::Failed, "cannot restore there", error)
    }
}

struct Restorer<'c, 'r> {
    context: &'c RestoreContext<'r>,
    options: &'c Options,
    batch: RestoreBatch,
    report: Report,
    directories: Vec<(TargetPath, Metadata)>,
    /// Directories made only because something in them is wanted.
    made: HashSet<TargetPath>,
    /// The first name of each file with several.
    links: HashMap<(u64, u64), TargetPath>,
    pending_links: Vec<(TargetPath, TargetPath)>,
    /// Whether this is the second pass, which compares.
    comparing: bool,
}

/// Where the walk is: in the target, in the snapshot, and whether all from here on is wanted.
#[derive(Clone)]
struct Here {
    target: TargetPath,
    shown: PathBuf,
    wanted: bool,
}

impl Restorer<'_, '_> {
    fn all(&mut self, start: &Entry) -> Result<(), Error> {
        let here = Here { target: TargetPath::root(), shown: PathBuf::from("/"), wanted: self.options.include.is_none() };
        match &start.kind {
            Kind::Directory { entries } => {
                // The root of several paths, or of a stream, has nothing to say of the target folder itself.
                let real = start.meta.inode != 0;
                if real && here.wanted && !self.comparing {
                    self.directories.push((here.target.clone(), start.meta.clone()));
                }
                self.directory(*entries, &here)?;
            }
            _ => self.entry(start, &here)?,
        }
        self.batch.run(self.context)
    }

    fn directory(&mut self, entries: Option<crate::base::ids::NodeId>, here: &Here) -> Result<(), Error> {
        let mut cursor = EntriesCursor::new(self.context.repo, entries);
        let mut names = HashSet::new();
        loop {
            match cursor.next() {
                Ok(Some(entry)) => {
                    if self.options.delete {
                        names.insert(entry.name.clone());
                    }
                    self.entry(&entry, here)?;
                }
                Ok(None) => break,
                Err(error) => {
                    self.context.fail(here.shown.display(), format!("the rest of this directory is lost: {}", chain(&error)));
                    return Ok(());
                }
            }
        }
        if self.options.delete && here.wanted && !self.comparing {
            self.delete_others(&names, here);
        }
        Ok(())
    }

    fn delete_others(&mut self, names: &HashSet<Vec<u8>>, here: &Here) {
        let Some(target) = self.context.target else { return };
        let listed = match target.list(&here.target) {
            Ok(listed) => listed,
            Err(error) => return self.context.fail(here.target.as_path().display(), chain(&error)),
        };
        for other in listed.into_iter().filter(|listed| !names.contains(&listed.name)) {
            let shown = here.shown.join(as_path(&other.name));
            if self.options.exclude.as_ref().is_some_and(|exclude| exclude.matches(&shown)) {
                continue;
            }
            match here.target.child(&other.name).and_then(|path| target.remove(&path)) {
                Ok(_) => self.report.deleted += 1,
                Err(error) => self.context.fail(shown.display(), chain(&error)),
            }
        }
    }

    fn entry(&mut self, entry: &Entry, above: &Here) -> Result<(), Error> {
        let shown = above.shown.join(as_path(&entry.name));
        if self.options.exclude.as_ref().is_some_and(|exclude| exclude.matches(&shown)) {
            return Ok(());
        }
        let wanted = above.wanted || self.options.include.as_ref().is_some_and(|include| include.matches(&shown));
        let target = match above.target.child(&entry.name) {
            Ok(target) => target,
            Err(error) => {
                self.context.fail(shown.display(), chain(&error));
                return Ok(());
            }
        };
        let here = Here { target, shown, wanted };
        if let Kind::Directory { entries } = entry.kind {
            if wanted && !self.make_directory(&here, &entry.meta) {
                return Ok(());
            }
            return self.directory(entries, &here);
        }
        if !wanted || !self.make_above(&above.target) {
            return Ok(());
        }
        match &entry.kind {
            Kind::File { size, content } => self.file(entry, *size, content, &here),
            _ if self.comparing => Ok(()),
            _ => {
                self.other(entry, &here);
                Ok(())
            }
        }
    }

    fn make_directory(&mut self, here: &Here, meta: &Metadata) -> bool {
        if self.comparing {
            return true;
        }
        self.report.directories += 1;
        if !self.make_above(&here.target) {
            return false;
        }
        self.directories.push((here.target.clone(), meta.clone()));
        true
    }

    /// Makes the directory at `path` and those above it, once.
    fn make_above(&mut self, path: &TargetPath) -> bool {
        let Some(target) = self.context.target else { return true };
        if self.comparing || path.is_root() || self.made.contains(path) {
            return true;
        }
        if let Err(error) = target.make_dirs(path, Existing::ReplaceAll) {
            self.context.fail(path.as_path().display(), chain(&error));
            return false;
        }
        self.made.insert(path.clone());
        true
    }

    fn other(&mut self, entry: &Entry, here: &Here) {
        self.report.others += 1;
        let Some(target) = self.context.target else { return };
        if let Some(original) = self.other_name(entry, here) {
            self.pending_links.push((original, here.target.clone()));
            return;
        }
        let path = &here.target;
        let made = match &entry.kind {
            Kind::Symlink { target: to } => target.symlink(path, to, Existing::ReplaceAll),
            Kind::Fifo => target.make_fifo(path, Existing::ReplaceAll),
            Kind::CharDevice { rdev } | Kind::BlockDevice { rdev } => {
                match target.make_device(path, matches!(entry.kind, Kind::BlockDevice { .. }), *rdev, Existing::ReplaceAll) {
                    Ok(Some(warning)) => return self.context.warn(here.shown.display(), chain(&warning)),
                    made => made.map(|_| ()),
                }
            }
            // Whoever listens on a socket makes it again.
            _ => return,
        };
        match made.and_then(|()| target.set_metadata(path, &entry.meta)) {
            Ok(warnings) => warnings.iter().for_each(|warning| self.context.warn(here.shown.display(), chain(warning))),
            Err(error) => self.context.fail(here.shown.display(), chain(&error)),
        }
    }

    /// The name under which this file was restored before, if this is another one.
    fn other_name(&mut self, entry: &Entry, here: &Here) -> Option<TargetPath> {
        if entry.meta.links < 2 || entry.meta.inode == 0 {
            return None;
        }
        match self.links.entry((entry.meta.device, entry.meta.inode)) {
            std::collections::hash_map::Entry::Occupied(first) => Some(first.get().clone()),
            std::collections::hash_map::Entry::Vacant(slot) => {
                slot.insert(here.target.clone());
                None
            }
        }
    }

    fn file(&mut self, entry: &Entry, size: u64, content: &Content, here: &Here) -> Result<(), Error> {
        if self.comparing {
            return self.compare(size, content, here);
        }
        self.report.files += 1;
        self.report.bytes += size;
        if let Some(original) = self.other_name(entry, here) {
            self.pending_links.push((original, here.target.clone()));
            return Ok(());
        }
        let reused = match self.context.target.map(|target| target.reuse_file(&here.target)) {
            Some(Ok(reused)) => reused,
            Some(Err(error)) => {
                self.context.fail(here.shown.display(), chain(&error));
                return Ok(());
            }
            None => None,
        };
        if let Some(file) = &reused
            && self.stays(file, entry.meta.mtime, size)?
        {
            self.context.kept.fetch_add(size, Ordering::Relaxed);
            self.context.files_done.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        }
        // The file is compared before it is handed over to those who write to it.
        let mut reader = Runs::new(self.context.repo, content);
        let mut runs = Vec::new();
        let mut first = true;
        let mut at = 0;
        let mut holder = reused;
        loop {
            runs.clear();
            if let Err(error) = reader.next_runs(&mut at, &mut runs) {
                self.context.fail(here.shown.display(), format!("its list of chunks cannot be read: {}", chain(&error)));
                return Ok(());
            }
            let end = runs.is_empty();
            if let Some(file) = &holder {
                self.drop_kept(file, &mut runs);
            }
            if first {
                let whole = end || reader.is_done();
                if holder.is_some() && !whole {
                    // All runs are compared through this handle before it goes to the workers.
                    let mut more = Vec::new();
                    while !reader.is_done() {
                        if let Err(error) = reader.next_runs(&mut at, &mut more) {
                            self.context.fail(here.shown.display(), format!("its list of chunks cannot be read: {}", chain(&error)));
                            return Ok(());
                        }
                        if let Some(file) = &holder {
                            self.drop_kept(file, &mut more);
                        }
                        runs.append(&mut more);
                    }
                }
                self.batch.begin(FileSlot::new(here.target.clone(), entry.meta.clone(), size, holder.take()));
                first = false;
            }
            self.batch.add(self.context, &runs)?;
            if self.batch.is_full() {
                self.batch.run(self.context)?;
            }
            if end || reader.is_done() {
                break;
            }
        }
        if at != size {
            self.context.fail(here.shown.display(), "its chunks do not add up to its size");
        }
        self.batch.end(self.context);
        Ok(())
    }

    /// Whether a file that is there is left alone.
    fn stays(&self, file: &TargetFile, mtime: Timestamp, size: u64) -> Result<bool, Error> {
        Ok(match self.options.overwrite {
            Overwrite::Always => false,
            Overwrite::Never => true,
            Overwrite::IfChanged => file.len()? == size && file.modified()? == mtime,
            Overwrite::IfNewer => file.modified()? >= mtime,
        })
    }

    /// Takes out of `runs` what the file holds already.
    fn drop_kept(&self, file: &TargetFile, runs: &mut Vec<(u64, Extent)>) {
        let keys = &self.context.repo.keys;
        let right = |(offset, extent): &(u64, Extent)| match extent {
            Extent::Hole { .. } => false,
            Extent::Chunk { id, len } => {
                let mut bytes = vec![0; *len as usize];
                file.read_exact_at(*offset, &mut bytes).is_ok() && keys.chunk_id(&bytes) == *id
            }
        };
        let kept: Vec<bool> = self.context.repo.pool.install(|| runs.par_iter().map(right).collect());
        let mut kept = kept.into_iter();
        runs.retain(|(_, extent)| {
            let is_kept = kept.next().unwrap_or(false);
            if is_kept {
                self.context.kept.fetch_add(extent.len(), Ordering::Relaxed);
            }
            !is_kept
        });
    }

    /// Compares a restored file with the snapshot.
    fn compare(&mut self, size: u64, content: &Content, here: &Here) -> Result<(), Error> {
        let Some(target) = self.context.target else { return Ok(()) };
        let differs = || self.context.fail(here.shown.display(), "what was written cannot be read back: is the disk sound?");
        let path = std::path::Path::new(target.path()).join(here.target.as_path());
        let Ok(file) = crate::source::OpenFile::open(&path) else {
            differs();
            return Ok(());
        };
        let mut reader = Runs::new(self.context.repo, content);
        let (mut at, mut runs) = (0, Vec::new());
        let keys = &self.context.repo.keys;
        while !reader.is_done() {
            runs.clear();
            reader.next_runs(&mut at, &mut runs).map_err(unreadable)?;
            let right = |(offset, extent): &(u64, Extent)| match extent {
                Extent::Hole { .. } => true,
                Extent::Chunk { id, len } => {
                    let mut bytes = vec![0; *len as usize];
                    file.read_exact_at(*offset, &mut bytes).is_ok() && keys.chunk_id(&bytes) == *id
                }
            };
            if !self.context.repo.pool.install(|| runs.par_iter().all(right)) {
                differs();
                return Ok(());
            }
        }
        if file.len() != size {
            differs();
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<Report, Error> {
        self.batch.run(self.context)?;
        if let Some(target) = self.context.target {
            for (original, path) in std::mem::take(&mut self.pending_links) {
                if let Err(error) = target.hard_link(&original, &path, Existing::ReplaceAll) {
                    self.context.fail(path.as_path().display(), chain(&error));
                }
            }
            let (warnings, errors) = target.finish_directories(std::mem::take(&mut self.directories));
            warnings.iter().for_each(|warning| self.context.warn(warning.path.display(), chain(warning)));
            errors.iter().for_each(|error| self.context.fail("a directory", chain(error)));
        }
        Ok(self.report)
    }
}

/// Gives a file's extents with their offsets, some at a time.
struct Runs<'r> {
    source: RunSource<'r>,
    done: bool,
}

enum RunSource<'r> {
    Inline(Vec<Extent>),
    List(ExtentsCursor<'r, Repo>),
}

/// Extents that are handled together.
const RUNS: usize = 1024;

impl<'r> Runs<'r> {
    fn new(repo: &'r Repo, content: &Content) -> Self {
        let source = match content {
            Content::Inline(extents) => RunSource::Inline(extents.clone()),
            Content::List(root) => RunSource::List(ExtentsCursor::new(repo, *root)),
        };
        Self { source, done: false }
    }

    fn is_done(&self) -> bool {
        self.done
    }

    fn next_runs(&mut self, at: &mut u64, runs: &mut Vec<(u64, Extent)>) -> Result<(), MerkleError<ReadError>> {
        let mut add = |extent: Extent| {
            runs.push((*at, extent));
            *at = at.saturating_add(extent.len());
        };
        match &mut self.source {
            RunSource::Inline(extents) => {
                extents.drain(..).for_each(&mut add);
                self.done = true;
            }
            RunSource::List(cursor) => {
                for _ in 0..RUNS {
                    match cursor.next()? {
                        Some(extent) => add(extent),
                        None => {
                            self.done = true;
                            break;
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

fn as_path(name: &[u8]) -> &std::path::Path {
    std::path::Path::new(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(name))
}
