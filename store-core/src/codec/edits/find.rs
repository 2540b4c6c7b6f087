//! Finding what plain bytes have in common with a base.
//!
//! First *anchors*: ranges that begin with, or hold, a window of the base that is there only once. Tables of like rows are full of windows that stand
//! in thousands of places, and a copy that follows the wrong one ends with its row; a window with the row's number in it stands in one, and its copy goes on
//! to the next change. Then what lies between anchors, where any window will do and a copy of eight bytes pays if it stands where it is expected.
//! The first step is what B. Cohen's *patience diff* does with lines.

use std::cell::Cell;
use std::hint::black_box;

use super::script::Copied;

/// Bytes of the windows that anchors are found by, and from one to the next in the base.
const ANCHOR: (usize, usize) = (24, 16);
/// The same of windows for what lies between anchors, where that is much.
const SHORT: (usize, usize) = (16, 8);
/// What lies between anchors is much at one part in so many of the plain bytes: then windows of its own pay.
const MUCH: usize = 256;
/// Where a copy ends, so many places are looked at for the longest that begins there. No multiple of the step of windows, so that all alignments come
/// to be looked at where that is done here and there.
const LOOK: usize = 200;
/// So many bytes are long enough to look no further.
const FAR: usize = 256;
/// After so many times of that in vain, fewer places are looked at.
const PATIENCE: usize = 8;
/// One part in so many may lie outside of anchors. Of what has less in common with its base, zstd finds a part in the rest of the blob.
const LEAST_COMMON: usize = 3;
/// Bytes that there are for each anchor at least, on average: where all has moved about, looking for it takes longer than zstd does for the same.
const SHORTEST_MEAN: usize = 512;
/// So many anchors are never too many.
const FEW: usize = 16;
/// Shortest copy of an unexpected place: naming it takes three or four bytes.
const SHORTEST: usize = 20;
/// Shortest copy of an expected place.
const SHORTEST_EXPECTED: usize = 8;
/// Expected copies as long as this are not worth looking for longer ones elsewhere.
const ENOUGH: usize = 64;
/// An unexpected place is to give so many bytes more than an expected one.
const DETOUR: usize = 12;

/// A range of the plain bytes that the base has, too.
#[derive(Clone, Copy)]
struct Match {
    start: usize,
    from: usize,
    len: usize,
}

impl Match {
    fn end(&self) -> usize {
        self.start + self.len
    }

    fn base_end(&self) -> usize {
        self.from + self.len
    }
}

/// The copies of `base` that `plain` is best made of, in order; none is empty. `None` where the two have little in common, or in many places.
pub(super) fn copies(plain: &[u8], base: &[u8]) -> Option<Vec<Copied>> {
    let windows = Windows::of(base, ANCHOR);
    let anchors = anchors(plain, base, &windows)?;
    let between = plain.len() - anchors.iter().map(|anchor| anchor.len).sum::<usize>();
    let short = (between * MUCH > plain.len()).then(|| Windows::of(base, SHORT));
    let filler = Filler { plain, base, windows: short.as_ref().unwrap_or(&windows) };
    let mut found = Vec::with_capacity(anchors.len());
    for anchor in &anchors {
        filler.fill(found.last().copied(), Some(anchor), &mut found);
        found.push(*anchor);
    }
    filler.fill(found.last().copied(), None, &mut found);
    Some(joined(&found))
}

/// Matches as copies; those that go on with the one before are one with it.
fn joined(found: &[Match]) -> Vec<Copied> {
    let mut copies: Vec<Copied> = Vec::with_capacity(found.len());
    let (mut end, mut base_end) = (0, 0);
    for next in found {
        match copies.last_mut() {
            Some(last) if next.start == end && next.from == base_end => last.len += next.len as u32,
            _ => copies.push(Copied { literals: (next.start - end) as u32, from: next.from as u32, len: next.len as u32 }),
        }
        (end, base_end) = (next.end(), next.base_end());
    }
    copies
}

