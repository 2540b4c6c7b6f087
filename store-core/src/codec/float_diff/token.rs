//! Differences and the symbols that stand for them.

use super::super::element::Lane;

/// The difference from `old` to `new`, positive where `new` is farther from zero. Floats are sign and magnitude.
#[inline(always)]
pub(super) fn difference<L: Lane>(float: bool, new: L, old: L) -> L {
    let mirror = old.sign_mask();
    if float { (ordered(new) ^ mirror).minus(old | L::SIGN) } else { (new ^ mirror).minus(old ^ mirror) }
}

/// The element that is `difference` away from `old`.
#[inline(always)]
pub(super) fn apply<L: Lane>(float: bool, difference: L, old: L) -> L {
    let mirror = old.sign_mask();
    if float { unordered(difference.plus(old | L::SIGN) ^ mirror) } else { difference.plus(old ^ mirror) ^ mirror }
}

/// Unsigned integers in the order of the floats: negative ones inverted, others above them.
#[inline(always)]
fn ordered<L: Lane>(x: L) -> L {
    x ^ (x.sign_mask() | L::SIGN)
}

#[inline(always)]
fn unordered<L: Lane>(x: L) -> L {
    x ^ (!x.sign_mask() | L::SIGN)
}

/// How a difference is split: `top` bits below the leading one are in the symbol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tokens {
    top: u32,
    /// Bits at the end that elements of eight bytes lack, as far as weights are shorter for it.
    lacking: u32,
}

/// By how much the magnitudes of elements of eight bytes are shortened to be weights.
const WEIGHT_SHIFT: u32 = 26;

/// A difference in its parts.
pub(super) struct SplitDifference<L> {
    pub(super) symbol: u8,
    pub(super) raw: L,
    pub(super) raw_len: u32,
    /// About the magnitude, as the recent magnitude counts it.
    pub(super) weight: u32,
}

impl Tokens {
    /// What serves these elements: the wider symbols are, the larger differences must be to be worth it.
    pub(super) fn choose<L: Lane>(float: bool, new: &[u8], old: &[u8]) -> Self {
        let top = match L::BITS {
            16 => {
                let step = (new.len() / L::BYTES / 1024).max(1);
                let pairs = new.chunks_exact(L::BYTES).zip(old.chunks_exact(L::BYTES)).step_by(step);
                let (mut all, mut large) = (0, 0);
                for (new, old) in pairs {
                    let difference = difference(float, L::load(new), L::load(old)).wide();
                    all += 1;
                    large += usize::from((8..=0xfff8).contains(&difference));
                }
                if large * 2 > all { 2 } else { 1 }
            }
            64 => 1,
            _ => 2,
        };
        Self { top, lacking: 0 }
    }

    /// The same for elements that lack so many bits at their ends.
    pub(super) fn of_elements_without(self, lacking: u32) -> Self {
        Self { lacking: lacking.min(WEIGHT_SHIFT), ..self }
    }

    /// By how much magnitudes are shortened to be weights.
    #[inline(always)]
    pub(super) fn weight_shift(self, bits: u32) -> u32 {
        if bits == 64 { WEIGHT_SHIFT - self.lacking } else { 0 }
    }

    /// The split that a byte names, if symbols of elements so wide fit a byte.
    pub(super) fn from_code(code: u8, bits: u32) -> Option<Self> {
        let tokens = Self { top: u32::from(code), lacking: 0 };
        (code <= 3 && code as u32 + 1 < bits && tokens.alphabet(bits) <= 256).then_some(tokens)
    }

    /// What serves differences from where elements were expected to move.
    pub(super) fn of_moves<L: Lane>() -> Self {
        Self { top: if L::BITS == 64 { 1 } else { 2 }, lacking: 0 }
    }

    pub(super) fn code(self) -> u8 {
        self.top as u8
    }

    /// Symbols that differences of this width can have.
    pub(super) fn alphabet(self, bits: u32) -> usize {
        ((bits - self.top) as usize) * 2 * (1 << self.top) + 1
    }

