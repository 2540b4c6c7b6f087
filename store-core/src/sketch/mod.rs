//! L1: sketches: a few values of a chunk that a similar chunk shares (`spec/FORMAT.md`, section 9). Equal values at one position are a
//! vote; the chunk with most votes is the likely base.
//!
//! Plain chunks: min-hashes over a sample of the values of a rolling hash, after Broder's resemblance and Finesse-like sampling: an edit
//! changes the values around it only. Segments of tensors: hashes of the upper bits of a few elements at fixed places, which training
//! changes last; two of the eight the same for weights in other types, by which an export finds what it was made of.

use crate::codec::{BlockKind, Element, widened};
use crate::crypto::RepoKeys;
use crate::format::pack::Sketch;
use crate::tensor::{Dtype, GgufType};

/// One rolling hash in so many is looked at.
const SAMPLE_BITS: u32 = 6;
/// Parts of a chunk that are gone through at a time.
const RUNS: usize = 4;
/// Elements of a tensor's segment behind one value.
const ELEMENTS: usize = 6;
/// Of the values of a tensor's segment, so many are of its type; those behind them are the same for other types, if the numbers can be converted.
const OF_ONE_TYPE: usize = 6;
/// Chunks shorter than this get no sketch: what a delta could save does not pay for it.
pub const LEAST: usize = 256;
/// A value that means "none"; a real one that is equal becomes its neighbour.
const NONE: u32 = 0;

/// What is kept of the sketch of a segment: an export, of which none or nothing new can be made, is found by its own type alone, lest it hide what it
/// was made of.
pub fn kept(mut sketch: Sketch, dtype: Dtype, is_converted: bool) -> Sketch {
    if dtype.has_kin() && (is_converted || !dtype.is_converted_from()) {
        sketch[OF_ONE_TYPE..].fill(NONE);
    }
    sketch
}

/// Makes the sketches of one repository: its secret tables decide which features count.
#[derive(Clone)]
pub struct Sketcher {
    gear: Vec<u64>,
    pairs: [(u64, u64); 8],
}

impl std::fmt::Debug for Sketcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sketcher(…)")
    }
}

/// Whether a value of the rolling hash is looked at. Its upper bits depend on the last 64 bytes.
#[inline(always)]
fn is_sampled(hash: u64) -> bool {
    hash >> (64 - SAMPLE_BITS) == 0
}

impl Sketcher {
    /// A sketcher with the repository's secrets.
    pub fn new(keys: &RepoKeys) -> Self {
        let words = keys.sketch();
        Self { gear: keys.gear().to_vec(), pairs: std::array::from_fn(|i| (words[2 * i] | 1, words[2 * i + 1])) }
    }

    /// The sketch of a chunk of plain bytes; `None` if it is too short.
    pub fn plain(&self, bytes: &[u8]) -> Option<Sketch> {
        if bytes.len() < LEAST {
            return None;
        }
        let mut least = [u32::MAX; 8];
        let mut look = |hash: u64| {
            if is_sampled(hash) {
                for (value, (factor, addend)) in least.iter_mut().zip(&self.pairs) {
                    *value = (*value).min((hash.wrapping_mul(*factor).wrapping_add(*addend) >> 32) as u32);
                }
            }
        };
        let gear: &[u64; 256] = self.gear[..].try_into().expect("the table has 256 words");
        let roll = |hash: u64, byte: u8| (hash << 1).wrapping_add(gear[usize::from(byte)]);
        // A value waits for the one before it. So four runs are gone through side by side: a hash depends on the last 64 bytes alone.
        let quarter = bytes.len() / RUNS;
        let mut hashes: [u64; RUNS] = std::array::from_fn(|run| {
            let start = run * quarter;
            bytes[start.saturating_sub(u64::BITS as usize)..start].iter().fold(0, |hash, byte| roll(hash, *byte))
        });
        let (runs, rest) = bytes.split_at(quarter * RUNS);
        let runs: [&[u8]; RUNS] = std::array::from_fn(|run| &runs[run * quarter..][..quarter]);
        for i in 0..quarter {
            let mut sampled = false;
            for (hash, run) in hashes.iter_mut().zip(runs) {
                *hash = roll(*hash, run[i]);
                sampled |= is_sampled(*hash);
            }
            if sampled {
                hashes.iter().for_each(|hash| look(*hash));
            }
        }
        let mut hash = hashes[RUNS - 1];
        for byte in rest {
            hash = roll(hash, *byte);
            look(hash);
        }
        // A chunk of one repeated byte has no feature: any other such chunk would vote for it.
        least.iter().any(|value| *value != u32::MAX).then(|| least.map(|value| value.max(NONE + 1)))
    }

