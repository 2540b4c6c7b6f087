//! Reading what a blob is coded against: chunks of other blobs, each from the place that is preferred, or from another one where that is damaged.

use std::collections::HashSet;
use std::sync::Arc;

use super::Repo;
use super::read_error::ReadError;
use super::reader::{Decoded, chunk_of, range_of};
use crate::backend::ObjectPath;
use crate::base::ids::ChunkId;
use crate::base::limits;
use crate::blob::{BaseChunk, Content, DecodeError};
use crate::codec::CodecError;
use crate::index::{BlobPlace, ChunkIndex, Location};

/// Gives the blob at a location.
pub(crate) type BaseBlob<'b> = dyn FnMut(&Arc<dyn ChunkIndex>, &Location) -> Result<Content, ReadError> + 'b;
/// Whether a base is rather read from this one of its places.
pub(crate) type Prefer<'p> = dyn Fn(&Arc<dyn ChunkIndex>, &Location) -> bool + 'p;

/// From so many blobs at the most ranges are followed to where their bytes stand: all of them are held on to meanwhile.
pub(super) const MOST_FOLLOWED: usize = 4;

/// The bytes of a blob's bases, one after the other.
pub(super) enum BaseBytes {
    /// Those of a decoded blob that stand one after the other there: a single one, as of most numbers, or what a version of a dump continues.
    Run(Decoded, Location),
    Joined(Vec<u8>),
}

impl BaseBytes {
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Run(blob, location) => chunk_of(blob, location).unwrap_or_default(),
            Self::Joined(bytes) => bytes,
        }
    }
}

/// A base that is to be read.
struct Wanted<'p> {
    location: Location,
    id: &'p ChunkId,
    /// Which of the blob's bases it is.
    number: usize,
    /// Where it starts in all bases, one after the other.
    start: usize,
}

impl Wanted<'_> {
    /// It in a blob that holds it: within that, and as long as was asked for.
    fn of(&self, content: Content, location: &Location) -> Result<BaseChunk, ReadError> {
        // Another copy's place is another segment's word: it has the length that was asked for, or is none.
        let range = range_of(location).filter(|range| range.end <= content.len() && range.len() == self.location.len as usize);
        let range = range.ok_or_else(|| ReadError::Unknown(format!("base {}", self.id)))?;
        Ok(BaseChunk { content, range })
    }
}

/// The bases of a blob, which are read when they are asked for.
pub(super) struct Bases<'p, 'b, 'f> {
    place: &'p BlobPlace,
    index: &'p Arc<dyn ChunkIndex>,
    /// In their order in the blob.
    wanted: Vec<Wanted<'p>>,
    read: &'b mut BaseBlob<'f>,
}

impl<'p, 'b, 'f> Bases<'p, 'b, 'f> {
    /// Finds the bases of the blob at `place`, from those of their places that are preferred. `read` gives their blobs.
    ///
    /// Bounded: each base lies less deep than the blob, and all together are as long as they may be.
    pub(super) fn of(
        place: &'p BlobPlace,
        index: &'p Arc<dyn ChunkIndex>,
        prefer: &Prefer<'_>,
        read: &'b mut BaseBlob<'f>,
    ) -> Result<Self, ReadError> {
        let (mut wanted, mut start) = (Vec::new(), 0);
        let found = if place.frame.bases.is_empty() { Vec::new() } else { index.find_all(&place.frame.bases)? };
        for (number, (id, places)) in place.frame.bases.iter().zip(found).enumerate() {
            let is_preferred = |location: &&Location| location.depth < place.frame.depth && prefer(index, location);
            let location = places.iter().find(is_preferred).or(places.first()).copied();
            let location = location.ok_or_else(|| ReadError::Unknown(format!("base {id}")))?;
            wanted.push(Wanted { location, id, number, start });
            start += location.len as usize;
            if start > limits::BASES_LEN {
                return Err(ReadError::Unknown(format!("base {id} beyond the limit")));
            }
        }
        Ok(Self { place, index, wanted, read })
    }

    /// In how many blobs they are.
    pub(super) fn blobs(&self) -> usize {
        self.wanted.iter().map(|wanted| (wanted.location.pack, wanted.location.ordinal)).collect::<HashSet<_>>().len()
    }

    /// Each in its own blob, in their order.
    pub(super) fn chunks(mut self) -> Result<Vec<BaseChunk>, ReadError> {
        let wanted = self.take_by_place();
        let read = wanted.iter().map(|wanted| Ok((wanted.number, self.chunk(wanted)?)));
        let mut chunks = read.collect::<Result<Vec<_>, ReadError>>()?;
        chunks.sort_unstable_by_key(|(number, _)| *number);
        Ok(chunks.into_iter().map(|(_, chunk)| chunk).collect())
    }

