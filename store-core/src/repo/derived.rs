//! The chunk index as a derived thing: opened late, brought up to date from index segments, built again when it is lost or damaged.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::Repo;
use crate::backend::{Folder, ObjectPath};
use crate::base::ids::{PackId, SegmentId};
use crate::base::limits;
use crate::error::{Error, ErrorKind};
use crate::format::segment::Segment;
use crate::index::{ChunkIndex, IndexError, RocksIndex};

/// How many processes of one host can have an index of their own at a time.
const SLOTS: usize = 64;

/// The index of this process. Each process that works at the same time has a folder of its own, since RocksDB serves one process.
#[derive(Debug)]
pub(crate) struct DerivedIndex {
    folder: PathBuf,
    memory: usize,
    opened: Mutex<Option<Arc<RocksIndex>>>,
    incomplete: AtomicBool,
}

/// An index with the folder that it is in.
struct Opened {
    index: RocksIndex,
    folder: PathBuf,
}

impl DerivedIndex {
    pub(super) fn new(folder: PathBuf, memory: usize) -> Self {
        Self { folder, memory, opened: Mutex::new(None), incomplete: AtomicBool::new(false) }
    }

    /// Whether segments cannot be read or packs that they name are missing: what the index knows may then be coded against what is lost.
    pub(crate) fn is_incomplete(&self) -> bool {
        self.incomplete.load(Ordering::Relaxed)
    }

