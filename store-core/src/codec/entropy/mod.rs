//! The entropy coders: for the symbols of numbers, static range asymmetric numeral systems (rANS), sixteen interleaved states, 12-bit frequencies, 16-bit words,
//! one table chosen for each symbol by its context (`spec/CODECS.md`, section 2); for scripts of a few hundred numbers, single bits with chances that learn ([`binary`]).
//!
//! Source of the method: J. Duda, "Asymmetric numeral systems", 2013; interleaving: F. Giesen, "Interleaved entropy coders", 2014.

mod binary;
mod cluster;
mod freqs;
mod map;
mod number;
mod rans;
#[cfg(target_arch = "x86_64")]
mod rans_avx2;

pub(super) use binary::{BitDecoder, BitEncoder, Bits, Chance, tree};
pub(super) use cluster::{Clusters, cluster, cost, log2};
pub(super) use freqs::{Freqs, read_tables, write_tables};
pub(super) use map::{read_map, write_map};
pub(super) use number::Model;
pub(super) use rans::{Blocks, DecodeTables, LANES, RansDecoder, TABLES, decode_one, encode};

/// Binary logarithm of the sum of the frequencies of a table.
pub(super) const SCALE_BITS: u32 = 12;
/// Sum of the frequencies of a table.
pub(super) const SCALE: u32 = 1 << SCALE_BITS;
#[cfg(target_arch = "x86_64")]
pub(super) use rans_avx2::Avx2Blocks;
