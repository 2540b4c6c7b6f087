//! A repository for a measurement: everything is written as in a real one, counted and dropped. What a delta needs of older versions is read
//! again from the files that it came from.
//!
//! Kept in memory are records and nodes, and for each chunk its name and its place, about 130 bytes; the chunk index is on disk, in the
//! folder that it is given. What comes back from here is as untrusted as a stored blob: a base counts by the name that its bytes have.
//!
//! It can be told to take a sample. Of tensors it takes single segments, chosen by the tensor's name and the place in it, so that each version
//! brings the same ones; the others are holes and are not read. Plain bytes are all read, cut and looked up, since what follows an insertion
//! has no place by which to choose it; of the blobs made of them it codes all at first, and a share that halves with each so many bytes
//! that were coded, so that little data is measured whole and much in a time that grows with its logarithm. The bases of either are complete.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::open::OpenOptions;
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

/// Which part of the data is measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Sample {
    /// The share of the segments of tensors, from 0 to 1.
    pub(crate) segments: f64,
    /// Plain bytes of one version that are coded before the share of those behind them halves, and again for as many; `None` codes all.
    pub(crate) stage: Option<u64>,
}

impl Sample {
    /// All of it.
    pub(crate) const ALL: Self = Self { segments: 1.0, stage: None };

    /// Whether the segment `at` bytes into the tensor called `name` is taken: a matter of these two alone.
    pub(crate) fn takes_segment(&self, name: &str, at: u64) -> bool {
        self.segments >= 1.0 || {
            let mut hasher = blake3::Hasher::new();
            hasher.update(&at.to_le_bytes()).update(name.as_bytes());
            below(hasher.finalize().as_bytes(), self.segments)
        }
    }
}

/// Whether a hash is in the lowest `share` of all.
fn below(hash: &[u8; 32], share: f64) -> bool {
    let high = u32::from_le_bytes([hash[0], hash[1], hash[2], hash[3]]);
    f64::from(high) < share * (f64::from(u32::MAX) + 1.0)
}

/// Bytes of tensors of one type.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Taken {
    /// There are.
    pub(crate) all: u64,
    /// Were taken.
    pub(crate) taken: u64,
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
    /// Plain bytes of this version that were coded.
    coded: AtomicU64,
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
            coded: AtomicU64::new(0),
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
    /// Whether a segment of a tensor is taken; counts it.
    pub(crate) fn takes_segment(&self, tensor: &Tensor, at: u64, len: u64) -> bool {
        let takes = self.sample.takes_segment(&tensor.name, at);
        let mut tensors = lock(&self.tensors);
        let count = tensors.entry(tensor.dtype).or_default();
        count.all += len;
        count.taken += if takes { len } else { 0 };
        takes
    }

    /// Whether a group of `len` bytes is coded, and which share of such groups is at this moment.
    pub(crate) fn takes_group(&self, ids: &[ChunkId], len: usize, dtype: Option<Dtype>) -> (bool, f64) {
        // Segments were chosen before.
        let (Some(stage), None, Some(first)) = (self.sample.stage, dtype, ids.first()) else { return (true, 1.0) };
        let halvings = (self.coded.load(Ordering::Relaxed) / stage.max(1)).min(30) as i32;
        let share = 0.5_f64.powi(halvings);
        let takes = below(first.as_bytes(), share);
        if takes {
            self.coded.fetch_add(len as u64, Ordering::Relaxed);
        }
        (takes, share)
    }

    /// Begins the next version, and returns the bytes of tensors that the last one had.
    pub(crate) fn next_version(&self) -> HashMap<Dtype, Taken> {
        self.coded.store(0, Ordering::Relaxed);
        std::mem::take(&mut *lock(&self.tensors))
    }

    /// Bytes of all packs, index segments and snapshots so far.
    pub(crate) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Takes note of where the chunks of a file are, for later versions to be coded against.
    pub(crate) fn place(&self, path: PathBuf, chunks: impl Iterator<Item = (ChunkId, u64)>) -> Result<(), Error> {
        let places = &mut *lock(&self.places);
        let number = places.files.len() as u32;
        places.files.push(path);
        for (id, offset) in chunks {
            places.chunks.entry(id).or_insert((number, offset));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_takes_its_share_and_the_same_each_time() {
        let sample = Sample { segments: 0.25, stage: None };
        let taken = |sample: &Sample| (0..10_000).filter(|at| sample.takes_segment("w", at << 20)).collect::<Vec<u64>>();
        assert_eq!(taken(&sample), taken(&sample));
        assert!((2_300..2_700).contains(&taken(&sample).len()), "{}", taken(&sample).len());
        assert_eq!(taken(&Sample::ALL).len(), 10_000);
        let larger = taken(&Sample { segments: 0.5, stage: None });
        assert!(taken(&sample).iter().all(|at| larger.contains(at)), "a larger sample holds the smaller one");
    }
}
