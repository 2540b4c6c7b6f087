//! Writing blobs into packs; what becomes of full ones is in `lanes`.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender};

use super::Repo;
use super::lanes::{Lane, Naming, Outgoing, Shared, lock};
use crate::base::ids::{ChunkId, PackId};
use crate::base::units::MIB;
use crate::blob::CodedBlob;
use crate::crypto::RepoKeys;
use crate::error::{Error, ErrorKind};
use crate::format::pack::{BlobEntry, FinishedPack, PackBuilder, PackOpener, Reserved, Sketch, read_contents};
use crate::rng;

/// Memory that a chunk takes until a segment names it, its sketch among what is fresh and what a small file adds with it: packs of many small
/// ones end sooner.
const CHUNK_COST: usize = 768;
/// Shortest pack that a small memory budget leads to.
const LEAST_PACK: usize = 4 * MIB;

/// A coded blob with the names of its chunks.
#[derive(Debug)]
pub struct NewBlob {
    /// The coding.
    pub coded: CodedBlob,
    /// The names of its chunks, in order.
    pub ids: Vec<ChunkId>,
    /// A sketch for each chunk, or none.
    pub sketches: Vec<Sketch>,
}

/// What has been written so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WrittenCounts {
    /// Packs.
    pub packs: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// What was written, pack by pack.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Written {
    /// In sum.
    pub counts: WrittenCounts,
    /// The packs with their lengths in bytes.
    pub packs: Vec<(PackId, u64)>,
}

/// A pack that blobs are put into. Its last one may be put in place by another thread than the one that found it full.
#[derive(Debug)]
struct Filling {
    /// `None` once it was handed over.
    builder: Option<PackBuilder>,
    number: u64,
    chunks: usize,
    is_full: bool,
}

/// A pack that is full and in which nothing is missing, with its number.
type Done = (u64, PackBuilder);

impl Filling {
    /// The pack, if it is done.
    fn done(&mut self) -> Option<Done> {
        let builder = self.builder.take_if(|builder| self.is_full && builder.is_whole())?;
        Some((self.number, builder))
    }
}

/// Where a blob goes.
struct Berth {
    pack: Arc<Mutex<Filling>>,
    reserved: Reserved,
    /// The pack that had no room for it any more, if nothing is missing there.
    before: Option<Done>,
}

/// Takes blobs from many threads and writes packs and index segments. In a trial run it only counts.
#[derive(Debug)]
pub struct PackWriter {
    keys: RepoKeys,
    target: usize,
    /// Chunks of a pack, and of a segment, at which it ends.
    most_chunks: usize,
    pad: bool,
    open: Mutex<Option<Arc<Mutex<Filling>>>>,
    shared: Arc<Shared>,
    packs: Option<Sender<Outgoing>>,
    /// What packs that were written were built in: the next ones are, too.
    rooms: Receiver<Vec<u8>>,
    /// What says which packs are there; none in a trial run.
    naming: Option<Arc<Mutex<Naming>>>,
    lanes: Vec<JoinHandle<()>>,
}

impl PackWriter {
    /// Starts writing to `repo`; `trial` writes nothing.
    pub(crate) fn new(repo: &Repo, trial: bool) -> Result<Self, Error> {
        let shared = Arc::new(Shared::default());
        let count = repo.backend.lanes().max(1);
        let (spare, rooms) = crossbeam_channel::bounded(count);
        // One is filled, one waits, and one is on its way in each lane: together no more than with a single lane.
        let room = repo.memory.pack * 3 / (2 + count);
        let target = (repo.config.pack_len as usize).min(room.max(LEAST_PACK));
        let most_chunks = room.max(LEAST_PACK) / CHUNK_COST;
        let (keys, pad) = (repo.keys.clone(), repo.config.pad);
        let mut writer =
            Self { keys, target, most_chunks, pad, open: Mutex::new(None), shared, packs: None, rooms, naming: None, lanes: Vec::new() };
        if trial {
            return Ok(writer);
        }
        let naming = Naming::new(Arc::clone(&repo.backend), repo.keys.clone(), repo.index()?, Arc::clone(&writer.shared), most_chunks);
        let naming = Arc::new(Mutex::new(naming));
        let (sender, receiver) = crossbeam_channel::bounded(0);
        for _ in 0..count {
            let (backend, shared, naming) = (Arc::clone(&repo.backend), Arc::clone(&writer.shared), Arc::clone(&naming));
            let (lane, receiver) =
                (Lane { backend, kept: repo.kept.seeder(), shared, naming, spare: spare.clone() }, Receiver::clone(&receiver));
            let thread = std::thread::Builder::new().name("snap-packs".into()).spawn(move || lane.run(&receiver));
            writer.lanes.push(thread.map_err(|error| Error::with(ErrorKind::Failed, "cannot start a thread", error))?);
        }
        (writer.packs, writer.naming) = (Some(sender), Some(naming));
        Ok(writer)
    }

