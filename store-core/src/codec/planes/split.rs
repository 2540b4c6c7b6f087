//! Splitting elements into planes, and joining them.

use std::borrow::Cow;

use super::super::CodecError;
use super::super::element::Lane;
use super::super::kernel::wide;
use crate::base::wire::Reader;

/// How a float is split into a symbol and a rest.
///
/// With `joined` = j, the symbol is `slot << j | top j bits of the mantissa`; slot 0 is exponent 0, slot s > 0 is exponent s + `below`.
/// The rest is the other bits of the mantissa and above them the sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Split {
    mantissa: u32,
    joined: u32,
    below: u32,
}

impl Split {
    /// The split with most bits in the symbol that all exponents allow, if there is one.
    pub(super) fn choose<L: Lane>(mantissa: u32, whole: &[u8]) -> Option<Self> {
        let (lowest, highest) = exponent_range::<L>(whole, mantissa);
        let below = lowest.saturating_sub(1);
        let most = if mantissa >= 10 && L::BITS == 16 { 3 } else { 2 };
        let joined = (0..=most.min(mantissa)).rev().find(|&joined| highest.saturating_sub(below) < 256 >> joined)?;
        Some(Self { mantissa, joined, below: below as u32 })
    }

    pub(super) fn write(self, out: &mut Vec<u8>) {
        out.push(self.joined as u8);
        out.extend_from_slice(&(self.below as u16).to_le_bytes());
    }

    pub(super) fn read<L: Lane>(mantissa: u32, reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        let joined = u32::from(reader.u8()?);
        let below = u32::from(reader.u16()?);
        if joined > mantissa.min(3) || below >> (L::BITS - 1 - mantissa) != 0 {
            return Err(CodecError::Malformed("a float split is out of range"));
        }
        Ok(Self { mantissa, joined, below })
    }

    /// Bits of the mantissa that are in the rest.
    fn low(self) -> u32 {
        self.mantissa - self.joined
    }

    /// Widths of the planes of the rest, from the top: what is over a multiple of eight, if anything, then bytes.
    pub(super) fn plane_bits<L: Lane>(self) -> impl Iterator<Item = u32> {
        let bits = self.low() + 1;
        Some(bits % 8).filter(|&top| top > 0).into_iter().chain(std::iter::repeat_n(8, bits as usize / 8))
    }
}

#[inline(always)]
fn exponent_range_body<L: Lane>(whole: &[u8], mantissa: u32) -> (u64, u64) {
    // Of magnitudes, which order as exponents do. Zeros and denormals have a slot of their own.
    let least = L::of(1u64 << mantissa);
    let mut lowest = !L::SIGN;
    let mut highest = L::of(0);
    for bytes in whole.chunks_exact(L::BYTES) {
        let magnitude = L::load(bytes) & !L::SIGN;
        highest = highest.max(magnitude);
        lowest = lowest.min(if magnitude < least { !L::SIGN } else { magnitude });
    }
    ((lowest >> mantissa).wide(), (highest >> mantissa).wide())
}

wide! {
    /// The lowest exponent but 0, and the highest.
    fn exponent_range<L: Lane>(whole: &[u8], mantissa: u32) -> (u64, u64) = exponent_range_body
}

/// The symbols of all elements, and the planes of their rests.
pub(super) fn split<L: Lane>(split: Split, whole: &[u8]) -> (Vec<u8>, Vec<Vec<u8>>) {
    let count = whole.len() / L::BYTES;
    let mut symbols = vec![0; count];
    let mut planes: Vec<Vec<u8>> = split.plane_bits::<L>().map(|_| vec![0; count]).collect();
    split_all::<L>(split, whole, &mut symbols, &mut planes);
    (symbols, planes)
}

/// The symbols alone.
pub(super) fn symbols<L: Lane>(split: Split, whole: &[u8]) -> Vec<u8> {
    let mut symbols = vec![0; whole.len() / L::BYTES];
    split_all::<L>(split, whole, &mut symbols, &mut []);
    symbols
}

