//! The threads that write finished packs, and what names them in index segments. Packs are durable before a segment names them.

use std::collections::{BTreeSet, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crossbeam_channel::{Receiver, Sender};

use super::parts;
use crate::backend::{Backend, Created, ObjectPath};
use crate::base::ids::{ChunkId, PackId};
use crate::crypto::RepoKeys;
use crate::error::{Error, ErrorKind};
use crate::format::pack::FinishedPack;
use crate::format::segment::{PackEntry, Segment};
use crate::index::ChunkIndex;
use crate::rng;
use crate::sealed_cache::SealedCache;

/// Packs that one index segment speaks of, at the most. A push that is cut off loses no more than so many.
const SEGMENT_PACKS: usize = 16;

/// What a pack writer shares with its threads.
#[derive(Debug, Default)]
pub(super) struct Shared {
    pub(super) written_bytes: AtomicU64,
    pub(super) written_packs: AtomicU64,
    /// Chunks that are on their way and not in the index yet.
    pub(super) pending: Mutex<HashSet<ChunkId>>,
    pub(super) packs: Mutex<Vec<(PackId, u64)>>,
    pub(super) has_failed: AtomicBool,
    failure: Mutex<Option<Error>>,
    under_way: Mutex<UnderWay>,
    arrived: Condvar,
}

/// Packs in the order in which they were begun.
#[derive(Debug, Default)]
struct UnderWay {
    /// How many were begun.
    begun: u64,
    /// The numbers of those that are not written yet.
    numbers: BTreeSet<u64>,
}

impl Shared {
    /// The first failure is the one that is told.
    pub(super) fn fail(&self, error: Error) {
        lock(&self.failure).get_or_insert(error);
        self.has_failed.store(true, Ordering::Release);
        // Whoever is about to wait has seen it, or hears of it.
        drop(lock(&self.under_way));
        self.arrived.notify_all();
    }

    /// What failed, to be told once.
    pub(super) fn failed(&self) -> Option<Error> {
        lock(&self.failure).take()
    }

    /// Numbers a pack that is begun.
    pub(super) fn begin(&self) -> u64 {
        let mut under_way = lock(&self.under_way);
        let number = under_way.begun;
        under_way.begun += 1;
        under_way.numbers.insert(number);
        number
    }

    /// How many packs were begun.
    pub(super) fn begun(&self) -> u64 {
        lock(&self.under_way).begun
    }

    /// Whether a pack was begun and is not written.
    pub(super) fn is_any_under_way(&self) -> bool {
        !lock(&self.under_way).numbers.is_empty()
    }

    /// Waits until the first `count` packs are written, or something failed.
    pub(super) fn wait_for(&self, count: u64) {
        let mut under_way = lock(&self.under_way);
        while under_way.numbers.first().is_some_and(|number| *number < count) && !self.has_failed.load(Ordering::Acquire) {
            under_way = self.arrived.wait(under_way).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn arrive(&self, number: u64) {
        lock(&self.under_way).numbers.remove(&number);
        self.arrived.notify_all();
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A pack on its way to a lane.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) number: u64,
    pub(super) pack: FinishedPack,
}

/// A thread that waits for the backend.
pub(super) struct Lane {
    pub(super) backend: Arc<dyn Backend>,
    /// Where lists are kept for whoever reads them next.
    pub(super) kept: Option<Arc<SealedCache>>,
    pub(super) shared: Arc<Shared>,
    pub(super) naming: Arc<Mutex<Naming>>,
    pub(super) spare: Sender<Vec<u8>>,
}

/// Says that a pack needs no more waiting for when it is dropped, however its writing ended.
struct Arrives<'s>(&'s Shared, u64);

impl Drop for Arrives<'_> {
    fn drop(&mut self) {
        self.0.arrive(self.1);
    }
}

impl Lane {
    pub(super) fn run(self, packs: &Receiver<Outgoing>) {
        for Outgoing { number, pack } in packs {
            let _arrives = Arrives(&self.shared, number);
            // Where one lane fails the others end, too, so that whoever hands packs over notices.
            if self.shared.has_failed.load(Ordering::Acquire) {
                return;
            }
            if let Err(error) = self.write(pack) {
                return self.shared.fail(error);
            }
        }
    }

    fn write(&self, mut pack: FinishedPack) -> Result<(), Error> {
        // Names of packs do not recur: one that exists was written by nobody else.
        let path = ObjectPath::Pack(pack.id);
        match self.backend.create_lent(&path, &mut pack.bytes)? {
            Created::New => {}
            Created::Exists => return Err(Error::new(ErrorKind::Failed, format!("{path} exists already, which chance does not explain"))),
        }
        self.kept.iter().for_each(|files| parts::seed(files, &pack.id, &pack.bytes, &pack.contents));
        let len = pack.bytes.len() as u64;
        // Where enough are spare already, this one is not needed.
        let _ = self.spare.try_send(pack.bytes);
        self.shared.written_packs.fetch_add(1, Ordering::Relaxed);
        lock(&self.shared.packs).push((pack.id, len));
        lock(&self.naming).add(PackEntry { id: pack.id, len, contents: pack.contents })
    }
}

/// Says in index segments which packs are there.
#[derive(Debug)]
pub(super) struct Naming {
    backend: Arc<dyn Backend>,
    keys: RepoKeys,
    index: Arc<dyn ChunkIndex>,
    shared: Arc<Shared>,
    segment: Segment,
    /// Chunks in it.
    chunks: usize,
    most_chunks: usize,
}

impl Naming {
    /// Of packs in `backend`, for `index`; a segment ends with the pack that brings it to `most_chunks`.
    pub(super) fn new(
        backend: Arc<dyn Backend>,
        keys: RepoKeys,
        index: Arc<dyn ChunkIndex>,
        shared: Arc<Shared>,
        most_chunks: usize,
    ) -> Self {
        Self { backend, keys, index, shared, segment: Segment::default(), chunks: 0, most_chunks }
    }

    /// Adds a pack that is durable.
    fn add(&mut self, pack: PackEntry) -> Result<(), Error> {
        if !self.segment.has_room(&pack.contents) {
            self.end_segment()?;
        }
        self.chunks += pack.contents.blobs.iter().map(|blob| blob.ids.len()).sum::<usize>();
        self.segment.packs.push(pack);
        if self.segment.packs.len() >= SEGMENT_PACKS || self.chunks >= self.most_chunks { self.end_segment() } else { Ok(()) }
    }

    /// Writes a segment that names what was added, if there is anything, and takes it into the index.
    pub(super) fn end_segment(&mut self) -> Result<(), Error> {
        let segment = std::mem::take(&mut self.segment);
        self.chunks = 0;
        if segment.packs.is_empty() {
            return Ok(());
        }
        let (id, object) = segment.seal(&self.keys, rng::bytes()?);
        // Segments are named by their bytes: one that exists is this one.
        let _ = self.backend.create(&ObjectPath::Segment(id), &object)?;
        self.index.apply(Some(&id), &segment)?;
        let mut pending = lock(&self.shared.pending);
        segment.packs.iter().flat_map(|pack| &pack.contents.blobs).flat_map(|blob| &blob.ids).for_each(|id| {
            pending.remove(id);
        });
        Ok(())
    }
}
