//! L3: the chunk index: where each chunk is. Derived from index segments and disposable; what it says is checked against the packs
//! that exist before anybody relies on it. Drivers: RocksDB, memory.

mod memory;
mod rocks;
mod sorter;

use std::cmp::Reverse;
use std::collections::BTreeSet;

pub use memory::MemoryIndex;
pub use rocks::RocksIndex;

use crate::base::ids::{ChunkId, NodeId, PackId, SegmentId};
use crate::format::blob::Frame;
use crate::format::pack::Sketch;
use crate::format::segment::{PackEntry, Segment};

/// A pack's number within one index: shorter than its name, and of no meaning elsewhere.
pub type PackNumber = u32;

/// Where a chunk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Location {
    /// In which pack.
    pub pack: PackNumber,
    /// In which blob of the pack.
    pub ordinal: u32,
    /// Where it starts in the blob's plain bytes.
    pub start: u32,
    /// How many bytes it has.
    pub len: u32,
    /// The depth of its blob. Of several copies of a chunk the index names one of the least depth, the last that it was told of: whatever is
    /// coded against the chunk lies deeper than the copy that its coder saw, and so than this one.
    pub depth: u8,
}

/// What a restore of a snapshot reads, in stored bytes, beside what it would read if there were nothing but that snapshot: as far as is known, rather
/// too much than too little of the one, and about the other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reads {
    /// What is read.
    pub all: u64,
    /// What would be.
    pub alone: u64,
    /// Plain bytes of the snapshot.
    pub plain: u64,
    /// Stored bytes that the next version may take so that less is read.
    pub credit: u64,
}

/// All that is needed to read a blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobPlace {
    /// In which pack.
    pub pack: PackId,
    /// Where its sealed bytes start in the pack.
    pub offset: u64,
    /// How it is coded.
    pub frame: Frame,
}

/// What went wrong with an index.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// Another process has it open.
    #[error("the chunk index is in use by another process")]
    InUse,
    /// It is damaged; it can be thrown away and built again.
    #[error("the chunk index is damaged: {0}")]
    Corrupt(String),
    /// The disk it is on fails or is full.
    #[error("the chunk index cannot be used: {0}")]
    Io(String),
}

/// Says where chunks are.
pub trait ChunkIndex: Send + Sync + std::fmt::Debug {
    /// Where these chunks (or nodes) are; in the same order.
    fn find(&self, ids: &[ChunkId]) -> Result<Vec<Option<Location>>, IndexError>;

    /// For each of these chunks all places where it is, the one that [`find`](Self::find) gives first. As fast as that for those that are in one.
    fn find_all(&self, ids: &[ChunkId]) -> Result<Vec<Vec<Location>>, IndexError>;

    /// Every place where this chunk (or node) is, the least depth first: [`find`](Self::find) gives one of them.
    fn copies(&self, id: &ChunkId) -> Result<Vec<Location>, IndexError>;

    /// One blob.
    fn blob(&self, pack: PackNumber, ordinal: u32) -> Result<Option<BlobPlace>, IndexError>;

    /// The pack with this number and its length.
    fn pack(&self, number: PackNumber) -> Result<Option<(PackId, u64)>, IndexError>;

    /// For each sketch, the chunks that share values with it, each once for every value; in no order.
    fn similar(&self, sketches: &[Sketch]) -> Result<Vec<Vec<Location>>, IndexError>;

    /// All packs it knows.
    fn packs(&self) -> Result<Vec<PackId>, IndexError>;

    /// Takes in what a segment says of its packs, at once or not at all. Without a name it does not count among those that were
    /// [taken in](Self::applied) until it is [noted](Self::settle); until then it is to be looked at again.
    fn apply(&self, id: Option<&SegmentId>, segment: &Segment) -> Result<(), IndexError>;

    /// Begins to take in what many segments say, faster than one by one. Until it is finished nothing of it shows, and whoever else
    /// takes something in waits.
    fn load(&self) -> Result<Box<dyn Load + '_>, IndexError>;

    /// Which segments were taken in.
    fn applied(&self) -> Result<BTreeSet<SegmentId>, IndexError>;

    /// Which segments that there may still be are superseded by one that was taken in.
    fn superseded(&self) -> Result<BTreeSet<SegmentId>, IndexError>;

