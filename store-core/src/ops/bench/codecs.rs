//! Codecs on blocks of the data, each block by itself.

use std::io;
use std::time::Duration;

use rayon::prelude::*;

use super::estimate::Units;
use super::survey::{Block, name_of};
use crate::blob::{self, Plain, codec_name};
use crate::clock;
use crate::codec::{Compression, zstd_encode};
use crate::format::blob::BlobKind;
use crate::source::OpenFile;
use crate::tensor::Dtype;

/// One codec on one kind of data.
#[derive(Debug, Clone, PartialEq)]
pub struct CodecRow {
    /// The kind of data: a dtype's name, or `plain`.
    pub data: &'static str,
    /// The codec.
    pub codec: String,
    /// Bytes that it was given.
    pub plain: u64,
    /// Bytes that it made of them.
    pub coded: u64,
    /// One standard error of the share that is left; 0 where all data of the kind was tried, or it is not known.
    pub error: f64,
    /// Time of one core.
    pub coding: Duration,
    /// Whether it was given what the version before has in its place.
    pub with_base: bool,
}

/// What `snap` would choose for a kind of data that has no base.
const ALONE: &str = "snap";

/// Tries all codecs on blocks of data of one kind, of which there are `bytes`.
pub(super) fn try_all(dtype: Option<Dtype>, bytes: u64, blocks: &[Block], compression: Compression) -> Vec<CodecRow> {
    let runs: Vec<(String, Box<dyn Fn(&[u8]) -> (usize, &'static str) + Sync>)> = [
        ("gzip -6".to_owned(), Box::new(|plain: &[u8]| (miniz_oxide::deflate::compress_to_vec(plain, 6).len(), "")) as Box<_>),
        ("zstd -1".to_owned(), Box::new(|plain: &[u8]| (zstd_encode(plain, 1).len(), "")) as Box<_>),
        ("zstd -3".to_owned(), Box::new(|plain: &[u8]| (zstd_encode(plain, 3).len(), "")) as Box<_>),
        ("zstd -9".to_owned(), Box::new(|plain: &[u8]| (zstd_encode(plain, 9).len(), "")) as Box<_>),
        ("zstd -19".to_owned(), Box::new(|plain: &[u8]| (zstd_encode(plain, 19).len(), "")) as Box<_>),
        (
            ALONE.to_owned(),
            Box::new(move |plain: &[u8]| {
                let coded = blob::encode(Plain { kind: BlobKind::Data, bytes: plain, dtype }, vec![plain.len() as u32], None, compression);
                (coded.bytes.len(), codec_name(&coded.frame))
            }) as Box<_>,
        ),
    ]
    .into();
    // For each block what each codec made of it: length, time, name of the choice.
    let measured: Vec<Vec<(usize, usize, Duration, &'static str)>> = blocks
        .par_iter()
        .filter_map(|block| block.read().ok())
        .map(|plain| {
            let run = |(_, run): &(String, Box<dyn Fn(&[u8]) -> (usize, &'static str) + Sync>)| {
                let started = clock::of_this_thread();
                let (len, name) = run(&plain);
                (plain.len(), len, clock::of_this_thread().saturating_sub(started), name)
            };
            runs.iter().map(run).collect()
        })
        .collect();
    let row = |(number, (codec, _)): (usize, &(String, _))| {
        let mut units = Units::default();
        let (mut coded, mut coding, mut chosen) = (0, Duration::ZERO, Vec::new());
        for block in &measured {
            let (plain, len, time, name) = block[number];
            units.add(plain as f64, len as f64);
            coded += len as u64;
            coding += time;
            if !name.is_empty() && !chosen.contains(&name) {
                chosen.push(name);
            }
        }
        let codec = if chosen.is_empty() { codec.clone() } else { format!("{codec}: {}", chosen.join(", ")) };
        let plain = units.plain() as u64;
        CodecRow { data: name_of(dtype), codec, plain, coded, error: units.scaled_to(bytes as f64).error / bytes.max(1) as f64, coding, with_base: false }
    };
    if measured.is_empty() { Vec::new() } else { runs.iter().enumerate().map(row).collect() }
}

impl Block {
    fn read(&self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        for (path, offset, len) in &self.pieces {
            let start = bytes.len();
            bytes.resize(start + len, 0);
            let file = OpenFile::open(path).map_err(io::Error::other)?;
            file.read_exact_at(*offset, &mut bytes[start..])?;
        }
        Ok(bytes)
    }
}
