//! What the bytes of a tensor mean, as far as a codec cares: how wide an element or a block of elements is.

use std::fmt;

/// The type of a tensor's elements, always little-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dtype {
    /// IEEE 754 binary64.
    F64,
    /// IEEE 754 binary32.
    F32,
    /// IEEE 754 binary16.
    F16,
    /// The upper half of a binary32.
    BF16,
    /// 8 bits: 4 of exponent, 3 of mantissa, no infinities (arXiv 2209.05433).
    F8E4M3,
    /// 8 bits: 5 of exponent, 2 of mantissa (arXiv 2209.05433).
    F8E5M2,
    /// 8 bits: 4 of exponent, 3 of mantissa, one zero, one NaN (arXiv 2206.02915).
    F8E4M3Fnuz,
    /// 8 bits: 5 of exponent, 2 of mantissa, one zero, one NaN (arXiv 2206.02915).
    F8E5M2Fnuz,
    /// 8 bits of exponent alone: the scale of an OCP microscaling block.
    F8E8M0,
    /// OCP microscaling, 6 bits: 2 of exponent, 3 of mantissa; four elements in three bytes.
    F6E2M3,
    /// OCP microscaling, 6 bits: 3 of exponent, 2 of mantissa; four elements in three bytes.
    F6E3M2,
    /// OCP microscaling, 4 bits: two elements in a byte.
    F4,
    /// Signed, 64 bits.
    I64,
    /// Signed, 32 bits.
    I32,
    /// Signed, 16 bits.
    I16,
    /// Signed, 8 bits.
    I8,
    /// Unsigned, 64 bits.
    U64,
    /// Unsigned, 32 bits.
    U32,
    /// Unsigned, 16 bits.
    U16,
    /// Unsigned, 8 bits.
    U8,
    /// One byte, 0 or 1.
    Bool,
    /// Two F32: real and imaginary part.
    C64,
    /// Two F64: real and imaginary part.
    C128,
    /// A block of quantised elements with their scales.
    GgufBlock(GgufType),
    /// Bytes whose type the file does not say, or says in a way that is not understood.
    Unknown,
}

impl Dtype {
    /// Bytes of the smallest run that stands alone: one element, or one block.
    pub const fn block_bytes(self) -> u64 {
        match self {
            Self::C128 => 16,
            Self::F64 | Self::I64 | Self::U64 | Self::C64 => 8,
            Self::F32 | Self::I32 | Self::U32 => 4,
            Self::F6E2M3 | Self::F6E3M2 => 3,
            Self::F16 | Self::BF16 | Self::I16 | Self::U16 => 2,
            Self::F8E4M3 | Self::F8E5M2 | Self::F8E4M3Fnuz | Self::F8E5M2Fnuz | Self::F8E8M0 | Self::F4 => 1,
            Self::I8 | Self::U8 | Self::Bool | Self::Unknown => 1,
            Self::GgufBlock(kind) => kind.block_bytes(),
        }
    }

    /// Elements of that run: 1 for most types.
    pub const fn block_elements(self) -> u64 {
        match self {
            Self::F6E2M3 | Self::F6E3M2 => 4,
            Self::F4 => 2,
            Self::GgufBlock(kind) => kind.block_elements(),
            _ => 1,
        }
    }

    /// Whether the same weights are often kept in another type as well, one of these four: in training, to be served, and as exports.
    pub const fn has_kin(self) -> bool {
        matches!(self, Self::F32 | Self::F16 | Self::BF16 | Self::GgufBlock(GgufType::Q8_0))
    }

    /// Whether numbers of this type can be turned into those of the others that [have kin](Self::has_kin): not so once they are quantised.
    pub const fn is_converted_from(self) -> bool {
        self.has_kin() && self.block_elements() == 1
    }

    /// Bytes of a tensor of this shape; `None` if that is no whole number of blocks or does not fit in 64 bits.
    pub fn len_of(self, shape: &[u64]) -> Option<u64> {
        let elements = shape.iter().try_fold(1_u64, |product, &dim| product.checked_mul(dim))?;
        if elements % self.block_elements() != 0 {
            return None;
        }
        (elements / self.block_elements()).checked_mul(self.block_bytes())
    }

    /// The field's usual name, as safetensors and ggml write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F64 => "F64",
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::BF16 => "BF16",
            Self::F8E4M3 => "F8_E4M3",
            Self::F8E5M2 => "F8_E5M2",
            Self::F8E4M3Fnuz => "F8_E4M3FNUZ",
            Self::F8E5M2Fnuz => "F8_E5M2FNUZ",
            Self::F8E8M0 => "F8_E8M0",
            Self::F6E2M3 => "F6_E2M3",
            Self::F6E3M2 => "F6_E3M2",
            Self::F4 => "F4",
            Self::I64 => "I64",
            Self::I32 => "I32",
            Self::I16 => "I16",
            Self::I8 => "I8",
            Self::U64 => "U64",
            Self::U32 => "U32",
            Self::U16 => "U16",
            Self::U8 => "U8",
            Self::Bool => "BOOL",
            Self::C64 => "C64",
            Self::C128 => "C128",
            Self::GgufBlock(kind) => kind.name(),
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(self.name())
    }
}

