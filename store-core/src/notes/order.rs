//! Which note has seen which, and one order of all (`spec/NOTES.md`, section 1).
//!
//! Most histories are a line with short forks. Where all earlier notes were seen by one note, and all later ones have seen it, the history is
//! *narrow*: between two notes with such a place between them there is nothing to search. So a question costs the length of a fork.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap};

use super::StoredNote;
use crate::base::ids::NoteId;

/// A statement: the place of its note in the order, and its own place there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct At {
    pub(super) note: usize,
    pub(super) statement: usize,
}

/// All notes in their order.
pub(super) struct Order<'n> {
    pub(super) notes: Vec<&'n StoredNote>,
    places: HashMap<NoteId, usize>,
    /// For each note the places of those in its `seen`, all before its own.
    seen: Vec<Vec<usize>>,
    /// How many narrow places there are before this place.
    narrow: Vec<usize>,
}

impl<'n> Order<'n> {
    pub(super) fn new(notes: &'n [StoredNote]) -> Self {
        let notes = sorted(notes);
        let places: HashMap<NoteId, usize> = notes.iter().enumerate().map(|(place, stored)| (stored.id, place)).collect();
        // What stands behind in spite of being seen is in a circle.
        let before =
            |place: usize| notes[place].note.seen.iter().filter_map(|id| places.get(id).copied()).filter(move |seen| *seen < place);
        let seen: Vec<Vec<usize>> = (0..notes.len()).map(|place| before(place).collect()).collect();
        let narrow = narrow(&seen);
        Self { notes, places, seen, narrow }
    }

    /// The place of a note.
    pub(super) fn place(&self, id: &NoteId) -> Option<usize> {
        self.places.get(id).copied()
    }

    /// Notes that no other one has seen.
    pub(super) fn heads(&self) -> BTreeSet<NoteId> {
        let seen: BTreeSet<usize> = self.seen.iter().flatten().copied().collect();
        (0..self.notes.len()).filter(|place| !seen.contains(place)).map(|place| self.notes[place].id).collect()
    }

    /// Whether `later` was made by somebody who had seen `earlier`.
    pub(super) fn has_seen(&self, later: At, earlier: At) -> bool {
        if later.note == earlier.note { later.statement > earlier.statement } else { self.note_has_seen(later.note, earlier.note) }
    }

    /// The same for whole notes, and `false` for one and itself.
    pub(super) fn note_has_seen(&self, later: usize, earlier: usize) -> bool {
        if later <= earlier {
            return false;
        }
        if self.narrow[later + 1] > self.narrow[earlier] {
            return true;
        }
        let (mut open, mut visited) = (vec![later], BTreeSet::new());
        while let Some(place) = open.pop() {
            for seen in self.seen[place].iter().copied().filter(|seen| *seen >= earlier) {
                if seen == earlier {
                    return true;
                }
                if visited.insert(seen) {
                    open.push(seen);
                }
            }
        }
        false
    }
}

fn sorted(notes: &[StoredNote]) -> Vec<&StoredNote> {
    let known: HashMap<NoteId, usize> = notes.iter().enumerate().map(|(i, stored)| (stored.id, i)).collect();
    let mut waiting: Vec<usize> = vec![0; notes.len()];
    let mut followers: Vec<Vec<usize>> = vec![Vec::new(); notes.len()];
    for (i, stored) in notes.iter().enumerate() {
        for seen in stored.note.seen.iter().filter_map(|id| known.get(id).copied()) {
            waiting[i] += 1;
            followers[seen].push(i);
        }
    }
    let key = |i: usize| (notes[i].note.time, notes[i].id, i);
    let mut left: BTreeSet<_> = (0..notes.len()).map(key).collect();
    let mut free: BinaryHeap<_> = (0..notes.len()).filter(|i| waiting[*i] == 0).map(|i| Reverse(key(i))).collect();
    let mut sorted = Vec::with_capacity(notes.len());
    // Without a free note there is a circle, and the first of those that are left breaks it.
    while let Some(next) = free.pop().map(|Reverse(next)| next).or_else(|| left.first().copied()) {
        if !left.remove(&next) {
            continue;
        }
        sorted.push(&notes[next.2]);
        for follower in &followers[next.2] {
            waiting[*follower] -= 1;
            if waiting[*follower] == 0 {
                free.push(Reverse(key(*follower)));
            }
        }
    }
    sorted
}

