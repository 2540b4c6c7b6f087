//! Numbers of one kind as those of another: `spec/CODECS.md`, section 4.5. An export in 16 bits, or in quantised blocks, of weights that the
//! repository holds says little that these do not say.
//!
//! What is converted is a guess of the numbers that are coded, no more: where a program rounded otherwise, the difference says so.

use super::element::{BlockKind, Element};
use super::error::CodecError;

/// Numbers of one block of Q8_0.
const OF_BLOCK: usize = 32;
/// Bits of a binary32 that are not its sign.
const MAGNITUDE: u32 = 0x7fff_ffff;
const INFINITY: u32 = 0x7f80_0000;

/// How many numbers an element stands for, if numbers can be converted to it.
fn numbers_of(element: Element) -> Option<usize> {
    match element {
        Element::F32 | Element::F16 | Element::Bf16 => Some(1),
        Element::Block(BlockKind::Q8_0) => Some(OF_BLOCK),
        _ => None,
    }
}

/// How many bytes of `from` are converted to `len` bytes of `to`; `None` where these cannot be had from those.
pub fn converted_from_len(from: Element, to: Element, len: usize) -> Option<usize> {
    if from == to || matches!(from, Element::Block(_)) || !len.is_multiple_of(to.size()) {
        return None;
    }
    numbers_of(from)?;
    Some(len / to.size() * numbers_of(to)? * from.size())
}

/// The numbers of `base`, which are of the kind `from`, as `len` bytes of the kind `to`.
///
/// # Errors
/// [`CodecError::BaseLength`] if these are not as many numbers, [`CodecError::Malformed`] if the one cannot be converted to the other.
pub fn convert(from: Element, to: Element, base: &[u8], len: usize) -> Result<Vec<u8>, CodecError> {
    let wanted = converted_from_len(from, to, len).ok_or(CodecError::Malformed("kinds of numbers that are not converted"))?;
    if base.len() != wanted {
        return Err(CodecError::BaseLength);
    }
    let mut converted = Vec::with_capacity(len);
    let numbers = base.chunks_exact(from.size()).map(|number| widened(from, number));
    match to {
        Element::F32 => numbers.for_each(|bits| converted.extend_from_slice(&bits.to_le_bytes())),
        Element::Bf16 => numbers.for_each(|bits| converted.extend_from_slice(&to_bf16(bits).to_le_bytes())),
        Element::F16 => numbers.for_each(|bits| converted.extend_from_slice(&to_half(bits).to_le_bytes())),
        _ => {
            let mut block = [0; OF_BLOCK];
            for numbers in base.chunks_exact(OF_BLOCK * from.size()) {
                for (bits, number) in block.iter_mut().zip(numbers.chunks_exact(from.size())) {
                    *bits = widened(from, number);
                }
                quantised(&block, &mut converted);
            }
        }
    }
    Ok(converted)
}

/// The bits of the binary32 that has the value of a number. `from` is binary32, or a float of 16 bits.
pub(crate) fn widened(from: Element, number: &[u8]) -> u32 {
    let half = || u16::from_le_bytes([number[0], number[1]]);
    match from {
        Element::F32 => u32::from_le_bytes([number[0], number[1], number[2], number[3]]),
        Element::Bf16 => u32::from(half()) << 16,
        _ => of_half(half()),
    }
}

fn of_half(half: u16) -> u32 {
    let sign = u32::from(half & 0x8000) << 16;
    let (exponent, mantissa) = (u32::from(half >> 10) & 31, u32::from(half) & 0x3ff);
    let magnitude = match (exponent, mantissa) {
        (0, 0) => 0,
        // Below the least normal one: it becomes normal. The leading one of the mantissa goes where the implied one is.
        (0, _) => {
            let shift = mantissa.leading_zeros() - 21;
            (113 - shift) << 23 | (mantissa << shift & 0x3ff) << 13
        }
        (31, _) => INFINITY | mantissa << 13,
        _ => (exponent + 112) << 23 | mantissa << 13,
    };
    sign | magnitude
}

/// Rounded to the nearest, ties to even; a NaN stays one.
fn to_bf16(bits: u32) -> u16 {
    if bits & MAGNITUDE > INFINITY {
        return (bits >> 16) as u16 | 0x40;
    }
    ((bits + 0x7fff + (bits >> 16 & 1)) >> 16) as u16
}

/// Rounded to the nearest, ties to even; a NaN stays one, and what is too large is infinite.
fn to_half(bits: u32) -> u16 {
    let sign = (bits >> 16) as u16 & 0x8000;
    let (exponent, mantissa) = (bits >> 23 & 0xff, bits & 0x7f_ffff);
    let magnitude = match exponent {
        255 if mantissa > 0 => 0x7e00 | (mantissa >> 13) as u16,
        143.. => 0x7c00,
        113.. => nearest(((exponent - 112) << 23) | mantissa, 13),
        102.. => nearest(0x80_0000 | mantissa, 126 - exponent),
        _ => 0,
    };
    sign | magnitude
}

/// `value / 2^shift`, to the nearest, ties to even.
fn nearest(value: u32, shift: u32) -> u16 {
    let (kept, dropped, tie) = (value >> shift, value & ((1 << shift) - 1), 1 << (shift - 1));
    (kept + u32::from(dropped > tie || dropped == tie && kept & 1 == 1)) as u16
}

