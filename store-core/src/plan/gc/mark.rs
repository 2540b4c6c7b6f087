//! What is needed: every chunk and node that something live leads to, in one place each, with the bases of the blob that holds it, down to the
//! last. Chosen so that as little as possible of what is condemned is used.
//!
//! What a snapshot itself leads to is *asked for*; the other chunks that are needed are *supports*: bases of those, and bases of bases.
//!
//! Two bits a chunk, and five bytes a blob: less than a byte a chunk of files of text, and somewhat more than five for tensors, whose blobs
//! have one chunk.

use std::sync::Arc;

use crate::base::ids::ChunkId;
use crate::format::blob::Frame;

/// A place of a chunk or node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The number of its pack.
    pub pack: u32,
    /// Its blob there.
    pub ordinal: u32,
    /// Where it starts in the blob's plain bytes.
    pub start: u32,
    /// How many bytes it has.
    pub len: u32,
    /// The depth of its blob.
    pub depth: u8,
}

/// Where chunks are.
pub trait BlobPlaces {
    /// Why it cannot be told.
    type Error;

    /// One place of a chunk, of those that there are one of least depth.
    fn first(&mut self, id: &ChunkId) -> Result<Option<Place>, Self::Error>;

    /// All places of a chunk.
    fn all(&mut self, id: &ChunkId) -> Result<Vec<Place>, Self::Error>;

    /// How a blob is coded.
    fn frame(&mut self, pack: u32, ordinal: u32) -> Result<Option<Arc<Frame>>, Self::Error>;
}

/// What becomes of a pack, or of a blob with all that it is coded against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// It stays whatever is needed.
    Stays,
    /// It goes unless it is needed.
    Condemned,
    /// It is not there.
    Gone,
}

/// Whether something was needed before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needed {
    /// It was not.
    First,
    /// It was.
    Again,
}

/// Why marking ends.
#[derive(Debug, PartialEq, Eq)]
pub enum MarkError<E> {
    /// Something that is needed has no place.
    Missing(ChunkId),
    /// It cannot be told where things are.
    Source(E),
}

impl<E> From<E> for MarkError<E> {
    fn from(error: E) -> Self {
        Self::Source(error)
    }
}

const USED: u8 = 1 << 2;
const STANDING: u8 = USED - 1;

/// One pack.
#[derive(Debug)]
struct PackMarks {
    standing: Standing,
    /// For each blob, how many chunks come before it; and how many there are.
    firsts: Vec<u32>,
    /// For each chunk, whether it is needed here.
    chunks: Vec<u64>,
    /// For each chunk, whether it is asked for, and not only a base of others.
    asked: Vec<u64>,
    /// For each blob, whether anything of it is needed, and what is known of its standing: 0 nothing, else one more than the standing.
    blobs: Vec<u8>,
}

/// What is needed of every blob.
#[derive(Debug)]
pub struct Marks {
    packs: Vec<PackMarks>,
    /// The pack that blobs are told of.
    open: u32,
}

impl Marks {
    /// Nothing is needed yet. `packs` in the order of their numbers.
    pub fn new(packs: impl IntoIterator<Item = Standing>) -> Self {
        let pack = |standing| PackMarks { standing, firsts: vec![0], chunks: Vec::new(), asked: Vec::new(), blobs: Vec::new() };
        Self { packs: packs.into_iter().map(pack).collect(), open: 0 }
    }

    /// Tells of the next blob of a pack, and how many chunks it has. Pack by pack, and [`seal`](Self::seal) behind the last.
    pub fn add_blob(&mut self, pack: u32, chunks: usize) {
        if pack != self.open {
            self.seal();
            self.open = pack;
        }
        let Some(pack) = self.packs.get_mut(pack as usize) else { return };
        let end = pack.firsts.last().copied().unwrap_or(0) + chunks as u32;
        pack.firsts.push(end);
        pack.blobs.push(0);
    }

