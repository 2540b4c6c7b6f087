//! What the numbers of a tensor are: how wide, and how their bits order them.

use std::ops::{BitAnd, BitOr, BitXor, Not, Shl, Shr};

/// The kind of the elements of a tensor. A wrong kind costs size, never a byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Element {
    /// IEEE 754 binary64.
    F64,
    /// IEEE 754 binary32.
    F32,
    /// IEEE 754 binary16.
    F16,
    /// The upper half of a binary32.
    Bf16,
    /// Eight bits, four of exponent.
    F8E4M3,
    /// Eight bits, five of exponent.
    F8E5M2,
    /// Integers of one byte, signed or not.
    Int8,
    /// Integers of two bytes.
    Int16,
    /// Integers of four bytes.
    Int32,
    /// Integers of eight bytes.
    Int64,
    /// Quantised blocks of several fields, as in GGUF.
    Block(BlockKind),
}

/// A block layout of GGUF: its fields in order, each an element kind and a count. Source: `ggml-common.h` of llama.cpp.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
#[allow(missing_docs, non_camel_case_types, reason = "the names are those of the format's own documentation")]
pub enum BlockKind {
    Q4_0 = 0,
    Q4_1 = 1,
    Q5_0 = 2,
    Q5_1 = 3,
    Q8_0 = 4,
    Q8_1 = 5,
    Q2_K = 6,
    Q3_K = 7,
    Q4_K = 8,
    Q5_K = 9,
    Q6_K = 10,
    Q8_K = 11,
}

const BLOCK_KINDS: [BlockKind; 12] = {
    use BlockKind::*;
    [Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q8_1, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, Q8_K]
};

impl BlockKind {
    /// The fields of one block, in order.
    pub(super) fn fields(self) -> &'static [(Element, usize)] {
        use Element::{F16, F32, Int8, Int16};
        match self {
            Self::Q4_0 => &[(F16, 1), (Int8, 16)],
            Self::Q4_1 => &[(F16, 2), (Int8, 16)],
            Self::Q5_0 => &[(F16, 1), (Int8, 4), (Int8, 16)],
            Self::Q5_1 => &[(F16, 2), (Int8, 4), (Int8, 16)],
            Self::Q8_0 => &[(F16, 1), (Int8, 32)],
            Self::Q8_1 => &[(F16, 2), (Int8, 32)],
            Self::Q2_K => &[(Int8, 16), (Int8, 64), (F16, 2)],
            Self::Q3_K => &[(Int8, 32), (Int8, 64), (Int8, 12), (F16, 1)],
            Self::Q4_K => &[(F16, 2), (Int8, 12), (Int8, 128)],
            Self::Q5_K => &[(F16, 2), (Int8, 12), (Int8, 32), (Int8, 128)],
            Self::Q6_K => &[(Int8, 128), (Int8, 64), (Int8, 16), (F16, 1)],
            Self::Q8_K => &[(F32, 1), (Int8, 256), (Int16, 16)],
        }
    }
}

impl Element {
    /// Bytes of one element, or of one block.
    pub fn size(self) -> usize {
        match self {
            Self::F64 | Self::Int64 => 8,
            Self::F32 | Self::Int32 => 4,
            Self::F16 | Self::Bf16 | Self::Int16 => 2,
            Self::F8E4M3 | Self::F8E5M2 | Self::Int8 => 1,
            Self::Block(kind) => kind.fields().iter().map(|(element, count)| element.size() * count).sum(),
        }
    }

    /// The code that stands for this kind in stored bytes.
    pub fn code(self) -> u8 {
        match self {
            Self::F64 => 1,
            Self::F32 => 2,
            Self::F16 => 3,
            Self::Bf16 => 4,
            Self::F8E4M3 => 5,
            Self::F8E5M2 => 6,
            Self::Int8 => 7,
            Self::Int16 => 8,
            Self::Int32 => 9,
            Self::Int64 => 10,
            Self::Block(kind) => 32 + kind as u8,
        }
    }

