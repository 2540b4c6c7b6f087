//! From blobs to files: each blob is read, opened and decoded once, each chunk compared with its id, and written wherever it is wanted,
//! out of order and by several workers, in one file too.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rayon::prelude::*;

use crate::base::ids::ChunkId;
use crate::error::{Error, chain};
use crate::format::entry::{Extent, Metadata};
use crate::index::{BlobPlace, ChunkIndex as _};
use crate::monitor::{Monitor, Progress, Warning};
use crate::plan::restore::{BlobRead, Want, blob_reads};
use crate::repo::{ReadError, Repo};
use crate::sink::{Existing, SinkError, Target, TargetFile, TargetPath};

/// Wants that are planned together.
const BATCH_WANTS: usize = 1 << 16;
/// Files that are planned together: each may be open while its blobs come.
const BATCH_FILES: usize = 1 << 12;
const BATCH_LONG_FILES: usize = 400;

/// What all workers of a restore share.
pub(crate) struct RestoreContext<'r> {
    pub(crate) repo: &'r Repo,
    pub(crate) target: Option<&'r Target>,
    pub(crate) monitor: &'r dyn Monitor,
    /// Leaves runs of zeros out of files.
    pub(crate) sparse: bool,
    /// Files and bytes that there are.
    pub(crate) expected: (u64, u64),
    pub(crate) files_done: AtomicU64,
    pub(crate) written: AtomicU64,
    pub(crate) kept: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) blobs: AtomicU64,
    pub(crate) read: AtomicU64,
}

impl RestoreContext<'_> {
    pub(crate) fn warn(&self, item: impl std::fmt::Display, message: impl Into<String>) {
        self.monitor.warning(&Warning { item: item.to_string(), message: message.into() });
    }

    pub(crate) fn fail(&self, item: impl std::fmt::Display, message: impl Into<String>) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        self.warn(item, message);
    }

    fn report(&self) {
        let written = self.written.load(Ordering::Relaxed);
        self.monitor.progress(&Progress {
            files_done: self.files_done.load(Ordering::Relaxed),
            files_total: self.expected.0,
            bytes_done: written + self.kept.load(Ordering::Relaxed),
            bytes_total: self.expected.1,
            new_bytes: written,
            stored_bytes: self.read.load(Ordering::Relaxed),
        });
    }
}

/// One file that is being restored.
pub(crate) struct FileSlot {
    path: TargetPath,
    meta: Metadata,
    size: u64,
    /// Whether it was there before, so that holes must be made in it.
    was_there: bool,
    /// Runs that are not written yet, and one more until all runs are known.
    left: AtomicUsize,
    state: Mutex<SlotState>,
}

enum SlotState {
    /// Not opened yet. `reused` is a file that was there before.
    Waiting {
        reused: Option<TargetFile>,
    },
    Open(Arc<TargetFile>),
    Failed,
}

impl FileSlot {
    pub(crate) fn new(path: TargetPath, meta: Metadata, size: u64, reused: Option<TargetFile>) -> Self {
        let was_there = reused.is_some();
        Self { path, meta, size, was_there, left: AtomicUsize::new(1), state: Mutex::new(SlotState::Waiting { reused }) }
    }

