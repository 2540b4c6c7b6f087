//! Which bytes of a regular file are wanted: all, or, of one that is there, those that differ.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use rayon::prelude::*;

use super::entries::Restorer;
use super::guard::Verdict;
use super::{Here, Overwrite};
use crate::error::{Error, chain};
use crate::format::entry::{Entry, Extent};
use crate::pipeline::FileSlot;
use crate::repo::{Placed, StoredFile};
use crate::sink::{SinkError, TargetFile, TargetPath};

/// Runs of a file that are handled together.
const RUNS: usize = 1024;

impl Restorer<'_, '_> {
    /// Puts a file's runs into the batch, some at a time: memory does not grow with the file.
    pub(super) fn file(&mut self, entry: &Entry, size: u64, here: &Here) -> Result<(), Error> {
        let context = self.context;
        self.report.files += 1;
        self.report.bytes += size;
        let Some((verdict, _)) = self.verdict(entry, &here.target) else { return Ok(()) };
        if verdict == Verdict::Stay {
            self.skip(&here.target);
            context.counts.kept.fetch_add(size, Ordering::Relaxed);
            context.counts.files_done.fetch_add(1, Ordering::Relaxed);
            context.advance(size);
            return Ok(());
        }
        if self.is_other_name(entry, here) {
            context.advance(size);
            return Ok(());
        }
        // By these it is told from its time, or from its being there, that a file is as it should be: one that is half written must not look so.
        let waits = matches!(self.options.overwrite, Overwrite::IfNewer | Overwrite::Never);
        let unfinished = if waits { here.target.unfinished(&self.snapshot) } else { None };
        let reused = match self.reuse(size, unfinished.as_ref().unwrap_or(&here.target)) {
            Ok(reused) => reused.map(Arc::new),
            Err(error) => {
                context.fail_at(&here.target, error.kind(), chain(&error));
                return Ok(());
            }
        };
        let Some(stored) = StoredFile::new(context.repo, entry) else { return Ok(()) };
        let slot = FileSlot::new(here.target.clone(), unfinished, entry.meta.clone(), size, reused.clone());
        self.batch.begin(slot, reused.is_some());
        if let Err(error) = self.runs(&stored, reused.as_deref())? {
            let slot = self.batch.file().map(Arc::clone);
            slot.iter().for_each(|slot| {
                slot.fail(context, error.kind(), format!("its list of chunks cannot be read: {}", chain(&error)));
            });
        }
        self.batch.end(context);
        Ok(())
    }

    /// The outer error ends the restore, the inner one is of the file's list.
    fn runs(&mut self, stored: &StoredFile<'_>, reused: Option<&TargetFile>) -> Result<Result<(), Error>, Error> {
        let mut extents = match stored.extents(0) {
            Ok(extents) => extents,
            Err(error) => return Ok(Err(error)),
        };
        let mut runs = Vec::new();
        loop {
            runs.clear();
            while runs.len() < RUNS {
                match extents.next() {
                    Ok(Some(run)) => runs.push(run),
                    Ok(None) => break,
                    Err(error) => return Ok(Err(error)),
                }
            }
            if runs.is_empty() {
                return Ok(Ok(()));
            }
            // What is compared from here on was not handed out yet, so nobody writes to it.
            if let Some(file) = reused {
                self.drop_kept(file, &mut runs);
            }
            self.batch.add(self.context, &runs)?;
            if self.batch.is_full(self.context) {
                self.batch.run(self.context)?;
            }
        }
    }

    /// The file that is there, with the length that it shall have.
    fn reuse(&self, size: u64, path: &TargetPath) -> Result<Option<TargetFile>, SinkError> {
        let Some(target) = self.context.target else { return Ok(None) };
        let reused = target.reuse_file(path)?;
        if let Some(file) = &reused
            && file.len()? != size
        {
            file.set_len(size)?;
        }
        Ok(reused)
    }

    /// Takes out of `runs` what the file holds already.
    fn drop_kept(&self, file: &TargetFile, runs: &mut Vec<Placed>) {
        let context = self.context;
        let is_kept = |run: &Placed| {
            let Extent::Chunk { id, len } = run.extent else { return false };
            let mut bytes = vec![0; len as usize];
            let right = file.read_exact_at(run.offset, &mut bytes).is_ok() && context.repo.keys.chunk_id(&bytes) == id;
            if right {
                context.counts.kept.fetch_add(len.into(), Ordering::Relaxed);
                context.advance(len.into());
            }
            right
        };
        let kept: Vec<bool> = context.repo.pool.install(|| runs.par_iter().map(is_kept).collect());
        let mut kept = kept.into_iter();
        runs.retain(|_| !kept.next().unwrap_or(false));
    }
}
