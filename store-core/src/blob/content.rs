//! The plain bytes of a blob: as they are, or, of a blob that is edits of others, as pieces of what those are made of.
//!
//! A version at the end of a chain of edits is mostly the bytes of its start. Its pieces are found by following each range through all scripts,
//! and whoever wants the bytes copies them once, not once for each version on the way.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use super::code::DecodeError;
use crate::codec::edits::{Copied, Script};

/// The plain bytes of a blob.
#[derive(Debug, Clone)]
pub enum Content {
    /// As they are.
    Whole(Arc<Vec<u8>>),
    /// In pieces.
    Pieces(Arc<Pieces>),
}

/// Pieces of byte strings, one after the other.
#[derive(Debug)]
pub struct Pieces {
    len: usize,
    pieces: Vec<Piece>,
    sources: Vec<Arc<Vec<u8>>>,
}

/// A piece, up to where the next one starts.
#[derive(Debug, Clone, Copy)]
struct Piece {
    start: u32,
    source: u32,
    /// Where it starts in its source.
    from: u32,
}

/// A chunk that a blob is coded against, in its own blob.
#[derive(Debug, Clone)]
pub struct BaseChunk {
    /// The blob.
    pub content: Content,
    /// Where the chunk is.
    pub range: Range<usize>,
}

/// On average, pieces are this long at least; else the bytes are put together at once.
const SHORTEST_MEAN: usize = 64;
/// Sources are so many times as long as what is made of them at the most; else the bytes are put together at once. Whoever holds a piece of a source holds
/// all of it, and where everything has moved, each version would hold most of the ones before.
const MOST_HELD: usize = 4;

impl Content {
    /// Bytes as they are.
    pub fn whole(bytes: Vec<u8>) -> Self {
        Self::Whole(Arc::new(bytes))
    }

    /// How many bytes these are.
    pub fn len(&self) -> usize {
        match self {
            Self::Whole(bytes) => bytes.len(),
            Self::Pieces(pieces) => pieces.len,
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The byte strings that this holds on to.
    pub fn sources(&self) -> &[Arc<Vec<u8>>] {
        match self {
            Self::Whole(bytes) => std::slice::from_ref(bytes),
            Self::Pieces(pieces) => &pieces.sources,
        }
    }

    /// Bytes of memory that this takes, but for its sources.
    pub fn overhead(&self) -> usize {
        match self {
            Self::Whole(_) => 0,
            Self::Pieces(pieces) => size_of_val(&pieces.pieces[..]),
        }
    }

    /// Gives the bytes of `range`, which must be within these, source by source: which one, and what of it. `near` is the number of a piece where they may
    /// start, and then that of the piece where they end.
    fn each(&self, range: Range<usize>, near: &mut usize, take: &mut impl FnMut(usize, Range<usize>)) {
        let pieces = match self {
            Self::Whole(_) => return take(0, range),
            Self::Pieces(pieces) => pieces,
        };
        for (number, piece) in pieces.pieces.iter().enumerate().skip(pieces.at(range.start, *near)) {
            let (start, end) = (piece.start as usize, pieces.end(number));
            let (from, to) = (range.start.max(start), range.end.min(end));
            if from >= to {
                break;
            }
            *near = number;
            take(piece.source as usize, piece.from as usize + (from - start)..piece.from as usize + (to - start));
        }
    }

    /// Appends the bytes of `range`, which must be within these.
    pub fn append(&self, range: Range<usize>, out: &mut Vec<u8>) {
        out.reserve_exact(range.len());
        self.each(range, &mut 0, &mut |source, part| out.extend_from_slice(&self.sources()[source][part]));
    }

    /// The bytes of `range`, which must be within these.
    pub fn to_bytes(&self, range: Range<usize>) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.append(range, &mut bytes);
        bytes
    }

    /// All bytes, as they are.
    pub fn into_bytes(self) -> Vec<u8> {
        match self {
            Self::Whole(bytes) => Arc::unwrap_or_clone(bytes),
            Self::Pieces(_) => self.to_bytes(0..self.len()),
        }
    }
}

impl Pieces {
    fn end(&self, number: usize) -> usize {
        self.pieces.get(number + 1).map_or(self.len, |next| next.start as usize)
    }

