//! Records that this host has read before, kept as they are stored, sealed: they never change, and would otherwise be asked for again each time
//! (`spec/INDEX.md`, sections 7 and 9).

use std::cell::RefCell;
use std::collections::BTreeSet;

use super::again::opened;
use super::parts::PartCache;
use crate::backend::{Backend, ObjectPath};
use crate::base::limits;
use crate::index::{ChunkIndex, IndexError};

/// Where records are looked for first.
pub(super) enum KeptRecords<'k> {
    /// In the chunk index, which a push has open; then in files.
    Index {
        /// The index.
        index: &'k dyn ChunkIndex,
        /// The files.
        files: &'k PartCache,
        /// What is to be kept from now on.
        new: RefCell<Vec<(String, Vec<u8>)>>,
        /// What was asked for.
        met: RefCell<BTreeSet<String>>,
    },
    /// In files, for whoever needs no index.
    Files(&'k PartCache),
}

impl<'k> KeptRecords<'k> {
    pub(super) fn in_index(index: &'k dyn ChunkIndex, files: &'k PartCache) -> Self {
        Self::Index { index, files, new: RefCell::default(), met: RefCell::default() }
    }

    /// Keeps what was read, and drops records that nobody asked for: they are gone.
    pub(super) fn settle(self) -> Result<(), IndexError> {
        let Self::Index { index, new, met, .. } = self else { return Ok(()) };
        let met = met.into_inner();
        let gone: Vec<_> = index.records()?.into_iter().filter(|path| !met.contains(path)).collect();
        index.keep_records(&new.into_inner(), &gone)
    }

    fn find(&self, path: &ObjectPath) -> Option<Vec<u8>> {
        match self {
            Self::Index { index, files, .. } => {
                let kept = index.record(&path.to_string()).ok().flatten();
                kept.or_else(|| files.object(path, limits::RECORD_LEN))
            }
            Self::Files(files) => files.object(path, limits::RECORD_LEN),
        }
    }

    /// Notes that a kept record opened.
    fn meet(&self, path: &ObjectPath) {
        if let Self::Index { met, .. } = self {
            met.borrow_mut().insert(path.to_string());
        }
    }

    /// Drops one that did not open.
    fn forget(&self, path: &ObjectPath) {
        let (Self::Index { files, .. } | Self::Files(files)) = self;
        files.forget_object(path);
    }

    /// Keeps one that opened.
    fn keep(&self, path: &ObjectPath, object: Vec<u8>) {
        match self {
            Self::Index { new, files, .. } => {
                files.keep_object(path, &object);
                new.borrow_mut().push((path.to_string(), object));
            }
            Self::Files(files) => files.keep_object(path, &object),
        }
    }
}

/// A record that a listing showed, opened: as it is kept, else as it is `read`. What does not open is not kept.
pub(super) fn open<T, E>(
    kept: Option<&KeptRecords<'_>>,
    backend: &dyn Backend,
    path: &ObjectPath,
    read: impl Fn() -> Result<Vec<u8>, E>,
    open: impl Fn(&[u8]) -> Result<T, E>,
) -> Result<T, E> {
    let Some(kept) = kept else { return Ok(opened(backend, read, open)?.0) };
    if let Some(object) = kept.find(path) {
        if let Ok(opened) = open(&object) {
            kept.meet(path);
            return Ok(opened);
        }
        kept.forget(path);
    }
    let (opened, object) = opened(backend, read, open)?;
    kept.meet(path);
    kept.keep(path, object);
    Ok(opened)
}
