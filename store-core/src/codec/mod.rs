//! L1: lossless codecs for the plaintext of blobs: pure functions over byte slices.
//!
//! [`planes`] codes numbers by themselves, [`float_diff`] codes numbers given older numbers of the same shape, and
//! [`estimate`] predicts from a sample what either would cost. [`edits`] codes plain bytes given older ones. All arithmetic is on integers: any bit pattern comes back
//! exactly, NaN payloads and −0 among them. The bytes are in `spec/CODECS.md`. Only [`convert`], which guesses, divides and multiplies in binary32.
//!
//! A decoder takes the plain length from its caller, allocates no more than that and some tables, refuses what no encoder
//! writes with a [`CodecError`], and never panics.

mod bits;
mod blocks;
mod compression;
mod convert;
pub mod edits;
mod element;
mod entropy;
mod error;
pub mod estimate;
pub mod float_diff;
mod incompressible;
mod kernel;
pub mod planes;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod vectors;
mod zstd_frame;

pub use compression::Compression;
pub(crate) use convert::widened;
pub use convert::{convert, converted_from_len};
pub use element::{BlockKind, Element};
pub use error::CodecError;
pub use incompressible::looks_incompressible;
pub use zstd_frame::{zstd_decode, zstd_decode_with_prefix, zstd_encode, zstd_encode_with_prefix};
