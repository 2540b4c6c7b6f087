//! What the C library's allocator learns before the work begins.

use std::hint::black_box;

use store_core::base::units::MIB;

/// Bytes up to which glibc lets its threshold grow: blocks below the threshold come from its heaps, others from the kernel.
const MOST: usize = (32 << 20) - (64 << 10);

/// Lets blobs and packs come from memory that was used before. By default glibc maps each block of 128 KiB or more afresh, so that the kernel
/// clears every page of every blob again: a third of what a restore computes. When a mapped block is freed, glibc takes its length for the
/// new threshold, and gives back what is free at the end of a heap only when that is twice as much. Nothing is ever written to this block,
/// so it costs no memory. Another C library is indifferent to it.
pub(crate) fn warm_up() {
    drop(black_box(Vec::<u8>::with_capacity(MOST)));
}

/// Has threads share heaps, one for each so many bytes of the memory budget. By default glibc gives nearly each thread one of its own, in which what
/// it freed stays for it alone: with a budget of 128 MiB that was some 30 MB. Who set `MALLOC_ARENA_MAX` knows better.
pub(crate) fn share_heaps(memory: usize) {
    const BYTES: usize = 128 * MIB;
    if std::env::var_os("MALLOC_ARENA_MAX").is_none() {
        set_most_heaps((memory / BYTES).clamp(1, 64) as i32);
    }
}

#[cfg(target_env = "gnu")]
#[expect(unsafe_code, reason = "the C library has no safe name for it")]
fn set_most_heaps(most: i32) {
    // SAFETY: it is given two numbers, and sets a parameter of the allocator under the allocator's lock. When it refuses, all stays as it was.
    unsafe { libc::mallopt(libc::M_ARENA_MAX, most) };
}

#[cfg(not(target_env = "gnu"))]
fn set_most_heaps(_: i32) {}
