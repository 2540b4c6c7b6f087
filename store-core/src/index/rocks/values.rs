//! Keys and values as bytes: `spec/INDEX.md`, section 2.

use crate::base::ids::{ChunkId, NodeId, PackId};
use crate::base::wire::Reader;
use crate::format::blob::Frame;
use crate::format::pack::BlobEntry;
use crate::index::{BlobPlace, IndexError, Location, PackNumber, Reads};

pub(super) fn odd(_: impl std::fmt::Debug) -> IndexError {
    IndexError::Corrupt("a value has an impossible form".into())
}

pub(super) fn number(bytes: &[u8]) -> Result<u32, IndexError> {
    bytes.try_into().map(u32::from_be_bytes).map_err(odd)
}

pub(super) fn blob_key(pack: PackNumber, ordinal: u32) -> [u8; 8] {
    (u64::from(pack) << 32 | u64::from(ordinal)).to_be_bytes()
}

/// The number of the pack and the ordinal.
pub(super) fn read_blob_key(key: &[u8]) -> Result<(PackNumber, u32), IndexError> {
    let key = u64::from_be_bytes(key.try_into().map_err(odd)?);
    Ok(((key >> 32) as u32, key as u32))
}

/// The key in `meta` that says that a snapshot is whole.
pub(super) fn whole_key(root: &NodeId) -> [u8; 37] {
    let mut key = [0; 37];
    key[..5].copy_from_slice(b"whole");
    key[5..].copy_from_slice(root.as_bytes());
    key
}

pub(super) fn copy_key(id: &ChunkId, location: &Location) -> [u8; 40] {
    let mut key = [0; 40];
    key[..32].copy_from_slice(id.as_bytes());
    key[32..].copy_from_slice(&blob_key(location.pack, location.ordinal));
    key
}

pub(super) fn location_value(location: &Location) -> [u8; 17] {
    let mut value = [location.depth; 17];
    for (field, out) in [location.pack, location.ordinal, location.start, location.len].iter().zip(value.chunks_exact_mut(4)) {
        out.copy_from_slice(&field.to_le_bytes());
    }
    value
}

pub(super) fn read_location(value: &[u8]) -> Result<Location, IndexError> {
    let mut reader = Reader::new(value);
    let mut field = || reader.u32().map_err(odd);
    let (pack, ordinal, start, len) = (field()?, field()?, field()?, field()?);
    Ok(Location { pack, ordinal, start, len, depth: reader.u8().map_err(odd)? })
}

/// In `chunks`: set in the depth of a chunk that has other places, too.
const HAS_COPIES: u8 = 0x80;

/// What `chunks` says of a chunk.
#[derive(Debug, Clone, Copy)]
pub(super) struct Named {
    pub(super) location: Location,
    /// Whether `copies` has other places of it.
    pub(super) has_copies: bool,
}

pub(super) fn named_value(named: Named) -> [u8; 17] {
    let mut value = location_value(&named.location);
    value[16] |= if named.has_copies { HAS_COPIES } else { 0 };
    value
}

pub(super) fn read_named(value: &[u8]) -> Result<Named, IndexError> {
    let location = read_location(value)?;
    Ok(Named { location: Location { depth: location.depth & !HAS_COPIES, ..location }, has_copies: location.depth & HAS_COPIES != 0 })
}

/// The key in `meta` of what a restore of a snapshot reads.
pub(super) fn reads_key(root: &NodeId) -> [u8; 37] {
    let mut key = whole_key(root);
    key[..5].copy_from_slice(b"reads");
    key
}

pub(super) fn reads_value(reads: Reads) -> [u8; 32] {
    let mut value = [0; 32];
    for (field, out) in [reads.all, reads.alone, reads.plain, reads.credit].iter().zip(value.chunks_exact_mut(8)) {
        out.copy_from_slice(&field.to_le_bytes());
    }
    value
}

pub(super) fn read_reads(value: &[u8]) -> Result<Reads, IndexError> {
    let mut reader = Reader::new(value);
    let mut field = || reader.u64().map_err(odd);
    Ok(Reads { all: field()?, alone: field()?, plain: field()?, credit: field()? })
}

pub(super) fn pack_value(pack: &PackId, len: u64) -> [u8; 40] {
    let mut value = [0; 40];
    value[..32].copy_from_slice(pack.as_bytes());
    value[32..].copy_from_slice(&len.to_le_bytes());
    value
}

pub(super) fn read_pack(value: &[u8]) -> Result<(PackId, u64), IndexError> {
    let mut reader = Reader::new(value);
    Ok((PackId::from_bytes(reader.array().map_err(odd)?), reader.u64().map_err(odd)?))
}

/// Writes the value of a blob in place of what `value` holds.
pub(super) fn blob_value(blob: &BlobEntry, offset: u64, value: &mut Vec<u8>) {
    value.clear();
    value.extend_from_slice(&offset.to_le_bytes());
    blob.frame.encode(value);
}

pub(super) fn read_blob(value: &[u8], pack: PackId) -> Result<BlobPlace, IndexError> {
    let mut reader = Reader::new(value);
    let offset = reader.u64().map_err(odd)?;
    let frame = Frame::decode(&mut reader).map_err(odd)?;
    reader.finish().map_err(odd)?;
    Ok(BlobPlace { pack, offset, frame })
}
