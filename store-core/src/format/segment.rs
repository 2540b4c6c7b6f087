//! Index segments: which chunks are in which packs (`spec/FORMAT.md`, section 9).

use super::catalogue;
use super::envelope::{ObjectError, ObjectKind, Place, Sealed, seal_object};
use super::pack::PackContents;
use crate::base::ids::{PackId, SegmentId};
use crate::base::limits;
use crate::base::wire::{Reader, WireError, put_varint};
use crate::crypto::RepoKeys;

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
        let packs = (0..count)
            .map(|_| {
                let id = PackId::from_bytes(reader.array()?);
                let len = reader.count("a pack's length", limits::PACK_LEN)? as u64;
                Ok(PackEntry { id, len, contents: PackContents::decode(reader)? })
            })
            .collect::<Result<_, WireError>>()?;
        Ok(Self { supersedes, packs })
    }
}

fn segment_id(object: &[u8]) -> SegmentId {
    SegmentId::from_bytes(*blake3::hash(object).as_bytes())
}
