//! A stream of bit fields, least significant bit first. Reading past the end is an error, never a panic.

use super::CodecError;
use super::element::Lane;

/// Appends bit fields to bytes.
#[derive(Debug)]
pub(super) struct BitWriter {
    /// Always at least eight bytes longer than `at`.
    bytes: Vec<u8>,
    at: usize,
    acc: u64,
    used: u32,
}

impl BitWriter {
    pub(super) fn with_capacity(bytes: usize) -> Self {
        Self { bytes: vec![0; bytes + 16], at: 0, acc: 0, used: 0 }
    }

    /// Appends the low `len` bits of `value`; `len` is at most 56, and the other bits are zero.
    #[inline(always)]
    pub(super) fn put(&mut self, value: u64, len: u32) {
        debug_assert!(len <= 56 && value >> len == 0);
        self.acc |= value << self.used;
        let used = self.used + len;
        if self.at + 8 > self.bytes.len() {
            self.bytes.resize(self.bytes.len() * 2, 0);
        }
        self.bytes[self.at..self.at + 8].copy_from_slice(&self.acc.to_le_bytes());
        self.at += (used >> 3) as usize;
        self.acc >>= used & 0x38;
        self.used = used & 7;
    }

    /// Appends as many fields, each as by [`BitWriter::put`].
    #[inline(always)]
    pub(super) fn put_all<const N: usize>(&mut self, values: &[u64; N], lens: &[u8; N]) {
        if self.at + N * 8 > self.bytes.len() {
            self.bytes.resize((self.bytes.len() + N * 8) * 2, 0);
        }
        let window = &mut self.bytes[self.at..self.at + N * 8];
        let (mut at, mut acc, mut used) = (0usize, self.acc, self.used);
        for (&value, &len) in values.iter().zip(lens) {
            acc |= value << (used & 63);
            used = used.wrapping_add(u32::from(len));
            window[at..at + 8].copy_from_slice(&acc.to_le_bytes());
            at = at.wrapping_add((used >> 3) as usize);
            acc >>= used & 0x38;
            used &= 7;
        }
        (self.at, self.acc, self.used) = (self.at + at, acc, used);
    }

    /// Appends a field of up to 64 bits.
    #[inline(always)]
    pub(super) fn put_wide(&mut self, value: u64, len: u32) {
        if len <= 32 {
            self.put(value, len);
        } else {
            self.put(value & 0xffff_ffff, 32);
            self.put(value >> 32, len - 32);
        }
    }

    /// Appends a positive number: its length in unary, then the bits below its leading one (Elias γ).
    pub(super) fn put_gamma(&mut self, value: u32) {
        debug_assert!(value > 0);
        let below = value.ilog2();
        self.put(1 << below, below + 1);
        self.put(u64::from(value) & ((1 << below) - 1), below);
    }

    /// The bytes, the last one filled up with zero bits.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.bytes.truncate(self.at + usize::from(self.used > 0));
        if let (Some(last), true) = (self.bytes.last_mut(), self.used > 0) {
            *last = self.acc as u8;
        }
        self.bytes
    }
}

/// Reads bit fields from untrusted bytes.
#[derive(Debug, Clone)]
pub(super) struct BitReader<'a> {
    bytes: &'a [u8],
    /// Bits taken so far; may run past the end, which [`BitReader::finish`] and [`BitReader::check`] find.
    at: u64,
}

