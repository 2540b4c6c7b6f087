//! Finding what plain bytes have in common with a base.
//!
//! First *anchors*: ranges that begin with, or hold, a window of the base that is there only once, or, where that is enough, once near the place that is
//! expected. Tables of like rows are full of windows that stand in thousands of places, and a copy that follows the wrong one ends with its row; a window
//! with the row's number in it stands in one, and its copy goes on to the next change. Then what lies between anchors, where any window will do and a copy
//! of eight bytes pays if it stands where it is expected. The first step is what B. Cohen's *patience diff* does with lines.

use std::ops::Range;

use super::script::Copied;
use super::windows::Windows;

/// Bytes of the windows that anchors are found by, and from one to the next in the base.
const ANCHOR: (usize, usize) = (24, 16);
/// The same of windows for what lies between anchors, where that is much.
const SHORT: (usize, usize) = (16, 8);
/// What lies between anchors is much at one part in so many of the plain bytes: then windows of its own pay. So they do where the base's windows were not all
/// entered, if as much as [`FAR`] lies between in ranges that are long enough to be found elsewhere.
const MUCH: usize = 256;
/// Where a copy ends, so many places are looked at for the longest that begins there. No multiple of the step of windows, so that all alignments come
/// to be looked at where that is done here and there.
const LOOK: usize = 200;
/// So many bytes are long enough to look no further.
const FAR: usize = 256;
/// Bytes of the base before and behind the expected place whose windows are looked through first.
const NEAR: (usize, usize) = (1024, 3072);
/// So often in a row something shorter than [`FAR`] is taken for the next one: rows that changed stand side by side.
const MOST_SHORT: usize = 3;
/// After so many times of that in vain, fewer places are looked at.
const PATIENCE: usize = 8;
/// One part in so many may lie outside of anchors. Of what has less in common with its base, zstd finds a part in the rest of the blob.
const LEAST_COMMON: usize = 3;
/// Bytes that there are for each anchor at least, on average: where all has moved about, looking for it takes longer than zstd does for the same.
const SHORTEST_MEAN: usize = 512;
/// So many anchors are never too many.
const FEW: usize = 16;
/// So many more than there may be up to some place are too many, whatever follows.
const MANY: usize = 1024;
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

/// The copies of `base` that `plain` is best made of, in order; none is empty. `begins` is where in the base `plain` is likely to begin. `None` where the two
/// have little in common, or in many places.
pub(super) fn copies(plain: &[u8], base: &[u8], begins: usize) -> Option<Vec<Copied>> {
    let begins = begins.min(base.len());
    let mut finder = Finder { plain, base, searched: 0, short: 0, windows: None };
    let anchors = finder.anchors(begins)?;
    let lens = gaps(plain, &anchors).map(|gap| gap.len());
    let (between, long) = lens.fold((0, 0), |(all, long), gap| (all + gap, long + if gap >= ANCHOR.0 { gap } else { 0 }));
    let is_worth_it = between * MUCH > plain.len() || finder.windows.is_none() && long >= FAR;
    let short = is_worth_it.then(|| Windows::shared(base, SHORT, plain, gaps(plain, &anchors)));
    let filler = Filler { plain, base, begins, windows: short.as_ref().or(finder.windows.as_ref()) };
    let mut found = Vec::with_capacity(anchors.len());
    for anchor in &anchors {
        filler.fill(found.last().copied(), Some(anchor), &mut found);
        found.push(*anchor);
    }
    filler.fill(found.last().copied(), None, &mut found);
    Some(joined(&found))
}

/// What lies between anchors, as ranges of the plain bytes.
fn gaps<'a>(plain: &[u8], anchors: &'a [Match]) -> impl Iterator<Item = Range<usize>> + Clone + 'a {
    let starts = std::iter::once(0).chain(anchors.iter().map(Match::end));
    starts.zip(anchors.iter().map(|anchor| anchor.start).chain([plain.len()])).map(|(start, end)| start..end)
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

/// Finds anchors.
struct Finder<'a> {
    plain: &'a [u8],
    base: &'a [u8],
    /// How often windows near the expected place were looked through: more often would take as long as all windows do.
    searched: usize,
    /// How often in a row that led to nothing long.
    short: usize,
    /// All windows of the base, once they are needed.
    windows: Option<Windows>,
}

/// What a look near the expected place comes to.
enum Near {
    /// The longest match there, if any is long enough.
    Found(Option<Match>),
    /// All windows of the base are to be looked through.
    Elsewhere,
}

