//! The header that every object starts with (`spec/FORMAT.md`, section 3), and objects with one sealed part.

use crate::base::limits;
use crate::base::wire::{Reader, WireError};
use crate::crypto::{ObjectKey, SealError};

/// Bytes of the header.
pub const HEADER_LEN: usize = 88;
const MAGIC: [u8; 4] = *b"SNAP";
const VERSION: u8 = 1;
const SUITE: u8 = 1;
const CLEAR_LIMIT: u32 = 65_536;

/// What an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ObjectKind {
    /// The repository's parameters.
    Config = 1,
    /// The master key under a passphrase or a key file.
    KeySlot = 2,
    /// Blobs and a footer.
    Pack = 3,
    /// What is in which packs.
    IndexSegment = 4,
    /// A writer is active.
    Session = 5,
    /// How a session ended.
    Outcome = 6,
    /// A later statement about snapshots.
    Note = 7,
    /// What a prune deletes.
    Gc = 8,
    /// What came of a store's trials.
    Probe = 10,
}

/// Bytes that are no object, or not one that this version reads.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ObjectError {
    /// The bytes do not start like an object of this store.
    #[error("not an object of a snap repository")]
    NotAnObject,
    /// Made by a newer program, or with a feature that this one lacks.
    #[error("{what} {value} is unknown to this version of snap: use a newer one")]
    Unknown {
        /// What is unknown.
        what: &'static str,
        /// Its value.
        value: u64,
    },
    /// Another kind of object stands in this place.
    #[error("an object of kind {found} stands where kind {wanted:?} is expected")]
    OtherKind {
        /// What the place calls for.
        wanted: ObjectKind,
        /// What the header says.
        found: u8,
    },
    /// It is longer than any such object can be.
    #[error("it has {len} bytes, the limit is {limit}")]
    TooLong {
        /// Its length.
        len: u64,
        /// The limit.
        limit: u64,
    },
    /// The bytes are sealed, and do not open.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The bytes opened, and are not what they should be.
    #[error("malformed: {0}")]
    Wire(#[from] WireError),
    /// An object whose name is the hash of its bytes has other bytes.
    #[error("its bytes do not have the hash that its name says")]
    Name,
}

/// The header's variable fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// What the object is.
    pub kind: ObjectKind,
    /// Which master key.
    pub epoch: u32,
    /// Length of the clear part.
    pub clear_len: u32,
    /// Random; gives the object its own key.
    pub salt: [u8; 32],
    /// Which key opens it.
    pub commitment: [u8; 32],
}

impl Header {
    /// The header as it stands on disk.
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let mut out = [0; HEADER_LEN];
        out[..4].copy_from_slice(&MAGIC);
        out[4] = self.kind as u8;
        out[5] = VERSION;
        out[6] = SUITE;
        out[16..20].copy_from_slice(&self.epoch.to_le_bytes());
        out[20..24].copy_from_slice(&self.clear_len.to_le_bytes());
        out[24..56].copy_from_slice(&self.salt);
        out[56..].copy_from_slice(&self.commitment);
        out
    }

    /// Reads the header of an object that stands where `wanted` is expected.
    pub fn decode(bytes: &[u8], wanted: ObjectKind) -> Result<Self, ObjectError> {
        let mut reader = Reader::new(bytes.get(..HEADER_LEN).ok_or(ObjectError::NotAnObject)?);
        if reader.array()? != MAGIC {
            return Err(ObjectError::NotAnObject);
        }
        let kind = reader.u8()?;
        let known = |what, value: u64, ok: bool| if ok { Ok(()) } else { Err(ObjectError::Unknown { what, value }) };
        let version = reader.u8()?;
        known("format version", version.into(), version == VERSION)?;
        if kind != wanted as u8 {
            return Err(ObjectError::OtherKind { wanted, found: kind });
        }
        let suite = reader.u8()?;
        known("cipher suite", suite.into(), suite == SUITE)?;
        let reserved = reader.u8()?;
        known("header field", reserved.into(), reserved == 0)?;
        let incompatible = reader.u32()?;
        known("feature flag set", incompatible.into(), incompatible == 0)?;
        let _compatible = reader.u32()?;
        let header =
            Self { kind: wanted, epoch: reader.u32()?, clear_len: reader.u32()?, salt: reader.array()?, commitment: reader.array()? };
        known("key epoch", header.epoch.into(), header.epoch == 0)?;
        if header.clear_len > CLEAR_LIMIT {
            return Err(WireError::TooLarge { what: "the clear part", value: header.clear_len.into(), limit: CLEAR_LIMIT.into() }.into());
        }
        Ok(header)
    }
}

/// An object with one sealed part, taken apart but not opened.
#[derive(Debug, Clone)]
pub struct Sealed<'a> {
    /// Its header.
    pub header: Header,
    /// What stands in the clear.
    pub clear: &'a [u8],
    bound_len: usize,
    bytes: &'a [u8],
}

/// Where an object of one part stands; bound to its seal.
#[derive(Debug, Clone, Copy)]
pub enum Place<'a> {
    /// At this path.
    Path(&'a str),
    /// Wherever the hash of its bytes says.
    Hash,
}

impl<'a> Sealed<'a> {
    /// Takes an object of kind `wanted` apart.
    pub fn parse(bytes: &'a [u8], wanted: ObjectKind) -> Result<Self, ObjectError> {
        let limit = if wanted == ObjectKind::IndexSegment { limits::CATALOG_LEN } else { limits::RECORD_LEN };
        if bytes.len() > limit {
            return Err(ObjectError::TooLong { len: bytes.len() as u64, limit: limit as u64 });
        }
        let header = Header::decode(bytes, wanted)?;
        let clear_len = header.clear_len as usize;
        let clear = bytes[HEADER_LEN..].get(..clear_len).ok_or(WireError::Truncated)?;
        Ok(Self { header, clear, bound_len: HEADER_LEN + clear_len, bytes })
    }

    /// Bytes of the sealed part.
    pub fn sealed_len(&self) -> usize {
        self.bytes.len() - self.bound_len
    }

    /// Opens the sealed part.
    pub fn open(&self, key: &ObjectKey, place: Place<'_>) -> Result<Vec<u8>, ObjectError> {
        key.check(&self.header.commitment)?;
        let mut body = self.bytes[self.bound_len..].to_vec();
        key.open(0, &bound(&self.bytes[..self.bound_len], place), &mut body)?;
        Ok(body)
    }
}

/// Makes an object with one sealed part.
pub fn seal_object(kind: ObjectKind, salt: [u8; 32], key: &ObjectKey, clear: &[u8], place: Place<'_>, mut body: Vec<u8>) -> Vec<u8> {
    let header = Header { kind, epoch: 0, clear_len: clear.len() as u32, salt, commitment: key.commitment() };
    let mut out = header.encode().to_vec();
    out.extend_from_slice(clear);
    key.seal(0, &bound(&out, place), &mut body);
    out.append(&mut body);
    out
}

fn bound(start: &[u8], place: Place<'_>) -> Vec<u8> {
    let path = match place {
        Place::Path(path) => path.as_bytes(),
        Place::Hash => &[],
    };
    [start, path].concat()
}
