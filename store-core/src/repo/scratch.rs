//! A repository for a measurement: everything is written as in a real one, counted and dropped. What a delta needs of older versions is read
//! again from the files that it came from.
//!
//! Kept in memory are records and nodes, and for each chunk its name and its place, about 130 bytes; the chunk index is on disk, in the
//! folder that it is given. What comes back from here is as untrusted as a stored blob: a base counts by the name that its bytes have.
//!
//! It can be told to take a sample (`sample.rs`). The bases of what is taken are complete.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::open::OpenOptions;
use super::sample::{Drawn, Groups, Sample, Stages};
use super::{ReadError, Repo};
use crate::backend::{Backend, BackendError, Created, Folder, Listed, MemoryBackend, ObjectPath};
use crate::base::ids::{ChunkId, PackId, RepoId, SegmentId};
use crate::clock;
use crate::crypto::{RepoKeys, Secret};
use crate::error::{Error, ErrorKind};
use crate::format::blob::BlobKind;
use crate::format::config::Config;
use crate::format::envelope::HEADER_LEN;
use crate::format::pack::read_contents;
use crate::index::BlobPlace;
use crate::source::OpenFile;
use crate::tensor::{Dtype, Tensor};

/// What a chunk's name, its place and its blob take in memory.
const CHUNK_COST: usize = 130;
/// Files that stay open for the next look.
const OPEN_FILES: usize = 64;

/// Tensors of one type.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Taken {
    /// Bytes that there are.
    pub(crate) all: u64,
    /// Segments that were left out.
    pub(crate) segments_left_out: u64,
    /// Bytes of what was taken, by unit of the sample.
    pub(crate) units: HashMap<u64, u64>,
}

/// Where things are that are not kept.
#[derive(Debug, Default)]
struct Places {
    files: Vec<PathBuf>,
    chunks: HashMap<ChunkId, (u32, u64)>,
    blobs: HashMap<(PackId, u32), Vec<ChunkId>>,
    open: HashMap<u32, Arc<OpenFile>>,
}

/// What is left of a pack: its length, its header and its blobs of nodes, by offset.
#[derive(Debug)]
struct Remains {
    len: u64,
    kept: BTreeMap<u64, Vec<u8>>,
}

/// The store and the memory of a scratch repository.
#[derive(Debug)]
pub(crate) struct Scratch {
    keys: RepoKeys,
    sample: Sample,
    /// How many chunks there is memory for.
    room: usize,
    records: MemoryBackend,
    packs: Mutex<HashMap<PackId, Remains>>,
    /// Index segments by their lengths: the index has taken them in.
    segments: Mutex<HashMap<SegmentId, u64>>,
    places: Mutex<Places>,
    tensors: Mutex<HashMap<Dtype, Taken>>,
    stages: Mutex<Stages>,
    /// Plain and sealed bytes of plain blobs that were coded, of those without bases and of those with.
    coded: Mutex<[(u64, u64); 2]>,
    written: AtomicU64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Repo {
    /// An empty scratch repository, with its chunk index below `options.cache_dir`, which is the caller's to remove. Its keys are the same each
    /// time, so that the same data gives the same figures; they protect nothing, and nothing is there to protect.
    pub(crate) fn scratch(options: &OpenOptions, sample: Sample) -> Result<(Self, Arc<Scratch>), Error> {
        let keys = fixed_keys();
        let scratch = Arc::new(Scratch {
            keys: keys.clone(),
            sample,
            room: options.memory / 4 / CHUNK_COST,
            records: MemoryBackend::default(),
            packs: Mutex::default(),
            segments: Mutex::default(),
            places: Mutex::default(),
            tensors: Mutex::default(),
            stages: Mutex::default(),
            coded: Mutex::default(),
            written: AtomicU64::new(0),
        });
        let options = OpenOptions { memory: options.memory / 4 * 3, ..options.clone() };
        let backend: Arc<dyn Backend> = Arc::<Scratch>::clone(&scratch);
        let mut repo = Self::assemble(&options, backend, keys, Config::new(clock::now()), 0)?;
        repo.scratch = Some(Arc::clone(&scratch));
        Ok((repo, scratch))
    }
}

fn fixed_keys() -> RepoKeys {
    RepoKeys::new(Secret::take(&mut [1; 32]), RepoId::from_bytes([0; 32]))
}

#[cfg(test)]
impl Repo {
    /// A repository in memory that keeps all it is given, with the keys of a scratch repository: it cuts as that does.
    pub(crate) fn keeping(options: &OpenOptions) -> (Self, Arc<MemoryBackend>) {
        let backend = Arc::new(MemoryBackend::default());
        let held: Arc<dyn Backend> = Arc::<MemoryBackend>::clone(&backend);
        (Self::assemble(options, held, fixed_keys(), Config::new(clock::now()), 0).unwrap(), backend)
    }
}

impl Scratch {
    /// How a segment of a tensor fares that follows those asked for before in its file; counts it.
    pub(crate) fn segment(&self, groups: &mut Groups, target: usize, tensor: &Tensor, at: u64, len: usize) -> Drawn {
        let drawn = self.sample.segment(groups, target, tensor, at, len);
        let mut tensors = lock(&self.tensors);
        let count = tensors.entry(tensor.dtype).or_default();
        count.all += len as u64;
        if drawn.taken {
            *count.units.entry(drawn.unit).or_default() += len as u64;
        } else {
            count.segments_left_out += 1;
        }
        drawn
    }