/// The types of each id: variant, id, elements of a block, bytes of a block, name. From `ggml.h` and `ggml-common.h` of llama.cpp.
/// Id 42 is left out: forks use it for blocks of other sizes.
macro_rules! gguf_types {
    ($($variant:ident = $id:literal, $elements:literal, $bytes:literal, $name:literal;)*) => {
        /// A block-quantised type of ggml. Plain types of a GGUF file are the plain [`Dtype`]s.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[expect(missing_docs, reason = "each is named as ggml names it")]
        pub enum GgufType { $($variant,)* }

        impl GgufType {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            const fn of_id(id: u32) -> Option<Self> {
                match id { $($id => Some(Self::$variant),)* _ => None }
            }

            /// Elements of one block.
            pub const fn block_elements(self) -> u64 {
                match self { $(Self::$variant => $elements,)* }
            }

            /// Bytes of one block.
            pub const fn block_bytes(self) -> u64 {
                match self { $(Self::$variant => $bytes,)* }
            }

            /// ggml's name.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

gguf_types! {
    Q4_0 = 2, 32, 18, "Q4_0";
    Q4_1 = 3, 32, 20, "Q4_1";
    Q5_0 = 6, 32, 22, "Q5_0";
    Q5_1 = 7, 32, 24, "Q5_1";
    Q8_0 = 8, 32, 34, "Q8_0";
    Q8_1 = 9, 32, 36, "Q8_1";
    Q2K = 10, 256, 84, "Q2_K";
    Q3K = 11, 256, 110, "Q3_K";
    Q4K = 12, 256, 144, "Q4_K";
    Q5K = 13, 256, 176, "Q5_K";
    Q6K = 14, 256, 210, "Q6_K";
    Q8K = 15, 256, 292, "Q8_K";
    Iq2Xxs = 16, 256, 66, "IQ2_XXS";
    Iq2Xs = 17, 256, 74, "IQ2_XS";
    Iq3Xxs = 18, 256, 98, "IQ3_XXS";
    Iq1S = 19, 256, 50, "IQ1_S";
    Iq4Nl = 20, 32, 18, "IQ4_NL";
    Iq3S = 21, 256, 110, "IQ3_S";
    Iq2S = 22, 256, 82, "IQ2_S";
    Iq4Xs = 23, 256, 136, "IQ4_XS";
    Iq1M = 29, 256, 56, "IQ1_M";
    Tq1_0 = 34, 256, 54, "TQ1_0";
    Tq2_0 = 35, 256, 66, "TQ2_0";
    Mxfp4 = 39, 32, 17, "MXFP4";
    Nvfp4 = 40, 64, 36, "NVFP4";
    Q1_0 = 41, 128, 18, "Q1_0";
}

impl Dtype {
    /// The type that a GGUF file names by ggml's id.
    pub(super) const fn of_ggml(id: u32) -> Option<Self> {
        match id {
            0 => Some(Self::F32),
            1 => Some(Self::F16),
            24 => Some(Self::I8),
            25 => Some(Self::I16),
            26 => Some(Self::I32),
            27 => Some(Self::I64),
            28 => Some(Self::F64),
            30 => Some(Self::BF16),
            _ => match GgufType::of_id(id) {
                Some(kind) => Some(Self::GgufBlock(kind)),
                None => None,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_have_the_sizes_that_ggml_asserts() {
        let bits_per_weight = |kind: GgufType| kind.block_bytes() as f64 * 8.0 / kind.block_elements() as f64;
        assert_eq!(bits_per_weight(GgufType::Q8_0), 8.5);
        assert_eq!(bits_per_weight(GgufType::Q6K), 6.5625);
        assert_eq!(bits_per_weight(GgufType::Q4K), 4.5);
        assert_eq!(bits_per_weight(GgufType::Iq4Xs), 4.25);
        assert_eq!(bits_per_weight(GgufType::Iq1S), 1.5625);
        assert_eq!(bits_per_weight(GgufType::Tq1_0), 1.6875);
        assert_eq!(bits_per_weight(GgufType::Mxfp4), 4.25);
        assert_eq!(GgufType::ALL.len(), 26);
    }

    #[test]
    fn a_tensor_is_a_whole_number_of_blocks() {
        assert_eq!(Dtype::GgufBlock(GgufType::Q8_0).len_of(&[2, 64]), Some(4 * 34));
        assert_eq!(Dtype::GgufBlock(GgufType::Q8_0).len_of(&[33]), None);
        assert_eq!(Dtype::F4.len_of(&[3]), None);
        assert_eq!(Dtype::F6E2M3.len_of(&[8]), Some(6));
        assert_eq!(Dtype::F32.len_of(&[]), Some(4));
        assert_eq!(Dtype::F32.len_of(&[u64::MAX, 2]), None);
        assert_eq!(Dtype::F64.len_of(&[u64::MAX / 2]), None);
    }

    #[test]
    fn names_are_the_usual_ones() {
        assert_eq!(Dtype::BF16.to_string(), "BF16");
        assert_eq!(Dtype::GgufBlock(GgufType::Q8_0).to_string(), "Q8_0");
        assert_eq!(format!("{:>4}", Dtype::U8), "  U8");
    }
}