    /// Tells that a blob cannot be read: it is no place of anything.
    pub fn add_broken(&mut self, pack: u32, ordinal: u32) {
        let blob = self.packs.get_mut(pack as usize).and_then(|pack| pack.blobs.get_mut(ordinal as usize));
        if let Some(blob) = blob {
            *blob = (*blob & USED) | (Standing::Gone as u8 + 1);
        }
    }

    /// No more blobs come of the pack that was told of last: it takes no more memory than it needs.
    pub fn seal(&mut self) {
        let Some(pack) = self.packs.get_mut(self.open as usize) else { return };
        pack.firsts.shrink_to_fit();
        pack.blobs.shrink_to_fit();
        let words = pack.firsts.last().map_or(0, |chunks| (*chunks as usize).div_ceil(64));
        pack.chunks = vec![0; words];
        pack.asked = vec![0; words];
    }

    /// Something is needed. As a base it is needed `below` the depth of what is coded against it; what is asked for itself, at any: below
    /// `u8::MAX`.
    ///
    /// # Errors
    /// When it has no place that is there with all its bases, or that cannot be told.
    pub fn need<P: BlobPlaces>(&mut self, places: &mut P, id: &ChunkId, below: u8) -> Result<Needed, MarkError<P::Error>> {
        let first = places.first(id)?;
        self.need_at(places, id, below, first)
    }

    /// The same, where [`first`](BlobPlaces::first) is known.
    pub fn need_at<P: BlobPlaces>(
        &mut self,
        places: &mut P,
        id: &ChunkId,
        below: u8,
        first: Option<Place>,
    ) -> Result<Needed, MarkError<P::Error>> {
        let (_, place) = self.choose(places, id, below, first)?.ok_or(MarkError::Missing(*id))?;
        let frame = places.frame(place.pack, place.ordinal)?.ok_or(MarkError::Missing(*id))?;
        let index = frame.chunk_at(place.start, place.len).ok_or(MarkError::Missing(*id))?;
        let Some((pack, first)) = self.packs.get_mut(place.pack as usize).and_then(|pack| {
            let first = *pack.firsts.get(place.ordinal as usize)?;
            Some((pack, first))
        }) else {
            return Err(MarkError::Missing(*id));
        };
        let chunk = first as usize + index;
        let (word, bit) = (chunk / 64, 1 << (chunk % 64));
        let (Some(needed), Some(asked)) = (pack.chunks.get_mut(word), pack.asked.get_mut(word)) else {
            return Err(MarkError::Missing(*id));
        };
        *asked |= if below == u8::MAX { bit } else { 0 };
        if *needed & bit != 0 {
            return Ok(Needed::Again);
        }
        *needed |= bit;
        let blob = &mut pack.blobs[place.ordinal as usize];
        if *blob & USED == 0 {
            *blob |= USED;
            for base in &frame.bases {
                self.need(places, base, place.depth)?;
            }
        }
        Ok(Needed::First)
    }

    /// The place to use: one that stays before one that is condemned, of those the least deep, of those the first by number.
    fn choose<P: BlobPlaces>(
        &mut self,
        places: &mut P,
        id: &ChunkId,
        below: u8,
        first: Option<Place>,
    ) -> Result<Option<(Standing, Place)>, MarkError<P::Error>> {
        let Some(first) = first else { return Ok(None) };
        // Nearly always there is one place, and it stays.
        if first.depth < below && self.standing(places, &first)? == Standing::Stays {
            return Ok(Some((Standing::Stays, first)));
        }
        let mut all = places.all(id)?;
        all.retain(|place| place.depth < below);
        all.sort_unstable_by_key(|place| (place.depth, place.pack, place.ordinal, place.start));
        let mut best: Option<(Standing, Place)> = None;
        for place in all {
            let standing = self.standing(places, &place)?;
            if standing < best.map_or(Standing::Gone, |(best, _)| best) {
                best = Some((standing, place));
            }
        }
        Ok(best)
    }