    /// How the next group of `len` plain bytes fares. To be asked in their order.
    pub(crate) fn group(&self, len: usize, is_last: bool) -> Drawn {
        self.sample.group(&mut lock(&self.stages), len as u64, is_last)
    }

    /// Takes note of what a plain blob became.
    pub(crate) fn coded(&self, plain: u64, stored: u64, has_bases: bool) {
        let sums = &mut lock(&self.coded)[usize::from(has_bases)];
        *sums = (sums.0 + plain, sums.1 + stored);
    }

    /// What a plain blob that was left out would have become, by what those did that were coded: chains of it end as they would.
    pub(crate) fn would_take(&self, plain: u64, has_bases: bool) -> u64 {
        let (all, stored) = lock(&self.coded)[usize::from(has_bases)];
        (u128::from(plain) * u128::from(stored) / u128::from(all.max(1))) as u64
    }

    /// Begins the next version, which has so many plain bytes.
    pub(crate) fn begin(&self, plain: u64) {
        let mut stages = lock(&self.stages);
        *stages = stages.of_next(plain);
    }

    /// Ends a version, and returns the tensors that it had.
    pub(crate) fn end(&self) -> HashMap<Dtype, Taken> {
        std::mem::take(&mut *lock(&self.tensors))
    }

    /// Bytes of all packs, index segments and snapshots so far.
    pub(crate) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Whose chunks come from here on: what comes later in the same version may be coded against them.
    pub(crate) fn reading(&self, path: &str) {
        lock(&self.places).files.push(path.into());
    }

    /// Takes note of where a new chunk of that file is.
    pub(crate) fn met(&self, id: ChunkId, offset: u64) {
        let places = &mut *lock(&self.places);
        let number = places.files.len().saturating_sub(1) as u32;
        places.chunks.entry(id).or_insert((number, offset));
    }

    /// Takes note of where the chunks of a file are, for later versions to be coded against.
    pub(crate) fn place(&self, path: PathBuf, chunks: impl Iterator<Item = (ChunkId, u64)>) -> Result<(), Error> {
        let places = &mut *lock(&self.places);
        let number = places.files.len() as u32;
        places.files.push(path);
        for (id, offset) in chunks {
            // What was met before is there, too; but its path was one for people.
            places.chunks.insert(id, (number, offset));
        }
        if places.chunks.len() > self.room {
            let message = "there are more chunks than there is memory for: give more with --memory, or measure less";
            return Err(Error::new(ErrorKind::Failed, message));
        }
        Ok(())
    }

    /// The plain bytes of a blob of data, from the files that its chunks came from.
    pub(super) fn read(&self, place: &BlobPlace, ordinal: u32) -> Result<Vec<u8>, ReadError> {
        let unknown = || ReadError::Unknown(format!("blob {ordinal} of a pack"));
        let pieces: Vec<_> = {
            let places = &mut *lock(&self.places);
            let ids = places.blobs.get(&(place.pack, ordinal)).ok_or_else(unknown)?;
            let found: Option<Vec<_>> = ids.iter().map(|id| places.chunks.get(id).copied()).collect();
            let open = |(number, offset): (u32, u64)| Some((places.open(number)?, offset));
            found.ok_or_else(unknown)?.into_iter().map(open).collect::<Option<_>>().ok_or_else(unknown)?
        };
        let mut bytes = vec![0; place.frame.plain_len()];
        let mut rest = &mut bytes[..];
        for ((file, offset), len) in pieces.iter().zip(&place.frame.chunk_lens) {
            let (chunk, after) = rest.split_at_mut(*len as usize);
            file.read_exact_at(*offset, chunk).map_err(|_| unknown())?;
            rest = after;
        }
        Ok(bytes)
    }

