//! Which chunks of a snapshot are stored once more, since they lie scattered over blobs that hold mostly what others asked for (`spec/CHAINS.md`,
//! section 6). Pure: it sees lengths.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};

/// What is stored once more for each byte that a restore is spared is compared as whole numbers of this.
const SCALE: u64 = 1 << 20;
/// Blobs that rest on one another are stored once more together as far as they are no more than this.
const MOST_TOGETHER: usize = 256;

/// A blob that a restore of the snapshot reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NeededBlob {
    /// Its stored bytes.
    pub stored: u64,
    /// Stored bytes that what the snapshot asks for of it would take by itself; 0 where it is needed as a base alone.
    pub alone: u64,
    /// The blobs that it is coded against, each once, by their places in the list.
    pub below: Vec<usize>,
}

/// What is to be stored once more.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Gathering {
    /// Blobs of which all that the snapshot asks for is.
    pub blobs: Vec<usize>,
    /// Stored bytes that a restore reads afterwards.
    pub reads: u64,
    /// Stored bytes that this takes.
    pub takes: u64,
}

/// What is needed, while that becomes less.
struct Reading<'b> {
    blobs: &'b [NeededBlob],
    /// The blobs that are coded against each.
    above: Vec<Vec<usize>>,
    /// How many of these are read.
    users: Vec<u32>,
    is_read: Vec<bool>,
}

/// What comes of storing once more what is asked for of a blob, and of all that rests on it.
struct Offer {
    /// The blobs that are not read any more.
    spared: Vec<usize>,
    /// Their stored bytes.
    spares: u64,
    /// Stored bytes that it takes.
    takes: u64,
}

impl Offer {
    /// What is stored for each byte that is spared; `None` where it would not pay.
    fn price(&self) -> Option<u64> {
        (self.takes < self.spares).then(|| self.takes.saturating_mul(SCALE) / self.spares)
    }
}

impl<'b> Reading<'b> {
    fn new(blobs: &'b [NeededBlob]) -> Self {
        let (mut above, mut users) = (vec![Vec::new(); blobs.len()], vec![0; blobs.len()]);
        for (number, blob) in blobs.iter().enumerate() {
            for below in &blob.below {
                above[*below].push(number);
                users[*below] += 1;
            }
        }
        Self { blobs, above, users, is_read: vec![true; blobs.len()] }
    }

    fn offer(&self, blob: usize) -> Option<Offer> {
        let (mut spared, mut met, mut next) = (vec![blob], HashSet::from([blob]), 0);
        while let Some(at) = spared.get(next).copied() {
            next += 1;
            for above in self.above[at].iter().filter(|above| self.is_read[**above]) {
                if met.insert(*above) {
                    spared.push(*above);
                }
                if spared.len() > MOST_TOGETHER {
                    return None;
                }
            }
        }
        let takes = spared.iter().map(|at| self.blobs[*at].alone).sum();
        // What nothing else rests on, and nothing is asked for of, goes with them.
        let (mut less, mut next) = (HashMap::new(), 0);
        while let Some(at) = spared.get(next).copied() {
            next += 1;
            for below in self.blobs[at].below.iter().filter(|below| !met.contains(below)).copied().collect::<Vec<_>>() {
                let gone: &mut u32 = less.entry(below).or_default();
                *gone += 1;
                if *gone == self.users[below] && self.blobs[below].alone == 0 {
                    let _ = met.insert(below);
                    spared.push(below);
                }
            }
        }
        let spares = spared.iter().map(|at| self.blobs[*at].stored).sum();
        Some(Offer { spared, spares, takes })
    }

    fn spare(&mut self, offer: &Offer) {
        for at in &offer.spared {
            self.is_read[*at] = false;
            self.blobs[*at].below.iter().for_each(|below| self.users[*below] -= 1);
        }
    }
}