    /// Splits a difference.
    #[inline(always)]
    pub(super) fn split<L: Lane>(self, difference: L) -> SplitDifference<L> {
        let negative = difference.sign_mask();
        let lane = (difference ^ negative).minus(negative);
        let positive = u64::from(lane != L::of(0)) & !negative.wide() & 1;
        let magnitude = lane.wide();
        // Narrow where it can be: that lets several elements be split at once.
        if L::BITS <= 32 {
            let magnitude = magnitude as u32;
            let raw_len = (u32::BITS - magnitude.leading_zeros()).saturating_sub(self.top + 1) & 31;
            let token = (raw_len << (self.top & 3)).wrapping_add(magnitude >> raw_len);
            let start = magnitude & (u32::MAX << raw_len);
            SplitDifference {
                symbol: (token * 2).wrapping_sub(positive as u32) as u8,
                raw: L::of(u64::from(magnitude & !(u32::MAX << raw_len))),
                raw_len,
                weight: start.min(1 << 26),
            }
        } else {
            let raw_len = (u64::BITS - magnitude.leading_zeros()).saturating_sub(self.top + 1) & 63;
            let token = (u64::from(raw_len) << self.top).wrapping_add(magnitude >> raw_len);
            let start = magnitude & (u64::MAX << raw_len);
            SplitDifference {
                symbol: token.wrapping_mul(2).wrapping_sub(positive) as u8,
                raw: L::of(magnitude & !(u64::MAX << raw_len)),
                raw_len,
                weight: (start >> (self.weight_shift(64) & 63)).min(1 << 26) as u32,
            }
        }
    }

    /// The magnitude that a symbol of the alphabet stands for when its raw bits are zero, and how many raw bits it has.
    #[inline(always)]
    pub(super) fn magnitude<L: Lane>(self, symbol: u8) -> (L, u32) {
        let top = self.top & 3;
        let token = (u32::from(symbol) + 1) >> 1;
        let raw_len = (token >> top).saturating_sub(1) & (L::BITS - 1);
        let below = token & !(u32::MAX << top);
        let above = if token >> top == 0 { 0 } else { 1 << top };
        if L::BITS <= 32 {
            (L::of(u64::from((below | above) << (raw_len & 31))), raw_len)
        } else {
            (L::of(u64::from(below | above) << raw_len), raw_len)
        }
    }

    /// The difference that a symbol stands for when its raw bits are zero, and how many raw bits it has.
    pub(super) fn of_symbol(self, symbol: u8) -> (i128, u32) {
        let token = u32::from(symbol).div_ceil(2);
        let (magnitude, raw) = if token < 2 << self.top {
            (u128::from(token), 0)
        } else {
            let raw = (token >> self.top) - 1;
            (u128::from((token & ((1 << self.top) - 1)) | 1 << self.top) << raw, raw)
        };
        (if symbol.is_multiple_of(2) { -(magnitude as i128) } else { magnitude as i128 }, raw)
    }
}

#[cfg(test)]
mod tests {
    use super::super::context::weights;
    use super::*;
    use proptest::prelude::*;

    fn survives<L: Lane + std::fmt::Debug>(new: L, old: L) {
        for float in [false, true] {
            let d = difference(float, new, old);
            assert_eq!(apply(float, d, old), new);
            for tokens in (0..4).filter_map(|code| Tokens::from_code(code, L::BITS)) {
                let split = tokens.split(d);
                assert!(usize::from(split.symbol) < tokens.alphabet(L::BITS));
                let (start, raw) = tokens.of_symbol(split.symbol);
                assert_eq!(raw, split.raw_len);
                let bits = split.raw.wide();
                let signed = if start < 0 { start - i128::from(bits) } else { start + i128::from(bits) };
                assert_eq!(L::of(signed as u64), d);
                assert_eq!(tokens.magnitude::<L>(split.symbol), (L::of(start.unsigned_abs() as u64), raw));
                assert_eq!(split.weight, weights(tokens, L::BITS)[usize::from(split.symbol)]);
            }
        }
    }

    proptest! {
        #[test]
        fn every_pair_comes_back(new: u64, old: u64, shift in 0u32..64) {
            let near = old ^ (new >> shift);
            for new in [new, near] {
                survives(new, old);
                survives(new as u32, old as u32);
                survives(new as u16, old as u16);
                survives(new as u8, old as u8);
            }
        }
    }

    #[test]
    fn every_pair_of_bytes_comes_back() {
        for pair in 0..=u16::MAX {
            survives(pair as u8, (pair >> 8) as u8);
        }
    }

    #[test]
    fn a_float_farther_from_zero_is_a_positive_difference() {
        assert_eq!(difference(true, 1.5f32.to_bits(), 1.0f32.to_bits()), 1 << 22);
        assert_eq!(difference(true, (-1.5f32).to_bits(), (-1.0f32).to_bits()), 1 << 22);
        assert_eq!(difference(true, 1.0f32.to_bits(), 1.5f32.to_bits()), (1u32 << 22).wrapping_neg());
    }
}
