//! Reading blobs: sealed bytes, opened, decoded with what they are coded against, and kept for the next reader. What several packs hold is read from
//! another one when the first is damaged.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Repo;
use super::again::looks;
use super::bases::{BaseBlob, Bases, MOST_FOLLOWED, Prefer};
use super::read_error::ReadError;
use super::recent::Recent;
use super::runs::Runs;
use crate::backend::{BackendError, ObjectPath};
use crate::base::ids::{ChunkId, PackId};
use crate::blob::{self, Content};
use crate::error::Error;
use crate::format::blob::{BlobKind, Frame};
use crate::format::envelope::HEADER_LEN;
use crate::format::pack::PackOpener;
use crate::index::{BlobPlace, ChunkIndex, Location, PackNumber};

type BlobKey = (PackId, u32);
/// The plain bytes of a blob, as they are.
pub(crate) type Decoded = Arc<Vec<u8>>;
/// Decoded blobs and opened packs, within a budget.
#[derive(Debug)]
pub(crate) struct BlobReader {
    state: Mutex<State>,
    /// Sealed bytes by where they start in their packs.
    sealed: Mutex<Recent<(PackId, u64)>>,
    /// What was read of packs where requests take long.
    runs: Runs,
    read_bytes: AtomicU64,
}

#[derive(Debug)]
struct State {
    blobs: Recent<BlobKey>,
    openers: HashMap<PackId, Opened>,
}

/// A pack that can be read.
#[derive(Debug, Clone)]
struct Opened {
    opener: Arc<PackOpener>,
    /// Whether its header came from the store, or a part of the pack has opened by it.
    is_proven: bool,
}

/// Opened packs kept; each is a key schedule of about a kilobyte.
const OPENERS: usize = 1024;

impl BlobReader {
    /// Keeps so many bytes of decoded blobs, and as many as `runs` of packs that are read on.
    pub(super) fn new(blobs: usize, runs: usize) -> Self {
        let state = State { blobs: Recent::new(blobs), openers: HashMap::new() };
        Self { state: Mutex::new(state), sealed: Mutex::new(Recent::new(0)), runs: Runs::new(runs), read_bytes: AtomicU64::new(0) }
    }

    /// Sealed bytes of blobs that were read so far.
    pub(crate) fn read_bytes(&self) -> u64 {
        self.read_bytes.load(Ordering::Relaxed)
    }

    /// Forgets all that was read.
    pub(super) fn clear(&self) {
        let mut state = lock(&self.state);
        state.blobs.clear();
        state.openers.clear();
        drop(state);
        lock(&self.sealed).clear();
        self.runs.clear();
    }

