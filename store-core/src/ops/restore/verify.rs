//! Reading restored files again, and comparing them with the snapshot: chunks by their ids, holes as zeros, lengths.

use std::collections::HashSet;
use std::path::Path;
use std::sync::PoisonError;

use rayon::prelude::*;

use super::Here;
use super::walk::Visit;
use crate::error::{Error, ErrorKind, chain};
use crate::format::entry::{Entry, Extent, Kind};
use crate::pipeline::RestoreContext;
use crate::repo::{Placed, StoredFile};
use crate::sink::{Target, TargetFile};

/// Runs of a file that are compared together.
const RUNS: usize = 1024;

/// Compares the files that a walk meets, but for those that failed or stayed as they were.
pub(super) struct Verifier<'c, 'r> {
    pub(super) context: &'c RestoreContext<'r>,
    pub(super) target: &'c Target,
}

impl Verifier<'_, '_> {
    /// What is wrong with a file, if anything is.
    fn compare(&self, stored: &StoredFile<'_>, here: &Here) -> Result<Option<String>, Error> {
        let file = match self.target.read_file(&here.target) {
            Ok(Some(file)) => file,
            Ok(None) => return Ok(Some("it is gone, or no file any more".into())),
            Err(error) => return Ok(Some(chain(&error))),
        };
        if file.len()? != stored.len() {
            return Ok(Some("it has another length".into()));
        }
        let mut extents = stored.extents(0)?;
        let mut runs = Vec::new();
        loop {
            if self.context.monitor.interrupted() {
                return Err(Error::new(ErrorKind::Interrupted, "interrupted: all is restored, and not all of it compared"));
            }
            runs.clear();
            while runs.len() < RUNS
                && let Some(run) = extents.next()?
            {
                runs.push(run);
            }
            if runs.is_empty() {
                return Ok(None);
            }
            let right = |run: &Placed| {
                let right = self.is_right(&file, run);
                self.context.advance(run.extent.len());
                if right { None } else { Some(run.offset) }
            };
            if let Some(offset) = self.context.repo.pool.install(|| runs.par_iter().find_map_first(right)) {
                return Ok(Some(format!("its bytes from {offset} on are others")));
            }
        }
    }

    /// Whether it is known that what is there is not what the snapshot has.
    fn is_other(&self, here: &Here) -> bool {
        self.context.other.lock().unwrap_or_else(PoisonError::into_inner).contains(&here.target)
    }

    fn is_right(&self, file: &TargetFile, run: &Placed) -> bool {
        match run.extent {
            Extent::Hole { len } => file.is_zero(run.offset, len).unwrap_or(false),
            Extent::Chunk { id, len } => {
                let mut bytes = vec![0; len as usize];
                file.read_exact_at(run.offset, &mut bytes).is_ok() && self.context.repo.keys.chunk_id(&bytes) == id
            }
        }
    }
}

impl Visit for Verifier<'_, '_> {
    fn enter(&mut self, _: &Entry, here: &Here) -> Result<bool, Error> {
        Ok(!self.is_other(here))
    }

    fn entry(&mut self, entry: &Entry, here: &Here, _: &Here) -> Result<(), Error> {
        let Kind::File { size, .. } = entry.kind else { return Ok(()) };
        if self.is_other(here) {
            self.context.advance(size);
            return Ok(());
        }
        let Some(stored) = StoredFile::new(self.context.repo, entry) else { return Ok(()) };
        match self.compare(&stored, here) {
            Ok(None) => {}
            Ok(Some(why)) => {
                self.context.fail(here.shown.display(), format!("what was written does not read back: {why}; is the disk sound?"));
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => return Err(error),
            Err(error) => self.context.fail_as(error.kind(), here.shown.display(), chain(&error)),
        }
        Ok(())
    }

    fn leave(&mut self, _: &Here, _: &HashSet<Vec<u8>>) -> Result<(), Error> {
        Ok(())
    }

    /// The first walk has told.
    fn lost(&mut self, _: &Path, _: ErrorKind, _: String) {}
}
