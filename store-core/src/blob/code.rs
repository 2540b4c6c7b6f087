//! The coding of a blob: which codec, and back.

use crate::base::limits;
use crate::codec::{CodecError, Compression, looks_incompressible, zstd_decode, zstd_encode};
use crate::crypto::TAG_LEN;
use crate::format::blob::{BlobKind, Frame, Step};

/// Codes of codec steps (`spec/CODECS.md`).
mod code {
    pub(super) const ZSTD: u8 = 1;
}

/// A coded blob, ready to be sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodedBlob {
    /// What it is and how it was coded.
    pub frame: Frame,
    /// The coded bytes.
    pub bytes: Vec<u8>,
}

/// A blob that cannot be decoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// A codec refused the bytes.
    #[error(transparent)]
    Codec(#[from] CodecError),
}

/// Codes the chunks of `plain`, whose lengths are `chunk_lens`. Never larger than stored as it is.
pub fn encode(kind: BlobKind, plain: &[u8], chunk_lens: Vec<u32>, compression: Compression) -> CodedBlob {
    debug_assert_eq!(chunk_lens.iter().map(|len| *len as usize).sum::<usize>(), plain.len());
    debug_assert!(plain.len() <= limits::BLOB_LEN);
    // Nodes are compressed whatever the user says of data: their names alone halve.
    let level = if kind == BlobKind::Nodes { Some(compression.level().unwrap_or(3)) } else { compression.level() };
    let coded =
        level.filter(|_| !looks_incompressible(plain)).map(|level| zstd_encode(plain, level)).filter(|coded| coded.len() < plain.len());
    let (steps, bytes) = match coded {
        Some(bytes) => (vec![Step { code: code::ZSTD, input_len: plain.len() as u32, parameters: Vec::new() }], bytes),
        None => (Vec::new(), plain.to_vec()),
    };
    let sealed_len = (bytes.len() + TAG_LEN) as u32;
    CodedBlob { frame: Frame { kind, depth: 0, sealed_len, steps, chunk_lens, bases: Vec::new() }, bytes }
}

/// Decodes a blob's coded bytes. `bases` are the bytes of all its bases, one after the other.
pub fn decode(frame: &Frame, coded: Vec<u8>, _bases: &[u8]) -> Result<Vec<u8>, DecodeError> {
    let mut bytes = coded;
    for step in frame.steps.iter().rev() {
        let len = step.input_len as usize;
        bytes = match step.code {
            code::ZSTD => zstd_decode(&bytes, len)?,
            unknown => return Err(CodecError::Unknown(unknown).into()),
        };
    }
    if bytes.len() == frame.plain_len() { Ok(bytes) } else { Err(CodecError::Truncated.into()) }
}
