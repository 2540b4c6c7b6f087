//! Records that this host has read before, kept in the chunk index as they are stored, sealed: they never change, and a push would otherwise
//! ask for each of them again (`spec/INDEX.md`, section 7).

use std::cell::RefCell;
use std::collections::BTreeSet;

use crate::backend::ObjectPath;
use crate::index::{ChunkIndex, IndexError};

/// Where records are looked for first.
pub(super) struct KeptRecords<'i> {
    index: &'i dyn ChunkIndex,
    new: RefCell<Vec<(String, Vec<u8>)>>,
    met: RefCell<BTreeSet<String>>,
}

impl<'i> KeptRecords<'i> {
    pub(super) fn new(index: &'i dyn ChunkIndex) -> Self {
        Self { index, new: RefCell::default(), met: RefCell::default() }
    }

    /// Keeps what was read, and drops records that nobody asked for: they are gone.
    pub(super) fn settle(self) -> Result<(), IndexError> {
        let met = self.met.into_inner();
        let gone: Vec<_> = self.index.records()?.into_iter().filter(|path| !met.contains(path)).collect();
        self.index.keep_records(&self.new.into_inner(), &gone)
    }
}

/// A record that a listing showed, opened: as it is kept, else as it is `read`. What does not open is not kept.
pub(super) fn open<T, E>(
    kept: Option<&KeptRecords<'_>>,
    path: &ObjectPath,
    read: impl FnOnce() -> Result<Vec<u8>, E>,
    open: impl Fn(&[u8]) -> Result<T, E>,
) -> Result<T, E> {
    let Some(kept) = kept else { return open(&read()?) };
    let name = path.to_string();
    if let Ok(Some(object)) = kept.index.record(&name)
        && let Ok(opened) = open(&object)
    {
        kept.met.borrow_mut().insert(name);
        return Ok(opened);
    }
    let object = read()?;
    let opened = open(&object)?;
    kept.met.borrow_mut().insert(name.clone());
    kept.new.borrow_mut().push((name, object));
    Ok(opened)
}
