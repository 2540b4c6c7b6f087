//! L1: where files are cut into chunks (`spec/FORMAT.md`, section 11): content-defined in plain data, element-aligned in tensors.

mod cdc;
mod segments;

pub use cdc::Chunker;
pub use segments::{Region, regions, segment_step};
