//! What a codec would cost, from a sample: a caller chooses by it before it codes anything.

use super::{Element, float_diff, planes};

/// Bytes in each of the pieces that are sampled.
const PIECE: usize = 8 << 10;
/// Pieces of a sample.
const PIECES: usize = 4;

/// Estimated costs of a segment, in bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Estimate {
    /// By [`planes::encode`].
    pub planes: u64,
    /// By [`float_diff::encode`], where there is a base of the same length.
    pub difference: Option<u64>,
}

/// Estimates what `plain` would cost, from at most 32 KiB of it spread evenly. A base of another length is none.
///
/// The sample is coded as it would be in the whole, but pays for its tables in proportion.
pub fn estimate(element: Element, plain: &[u8], base: Option<&[u8]>) -> Estimate {
    let base = base.filter(|base| base.len() == plain.len());
    if plain.len() <= PIECE * PIECES * 2 {
        return Estimate {
            planes: planes::encode(element, plain).len() as u64 * 8,
            difference: base.map(|base| float_diff::encode(element, plain, base).len() as u64 * 8),
        };
    }
    let sample = gather(element, plain);
    let scale = |bytes: usize| bytes as u64 * 8 * plain.len() as u64 / sample.len().max(1) as u64;
    Estimate {
        planes: scale(planes::encode(element, &sample).len()),
        difference: base.map(|base| match base == plain {
            true => 8,
            false => scale(float_diff::encode(element, &sample, &gather(element, base)).len()),
        }),
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
    use super::super::testing::weights;
    use super::*;

    #[test]
    fn an_estimate_is_within_a_tenth() {
        for element in [Element::F32, Element::Bf16] {
            let (plain, base) = weights(element, 1 << 18, 4);
            let estimate = estimate(element, &plain, Some(&base));
            let near = |bits: u64, bytes: usize| (bits as f64 / (bytes as f64 * 8.0) - 1.0).abs() < 0.1;
            assert!(near(estimate.planes, planes::encode(element, &plain).len()));
            assert!(near(estimate.difference.expect("there is a base"), float_diff::encode(element, &plain, &base).len()));
        }
    }

    #[test]
    fn any_length_is_estimated() {
        for len in [0, 1, 33, 70_001] {
            let plain = vec![3; len];
            assert!(estimate(Element::F64, &plain, Some(&[1, 2])).difference.is_none());
            assert!(estimate(Element::F64, &plain, Some(&plain)).difference.is_some());
        }
    }
}