    /// The standing of a blob: the worst of its pack's and its bases'. Bases lie less deep, so this ends.
    fn standing<P: BlobPlaces>(&mut self, places: &mut P, place: &Place) -> Result<Standing, MarkError<P::Error>> {
        const KNOWN: [Standing; 3] = [Standing::Stays, Standing::Condemned, Standing::Gone];
        let pack = self.packs.get(place.pack as usize);
        let Some((pack, known)) = pack.and_then(|pack| Some((pack, *pack.blobs.get(place.ordinal as usize)?))) else {
            return Ok(Standing::Gone);
        };
        if known & STANDING != 0 {
            return Ok(KNOWN[usize::from(known & STANDING) - 1]);
        }
        let mut standing = pack.standing;
        if standing != Standing::Gone && place.depth > 0 {
            let Some(frame) = places.frame(place.pack, place.ordinal)? else { return Ok(Standing::Gone) };
            for base in &frame.bases {
                let first = places.first(base)?;
                let best = self.choose(places, base, place.depth, first)?;
                standing = standing.max(best.map_or(Standing::Gone, |(standing, _)| standing));
                if standing == Standing::Gone {
                    break;
                }
            }
        }
        self.packs[place.pack as usize].blobs[place.ordinal as usize] |= standing as u8 + 1;
        Ok(standing)
    }

    /// How many packs there were: those with smaller numbers.
    pub fn packs(&self) -> u32 {
        self.packs.len() as u32
    }

    /// Whether anything of a pack is needed.
    pub fn is_needed(&self, pack: u32) -> bool {
        self.packs.get(pack as usize).is_some_and(|pack| pack.blobs.iter().any(|blob| blob & USED != 0))
    }

    /// For each chunk of a blob, whether it is needed here.
    pub fn chunks(&self, pack: u32, ordinal: u32) -> Vec<bool> {
        self.bits(pack, ordinal, |pack, word| pack.chunks[word])
    }

    /// For each chunk of a blob, whether it is needed here and asked for.
    pub fn asked(&self, pack: u32, ordinal: u32) -> Vec<bool> {
        self.bits(pack, ordinal, |pack, word| pack.chunks[word] & pack.asked[word])
    }

    /// For each chunk of a blob, whether it is needed here as a base alone.
    pub fn supports(&self, pack: u32, ordinal: u32) -> Vec<bool> {
        self.bits(pack, ordinal, |pack, word| pack.chunks[word] & !pack.asked[word])
    }

    /// Whether anything of a blob is needed.
    pub fn is_blob_needed(&self, pack: u32, ordinal: u32) -> bool {
        self.packs.get(pack as usize).and_then(|pack| pack.blobs.get(ordinal as usize)).is_some_and(|blob| blob & USED != 0)
    }

    fn bits(&self, pack: u32, ordinal: u32, word: impl Fn(&PackMarks, usize) -> u64) -> Vec<bool> {
        let bits = |pack: &PackMarks| {
            let (from, to) = (*pack.firsts.get(ordinal as usize)?, *pack.firsts.get(ordinal as usize + 1)?);
            Some((from..to).map(|chunk| word(pack, chunk as usize / 64) & 1 << (chunk % 64) != 0).collect())
        };
        self.packs.get(pack as usize).and_then(bits).unwrap_or_default()
    }

