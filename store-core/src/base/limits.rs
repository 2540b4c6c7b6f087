//! What is too large to be true. A reader refuses values beyond these before it allocates; a writer never makes them.
//! Each stands in `spec/FORMAT.md`, section 12.

use super::units::{KIB, MIB};

/// Plain bytes of one chunk.
pub const CHUNK_LEN: usize = 4 * MIB;
/// Plain bytes of one blob: one largest chunk and a blob's target of small ones fit.
pub const BLOB_LEN: usize = 8 * MIB;
/// Chunks in one blob.
pub const BLOB_CHUNKS: usize = 1 << 15;
/// Base chunks that one blob is coded against.
pub const BLOB_BASES: usize = 1 << 12;
/// Plain bytes of all bases of one blob.
pub const BASES_LEN: usize = 32 * MIB;
/// Codec steps of one blob.
pub const CODEC_STEPS: usize = 8;
/// Longest chain of bases below a blob.
pub const DEPTH: u8 = 8;
/// Bytes of one pack.
pub const PACK_LEN: usize = 256 * MIB;
/// Blobs in one pack, and in all packs of one index segment: they bound what a catalogue takes in memory beyond its plain bytes.
pub const PACK_BLOBS: usize = 1 << 18;
/// Plain bytes of a pack footer or an index segment, after decompression.
pub const CATALOG_LEN: usize = 64 * MIB;
/// Bytes of any object that is neither a pack nor an index segment.
pub const RECORD_LEN: usize = 4 * MIB;
/// Packs that one prune record names.
pub const GC_PACKS: usize = 1 << 15;
/// Snapshots that one prune record names.
pub const GC_SNAPSHOTS: usize = 1 << 14;
/// Plain bytes of one Merkle node.
pub const NODE_LEN: usize = 2 * MIB;
/// Entries of one Merkle node.
pub const NODE_ENTRIES: usize = 1 << 13;
/// Levels of a Merkle list above its leaves.
pub const NODE_LEVELS: u8 = 16;
/// Bytes of one name in a directory. Linux allows 255; some file systems count in other units.
pub const NAME_LEN: usize = 1024;
/// Bytes of a symlink's target.
pub const LINK_LEN: usize = 64 * KIB;
/// Bytes of all extended attributes of one entry.
pub const XATTRS_LEN: usize = 256 * KIB;
/// Directories within directories.
pub const TREE_DEPTH: usize = 1024;
