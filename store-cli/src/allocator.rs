//! What the C library's allocator learns before the work begins.

use std::hint::black_box;

/// Bytes up to which glibc lets its threshold grow: blocks below the threshold come from its heaps, others from the kernel.
const MOST: usize = (32 << 20) - (64 << 10);

/// Lets blobs and packs come from memory that was used before. By default glibc maps each block of 128 KiB or more afresh, so that the kernel
/// clears every page of every blob again: a third of what a restore computes. When a mapped block is freed, glibc takes its length for the
/// new threshold, and gives back what is free at the end of a heap only when that is twice as much. Nothing is ever written to this block,
/// so it costs no memory. Another C library is indifferent to it.
pub(crate) fn warm_up() {
    drop(black_box(Vec::<u8>::with_capacity(MOST)));
}
