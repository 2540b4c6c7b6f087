//! Which part of the data a measurement codes. Pure.
//!
//! What is left out or taken is always what a push puts into one blob, since the neighbours that a chunk is coded with decide what it takes.
//!
//! Of tensors the groups are known beforehand, as long as all their segments are new: each is taken or left out by the tensor and the place at
//! which it begins, so that each version brings the same ones. The segments of those that are left out are holes and are not read. Groups end
//! with their file here, so that a sample of many files each far shorter than a blob takes a little more than a push does.
//!
//! Plain bytes are all read, cut and looked up, since what follows an insertion has no place by which to choose it; of the blobs made of them
//! the first are coded, all of them, for a *stage* of so many bytes; then one of two for two stages, one of four for four, so that little data
//! is measured whole and much in a time that grows with its logarithm. The last one is coded always: what grows grows at its end, and costs
//! more there than elsewhere. Where each share ends depends on the data alone and not on what chance took.

use std::collections::HashMap;

use crate::blob::group_is_full;
use crate::tensor::{Dtype, Tensor};

/// Shares do not fall below one in two to this.
const MOST_HALVINGS: u32 = 20;
/// A version of no more than so many stages is coded as a whole: the few blobs that a draw would leave out say little of each other.
const FEW_STAGES: u64 = 3;

/// Which part of the data is measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Sample {
    /// The share of the groups of segments of tensors, from 0 to 1.
    pub(crate) segments: f64,
    /// Plain bytes of one version whose blobs are all coded; `None` codes all.
    pub(crate) stage: Option<u64>,
    /// Another one gives another sample.
    pub(crate) seed: u64,
}

/// How a group fares.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Drawn {
    /// Whether it is coded.
    pub(crate) taken: bool,
    /// The probability with which such a group is.
    pub(crate) share: f64,
    /// What was taken or left out together has one number, in all versions where it is of a tensor.
    pub(crate) unit: u64,
}

impl Default for Drawn {
    /// What is coded for certain.
    fn default() -> Self {
        Self { taken: true, share: 1.0, unit: 0 }
    }
}

/// The groups that segments of one file go into, those of each type by themselves.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    open: HashMap<Dtype, Group>,
}

#[derive(Debug, Clone, Copy)]
struct Group {
    drawn: Drawn,
    len: usize,
    items: usize,
}

/// Where in a version's plain bytes a draw is.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Stages {
    version: u64,
    /// Plain bytes that it has, new or not, and those of the groups that came.
    plain: u64,
    seen: u64,
    /// How often the share was halved, and how many groups came since.
    halvings: u32,
    groups: u64,
}

impl Sample {
    /// All of it.
    pub(crate) const ALL: Self = Self { segments: 1.0, stage: None, seed: 0 };

    /// How the segment of `len` bytes fares that lies `at` bytes into `tensor` and follows those asked for before, where a group has `target` bytes.
    pub(crate) fn segment(&self, groups: &mut Groups, target: usize, tensor: &Tensor, at: u64, len: usize) -> Drawn {
        if self.segments >= 1.0 {
            return Drawn::default();
        }
        let group = groups.open.entry(tensor.dtype).or_insert_with(|| Group { drawn: Drawn::default(), len: 0, items: 0 });
        if group.items == 0 || group_is_full(target, group.len, group.items, len) {
            let mut hasher = blake3::Hasher::new();
            hasher.update(&self.seed.to_le_bytes()).update(&at.to_le_bytes()).update(tensor.name.as_bytes());
            let unit = first_eight(&hasher);
            let taken = (unit as f64) < self.segments * 2f64.powi(64);
            *group = Group { drawn: Drawn { taken, share: self.segments, unit }, len: 0, items: 0 };
        }
        group.len += len;
        group.items += 1;
        group.drawn
    }

    /// How the next group of `len` plain bytes fares.
    pub(crate) fn group(&self, stages: &mut Stages, len: u64, is_last: bool) -> Drawn {
        let Some(stage) = self.stage else { return Drawn::default() };
        let halvings = (stages.seen / stage.max(1) + 1).ilog2().min(MOST_HALVINGS);
        if halvings != stages.halvings {
            (stages.halvings, stages.groups) = (halvings, 0);
        }
        let number = stages.groups;
        stages.seen += len;
        stages.groups += 1;
        if is_last || halvings == 0 || stages.plain <= FEW_STAGES * stage {
            return Drawn::default();
        }
        // One of each run of so many, at a random place in it: no pattern of the data can fall in with it.
        let run = 1_u64 << halvings;
        let mut hasher = blake3::Hasher::new();
        for part in [self.seed, stages.version, halvings.into(), number / run] {
            hasher.update(&part.to_le_bytes());
        }
        let taken = first_eight(&hasher) % run == number % run;
        Drawn { taken, share: 1.0 / run as f64, unit: stages.seen }
    }
}

