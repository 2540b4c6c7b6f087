//! Tables of where the windows of a base stand.

use std::cell::Cell;
use std::hint::black_box;
use std::ops::Range;

/// Where a base's windows stand, by their hashes.
pub(super) struct Windows {
    width: usize,
    step: usize,
    bits: u32,
    slots: Vec<u32>,
}

/// A window's place in the base.
pub(super) struct Place {
    pub(super) from: usize,
    /// Whether no other window that was entered has the same bytes.
    pub(super) is_only: bool,
}

/// A slot: whether its window stands elsewhere, too; bits of its hash, so that a base need not be looked at in vain, which is mostly not in the
/// processor's cache; and the window's number and one more, 0 where there is none.
mod slots {
    pub(super) const AGAIN: u32 = 1 << 31;
    pub(super) const NUMBER_BITS: u32 = 23;
    pub(super) const NUMBER: u32 = (1 << NUMBER_BITS) - 1;
    pub(super) const TAG: u32 = !AGAIN & !NUMBER;
}

thread_local! {
    /// Tables of blobs before. Memory that is written again is faster than new memory.
    static SPARE: Cell<Vec<Vec<u32>>> = const { Cell::new(Vec::new()) };
}

/// Longest table that is kept for the next blob: those of blobs with a base as long have a million slots at most.
const LONGEST_SPARE: usize = 1 << 20;

impl Drop for Windows {
    fn drop(&mut self) {
        if self.slots.len() <= LONGEST_SPARE {
            let mut spare = SPARE.take();
            spare.push(std::mem::take(&mut self.slots));
            SPARE.set(spare);
        }
    }
}

/// Windows that are entered together.
const AT_ONCE: usize = 16;
/// Bits of a filter for each window that is to pass: of the others one in so many passes, too.
const FILTER: usize = 8;

impl Windows {
    /// All windows of a base.
    pub(super) fn of(base: &[u8], (width, step): (usize, usize)) -> Self {
        let count = count_of(base, (width, step));
        let mut windows = Self::with_room(count, (width, step));
        for first in (0..count).step_by(AT_ONCE) {
            let last = count.min(first + AT_ONCE);
            // Slots are all over memory, and none waits for the one before to come.
            let mut several = [(0, 0); AT_ONCE];
            for (entry, number) in several.iter_mut().zip(first..last) {
                *entry = windows.slot(hash_of(&base[number * step..][..width]));
            }
            black_box(several.iter().fold(0, |any, (slot, _)| any | windows.slots[*slot]));
            for (place, number) in several.into_iter().zip(first..last) {
                windows.enter(place, number);
            }
        }
        windows
    }

    /// The windows of a base that stand in some `ranges` of the plain bytes, too, and some more; none of filling. Where those ranges are little, so are the
    /// tables, and what is looked up for each window of the base is near at hand.
    pub(super) fn shared(
        base: &[u8],
        (width, step): (usize, usize),
        plain: &[u8],
        ranges: impl Iterator<Item = Range<usize>> + Clone,
    ) -> Self {
        let all = ranges.clone().map(|range| range.len()).sum::<usize>();
        let bits = (FILTER * all).max(1024).next_power_of_two().ilog2();
        let mut filter = vec![0u64; 1 << (bits - 6)];
        // By other bits than those that say where in the table: what passes would crowd there.
        let place = |hash: u64| {
            let place = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - bits);
            ((place >> 6) as usize, place & 63)
        };
        for window in ranges.flat_map(|range| plain[range].windows(width)).filter(|window| !is_filling(window)) {
            let (word, bit) = place(hash_of(window));
            filter[word] |= 1 << bit;
        }
        let mut found: Vec<u32> = Vec::new();
        for number in 0..count_of(base, (width, step)) {
            let window = &base[number * step..][..width];
            let (word, bit) = place(hash_of(window));
            if filter[word] >> bit & 1 == 1 && !is_filling(window) {
                found.push(number as u32);
            }
        }
        let mut windows = Self::with_room(found.len(), (width, step));
        for number in found {
            let number = number as usize;
            windows.enter(windows.slot(hash_of(&base[number * step..][..width])), number);
        }
        windows
    }

    /// A table for so many windows.
    fn with_room(count: usize, (width, step): (usize, usize)) -> Self {
        let bits = (2 * count).max(16).next_power_of_two().ilog2();
        let mut spare = SPARE.take();
        let mut slots = spare.pop().unwrap_or_default();
        SPARE.set(spare);
        slots.clear();
        slots.resize(1 << bits, 0);
        Self { width, step, bits, slots }
    }

    fn enter(&mut self, (slot, tag): (usize, u32), number: usize) {
        let there = self.slots[slot];
        // Of two windows of one tag nearly all are the same, and no harm is done if they are not.
        let again = if there & slots::TAG == tag { there | slots::AGAIN } else { there };
        self.slots[slot] = if there == 0 { tag | (number as u32 + 1) } else { again };
    }

    /// Which slot a window with this hash has, and its tag.
    fn slot(&self, hash: u64) -> (usize, u32) {
        ((hash >> (u64::BITS - self.bits)) as usize, hash as u32 & slots::TAG)
    }

    /// Where the window at `at` stands in the base that these are of.
    pub(super) fn find(&self, plain: &[u8], at: usize, base: &[u8]) -> Option<Place> {
        let window = plain.get(at..at + self.width)?;
        let (slot, tag) = self.slot(hash_of(window));
        let there = self.slots[slot];
        let from = number_of(there).filter(|_| there & slots::TAG == tag)? * self.step;
        (base[from..from + self.width] == *window).then_some(Place { from, is_only: there & slots::AGAIN == 0 })
    }
}

/// Whether a window repeats eight bytes, as spaces and zeros that fill rows and pages up: it stands everywhere, and zstd makes little of it.
fn is_filling(window: &[u8]) -> bool {
    let words = window.as_chunks::<8>().0;
    words.iter().all(|word| *word == words[0])
}

/// How many windows of a base are entered.
fn count_of(base: &[u8], (width, step): (usize, usize)) -> usize {
    ((base.len() + step).saturating_sub(width) / step).min(slots::NUMBER as usize)
}

fn hash_of(window: &[u8]) -> u64 {
    const MIX: u64 = 0x9e37_79b9_7f4a_7c15;
    const SPREAD: u64 = 0xd6e8_feb8_6659_fd93;
    let words = window.as_chunks::<8>().0.iter();
    let mixed = words.fold(0u64, |mixed, word| (mixed.rotate_left(23) ^ u64::from_le_bytes(*word)).wrapping_mul(MIX));
    (mixed ^ mixed >> 29).wrapping_mul(SPREAD)
}

fn number_of(slot: u32) -> Option<usize> {
    (slot & slots::NUMBER).checked_sub(1).map(|number| number as usize)
}