    /// The file, made or opened on first use. `None` once it has failed.
    fn open(&self, context: &RestoreContext<'_>, target: &Target) -> Option<Arc<TargetFile>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *state {
            SlotState::Open(file) => return Some(Arc::clone(file)),
            SlotState::Failed => return None,
            SlotState::Waiting { reused } => match self.prepare(target, reused.take()) {
                Ok(file) => {
                    let file = Arc::new(file);
                    *state = SlotState::Open(Arc::clone(&file));
                    return Some(file);
                }
                Err(error) => context.fail(self.path.as_path().display(), chain(&error)),
            },
        }
        *state = SlotState::Failed;
        None
    }

    fn prepare(&self, target: &Target, reused: Option<TargetFile>) -> Result<TargetFile, SinkError> {
        let (file, is_new) = match reused {
            Some(file) => (file, false),
            None => (target.create_file(&self.path, Existing::ReplaceAll)?, true),
        };
        if !is_new || self.size > 0 {
            file.set_len(self.size)?;
        }
        Ok(file)
    }

    /// Makes a hole where bytes may have been.
    fn make_hole(&self, context: &RestoreContext<'_>, offset: u64, len: u64) {
        let Some(target) = context.target.filter(|_| self.was_there) else { return };
        let Some(file) = self.open(context, target) else { return };
        if let Err(error) = file.punch_hole(offset, len) {
            self.fail(context, chain(&error));
        }
    }

    fn fail(&self, context: &RestoreContext<'_>, message: String) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !matches!(*state, SlotState::Failed) {
            *state = SlotState::Failed;
            context.fail(self.path.as_path().display(), message);
        }
    }

    /// Ends the file when all its runs are done.
    fn done(&self, context: &RestoreContext<'_>, target: &Target, runs: usize) {
        if self.left.fetch_sub(runs, Ordering::AcqRel) == runs {
            self.finish(context, target);
        }
    }

    fn finish(&self, context: &RestoreContext<'_>, target: &Target) {
        let Some(file) = self.open(context, target) else { return };
        for warning in file.set_metadata(&self.meta) {
            context.warn(warning.path.display(), chain(&warning));
        }
        context.files_done.fetch_add(1, Ordering::Relaxed);
        context.monitor.file(&self.path.as_path().to_string_lossy(), "restored", self.size);
        // Closed now: a tree may have more files than a process may hold open.
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = SlotState::Waiting { reused: None };
    }
}

/// Files and runs that are planned and restored together.
#[derive(Default)]
pub(crate) struct RestoreBatch {
    files: Vec<Arc<FileSlot>>,
    wants: Vec<Want>,
    ids: Vec<ChunkId>,
    long_files: usize,
    /// Runs of the file that was begun last, so far.
    runs: usize,
}

impl RestoreBatch {
    /// Adds a file whose runs follow.
    pub(crate) fn begin(&mut self, slot: FileSlot) {
        self.files.push(Arc::new(slot));
        self.runs = 0;
    }

    /// Adds runs of the file that was begun last: where they are in it, and their extents. Holes are noted.
    pub(crate) fn add(&mut self, context: &RestoreContext<'_>, runs: &[(u64, Extent)]) -> Result<(), Error> {
        let number = self.files.len() as u32 - 1;
        let slot = Arc::clone(self.files.last().expect("a file was begun"));
        let mut chunks = Vec::with_capacity(runs.len());
        for (offset, extent) in runs {
            match *extent {
                Extent::Hole { len } => slot.make_hole(context, *offset, len),
                Extent::Chunk { id, len } => chunks.push((*offset, id, len)),
            }
        }
        let ids: Vec<_> = chunks.iter().map(|(_, id, _)| *id).collect();
        let found = context.repo.index()?.find(&ids)?;
        for ((offset, id, len), location) in chunks.into_iter().zip(found) {
            match location.filter(|location| location.len == len) {
                Some(at) => {
                    let file = number;
                    self.wants.push(Want { pack: at.pack, ordinal: at.ordinal, start: at.start, len, file, offset });
                    self.ids.push(id);
                    self.runs += 1;
                    slot.left.fetch_add(1, Ordering::AcqRel);
                }
                None => slot.fail(context, ReadError::Unknown(format!("chunk {id}")).to_string()),
            }
        }
        Ok(())
    }

    /// Ends the file that was begun last.
    pub(crate) fn end(&mut self, context: &RestoreContext<'_>) {
        let (Some(slot), Some(target)) = (self.files.last(), context.target) else { return };
        self.long_files += usize::from(self.runs > 4);
        slot.done(context, target, 1);
    }

    /// Whether it is time to run.
    pub(crate) fn is_full(&self) -> bool {
        self.wants.len() >= BATCH_WANTS || self.files.len() >= BATCH_FILES || self.long_files >= BATCH_LONG_FILES
    }