/// How many narrow places are before each place, and before the end.
fn narrow(seen: &[Vec<usize>]) -> Vec<usize> {
    let mut is_head = vec![false; seen.len()];
    let mut heads = 0usize;
    let mut alone = Vec::with_capacity(seen.len());
    for (place, seen) in seen.iter().enumerate() {
        for seen in seen {
            heads -= usize::from(std::mem::take(&mut is_head[*seen]));
        }
        is_head[place] = true;
        heads += 1;
        alone.push(heads == 1);
    }
    // The least place that a later note reaches back to at most: `None` when a later one has seen nothing.
    let mut reach = Some(usize::MAX);
    for (place, seen) in seen.iter().enumerate().rev() {
        alone[place] &= reach.is_some_and(|reach| reach >= place);
        reach = reach.zip(seen.iter().max()).map(|(reach, last)| reach.min(*last));
    }
    let mut count = 0;
    let counts = alone.into_iter().map(|narrow| {
        count += usize::from(narrow);
        count
    });
    std::iter::once(0).chain(counts).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::note::Note;
    use crate::format::record::Time;
    use proptest::prelude::*;

    fn id(n: usize) -> NoteId {
        NoteId::from_bytes(std::array::from_fn(|i| if i == 0 { n as u8 } else { 0 }))
    }

    fn note(n: usize, seconds: i64, seen: &[usize]) -> StoredNote {
        let seen = seen.iter().map(|n| id(*n)).collect();
        StoredNote { id: id(n), note: Note { author: String::new(), time: Time { seconds, nanos: 0 }, seen, statements: Vec::new() } }
    }

    fn plainly(notes: &[StoredNote], later: usize, earlier: usize) -> bool {
        notes[later].note.seen.iter().any(|seen| *seen == id(earlier) || plainly(notes, usize::from(seen.as_bytes()[0]), earlier))
    }

    proptest! {
        #[test]
        fn what_was_seen_is_found_whatever_the_history(
            shape in proptest::collection::vec((0i64..4, proptest::collection::vec(any::<proptest::sample::Index>(), 0..3)), 1..24),
            rotation: proptest::sample::Index,
        ) {
            let notes: Vec<StoredNote> = shape
                .iter()
                .enumerate()
                .map(|(n, (time, seen))| {
                    let seen: Vec<usize> = if n == 0 { Vec::new() } else { seen.iter().map(|i| i.index(n)).collect() };
                    note(n, *time, &seen)
                })
                .collect();
            let mut turned = notes.clone();
            turned.rotate_left(rotation.index(notes.len()));
            let (order, again) = (Order::new(&notes), Order::new(&turned));
            prop_assert!(order.notes.iter().map(|n| n.id).eq(again.notes.iter().map(|n| n.id)));
            for later in 0..notes.len() {
                for earlier in 0..notes.len() {
                    let (l, e) = (order.place(&id(later)).unwrap(), order.place(&id(earlier)).unwrap());
                    prop_assert_eq!(order.note_has_seen(l, e), plainly(&notes, later, earlier), "{} {}", later, earlier);
                }
            }
        }
    }

    #[test]
    fn a_circle_is_broken_at_its_first_note() {
        let notes = [note(0, 5, &[2]), note(1, 1, &[0]), note(2, 3, &[1]), note(3, 0, &[2])];
        let order = Order::new(&notes);
        assert_eq!(order.notes.iter().map(|n| n.id).collect::<Vec<_>>(), [id(3), id(1), id(2), id(0)]);
        assert_eq!(order.heads(), [id(0), id(3)].into());
    }

    #[test]
    fn a_long_line_is_asked_quickly() {
        let mut notes: Vec<StoredNote> = Vec::new();
        for n in 0..100_000u32 {
            let name = |n: u32| NoteId::from_bytes(std::array::from_fn(|i| n.to_le_bytes().get(i).copied().unwrap_or(0)));
            let mut next = note(0, i64::from(n), &[]);
            next.id = name(n);
            next.note.seen = n.checked_sub(1).map(name).into_iter().collect();
            notes.push(next);
        }
        let order = Order::new(&notes);
        assert!((1..100_000).all(|later| order.note_has_seen(later, later / 2)));
    }
}
