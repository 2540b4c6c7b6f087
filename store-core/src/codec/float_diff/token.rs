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
        Self { top }
    }

    /// The split that a byte names, if symbols of elements so wide fit a byte.
    pub(super) fn from_code(code: u8, bits: u32) -> Option<Self> {
        let tokens = Self { top: u32::from(code) };
        (code <= 3 && code as u32 + 1 < bits && tokens.alphabet(bits) <= 256).then_some(tokens)
    }

    pub(super) fn code(self) -> u8 {
        self.top as u8
    }

    /// Symbols that differences of this width can have.
    pub(super) fn alphabet(self, bits: u32) -> usize {
        ((bits - self.top) as usize) * 2 * (1 << self.top) + 1
    }

    /// Symbol and raw bits of a difference, and how many raw bits.
    #[inline(always)]
    pub(super) fn split<L: Lane>(self, difference: L) -> (u8, u64, u32) {
        let negative = difference.sign_mask();
        let magnitude = (difference ^ negative).minus(negative).wide();
        // Narrow where it can be: that lets several elements be split at once.
        let length = if L::BITS <= 32 { u32::BITS - (magnitude as u32).leading_zeros() } else { u64::BITS - magnitude.leading_zeros() };
        let raw = length.saturating_sub(self.top + 1) & (L::BITS - 1);
        let token = if L::BITS <= 32 {
            u64::from((raw << self.top).wrapping_add(magnitude as u32 >> raw))
        } else {
            (u64::from(raw) << self.top).wrapping_add(magnitude >> raw)
        };
        let positive = u64::from(magnitude != 0) & !negative.wide();
        ((token * 2).wrapping_sub(positive & 1) as u8, magnitude & !(u64::MAX << raw), raw)
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
    use super::*;
    use proptest::prelude::*;

    fn survives<L: Lane + std::fmt::Debug>(new: L, old: L) {
        for float in [false, true] {
            let d = difference(float, new, old);
            assert_eq!(apply(float, d, old), new);
            for tokens in (0..4).filter_map(|code| Tokens::from_code(code, L::BITS)) {
                let (symbol, bits, len) = tokens.split(d);
                assert!(usize::from(symbol) < tokens.alphabet(L::BITS));
                let (start, raw) = tokens.of_symbol(symbol);
                assert_eq!(raw, len);
                let signed = if start < 0 { start - i128::from(bits) } else { start + i128::from(bits) };
                assert_eq!(L::of(signed as u64), d);
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