    /// Keeps so many sealed bytes, too, for whoever decodes the same blobs again once they fell out of the cache: they take a fraction of what they
    /// decode to. 0, as it is from the start, keeps none.
    pub(crate) fn keep_sealed(&self, bytes: usize) {
        lock(&self.sealed).set_budget(bytes);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Repo {
    /// Opens a pack for reading its parts.
    pub(crate) fn opener(&self, pack: &PackId) -> Result<Arc<PackOpener>, ReadError> {
        self.opened(pack).map(|opened| opened.opener)
    }

    fn opened(&self, pack: &PackId) -> Result<Opened, ReadError> {
        if let Some(opened) = lock(&self.reader.state).openers.get(pack) {
            return Ok(opened.clone());
        }
        if let Some(header) = self.kept.part(pack, 0, HEADER_LEN) {
            match PackOpener::new(&self.keys, &header) {
                Ok(opener) => return Ok(self.keep_opener(pack, opener, false)),
                Err(_) => self.kept.forget_part(pack, 0),
            }
        }
        let path = ObjectPath::Pack(*pack);
        let header = self.backend.read_range(&path, 0, HEADER_LEN)?;
        let opener = PackOpener::new(&self.keys, &header);
        let opener = opener.map_err(|source| ReadError::Object { object: path.to_string(), offset: 0, len: HEADER_LEN as u64, source })?;
        self.kept.keep_part(pack, 0, &header);
        Ok(self.keep_opener(pack, opener, true))
    }

    fn keep_opener(&self, pack: &PackId, opener: PackOpener, is_proven: bool) -> Opened {
        let opened = Opened { opener: Arc::new(opener), is_proven };
        let openers = &mut lock(&self.reader.state).openers;
        if openers.len() >= OPENERS {
            openers.clear();
        }
        openers.insert(*pack, opened.clone());
        opened
    }

    /// Opens a blob's sealed bytes. A header that is kept on this host and that they do not open by is read once more from the store.
    fn open_sealed(&self, place: &BlobPlace, ordinal: u32, sealed: &mut Vec<u8>) -> Result<(), ReadError> {
        let failed = |source| {
            // Not all of a header is authenticated before a part opens: it may have been read wrong, and is to be read again.
            lock(&self.reader.state).openers.remove(&place.pack);
            let (object, len) = (ObjectPath::Pack(place.pack).to_string(), u64::from(place.frame.sealed_len));
            ReadError::Object { object, offset: place.offset, len, source }
        };
        let Opened { opener, is_proven } = self.opened(&place.pack)?;
        if !is_proven {
            let mut opened = sealed.clone();
            if opener.open_blob(ordinal, &place.frame, &mut opened).is_ok() {
                if let Some(opened) = lock(&self.reader.state).openers.get_mut(&place.pack) {
                    opened.is_proven = true;
                }
                *sealed = opened;
                return Ok(());
            }
            lock(&self.reader.state).openers.remove(&place.pack);
            self.kept.forget_part(&place.pack, 0);
            return self.opened(&place.pack)?.opener.open_blob(ordinal, &place.frame, sealed).map_err(failed);
        }
        opener.open_blob(ordinal, &place.frame, sealed).map_err(failed)
    }

    /// Reads, opens and decodes one blob, past the cache. Its chunks are not compared with their ids yet.
    pub(crate) fn read_blob(&self, place: &BlobPlace, ordinal: u32) -> Result<Vec<u8>, ReadError> {
        // Lists are asked for again and again, and are small; of data a cache would hold little.
        if place.frame.kind != BlobKind::Nodes || !self.kept.is_on() {
            return self.decode_blob(place, ordinal, self.read_sealed(place)?);
        }
        if let Some(sealed) = self.kept.part(&place.pack, place.offset, place.frame.sealed_len as usize) {
            match self.decode_blob(place, ordinal, sealed) {
                Ok(plain) => return Ok(plain),
                Err(_) => self.kept.forget_part(&place.pack, place.offset),
            }
        }
        let sealed = self.read_sealed(place)?;
        let plain = self.decode_blob(place, ordinal, sealed.clone())?;
        self.kept.keep_part(&place.pack, place.offset, &sealed);
        Ok(plain)
    }

    /// The same of one of several blobs that are read one after the other.
    fn read_in_run(&self, place: &BlobPlace, ordinal: u32) -> Result<Vec<u8>, ReadError> {
        let len = place.frame.sealed_len as usize;
        let index = self.index_now()?;
        let known = index.number(&place.pack)?.map(|number| index.pack(number)).transpose()?;
        let pack_len = known.flatten().map_or(0, |(_, len)| len);
        let mut read = |most: usize| {
            let read = |len: usize| {
                self.reader.read_bytes.fetch_add(len as u64, Ordering::Relaxed);
                self.backend.read_range(&ObjectPath::Pack(place.pack), place.offset, len)
            };
            // A pack that was cut off has no more, and may have this.
            read(most).or_else(|error| if most > len { read(len) } else { Err(error) })
        };
        let sealed = self.reader.runs.part(&place.pack, pack_len, place.offset, len, &mut read)?;
        match self.decode_blob(place, ordinal, sealed) {
            Err(error) if error.is_of(place) => {
                self.reader.runs.forget(&place.pack);
                self.read_blob(place, ordinal)
            }
            decoded => decoded,
        }
    }

    /// Reads one blob's sealed bytes.
    pub(crate) fn read_sealed(&self, place: &BlobPlace) -> Result<Vec<u8>, ReadError> {
        let (key, len) = ((place.pack, place.offset), place.frame.sealed_len as usize);
        if let Some(kept) = lock(&self.reader.sealed).get(&key).filter(|kept| kept.len() == len) {
            return Ok(kept.to_vec());
        }
        self.reader.read_bytes.fetch_add(len as u64, Ordering::Relaxed);
        let bytes = self.backend.read_range(&ObjectPath::Pack(place.pack), place.offset, len)?;
        let mut sealed = lock(&self.reader.sealed);
        if sealed.takes(len) {
            sealed.keep(key, &Arc::new(bytes.clone()));
        }
        Ok(bytes)
    }

    /// What `open` makes of one blob's sealed bytes. Where that fails and requests go over a network they are read once more: they may have been
    /// spoilt on the way.
    ///
    /// # Errors
    /// Those of reading, and of `open`.
    pub(crate) fn read_opened<T>(&self, place: &BlobPlace, open: impl Fn(Vec<u8>) -> Result<T, Error>) -> Result<T, Error> {
        match open(self.read_sealed(place)?) {
            Err(_) if looks(&*self.backend) > 1 => {
                lock(&self.reader.sealed).forget(&(place.pack, place.offset));
                open(self.read_sealed(place)?)
            }
            opened => opened,
        }
    }

    /// Reads a run of a pack: sealed bytes of several blobs, and what lies between them.
    pub(crate) fn read_run(&self, pack: &PackId, offset: u64, len: u64) -> Result<Vec<u8>, BackendError> {
        let bytes = self.backend.read_range(&ObjectPath::Pack(*pack), offset, usize::try_from(len).unwrap_or(usize::MAX))?;
        self.reader.read_bytes.fetch_add(len, Ordering::Relaxed);
        Ok(bytes)
    }

    /// Opens and decodes one blob's sealed bytes.
    pub(crate) fn decode_blob(&self, place: &BlobPlace, ordinal: u32, sealed: Vec<u8>) -> Result<Vec<u8>, ReadError> {
        let mut base =
            |index: &Arc<dyn ChunkIndex>, location: &Location| self.blob_bytes_in(index, location).map(|(bytes, _)| Content::Whole(bytes));
        self.decode_blob_with(place, ordinal, sealed, &|_, _| true, &mut base).map(Content::into_bytes)
    }

    /// The same, with blobs that it is coded against from `base`: those that are preferred, where there are several.
    pub(crate) fn decode_blob_with(
        &self,
        place: &BlobPlace,
        ordinal: u32,
        mut sealed: Vec<u8>,
        prefer: &Prefer<'_>,
        base: &mut BaseBlob<'_>,
    ) -> Result<Content, ReadError> {
        self.open_sealed(place, ordinal, &mut sealed)?;
        // One index for all: in one that is built anew meanwhile the same numbers are of other packs.
        let index = &self.index_now()?;
        let bases = Bases::of(place, index, prefer, base)?;
        let decoded = if blob::is_edits(&place.frame) && bases.blobs() <= MOST_FOLLOWED {
            blob::follow(&place.frame, &sealed, &bases.chunks()?)
        } else {
            blob::decode(&place.frame, sealed, bases.bytes()?.bytes()).map(Content::whole)
        };
        let (object, len) = (|| ObjectPath::Pack(place.pack).to_string(), u64::from(place.frame.sealed_len));
        decoded.map_err(|source| ReadError::Decode { object: object(), offset: place.offset, len, source })
    }

    pub(super) fn index_now(&self) -> Result<Arc<dyn ChunkIndex>, ReadError> {
        self.index().map_err(|error| ReadError::index(&error))
    }

    fn blob_at(&self, index: &Arc<dyn ChunkIndex>, location: &Location) -> Result<(Option<Decoded>, BlobPlace), ReadError> {
        let place = index.blob(location.pack, location.ordinal)?;
        let place = place.ok_or_else(|| ReadError::Unknown(format!("blob {} of a pack", location.ordinal)))?;
        Ok((lock(&self.reader.state).blobs.get(&(place.pack, location.ordinal)), place))
    }

    fn load(&self, place: &BlobPlace, ordinal: u32) -> Result<Decoded, ReadError> {
        // Nodes of a scratch repository are kept, its data is not.
        let elsewhere = self.scratch.as_ref().filter(|_| place.frame.kind == BlobKind::Data);
        let bytes = Arc::new(match elsewhere {
            Some(scratch) => scratch.read(place, ordinal)?,
            None if place.frame.kind == BlobKind::Data && self.backend.lanes() > 1 => self.read_in_run(place, ordinal)?,
            None => self.read_blob(place, ordinal)?,
        });
        lock(&self.reader.state).blobs.keep((place.pack, ordinal), &bytes);
        Ok(bytes)
    }

    /// The plain bytes of the blob at `location`, from the cache or from its pack.
    pub(crate) fn blob_bytes(&self, location: &Location) -> Result<(Decoded, PackId), ReadError> {
        self.blob_bytes_in(&self.index_now()?, location)
    }

    /// The same where the place is one of this index.
    pub(crate) fn blob_bytes_in(&self, index: &Arc<dyn ChunkIndex>, location: &Location) -> Result<(Decoded, PackId), ReadError> {
        let (cached, place) = self.blob_at(index, location)?;
        let bytes = match cached {
            Some(bytes) => bytes,
            None => self.load(&place, location.ordinal)?,
        };
        Ok((bytes, place.pack))
    }

    /// How the blob at `location` is coded.
    pub(crate) fn frame_at(&self, location: &Location) -> Option<Frame> {
        self.frame((location.pack, location.ordinal))
    }

    /// How the blob with this place in the pack with this number is coded.
    pub(crate) fn frame(&self, (pack, ordinal): (PackNumber, u32)) -> Option<Frame> {
        Some(self.index().ok()?.blob(pack, ordinal).ok()??.frame)
    }

    /// The chunk at `location`, with the id that its bytes have.
    pub(crate) fn chunk_at(&self, location: &Location) -> Result<(ChunkId, Vec<u8>), ReadError> {
        let (blob, _) = self.blob_bytes(location)?;
        let bytes = chunk_of(&blob, location).ok_or_else(|| ReadError::Unknown("a base".into()))?;
        Ok((self.keys.chunk_id(bytes), bytes.to_vec()))
    }
}

/// The bytes of a chunk within its blob.
pub(super) fn range_of(location: &Location) -> Option<Range<usize>> {
    let start = location.start as usize;
    Some(start..start.checked_add(location.len as usize)?)
}

/// The bytes of a chunk within its blob.
pub(crate) fn chunk_of<'b>(blob: &'b [u8], location: &Location) -> Option<&'b [u8]> {
    blob.get(range_of(location)?)
}