    /// Claims chunks that the index does not know: those of `ids` that nobody claimed before are the caller's to write.
    pub fn claim(&self, id: ChunkId) -> bool {
        lock(&self.shared.pending).insert(id)
    }

    /// Gives a claim back of a chunk that need not be written.
    pub fn release(&self, id: &ChunkId) {
        lock(&self.shared.pending).remove(id);
    }

    /// Whether a chunk that was claimed is named by no index segment yet.
    pub fn is_pending(&self, id: &ChunkId) -> bool {
        lock(&self.shared.pending).contains(id)
    }

    /// What has been written; counted by blobs, so that progress is smooth.
    pub fn counts(&self) -> WrittenCounts {
        WrittenCounts { packs: self.shared.written_packs.load(Ordering::Relaxed), bytes: self.shared.written_bytes.load(Ordering::Relaxed) }
    }

    /// Adds a blob. Returns once it has its place in a pack; the pack is written later.
    pub fn add(&self, blob: NewBlob) -> Result<(), Error> {
        self.shared.written_bytes.fetch_add(blob.coded.frame.sealed_len.into(), Ordering::Relaxed);
        if self.packs.is_none() {
            return Ok(());
        }
        let (entry, mut bytes) = (BlobEntry { frame: blob.coded.frame, ids: blob.ids, sketches: blob.sketches }, blob.coded.bytes);
        let Berth { pack, reserved, before } = self.reserve(entry, bytes.len())?;
        // Outside of all locks: this takes longest.
        reserved.seal(&mut bytes);
        let whole = {
            let mut pack = lock(&pack);
            if let Some(builder) = &mut pack.builder {
                builder.place(&reserved, bytes);
            }
            pack.done()
        };
        before.into_iter().chain(whole).try_for_each(|pack| self.hand_over(pack))
    }

    /// Finds a place for a blob.
    fn reserve(&self, entry: BlobEntry, coded_len: usize) -> Result<Berth, Error> {
        let mut open = lock(&self.open);
        let mut before = None;
        loop {
            let pack = match &*open {
                Some(pack) => Arc::clone(pack),
                None => {
                    let builder = PackBuilder::new(&self.keys, rng::bytes()?, self.rooms.try_recv().unwrap_or_default());
                    let filling = Filling { builder: Some(builder), number: self.shared.begin(), chunks: 0, is_full: false };
                    Arc::clone(open.insert(Arc::new(Mutex::new(filling))))
                }
            };
            let mut guard = lock(&pack);
            let filling = &mut *guard;
            match &mut filling.builder {
                Some(builder) if builder.is_empty() || builder.has_room(coded_len) => {
                    filling.chunks += entry.ids.len();
                    let reserved = builder.reserve(entry, coded_len);
                    if builder.len() >= self.target || filling.chunks >= self.most_chunks {
                        filling.is_full = true;
                        *open = None;
                    }
                    drop(guard);
                    return Ok(Berth { pack, reserved, before });
                }
                _ => {
                    filling.is_full = true;
                    before = filling.done();
                    *open = None;
                }
            }
        }
    }

    fn hand_over(&self, (number, pack): Done) -> Result<(), Error> {
        let padding = if self.pad { padding_for(pack.len()) } else { 0 };
        let pack = pack.finish(padding);
        if let Err(error) = verify(&self.keys, &pack) {
            // Whoever waits for this pack is not to wait for ever.
            self.shared.fail(error);
        }
        if self.shared.has_failed.load(Ordering::Acquire) {
            return Err(self.failure());
        }
        let sent = self.packs.as_ref().map(|packs| packs.send(Outgoing { number, pack }));
        match sent {
            Some(Err(_)) => Err(self.failure()),
            _ => Ok(()),
        }
    }

    fn failure(&self) -> Error {
        self.shared.failed().unwrap_or_else(|| Error::new(ErrorKind::Failed, "writing packs failed before"))
    }

