//! What a codec would cost, from a sample: a caller chooses by it before it codes anything.

use super::{Element, float_diff, planes};

/// Bytes in each of the pieces that are sampled.
const PIECE: usize = 8 << 10;
/// Pieces of a sample.
const PIECES: usize = 4;
/// Numbers that are looked at for what others tell of them: four times the longest rows that are looked for.
const ROWS: usize = 4 * planes::LONGEST_ROW;

/// Estimated costs of a segment, in bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Estimate {
    /// By [`planes::encode`].
    pub planes: u64,
    /// By [`float_diff::encode`], where there is a base of the same length.
    pub difference: Option<u64>,
    /// By [`float_diff::encode_trend`], where there is an older base of the same length, too.
    pub trend: Option<u64>,
}

impl Estimate {
    /// Whether an older base saves anything of what the base alone leaves.
    pub fn goes_on(&self) -> bool {
        matches!((self.trend, self.difference), (Some(trend), Some(difference)) if trend < difference)
    }
}

/// Estimates what `plain` would cost, from at most 32 KiB of it spread evenly. A base of another length is none. Where there is one, rows are looked for in
/// the middle of `plain` as well: by themselves, numbers are compared with what zstd makes of them alone, which is never near.
///
/// The sample is coded as it would be in the whole, but pays for its tables in proportion.
pub fn estimate(element: Element, plain: &[u8], base: Option<&[u8]>, older: Option<&[u8]>) -> Estimate {
    let base = base.filter(|base| base.len() == plain.len());
    let older = older.filter(|older| older.len() == plain.len());
    if plain.len() <= PIECE * PIECES * 2 {
        return of_sample(element, plain, base, older, |bytes| bytes as u64 * 8);
    }
    let sample = gather(element, plain);
    let scaled = |bytes: usize, sample: &[u8]| bytes as u64 * 8 * plain.len() as u64 / sample.len().max(1) as u64;
    let rows = base.and_then(|_| rows_of(element, plain));
    let [base, older] = [base, older].map(|base| base.map(|base| gather(element, base)));
    let estimate = of_sample(element, &sample, base.as_deref(), older.as_deref(), |bytes| scaled(bytes, &sample));
    let in_rows = rows.map(|rows| scaled(planes::encode(element, rows).len(), rows));
    Estimate { planes: in_rows.unwrap_or(estimate.planes), ..estimate }
}

/// The middle of `plain`, if it is worth more than a sample: numbers that others tell of, which pieces do not show.
fn rows_of(element: Element, plain: &[u8]) -> Option<&[u8]> {
    let len = (ROWS * element.size()).min(plain.len() / element.size() * element.size());
    let from = (plain.len() - len) / 2 / element.size() * element.size();
    let middle = &plain[from..from + len];
    planes::in_rows(element, middle).then_some(middle)
}

fn of_sample(element: Element, plain: &[u8], base: Option<&[u8]>, older: Option<&[u8]>, bits: impl Fn(usize) -> u64) -> Estimate {
    Estimate {
        planes: bits(planes::encode(element, plain).len()),
        difference: base.map(|base| bits(float_diff::encode(element, plain, base).len())),
        trend: base.zip(older).map(|(base, older)| bits(float_diff::encode_trend(element, plain, base, older).len())),
    }
}

fn gather(element: Element, plain: &[u8]) -> Vec<u8> {
    let size = element.size();
    let piece = PIECE / size * size;
    let step = (plain.len() - piece) / (PIECES - 1) / size * size;
    let mut sample = Vec::with_capacity(piece * PIECES);
    for i in 0..PIECES {
        sample.extend_from_slice(&plain[i * step..][..piece]);
    }
    sample
}

#[cfg(test)]
mod tests {
    use super::super::testing::{moments, run, weights};
    use super::*;

    #[test]
    fn an_estimate_is_within_a_tenth() {
        for element in [Element::F32, Element::Bf16] {
            let (plain, base) = weights(element, 1 << 18, 4);
            let estimate = estimate(element, &plain, Some(&base), None);
            let near = |bits: u64, bytes: usize| (bits as f64 / (bytes as f64 * 8.0) - 1.0).abs() < 0.1;
            assert!(near(estimate.planes, planes::encode(element, &plain).len()));
            assert!(near(estimate.difference.expect("there is a base"), float_diff::encode(element, &plain, &base).len()));
            assert!(estimate.trend.is_none());
        }
    }

    #[test]
    fn an_older_base_is_taken_where_elements_go_on_as_they_did() {
        let (older, base, plain) = run(Element::Bf16, 1 << 18, 4);
        let estimate = estimate(Element::Bf16, &plain, Some(&base), Some(&older));
        assert!(estimate.goes_on());
        let bits = float_diff::encode_trend(Element::Bf16, &plain, &base, &older).len() as f64 * 8.0;
        assert!((estimate.trend.expect("there are two bases") as f64 / bits - 1.0).abs() < 0.1);
        let (plain, base) = weights(Element::Bf16, 1 << 18, 4);
        let (other, _) = weights(Element::Bf16, 1 << 18, 5);
        assert!(!super::estimate(Element::Bf16, &plain, Some(&base), Some(&other)).goes_on());
    }

    #[test]
    fn what_rows_tell_is_estimated_beside_a_base() {
        let plain = moments(300, 896, 6);
        let coded = planes::encode(Element::F32, &plain).len() as f64 * 8.0;
        let planes = |base| estimate(Element::F32, &plain, base, None).planes as f64 / coded;
        let (beside, alone) = (planes(Some(&plain)), planes(None));
        assert!((beside - 1.0).abs() < 0.015 && alone > 1.02, "{beside} and {alone}");
    }

    #[test]
    fn any_length_is_estimated() {
        for len in [0, 1, 33, 70_001] {
            let plain = vec![3; len];
            assert!(estimate(Element::F64, &plain, Some(&[1, 2]), None).difference.is_none());
            assert!(estimate(Element::F64, &plain, Some(&plain), None).difference.is_some());
        }
    }
}