/// A block of Q8_0: a scale in binary16, by which the largest number becomes 127, and each number in so many of it. Zeros where a number is not finite, or
/// all are next to zero.
fn quantised(numbers: &[u32; OF_BLOCK], out: &mut Vec<u8>) {
    let largest = numbers.iter().map(|bits| bits & MAGNITUDE).max().unwrap_or(0);
    let scale = f32::from_bits(largest) / 127.0;
    let inverse = 1.0 / scale;
    if largest >= INFINITY || !inverse.is_finite() {
        out.extend_from_slice(&[0; 2 + OF_BLOCK]);
        return;
    }
    out.extend_from_slice(&to_half(scale.to_bits()).to_le_bytes());
    // Halves go away from zero.
    out.extend(numbers.iter().map(|bits| (f32::from_bits(*bits) * inverse).round() as i8 as u8));
}

#[cfg(test)]
mod tests {
    use super::super::testing::Noise;
    use super::*;

    const SHORT: [Element; 2] = [Element::F16, Element::Bf16];

    #[test]
    fn every_short_float_survives_the_way_to_32_bits_and_back() {
        for short in SHORT {
            for bits in 0..=u16::MAX {
                let wide = convert(short, Element::F32, &bits.to_le_bytes(), 4).unwrap();
                let back = convert(Element::F32, short, &wide, 2).unwrap();
                let is_nan = f32::from_le_bytes(wide.clone().try_into().unwrap()).is_nan();
                assert!(back == bits.to_le_bytes() || is_nan, "{bits:04x}");
            }
        }
    }

    #[test]
    fn rounding_takes_the_nearest_and_of_two_the_even_one() {
        let mut noise = Noise(3);
        let random = (0..200_000).map(|_| noise.next() as u32);
        // What lies halfway between two short ones, and its neighbours.
        let ties =
            (0..=u16::MAX).flat_map(|x| [of_half(x) + 0x1000, (u32::from(x) << 16) + 0x8000].into_iter().flat_map(|t| [t - 1, t, t + 1]));
        for bits in random.chain(ties).filter(|bits| bits & MAGNITUDE < INFINITY) {
            for short in SHORT {
                let exact = f64::from(f32::from_bits(bits));
                let got = u16::from_le_bytes(convert(Element::F32, short, &bits.to_le_bytes(), 2).unwrap().try_into().unwrap());
                let value = |x: u16| f64::from(f32::from_bits(widened(short, &x.to_le_bytes())));
                if value(got).is_infinite() {
                    // Beyond the largest finite one by at least half of the last step.
                    let most = f64::from(f32::from_bits(widened(short, &(got & 0x7fff).wrapping_sub(1).to_le_bytes())));
                    let below = f64::from(f32::from_bits(widened(short, &(got & 0x7fff).wrapping_sub(2).to_le_bytes())));
                    assert!(exact.abs() >= most + (most - below) / 2.0, "{bits:08x}");
                    continue;
                }
                let distance = (value(got) - exact).abs();
                for other in [got.wrapping_sub(1), got.wrapping_add(1)].into_iter().filter(|other| value(*other).is_finite()) {
                    let farther = (value(other) - exact).abs();
                    assert!(distance < farther || distance == farther && got & 1 == 0, "{bits:08x} {short:?}");
                }
            }
        }
    }

    #[test]
    fn blocks_hold_numbers_within_half_a_scale() {
        let mut noise = Noise(9);
        let numbers: Vec<f32> =
            (0..OF_BLOCK * 50).map(|i| (noise.normal() * 0.02) as f32 * if (i / OF_BLOCK).is_multiple_of(7) { 0.0 } else { 1.0 }).collect();
        let base: Vec<u8> = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
        let blocks = convert(Element::F32, Element::Block(BlockKind::Q8_0), &base, 50 * 34).unwrap();
        for (block, numbers) in blocks.chunks(34).zip(numbers.chunks(OF_BLOCK)) {
            let scale = f32::from_bits(of_half(u16::from_le_bytes([block[0], block[1]])));
            for (q, number) in block[2..].iter().zip(numbers) {
                assert!((f32::from(*q as i8) * scale - number).abs() <= scale * 0.51 + number.abs() * 1e-3);
            }
        }
    }

    #[test]
    fn any_bits_are_converted_and_other_lengths_refused() {
        let mut noise = Noise(1);
        let base: Vec<u8> =
            (0..4 * OF_BLOCK * 64).map(|_| if noise.next().is_multiple_of(5) { 0xff } else { noise.next() as u8 }).collect();
        for from in [Element::F32, Element::F16, Element::Bf16] {
            for to in [Element::F32, Element::F16, Element::Bf16, Element::Block(BlockKind::Q8_0)].into_iter().filter(|to| *to != from) {
                let len = base.len() / from.size() / numbers_of(to).unwrap() * to.size();
                assert_eq!(convert(from, to, &base, len).unwrap().len(), len);
                assert_eq!(convert(from, to, &base[1..], len), Err(CodecError::BaseLength));
                assert!(convert(from, to, &base, len + 1).is_err());
            }
        }
        assert!(convert(Element::F32, Element::F32, &base, base.len()).is_err());
        assert!(convert(Element::Int16, Element::F32, &base, base.len() * 2).is_err());
        assert!(convert(Element::Block(BlockKind::Q8_0), Element::F32, &base[..34], 128).is_err());
    }
}
