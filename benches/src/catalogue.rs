//! What index segments say of repositories of any size, made up: names of chunks are hashes of their numbers.

use store_core::base::ids::{ChunkId, PackId};
use store_core::crypto::TAG_LEN;
use store_core::format::blob::{BlobKind, Frame};
use store_core::format::pack::{BlobEntry, PackContents, Sketch};
use store_core::format::segment::{PackEntry, Segment};

/// Chunks of one blob.
const BLOB: usize = 8;
/// Chunks of one pack.
pub const PACK: usize = 64 * BLOB;
/// Sealed bytes of a blob.
const SEALED: u32 = 50_016;

/// The name of a chunk.
pub fn chunk(number: usize) -> ChunkId {
    ChunkId::from_bytes(*blake3::hash(&number.to_le_bytes()).as_bytes())
}

/// What a segment says of so many chunks from `first` on, a multiple of those of a pack.
pub fn segment(first: usize, count: usize, sketches: bool) -> Segment {
    let sketch = |number: usize| -> Sketch {
        let bytes = *blake3::hash(&(!number).to_le_bytes()).as_bytes();
        std::array::from_fn(|i| u32::from_le_bytes(bytes[4 * i..4 * i + 4].try_into().expect("four bytes")))
    };
    let blob = |first: usize| BlobEntry {
        frame: Frame {
            kind: BlobKind::Data,
            depth: 0,
            sealed_len: SEALED,
            steps: Vec::new(),
            chunk_lens: vec![(SEALED - TAG_LEN as u32) / BLOB as u32; BLOB],
            bases: Vec::new(),
        },
        ids: (first..first + BLOB).map(chunk).collect(),
        sketches: if sketches { (first..first + BLOB).map(sketch).collect() } else { Vec::new() },
    };
    let pack = |first: usize| {
        let blobs: Vec<_> = (first..first + PACK).step_by(BLOB).map(blob).collect();
        let len = blobs.len() as u64 * u64::from(SEALED) + 20_000;
        PackEntry { id: PackId::from_bytes(*chunk(first).as_bytes()), len, contents: PackContents { padding: 0, blobs } }
    };
    Segment { supersedes: Vec::new(), packs: (first..first + count).step_by(PACK).map(pack).collect() }
}
