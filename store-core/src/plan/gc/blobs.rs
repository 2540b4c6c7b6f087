//! Sets of blobs.

use std::collections::BTreeMap;

/// A set of blobs by pack number and ordinal, a bit for each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BlobSet(BTreeMap<u32, Vec<u64>>);

impl BlobSet {
    /// Adds a blob; `true` if it was not there.
    pub fn insert(&mut self, pack: u32, ordinal: u32) -> bool {
        let words = self.0.entry(pack).or_default();
        let (word, bit) = (ordinal as usize / 64, 1 << (ordinal % 64));
        if words.len() <= word {
            words.resize(word + 1, 0);
        }
        let is_new = words[word] & bit == 0;
        words[word] |= bit;
        is_new
    }

    /// Takes a blob out.
    pub fn remove(&mut self, pack: u32, ordinal: u32) {
        let word = self.0.get_mut(&pack).and_then(|words| words.get_mut(ordinal as usize / 64));
        if let Some(word) = word {
            *word &= !(1 << (ordinal % 64));
        }
    }

    /// Whether it holds a blob.
    pub fn contains(&self, pack: u32, ordinal: u32) -> bool {
        self.0.get(&pack).and_then(|words| words.get(ordinal as usize / 64)).is_some_and(|word| word & 1 << (ordinal % 64) != 0)
    }

    /// Whether it holds any blob of a pack.
    pub fn reaches(&self, pack: u32) -> bool {
        self.0.get(&pack).is_some_and(|words| words.iter().any(|word| *word != 0))
    }

    /// How many there are.
    pub fn len(&self) -> u64 {
        self.0.values().flatten().map(|word| u64::from(word.count_ones())).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.values().flatten().all(|word| *word == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_added_is_there_until_it_is_taken_out() {
        let mut set = BlobSet::default();
        assert!(set.is_empty() && set.insert(3, 64) && !set.insert(3, 64) && set.insert(3, 1));
        assert_eq!((set.len(), set.contains(3, 64), set.contains(3, 0), set.contains(2, 64)), (2, true, false, false));
        set.remove(3, 64);
        set.remove(4, 700);
        assert!(!set.contains(3, 64) && set.reaches(3));
        set.remove(3, 1);
        assert!(set.is_empty() && !set.reaches(3));
    }
}