    /// Blobs whose bases are not all there, by the numbers of their packs and their ordinals.
    fn dangling(&self) -> Result<BTreeSet<(PackNumber, u32)>, IndexError>;

    /// Notes segments as taken in, others as superseded by them, and says which blobs dangle from now on: all at once or not at all.
    fn settle(&self, taken: &[SegmentId], superseded: &[SegmentId], dangling: &BTreeSet<(PackNumber, u32)>) -> Result<(), IndexError>;

    /// The number of a pack that was taken in.
    fn number(&self, pack: &PackId) -> Result<Option<PackNumber>, IndexError>;

    /// Calls `found` for each blob with its pack's number and its ordinal, pack by pack.
    fn for_each_blob(&self, found: &mut dyn FnMut(PackNumber, u32, BlobPlace)) -> Result<(), IndexError>;

    /// A record that was kept of the object at this path, as it is stored.
    fn record(&self, path: &str) -> Result<Option<Vec<u8>>, IndexError>;

    /// The paths of all records that are kept.
    fn records(&self) -> Result<Vec<String>, IndexError>;

    /// Keeps records with their paths, and drops others.
    fn keep_records(&self, new: &[(String, Vec<u8>)], gone: &[String]) -> Result<(), IndexError>;

    /// Whether all that this root of a snapshot leads to is in packs that the index knows: a push made sure of it and
    /// [noted it](Self::note_whole), and an index that has packs which are gone is thrown away.
    fn is_whole(&self, root: &NodeId) -> Result<bool, IndexError>;

    /// Notes that a snapshot is whole, in place of another one.
    fn note_whole(&self, root: &NodeId, instead_of: Option<&NodeId>) -> Result<(), IndexError>;

    /// What was [noted](Self::note_reads) of this root.
    fn reads_of(&self, root: &NodeId) -> Result<Option<Reads>, IndexError>;

    /// Notes what a restore of the snapshot with this root reads, in place of what was noted of another one.
    fn note_reads(&self, root: &NodeId, reads: Reads, instead_of: Option<&NodeId>) -> Result<(), IndexError>;

    /// Makes what was taken in survive the process.
    fn flush(&self) -> Result<(), IndexError>;
}

/// What many segments say, on its way into an index. When it is dropped before it is finished, the index is as it was.
pub trait Load {
    /// Adds what a segment says of its packs.
    fn add(&mut self, segment: &Segment) -> Result<(), IndexError>;

    /// Takes all in, and makes it survive the process. When that fails, the index is not to be used any more.
    fn finish(self: Box<Self>) -> Result<(), IndexError>;
}

/// Puts the places of one chunk in the order in which they are tried, each once.
fn in_order(mut copies: Vec<Location>) -> Vec<Location> {
    copies.sort_unstable_by_key(|copy| (copy.depth, Reverse((copy.pack, copy.ordinal, copy.start))));
    copies.dedup();
    copies
}

/// The locations that a pack gives: for each chunk, its blob and its place there.
fn locations(number: PackNumber, pack: &PackEntry) -> impl Iterator<Item = (ChunkId, Location)> {
    pack.contents.blobs.iter().enumerate().flat_map(move |(ordinal, blob)| {
        let mut start = 0;
        blob.ids.iter().zip(&blob.frame.chunk_lens).map(move |(id, len)| {
            let location = Location { pack: number, ordinal: ordinal as u32, start, len: *len, depth: blob.frame.depth };
            start += len;
            (*id, location)
        })
    })
}

/// The features of a pack's chunks with their locations.
pub(crate) fn features(number: PackNumber, pack: &PackEntry) -> impl Iterator<Item = ([u8; 5], Location)> {
    let sketches = pack.contents.blobs.iter().flat_map(|blob| {
        let none = blob.sketches.is_empty();
        blob.ids.iter().enumerate().map(move |(i, _)| if none { [0; 8] } else { blob.sketches[i] })
    });
    locations(number, pack).zip(sketches).flat_map(|((_, location), sketch)| {
        feature_keys(sketch).into_iter().filter(|key| key[1..] != [0; 4]).map(move |key| (key, location))
    })
}

/// The keys of a sketch's features: position, then value.
pub(crate) fn feature_keys(sketch: Sketch) -> [[u8; 5]; 8] {
    std::array::from_fn(|i| {
        let value = sketch[i].to_be_bytes();
        [i as u8, value[0], value[1], value[2], value[3]]
    })
}