    /// Reads the blobs and writes the files.
    pub(crate) fn run(&mut self, context: &RestoreContext<'_>) -> Result<(), Error> {
        let batch = std::mem::take(self);
        // A file whose runs are not all known goes on in the next batch.
        self.files.extend(batch.files.last().cloned());
        // Sorting takes the wants from their ids, so those go along by place in the blob.
        let mut ids = HashMap::with_capacity(batch.wants.len());
        for (want, id) in batch.wants.iter().zip(&batch.ids) {
            ids.insert((want.pack, want.ordinal, want.start), *id);
        }
        let mut wants = batch.wants;
        let reads = blob_reads(&mut wants);
        context.blobs.fetch_add(reads.len() as u64, Ordering::Relaxed);
        let index = context.repo.index()?;
        context.repo.pool.install(|| {
            reads.par_iter().try_for_each(|read| {
                if context.monitor.interrupted() {
                    return Err(Error::new(
                        crate::error::ErrorKind::Interrupted,
                        "interrupted: some files are not restored, restore again to go on",
                    ));
                }
                let place = index.blob(read.pack, read.ordinal)?;
                let Some(place) = place else {
                    read.wants.iter().for_each(|want| batch.files[want.file as usize].fail(context, "the index lost a blob".into()));
                    return Ok(());
                };
                context.read.fetch_add(place.frame.sealed_len.into(), Ordering::Relaxed);
                if let Some(target) = context.target {
                    restore_blob(context, target, &batch.files, &ids, read, &place);
                    context.report();
                }
                Ok(())
            })
        })
    }
}

fn restore_blob(
    context: &RestoreContext<'_>,
    target: &Target,
    files: &[Arc<FileSlot>],
    ids: &HashMap<(u32, u32, u32), ChunkId>,
    read: &BlobRead<'_>,
    place: &BlobPlace,
) {
    let keys = &context.repo.keys;
    let plain = context.repo.read_blob(place, read.ordinal);
    let plain = match &plain {
        Ok(plain) => plain,
        Err(error) => {
            for want in read.wants {
                files[want.file as usize].fail(context, format!("its bytes from {} on are lost: {}", want.offset, chain(error)));
            }
            return;
        }
    };
    let mut verified: Option<(u32, bool)> = None;
    let mut good = |want: &Want| {
        if verified.is_none_or(|(start, _)| start != want.start) {
            let bytes = plain.get(want.start as usize..want.start as usize + want.len as usize);
            let expected = ids.get(&(want.pack, want.ordinal, want.start));
            verified = Some((want.start, bytes.is_some_and(|bytes| Some(&keys.chunk_id(bytes)) == expected)));
        }
        verified.is_some_and(|(_, good)| good)
    };
    let wants: Vec<&Want> = read
        .wants
        .iter()
        .filter(|want| {
            let good = good(want);
            if !good {
                files[want.file as usize].fail(context, format!("its bytes from {} on are damaged in the repository", want.offset));
            }
            good
        })
        .collect();
    // Chunks that follow one another in the blob and in the file are written at once.
    let follows = |a: &&Want, b: &&Want| a.file == b.file && a.start + a.len == b.start && a.offset + u64::from(a.len) == b.offset;
    for run in wants.chunk_by(follows) {
        let (first, last) = (run[0], run[run.len() - 1]);
        let slot = &files[first.file as usize];
        let bytes = &plain[first.start as usize..(last.start + last.len) as usize];
        let Some(file) = slot.open(context, target) else { continue };
        if let Err(error) = write(context, &file, first.offset, bytes) {
            slot.fail(context, chain(&error));
            continue;
        }
        context.written.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        drop(file);
        slot.done(context, target, run.len());
    }
}

fn write(context: &RestoreContext<'_>, file: &TargetFile, offset: u64, bytes: &[u8]) -> Result<(), SinkError> {
    const PAGE: usize = 4096;
    if !context.sparse {
        return file.write_at(offset, bytes);
    }
    let zero = |page: &[u8]| page.iter().all(|byte| *byte == 0);
    let pages: Vec<(usize, bool)> = bytes.chunks(PAGE).map(|page| (page.len(), page.len() == PAGE && zero(page))).collect();
    let mut at = 0;
    for run in pages.chunk_by(|a, b| a.1 == b.1) {
        let len: usize = run.iter().map(|(len, _)| len).sum();
        if run[0].1 {
            file.punch_hole(offset + at as u64, len as u64)?;
        } else {
            file.write_at(offset + at as u64, &bytes[at..at + len])?;
        }
        at += len;
    }
    Ok(())
}
