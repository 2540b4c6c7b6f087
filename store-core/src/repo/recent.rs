//! Bytes that are kept for whoever asks for them next, within a budget: what was not asked for the longest goes first.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::sync::Arc;

/// Byte strings by their keys.
#[derive(Debug)]
pub(super) struct Recent<K> {
    budget: usize,
    bytes: usize,
    clock: u64,
    entries: HashMap<K, (Arc<Vec<u8>>, u64)>,
    /// Keys by when they were asked for; each entry is here once.
    ages: BTreeMap<u64, K>,
}

impl<K: Copy + Eq + Hash> Recent<K> {
    /// Keeps at most `budget` bytes.
    pub(super) fn new(budget: usize) -> Self {
        Self { budget, bytes: 0, clock: 0, entries: HashMap::new(), ages: BTreeMap::new() }
    }

    /// Keeps at most so many bytes from here on; what is beyond that goes.
    pub(super) fn set_budget(&mut self, budget: usize) {
        self.budget = budget;
        self.shrink();
    }

    /// Drops everything.
    pub(super) fn clear(&mut self) {
        (self.bytes, self.entries, self.ages) = (0, HashMap::new(), BTreeMap::new());
    }

    /// What is kept under a key.
    pub(super) fn get(&mut self, key: &K) -> Option<Arc<Vec<u8>>> {
        let (bytes, age) = self.entries.get_mut(key)?;
        self.ages.remove(age);
        self.clock += 1;
        *age = self.clock;
        self.ages.insert(self.clock, *key);
        Some(Arc::clone(bytes))
    }

    /// Whether so many bytes are within the budget.
    pub(super) fn takes(&self, len: usize) -> bool {
        len <= self.budget
    }

    /// Keeps bytes, unless they alone are beyond the budget.
    pub(super) fn keep(&mut self, key: K, bytes: &Arc<Vec<u8>>) {
        if !self.takes(bytes.len()) {
            return;
        }
        self.clock += 1;
        self.bytes += bytes.len();
        if let Some((old, age)) = self.entries.insert(key, (Arc::clone(bytes), self.clock)) {
            self.bytes -= old.len();
            self.ages.remove(&age);
        }
        self.ages.insert(self.clock, key);
        self.shrink();
    }

    /// Drops what is kept under a key.
    pub(super) fn forget(&mut self, key: &K) {
        if let Some((old, age)) = self.entries.remove(key) {
            self.bytes -= old.len();
            self.ages.remove(&age);
        }
    }

    fn shrink(&mut self) {
        while self.bytes > self.budget {
            let Some((_, oldest)) = self.ages.pop_first() else { break };
            self.bytes -= self.entries.remove(&oldest).map_or(0, |(bytes, _)| bytes.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_asked_for_the_longest_goes_first() {
        let mut recent = Recent::new(25);
        let of = |len: usize| Arc::new(vec![0; len]);
        (1..=2).for_each(|key| recent.keep(key, &of(10)));
        assert!(recent.get(&1).is_some());
        recent.keep(3, &of(10));
        assert_eq!([1, 2, 3].map(|key| recent.get(&key).is_some()), [true, false, true]);
        // The same key again counts once, and what is larger than all is not kept.
        recent.keep(3, &of(15));
        recent.keep(4, &of(26));
        assert_eq!([1, 3, 4].map(|key| recent.get(&key).map(|bytes| bytes.len())), [Some(10), Some(15), None]);
        recent.set_budget(15);
        assert_eq!([1, 3].map(|key| recent.get(&key).is_some()), [false, true]);
        recent.set_budget(0);
        assert!(recent.get(&3).is_none() && recent.bytes == 0 && recent.ages.is_empty());
    }
}
