//! Packs: blobs, a sealed footer, its length (`spec/FORMAT.md`, section 7).

use std::collections::BTreeMap;
use std::sync::Arc;

use super::blob::Frame;
use super::catalogue;
use super::envelope::{HEADER_LEN, Header, ObjectError, ObjectKind};
use crate::base::ids::{ChunkId, PackId};
use crate::base::limits;
use crate::base::units::MIB;
use crate::base::wire::{Reader, WireError, put_varint};
use crate::crypto::{ObjectKey, RepoKeys};

/// A few min-hashes of a chunk, by which a similar one is found; 0 where there is none.
pub type Sketch = [u32; 8];

/// Bytes at the end of a pack: the footer's length and a mark.
pub const TRAILER_LEN: usize = 8;
const MARK: [u8; 4] = *b"PACK";
const FOOTER: u32 = u32::MAX;

/// One blob of a pack, as footers and index segments list it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobEntry {
    /// All but the names of its chunks.
    pub frame: Frame,
    /// The names of its chunks (of nodes, when that is its kind).
    pub ids: Vec<ChunkId>,
    /// A sketch for each chunk, or none at all.
    pub sketches: Vec<Sketch>,
}

/// All that a pack holds, in the order of its blobs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PackContents {
    /// Bytes between the last blob and the footer.
    pub padding: u32,
    /// The blobs.
    pub blobs: Vec<BlobEntry>,
}

/// Bytes that a length or count takes at the most in a catalogue: none is beyond 32 bits.
const NUMBER: usize = 5;

impl BlobEntry {
    /// Bytes that it takes at the most, encoded with sketches.
    fn most_encoded_len(&self) -> usize {
        let Frame { steps, chunk_lens, bases, .. } = &self.frame;
        let steps: usize = steps.iter().map(|step| 1 + 2 * NUMBER + step.parameters.len()).sum();
        3 + 4 * NUMBER + steps + chunk_lens.len() * (NUMBER + ChunkId::LEN + size_of::<Sketch>()) + bases.len() * ChunkId::LEN
    }
}

impl PackContents {
    /// Where the blobs start, and behind the last one where they end.
    pub fn offsets(&self) -> impl Iterator<Item = u64> {
        let mut next = HEADER_LEN as u64;
        std::iter::once(next).chain(self.blobs.iter().map(move |blob| {
            next += u64::from(blob.frame.sealed_len);
            next
        }))
    }

    /// Where the padding ends.
    pub(crate) fn end(&self) -> u64 {
        self.offsets().last().unwrap_or(HEADER_LEN as u64) + u64::from(self.padding)
    }

    /// Bytes that the contents take at the most, encoded with sketches.
    pub(crate) fn most_encoded_len(&self) -> usize {
        2 * NUMBER + self.blobs.iter().map(BlobEntry::most_encoded_len).sum::<usize>()
    }

    /// Appends the contents, with or without sketches.
    pub fn encode(&self, out: &mut Vec<u8>, sketches: bool) {
        put_varint(out, self.padding.into());
        put_varint(out, self.blobs.len() as u64);
        for blob in &self.blobs {
            blob.frame.encode(out);
            blob.ids.iter().for_each(|id| out.extend_from_slice(id.as_bytes()));
            let sketches = if sketches { &blob.sketches[..] } else { &[] };
            out.push(u8::from(!sketches.is_empty()));
            sketches.iter().flatten().for_each(|value| out.extend_from_slice(&value.to_le_bytes()));
        }
    }

    /// Reads contents.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let padding = reader.count("a pack's padding", limits::PACK_LEN)? as u32;
        let count = reader.count("a pack's blobs", limits::PACK_BLOBS)?;
        let mut blobs = Vec::with_capacity(count.min(reader.remaining() / 32));
        for _ in 0..count {
            let frame = Frame::decode(reader)?;
            let chunks = frame.chunk_lens.len();
            let ids = reader.bytes(chunks * ChunkId::LEN)?.as_chunks::<{ ChunkId::LEN }>().0;
            let ids = ids.iter().map(|id| ChunkId::from_bytes(*id)).collect();
            let sketches = match reader.u8()? {
                0 => Vec::new(),
                1 => (0..chunks).map(|_| read_sketch(reader)).collect::<Result<_, _>>()?,
                _ => return Err(WireError::NotCanonical),
            };
            blobs.push(BlobEntry { frame, ids, sketches });
        }
        Ok(Self { padding, blobs })
    }
}

fn read_sketch(reader: &mut Reader<'_>) -> Result<Sketch, WireError> {
    let bytes = reader.array::<32>()?;
    Ok(std::array::from_fn(|i| u32::from_le_bytes(bytes[i * 4..i * 4 + 4].try_into().expect("four bytes"))))
}

/// What the seal of blob `ordinal` is bound to, besides its key.
pub fn blob_bound(header: &[u8; HEADER_LEN], ordinal: u32, frame: &Frame) -> Vec<u8> {
    let mut bound = header.to_vec();
    bound.extend_from_slice(&ordinal.to_le_bytes());
    frame.encode(&mut bound);
    bound
}

