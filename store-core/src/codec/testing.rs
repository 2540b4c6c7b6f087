//! Inputs for the tests of codecs.

use proptest::prelude::*;

use super::{BlockKind, Element};

pub(super) fn elements() -> Vec<Element> {
    (0..=255).filter_map(Element::from_code).collect()
}

pub(super) fn any_element() -> impl Strategy<Value = Element> {
    prop_oneof![
        4 => proptest::sample::select(vec![Element::F32, Element::Bf16, Element::F16, Element::F64]),
        2 => proptest::sample::select(elements()),
        1 => Just(Element::Block(BlockKind::Q8_0)),
    ]
}

/// A generator of test data: the same numbers for the same seed.
pub(super) struct Noise(pub(super) u64);

impl Noise {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    /// About normally distributed, of deviation 1.
    pub(super) fn normal(&mut self) -> f64 {
        (0..12).map(|_| (self.next() >> 11) as f64 / (1u64 << 53) as f64).sum::<f64>() - 6.0
    }
}

/// `count` elements that look like weights, and the same after a small step. Blocks and integers get bytes of slow change.
pub(super) fn weights(element: Element, count: usize, seed: u64) -> (Vec<u8>, Vec<u8>) {
    let mut noise = Noise(seed);
    let (mut old, mut new) = (Vec::new(), Vec::new());
    for _ in 0..count {
        let a = noise.normal() * 0.02;
        let b = a + noise.normal() * 1e-4;
        for (value, out) in [(a, &mut old), (b, &mut new)] {
            match element {
                Element::F64 => out.extend_from_slice(&value.to_le_bytes()),
                Element::F32 => out.extend_from_slice(&(value as f32).to_le_bytes()),
                Element::Bf16 => out.extend_from_slice(&(value as f32).to_le_bytes()[2..]),
                _ => {
                    let size = element.size();
                    out.extend((0..size).map(|i| ((value * 3000.0) as i64 >> (i % 3)) as u8));
                }
            }
        }
    }
    (new, old)
}

/// What an optimiser might know of the weights of `rows` times `columns`, as 32-bit floats: each row and each column is of a size.
pub(super) fn moments(rows: usize, columns: usize, seed: u64) -> Vec<u8> {
    let mut noise = Noise(seed);
    let sizes: Vec<f64> = (0..columns).map(|_| noise.normal().exp()).collect();
    let mut bytes = Vec::with_capacity(rows * columns * 4);
    for _ in 0..rows {
        let of_row = noise.normal().exp() * 1e-4;
        bytes.extend(sizes.iter().flat_map(|size| ((size * of_row * noise.normal()) as f32).to_le_bytes()));
    }
    bytes
}

/// Numbers in bfloat16 as binary32, or such as binary64.
pub(super) fn widened_to(wide: Element, narrow: &[u8]) -> Vec<u8> {
    match wide {
        Element::F32 => narrow.as_chunks::<2>().0.iter().flat_map(|&[low, high]| [0, 0, low, high]).collect(),
        _ => narrow.as_chunks::<4>().0.iter().flat_map(|&bytes| f64::from(f32::from_le_bytes(bytes)).to_le_bytes()).collect(),
    }
}

/// Three versions of `count` elements that move on mostly as they did before.
pub(super) fn run(element: Element, count: usize, seed: u64) -> (Vec<u8>, Vec<u8>, Vec<u8>) {
    let (_, older) = weights(element, count, seed);
    let (mut base, mut plain) = (older.clone(), older.clone());
    let mut noise = Noise(seed ^ 1);
    let size = element.size();
    for (base, plain) in base.chunks_exact_mut(size).zip(plain.chunks_exact_mut(size)) {
        // Steps of the lowest byte, from which no carry goes on.
        let step = (noise.normal() * 3.0) as i8;
        let next = (f64::from(step) * 0.7 + noise.normal()) as i8;
        base[0] = base[0].wrapping_add_signed(step);
        plain[0] = base[0].wrapping_add_signed(next);
    }
    (older, base, plain)
}

/// Bit patterns that a float codec might trip over, as bytes.
pub(super) fn odd_floats() -> Vec<u8> {
    let mut bytes = Vec::new();
    for x in [0.0f64, -0.0, 1.0, -1.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, f64::MIN_POSITIVE, 5e-324, f64::MAX] {
        bytes.extend_from_slice(&x.to_le_bytes());
        bytes.extend_from_slice(&(x as f32).to_le_bytes());
        bytes.extend_from_slice(&(x as f32).to_le_bytes()[2..]);
    }
    for x in [0x7ff0_0000_0000_0001u64, 0xfff8_dead_beef_0001, 0x7f80_0001_ff80_ffff, 0x7fff_8000_fc00_7c01, u64::MAX, 1 << 63] {
        bytes.extend_from_slice(&x.to_le_bytes());
    }
    bytes
}

/// Bytes of several characters: noise, zeros, repeats, weights.
pub(super) fn any_bytes(most: usize) -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..most),
        (0..most, any::<u8>()).prop_map(|(len, byte)| vec![byte; len]),
        (0..most, any::<u64>()).prop_map(|(len, seed)| {
            let odd = odd_floats();
            let mut noise = Noise(seed);
            (0..len).map(|i| if noise.next().is_multiple_of(16) { noise.next() as u8 } else { odd[i % odd.len()] }).collect()
        }),
        (0..most / 4, any::<u64>()).prop_map(|(count, seed)| weights(Element::F32, count, seed).0),
        (0..most / 2, any::<u64>()).prop_map(|(count, seed)| weights(Element::Bf16, count, seed).0),
    ]
}
