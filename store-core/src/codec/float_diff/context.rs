//! What the coder knows of an element before it codes the difference: the class of the old value, and the recent magnitude.

use super::super::element::Lane;
use super::token::Tokens;

/// Most classes of old values.
pub(super) const CLASSES: usize = 32;
/// Most classes of recent magnitude.
pub(super) const SIZES: usize = 16;
/// A recent magnitude as its bit length.
pub(super) const LENGTHS: usize = 65;

/// How old values fall into classes: by exponent for floats, by magnitude for integers; a window of either, its ends open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Classes {
    /// Mantissa bits of a float; for integers none.
    pub(super) mantissa: Option<u32>,
    pub(super) first: u16,
    /// The highest class.
    pub(super) last: u8,
}

impl Classes {
    /// The window that holds nearly all of the old values.
    pub(super) fn choose<L: Lane>(mantissa: Option<u32>, base: &[u8]) -> Self {
        let all = Self { mantissa, first: 0, last: 0 };
        let mut counts = vec![0u32; 2048];
        let step = (base.len() / L::BYTES / 16384).max(1);
        let mut total = 0;
        for bytes in base.chunks_exact(L::BYTES).step_by(step) {
            counts[all.level::<L>(L::load(bytes)) as usize & 2047] += 1;
            total += 1;
        }
        let (first, last) = window(&counts, total, CLASSES);
        Self { first: first as u16, last: last as u8, ..all }
    }

    /// Exponent of a float, coarse magnitude of an integer.
    #[inline(always)]
    fn level<L: Lane>(self, old: L) -> u32 {
        match self.mantissa {
            Some(bits) => ((old & !L::SIGN) >> bits).wide() as u32,
            None => {
                let magnitude = (old ^ old.sign_mask()).wide();
                if L::BYTES == 1 { magnitude as u32 >> 2 } else { u64::BITS - magnitude.leading_zeros() }
            }
        }
    }

    /// The classes of old values, all below [`CLASSES`]. `float` is whether there are mantissa bits: a constant where it is called.
    #[inline(always)]
    pub(super) fn fill<L: Lane>(self, float: bool, old: &[u8], classes: &mut [u8]) {
        let bits = self.mantissa.unwrap_or(0) & (L::BITS - 1);
        let first = L::of(u64::from(self.first).min((!L::of(0)).wide()));
        let last = L::of(u64::from(self.last));
        for (class, old) in classes.iter_mut().zip(old.chunks_exact(L::BYTES)) {
            let old = L::load(old);
            let level = if float { (old & !L::SIGN) >> bits } else { L::of(u64::from(self.level::<L>(old))) };
            *class = level.max(first).minus(first).min(last).wide() as u8;
        }
    }
}

/// First and number of further bins of a window of at most `most` bins: of those that matter, the highest.
pub(super) fn window(counts: &[u32], total: u32, most: usize) -> (usize, usize) {
    let least = (total / 1024).max(1);
    let low = counts.iter().position(|&c| c >= least).unwrap_or(0);
    let high = counts.iter().rposition(|&c| c >= least).unwrap_or(0);
    let first = low.max((high + 1).saturating_sub(most));
    (first, high - first)
}

/// What a symbol adds to the recent magnitude, before it is scaled by the class: about the magnitude of its difference.
pub(super) fn weights(tokens: Tokens, bits: u32) -> [u32; 256] {
    let shift = tokens.weight_shift(bits);
    std::array::from_fn(|symbol| {
        let (start, _) = tokens.of_symbol(symbol as u8);
        (start.unsigned_abs() >> shift).min(1 << 26) as u32
    })
}

/// The recent magnitude: a sum over the blocks before the last one, each counting three quarters of the next.
///
/// That the last block does not count lets a decoder look up the tables of a block while it still decodes the one before.
#[derive(Debug, Clone, Copy)]
pub(super) struct Recent {
    sum: u64,
    length: u8,
}

impl Recent {
    pub(super) fn new() -> Self {
        Self { sum: 0, length: 0 }
    }

    /// Bit length of the magnitude for the block at hand; then takes in the scaled weights of that block, below 2⁶².
    #[inline(always)]
    pub(super) fn length(&self) -> u8 {
        self.length
    }

    #[inline(always)]
    pub(super) fn push(&mut self, block: u64) {
        self.length = (u64::BITS - self.sum.leading_zeros()) as u8;
        self.sum = self.sum.wrapping_sub(self.sum >> 2).wrapping_add(block);
    }
}