/// Ranges that are found by windows that the base has once, or that go on where the one before ended; `None` once too much lies between them, or
/// they are too many.
fn anchors(plain: &[u8], base: &[u8], windows: &Windows) -> Option<Vec<Match>> {
    let mut found: Vec<Match> = Vec::new();
    let (mut at, mut between, mut in_vain) = (0, 0, 0);
    while at < plain.len() {
        let base_end = found.last().map_or(0, Match::base_end);
        // What is new for long is looked at here and there.
        let stride = (1 + in_vain / PATIENCE * 2).min(ANCHOR.1 - 1);
        match anchor_from(plain, base, windows, (at, stride), base_end) {
            Some(next) => {
                between += next.start - at;
                at = next.end();
                in_vain = 0;
                found.push(next);
            }
            None => {
                between += LOOK.min(plain.len() - at);
                at += LOOK;
                in_vain += 1;
            }
        }
        if between > plain.len() / LEAST_COMMON || found.len() > FEW + plain.len() / SHORTEST_MEAN {
            return None;
        }
    }
    Some(found)
}

/// The longest that begins within [`LOOK`] bytes of `at`.
fn anchor_from(plain: &[u8], base: &[u8], windows: &Windows, (at, stride): (usize, usize), base_end: usize) -> Option<Match> {
    let mut best: Option<Match> = None;
    // What has been compared already, by how far the base place is from the plain one: a match holds many windows.
    let mut seen = [usize::MAX; 8];
    let mut looked = 0;
    let (mut start, mut stop) = (at, (at + LOOK).min(plain.len()));
    while start < stop {
        let expected = [base_end + (start - at), base_end].into_iter().filter(|from| begins_alike(plain, start, base, *from));
        let anchor = windows.find(plain, start, base).filter(|place| place.is_only).map(|place| place.from);
        for from in expected.chain(anchor) {
            let shift = from.wrapping_sub(start);
            if seen.contains(&shift) {
                continue;
            }
            seen[looked % seen.len()] = shift;
            looked += 1;
            let next = extended(plain, base, start, from, at, plain.len());
            if best.is_none_or(|best| best.len < next.len) {
                best = Some(next);
                // What begins behind it can follow it.
                stop = stop.min(next.end() + ANCHOR.1);
            }
        }
        if best.is_some_and(|best| best.len >= FAR) {
            break;
        }
        start += stride;
    }
    best.filter(|best| best.len >= ANCHOR.0)
}

/// Finds what lies between anchors.
struct Filler<'a> {
    plain: &'a [u8],
    base: &'a [u8],
    windows: &'a Windows,
}

impl Filler<'_> {
    /// Finds what lies between two matches, or the ends.
    fn fill(&self, before: Option<Match>, after: Option<&Match>, found: &mut Vec<Match>) {
        let (plain, base, end) = (self.plain, self.base, after.map_or(self.plain.len(), |after| after.start));
        let (mut free, mut base_free) = before.map_or((0, 0), |before| (before.end(), before.base_end()));
        let mut at = free;
        while at + SHORTEST_EXPECTED <= end {
            // Replaced, inserted, or taken out.
            let before_next = after.and_then(|after| after.from.checked_sub(end - at));
            let expected = [Some(base_free + (at - free)), Some(base_free), before_next].into_iter().flatten();
            let expected = expected.filter(|from| begins_alike(plain, at, base, *from));
            let mut best =
                expected.map(|from| Match { start: at, from, len: alike(&plain[at..end], &base[from..]) }).max_by_key(|found| found.len);
            if best.is_none_or(|best| best.len < ENOUGH)
                && let Some(place) = self.windows.find(&plain[..end], at, base)
            {
                let other = extended(plain, base, at, place.from, free, end);
                if other.len >= SHORTEST && best.is_none_or(|best| best.len + DETOUR < other.len) {
                    best = Some(other);
                }
            }
            let Some(next) = best else {
                at += 1;
                continue;
            };
            found.push(next);
            (free, base_free, at) = (next.end(), next.base_end(), next.end());
        }
    }
}