    /// The sketch of a segment of a tensor; `None` if it is too short. Its last values are of the numbers alone, and the same whatever type they have.
    pub fn segment(&self, bytes: &[u8], dtype: Dtype) -> Option<Sketch> {
        let element_len = dtype.block_bytes() as usize;
        let count = bytes.len() / element_len;
        if bytes.len() < LEAST || count < ELEMENTS * 8 {
            return None;
        }
        let numbers = Numbers::of(bytes, dtype);
        let count = numbers.as_ref().map_or(count, |numbers| numbers.count);
        let mut varied = false;
        let sketch = std::array::from_fn(|i| {
            let of_any_type = numbers.is_some() && i >= OF_ONE_TYPE;
            let (factor, addend) = self.pairs[i];
            let mut hash = addend ^ if of_any_type { count as u64 } else { (bytes.len() as u64) << 8 ^ element_len as u64 };
            for step in 0..ELEMENTS {
                let place = (((factor.wrapping_mul(step as u64 + 1) >> 32) * count as u64) >> 32) as usize;
                let top = match &numbers {
                    Some(numbers) => numbers.scale(place),
                    None => top_of(&bytes[place * element_len..][..element_len]),
                };
                varied |= top != 0;
                hash = (hash ^ top).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
            }
            ((hash.wrapping_mul(factor) >> 32) as u32).max(NONE + 1)
        });
        varied.then_some(sketch)
    }
}

/// Sign, exponent and the first bits of the mantissa, for the floats in use.
fn top_of(element: &[u8]) -> u64 {
    match element {
        [only] => u64::from(only >> 2),
        [.., below, top] => u64::from(*top) << 1 | u64::from(below >> 7),
        [] => 0,
    }
}

/// The numbers of a segment whose type can be converted to others (`spec/CODECS.md`, section 4.5).
struct Numbers<'b> {
    bytes: &'b [u8],
    kind: Element,
    count: usize,
}

impl<'b> Numbers<'b> {
    fn of(bytes: &'b [u8], dtype: Dtype) -> Option<Self> {
        let (kind, of_each) = match dtype {
            Dtype::F32 => (Element::F32, 1),
            Dtype::F16 => (Element::F16, 1),
            Dtype::BF16 => (Element::Bf16, 1),
            Dtype::GgufBlock(GgufType::Q8_0) => (Element::Block(BlockKind::Q8_0), 32),
            _ => return None,
        };
        Some(Self { bytes, kind, count: bytes.len() / kind.size() * of_each })
    }

