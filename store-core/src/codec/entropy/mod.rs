//! The entropy coder: static range asymmetric numeral systems (rANS), eight interleaved states, 12-bit frequencies, 16-bit words,
//! one table chosen for each symbol by its context. `spec/CODECS.md`, section 2.
//!
//! Source of the method: J. Duda, "Asymmetric numeral systems", 2013; interleaving: F. Giesen, "Interleaved entropy coders", 2014.

mod cluster;
mod freqs;
mod rans;

pub(super) use cluster::{cluster, log2};
pub(super) use freqs::{Freqs, read_tables, write_tables};
pub(super) use rans::{DecodeTables, LANES, RansDecoder, TABLES, decode_one, encode};

/// Binary logarithm of the sum of the frequencies of a table.
pub(super) const SCALE_BITS: u32 = 12;
/// Sum of the frequencies of a table.
pub(super) const SCALE: u32 = 1 << SCALE_BITS;
