//! One file that is being restored: made late, closed as soon as its last byte is there.

use std::os::unix::ffi::OsStrExt as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::RestoreContext;
use crate::base::ids::ChunkId;
use crate::error::{ErrorKind, chain};
use crate::format::entry::Metadata;
use crate::sink::{Existing, SinkError, Target, TargetFile, TargetPath};

/// Said of a file of which the runs that were planned were not written once each. Nothing leads here.
const MISCOUNTED: &str = "was not written as planned, which is a fault of this program: some of its bytes may be missing";

/// One file that is being restored.
pub(crate) struct FileSlot {
    path: TargetPath,
    /// Where it is written until it is whole, if not there.
    unfinished: Option<TargetPath>,
    meta: Metadata,
    size: u64,
    /// Whether it was there before, so that holes must be made in it.
    was_there: bool,
    /// Runs that are not written yet, and one more until all runs are known.
    left: AtomicUsize,
    state: Mutex<SlotState>,
}

enum SlotState {
    /// Not opened yet.
    Waiting,
    Open(Arc<TargetFile>),
    Closed,
    Failed,
}

impl FileSlot {
    /// `reused` is the file if it is there already: what is right in it stays. With `unfinished` it is written there, and gets its name last.
    pub(crate) fn new(
        path: TargetPath,
        unfinished: Option<TargetPath>,
        meta: Metadata,
        size: u64,
        reused: Option<Arc<TargetFile>>,
    ) -> Self {
        let was_there = reused.is_some();
        let state = reused.map_or(SlotState::Waiting, SlotState::Open);
        Self { path, unfinished, meta, size, was_there, left: AtomicUsize::new(1), state: Mutex::new(state) }
    }

    /// Counts runs that are to be written.
    pub(super) fn expect(&self, runs: usize) {
        self.left.fetch_add(runs, Ordering::AcqRel);
    }

    /// The file, made on first use. `None` once it has failed.
    pub(super) fn open(&self, context: &RestoreContext<'_>, target: &Target) -> Option<Arc<TargetFile>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match &*state {
            SlotState::Open(file) => return Some(Arc::clone(file)),
            SlotState::Failed => return None,
            // Not without a word: what is not written any more may be what was missing.
            SlotState::Closed => context.fail_at(&self.path, ErrorKind::Failed, MISCOUNTED),
            SlotState::Waiting => match self.make(target) {
                Ok(file) => {
                    let file = Arc::new(file);
                    *state = SlotState::Open(Arc::clone(&file));
                    return Some(file);
                }
                Err(error) => context.fail_at(&self.path, error.kind(), chain(&error)),
            },
        }
        *state = SlotState::Failed;
        None
    }

    fn make(&self, target: &Target) -> Result<TargetFile, SinkError> {
        let file = target.create_file(self.unfinished.as_ref().unwrap_or(&self.path), Existing::ReplaceAll)?;
        if self.size > 0 {
            file.set_len(self.size)?;
        }
        Ok(file)
    }

    /// Makes a hole where bytes may have been.
    pub(super) fn make_hole(&self, context: &RestoreContext<'_>, offset: u64, len: u64) {
        let Some(target) = context.target.filter(|_| self.was_there) else { return };
        let Some(file) = self.open(context, target) else { return };
        if let Err(error) = file.punch_hole(offset, len) {
            self.fail(context, error.kind(), chain(&error));
        }
    }

    /// Writes bytes that are there for so many runs.
    pub(super) fn write(&self, context: &RestoreContext<'_>, target: &Target, offset: u64, bytes: &[u8], runs: usize) {
        let Some(file) = self.open(context, target) else { return };
        if let Err(error) = write(context.sparse, &file, offset, bytes) {
            return self.fail(context, error.kind(), chain(&error));
        }
        context.counts.written.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        drop(file);
        self.done(context, target, runs);
        context.advance(bytes.len() as u64);
    }

    /// Writes a run from the second repository, if that has it. In a dry run it only looks.
    pub(super) fn write_spare(&self, context: &RestoreContext<'_>, offset: u64, len: u32, id: &ChunkId) -> bool {
        let path = self.path.as_path().as_os_str().as_bytes();
        let Some(bytes) = context.spare.as_ref().and_then(|spare| spare.chunk(path, offset, len, id)) else { return false };
        context.counts.spared.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        if let Some(target) = context.target {
            self.write(context, target, offset, &bytes, 1);
        }
        true
    }

    /// Fails the file, once.
    pub(crate) fn fail(&self, context: &RestoreContext<'_>, kind: ErrorKind, message: String) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !matches!(*state, SlotState::Failed) {
            *state = SlotState::Failed;
            context.fail_at(&self.path, kind, message);
        }
    }

    /// Fails the file if runs of it are still to be written, or were written twice, now that no blob is to come; `goes_on`: besides those that are
    /// not known yet.
    pub(super) fn must_be_done(&self, context: &RestoreContext<'_>, goes_on: bool) {
        let left = self.left.load(Ordering::Acquire).saturating_sub(usize::from(goes_on));
        if context.target.is_some() && left > 0 {
            self.fail(context, ErrorKind::Failed, MISCOUNTED.into());
        }
    }

    /// Ends the file when all its runs are done.
    pub(super) fn done(&self, context: &RestoreContext<'_>, target: &Target, runs: usize) {
        if self.left.fetch_sub(runs, Ordering::AcqRel) == runs {
            self.finish(context, target);
        }
    }

    fn finish(&self, context: &RestoreContext<'_>, target: &Target) {
        let Some(file) = self.open(context, target) else { return };
        if target.is_far()
            && let Err(error) = file.sync()
        {
            return self.fail(context, error.kind(), chain(&error));
        }
        for warning in file.set_metadata(&self.meta) {
            context.warn(self.path.as_path().display(), chain(&warning));
        }
        if self.unfinished.is_some()
            && let Err(error) = target.rename(&file, &self.path)
        {
            if matches!(error, SinkError::OneName { .. }) {
                // It will not get its name next time either.
                let _ = target.remove(file.path());
            }
            return self.fail(context, error.kind(), chain(&error));
        }
        context.is_finished(&self.path, &self.meta);
        context.counts.files_done.fetch_add(1, Ordering::Relaxed);
        context.monitor.file(&self.path.as_path().to_string_lossy(), "restored", self.size);
        // Closed now: a tree may have more files than a process may hold open.
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = SlotState::Closed;
    }
}