impl<'a> BitReader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// The next `len` bits, at most 56. Past the end there are zero bits, and [`BitReader::check`] fails.
    #[inline(always)]
    pub(super) fn take(&mut self, len: u32) -> u64 {
        let at = (self.at >> 3) as usize;
        let word = match self.bytes.get(at..at + 8) {
            Some(bytes) => u64::from_le_bytes(bytes.try_into().expect("eight bytes")),
            None => self.last_word(at),
        };
        let value = (word >> (self.at & 7)) & ((1u64 << len) - 1);
        self.at += u64::from(len);
        value
    }

    /// `N` fields, each as by [`BitReader::take`], if so many of 32 bits would be inside.
    #[inline(always)]
    pub(super) fn take_all<L: Lane, const N: usize>(&mut self, lens: &[u8; N]) -> Option<[L; N]> {
        let first = (self.at >> 3) as usize;
        let window = self.bytes.get(first..first + N * 4 + 8)?;
        let mut at = (self.at & 7) as usize;
        let mut values = [L::of(0); N];
        for (value, &len) in values.iter_mut().zip(lens) {
            let byte = at >> 3;
            let word = u64::from_le_bytes(window[byte..byte + 8].try_into().expect("eight bytes"));
            *value = L::of((word >> (at & 7)) & !(u64::MAX << (len & 31)));
            at = at.wrapping_add(usize::from(len & 31));
        }
        self.at += (at - (self.at & 7) as usize) as u64;
        Some(values)
    }

    /// The bytes from the one on that holds the next bit, and how many bits of that were taken; `None` where fewer than `N` are left.
    #[inline(always)]
    pub(super) fn window<const N: usize>(&self) -> Option<(&'a [u8; N], u32)> {
        let first = (self.at >> 3) as usize;
        Some((self.bytes.get(first..)?.first_chunk()?, (self.at & 7) as u32))
    }

    /// Passes over bits that were read from a window.
    #[inline(always)]
    pub(super) fn skip(&mut self, bits: u32) {
        self.at += u64::from(bits);
    }

    /// The next `len` bits, at most 64.
    #[inline(always)]
    pub(super) fn take_wide(&mut self, len: u32) -> u64 {
        if len <= 32 { self.take(len) } else { self.take(32) | self.take(len - 32) << 32 }
    }

    #[cold]
    fn last_word(&self, at: usize) -> u64 {
        let mut word = [0; 8];
        if let Some(rest) = self.bytes.get(at..) {
            word[..rest.len()].copy_from_slice(rest);
        }
        u64::from_le_bytes(word)
    }

    /// Reads what [`BitWriter::put_gamma`] wrote, if it is below 2¹⁷.
    pub(super) fn take_gamma(&mut self) -> Result<u32, CodecError> {
        let mut below = 0;
        while self.take(1) == 0 {
            below += 1;
            if below > 16 {
                return Err(CodecError::Malformed("a number in a table is too large"));
            }
        }
        Ok((1 << below) | self.take(below) as u32)
    }

    /// Refuses to have read past the end.
    pub(super) fn check(&self) -> Result<(), CodecError> {
        if self.at > self.bytes.len() as u64 * 8 { Err(CodecError::Truncated) } else { Ok(()) }
    }

    /// The bytes behind the one that holds the last bit taken; the bits between must be zero.
    pub(super) fn finish(mut self) -> Result<&'a [u8], CodecError> {
        self.check()?;
        let fill = (8 - self.at % 8) as u32 % 8;
        if self.take(fill) != 0 {
            return Err(CodecError::Malformed("a bit stream is not filled up with zeros"));
        }
        Ok(&self.bytes[(self.at / 8) as usize..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn fields_of_any_width_survive(fields in proptest::collection::vec((any::<u64>(), 0u32..=64), 0..200)) {
            let mut writer = BitWriter::with_capacity(0);
            let kept: Vec<_> = fields.iter().map(|&(v, len)| (if len == 64 { v } else { v & ((1 << len) - 1) }, len)).collect();
            for &(value, len) in &kept {
                writer.put_wide(value, len);
            }
            writer.put_gamma(77);
            let mut bytes = writer.finish();
            bytes.push(9);
            let mut reader = BitReader::new(&bytes);
            for &(value, len) in &kept {
                prop_assert_eq!(reader.take_wide(len), value);
            }
            prop_assert_eq!(reader.take_gamma(), Ok(77));
            prop_assert_eq!(reader.finish(), Ok(&[9u8][..]));
        }
    }

    #[test]
    fn reading_past_the_end_is_found() {
        let mut reader = BitReader::new(&[1, 2]);
        assert_eq!(reader.take(20), 0x201);
        assert_eq!(reader.check(), Err(CodecError::Truncated));
        assert!(reader.take_gamma().is_err());
    }
}
