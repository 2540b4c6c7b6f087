//! Which parts of objects are read by one request: those that lie side by side, or nearly.

use std::ops::Range;

/// Bytes between two parts that are read for nothing rather than by a request of their own: a fraction of what comes over a fast line while a request
/// waits for its answer.
const GAP: u64 = 256 << 10;

/// A part of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Part<O> {
    /// Which object.
    pub object: O,
    /// Where it starts there, in bytes.
    pub start: u64,
    /// Its length in bytes.
    pub len: u64,
}

impl<O> Part<O> {
    /// Where it ends. A part that claims to end beyond what can be counted ends there.
    pub fn end(&self) -> u64 {
        self.start.saturating_add(self.len)
    }
}

/// The parts, in order, that one request reads, each as a range of their places in `parts`; at most `most` bytes, unless a single part is longer.
/// `parts` are in the order of their objects and of where they start.
pub fn together<O: PartialEq>(parts: &[Part<O>], most: u64) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    let (mut begin, mut end) = (0_u64, 0_u64);
    for (at, part) in parts.iter().enumerate() {
        let joins = runs.last().is_some_and(|run| {
            let is_near = part.object == parts[run.start].object && part.start >= begin && part.start <= end.saturating_add(GAP);
            is_near && part.end().max(end) - begin <= most
        });
        match runs.last_mut().filter(|_| joins) {
            Some(run) => {
                run.end = at + 1;
                end = end.max(part.end());
            }
            None => {
                (begin, end) = (part.start, part.end());
                runs.push(at..at + 1);
            }
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(parts: &[(u8, u64, u64)], most: u64) -> Vec<Range<usize>> {
        let parts: Vec<_> = parts.iter().map(|(object, start, len)| Part { object: *object, start: *start, len: *len }).collect();
        together(&parts, most)
    }

    #[test]
    fn neighbours_of_one_object_are_read_together() {
        assert_eq!(runs(&[(1, 0, 10), (1, 10, 10), (2, 20, 10), (2, 31, 5)], 1000), [0..2, 2..4]);
        assert!(runs(&[], 1000).is_empty());
    }

    #[test]
    fn what_is_far_is_read_by_itself() {
        assert_eq!(runs(&[(1, 0, 10), (1, 10 + GAP, 10), (1, 21 + 2 * GAP, 10)], u64::MAX), [0..2, 2..3]);
    }

    #[test]
    fn a_run_is_no_longer_than_it_may_be_unless_a_part_is() {
        assert_eq!(runs(&[(1, 0, 50), (1, 50, 50), (1, 100, 50), (1, 150, 500), (1, 650, 1)], 100), [0..2, 2..3, 3..4, 4..5]);
    }

    #[test]
    fn parts_that_overlap_or_claim_no_end_do_no_harm() {
        assert_eq!(runs(&[(1, 0, 100), (1, 10, 10), (1, 90, 20), (2, 0, 1)], 200), [0..3, 3..4]);
        assert_eq!(runs(&[(1, 5, u64::MAX), (1, 6, u64::MAX)], 100), [0..1, 1..2]);
        assert_eq!(runs(&[(1, u64::MAX, 1), (1, u64::MAX, u64::MAX), (2, 0, 1)], 100), [0..2, 2..3]);
    }
}
