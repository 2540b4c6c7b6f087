//! L2: blobs: chunks are grouped, coded and, in [`crate::format::pack`], sealed. The one place that decides how a group of chunks is coded.

mod bases;
mod chain;
mod code;
mod content;
mod group;
mod weighed;

pub use bases::Bases;
pub use chain::{Chain, Charge, MOST_READS};
pub use code::{
    CodedBlob, DecodeError, LEFT_OUT_LEN, Plain, base_len, base_of, bases_at, bases_below, codec_name, coded_len, decode, dtype_of, encode,
    follow, is_coded_alike, is_edits, kind_of_bases, left_out, listed_len,
};
pub use content::{BaseChunk, Content};
pub use group::group_is_full;
pub use weighed::{Refusal, Weighed};
