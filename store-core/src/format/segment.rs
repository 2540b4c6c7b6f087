//! Index segments: which chunks are in which packs (`spec/FORMAT.md`, section 9).

use super::catalogue;
use super::envelope::{ObjectError, ObjectKind, Place, Sealed, seal_object};
use super::pack::{PackContents, TRAILER_LEN};
use crate::base::ids::{PackId, SegmentId};
use crate::base::limits;
use crate::base::wire::{Reader, WireError, put_varint};
use crate::crypto::{RepoKeys, TAG_LEN};

/// Bytes behind the last blob of any pack: the sealed footer, which is at least the form of its catalogue and a tag, and the trailer.
const LEAST_FOOTER: u64 = (1 + TAG_LEN + TRAILER_LEN) as u64;

/// One pack, as an index segment lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackEntry {
    /// Which pack.
    pub id: PackId,
    /// Its length in bytes.
    pub len: u64,
    /// What it holds.
    pub contents: PackContents,
}

/// What one index segment says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Segment {
    /// Segments whose statements this one replaces.
    pub supersedes: Vec<SegmentId>,
    /// The packs.
    pub packs: Vec<PackEntry>,
}

impl Segment {
    /// Seals the segment; `salt` is random. Returns its name and the object.
    pub fn seal(&self, keys: &RepoKeys, salt: [u8; 32]) -> (SegmentId, Vec<u8>) {
        let mut plain = Vec::new();
        put_varint(&mut plain, self.supersedes.len() as u64);
        self.supersedes.iter().for_each(|id| plain.extend_from_slice(id.as_bytes()));
        put_varint(&mut plain, self.packs.len() as u64);
        for pack in &self.packs {
            plain.extend_from_slice(pack.id.as_bytes());
            put_varint(&mut plain, pack.len);
            pack.contents.encode(&mut plain, true);
        }
        let key = keys.object(ObjectKind::IndexSegment as u8, 0, &salt);
        let object = seal_object(ObjectKind::IndexSegment, salt, &key, &[], Place::Hash, catalogue::wrap(&plain));
        (segment_id(&object), object)
    }

    /// Opens the segment named `id`.
    pub fn open(object: &[u8], id: &SegmentId, keys: &RepoKeys) -> Result<Self, ObjectError> {
        if segment_id(object) != *id {
            return Err(ObjectError::Name);
        }
        let sealed = Sealed::parse(object, ObjectKind::IndexSegment)?;
        let key = keys.object(ObjectKind::IndexSegment as u8, sealed.header.epoch, &sealed.header.salt);
        let plain = catalogue::unwrap(&sealed.open(&key, Place::Hash)?)?;
        let mut reader = Reader::new(&plain);
        let segment = Self::decode(&mut reader)?;
        reader.finish()?;
        Ok(segment)
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let count = reader.count("superseded segments", limits::CATALOG_LEN / SegmentId::LEN)?;
        let supersedes = reader.bytes(count * SegmentId::LEN)?.as_chunks::<{ SegmentId::LEN }>().0;
        let supersedes = supersedes.iter().map(|id| SegmentId::from_bytes(*id)).collect();
        let count = reader.count("packs", limits::CATALOG_LEN / PackId::LEN)?;
        let mut blobs = 0;
        let packs = (0..count)
            .map(|_| {
                let id = PackId::from_bytes(reader.array()?);
                let len = reader.count("a pack's length", limits::PACK_LEN)? as u64;
                let contents = PackContents::decode(reader)?;
                if contents.end() + LEAST_FOOTER > len {
                    return Err(WireError::Invalid("a pack's blobs do not fit its length"));
                }
                blobs += contents.blobs.len();
                if blobs > limits::PACK_BLOBS {
                    return Err(WireError::TooLarge { what: "blobs of a segment", value: blobs as u64, limit: limits::PACK_BLOBS as u64 });
                }
                Ok(PackEntry { id, len, contents })
            })
            .collect::<Result<_, WireError>>()?;
        Ok(Self { supersedes, packs })
    }

    /// Whether one more pack leaves the segment within what a reader takes.
    pub fn has_room(&self, contents: &PackContents) -> bool {
        self.has_room_with(std::iter::once(contents))
    }

    /// Whether all these packs do.
    pub fn has_room_for(&self, packs: &[PackEntry]) -> bool {
        self.has_room_with(packs.iter().map(|pack| &pack.contents))
    }

    fn has_room_with<'p>(&'p self, more: impl Iterator<Item = &'p PackContents>) -> bool {
        let (blobs, bytes) = self
            .packs
            .iter()
            .map(|pack| &pack.contents)
            .chain(more)
            .fold((0, 0), |(blobs, bytes), contents| (blobs + contents.blobs.len(), bytes + PackId::LEN + contents.most_encoded_len()));
        blobs <= limits::PACK_BLOBS && bytes <= limits::CATALOG_LEN / 2
    }
}

fn segment_id(object: &[u8]) -> SegmentId {
    SegmentId::from_bytes(*blake3::hash(object).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::{ChunkId, RepoId};
    use crate::crypto::Secret;
    use crate::format::blob::{BlobKind, Frame};
    use crate::format::pack::BlobEntry;

    fn pack(blobs: usize) -> PackEntry {
        let frame = Frame { kind: BlobKind::Data, depth: 0, sealed_len: 17, steps: Vec::new(), chunk_lens: vec![1], bases: Vec::new() };
        let blob = BlobEntry { frame, ids: vec![ChunkId::from_bytes([1; 32])], sketches: Vec::new() };
        let contents = PackContents { padding: 0, blobs: vec![blob; blobs] };
        PackEntry { id: PackId::from_bytes([2; 32]), len: contents.end() + LEAST_FOOTER, contents }
    }

    fn there_and_back(packs: Vec<PackEntry>) -> Result<Segment, ObjectError> {
        let keys = RepoKeys::new(Secret::take(&mut [1; 32]), RepoId::from_bytes([1; 32]));
        let (id, object) = Segment { supersedes: Vec::new(), packs }.seal(&keys, [3; 32]);
        Segment::open(&object, &id, &keys)
    }

    #[test]
    fn blobs_beyond_their_pack_are_refused() {
        assert!(there_and_back(vec![pack(3)]).is_ok());
        assert!(there_and_back(vec![PackEntry { len: pack(3).len - 1, ..pack(3) }]).is_err());
    }

    #[test]
    fn more_blobs_than_fit_into_memory_are_refused() {
        let half = limits::PACK_BLOBS / 2;
        let full = Segment { supersedes: Vec::new(), packs: vec![pack(half)] };
        assert!(full.has_room(&pack(half).contents) && !full.has_room(&pack(half + 1).contents));
        assert!(there_and_back(vec![pack(half), pack(half)]).is_ok());
        assert!(there_and_back(vec![pack(half), pack(half + 1)]).is_err());
    }
}
