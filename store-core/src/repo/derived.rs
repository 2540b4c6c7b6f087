//! The chunk index as a derived thing: opened late, brought up to date from index segments, built again when it is lost or damaged.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::again::opened;
use super::index_place::IndexPlace;
use super::{PackLens, Repo, dangling};
use crate::backend::{Folder, ObjectPath};
use crate::base::ids::{PackId, SegmentId};
use crate::base::limits;
use crate::error::{Error, ErrorKind, chain};
use crate::format::segment::{PackEntry, Segment};
use crate::index::{ChunkIndex, IndexError, Load, MemoryIndex, RocksIndex};

/// How many processes of one host can have an index of their own at a time.
const SLOTS: usize = 64;
/// How often an index is built anew, or something is looked for again, because a prune was faster. One prune makes it two; several at once that
/// each wait for the last made it more than five, once in a thousand histories of a crowd.
pub(super) const ATTEMPTS: usize = 16;
/// Bytes of index segments, some hundred thousand chunks, from which on they are taken in together.
const MUCH: u64 = 4 << 20;

/// The index of this process. Each process that works at the same time has a folder of its own, since RocksDB serves one process.
#[derive(Debug)]
pub(crate) struct DerivedIndex {
    memory: usize,
    opened: Mutex<Option<Arc<dyn ChunkIndex>>>,
    /// Where the slots are. Behind what is open there: it goes first.
    place: Mutex<IndexPlace>,
    /// Why it is not where this host keeps it, until that was told.
    untold: Mutex<Option<String>>,
    incomplete: AtomicBool,
    unreadable: AtomicBool,
    /// How far prunes had got when it was last brought up to date.
    prunes: Mutex<BTreeSet<String>>,
    /// How often it was brought up to date.
    updates: AtomicU64,
}

/// An index with the folder that it is in.
struct Opened {
    index: Arc<dyn ChunkIndex>,
    folder: Option<PathBuf>,
}