    /// The piece that a byte is in, or the last one. As a rule it is not far behind `near`: scripts mostly go on where they were.
    fn at(&self, byte: usize, near: usize) -> usize {
        // To look at more takes as long as the search does.
        const FAR: usize = 8;
        let is_in = |number: &usize| self.pieces.get(*number).is_some_and(|piece| piece.start as usize <= byte) && byte < self.end(*number);
        let search = || self.pieces.partition_point(|piece| piece.start as usize <= byte).saturating_sub(1);
        (near..near + FAR).find(is_in).unwrap_or_else(search)
    }
}

/// What a blob is that was coded as edits of `bases`, in their order, each within its blob.
///
/// # Errors
/// When no encoder writes such bytes.
pub(super) fn follow(coded: &[u8], len: usize, bases: &[BaseChunk]) -> Result<Content, DecodeError> {
    let (mut starts, mut base_len) = (Vec::with_capacity(bases.len()), 0);
    for base in bases {
        starts.push(base_len);
        base_len += base.range.len();
    }
    let Script { copies, literals } = Script::read(coded, base_len, len)?;
    let followed = Followed { len, copies, literals: Arc::new(literals), bases, starts };
    Ok(followed.pieces().map_or_else(|| Content::whole(followed.bytes()), |pieces| Content::Pieces(Arc::new(pieces))))
}

/// A script with the bases that it is of.
struct Followed<'b> {
    len: usize,
    copies: Vec<Copied>,
    literals: Arc<Vec<u8>>,
    bases: &'b [BaseChunk],
    /// Where each base starts in all of them, one after the other.
    starts: Vec<usize>,
}

/// A stretch of what a script puts together.
enum Stretch {
    /// A range of the literals.
    Literals(Range<usize>),
    /// A range of the blob that the base with this number is in.
    Base(usize, Range<usize>),
}

impl Followed<'_> {
    /// Gives what is put together, in order.
    fn each(&self, take: &mut impl FnMut(Stretch)) {
        let mut used = 0;
        for copy in &self.copies {
            take(Stretch::Literals(used..used + copy.literals as usize));
            used += copy.literals as usize;
            let (mut from, end) = (copy.from as usize, (copy.from + copy.len) as usize);
            let first = self.starts.partition_point(|start| *start <= from).saturating_sub(1);
            for (number, start) in self.starts.iter().enumerate().skip(first) {
                if from >= end {
                    break;
                }
                let Range { start: in_blob, end: blob_end } = self.bases[number].range;
                let to = end.min(start + (blob_end - in_blob));
                take(Stretch::Base(number, in_blob + (from - start)..in_blob + (to - start)));
                from = to;
            }
        }
        take(Stretch::Literals(used..self.literals.len()));
    }

    /// All of it in pieces; `None` where those are too short, or hold on to too much.
    fn pieces(&self) -> Option<Pieces> {
        let mut made = Maker { pieces: Vec::new(), sources: vec![Arc::clone(&self.literals)], len: 0, most: self.len / SHORTEST_MEAN };
        let numbers = made.name(self.bases);
        let mut near = vec![0; self.bases.len()];
        self.each(&mut |part| match part {
            Stretch::Literals(range) => made.push(0, range),
            Stretch::Base(number, range) => {
                let names = &numbers[number];
                self.bases[number].content.each(range, &mut near[number], &mut |source, part| made.push(names[source], part));
            }
        });
        let pieces = (made.len == self.len).then(|| made.finish())?;
        let held: usize = pieces.sources.iter().map(|source| source.len()).sum();
        (held <= MOST_HELD * self.len).then_some(pieces)
    }

    /// All of it as bytes.
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.len);
        self.each(&mut |part| match part {
            Stretch::Literals(range) => bytes.extend_from_slice(&self.literals[range]),
            Stretch::Base(number, range) => self.bases[number].content.append(range, &mut bytes),
        });
        bytes
    }
}

/// Pieces in the making.
struct Maker {
    pieces: Vec<Piece>,
    sources: Vec<Arc<Vec<u8>>>,
    len: usize,
    /// With more pieces than these, no more are made.
    most: usize,
}

impl Maker {
    /// Takes the sources of bases for its own, each once, and gives for each base their numbers here.
    fn name(&mut self, bases: &[BaseChunk]) -> Vec<Vec<u32>> {
        let mut numbers: HashMap<*const Vec<u8>, u32> = HashMap::new();
        let mut number = |source: &Arc<Vec<u8>>| {
            *numbers.entry(Arc::as_ptr(source)).or_insert_with(|| {
                self.sources.push(Arc::clone(source));
                self.sources.len() as u32 - 1
            })
        };
        bases.iter().map(|base| base.content.sources().iter().map(&mut number).collect()).collect()
    }

    /// The pieces, without sources that none of them is of.
    fn finish(mut self) -> Pieces {
        let mut numbers = vec![None; self.sources.len()];
        let mut used = Vec::new();
        for piece in &mut self.pieces {
            let source = piece.source as usize;
            piece.source = *numbers[source].get_or_insert_with(|| {
                used.push(Arc::clone(&self.sources[source]));
                used.len() as u32 - 1
            });
        }
        self.pieces.shrink_to_fit();
        Pieces { len: self.len, pieces: self.pieces, sources: used }
    }

