//! What kept snapshots take beyond what they would if only they had been pushed, as far as a sample tells, and of which it pays to code their
//! chunks anew (`spec/CHAINS.md`, section 4).

use std::collections::{BTreeMap, BTreeSet};

/// Of bytes that coding anew writes, at least one in so many must be given back.
pub(super) const WORTH: u64 = 20;
/// Of the chunks that a snapshot brought, one in so many must be coded otherwise, for all of them to be coded anew.
const CHANGED: u64 = 8;

/// Numbers or plain bytes in snapshots of one line: those of which a push would take one for the parent of the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Strand {
    /// Which line.
    pub line: u32,
    /// Whether these are numbers.
    pub numbers: bool,
}

/// A chunk of the sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sampled {
    /// Its length.
    pub plain: u64,
    /// Stored bytes that it takes.
    pub now: u64,
    /// Stored bytes that it would take.
    pub alone: u64,
    /// Whether it would be coded against something else, or at another depth.
    pub is_changed: bool,
    /// Whether it is coded against a support: something that no snapshot asks for.
    pub rests: bool,
}

#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    plain: u64,
    now: u64,
    alone: u64,
    changed: u64,
    rests: u64,
}

/// All that is needed of one kind of data.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Whole {
    /// Plain bytes that snapshots ask for.
    pub plain: u64,
    /// Stored bytes of supports.
    pub supports: u64,
}

/// What a sample takes, by strand and by the snapshot that brought it.
#[derive(Debug, Default)]
pub struct Sample(BTreeMap<(Strand, u32), Sums>);

/// What coding a strand anew is estimated to do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Excess {
    /// Which strand.
    pub strand: Option<Strand>,
    /// The snapshots that brought what would be coded otherwise.
    pub snapshots: BTreeSet<u32>,
    /// Stored bytes that this gives back.
    pub gain: u64,
    /// Stored bytes that it writes.
    pub comes: u64,
}

impl Excess {
    /// Whether it gives back enough for what it writes.
    pub fn pays(&self) -> bool {
        self.gain > 0 && !self.snapshots.is_empty() && self.gain.saturating_mul(WORTH) >= self.comes
    }
}

impl Sample {
    /// Adds a chunk that the snapshot with this number brought.
    pub fn add(&mut self, strand: Strand, snapshot: u32, chunk: Sampled) {
        let sums = self.0.entry((strand, snapshot)).or_default();
        sums.plain += chunk.plain;
        sums.now += chunk.now;
        sums.alone += chunk.alone;
        sums.changed += if chunk.is_changed { chunk.plain } else { 0 };
        sums.rests += if chunk.rests { chunk.plain } else { 0 };
    }

    /// What coding each strand anew would do to all of it, where `whole` of a kind says how much there is; what gives back most for what it writes
    /// comes first. Supports count for those that rest on them.
    pub fn excess(&self, whole: impl Fn(bool) -> Whole) -> Vec<Excess> {
        let mut strands: BTreeMap<Strand, (Sums, u64, BTreeSet<u32>)> = BTreeMap::new();
        let mut kinds = [Sums::default(); 2];
        for ((strand, snapshot), sums) in &self.0 {
            let (all, comes, snapshots) = strands.entry(*strand).or_default();
            for all in [all, &mut kinds[usize::from(strand.numbers)]] {
                all.plain += sums.plain;
                all.now += sums.now;
                all.alone += sums.alone;
                all.rests += sums.rests;
            }
            if sums.changed > 0 && sums.changed * CHANGED >= sums.plain {
                *comes += sums.alone;
                snapshots.insert(*snapshot);
            }
        }
        let mut found: Vec<Excess> = strands
            .into_iter()
            .map(|(strand, (sums, comes, snapshots))| {
                let (kind, whole) = (kinds[usize::from(strand.numbers)], whole(strand.numbers));
                let supports = scaled(whole.supports, sums.rests, kind.rests);
                let less = scaled(sums.now, whole.plain, kind.plain) + supports;
                let gain = less.saturating_sub(scaled(sums.alone, whole.plain, kind.plain));
                Excess { strand: Some(strand), snapshots, gain, comes: scaled(comes, whole.plain, kind.plain) }
            })
            .collect();
        let order = |a: &Excess, b: &Excess| {
            let share = |of: &Excess, by: &Excess| u128::from(of.gain) * u128::from(by.comes.max(1));
            share(b, a).cmp(&share(a, b)).then(a.strand.cmp(&b.strand))
        };
        found.sort_by(order);
        found
    }
}

/// `bytes * part / of`, and nothing where there is nothing of it.
fn scaled(bytes: u64, part: u64, of: u64) -> u64 {
    if of == 0 { 0 } else { (u128::from(bytes) * u128::from(part) / u128::from(of)) as u64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NUMBERS: Strand = Strand { line: 0, numbers: true };
    const PLAIN: Strand = Strand { line: 0, numbers: false };

    fn chunk(now: u64, alone: u64) -> Sampled {
        Sampled { plain: 1000, now, alone, is_changed: now != alone, rests: false }
    }

    #[test]
    fn what_would_be_coded_otherwise_counts_for_all_that_is_like_it() {
        let mut sample = Sample::default();
        sample.add(NUMBERS, 0, chunk(600, 600));
        sample.add(NUMBERS, 1, chunk(600, 200));
        sample.add(NUMBERS, 2, Sampled { is_changed: true, ..chunk(200, 250) });
        sample.add(PLAIN, 2, chunk(100, 100));
        // Ten times as many numbers as were sampled.
        let excess = sample.excess(|numbers| Whole { plain: if numbers { 30_000 } else { 1000 }, supports: 0 });
        let found = Excess { strand: Some(NUMBERS), snapshots: [1, 2].into(), gain: 3500, comes: 4500 };
        assert_eq!(excess, [found, Excess { strand: Some(PLAIN), ..Excess::default() }]);
        assert!(excess[0].pays() && !excess[1].pays());
    }

    #[test]
    fn supports_go_with_what_rests_on_them() {
        let mut sample = Sample::default();
        sample.add(NUMBERS, 1, Sampled { is_changed: true, rests: true, ..chunk(100, 140) });
        sample.add(Strand { line: 1, ..NUMBERS }, 2, Sampled { is_changed: true, ..chunk(100, 100) });
        let excess = sample.excess(|_| Whole { plain: 2000, supports: 100 });
        assert_eq!(excess.iter().map(|excess| (excess.gain, excess.comes)).collect::<Vec<_>>(), [(60, 140), (0, 100)]);
    }

    #[test]
    fn what_gives_back_little_stays_as_it_is() {
        let mut sample = Sample::default();
        sample.add(NUMBERS, 1, chunk(1000, 960));
        assert!(!sample.excess(|_| Whole { plain: 1000, supports: 0 })[0].pays());
        sample.add(NUMBERS, 2, chunk(1000, 940));
        assert!(sample.excess(|_| Whole { plain: 2000, supports: 0 })[0].pays());
        // One chunk among many is none that a snapshot is coded anew for.
        (0..8).for_each(|_| sample.add(NUMBERS, 2, chunk(900, 900)));
        assert_eq!(sample.excess(|_| Whole { plain: 10_000, supports: 0 })[0].snapshots, [1].into());
    }
}
