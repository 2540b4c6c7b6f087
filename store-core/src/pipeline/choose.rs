//! Which of several similar chunks becomes the base. Pure: it sees places and votes, no bytes.

use std::collections::HashMap;

use crate::index::Location;

/// Fewest votes of eight that make a base without any other reason.
pub(super) const VOTES: usize = 2;

/// The chunk with most votes among `similar`, where each chunk stands once for every vote, and how many; of equals the one at `next`, which is the
/// pack, blob and start of the chunk behind the last base. A single vote counts only there.
pub(super) fn best_base(
    similar: &[Location],
    next: Option<(u32, u32, u32)>,
    fits: impl Fn(&Location) -> bool,
) -> Option<(Location, usize)> {
    let mut votes: HashMap<Location, usize> = HashMap::new();
    for location in similar.iter().filter(|location| fits(location)) {
        *votes.entry(*location).or_default() += 1;
    }
    let follows = |location: &Location| next == Some((location.pack, location.ordinal, location.start));
    votes
        .into_iter()
        .filter(|(location, votes)| *votes >= VOTES || follows(location))
        // Of equals the later one: it is of a later version.
        .max_by_key(|(location, votes)| (*votes, follows(location), *location))
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
        assert_eq!(best_base(&[a, b, a, b, b], None, |_| true), Some((b, 3)));
        assert_eq!(best_base(&[a, a, b, b], Some((1, 0, 0)), |_| true), Some((a, 2)));
        assert_eq!(best_base(&[a], None, |_| true), None);
        assert_eq!(best_base(&[a], Some((1, 0, 0)), |_| true), Some((a, 1)));
        assert_eq!(best_base(&[a, a], None, |location| location.len == 9), None);
    }
}
