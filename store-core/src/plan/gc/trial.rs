//! What kept snapshots take beyond what they would if only they had been pushed, as far as a sample tells, and of which it pays to code their
//! chunks anew (`spec/CHAINS.md`, section 4).

use std::collections::{BTreeMap, BTreeSet};

/// Of bytes that coding anew writes, at least one in so many must be given back.
pub(super) const WORTH: u64 = 32;
/// A sample of a part may say too little: by one part in so many, which counts as given back in doubt.
const DOUBT: u64 = 4;
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
    /// Stored bytes of supports that it rests on, something that no snapshot asks for, and that no chunk before it does.
    pub supports: u64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    plain: u64,
    now: u64,
    alone: u64,
    changed: u64,
    supports: u64,
}

/// All that is needed of one kind of data.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Whole {
    /// Plain bytes that snapshots ask for.
    pub plain: u64,
    /// Stored bytes that these take.
    pub stored: u64,
    /// Stored bytes of supports.
    pub supports: u64,
}

/// What a sample takes, by strand, and by the snapshot and the file in which it came.
#[derive(Debug, Default)]
pub struct Sample(BTreeMap<(Strand, u32, u64), Sums>);

/// What coding a strand anew is estimated to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excess {
    /// Which strand.
    pub strand: Strand,
    /// Files of snapshots, and whether they would be coded otherwise.
    files: BTreeMap<(u32, u64), bool>,
    /// Snapshots of which what is in no file of the sample is likely to be.
    others: BTreeSet<u32>,
    /// Stored bytes that this gives back, in doubt too many.
    pub gain: u64,
    /// Stored bytes that it writes.
    pub comes: u64,
}

impl Excess {
    /// Whether it gives back enough for what it writes.
    pub fn pays(&self) -> bool {
        self.gain > 0 && self.files.values().any(|is_changed| *is_changed) && self.gain.saturating_mul(WORTH) >= self.comes
    }

    /// Whether what a snapshot brought with a file is coded anew.
    pub fn takes(&self, snapshot: u32, file: u64) -> bool {
        self.files.get(&(snapshot, file)).copied().unwrap_or_else(|| self.others.contains(&snapshot))
    }
}

impl Sums {
    fn add(&mut self, other: Self) {
        self.plain += other.plain;
        self.now += other.now;
        self.alone += other.alone;
        self.changed += other.changed;
        self.supports += other.supports;
    }

    /// What there is of it, with all that it rests on.
    fn takes(&self) -> u64 {
        self.now + self.supports
    }

    fn is_changed(&self) -> bool {
        self.changed > 0 && self.changed * CHANGED >= self.plain
    }
}

impl Sample {
    /// Adds a chunk that the snapshot with this number brought, with the file that has this one.
    pub fn add(&mut self, strand: Strand, snapshot: u32, file: u64, chunk: Sampled) {
        let Sampled { plain, now, alone, is_changed, supports } = chunk;
        let changed = if is_changed { plain } else { 0 };
        self.0.entry((strand, snapshot, file)).or_default().add(Sums { plain, now, alone, changed, supports });
    }

