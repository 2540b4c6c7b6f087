//! A blob's frame: all that is needed to open and decode it, and what its seal is bound to (`spec/FORMAT.md`, section 7).

use crate::base::ids::ChunkId;
use crate::base::limits;
use crate::base::wire::{Reader, WireError, put_string, put_varint};
use crate::crypto::TAG_LEN;

/// What the chunks of a blob are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BlobKind {
    /// Chunks of files.
    Data,
    /// Nodes of Merkle lists.
    Nodes,
}

/// One step of a blob's coding. Encoding runs the steps in order, decoding in reverse.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Step {
    /// Which codec; `spec/CODECS.md` has the list.
    pub code: u8,
    /// How many bytes this step took in; decoding gives exactly these.
    pub input_len: u32,
    /// What else the codec needs to know, at most [`Step::PARAMETERS`] bytes.
    pub parameters: Vec<u8>,
}

impl Step {
    /// Most bytes of parameters.
    pub const PARAMETERS: usize = 64;
}

/// What a blob holds and how it is coded, without the ids of its chunks.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Frame {
    /// Data or nodes.
    pub kind: BlobKind,
    /// Longest chain of blobs that must be decoded before this one.
    pub depth: u8,
    /// Bytes in the pack.
    pub sealed_len: u32,
    /// The coding; empty when the blob is stored as it is.
    pub steps: Vec<Step>,
    /// Lengths of the chunks, one after the other.
    pub chunk_lens: Vec<u32>,
    /// The chunks that the coding refers to.
    pub bases: Vec<ChunkId>,
}

impl Frame {
    /// Plain bytes of all chunks.
    pub fn plain_len(&self) -> usize {
        self.chunk_lens.iter().map(|len| *len as usize).sum()
    }

    /// Which of its chunks starts at `start` of the plain bytes and has `len` of them.
    pub fn chunk_at(&self, start: u32, len: u32) -> Option<usize> {
        let mut at = 0u32;
        self.chunk_lens.iter().position(|own| {
            let here = (at, *own) == (start, len);
            at = at.saturating_add(*own);
            here
        })
    }

    /// Appends the frame.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(match self.kind {
            BlobKind::Data => 1,
            BlobKind::Nodes => 2,
        });
        out.push(self.depth);
        put_varint(out, self.sealed_len.into());
        put_varint(out, self.steps.len() as u64);
        for step in &self.steps {
            out.push(step.code);
            put_varint(out, step.input_len.into());
            put_string(out, &step.parameters);
        }
        put_varint(out, self.chunk_lens.len() as u64);
        for len in &self.chunk_lens {
            put_varint(out, (*len).into());
        }
        put_varint(out, self.bases.len() as u64);
        for base in &self.bases {
            out.extend_from_slice(base.as_bytes());
        }
    }

    /// Reads a frame and refuses one that no writer makes.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let (kind, longest) = match reader.u8()? {
            1 => (BlobKind::Data, limits::CHUNK_LEN),
            2 => (BlobKind::Nodes, limits::NODE_LEN),
            _ => return Err(WireError::Invalid("unknown kind of blob")),
        };
        let depth = reader.u8()?;
        let sealed_len = reader.count("a sealed length", limits::BLOB_LEN + TAG_LEN)? as u32;
        let steps = (0..reader.count("a blob's codec steps", limits::CODEC_STEPS)?)
            .map(|_| {
                Ok(Step {
                    code: reader.u8()?,
                    input_len: reader.count("a codec step's length", limits::BLOB_LEN)? as u32,
                    parameters: reader.string("a codec step's parameters", Step::PARAMETERS)?.to_vec(),
                })
            })
            .collect::<Result<Vec<_>, WireError>>()?;
        let chunks = reader.count("a blob's chunks", limits::BLOB_CHUNKS)?;
        let mut chunk_lens = Vec::with_capacity(chunks.min(reader.remaining()));
        let mut plain_len = 0usize;
        for _ in 0..chunks {
            let len = reader.count("a chunk's length", longest)?;
            plain_len += len;
            if len == 0 || plain_len > limits::BLOB_LEN {
                return Err(WireError::Invalid("a chunk is empty, or the blob too long"));
            }
            chunk_lens.push(len as u32);
        }
        let bases = (0..reader.count("a blob's bases", limits::BLOB_BASES)?)
            .map(|_| reader.array().map(ChunkId::from_bytes))
            .collect::<Result<Vec<_>, _>>()?;
        let frame = Self { kind, depth, sealed_len, steps, chunk_lens, bases };
        frame.check(plain_len)?;
        Ok(frame)
    }

    /// The stored bytes of so many of its plain bytes, by their share.
    pub fn stored_len(&self, plain: u64) -> u64 {
        (u128::from(self.sealed_len) * u128::from(plain) / self.plain_len().max(1) as u128) as u64
    }

    fn check(&self, plain_len: usize) -> Result<(), WireError> {
        if self.chunk_lens.is_empty() {
            return Err(WireError::Invalid("a blob holds no chunk"));
        }
        if self.depth > limits::DEPTH || (self.depth == 0) != self.bases.is_empty() {
            return Err(WireError::Invalid("a blob's depth does not fit its bases"));
        }
        if self.sealed_len as usize <= TAG_LEN {
            return Err(WireError::Invalid("a blob's sealed length is too small"));
        }
        let coded_len = self.sealed_len as usize - TAG_LEN;
        let fits = match self.steps.first() {
            None => coded_len == plain_len && self.bases.is_empty(),
            Some(step) => step.input_len as usize == plain_len,
        };
        if fits { Ok(()) } else { Err(WireError::Invalid("a blob's lengths do not fit its steps")) }
    }
}