    /// Bytes of memory that the marks take.
    pub fn memory(&self) -> usize {
        let of = |pack: &PackMarks| pack.firsts.capacity() * 4 + (pack.chunks.len() + pack.asked.len()) * 8 + pack.blobs.capacity();
        self.packs.iter().map(|pack| size_of::<PackMarks>() + of(pack)).sum()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::format::blob::BlobKind;
    use std::collections::HashMap;

    /// A blob of one-byte chunks: depth, chunks, bases.
    type Blob = (u8, Vec<u8>, Vec<u8>);

    /// Packs of such blobs.
    pub(in super::super) struct World {
        blobs: HashMap<(u32, u32), Blob>,
    }

    pub(in super::super) fn id(n: u8) -> ChunkId {
        ChunkId::from_bytes([n; 32])
    }

    impl BlobPlaces for World {
        type Error = std::convert::Infallible;

        fn first(&mut self, id: &ChunkId) -> Result<Option<Place>, Self::Error> {
            Ok(self.all(id)?.into_iter().min_by_key(|place| (place.depth, place.pack)))
        }

        fn all(&mut self, id: &ChunkId) -> Result<Vec<Place>, Self::Error> {
            let mut found = Vec::new();
            for ((pack, ordinal), (depth, chunks, _)) in &self.blobs {
                for (start, _) in chunks.iter().enumerate().filter(|(_, chunk)| **chunk == id.as_bytes()[0]) {
                    found.push(Place { pack: *pack, ordinal: *ordinal, start: start as u32, len: 1, depth: *depth });
                }
            }
            Ok(found)
        }

        fn frame(&mut self, pack: u32, ordinal: u32) -> Result<Option<Arc<Frame>>, Self::Error> {
            Ok(self.blobs.get(&(pack, ordinal)).map(|(depth, chunks, bases)| {
                let bases = bases.iter().copied().map(id).collect();
                let chunk_lens = vec![1; chunks.len()];
                Arc::new(Frame { kind: BlobKind::Data, depth: *depth, sealed_len: 17, steps: Vec::new(), chunk_lens, bases })
            }))
        }
    }

    pub(in super::super) fn world(blobs: &[(u32, u8, &[u8], &[u8])], standings: &[Standing]) -> (World, Marks) {
        let (mut world, mut marks) = (World { blobs: HashMap::new() }, Marks::new(standings.iter().copied()));
        for (pack, depth, chunks, bases) in blobs {
            let ordinal = marks.packs[*pack as usize].blobs.len() as u32;
            world.blobs.insert((*pack, ordinal), (*depth, chunks.to_vec(), bases.to_vec()));
            marks.add_blob(*pack, chunks.len());
        }
        marks.seal();
        (world, marks)
    }

    use Standing::{Condemned, Gone, Stays};

    #[test]
    fn a_chunk_takes_its_blobs_bases_along_and_leaves_its_neighbours() {
        let (mut world, mut marks) =
            world(&[(0, 0, &[1, 2], &[]), (1, 1, &[3, 4], &[2]), (2, 2, &[5], &[4]), (3, 0, &[6], &[])], &[Stays; 4]);
        assert_eq!(marks.need(&mut world, &id(5), u8::MAX), Ok(Needed::First));
        assert_eq!(marks.need(&mut world, &id(5), u8::MAX), Ok(Needed::Again));
        assert_eq!(marks.chunks(0, 0), [false, true]);
        assert_eq!(marks.chunks(1, 0), [false, true]);
        assert_eq!([0, 1, 2, 3].map(|pack| marks.is_needed(pack)), [true, true, true, false]);
    }

    #[test]
    fn a_base_that_nobody_asks_for_is_a_support() {
        let (mut world, mut marks) = world(&[(0, 0, &[1, 2], &[]), (0, 1, &[3], &[1, 2])], &[Stays]);
        marks.need(&mut world, &id(3), u8::MAX).unwrap();
        assert_eq!(marks.supports(0, 0), [true, true]);
        marks.need(&mut world, &id(2), u8::MAX).unwrap();
        assert_eq!((marks.supports(0, 0), marks.asked(0, 0), marks.chunks(0, 0)), (vec![true, false], vec![false, true], vec![true, true]));
        assert_eq!((marks.supports(0, 1), marks.asked(0, 1)), (vec![false], vec![true]));
    }

    #[test]
    fn what_is_condemned_is_used_only_where_nothing_else_is() {
        let (mut world, mut marks) = world(&[(0, 0, &[1], &[]), (1, 1, &[1], &[2]), (2, 0, &[2], &[])], &[Condemned, Stays, Stays]);
        marks.need(&mut world, &id(1), u8::MAX).unwrap();
        assert_eq!([0, 1, 2].map(|pack| marks.is_needed(pack)), [false, true, true]);
        // As a base of something at depth 1 only the first copy will do.
        marks.need(&mut world, &id(1), 1).unwrap();
        assert!(marks.is_needed(0));
    }

    #[test]
    fn a_place_counts_with_all_its_bases() {
        let blobs: &[(u32, u8, &[u8], &[u8])] = &[(0, 1, &[1], &[9]), (1, 2, &[1], &[3]), (2, 1, &[3], &[4]), (3, 0, &[4], &[])];
        let (mut some, mut marks) = world(blobs, &[Stays; 4]);
        marks.need(&mut some, &id(1), u8::MAX).unwrap();
        assert_eq!([0, 1, 2, 3].map(|pack| marks.is_needed(pack)), [false, true, true, true]);
        for lost in [1, 2, 3] {
            let standings: Vec<_> = (0..4).map(|pack| if pack == lost { Gone } else { Stays }).collect();
            let (mut some, mut marks) = world(blobs, &standings);
            assert_eq!(marks.need(&mut some, &id(1), u8::MAX), Err(MarkError::Missing(id(1))));
        }
    }

    #[test]
    fn what_is_known_to_be_broken_is_no_place() {
        let blobs: &[(u32, u8, &[u8], &[u8])] = &[(0, 0, &[1], &[]), (1, 0, &[1], &[]), (2, 1, &[2], &[1])];
        let (mut some, mut marks) = world(blobs, &[Stays; 3]);
        marks.add_broken(0, 0);
        marks.need(&mut some, &id(2), u8::MAX).unwrap();
        assert_eq!([0, 1, 2].map(|pack| marks.is_needed(pack)), [false, true, true]);
        let (mut some, mut marks) = world(blobs, &[Stays; 3]);
        marks.add_broken(0, 0);
        marks.add_broken(1, 0);
        assert_eq!(marks.need(&mut some, &id(2), u8::MAX), Err(MarkError::Missing(id(2))));
    }

    #[test]
    fn a_base_must_lie_less_deep() {
        let (mut some, mut marks) = world(&[(0, 1, &[1], &[2]), (1, 1, &[2], &[3]), (1, 0, &[3], &[])], &[Stays; 2]);
        assert_eq!(marks.need(&mut some, &id(1), u8::MAX), Err(MarkError::Missing(id(1))));
        let (mut some, mut marks) = world(&[(0, 1, &[1], &[1])], &[Stays]);
        assert_eq!(marks.need(&mut some, &id(1), u8::MAX), Err(MarkError::Missing(id(1))));
    }

    #[test]
    fn what_is_nowhere_is_missing() {
        let (mut some, mut marks) = world(&[(0, 0, &[1], &[])], &[Gone]);
        assert_eq!(marks.need(&mut some, &id(1), u8::MAX), Err(MarkError::Missing(id(1))));
        assert_eq!(marks.need(&mut some, &id(2), u8::MAX), Err(MarkError::Missing(id(2))));
    }

    #[test]
    fn a_rescued_chain_is_rescued_whole() {
        let (mut some, mut marks) = world(
            &[(0, 2, &[1], &[2]), (1, 1, &[2], &[3]), (2, 0, &[3], &[]), (3, 0, &[4], &[])],
            &[Stays, Condemned, Condemned, Condemned],
        );
        marks.need(&mut some, &id(1), u8::MAX).unwrap();
        assert_eq!([0, 1, 2, 3].map(|pack| marks.is_needed(pack)), [true, true, true, false]);
    }

    #[test]
    fn marks_take_two_bits_a_chunk_and_five_bytes_a_blob() {
        let mut marks = Marks::new([Stays, Stays]);
        (0..1000).for_each(|_| marks.add_blob(0, 16));
        (0..1000).for_each(|_| marks.add_blob(1, 1));
        marks.seal();
        assert!(marks.memory() < 17 * 1000 / 4 + 5 * 2000 + 400, "{}", marks.memory());
    }
}