    /// What coding each strand anew would do to all of it, where `whole` of a kind says how much there is; what gives back most for what it writes
    /// comes first. What the sample takes with its supports stands for what all take with theirs: places that are alike in length differ in what they
    /// take, and what they would take differs likewise.
    pub fn excess(&self, whole: impl Fn(bool) -> Whole) -> Vec<Excess> {
        let mut kinds = [Sums::default(); 2];
        let mut strands: BTreeMap<Strand, (Sums, BTreeMap<u32, Sums>, Excess)> = BTreeMap::new();
        for ((strand, snapshot, file), sums) in &self.0 {
            let none = Excess { strand: *strand, files: BTreeMap::new(), others: BTreeSet::new(), gain: 0, comes: 0 };
            let (all, snapshots, excess) = strands.entry(*strand).or_insert_with(|| (Sums::default(), BTreeMap::new(), none));
            for all in [all, &mut kinds[usize::from(strand.numbers)], snapshots.entry(*snapshot).or_default()] {
                all.add(*sums);
            }
            excess.files.insert((*snapshot, *file), sums.is_changed());
            excess.comes += if sums.is_changed() { sums.alone } else { 0 };
        }
        let mut found: Vec<Excess> = strands
            .into_iter()
            .map(|(strand, (sums, snapshots, excess))| {
                let (kind, whole) = (kinds[usize::from(strand.numbers)], whole(strand.numbers));
                let all = |bytes: u64| scaled(bytes, whole.stored + whole.supports, kind.takes());
                let others = snapshots.into_iter().filter(|(_, sums)| sums.is_changed()).map(|(snapshot, _)| snapshot).collect();
                let gain = all(sums.takes()).saturating_sub(all(sums.alone));
                let doubt = if kind.plain < whole.plain { gain / DOUBT } else { 0 };
                Excess { others, gain: gain + doubt, comes: all(excess.comes), ..excess }
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
        Sampled { plain: 1000, now, alone, is_changed: now != alone, supports: 0 }
    }

    fn of(excess: &[Excess]) -> Vec<(Strand, u64, u64)> {
        excess.iter().map(|excess| (excess.strand, excess.gain, excess.comes)).collect()
    }

    #[test]
    fn what_would_be_coded_otherwise_counts_for_all_that_is_like_it() {
        let mut sample = Sample::default();
        sample.add(NUMBERS, 0, 7, chunk(600, 600));
        sample.add(NUMBERS, 1, 7, chunk(600, 200));
        sample.add(NUMBERS, 2, 7, Sampled { is_changed: true, ..chunk(200, 250) });
        sample.add(PLAIN, 2, 8, chunk(100, 100));
        // Ten times as many numbers as were sampled.
        let excess = sample.excess(|numbers| Whole {
            plain: if numbers { 30_000 } else { 1000 },
            stored: if numbers { 14_000 } else { 100 },
            supports: 0,
        });
        assert_eq!(of(&excess), [(NUMBERS, 3500 + 875, 4500), (PLAIN, 0, 0)]);
        assert!(excess[0].pays() && !excess[1].pays());
        // As are files that the sample does not have.
        let takes = |snapshot, file| excess[0].takes(snapshot, file);
        assert!(!takes(0, 7) && takes(1, 7) && takes(2, 7) && !takes(0, 9) && takes(1, 9) && !takes(3, 7));
    }

    #[test]
    fn supports_go_with_what_rests_on_them() {
        let (mut sample, other) = (Sample::default(), Strand { line: 1, ..NUMBERS });
        sample.add(NUMBERS, 1, 7, Sampled { is_changed: true, supports: 50, ..chunk(100, 140) });
        sample.add(other, 2, 7, Sampled { is_changed: true, ..chunk(100, 100) });
        // All was sampled, and the sample says half of what there is.
        let excess = sample.excess(|_| Whole { plain: 2000, stored: 400, supports: 100 });
        assert_eq!(of(&excess), [(NUMBERS, 20, 280), (other, 0, 200)]);
    }

    #[test]
    fn what_gives_back_little_stays_as_it_is() {
        let mut sample = Sample::default();
        sample.add(NUMBERS, 1, 7, chunk(1000, 980));
        assert!(!sample.excess(|_| Whole { stored: 1000, ..Whole::default() })[0].pays());
        sample.add(NUMBERS, 2, 7, chunk(1000, 950));
        assert!(sample.excess(|_| Whole { stored: 2000, ..Whole::default() })[0].pays());
        // One chunk among many is none that a file is coded anew for, and another file stands for itself.
        (0..8).for_each(|_| sample.add(NUMBERS, 2, 7, chunk(900, 900)));
        sample.add(NUMBERS, 2, 8, chunk(900, 100));
        let excess = sample.excess(|_| Whole { stored: 10_100, ..Whole::default() });
        assert!(excess[0].takes(1, 7) && !excess[0].takes(2, 7) && excess[0].takes(2, 8));
    }
}