    /// Sign and exponent of a number, as those of a binary32. Rounding changes them seldom.
    fn scale(&self, place: usize) -> u64 {
        let bits = match self.kind {
            Element::Block(_) => {
                let block = &self.bytes[place / 32 * 34..][..34];
                let scale = f32::from_bits(widened(Element::F16, &block[..2]));
                (f32::from(block[2 + place % 32] as i8) * scale).to_bits()
            }
            kind => widened(kind, &self.bytes[place * kind.size()..][..kind.size()]),
        };
        u64::from(bits >> 23)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::RepoId;
    use crate::codec::convert;
    use crate::crypto::Secret;

    fn sketcher() -> Sketcher {
        Sketcher::new(&RepoKeys::new(Secret::take(&mut [5; 32]), RepoId::from_bytes([6; 32])))
    }

    fn noise(seed: &str, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        blake3::Hasher::new_derive_key(seed).finalize_xof().fill(&mut bytes);
        bytes
    }

    fn votes(a: &Sketch, b: &Sketch) -> usize {
        a.iter().zip(b).filter(|(a, b)| a == b).count()
    }

    #[test]
    fn a_few_edits_keep_most_votes_and_strangers_share_none() {
        let sketcher = sketcher();
        let old = noise("old", 65_536);
        let mut new = old.clone();
        for at in [1000, 20_000, 50_000] {
            new.splice(at..at + 10, *b"an edit of another length");
        }
        let (a, b) = (sketcher.plain(&old).unwrap(), sketcher.plain(&new).unwrap());
        assert!(votes(&a, &b) >= 6, "{}", votes(&a, &b));
        assert_eq!(votes(&a, &sketcher.plain(&noise("other", 65_536)).unwrap()), 0);
        assert!(sketcher.plain(&[0; 65_536]).is_none() || sketcher.plain(&[0; 65_536]) == sketcher.plain(&[0; 65_536]));
    }

    #[test]
    fn runs_side_by_side_see_what_one_run_sees() {
        let sketcher = sketcher();
        let bytes = noise("runs", 20_000);
        for len in (256..330).chain([4096, 19_999]) {
            let (mut hash, mut least) = (0u64, [u32::MAX; 8]);
            for byte in &bytes[..len] {
                hash = (hash << 1).wrapping_add(sketcher.gear[usize::from(*byte)]);
                for (value, (factor, addend)) in least.iter_mut().zip(&sketcher.pairs).filter(|_| is_sampled(hash)) {
                    *value = (*value).min((hash.wrapping_mul(*factor).wrapping_add(*addend) >> 32) as u32);
                }
            }
            let expected = least.iter().any(|value| *value != u32::MAX).then(|| least.map(|value| value.max(NONE + 1)));
            assert_eq!(sketcher.plain(&bytes[..len]), expected, "{len}");
        }
    }

    #[test]
    fn a_trained_segment_keeps_votes() {
        let sketcher = sketcher();
        let old: Vec<u8> = noise("weights", 100_000)
            .chunks_exact(2)
            .flat_map(|b| (f32::from(b[0]) / 977.0 - f32::from(b[1]) / 1013.0).to_le_bytes())
            .collect();
        let new: Vec<u8> = old.chunks_exact(4).flat_map(|b| (f32::from_le_bytes(b.try_into().unwrap()) * 1.001).to_le_bytes()).collect();
        let (a, b) = (sketcher.segment(&old, Dtype::F32).unwrap(), sketcher.segment(&new, Dtype::F32).unwrap());
        assert!(votes(&a, &b) >= 4, "{}", votes(&a, &b));
        assert!(sketcher.segment(&[0; 4096], Dtype::F32).is_none());
    }

    #[test]
    fn the_same_numbers_in_another_type_share_two_votes() {
        let sketcher = sketcher();
        let wide: Vec<u8> = noise("numbers", 4 * 65_536)
            .chunks_exact(4)
            .flat_map(|b| (f32::from(b[0]) / 977.0 - f32::from(b[1]) / 1013.0 + 1e-3).to_le_bytes())
            .collect();
        let sketch = |to: Element, dtype, len| sketcher.segment(&convert(Element::F32, to, &wide, len).unwrap(), dtype).unwrap();
        let halves = sketch(Element::F16, Dtype::F16, 2 * 65_536);
        let short = sketch(Element::Bf16, Dtype::BF16, 2 * 65_536);
        let of_wide = sketcher.segment(&wide, Dtype::F32).unwrap();
        assert_eq!((&of_wide[OF_ONE_TYPE..], &halves[OF_ONE_TYPE..]), (&short[OF_ONE_TYPE..], &short[OF_ONE_TYPE..]));
        assert_eq!(votes(&of_wide, &short), 2);
        let blocks = sketch(Element::Block(BlockKind::Q8_0), Dtype::GgufBlock(GgufType::Q8_0), 65_536 / 32 * 34);
        assert!(votes(&blocks, &short) >= 1, "quantising moves a few exponents only");
    }
}