fn footer_bound(header: &[u8; HEADER_LEN]) -> Vec<u8> {
    [&header[..], &FOOTER.to_le_bytes()].concat()
}

/// Builds one pack in memory. Blobs get their places one after the other; whoever brings one seals it, while others do the same, and puts it in
/// its place.
#[derive(Debug)]
pub struct PackBuilder {
    header: [u8; HEADER_LEN],
    key: Arc<ObjectKey>,
    bytes: Vec<u8>,
    /// Where the next blob will start.
    end: usize,
    /// Sealed blobs that wait for the ones before them, by where they start.
    early: BTreeMap<usize, Vec<u8>>,
    contents: PackContents,
    /// Bytes that the catalogue of `contents` takes at the most.
    catalogue: usize,
}

/// The place of a blob in a pack that is being built.
#[derive(Debug)]
pub struct Reserved {
    key: Arc<ObjectKey>,
    ordinal: u32,
    bound: Vec<u8>,
    start: usize,
}

impl Reserved {
    /// Seals the coded bytes that the place was reserved for.
    pub fn seal(&self, coded: &mut Vec<u8>) {
        self.key.seal(self.ordinal, &self.bound, coded);
    }
}

/// Bytes of catalogue at which a pack of very small chunks is finished, so that an index segment has room for several such packs.
const MOST_CATALOGUE: usize = 8 * MIB;

impl PackBuilder {
    /// Starts a pack under its own key; `salt` is random. `room` is what it is built in, whatever that held.
    pub fn new(keys: &RepoKeys, salt: [u8; 32], mut room: Vec<u8>) -> Self {
        let key = Arc::new(keys.object(ObjectKind::Pack as u8, 0, &salt));
        let header = Header { kind: ObjectKind::Pack, epoch: 0, clear_len: 0, salt, commitment: key.commitment() }.encode();
        room.clear();
        room.extend_from_slice(&header);
        let (end, early, contents) = (room.len(), BTreeMap::new(), PackContents::default());
        Self { header, key, bytes: room, end, early, contents, catalogue: 0 }
    }

    /// Bytes so far, those that are only reserved included, without the footer.
    pub fn len(&self) -> usize {
        self.end
    }

    /// Whether it holds no blob yet.
    pub fn is_empty(&self) -> bool {
        self.contents.blobs.is_empty()
    }

    /// Whether one more blob of `coded_len` bytes can be added: pack and catalogue stay within what a reader takes.
    pub fn has_room(&self, coded_len: usize) -> bool {
        self.contents.blobs.len() < limits::PACK_BLOBS
            && self.catalogue < MOST_CATALOGUE
            // What is left is for footer and padding.
            && self.end + coded_len < limits::PACK_LEN - limits::PACK_LEN / 8
    }

    /// Gives the next place to a blob of `coded_len` bytes. `entry.frame.sealed_len` is set here.
    pub fn reserve(&mut self, mut entry: BlobEntry, coded_len: usize) -> Reserved {
        debug_assert_eq!(entry.ids.len(), entry.frame.chunk_lens.len());
        let (ordinal, start) = (self.contents.blobs.len() as u32, self.end);
        let sealed_len = coded_len + crate::crypto::TAG_LEN;
        entry.frame.sealed_len = sealed_len as u32;
        let bound = blob_bound(&self.header, ordinal, &entry.frame);
        self.end += sealed_len;
        self.catalogue += entry.most_encoded_len();
        self.contents.blobs.push(entry);
        Reserved { key: Arc::clone(&self.key), ordinal, bound, start }
    }

    /// Puts sealed bytes in their place.
    pub fn place(&mut self, reserved: &Reserved, sealed: Vec<u8>) {
        self.early.insert(reserved.start, sealed);
        while let Some(next) = self.early.first_entry().filter(|next| *next.key() == self.bytes.len()) {
            self.bytes.extend_from_slice(&next.remove());
        }
    }

    /// Whether every blob is in its place.
    pub fn is_whole(&self) -> bool {
        self.bytes.len() == self.end
    }

    /// Seals the footer and names the pack, which is whole. `padding` bytes go before the footer.
    pub fn finish(mut self, padding: usize) -> FinishedPack {
        debug_assert!(self.is_whole());
        self.contents.padding = padding as u32;
        self.bytes.resize(self.bytes.len() + padding, 0);
        let mut footer = Vec::new();
        self.contents.encode(&mut footer, false);
        let mut footer = catalogue::wrap(&footer);
        self.key.seal(FOOTER, &footer_bound(&self.header), &mut footer);
        self.bytes.extend_from_slice(&footer);
        self.bytes.extend_from_slice(&(footer.len() as u32).to_le_bytes());
        self.bytes.extend_from_slice(&MARK);
        FinishedPack { id: pack_id(&self.bytes), bytes: self.bytes, contents: self.contents }
    }
}

/// A pack that is ready to be written.
#[derive(Debug)]
pub struct FinishedPack {
    /// Its name.
    pub id: PackId,
    /// The object.
    pub bytes: Vec<u8>,
    /// What it holds.
    pub contents: PackContents,
}