    fn keep(&self, id: PackId, bytes: &[u8]) -> Result<(), io::Error> {
        let contents = read_contents(&self.keys, bytes).map_err(io::Error::other)?;
        let mut kept = BTreeMap::from([(0, bytes[..HEADER_LEN].to_vec())]);
        let places = &mut *lock(&self.places);
        for (ordinal, (blob, offset)) in contents.blobs.iter().zip(contents.offsets()).enumerate() {
            if blob.frame.kind == BlobKind::Data {
                places.blobs.insert((id, ordinal as u32), blob.ids.clone());
            } else {
                let start = offset as usize;
                kept.insert(offset, bytes[start..start + blob.frame.sealed_len as usize].to_vec());
            }
        }
        lock(&self.packs).insert(id, Remains { len: bytes.len() as u64, kept });
        Ok(())
    }
}

impl Places {
    fn open(&mut self, number: u32) -> Option<Arc<OpenFile>> {
        if let Some(file) = self.open.get(&number) {
            return Some(Arc::clone(file));
        }
        let file = Arc::new(OpenFile::open(self.files.get(number as usize)?).ok()?);
        if self.open.len() >= OPEN_FILES {
            self.open.clear();
        }
        self.open.insert(number, Arc::clone(&file));
        Some(file)
    }
}

/// The path of an entry of a snapshot, below the folder that the snapshot was made of.
pub(crate) fn path_of(folder: &std::path::Path, names: &[Vec<u8>]) -> PathBuf {
    names.iter().fold(folder.to_path_buf(), |path, name| path.join(OsStr::from_bytes(name)))
}

impl Backend for Scratch {
    fn location(&self) -> String {
        "a scratch repository".into()
    }

    fn read(&self, path: &ObjectPath, limit: usize) -> Result<Vec<u8>, BackendError> {
        self.records.read(path, limit)
    }

    fn read_range(&self, path: &ObjectPath, offset: u64, len: usize) -> Result<Vec<u8>, BackendError> {
        let ObjectPath::Pack(id) = path else { return self.records.read_range(path, offset, len) };
        let packs = lock(&self.packs);
        let kept = packs.get(id).and_then(|pack| pack.kept.get(&offset)).and_then(|bytes| bytes.get(..len));
        kept.map(<[u8]>::to_vec).ok_or_else(|| fail("read", path, io::ErrorKind::NotFound.into()))
    }

    fn len(&self, path: &ObjectPath) -> Result<u64, BackendError> {
        match path {
            ObjectPath::Pack(id) => {
                lock(&self.packs).get(id).map(|pack| pack.len).ok_or_else(|| fail("look at", path, io::ErrorKind::NotFound.into()))
            }
            _ => self.records.len(path),
        }
    }

    fn create(&self, path: &ObjectPath, bytes: &[u8]) -> Result<Created, BackendError> {
        let created = match path {
            ObjectPath::Pack(id) => self.keep(*id, bytes).map(|()| Created::New).map_err(|error| fail("take", path, error))?,
            ObjectPath::Segment(id) => {
                lock(&self.segments).insert(*id, bytes.len() as u64);
                Created::New
            }
            _ => self.records.create(path, bytes)?,
        };
        if !matches!(path, ObjectPath::Session(_)) {
            self.written.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        }
        Ok(created)
    }

    fn list(&self, folder: Folder) -> Result<Vec<Listed>, BackendError> {
        match folder {
            Folder::Packs => Ok(lock(&self.packs).iter().map(|(id, pack)| Listed { name: id.to_string(), len: pack.len }).collect()),
            Folder::Segments => Ok(lock(&self.segments).iter().map(|(id, len)| Listed { name: id.to_string(), len: *len }).collect()),
            _ => self.records.list(folder),
        }
    }

    fn delete(&self, path: &ObjectPath) -> Result<(), BackendError> {
        self.records.delete(path)
    }
}

fn fail(action: &'static str, path: &ObjectPath, source: io::Error) -> BackendError {
    BackendError { action, object: path.to_string(), source }
}