/// The match of two places, as far as it goes to both sides: back to `first`, on to `end`.
fn extended(plain: &[u8], base: &[u8], start: usize, from: usize, first: usize, end: usize) -> Match {
    let back = plain[first..start].iter().rev().zip(base[..from].iter().rev()).take_while(|(a, b)| a == b).count();
    let len = back + alike(&plain[start..end], &base[from..]);
    Match { start: start - back, from: from - back, len }
}

fn begins_alike(plain: &[u8], start: usize, base: &[u8], from: usize) -> bool {
    matches!((word(plain, start), word(base, from)), (Some(a), Some(b)) if a == b)
}

fn word(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().copied().map(u64::from_le_bytes)
}

/// How many bytes two strings have in common from the start on.
fn alike(a: &[u8], b: &[u8]) -> usize {
    let words = a.as_chunks::<8>().0.iter().zip(b.as_chunks::<8>().0);
    let same = 8 * words.take_while(|(a, b)| a == b).count();
    same + a[same..].iter().zip(&b[same..]).take(8).take_while(|(a, b)| a == b).count()
}

/// Where a base's windows stand, by their hashes.
struct Windows {
    width: usize,
    step: usize,
    bits: u32,
    slots: Vec<u32>,
}

/// A window's place in the base.
struct Place {
    from: usize,
    /// Whether no other window that was entered has the same bytes.
    is_only: bool,
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

impl Windows {
    fn of(base: &[u8], (width, step): (usize, usize)) -> Self {
        let bits = (2 * base.len() / step).max(16).next_power_of_two().ilog2();
        let mut spare = SPARE.take();
        let mut slots = spare.pop().unwrap_or_default();
        SPARE.set(spare);
        slots.clear();
        slots.resize(1 << bits, 0);
        let mut windows = Self { width, step, bits, slots };
        let count = ((base.len() + step).saturating_sub(width) / step).min(slots::NUMBER as usize);
        for first in (0..count).step_by(AT_ONCE) {
            let last = count.min(first + AT_ONCE);
            // Slots are all over memory, and none waits for the one before to come.
            let mut several = [(0, 0); AT_ONCE];
            for (entry, number) in several.iter_mut().zip(first..last) {
                *entry = windows.slot(&base[number * step..][..width]);
            }
            black_box(several.iter().fold(0, |any, (slot, _)| any | windows.slots[*slot]));
            for ((slot, tag), number) in several.into_iter().zip(first..last) {
                let there = windows.slots[slot];
                // Of two windows of one tag nearly all are the same, and no harm is done if they are not.
                let again = if there & slots::TAG == tag { there | slots::AGAIN } else { there };
                windows.slots[slot] = if there == 0 { tag | (number as u32 + 1) } else { again };
            }
        }
        windows
    }

    /// Which slot a window has, and its tag.
    fn slot(&self, window: &[u8]) -> (usize, u32) {
        const MIX: u64 = 0x9e37_79b9_7f4a_7c15;
        const SPREAD: u64 = 0xd6e8_feb8_6659_fd93;
        let words = window.as_chunks::<8>().0.iter();
        let mixed = words.fold(0u64, |mixed, word| (mixed.rotate_left(23) ^ u64::from_le_bytes(*word)).wrapping_mul(MIX));
        let hash = (mixed ^ mixed >> 29).wrapping_mul(SPREAD);
        ((hash >> (u64::BITS - self.bits)) as usize, hash as u32 & slots::TAG)
    }

    /// Where the window at `at` stands in the base that these are of.
    fn find(&self, plain: &[u8], at: usize, base: &[u8]) -> Option<Place> {
        let window = plain.get(at..at + self.width)?;
        let (slot, tag) = self.slot(window);
        let there = self.slots[slot];
        let from = number_of(there).filter(|_| there & slots::TAG == tag)? * self.step;
        (base[from..from + self.width] == *window).then_some(Place { from, is_only: there & slots::AGAIN == 0 })
    }
}

fn number_of(slot: u32) -> Option<usize> {
    (slot & slots::NUMBER).checked_sub(1).map(|number| number as usize)
}
