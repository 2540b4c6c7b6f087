//! The coder of single bits: binary arithmetic coding with chances that learn. `spec/CODECS.md`, section 6.1. A bit takes some nanoseconds, where
//! a symbol of [`super::rans`] takes less than one, but there are no tables to send: it is for the few hundred numbers of a script.
//!
//! Source of the method: G. N. N. Martin, "Range encoding", 1979; chances by counts: M. V. Mahoney, "Adaptive weighing of context models", 2005.

use super::super::CodecError;

/// A chance of a half, of 65536.
const EVEN: u32 = 1 << 15;
/// Bits after which a chance learns no slower.
const SLOWEST: u8 = 60;

/// How likely a bit is 1.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Chance {
    /// Of 65536, more than 0.
    of_one: u16,
    seen: u8,
}

impl Chance {
    pub(in super::super) const NEW: Self = Self { of_one: EVEN as u16, seen: 0 };

    fn learn(&mut self, bit: bool) {
        let p = i64::from(self.of_one);
        let rest = if bit { 65_536 - p } else { p };
        let share = (((2 * rest) as u64 * INVERSES[usize::from(self.seen)]) >> 32) as i64;
        self.of_one = (p + if bit { share } else { -share }) as u16;
        self.seen = (self.seen + 1).min(SLOWEST);
    }
}

/// 2^32 / (2 n + 3) for n bits seen, rounded up: a number below 2^17 times that, without its last 32 bits, is that number divided.
const INVERSES: [u64; SLOWEST as usize + 1] = {
    let mut inverses = [0; SLOWEST as usize + 1];
    let mut seen = 0;
    while seen < inverses.len() {
        inverses[seen] = (1 << 32) / (2 * seen as u64 + 3) + 1;
        seen += 1;
    }
    inverses
};

/// What codes bits, and what gives them back: so that what is coded is described once for both.
pub(in super::super) trait Bits {
    /// A bit of this chance. What is coded is `bit`; a decoder passes over that.
    fn bit(&mut self, chance: &mut Chance, bit: bool) -> bool;
    /// `count` bits, at most 32, each as likely as not.
    ///
    /// # Errors
    /// When no encoder writes such bytes.
    fn even(&mut self, count: u32, bits: u32) -> Result<u32, CodecError>;
}

/// The range is at least this wide between bits: bytes are shifted until it is.
const NARROWEST: u64 = 1 << 56;

/// Codes bits.
pub(in super::super) struct BitEncoder {
    low: u64,
    range: u64,
    out: Vec<u8>,
}

impl BitEncoder {
    pub(in super::super) fn new() -> Self {
        Self { low: 0, range: u64::MAX, out: Vec::new() }
    }

    fn raise(&mut self, by: u64) {
        let (low, carries) = self.low.overflowing_add(by);
        self.low = low;
        if carries {
            let mut bytes = self.out.iter_mut().rev();
            while bytes.next().is_some_and(|byte| {
                *byte = byte.wrapping_add(1);
                *byte == 0
            }) {}
        }
    }

    fn shift(&mut self) {
        while self.range < NARROWEST {
            self.out.push((self.low >> 56) as u8);
            self.low <<= 8;
            self.range <<= 8;
        }
    }

    /// The coded bytes.
    pub(in super::super) fn finish(mut self) -> Vec<u8> {
        self.raise(NARROWEST - 1);
        self.out.push((self.low >> 56) as u8);
        self.out
    }
}

impl Bits for BitEncoder {
    fn bit(&mut self, chance: &mut Chance, bit: bool) -> bool {
        let bound = (self.range >> 16) * u64::from(chance.of_one);
        chance.learn(bit);
        if bit {
            self.range = bound;
        } else {
            self.raise(bound);
            self.range -= bound;
        }
        self.shift();
        bit
    }

    fn even(&mut self, count: u32, bits: u32) -> Result<u32, CodecError> {
        self.range >>= count;
        self.raise(u64::from(bits) * self.range);
        self.shift();
        Ok(bits)
    }
}

/// Gives bits back. Bytes that are missing are zeros until [`BitDecoder::finish`].
pub(in super::super) struct BitDecoder<'c> {
    range: u64,
    /// How far what was coded lies above the lower end of the range.
    code: u64,
    coded: &'c [u8],
    /// Bytes shifted in behind the first.
    shifted: usize,
}

impl<'c> BitDecoder<'c> {
    /// # Errors
    /// When no encoder writes bytes that start so.
    pub(in super::super) fn new(coded: &'c [u8]) -> Result<Self, CodecError> {
        let mut first = [0; 8];
        let len = coded.len().min(first.len());
        first[..len].copy_from_slice(&coded[..len]);
        let (range, code) = (u64::MAX, u64::from_be_bytes(first));
        if code >= range {
            return Err(CodecError::Malformed("bits beyond their range"));
        }
        Ok(Self { range, code, coded, shifted: 0 })
    }

    fn shift(&mut self) {
        while self.range < NARROWEST {
            let next = self.coded.get(self.shifted + size_of::<u64>()).copied().unwrap_or(0);
            self.range <<= 8;
            self.code = self.code << 8 | u64::from(next);
            self.shifted += 1;
        }
    }

    /// That the coded bytes end here.
    ///
    /// # Errors
    /// When they ended before, or go on.
    pub(in super::super) fn finish(self) -> Result<(), CodecError> {
        match self.coded.len().cmp(&(self.shifted + 1)) {
            std::cmp::Ordering::Less => Err(CodecError::Truncated),
            std::cmp::Ordering::Equal => Ok(()),
            std::cmp::Ordering::Greater => Err(CodecError::Trailing),
        }
    }
}

impl Bits for BitDecoder<'_> {
    fn bit(&mut self, chance: &mut Chance, _: bool) -> bool {
        let bound = (self.range >> 16) * u64::from(chance.of_one);
        let bit = self.code < bound;
        // Without branches: what a bit will be is what nobody knows.
        self.code -= if bit { 0 } else { bound };
        self.range = if bit { bound } else { self.range - bound };
        chance.learn(bit);
        self.shift();
        bit
    }

    fn even(&mut self, count: u32, _: u32) -> Result<u32, CodecError> {
        self.range >>= count;
        let bits = self.code / self.range;
        if bits >> count > 0 {
            return Err(CodecError::Malformed("bits beyond their range"));
        }
        self.code -= bits * self.range;
        self.shift();
        Ok(bits as u32)
    }
}

/// A number of so many bits, by a tree of chances: the node of the bits above gives that of the next one.
pub(in super::super) fn tree(bits: &mut impl Bits, chances: &mut [Chance], len: u32, value: u32) -> u32 {
    let mut node = 1;
    for at in (0..len).rev() {
        let bit = bits.bit(&mut chances[node as usize], value >> at & 1 == 1);
        node = node << 1 | u32::from(bit);
    }
    node - (1 << len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_rounded_down() {
        for (seen, inverse) in INVERSES.iter().enumerate() {
            assert!((0..1u64 << 17).all(|of| (of * inverse) >> 32 == of / (2 * seen as u64 + 3)), "after {seen}");
        }
    }

    #[test]
    fn no_chance_becomes_a_certainty() {
        for bit in [false, true] {
            let mut chance = Chance::NEW;
            (0..100_000).for_each(|_| chance.learn(bit));
            assert!(chance.of_one > 0);
            (0..100_000).for_each(|_| chance.learn(!bit));
            assert!(chance.of_one > 0);
        }
    }
}
