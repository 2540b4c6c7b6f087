//! Which new chunks go together into a blob: neighbours, up to a target length. The unit of deduplication is not that of compression.

use crate::base::limits;

/// Whether a group of `items` chunks with `len` plain bytes ends before a chunk of `next` bytes: when the target is reached, or would be
/// passed by more than a quarter.
pub fn group_is_full(target: usize, len: usize, items: usize, next: usize) -> bool {
    items > 0 && (len >= target || len + next > target + target / 4 || len + next > limits::BLOB_LEN || items >= limits::BLOB_CHUNKS)
}