    /// Ends the pack that is being filled, and hands it over unless somebody else is to put a blob into it still. Says how many packs were begun.
    fn end_pack(&self) -> Result<u64, Error> {
        let (last, begun) = {
            let mut open = lock(&self.open);
            let last = open.take().and_then(|pack| {
                let mut pack = lock(&pack);
                pack.is_full = true;
                pack.done()
            });
            (last, self.shared.begun())
        };
        last.map_or(Ok(()), |last| self.hand_over(last))?;
        Ok(begun)
    }

    /// Has index segments name all that was added before, so that it can be relied on, and waits for that. In a trial run nothing is named.
    ///
    /// # Errors
    /// When it cannot be written, or something else could not.
    pub fn settle(&self) -> Result<(), Error> {
        let Some(naming) = &self.naming else { return Ok(()) };
        let begun = self.end_pack()?;
        self.shared.wait_for(begun);
        if self.shared.has_failed.load(Ordering::Acquire) {
            return Err(self.failure());
        }
        lock(naming).end_segment()
    }

    /// Writes what is left. When it returns, all that was added is durable and in index segments.
    pub fn finish(mut self) -> Result<Written, Error> {
        self.end_pack()?;
        self.close();
        match self.shared.failed() {
            Some(error) => Err(error),
            None if self.shared.is_any_under_way() => Err(Error::new(ErrorKind::Failed, "a blob was never put into its pack")),
            None => Ok(Written { counts: self.counts(), packs: std::mem::take(&mut *lock(&self.shared.packs)) }),
        }
    }
}

impl PackWriter {
    /// Waits for what is on its way, and names it.
    fn close(&mut self) {
        self.packs = None;
        for lane in self.lanes.drain(..) {
            if lane.join().is_err() {
                self.shared.fail(Error::new(ErrorKind::Failed, "a thread that writes packs panicked"));
            }
        }
        // What was written stays useful when something failed; a pack that did has no name in any segment.
        if let Some(naming) = self.naming.take()
            && let Err(error) = lock(&naming).end_segment()
        {
            self.shared.fail(error);
        }
    }
}

impl Drop for PackWriter {
    /// When an operation fails, what was handed over is still written and named by a segment, so that the next push takes it up.
    fn drop(&mut self) {
        self.close();
    }
}

/// Rounds a pack's length up to three significant bits and hides the rest: at most an eighth more, 3 % at the usual pack size.
fn padding_for(len: usize) -> usize {
    let unit = (len.next_power_of_two() / 32).max(4096);
    len.next_multiple_of(unit) - len
}

/// Opens a finished pack once more, part by part, before it is written.
fn verify(keys: &RepoKeys, pack: &FinishedPack) -> Result<(), Error> {
    let failed = |why: String| {
        Error::new(ErrorKind::Failed, format!("a pack does not open right after it was made ({why}): is the memory of this machine sound?"))
    };
    let opener = PackOpener::new(keys, &pack.bytes).map_err(|error| failed(error.to_string()))?;
    let contents = read_contents(keys, &pack.bytes).map_err(|error| failed(error.to_string()))?;
    let same = contents.blobs.iter().zip(&pack.contents.blobs).all(|(read, made)| read.frame == made.frame && read.ids == made.ids);
    if !same || contents.blobs.len() != pack.contents.blobs.len() {
        return Err(failed("its footer differs".into()));
    }
    let mut sealed = Vec::new();
    for (ordinal, (blob, offset)) in contents.blobs.iter().zip(contents.offsets()).enumerate() {
        sealed.clear();
        sealed.extend_from_slice(&pack.bytes[offset as usize..offset as usize + blob.frame.sealed_len as usize]);
        opener.open_blob(ordinal as u32, &blob.frame, &mut sealed).map_err(|error| failed(format!("blob {ordinal}: {error}")))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::Compression;
    use crate::repo::OpenOptions;

    #[test]
    fn a_claim_that_is_given_back_is_anybodys() {
        let folder = tempfile::tempdir().unwrap();
        let (location, cache_dir) = (String::new(), folder.path().to_path_buf());
        let options = OpenOptions { location, cache_dir, threads: 1, memory: 0, compression: Compression::Auto, kept: 0 };
        let repo = Repo::keeping(&options).0;
        let (writer, id) = (PackWriter::new(&repo, false).unwrap(), repo.keys.chunk_id(b"chunk"));
        assert!(writer.claim(id) && !writer.claim(id) && writer.is_pending(&id));
        writer.release(&id);
        assert!(!writer.is_pending(&id) && writer.claim(id));
    }
}
