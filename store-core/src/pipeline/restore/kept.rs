//! Decoded blobs that others are coded against, kept while one of those is still to come and the budget holds them.
//!
//! Of several workers that need a blob one decodes it and the others wait for that one. They cannot wait for each other in a circle: a
//! worker waits only for a blob of less depth than the one that it decodes.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::blob::Content;

/// The blobs of one plan, by number.
pub(super) struct KeptBlobs {
    budget: usize,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    blobs: Vec<Slot>,
    /// Blobs that are kept, the one that was used longest ago first.
    ages: BTreeMap<u64, u32>,
    clock: u64,
    held: Held,
}

/// Bytes that kept blobs hold on to. What several are made of counts once.
#[derive(Default)]
struct Held {
    bytes: usize,
    /// How many of them hold a byte string, by its address.
    users: HashMap<usize, u32>,
}

struct Slot {
    /// Blobs that are coded against it and still to come.
    users: u32,
    now: Now,
    /// Whether it has been somebody's turn already.
    begun: bool,
}

enum Now {
    Absent,
    /// Somebody decodes it.
    Coming,
    Kept(Content, u64),
}

/// What one who needs a blob gets.
pub(super) enum Claim<'k> {
    /// Its bytes.
    Kept(Content),
    /// The duty to decode it.
    Turn(Turn<'k>),
}

/// The duty to decode a blob. Dropped without its bytes, the next who needs it gets a turn.
pub(super) struct Turn<'k> {
    kept: &'k KeptBlobs,
    blob: u32,
    /// Whether nobody had a turn before.
    pub(super) is_first: bool,
}

impl KeptBlobs {
    /// For blobs with so many users each.
    pub(super) fn new(users: impl Iterator<Item = u32>, budget: usize) -> Self {
        let blobs = users.map(|users| Slot { users, now: Now::Absent, begun: false }).collect();
        Self { budget, state: Mutex::new(State { blobs, ages: BTreeMap::new(), clock: 0, held: Held::default() }), changed: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the blob's bytes, or the turn to decode it; waits while another has the turn.
    pub(super) fn claim(&self, blob: u32) -> Claim<'_> {
        let mut state = self.state();
        loop {
            let State { blobs, ages, clock, .. } = &mut *state;
            let slot = &mut blobs[blob as usize];
            match &mut slot.now {
                Now::Kept(bytes, age) => {
                    ages.remove(age);
                    *clock += 1;
                    *age = *clock;
                    ages.insert(*clock, blob);
                    return Claim::Kept(bytes.clone());
                }
                Now::Absent => {
                    slot.now = Now::Coming;
                    let is_first = !std::mem::replace(&mut slot.begun, true);
                    return Claim::Turn(Turn { kept: self, blob, is_first });
                }
                Now::Coming => {}
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Whether anybody had the turn to decode it.
    pub(super) fn has_begun(&self, blob: u32) -> bool {
        self.state().blobs[blob as usize].begun
    }

    /// One that is coded against the blob is done.
    pub(super) fn used(&self, blob: u32) {
        let state = &mut *self.state();
        let slot = &mut state.blobs[blob as usize];
        slot.users = slot.users.saturating_sub(1);
        if slot.users == 0 {
            state.drop_blob(blob);
        }
    }
}

impl Held {
    fn add(&mut self, content: &Content) {
        self.bytes += content.overhead();
        for source in content.sources() {
            let users = self.users.entry(Arc::as_ptr(source).addr()).or_default();
            self.bytes += if *users == 0 { source.len() } else { 0 };
            *users += 1;
        }
    }

    fn remove(&mut self, content: &Content) {
        self.bytes -= content.overhead();
        for source in content.sources() {
            let Entry::Occupied(mut users) = self.users.entry(Arc::as_ptr(source).addr()) else { continue };
            *users.get_mut() -= 1;
            if *users.get() == 0 {
                users.remove();
                self.bytes -= source.len();
            }
        }
    }
}

impl State {
    fn drop_blob(&mut self, blob: u32) {
        let now = &mut self.blobs[blob as usize].now;
        if let Now::Kept(bytes, age) = now {
            self.held.remove(bytes);
            self.ages.remove(age);
            *now = Now::Absent;
        }
    }
}

impl Turn<'_> {
    /// Hands the bytes to those who wait, and keeps them for those to come.
    pub(super) fn done(self, content: &Content) {
        let state = &mut *self.kept.state();
        if state.blobs[self.blob as usize].users == 0 {
            return;
        }
        state.clock += 1;
        let age = state.clock;
        state.blobs[self.blob as usize].now = Now::Kept(content.clone(), age);
        state.ages.insert(age, self.blob);
        state.held.add(content);
        while state.held.bytes > self.kept.budget {
            let Some((_, oldest)) = state.ages.pop_first() else { break };
            state.drop_blob(oldest);
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let now = &mut self.kept.state().blobs[self.blob as usize].now;
        if matches!(now, Now::Coming) {
            *now = Now::Absent;
        }
        self.kept.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(kept: &KeptBlobs, blob: u32) -> Turn<'_> {
        match kept.claim(blob) {
            Claim::Turn(turn) => turn,
            Claim::Kept(_) => panic!("blob {blob} is kept"),
        }
    }

    fn is_kept(kept: &KeptBlobs, blob: u32) -> bool {
        matches!(kept.claim(blob), Claim::Kept(_))
    }

    #[test]
    fn a_blob_is_kept_until_its_last_user_is_done() {
        let kept = KeptBlobs::new([2, 0].into_iter(), 100);
        turn(&kept, 0).done(&Content::whole(vec![1; 10]));
        kept.used(0);
        assert!(is_kept(&kept, 0));
        kept.used(0);
        assert!(!turn(&kept, 0).is_first);
        turn(&kept, 1).done(&Content::whole(vec![1; 10]));
        assert!(!is_kept(&kept, 1), "nobody needs it");
    }

    #[test]
    fn beyond_the_budget_the_longest_unused_goes() {
        let kept = KeptBlobs::new([1; 3].into_iter(), 20);
        turn(&kept, 0).done(&Content::whole(vec![1; 10]));
        turn(&kept, 1).done(&Content::whole(vec![1; 10]));
        assert!(is_kept(&kept, 0));
        turn(&kept, 2).done(&Content::whole(vec![1; 10]));
        assert!(is_kept(&kept, 0) && is_kept(&kept, 2) && !is_kept(&kept, 1));
    }

    #[test]
    fn what_several_are_made_of_counts_once_and_until_the_last_goes() {
        let kept = KeptBlobs::new([1; 3].into_iter(), 15);
        let shared = Content::whole(vec![1; 10]);
        turn(&kept, 0).done(&shared);
        turn(&kept, 1).done(&shared);
        assert!(is_kept(&kept, 0) && is_kept(&kept, 1));
        kept.used(0);
        turn(&kept, 2).done(&Content::whole(vec![1; 10]));
        assert!(is_kept(&kept, 2) && !is_kept(&kept, 1), "both are beyond the budget");
    }

    #[test]
    fn who_waits_for_a_blob_gets_it_or_the_turn() {
        let kept = KeptBlobs::new([2].into_iter(), 100);
        std::thread::scope(|scope| {
            let first = turn(&kept, 0);
            let waiting = scope.spawn(|| turn(&kept, 0).done(&Content::whole(vec![1; 10])));
            drop(first);
            waiting.join().unwrap();
        });
        assert!(is_kept(&kept, 0));
    }
}