/// What to store once more, in at most `room` stored bytes, so that a restore, which needs these `blobs`, reads at most `most`, or as little as can be:
/// what takes least for what it spares.
pub fn gather(blobs: &[NeededBlob], most: u64, room: u64) -> Gathering {
    let mut reading = Reading::new(blobs);
    let mut gathering = Gathering { reads: blobs.iter().map(|blob| blob.stored).sum(), ..Gathering::default() };
    let mut has_begun = true;
    // Offers become better, too, by what is spared meanwhile, and are looked at again when all others were taken.
    while gathering.reads > most && std::mem::take(&mut has_begun) {
        let mut open: BinaryHeap<Reverse<(u64, usize)>> = BinaryHeap::new();
        for blob in (0..blobs.len()).filter(|blob| reading.is_read[*blob]) {
            open.extend(reading.offer(blob).and_then(|offer| Some(Reverse((offer.price()?, blob)))));
        }
        while gathering.reads > most {
            let Some(Reverse((price, blob))) = open.pop() else { break };
            let Some(offer) = reading.offer(blob).filter(|_| reading.is_read[blob]) else { continue };
            let Some(now) = offer.price().filter(|_| gathering.takes + offer.takes <= room) else { continue };
            if now > price {
                open.push(Reverse((now, blob)));
                continue;
            }
            reading.spare(&offer);
            gathering.reads = gathering.reads - offer.spares + offer.takes;
            gathering.takes += offer.takes;
            gathering.blobs.extend(offer.spared.into_iter().filter(|at| blobs[*at].alone > 0));
            has_begun = true;
        }
    }
    gathering
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blob(stored: u64, alone: u64, below: &[usize]) -> NeededBlob {
        NeededBlob { stored, alone, below: below.to_vec() }
    }

    #[test]
    fn what_is_used_least_goes_first_and_no_more_than_must() {
        let blobs = [blob(100, 90, &[]), blob(100, 10, &[]), blob(100, 30, &[]), blob(100, 5, &[])];
        assert_eq!(gather(&blobs, 400, u64::MAX), Gathering { blobs: vec![], reads: 400, takes: 0 });
        assert_eq!(gather(&blobs, 399, u64::MAX), Gathering { blobs: vec![3], reads: 305, takes: 5 });
        assert_eq!(gather(&blobs, 230, u64::MAX), Gathering { blobs: vec![3, 1], reads: 215, takes: 15 });
        assert_eq!(gather(&blobs, 0, u64::MAX).reads, 90 + 10 + 30 + 5, "as little as can be");
        assert_eq!(gather(&blobs, 0, 40), Gathering { blobs: vec![3, 1], reads: 215, takes: 15 }, "in this room");
    }

    #[test]
    fn what_several_rest_on_goes_with_the_last_of_them() {
        // Two differences upon one old blob, of which nothing is asked for.
        let blobs = [blob(100, 0, &[]), blob(5, 30, &[0]), blob(5, 20, &[0]), blob(100, 100, &[])];
        assert_eq!(gather(&blobs, 0, u64::MAX), Gathering { blobs: vec![1, 2], reads: 150, takes: 50 });
        assert_eq!(gather(&blobs[..2], 0, u64::MAX), Gathering { blobs: vec![1], reads: 30, takes: 30 });
        // They take more by themselves than all that is read for them.
        let blobs = [blob(100, 0, &[]), blob(5, 60, &[0]), blob(5, 60, &[0])];
        assert_eq!(gather(&blobs, 0, u64::MAX), Gathering { blobs: vec![], reads: 110, takes: 0 });
    }

    #[test]
    fn what_rests_on_something_that_is_hardly_used_goes_with_it() {
        let blobs = [blob(100, 10, &[]), blob(30, 20, &[0]), blob(300, 300, &[])];
        assert_eq!(gather(&blobs, 425, u64::MAX), Gathering { blobs: vec![0, 1], reads: 330, takes: 30 });
        // By itself the difference would be cheaper as it is.
        let blobs = [blob(100, 10, &[]), blob(5, 20, &[0]), blob(300, 300, &[])];
        assert_eq!(gather(&blobs, 0, u64::MAX), Gathering { blobs: vec![0, 1], reads: 330, takes: 30 });
        // One upon the other, and what they rest on.
        let blobs = [blob(100, 0, &[]), blob(30, 10, &[0]), blob(30, 5, &[1]), blob(30, 29, &[1])];
        assert_eq!(gather(&blobs, 0, u64::MAX), Gathering { blobs: vec![2, 1, 3], reads: 44, takes: 44 });
        assert_eq!(gather(&blobs, 170, u64::MAX), Gathering { blobs: vec![2], reads: 165, takes: 5 });
    }
}