    /// Their bytes, one after the other.
    pub(super) fn bytes(mut self) -> Result<BaseBytes, ReadError> {
        // Most continue a whole blob, and what need not be copied is not touched once more.
        if let Some(run) = run_of(self.wanted.iter().map(|wanted| &wanted.location)).filter(|run| run.depth < self.place.frame.depth) {
            match (self.read)(self.index, &run) {
                Ok(content) => {
                    if let Some(range) = range_of(&run).filter(|range| range.end <= content.len()) {
                        return Ok(match content {
                            Content::Whole(blob) => BaseBytes::Run(blob, run),
                            Content::Pieces(_) => BaseBytes::Joined(content.to_bytes(range)),
                        });
                    }
                }
                Err(error) => return self.bytes_elsewhere().ok_or(error),
            }
        }
        let len = self.wanted.last().map_or(0, |last| last.start + last.location.len as usize);
        let mut bytes = Vec::with_capacity(len);
        for wanted in self.take_by_place() {
            let BaseChunk { content, range } = self.chunk(&wanted)?;
            put(&mut bytes, wanted.start, range.len(), |bytes| content.append(range, bytes));
        }
        Ok(BaseBytes::Joined(bytes))
    }

    /// Those of one blob one after the other: where few blobs are kept, each would be decoded again for the next one.
    fn take_by_place(&mut self) -> Vec<Wanted<'p>> {
        let mut wanted = std::mem::take(&mut self.wanted);
        wanted.sort_unstable_by_key(|wanted| wanted.location);
        wanted
    }

    /// One base, in its blob.
    fn chunk(&mut self, wanted: &Wanted<'_>) -> Result<BaseChunk, ReadError> {
        let (content, location) = match self.content(&wanted.location) {
            Ok(found) => found,
            Err(error) => self.elsewhere(wanted).ok_or(error)?,
        };
        wanted.of(content, &location)
    }

    /// The blob of a base, if it lies less deep than what is coded against it.
    fn content(&mut self, location: &Location) -> Result<(Content, Location), ReadError> {
        let place = self.place;
        if location.depth >= place.frame.depth {
            let (object, source) = (ObjectPath::Pack(place.pack).to_string(), DecodeError::Codec(CodecError::BaseLength));
            return Err(ReadError::Decode { object, offset: place.offset, len: place.frame.sealed_len.into(), source });
        }
        Ok(((self.read)(self.index, location)?, *location))
    }

    /// The same from a place other than the one that was to be read.
    fn elsewhere(&mut self, wanted: &Wanted<'_>) -> Option<(Content, Location)> {
        Repo::elsewhere(self.index, wanted.id, &wanted.location, &mut |location| self.content(location))
    }

    /// The bytes of bases whose blob cannot be read: each from another place. That blob is not tried again: it would be so at every step of a chain,
    /// which is twice as often for each of them.
    fn bytes_elsewhere(&mut self) -> Option<BaseBytes> {
        let mut bytes = Vec::new();
        for wanted in std::mem::take(&mut self.wanted) {
            let (content, location) = self.elsewhere(&wanted)?;
            let BaseChunk { content, range } = wanted.of(content, &location).ok()?;
            content.append(range, &mut bytes);
        }
        Some(BaseBytes::Joined(bytes))
    }
}

/// Where these chunks are together, if they stand one after the other in one blob.
fn run_of<'l>(mut locations: impl Iterator<Item = &'l Location>) -> Option<Location> {
    let first = *locations.next()?;
    locations.try_fold(first, |run, next| {
        let follows = (next.pack, next.ordinal) == (run.pack, run.ordinal) && run.start.checked_add(run.len) == Some(next.start);
        Some(Location { len: run.len.checked_add(next.len)?, ..run }).filter(|_| follows)
    })
}

/// Puts a part of `len` bytes, which `append` appends, where it belongs. Parts mostly come in order: then nothing is cleared first.
fn put(bytes: &mut Vec<u8>, start: usize, len: usize, append: impl FnOnce(&mut Vec<u8>)) {
    if bytes.len() == start {
        return append(bytes);
    }
    let (mut part, end) = (Vec::with_capacity(len), start + len);
    append(&mut part);
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[start..end].copy_from_slice(&part);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_stand_where_they_belong_in_whichever_order_they_come() {
        let parts: [(usize, &[u8]); 3] = [(0, b"ab"), (2, b"cde"), (5, b"f")];
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let mut bytes = Vec::new();
            order.into_iter().for_each(|i| put(&mut bytes, parts[i].0, parts[i].1.len(), |bytes| bytes.extend_from_slice(parts[i].1)));
            assert_eq!(bytes, b"abcdef", "{order:?}");
        }
    }
}