    /// The kind that `code` stands for, if there is one.
    pub fn from_code(code: u8) -> Option<Self> {
        const PLAIN: [Element; 10] = {
            use Element::*;
            [F64, F32, F16, Bf16, F8E4M3, F8E5M2, Int8, Int16, Int32, Int64]
        };
        match code {
            1..=10 => Some(PLAIN[usize::from(code) - 1]),
            32.. => BLOCK_KINDS.get(usize::from(code) - 32).map(|&kind| Self::Block(kind)),
            _ => None,
        }
    }

    /// Bits of the mantissa of a float.
    pub(super) fn mantissa_bits(self) -> Option<u32> {
        match self {
            Self::F64 => Some(52),
            Self::F32 => Some(23),
            Self::F16 => Some(10),
            Self::Bf16 => Some(7),
            Self::F8E4M3 => Some(3),
            Self::F8E5M2 => Some(2),
            _ => None,
        }
    }
}

/// The bits of one element, as an unsigned integer of its width. Shifts are by less than the width.
pub(super) trait Lane:
    Copy
    + Send
    + Sync
    + Ord
    + 'static
    + BitAnd<Output = Self>
    + BitOr<Output = Self>
    + BitXor<Output = Self>
    + Not<Output = Self>
    + Shl<u32, Output = Self>
    + Shr<u32, Output = Self>
{
    const BYTES: usize;
    const BITS: u32 = Self::BYTES as u32 * 8;
    const SIGN: Self;
    fn load(bytes: &[u8]) -> Self;
    fn store(self, bytes: &mut [u8]);
    /// The low bits of `value`.
    fn of(value: u64) -> Self;
    fn wide(self) -> u64;
    /// Bits without leading zeros.
    fn length(self) -> u32;
    /// All ones if the sign bit is set, else zero.
    fn sign_mask(self) -> Self;
    /// The sum, modulo two to the width.
    fn plus(self, other: Self) -> Self;
    /// The difference, modulo two to the width.
    fn minus(self, other: Self) -> Self;
}

macro_rules! lane {
    ($unsigned:ty, $signed:ty) => {
        impl Lane for $unsigned {
            const BYTES: usize = size_of::<$unsigned>();
            const SIGN: Self = 1 << (<$unsigned>::BITS - 1);
            #[inline(always)]
            fn load(bytes: &[u8]) -> Self {
                Self::from_le_bytes(bytes.try_into().expect("one element"))
            }
            #[inline(always)]
            fn store(self, bytes: &mut [u8]) {
                bytes.copy_from_slice(&self.to_le_bytes());
            }
            #[inline(always)]
            fn of(value: u64) -> Self {
                value as Self
            }
            #[inline(always)]
            fn wide(self) -> u64 {
                u64::from(self)
            }
            #[inline(always)]
            fn length(self) -> u32 {
                <$unsigned>::BITS - self.leading_zeros()
            }
            #[inline(always)]
            fn sign_mask(self) -> Self {
                ((self as $signed) >> (<$unsigned>::BITS - 1)) as Self
            }
            #[inline(always)]
            fn plus(self, other: Self) -> Self {
                self.wrapping_add(other)
            }
            #[inline(always)]
            fn minus(self, other: Self) -> Self {
                self.wrapping_sub(other)
            }
        }
    };
}
lane!(u8, i8);
lane!(u16, i16);
lane!(u32, i32);
lane!(u64, i64);

/// Calls a function that is generic over the lane with the lane of `$element`, which is no block.
macro_rules! with_lane {
    ($element:expr, $function:ident ( $($arg:expr),* $(,)? )) => {
        match $element.size() {
            1 => $function::<u8>($($arg),*),
            2 => $function::<u16>($($arg),*),
            4 => $function::<u32>($($arg),*),
            _ => $function::<u64>($($arg),*),
        }
    };
}
pub(super) use with_lane;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_stands_for_one_kind() {
        let kinds: Vec<_> = (0..=255).filter_map(Element::from_code).collect();
        assert_eq!(kinds.len(), 22);
        for kind in kinds {
            assert_eq!(Element::from_code(kind.code()), Some(kind));
        }
    }

    #[test]
    fn block_sizes_are_those_of_ggml() {
        let sizes: Vec<_> = BLOCK_KINDS.iter().map(|&kind| Element::Block(kind).size()).collect();
        assert_eq!(sizes, [18, 20, 22, 24, 34, 36, 84, 110, 144, 176, 210, 292]);
    }
}