#[inline(always)]
fn split_body<L: Lane>(split: Split, whole: &[u8], symbols: &mut [u8], planes: &mut [Vec<u8>]) {
    let low = split.low();
    let slots = L::of(1u64 << split.joined);
    let below = L::of(u64::from(split.below) << split.joined);
    let mask = L::of((1u64 << low) - 1);
    for (symbol, bytes) in symbols.iter_mut().zip(whole.chunks_exact(L::BYTES)) {
        let top = (L::load(bytes) & !L::SIGN) >> low;
        *symbol = (if top < slots { top } else { top.minus(below) }).wide() as u8;
    }
    let last = planes.len().wrapping_sub(1);
    for (i, plane) in planes.iter_mut().enumerate() {
        let shift = 8 * (last - i) as u32;
        for (value, bytes) in plane.iter_mut().zip(whole.chunks_exact(L::BYTES)) {
            let x = L::load(bytes);
            let rest = (x & mask) | ((x & L::SIGN) >> (L::BITS - 1 - low));
            *value = (rest >> shift).wide() as u8;
        }
    }
}

wide! { fn split_all<L: Lane>(split: Split, whole: &[u8], symbols: &mut [u8], planes: &mut [Vec<u8>]) = split_body }

/// The elements that [`split`] split.
pub(super) fn join<L: Lane>(split: Split, symbols: &[u8], planes: &[Cow<'_, [u8]>]) -> Vec<u8> {
    let mut plain = vec![0; symbols.len() * L::BYTES];
    let zero = [];
    // No float has more than seven planes of rest.
    let mut all = [&zero[..]; 8];
    for (slot, plane) in all.iter_mut().zip(planes) {
        *slot = plane;
    }
    match planes.len() {
        1 => join_all::<L, 1>(split, symbols, &all, &mut plain),
        2 => join_all::<L, 2>(split, symbols, &all, &mut plain),
        3 => join_all::<L, 3>(split, symbols, &all, &mut plain),
        7 => join_all::<L, 7>(split, symbols, &all, &mut plain),
        _ => unreachable!("a rest of 1 to 53 bits has 1 to 7 planes"),
    }
    plain
}

#[inline(always)]
fn join_body<L: Lane, const PLANES: usize>(split: Split, symbols: &[u8], planes: &[&[u8]; 8], plain: &mut [u8]) {
    let low = split.low();
    let slots = L::of(1u64 << split.joined);
    let below = L::of(u64::from(split.below) << split.joined);
    let mask = L::of((1u64 << low) - 1);
    let count = symbols.len();
    let planes: [&[u8]; PLANES] = std::array::from_fn(|i| &planes[i][..count]);
    for (i, bytes) in plain.chunks_exact_mut(L::BYTES).enumerate() {
        let symbol = L::of(u64::from(symbols[i]));
        let top = if symbol < slots { symbol } else { symbol.plus(below) };
        let mut rest = L::of(u64::from(planes[0][i]));
        for plane in &planes[1..] {
            rest = rest << 8 | L::of(u64::from(plane[i]));
        }
        ((top << low) & !L::SIGN | (rest & mask) | (rest >> low) << (L::BITS - 1)).store(bytes);
    }
}

wide! { fn join_all<L: Lane, const PLANES: usize>(split: Split, symbols: &[u8], planes: &[&[u8]; 8], plain: &mut [u8]) = join_body }

/// Byte `byte` of each element, the lowest being 0.
pub(super) fn byte_plane<L: Lane>(whole: &[u8], byte: usize) -> Vec<u8> {
    let mut plane = vec![0; whole.len() / L::BYTES];
    byte_plane_into::<L>(whole, byte, &mut plane);
    plane
}

#[inline(always)]
fn byte_plane_body<L: Lane>(whole: &[u8], byte: usize, plane: &mut [u8]) {
    for (value, bytes) in plane.iter_mut().zip(whole.chunks_exact(L::BYTES)) {
        *value = (L::load(bytes) >> (8 * byte as u32)).wide() as u8;
    }
}

wide! { fn byte_plane_into<L: Lane>(whole: &[u8], byte: usize, plane: &mut [u8]) = byte_plane_body }

/// The elements whose bytes are in `planes`, the lowest first.
pub(super) fn join_bytes<L: Lane>(planes: &[Cow<'_, [u8]>], count: usize) -> Vec<u8> {
    let mut plain = vec![0; count * L::BYTES];
    for (byte, plane) in planes.iter().enumerate() {
        for (bytes, &value) in plain.chunks_exact_mut(L::BYTES).zip(plane.iter()) {
            bytes[byte] = value;
        }
    }
    plain
}
