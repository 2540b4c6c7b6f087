//! Numbers as coded bits: a class, which is the bit length, then the bits below the leading one, of which the first are learnt. `spec/CODECS.md`,
//! section 6.1.

use super::super::CodecError;
use super::{Bits, Chance, tree};

/// Bits of the tree that names a number's class, which is its bit length.
const CLASS_BITS: u32 = 5;
/// The greatest class.
const CLASSES: u32 = 26;
/// Bits below the leading one up to which all are learnt.
const ALL_LEARNT: u32 = 7;
/// Bits below the leading one that are learnt of longer numbers.
const LEARNT: u32 = 3;
/// Where the trees of longer numbers start: before them there is one of each length, and 2^length chances are as far from the start.
const LONGER: usize = 2 << ALL_LEARNT;

/// What is known of numbers of one kind.
pub(in super::super) struct Model {
    class: [Chance; 1 << CLASS_BITS],
    /// The trees of the bits below the leading one, one for each class.
    below: [Chance; LONGER + ((CLASSES - ALL_LEARNT - 1) << LEARNT) as usize],
}

impl Model {
    pub(in super::super) fn new() -> Self {
        Self { class: [Chance::NEW; _], below: [Chance::NEW; _] }
    }

    /// A number of at most 26 bits.
    ///
    /// # Errors
    /// When it has more.
    pub(in super::super) fn number(&mut self, bits: &mut impl Bits, value: u32) -> Result<u32, CodecError> {
        let class = tree(bits, &mut self.class, CLASS_BITS, u32::BITS - value.leading_zeros());
        if class > CLASSES {
            return Err(CodecError::Malformed("a number beyond all lengths"));
        }
        let Some(len) = class.checked_sub(1) else { return Ok(0) };
        let (learnt, start) = match len {
            0..=ALL_LEARNT => (len, 1 << len),
            _ => (LEARNT, LONGER + ((len - ALL_LEARNT - 1) << LEARNT) as usize),
        };
        let even = len - learnt;
        let below = value & !(u32::MAX << len);
        let above = 1 << learnt | tree(bits, &mut self.below[start..], learnt, below >> even);
        match even {
            0 => Ok(above),
            _ => Ok(above << even | bits.even(even, below & !(u32::MAX << even))?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::Noise;
    use super::super::{BitDecoder, BitEncoder};
    use super::*;

    fn coded(numbers: &[u32]) -> Vec<u8> {
        let (mut bits, mut model) = (BitEncoder::new(), Model::new());
        for number in numbers {
            assert_eq!(model.number(&mut bits, *number), Ok(*number));
        }
        bits.finish()
    }

    #[test]
    fn numbers_come_back_and_bytes_end_with_them() {
        let mut noise = Noise(1);
        let numbers: Vec<u32> = (0..5000).map(|i| (noise.next() >> 38) as u32 >> (i % 27)).chain([0, (1 << 26) - 1]).collect();
        let bytes = coded(&numbers);
        let decoded = |bytes: &[u8]| {
            let (mut bits, mut model) = (BitDecoder::new(bytes)?, Model::new());
            let decoded: Result<Vec<u32>, _> = numbers.iter().map(|_| model.number(&mut bits, 0)).collect();
            decoded.and_then(|decoded| bits.finish().map(|()| decoded))
        };
        assert_eq!(decoded(&bytes).as_ref(), Ok(&numbers));
        assert_eq!(decoded(&[&bytes[..], &[0]].concat()), Err(CodecError::Trailing));
        assert!(decoded(&bytes[..bytes.len() - 1]).is_err());
        assert!(decoded(&[255; 9]).is_err());
    }

    #[test]
    fn what_recurs_costs_next_to_nothing() {
        assert!(coded(&[97; 1000]).len() < 60, "{}", coded(&[97; 1000]).len());
    }

    #[test]
    fn any_bytes_decode_to_something_or_are_refused() {
        let mut noise = Noise(2);
        for _ in 0..200 {
            let bytes: Vec<u8> = (0..noise.next() % 40).map(|_| noise.next() as u8).collect();
            let (mut bits, mut model) = (BitDecoder::new(&bytes).unwrap(), Model::new());
            for _ in 0..100 {
                if model.number(&mut bits, 0).is_ok_and(|number| number >= 1 << CLASSES) {
                    panic!("a number beyond its class");
                }
            }
        }
    }
}