impl Finder<'_> {
    /// Ranges that are found by windows that the base has once, or once near there, or that go on where the one before ended; `None` once too much lies
    /// between them, or they are too many. The first one is expected at `begins`.
    fn anchors(&mut self, begins: usize) -> Option<Vec<Match>> {
        let plain = self.plain;
        let mut found: Vec<Match> = Vec::new();
        let (mut at, mut between, mut in_vain) = (0, 0, 0);
        // How far it had come with the last long one.
        let mut sure = (0, at, between);
        while at < plain.len() {
            let base_end = found.last().map_or(begins, Match::base_end);
            // What is new for long is looked at here and there.
            let stride = (1 + in_vain / PATIENCE * 2).min(ANCHOR.1 - 1);
            let next = match &self.windows {
                Some(windows) => self.longest((at, stride), base_end, windows, 0),
                None => match self.near((at, stride), base_end) {
                    Near::Found(next) => next,
                    Near::Elsewhere => {
                        // What was taken for want of better is looked for again.
                        self.windows = Some(Windows::of(self.base, ANCHOR));
                        found.truncate(sure.0);
                        (at, between, in_vain) = (sure.1, sure.2, 0);
                        continue;
                    }
                },
            };
            match next {
                Some(next) => {
                    between += next.start - at;
                    at = next.end();
                    in_vain = 0;
                    found.push(next);
                    if next.len >= FAR {
                        sure = (found.len(), at, between);
                    }
                }
                None => {
                    between += LOOK.min(plain.len() - at);
                    at += LOOK;
                    in_vain += 1;
                }
            }
            let too_many = found.len() > FEW + plain.len() / SHORTEST_MEAN || found.len() > MANY + at / SHORTEST_MEAN;
            if between > plain.len() / LEAST_COMMON || too_many {
                return None;
            }
        }
        Some(found)
    }

    /// The longest that begins within [`LOOK`] bytes of `at`, by windows near the place where it is expected. Where little has changed, not all of the base need be entered into a table: what goes on begins near where the last one ended, and goes on for long.
    fn near(&mut self, (at, stride): (usize, usize), base_end: usize) -> Near {
        if self.searched > self.base.len() / (NEAR.0 + NEAR.1) {
            return Near::Elsewhere;
        }
        let first = base_end.saturating_sub(NEAR.0);
        let near = &self.base[first..(base_end + NEAR.1).min(self.base.len())];
        let found = self.longest((at, stride), base_end, &Windows::of(near, ANCHOR), first);
        let is_long = found.is_some_and(|found| found.len >= FAR || found.end() == self.plain.len());
        self.searched += 1;
        self.short = if is_long { 0 } else { self.short + 1 };
        let is_little = (self.plain.len() - at) * MUCH <= self.plain.len();
        if is_long || is_little || found.is_some() && self.short <= MOST_SHORT { Near::Found(found) } else { Near::Elsewhere }
    }

    /// The longest that begins within [`LOOK`] bytes of `at`, by these windows, which are of the base from `first` on.
    fn longest(&self, (at, stride): (usize, usize), base_end: usize, windows: &Windows, first: usize) -> Option<Match> {
        let Self { plain, base, .. } = *self;
        let mut best: Option<Match> = None;
        // What has been compared already, by how far the base place is from the plain one: a match holds many windows.
        let mut seen = [None; 8];
        let mut looked = 0;
        let (mut start, mut stop) = (at, (at + LOOK).min(plain.len()));
        while start < stop {
            let expected = [base_end + (start - at), base_end].into_iter().filter(|from| begins_alike(plain, start, base, *from));
            let anchor = windows.find(plain, start, &base[first..]).filter(|place| place.is_only).map(|place| first + place.from);
            for from in expected.chain(anchor) {
                let shift = Some(from.wrapping_sub(start));
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
}

/// Finds what lies between anchors.
struct Filler<'a> {
    plain: &'a [u8],
    base: &'a [u8],
    /// Where the first match is expected.
    begins: usize,
    windows: Option<&'a Windows>,
}

impl Filler<'_> {
    /// Finds what lies between two matches, or the ends.
    fn fill(&self, before: Option<Match>, after: Option<&Match>, found: &mut Vec<Match>) {
        let (plain, base, end) = (self.plain, self.base, after.map_or(self.plain.len(), |after| after.start));
        let (mut free, mut base_free) = before.map_or((0, self.begins), |before| (before.end(), before.base_end()));
        let mut at = free;
        while at + SHORTEST_EXPECTED <= end {
            // Replaced, inserted, or taken out.
            let before_next = after.and_then(|after| after.from.checked_sub(end - at));
            let expected = [Some(base_free + (at - free)), Some(base_free), before_next].into_iter().flatten();
            let expected = expected.filter(|from| begins_alike(plain, at, base, *from));
            let mut best =
                expected.map(|from| Match { start: at, from, len: alike(&plain[at..end], &base[from..]) }).max_by_key(|found| found.len);
            if best.is_none_or(|best| best.len < ENOUGH)
                && let Some(place) = self.windows.and_then(|windows| windows.find(&plain[..end], at, base))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_changes_are_found_without_a_table_of_all_the_base() {
        let row = |number: usize| format!("{number}\t1\t0\t{}\n", " ".repeat(84)).into_bytes();
        let base: Vec<u8> = (0..20_000).flat_map(row).collect();
        let skipped: usize = (0..3000).map(|number| row(number).len()).sum();
        let plain: Vec<u8> = (3000..20_000).filter(|number| number % 500 != 7).flat_map(row).collect();
        let looked = |begins| {
            let mut finder = Finder { plain: &plain, base: &base, searched: 0, short: 0, windows: None };
            assert!(finder.anchors(begins).unwrap().len() >= 35);
            finder.windows.is_some()
        };
        assert!(!looked(skipped));
        assert!(looked(0), "who guesses wrong looks everywhere");
    }
}
