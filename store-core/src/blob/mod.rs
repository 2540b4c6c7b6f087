//! L2: blobs: chunks are grouped, coded and, in [`crate::format::pack`], sealed. The one place that decides how a group of chunks is coded.

mod code;
mod group;

pub use code::{Bases, CodedBlob, DecodeError, Plain, base_of, codec_name, decode, encode};
pub use group::group_is_full;