fn write(sparse: bool, file: &TargetFile, offset: u64, bytes: &[u8]) -> Result<(), SinkError> {
    const PAGE: usize = 4096;
    if !sparse {
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::backend::MemoryBackend;
    use crate::format::entry::Timestamp;
    use crate::monitor::Silent;
    use crate::pipeline::RestoreCounts;
    use crate::repo::testing::init_on;

    /// How many files fail of one of two runs, of which `written` are written, when its batch is over.
    fn failed(written: usize, ended: bool, goes_on: bool) -> u64 {
        let folder = tempfile::tempdir().unwrap();
        let repo = init_on(Arc::new(MemoryBackend::default()), &folder.path().join("cache"));
        let target = Target::open(&folder.path().join("target"), true).unwrap();
        let context = RestoreContext {
            repo: &repo,
            target: Some(&target),
            monitor: &Silent,
            sparse: false,
            counts: RestoreCounts::default(),
            spare: None,
            other: Mutex::default(),
            finished: Mutex::default(),
        };
        let time = Timestamp { seconds: 0, nanos: 0 };
        let meta = Metadata { mode: 0o644, uid: 0, gid: 0, mtime: time, ctime: time, inode: 1, device: 1, links: 1, xattrs: Vec::new() };
        let slot = FileSlot::new(TargetPath::root().child(b"file").unwrap(), None, meta, 8, None);
        slot.expect(2);
        (0..written).for_each(|run| slot.write(&context, &target, 4 * run as u64, b"abcd", 1));
        if ended {
            slot.done(&context, &target, 1);
        }
        slot.must_be_done(&context, goes_on);
        slot.must_be_done(&context, goes_on);
        context.counts.failed.into_inner()
    }

    #[test]
    fn a_file_of_which_a_run_was_never_written_fails_once() {
        assert_eq!([failed(2, true, false), failed(1, true, false), failed(0, true, false)], [0, 1, 1]);
        assert_eq!([failed(2, false, true), failed(1, false, true)], [0, 1], "more runs are to come in the next batch");
    }
}