/// The name of a pack with these bytes.
pub fn pack_id(bytes: &[u8]) -> PackId {
    PackId::from_bytes(*blake3::hash(bytes).as_bytes())
}

/// Opens parts of one pack.
#[derive(Debug)]
pub struct PackOpener {
    header: [u8; HEADER_LEN],
    key: ObjectKey,
}

impl PackOpener {
    /// Reads the pack's header.
    pub fn new(keys: &RepoKeys, header: &[u8]) -> Result<Self, ObjectError> {
        let fields = Header::decode(header, ObjectKind::Pack)?;
        if fields.clear_len != 0 {
            return Err(WireError::Invalid("a pack has no clear part").into());
        }
        let key = keys.object(ObjectKind::Pack as u8, fields.epoch, &fields.salt);
        key.check(&fields.commitment)?;
        Ok(Self { header: header[..HEADER_LEN].try_into().expect("the header was read"), key })
    }

    /// Opens blob `ordinal`: its sealed bytes become its coded bytes.
    pub fn open_blob(&self, ordinal: u32, frame: &Frame, sealed: &mut Vec<u8>) -> Result<(), ObjectError> {
        Ok(self.key.open(ordinal, &blob_bound(&self.header, ordinal, frame), sealed)?)
    }

    /// The length of the sealed footer, from the pack's last [`TRAILER_LEN`] bytes.
    pub fn footer_len(trailer: &[u8], pack_len: u64) -> Result<usize, ObjectError> {
        let mut reader = Reader::new(trailer);
        let len = reader.u32()? as usize;
        if reader.array()? != MARK {
            return Err(WireError::Invalid("the mark at the end is missing").into());
        }
        reader.finish()?;
        if pack_len > limits::PACK_LEN as u64 || (len + HEADER_LEN + TRAILER_LEN) as u64 > pack_len {
            return Err(WireError::Invalid("the footer's length does not fit the pack").into());
        }
        Ok(len)
    }

    /// Opens the sealed footer of a pack of `pack_len` bytes.
    pub fn open_footer(&self, mut sealed: Vec<u8>, pack_len: u64) -> Result<PackContents, ObjectError> {
        let footer_len = sealed.len() as u64;
        self.key.open(FOOTER, &footer_bound(&self.header), &mut sealed)?;
        let plain = catalogue::unwrap(&sealed)?;
        let mut reader = Reader::new(&plain);
        let contents = PackContents::decode(&mut reader)?;
        reader.finish()?;
        if contents.end() + footer_len + TRAILER_LEN as u64 != pack_len {
            return Err(WireError::Invalid("the footer's blobs do not add up to the pack's length").into());
        }
        Ok(contents)
    }
}

/// Opens the footer of a whole pack in memory.
pub fn read_contents(keys: &RepoKeys, pack: &[u8]) -> Result<PackContents, ObjectError> {
    let opener = PackOpener::new(keys, pack)?;
    let trailer = pack.last_chunk::<TRAILER_LEN>().ok_or(WireError::Truncated)?;
    let footer_len = PackOpener::footer_len(trailer, pack.len() as u64)?;
    let end = pack.len() - TRAILER_LEN;
    opener.open_footer(pack[end - footer_len..end].to_vec(), pack.len() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::RepoId;
    use crate::crypto::Secret;
    use crate::format::blob::BlobKind;

    #[test]
    fn blobs_may_come_in_any_order() {
        let keys = RepoKeys::new(Secret::take(&mut [1; 32]), RepoId::from_bytes([2; 32]));
        let plain = |i: usize| vec![i as u8; 1000 + i];
        let built = |order: &[usize]| {
            let mut builder = PackBuilder::new(&keys, [3; 32], b"what was there before".to_vec());
            let entry = |i: usize| BlobEntry {
                frame: Frame {
                    kind: BlobKind::Data,
                    depth: 0,
                    sealed_len: 0,
                    steps: Vec::new(),
                    chunk_lens: vec![plain(i).len() as u32],
                    bases: Vec::new(),
                },
                ids: vec![keys.chunk_id(&plain(i))],
                sketches: Vec::new(),
            };
            let places: Vec<_> = (0..order.len()).map(|i| builder.reserve(entry(i), plain(i).len())).collect();
            let len = builder.len();
            for i in order {
                assert!(!builder.is_whole());
                let mut bytes = plain(*i);
                places[*i].seal(&mut bytes);
                builder.place(&places[*i], bytes);
            }
            assert!(builder.is_whole() && builder.len() == len);
            builder.finish(7)
        };
        let pack = built(&[0, 1, 2, 3, 4]);
        assert_eq!(built(&[3, 1, 4, 0, 2]).bytes, pack.bytes);
        let opener = PackOpener::new(&keys, &pack.bytes).unwrap();
        for (i, (blob, offset)) in pack.contents.blobs.iter().zip(pack.contents.offsets()).enumerate() {
            let mut bytes = pack.bytes[offset as usize..][..blob.frame.sealed_len as usize].to_vec();
            opener.open_blob(i as u32, &blob.frame, &mut bytes).unwrap();
            assert_eq!(bytes, plain(i));
        }
    }
}