    fn push(&mut self, source: u32, part: Range<usize>) {
        if part.is_empty() {
            return;
        }
        let goes_on = |last: &Piece| last.source == source && last.from as usize + (self.len - last.start as usize) == part.start;
        if !self.pieces.last().is_some_and(goes_on) {
            if self.pieces.len() == self.most {
                return;
            }
            self.pieces.push(Piece { start: self.len as u32, source, from: part.start as u32 });
        }
        self.len += part.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::edits;

    fn noise(len: usize, seed: u8) -> Vec<u8> {
        let mut bytes = vec![0; len];
        blake3::Hasher::new().update(&[seed]).finalize_xof().fill(&mut bytes);
        bytes
    }

    /// A version further: something replaced, something gone, something new.
    fn next(mut bytes: Vec<u8>, seed: u8) -> Vec<u8> {
        let at = usize::from(seed) * 700;
        bytes.splice(at..at + 50, noise(50, seed));
        bytes.drain(at + 5000..at + 5100);
        bytes.splice(at + 9000..at + 9000, noise(60, seed + 100));
        bytes
    }

    #[test]
    fn a_chain_is_copied_from_its_start_and_from_literals() {
        let first = noise(40_000, 0);
        let (mut plain, mut content) = (first.clone(), Content::whole(first));
        for version in 1..8 {
            let new = next(plain.clone(), version);
            let coded = edits::encode(&new, &plain, 0, 3).unwrap();
            let bases = [BaseChunk { range: 0..content.len(), content }];
            content = follow(&coded, new.len(), &bases).unwrap();
            plain = new;
            assert!(content.sources().len() <= usize::from(version) + 1);
            let mut near = 0;
            for range in [0..plain.len(), 0..0, 1..2, 700..20_000, 20_000..20_500, 39_000..plain.len(), 300..600] {
                let mut part = b"before".to_vec();
                content.append(range.clone(), &mut part);
                assert_eq!(part, [b"before", &plain[range.clone()]].concat());
                // Wherever the last range ended.
                let mut pieces = Vec::new();
                content.each(range.clone(), &mut near, &mut |source, part| pieces.extend_from_slice(&content.sources()[source][part]));
                assert_eq!(pieces, plain[range]);
            }
        }
        assert!(matches!(content, Content::Pieces(_)));
        assert_eq!(content.into_bytes(), plain);
    }

    #[test]
    fn bases_are_ranges_of_several_blobs() {
        let blobs = [noise(5000, 1), noise(3000, 2), noise(4000, 3)];
        let ranges = [1000..4000, 0..3000, 500..3500];
        let base: Vec<u8> = blobs.iter().zip(&ranges).flat_map(|(blob, range)| blob[range.clone()].to_vec()).collect();
        let mut plain = base.clone();
        plain.splice(2900..3200, b"across two".iter().copied());
        plain.extend_from_slice(&base[5000..7000]);
        let coded = edits::encode(&plain, &base, 0, 3).unwrap();
        let bases: Vec<_> = blobs.into_iter().zip(ranges).map(|(blob, range)| BaseChunk { content: Content::whole(blob), range }).collect();
        assert_eq!(follow(&coded, plain.len(), &bases).unwrap().into_bytes(), plain);
        assert!(follow(&coded, plain.len(), &bases[..2]).is_err(), "a base is missing");
    }

    #[test]
    fn what_would_hold_on_to_many_blobs_is_put_together() {
        let blobs: Vec<Vec<u8>> = (0..5).map(|number| noise(8000, 10 + number)).collect();
        let made_of = |count: usize| {
            let bases: Vec<_> =
                blobs[..count].iter().map(|blob| BaseChunk { content: Content::whole(blob.clone()), range: 3000..4500 }).collect();
            let base: Vec<u8> = blobs[..count].iter().flat_map(|blob| blob[3000..4500].to_vec()).collect();
            let mut plain = [&base[..], &base[500..1000]].concat();
            plain[100] ^= 1;
            let coded = edits::encode(&plain, &base, 0, 3).unwrap();
            let content = follow(&coded, plain.len(), &bases).unwrap();
            assert_eq!(content.to_bytes(0..plain.len()), plain);
            content
        };
        // Of each blob less than a fifth is used.
        assert!(matches!(made_of(5), Content::Whole(_)));
        let whole = Content::whole(blobs[0].clone());
        let mut plain = blobs[0].clone();
        plain[4000] ^= 1;
        let coded = edits::encode(&plain, &blobs[0], 0, 3).unwrap();
        let content = follow(&coded, plain.len(), &[BaseChunk { content: whole, range: 0..8000 }]).unwrap();
        assert!(matches!(content, Content::Pieces(_)));
    }

    #[test]
    fn many_short_pieces_are_put_together() {
        let base = noise(8192, 4);
        let mut plain = base.clone();
        plain.iter_mut().step_by(40).for_each(|byte| *byte ^= 1);
        let bases = [BaseChunk { content: Content::whole(base.clone()), range: 0..base.len() }];
        if let Some(coded) = edits::encode(&plain, &base, 0, 3) {
            let content = follow(&coded, plain.len(), &bases).unwrap();
            assert!(matches!(content, Content::Whole(_)));
            assert_eq!(content.into_bytes(), plain);
        }
        let coded = edits::encode(&[], &base, 0, 3).unwrap();
        assert!(follow(&coded, 0, &bases).unwrap().is_empty());
    }
}