/// Where segments are taken in: one by one, or together.
enum Target<'i> {
    Index(&'i dyn ChunkIndex),
    Load(Box<dyn Load + 'i>),
}

/// What was taken in and is not noted yet.
#[derive(Debug, Default)]
pub(super) struct NewSegments {
    /// Segments.
    pub(super) seen: BTreeSet<SegmentId>,
    /// Those of them all of whose packs are there, or were deleted by a prune.
    pub(super) whole: Vec<SegmentId>,
    /// Segments that are there and superseded.
    pub(super) superseded: Vec<SegmentId>,
    /// Packs.
    pub(super) packs: Vec<PackId>,
    /// What prunes deleted, once somebody asked.
    pruned: Option<HashSet<PackId>>,
}

impl DerivedIndex {
    pub(super) fn new(folder: PathBuf, memory: usize) -> Self {
        Self::at(IndexPlace::Kept(folder), memory)
    }

    /// One that is gone with the process.
    pub(super) fn in_memory() -> Self {
        Self::at(IndexPlace::Memory, 0)
    }

    fn at(place: IndexPlace, memory: usize) -> Self {
        Self {
            memory,
            opened: Mutex::new(None),
            place: Mutex::new(place),
            untold: Mutex::default(),
            incomplete: AtomicBool::new(false),
            unreadable: AtomicBool::new(false),
            prunes: Mutex::default(),
            updates: AtomicU64::new(0),
        }
    }

    /// Whether segments cannot be read or packs that they name are missing: what the index knows may then be coded against what is lost.
    pub(crate) fn is_incomplete(&self) -> bool {
        self.incomplete.load(Ordering::Relaxed)
    }

    /// Whether an index segment cannot be read: packs that it names may look as if none did.
    pub(crate) fn has_unreadable(&self) -> bool {
        self.unreadable.load(Ordering::Relaxed)
    }

    fn place(&self) -> MutexGuard<'_, IndexPlace> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Goes where this process has it alone, if where it is cannot be used.
    fn leave(&self, why: &Error) -> bool {
        let mut place = self.place();
        let Some(next) = place.next() else { return false };
        *place = next;
        self.untold.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| cause(why));
        true
    }

    /// Opens the first folder that no other process uses.
    fn open(&self) -> Result<Opened, Error> {
        let Some(slots) = self.place().folder().map(Path::to_path_buf) else {
            return Ok(Opened { index: Arc::new(MemoryIndex::default()), folder: None });
        };
        for slot in 0..SLOTS {
            let folder = slots.join(slot.to_string());
            match RocksIndex::open(&folder, self.memory) {
                Ok(index) => return Ok(Opened { index: Arc::new(index), folder: Some(folder) }),
                Err(IndexError::InUse) => {}
                Err(IndexError::Corrupt(_)) => {
                    discard(&folder)?;
                    match RocksIndex::open(&folder, self.memory) {
                        Ok(index) => return Ok(Opened { index: Arc::new(index), folder: Some(folder) }),
                        // Another process was quicker.
                        Err(IndexError::InUse) => {}
                        Err(error) => return Err(error.into()),
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(Error::new(ErrorKind::Busy, format!("{SLOTS} processes of this host use the repository already: try again later")))
    }

    /// Throws all indexes of this host away that no other process uses. Those that are in use are built again when their segments vanish.
    pub(crate) fn discard(&self) -> Result<(), Error> {
        *self.opened.lock().unwrap_or_else(PoisonError::into_inner) = None;
        let slots = self.place().folder().map(Path::to_path_buf);
        for slot in 0..SLOTS {
            let Some(folder) = slots.as_ref().map(|slots| slots.join(slot.to_string())) else { break };
            if folder.exists() {
                discard(&folder)?;
            }
        }
        Ok(())
    }
}

/// Throws an index away that is of no use. Whoever has it open meanwhile finds that out, or has made it anew.
fn discard(folder: &Path) -> Result<(), Error> {
    match RocksIndex::remove(folder) {
        Ok(()) | Err(IndexError::InUse) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

impl Repo {
    /// The index, opened and brought up to date on first use.
    pub fn index(&self) -> Result<Arc<dyn ChunkIndex>, Error> {
        let mut opened = self.index.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(index) = &*opened {
            return Ok(Arc::clone(index));
        }
        let (index, _) = self.current_index(None)?;
        *opened = Some(Arc::clone(&index));
        Ok(index)
    }

    /// Takes in what others wrote since the index was opened, if it is open. Every operation does so when it begins; whoever reads files or
    /// chunks without one does it when it must see what is new.
    pub fn refresh(&self) -> Result<(), Error> {
        let mut opened = self.index.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if opened.is_some() {
            self.update(&mut opened, None)?;
        }
        Ok(())
    }

    /// Brings the index up to date, open or not, and says which packs there are: listed behind the index segments, so that all are among them
    /// that the index has. Whoever announced a session before and read open plans may rely on these (`spec/PROTOCOL.md`, section 3).
    pub(crate) fn current_packs(&self) -> Result<PackLens, Error> {
        self.update(&mut self.index.opened.lock().unwrap_or_else(PoisonError::into_inner), None)
    }

    /// The same for whoever has just listed all prune records, by these names.
    pub(super) fn current_packs_since(&self, prunes: &BTreeSet<String>) -> Result<PackLens, Error> {
        self.update(&mut self.index.opened.lock().unwrap_or_else(PoisonError::into_inner), Some(prunes))
    }

    fn update(&self, opened: &mut Option<Arc<dyn ChunkIndex>>, prunes: Option<&BTreeSet<String>>) -> Result<PackLens, Error> {
        self.index.updates.fetch_add(1, Ordering::Relaxed);
        if let Some(index) = opened {
            match self.catch_up(&**index, &mut BTreeSet::new(), prunes) {
                Ok(Some(packs)) => return Ok(packs),
                Ok(None) => {}
                Err(error) if is_unusable(&error) => {}
                Err(error) if error.kind() == ErrorKind::Damage && is_index_error(&error) => {}
                Err(error) => return Err(error),
            }
        }
        // An operation that is under way keeps the old one; the new one then has another slot.
        *opened = None;
        let (index, packs) = self.current_index(prunes)?;
        *opened = Some(index);
        Ok(packs)
    }

    /// Which state of the index a look-up from here on sees at least, for [`Self::refresh_after_prune`].
    pub(crate) fn index_state(&self) -> u64 {
        // Not amid an update.
        let _opened = self.index.opened.lock().unwrap_or_else(PoisonError::into_inner);
        self.index.updates.load(Ordering::Relaxed)
    }

    /// Brings the index up to date if a prune has got on since it was. Whether it is another now than in `state`, since this or another thread
    /// did so.
    pub(crate) fn refresh_after_prune(&self, state: u64) -> Result<bool, Error> {
        let mut opened = self.index.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if self.index.updates.load(Ordering::Relaxed) != state {
            return Ok(true);
        }
        let before = self.index.prunes.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let prunes = self.gc_names()?;
        if prunes == before {
            return Ok(false);
        }
        self.update(&mut opened, Some(&prunes)).map(|_| true)
    }

    fn current_index(&self, prunes: Option<&BTreeSet<String>>) -> Result<(Arc<dyn ChunkIndex>, PackLens), Error> {
        let mut superseded = BTreeSet::new();
        for _ in 0..ATTEMPTS {
            let opened = match self.open_index() {
                Err(error) if is_unusable(&error) && self.index.leave(&error) => continue,
                opened => opened?,
            };
            match self.catch_up(&*opened.index, &mut superseded, prunes) {
                Ok(Some(packs)) => {
                    self.tell_of_place(&*opened.index)?;
                    return Ok((opened.index, packs));
                }
                // It knows segments or packs that are gone: nothing of it is to be relied on.
                Ok(None) => {}
                Err(error) if is_unusable(&error) && self.index.leave(&error) => continue,
                Err(error) if error.kind() == ErrorKind::Damage && is_index_error(&error) => {}
                Err(error) => return Err(error),
            }
            drop(opened.index);
            if let Some(folder) = opened.folder {
                match discard(&folder) {
                    Err(error) if is_unusable(&error) && self.index.leave(&error) => {}
                    discarded => discarded?,
                }
            }
        }
        Err(Error::new(ErrorKind::Busy, "packs or index segments vanish while they are read: try again"))
    }

    fn open_index(&self) -> Result<Opened, Error> {
        if matches!(*self.index.place(), IndexPlace::Kept(_)) {
            self.make_cache_dir().map_err(|error| IndexError::Io(format!("{}: {error}", self.cache_dir.display())))?;
        }
        self.index.open()
    }

    /// Says that the index is not where this host keeps it, and what that costs: once.
    fn tell_of_place(&self, index: &dyn ChunkIndex) -> Result<(), Error> {
        let Some(why) = self.index.untold.lock().unwrap_or_else(PoisonError::into_inner).take() else { return Ok(()) };
        let place = self.index.place().folder().map_or_else(|| "in memory".to_owned(), |folder| format!("in {}", folder.display()));
        let item = self.cache_dir.display().to_string();
        let why = why.strip_prefix(&format!("{item}: ")).unwrap_or(&why);
        let message = format!(
            "cannot be used ({why}): the chunk index was made anew from all index segments ({}), {place}, for this command alone, and nothing is kept \
             for the next one; --cache-dir names another folder",
            index.applied()?.len()
        );
        self.warn_about(item, message);
        Ok(())
    }

    /// Takes in the segments that the index has not seen, but for packs that are not there, and for segments that others supersede. Gives the
    /// packs that are there; `None` when it knows segments or packs that are gone or superseded, or some vanish meanwhile: then it is to be
    /// built anew without `superseded`. `prunes`: all prune records, if the caller listed them.
    fn catch_up(
        &self,
        index: &dyn ChunkIndex,
        superseded: &mut BTreeSet<SegmentId>,
        prunes: Option<&BTreeSet<String>>,
    ) -> Result<Option<PackLens>, Error> {
        // First: what prunes do from here on is told by a later look.
        let prunes = prunes.map_or_else(|| self.gc_names(), |prunes| Ok(prunes.clone()))?;
        *self.index.prunes.lock().unwrap_or_else(PoisonError::into_inner) = prunes;
        self.index.incomplete.store(false, Ordering::Relaxed);
        self.index.unreadable.store(false, Ordering::Relaxed);
        let lengths: BTreeMap<SegmentId, u64> =
            self.backend.list(Folder::Segments)?.iter().filter_map(|listed| Some((listed.name.parse().ok()?, listed.len))).collect();
        let listed: BTreeSet<SegmentId> = lengths.keys().copied().collect();
        let applied = index.applied()?;
        superseded.extend(index.superseded()?);
        let missing: Vec<SegmentId> = listed.difference(&applied).filter(|id| !superseded.contains(id)).copied().collect();
        if let Some(id) = missing.last() {
            // Whoever wrote them may have been killed before their names were durable, and this process is about to rely on them.
            self.backend.settle(&ObjectPath::Segment(*id))?;
        }
        // Packs are written before the segments that name them: listed later, all that still exist are seen.
        let exist = self.listed_packs()?;
        if !applied.is_subset(&listed) || !index.packs()?.iter().all(|pack| exist.contains_key(pack)) {
            return Ok(None);
        }
        let mut new = NewSegments::default();
        let much = missing.iter().filter_map(|id| lengths.get(id)).sum::<u64>() >= MUCH;
        let mut into = if much { Target::Load(index.load()?) } else { Target::Index(index) };
        for id in &missing {
            if superseded.contains(id) {
                continue;
            }
            match self.read_listed(id) {
                Ok(Some(segment)) => {
                    superseded.extend(&segment.supersedes);
                    if segment.supersedes.iter().any(|other| applied.contains(other) || new.seen.contains(other)) {
                        return Ok(None);
                    }
                    self.take_in(&mut into, *id, segment, &exist, &mut new)?;
                }
                Ok(None) => return Ok(None),
                // The others still say where their chunks are. It is tried again each time, until a repair removes it.
                Err(error) if error.kind() == ErrorKind::Damage => {
                    self.index.incomplete.store(true, Ordering::Relaxed);
                    self.index.unreadable.store(true, Ordering::Relaxed);
                    self.warn(&ObjectPath::Segment(*id), "is damaged: `snap repair index --execute` makes it anew from the packs");
                }
                Err(error) => return Err(error),
            }
        }
        if let Target::Load(load) = into {
            load.finish()?;
        }
        if !missing.is_empty() {
            new.superseded = superseded.intersection(&listed).copied().collect();
            self.settle_index(index, &new)?;
        }
        if missing.len() > 4 {
            index.flush()?;
        }
        Ok(Some(exist))
    }

    /// Takes in what a segment says of packs that exist.
    fn take_in(
        &self,
        into: &mut Target<'_>,
        id: SegmentId,
        mut segment: Segment,
        exist: &PackLens,
        new: &mut NewSegments,
    ) -> Result<(), Error> {
        let is_missing = |pack: &PackEntry| !exist.contains_key(&pack.id);
        if segment.packs.iter().any(is_missing) && new.pruned.is_none() {
            new.pruned = Some(self.pruned_packs()?);
        }
        let pruned = new.pruned.as_ref();
        let is_explained = |pack: &PackEntry| pruned.is_some_and(|pruned| pruned.contains(&pack.id));
        // Looked at again each time, so that a pack that is put back is seen.
        let whole = segment.packs.iter().all(|pack| !is_missing(pack) || is_explained(pack));
        self.index.incomplete.fetch_or(!whole, Ordering::Relaxed);
        segment.packs.retain(|pack| exist.contains_key(&pack.id));
        match into {
            Target::Index(index) => index.apply(None, &segment)?,
            Target::Load(load) => load.add(&segment)?,
        }
        new.packs.extend(segment.packs.iter().map(|pack| pack.id));
        new.seen.insert(id);
        new.whole.extend(whole.then_some(id));
        Ok(())
    }

    /// Notes what was taken in, with the blobs that dangle now.
    pub(super) fn settle_index(&self, index: &dyn ChunkIndex, new: &NewSegments) -> Result<(), Error> {
        let mut packs = HashSet::new();
        for pack in &new.packs {
            packs.extend(index.number(pack)?);
        }
        let dangling = dangling::find(index, &packs, &index.dangling()?)?;
        Ok(index.settle(&new.whole, &new.superseded, &dangling)?)
    }

    /// Reads one index segment that a listing showed; `None` when it is gone.
    pub(crate) fn read_listed(&self, id: &SegmentId) -> Result<Option<Segment>, Error> {
        match self.read_segment(id) {
            Err(error) if error.is_not_found() => Ok(None),
            segment => segment.map(Some),
        }
    }

    /// Reads one index segment.
    pub(crate) fn read_segment(&self, id: &SegmentId) -> Result<Segment, Error> {
        let path = ObjectPath::Segment(*id);
        let open = |object: &[u8]| {
            Segment::open(object, id, &self.keys).map_err(|error| {
                let message = format!("{path} is damaged: `snap repair index --execute` makes it anew from the packs");
                Error::with(ErrorKind::Damage, message, error)
            })
        };
        opened(&*self.backend, || Ok(self.backend.read(&path, limits::CATALOG_LEN)?), open).map(|(segment, _)| segment)
    }
}

fn index_error(error: &Error) -> Option<&IndexError> {
    std::error::Error::source(error)?.downcast_ref()
}

fn is_index_error(error: &Error) -> bool {
    index_error(error).is_some()
}

/// Whether the disk that an index is on fails, is full or may not be written.
fn is_unusable(error: &Error) -> bool {
    matches!(index_error(error), Some(IndexError::Io(_)))
}

fn cause(error: &Error) -> String {
    match index_error(error) {
        Some(IndexError::Io(why)) => why.clone(),
        _ => chain(error),
    }
}

impl From<IndexError> for Error {
    fn from(error: IndexError) -> Self {
        match error {
            IndexError::InUse => Self::new(ErrorKind::Busy, "another process uses the chunk index"),
            IndexError::Corrupt(_) => {
                Self::with(ErrorKind::Damage, "the local chunk index is damaged: run the command again, the index is built anew", error)
            }
            IndexError::Io(ref why) if why.contains("No space left") || why.contains("quota exceeded") => {
                Self::with(ErrorKind::NoSpace, "there is no room for the local chunk index: see --cache-dir", error)
            }
            IndexError::Io(_) => Self::with(ErrorKind::Failed, "the local chunk index cannot be used: see --cache-dir", error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::ChunkId;
    use crate::base::units::MIB;
    use crate::codec::Compression;
    use crate::crypto::{Secret, TAG_LEN};
    use crate::format::blob::{BlobKind, Frame};
    use crate::format::pack::{BlobEntry, PackContents};
    use crate::repo::{OpenOptions, Secrets};

    /// Chunks of one segment: about as many fit into [`MUCH`] bytes.
    const CHUNKS: u32 = 1 << 16;

    fn open(folder: &Path, cache: &str) -> Repo {
        let options = OpenOptions {
            location: folder.join("repo").display().to_string(),
            cache_dir: folder.join(cache),
            threads: 1,
            memory: 64 * MIB,
            compression: Compression::Auto,
            kept: 0,
        };
        let secrets = Secrets { passphrase: None, key_file: Some(Secret::take(&mut [7; 32])) };
        if folder.join("repo").exists() { Repo::open(&options, &secrets) } else { Repo::init(&options, &secrets, "").map(|(repo, _)| repo) }
            .unwrap()
    }

    fn id(chunk: u32) -> ChunkId {
        ChunkId::from_bytes(*blake3::hash(&chunk.to_le_bytes()).as_bytes())
    }

    /// A segment of a pack that holds as many chunks from `first` on; the pack is there, and nothing is in it.
    fn write_segment(repo: &Repo, first: u32, supersedes: Vec<SegmentId>) -> SegmentId {
        let blob = |first: u32| {
            let frame = Frame {
                kind: BlobKind::Data,
                depth: 0,
                sealed_len: 64 + TAG_LEN as u32,
                steps: Vec::new(),
                chunk_lens: vec![1; 64],
                bases: Vec::new(),
            };
            BlobEntry { frame, ids: (first..first + 64).map(id).collect(), sketches: Vec::new() }
        };
        let contents = PackContents { padding: 0, blobs: (first..first + CHUNKS).step_by(64).map(blob).collect() };
        let pack = PackEntry { id: PackId::from_bytes(*id(!first).as_bytes()), len: 10 << 20, contents };
        assert!(repo.backend.create(&ObjectPath::Pack(pack.id), b"a pack").is_ok());
        repo.create_segment(&Segment { supersedes, packs: vec![pack] }).unwrap()
    }

    fn held(repo: &Repo, chunks: std::ops::Range<u32>) -> usize {
        repo.index().unwrap().find(&chunks.map(id).collect::<Vec<_>>()).unwrap().iter().flatten().count()
    }

    #[test]
    fn much_is_taken_in_together_and_once() {
        let place = tempfile::tempdir().unwrap();
        let repo = open(place.path(), "cache");
        let few = write_segment(&repo, 0, Vec::new());
        assert_eq!(held(&repo, 0..CHUNKS + 1), CHUNKS as usize);
        let mut segments = vec![few];
        segments.extend((1..4).map(|n| write_segment(&repo, n * CHUNKS, Vec::new())));
        // To an index that has some, and to one that has none.
        repo.refresh().unwrap();
        let other = open(place.path(), "other cache");
        for repo in [&repo, &other] {
            assert_eq!(held(repo, 0..5 * CHUNKS), 4 * CHUNKS as usize);
            let index = repo.index().unwrap();
            assert_eq!(index.applied().unwrap(), segments.iter().copied().collect());
            assert_eq!(index.packs().unwrap().len(), 4);
            repo.refresh().unwrap();
            assert_eq!(index.packs().unwrap().len(), 4);
        }
    }

    #[test]
    fn what_is_superseded_while_much_is_taken_in_is_left_out() {
        let place = tempfile::tempdir().unwrap();
        let repo = open(place.path(), "cache");
        let old = write_segment(&repo, 0, Vec::new());
        (1..4).for_each(|n| _ = write_segment(&repo, n * CHUNKS, vec![old]));
        assert_eq!(held(&repo, 0..CHUNKS), 0);
        assert_eq!(held(&repo, CHUNKS..5 * CHUNKS), 3 * CHUNKS as usize);
    }

    #[test]
    fn an_index_of_which_half_was_loaded_is_built_again() {
        let place = tempfile::tempdir().unwrap();
        let repo = open(place.path(), "cache");
        (0..4).for_each(|n| _ = write_segment(&repo, n * CHUNKS, Vec::new()));
        assert_eq!(held(&repo, 0..4 * CHUNKS), 4 * CHUNKS as usize);
        let slot = repo.cache_dir.join("index/0");
        drop(repo);
        // As a crash leaves it between two tables.
        std::fs::write(slot.join("loading"), []).unwrap();
        std::fs::write(slot.join("of the old one"), []).unwrap();
        let repo = open(place.path(), "cache");
        assert_eq!(held(&repo, 0..4 * CHUNKS), 4 * CHUNKS as usize);
        assert!(!slot.join("loading").exists() && !slot.join("of the old one").exists());
    }
}
