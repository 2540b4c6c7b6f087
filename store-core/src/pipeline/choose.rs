//! Which of several similar chunks becomes the base. Pure: it sees places and votes, no bytes.

use std::cmp::Reverse;
use std::collections::HashMap;

use crate::index::Location;

/// Fewest votes of eight that make a base without any other reason, of numbers and of small chunks.
pub(super) const VOTES: usize = 2;

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