    /// Opens the first folder that no other process uses.
    fn open(&self) -> Result<Opened, Error> {
        for slot in 0..SLOTS {
            let folder = self.folder.join(slot.to_string());
            match RocksIndex::open(&folder, self.memory) {
                Ok(index) => return Ok(Opened { index, folder }),
                Err(IndexError::InUse) => {}
                Err(IndexError::Corrupt(_)) => {
                    remove(&folder)?;
                    return Ok(Opened { index: RocksIndex::open(&folder, self.memory)?, folder });
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(Error::new(ErrorKind::Busy, format!("{SLOTS} processes of this host use the repository already: try again later")))
    }

    /// Throws all indexes of this host away that no other process uses. Those that are in use are built again when their segments vanish.
    pub(crate) fn discard(&self) -> Result<(), Error> {
        *self.opened.lock().unwrap_or_else(PoisonError::into_inner) = None;
        for slot in 0..SLOTS {
            let folder = self.folder.join(slot.to_string());
            if folder.exists() && !matches!(RocksIndex::open(&folder, self.memory), Err(IndexError::InUse)) {
                remove(&folder)?;
            }
        }
        Ok(())
    }
}

fn remove(folder: &Path) -> Result<(), Error> {
    let failed = |error| Error::with(ErrorKind::Failed, format!("cannot remove the damaged cache {}", folder.display()), error);
    std::fs::remove_dir_all(folder).map_err(failed)
}

impl Repo {
    /// The index, opened and brought up to date on first use.
    pub fn index(&self) -> Result<Arc<RocksIndex>, Error> {
        let mut opened = self.index.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(index) = &*opened {
            return Ok(Arc::clone(index));
        }
        let index = Arc::new(self.current_index()?);
        *opened = Some(Arc::clone(&index));
        Ok(index)
    }

    /// Takes in what others wrote since the index was opened, if it is open. Every operation does so when it begins; whoever reads files or
    /// chunks without one does it when it must see what is new.
    pub fn refresh(&self) -> Result<(), Error> {
        let mut opened = self.index.opened.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(index) = &*opened else { return Ok(()) };
        match self.catch_up(index) {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            Err(error) if error.kind() == ErrorKind::Damage && is_index_error(&error) => {}
            Err(error) => return Err(error),
        }
        // An operation that is under way keeps the old one; the new one then has another slot.
        *opened = None;
        *opened = Some(Arc::new(self.current_index()?));
        Ok(())
    }

    fn current_index(&self) -> Result<RocksIndex, Error> {
        let unusable = |error| Error::with(ErrorKind::Failed, format!("cannot use {}: see --cache-dir", self.cache_dir.display()), error);
        self.make_cache_dir().map_err(unusable)?;
        let opened = self.index.open()?;
        match self.catch_up(&opened.index) {
            Ok(true) => return Ok(opened.index),
            // It knows segments or packs that are gone: nothing of it is to be relied on.
            Ok(false) => {}
            Err(error) if error.kind() == ErrorKind::Damage && is_index_error(&error) => {}
            Err(error) => return Err(error),
        }
        drop(opened.index);
        remove(&opened.folder)?;
        let opened = self.index.open()?;
        if self.catch_up(&opened.index)? {
            Ok(opened.index)
        } else {
            Err(Error::new(ErrorKind::Busy, "packs or index segments vanish while they are read: try again"))
        }
    }

    /// Takes in the segments that the index has not seen, but for packs that are not there. `false` when it knows segments or packs that
    /// are gone.
    fn catch_up(&self, index: &RocksIndex) -> Result<bool, Error> {
        self.index.incomplete.store(false, Ordering::Relaxed);
        let mut gone = index.applied()?;
        let mut missing = Vec::new();
        for listed in self.backend.list(Folder::Segments)? {
            let Ok(id) = listed.name.parse::<SegmentId>() else { continue };
            if !gone.remove(&id) {
                missing.push(id);
            }
        }
        // Packs are written before the segments that name them: listed later, all that still exist are seen.
        let exist: HashSet<PackId> = self.backend.list(Folder::Packs)?.iter().filter_map(|listed| listed.name.parse().ok()).collect();
        if !gone.is_empty() || !index.packs()?.iter().all(|pack| exist.contains(pack)) {
            return Ok(false);
        }
        for id in &missing {
            match self.read_segment(id) {
                Ok(mut segment) => {
                    let named = segment.packs.len();
                    segment.packs.retain(|pack| exist.contains(&pack.id));
                    // Looked at again each time, so that a pack that is put back is seen.
                    let whole = segment.packs.len() == named;
                    self.index.incomplete.fetch_or(!whole, Ordering::Relaxed);
                    index.apply(whole.then_some(id), &segment)?;
                }
                // The others still say where their chunks are. It is tried again each time, until a repair removes it.
                Err(error) if error.kind() == ErrorKind::Damage => {
                    self.index.incomplete.store(true, Ordering::Relaxed);
                    self.warn(&ObjectPath::Segment(*id), "is damaged: `snap repair index` makes it anew from the packs");
                }
                Err(error) => return Err(error),
            }
        }
        if missing.len() > 4 {
            index.flush()?;
        }
        Ok(true)
    }

    /// Reads one index segment.
    pub(crate) fn read_segment(&self, id: &SegmentId) -> Result<Segment, Error> {
        let path = ObjectPath::Segment(*id);
        let object = self.backend.read(&path, limits::CATALOG_LEN)?;
        Segment::open(&object, id, &self.keys).map_err(|error| {
            Error::with(ErrorKind::Damage, format!("{path} is damaged: `snap repair index` makes it anew from the packs"), error)
        })
    }
}

fn is_index_error(error: &Error) -> bool {
    std::error::Error::source(error).is_some_and(|source| source.is::<IndexError>())
}

impl From<IndexError> for Error {
    fn from(error: IndexError) -> Self {
        match error {
            IndexError::InUse => Self::new(ErrorKind::Busy, "another process uses the chunk index"),
            IndexError::Corrupt(_) => {
                Self::with(ErrorKind::Damage, "the local chunk index is damaged: run the command again, the index is built anew", error)
            }
            IndexError::Io(ref why) if why.contains("No space left") => {
                Self::with(ErrorKind::NoSpace, "there is no room for the local chunk index: see --cache-dir", error)
            }
            IndexError::Io(_) => Self::with(ErrorKind::Failed, "the local chunk index cannot be used: see --cache-dir", error),
        }
    }
}