impl Stages {
    /// The beginning of the next version, which has so many plain bytes.
    pub(crate) fn of_next(self, plain: u64) -> Self {
        Self { version: self.version + 1, plain, ..Self::default() }
    }
}

fn first_eight(hasher: &blake3::Hasher) -> u64 {
    let mut bytes = [0; 8];
    hasher.finalize_xof().fill(&mut bytes);
    u64::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn tensor(name: &str, len: u64) -> Tensor {
        Tensor { name: name.into(), dtype: Dtype::BF16, shape: vec![len / 2], offset: 0, len }
    }

    fn units(sample: &Sample, tensors: &[Tensor], step: u64) -> Vec<Drawn> {
        let mut groups = Groups::default();
        let mut found = Vec::new();
        for tensor in tensors {
            for at in (0..tensor.len).step_by(step as usize) {
                found.push(sample.segment(&mut groups, MIB as usize, tensor, at, step.min(tensor.len - at) as usize));
            }
        }
        found
    }

    #[test]
    fn a_sample_takes_its_share_of_tensors_and_the_same_each_time() {
        let sample = Sample { segments: 0.25, ..Sample::ALL };
        let tensors = [tensor("w", 10_000 * MIB)];
        let taken = |sample: &Sample| units(sample, &tensors, MIB).iter().map(|drawn| drawn.taken).collect::<Vec<_>>();
        assert_eq!(taken(&sample), taken(&sample));
        let count = |taken: &[bool]| taken.iter().filter(|taken| **taken).count();
        assert!((2_300..2_700).contains(&count(&taken(&sample))), "{}", count(&taken(&sample)));
        assert_eq!(count(&taken(&Sample::ALL)), 10_000);
        assert_ne!(taken(&sample), taken(&Sample { seed: 1, ..sample }));
        let larger = taken(&Sample { segments: 0.5, ..sample });
        assert!(taken(&sample).iter().zip(&larger).all(|(small, large)| !small || *large), "a larger sample holds the smaller one");
    }

    #[test]
    fn segments_of_one_blob_are_taken_together() {
        let tensors: Vec<_> = (0..100).map(|i| tensor(&format!("t{i}"), if i % 3 == 0 { MIB } else { MIB / 8 })).collect();
        let sample = Sample { segments: 0.5, ..Sample::ALL };
        let drawn = units(&sample, &tensors, MIB / 2);
        let (mut len, mut items) = (0, 0);
        let mut lens = tensors
            .iter()
            .flat_map(|tensor| std::iter::repeat_n((tensor.len as usize).min(MIB as usize / 2), if tensor.len == MIB { 2 } else { 1 }));
        let mut begins = Vec::new();
        for _ in &drawn {
            let next = lens.next().unwrap();
            let full = group_is_full(MIB as usize, len, items, next);
            begins.push(full || items == 0);
            (len, items) = if full { (next, 1) } else { (len + next, items + 1) };
        }
        for (i, pair) in drawn.windows(2).enumerate() {
            assert_eq!(pair[0].unit != pair[1].unit, begins[i + 1], "segment {}", i + 1);
            assert!(pair[0].unit != pair[1].unit || pair[0] == pair[1]);
        }
    }

    #[test]
    fn shares_of_plain_bytes_halve_at_places_that_chance_does_not_move() {
        let shares = |seed: u64| {
            let sample = Sample { segments: 1.0, stage: Some(8 * MIB), seed };
            let mut stages = Stages::default().of_next(1000 * MIB);
            (0..1000).map(|i| sample.group(&mut stages, MIB, i == 999)).collect::<Vec<_>>()
        };
        let of = |drawn: &[Drawn]| drawn.iter().map(|drawn| drawn.share).collect::<Vec<_>>();
        let (one, other) = (shares(1), shares(2));
        assert_eq!(of(&one), of(&other));
        assert!(one.iter().zip(&other).any(|(one, other)| one.taken != other.taken));
        assert!(one[..8].iter().chain(&one[999..]).all(|drawn| *drawn == Drawn::default()));
        for (range, share, taken) in [(8..24, 0.5, 8), (24..56, 0.25, 8), (56..120, 0.125, 8)] {
            assert!(one[range.clone()].iter().all(|drawn| drawn.share == share));
            assert_eq!(one[range].iter().filter(|drawn| drawn.taken).count(), taken);
        }
    }

    #[test]
    fn each_group_has_the_probability_that_is_said() {
        let mut sums = vec![0.0; 100];
        for seed in 0..2000 {
            let sample = Sample { segments: 1.0, stage: Some(8 * MIB), seed };
            let mut stages = Stages::default().of_next(100 * MIB);
            for sum in &mut sums {
                let drawn = sample.group(&mut stages, MIB, false);
                *sum += if drawn.taken { 1.0 / drawn.share } else { 0.0 };
            }
        }
        // Of the rarest, one in eight, 250 are expected, and 15 more or less are one deviation.
        assert!(sums.iter().all(|sum| (sum / 2000.0 - 1.0).abs() < 0.35), "{sums:?}");
    }
}
