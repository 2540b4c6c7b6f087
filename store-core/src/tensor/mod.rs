//! L1: where the tensors of a weights file lie, as `spec/REGIONS.md` describes it.
//!
//! Five formats are known: safetensors, GGUF, PyTorch zips, NumPy `.npy`, and stored `.npz`. Each is recognised by its bytes, never by
//! a file's name. A [`Detector`] asks for the byte ranges that it needs and the caller fetches them; nothing here reads a file.
//!
//! What comes out is advice. Every [`Layout`] holds to [`Layout::is_valid`] (sorted, disjoint, inside the file), whatever the
//! bytes were, but nothing proves that a tensor's numbers are what its dtype says: a wrong layout may cost size, never a byte. Anything
//! odd drops the tensor or makes the file plain; no input is an error, none panics, and work and memory are bounded by the limits below.
//! A pickle is never run: its opcodes are read as a table of contents.

mod cursor;
mod detect;
mod dtype;
mod gguf;
mod layout;
mod npy;
mod pickle;
mod pytorch;
mod safetensors;
#[cfg(test)]
mod samples;
mod zip;

use crate::base::units::{KIB, MIB};

pub use detect::{Detector, Step, layout_of};
pub use dtype::{Dtype, GgufType};
pub use layout::{Format, Layout, Tensor};

/// Bytes of the file that the first call of [`Detector::step`] is given, unless the file is shorter.
pub const PREFIX_LEN: usize = 64 * KIB;
/// Bytes of a header that is read as one: a safetensors header, a zip directory, a pickle. safetensors itself allows 100 MB; the
/// headers of real files take about 150 bytes a tensor.
pub const HEADER_LEN: usize = 16 * MIB;
/// Bytes that one detection may ask for, all steps together.
pub const REQUESTED_LEN: u64 = 64 * MIB as u64;
/// Steps of one detection. A zip takes one for each member whose local header lies apart from the others.
pub const STEPS: u32 = 1 << 18;
/// Tensors of one file.
pub const TENSORS: usize = 1 << 18;
/// Bytes of one tensor's name.
pub const NAME_LEN: usize = 4 * KIB;
/// Bytes of all names of one file.
pub const NAMES_LEN: usize = 16 * MIB;
/// Dimensions of one tensor.
pub const DIMS: usize = 16;
