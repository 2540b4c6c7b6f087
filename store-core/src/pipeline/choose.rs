//! Which of several similar chunks becomes the base, and which values of their sketches may vote for it. Pure: it sees places and votes, no bytes.

use std::cmp::Reverse;
use std::collections::HashMap;

use crate::format::pack::Sketch;
use crate::index::Location;

/// Fewest votes of eight that make a base without any other reason, of numbers and of small chunks.
pub(super) const VOTES: usize = 2;

/// Of eight votes, as many as chunks share that are alike, and not by what all chunks of their kind have.
const ALIKE: usize = 4;

/// Of small chunks that share a value with an earlier one of their group, so many must be unlike it for the value to tell nothing: two versions of a file may
/// have it from a third one that is held. Large ones are parts of one file, mostly, and a single vote counts for them.
const UNLIKE: usize = 2;

/// Sketches of the chunks of one group without what tells nothing: values that are shared by chunks unlike the first that has them. Rows of a table are filled up
/// alike, or begin alike, and sooner or later each chunk of it would resemble each other one by that.
pub(super) fn telling(sketches: &[Sketch], is_large: impl Fn(usize) -> bool) -> Vec<Sketch> {
    let mut telling = sketches.to_vec();
    let votes = |one: &Sketch, other: &Sketch| one.iter().zip(other).filter(|(a, b)| a == b).count();
    for at in 0..size_of::<Sketch>() / size_of::<u32>() {
        let mut holders: HashMap<u32, Vec<usize>> = HashMap::new();
        for (i, sketch) in sketches.iter().enumerate() {
            holders.entry(sketch[at]).or_default().push(i);
        }
        for holders in holders.into_values() {
            let (first, others) = holders.split_first().expect("a value has a chunk");
            let unlike = others.iter().filter(|other| votes(&sketches[**other], &sketches[*first]) < ALIKE).count();
            if unlike >= if is_large(*first) { 1 } else { UNLIKE } {
                holders.iter().for_each(|holder| telling[*holder][at] = 0);
            }
        }
    }
    telling
}

/// The chunk with most votes among `similar`, where each chunk stands once for every vote, and how many.
pub(super) fn best_base(similar: &[Location], fits: impl Fn(&Location) -> bool) -> Option<(Location, usize)> {
    ranked(similar, VOTES, None, fits).into_iter().next()
}

/// All with at least so many votes, those with most first; of equals the one at `next`, which is behind the last base. There a single vote will do.
pub(super) fn ranked(
    similar: &[Location],
    least: usize,
    next: Option<&Location>,
    fits: impl Fn(&Location) -> bool,
) -> Vec<(Location, usize)> {
    let mut votes: HashMap<Location, usize> = HashMap::new();
    for location in similar.iter().filter(|location| fits(location)) {
        *votes.entry(*location).or_default() += 1;
    }
    let follows = |location: &Location| next == Some(location);
    let mut found: Vec<_> = votes.into_iter().filter(|(location, votes)| *votes >= least || follows(location)).collect();
    // Of equals the later one: it is of a later version.
    found.sort_unstable_by_key(|(location, votes)| Reverse((*votes, follows(location), *location)));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(pack: u32, start: u32) -> Location {
        Location { pack, ordinal: 0, start, len: 10, depth: 0 }
    }

    #[test]
    fn what_unlike_chunks_share_tells_nothing() {
        let table = [
            [9, 1, 2, 3, 4, 5, 6, 7],
            [9, 8, 12, 13, 14, 15, 16, 17],
            [9, 8, 22, 23, 24, 25, 26, 27],
            [9, 38, 2, 3, 34, 35, 36, 37],
            [40, 48, 42, 43, 44, 45, 46, 47],
        ];
        // Two that share one value, or three, may be like a third one by that.
        let mut left = table;
        left[..4].iter_mut().for_each(|sketch| sketch[0] = 0);
        assert_eq!(telling(&table, |_| false), left);
        let of_large = [
            [0, 1, 0, 0, 4, 5, 6, 7],
            [0, 0, 12, 13, 14, 15, 16, 17],
            [0, 0, 22, 23, 24, 25, 26, 27],
            [0, 38, 0, 0, 34, 35, 36, 37],
            [40, 48, 42, 43, 44, 45, 46, 47],
        ];
        assert_eq!(telling(&table, |_| true), of_large);
        // Four are enough to be alike.
        let alike = [[1, 2, 3, 4, 5, 6, 7, 8], [1, 2, 3, 4, 9, 9, 9, 9], [1, 2, 3, 4, 10, 10, 10, 10]];
        assert_eq!(telling(&alike, |_| true), alike);
        let nearly = [[1, 2, 3, 4, 5, 6, 7, 8], [1, 2, 3, 14, 9, 9, 9, 9], [1, 2, 3, 24, 10, 10, 10, 10]];
        assert_eq!(telling(&nearly, |_| false)[0], [0, 0, 0, 4, 5, 6, 7, 8]);
        assert!(telling(&[], |_| true).is_empty());
    }

    #[test]
    fn most_votes_win_and_ties_go_to_the_follower() {
        let (a, b) = (at(1, 0), at(2, 10));
        let any = |_: &Location| true;
        assert_eq!(ranked(&[a, b, a, b, b], 2, None, any), [(b, 3), (a, 2)]);
        assert_eq!(ranked(&[a, a, b, b], 2, Some(&a), any), [(a, 2), (b, 2)]);
        assert_eq!(ranked(&[a, a, b, b], 2, None, any), [(b, 2), (a, 2)]);
        assert_eq!(ranked(&[a], 2, None, any), []);
        assert_eq!(ranked(&[a], 2, Some(&a), any), [(a, 1)]);
        assert_eq!(ranked(&[a], 1, None, any), [(a, 1)]);
        assert_eq!(best_base(&[a, b, b], any), Some((b, 2)));
        assert_eq!(best_base(&[a, a], |location| location.len == 9), None);
    }
}
