//! L1: lossless codecs for the plaintext of blobs: pure functions over byte slices.
//!
//! [`planes`] codes numbers by themselves, [`float_diff`] codes numbers given older numbers of the same shape, and
//! [`estimate`] predicts from a sample what either would cost. All arithmetic is on integers: any bit pattern comes back
//! exactly, NaN payloads and −0 among them. The bytes are in `spec/CODECS.md`.
//!
//! A decoder takes the plain length from its caller, allocates no more than that and some tables, refuses what no encoder
//! writes with a [`CodecError`], and never panics.

mod bits;
mod blocks;
mod element;
mod entropy;
pub mod estimate;
pub mod float_diff;
mod kernel;
pub mod planes;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod vectors;

pub use element::{BlockKind, Element};

/// Coded bytes that cannot be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The bytes end before the values do.
    #[error("coded bytes end too early")]
    Truncated,
    /// Bytes follow the last value.
    #[error("bytes follow the coded values")]
    Trailing,
    /// The base is not as long as the plain bytes.
    #[error("the base is not as long as what it is the base of")]
    BaseLength,
    /// A field has a value that no encoder writes.
    #[error("coded bytes are malformed: {0}")]
    Malformed(&'static str),
}

impl From<crate::base::wire::WireError> for CodecError {
    fn from(error: crate::base::wire::WireError) -> Self {
        match error {
            crate::base::wire::WireError::Truncated => Self::Truncated,
            crate::base::wire::WireError::Trailing(_) => Self::Trailing,
            _ => Self::Malformed("a number"),
        }
    }
}
