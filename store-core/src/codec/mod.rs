//! L1: lossless codecs for the plaintext of blobs: pure functions over byte slices (`spec/CODECS.md`).

mod compression;
mod error;
mod incompressible;
mod zstd_frame;

pub use compression::Compression;
pub use error::CodecError;
pub use incompressible::looks_incompressible;
pub use zstd_frame::{zstd_decode, zstd_encode};
