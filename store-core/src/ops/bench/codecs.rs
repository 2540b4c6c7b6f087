//! Codecs on blocks of the data, each block by itself.

use std::io;
use std::time::Duration;

use rayon::prelude::*;

use super::estimate::Seen;
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
    /// How far off the share that is left may lie in 19 of 20 cases, for all data of the kind; 0 where all data of the kind was tried, or it is not known.
    pub error: f64,
    /// Time of one core.
    pub coding: Duration,
    /// Whether it was given what the version before has in its place.
    pub with_base: bool,
}

/// What `snap` would choose for a kind of data that has no base.
const ALONE: &str = "snap";
/// Blocks that a slow codec is tried on.
const SLOW_BLOCKS: usize = 4;

/// Codes a block, of which each file's part has its length: the length of what comes out, and what the codec is called where it was chosen from several.
type Run = Box<dyn Fn(&[u8], &[usize]) -> (usize, &'static str) + Sync>;

/// Header and checksum of a gzip file, in bytes.
const GZIP_FRAME: usize = 18;

/// Tries all codecs on blocks of data of one kind, of which there are `bytes`.
pub(super) fn try_all(dtype: Option<Dtype>, bytes: u64, blocks: &[Block], compression: Compression) -> Vec<CodecRow> {
    let snap = move |plain: &[u8], _: &[usize]| {
        let coded = blob::encode(Plain { kind: BlobKind::Data, bytes: plain, dtype }, vec![plain.len() as u32], None, compression);
        (coded.bytes.len(), codec_name(&coded.frame))
    };
    let zstd = |level: i32| -> Run { Box::new(move |plain: &[u8], _: &[usize]| (zstd_encode(plain, level).len(), "")) };
    // As it is done by hand, a file at a time.
    let gzip: Run = Box::new(|plain: &[u8], lens: &[usize]| {
        let (mut len, mut rest) = (0, plain);
        for part in lens {
            let (file, others) = rest.split_at(*part);
            len += GZIP_FRAME + miniz_oxide::deflate::compress_to_vec(file, 6).len();
            rest = others;
        }
        (len, "")
    });
    let all = blocks.len();
    let runs = [
        ("gzip -6", all, gzip),
        ("zstd -1", all, zstd(1)),
        ("zstd -3", all, zstd(3)),
        ("zstd -9", all, zstd(9)),
        ("zstd -19", SLOW_BLOCKS, zstd(19)),
        (ALONE, all, Box::new(snap)),
    ];
    // For each block what each codec made of it: length, length, time, name of the choice.
    let measure = |(number, plain, lens): (usize, Vec<u8>, Vec<usize>)| {
        let run = |(_, most, run): &(&str, usize, Run)| {
            let started = clock::of_this_thread();
            let (len, name) = if number < *most { run(&plain, &lens) } else { return None };
            Some((plain.len(), len, clock::of_this_thread().saturating_sub(started), name))
        };
        runs.iter().map(run).collect::<Vec<_>>()
    };
    let read = blocks.par_iter().enumerate().filter_map(|(number, block)| {
        let lens = block.pieces.iter().map(|(_, _, len)| *len).collect();
        Some((number, block.read().ok()?, lens))
    });
    let measured: Vec<_> = read.map(measure).collect();
    let row = |(place, (codec, ..)): (usize, &(&str, usize, Run))| {
        let (mut seen, mut coded, mut coding, mut chosen) = (Seen::default(), 0, Duration::ZERO, Vec::new());
        let tried = || measured.iter().filter_map(|block| block[place]);
        let all: usize = tried().map(|(plain, ..)| plain).sum();
        for (number, (plain, len, time, name)) in tried().enumerate() {
            seen.add(number as u64, all as f64 / bytes.max(1) as f64, plain as f64, len as f64);
            coded += len as u64;
            coding += time;
            if !name.is_empty() && !chosen.contains(&name) {
                chosen.push(name);
            }
        }
        let codec = if chosen.is_empty() { (*codec).to_owned() } else { format!("{codec}: {}", chosen.join(", ")) };
        let error = seen.whole(bytes as f64).error / bytes.max(1) as f64;
        CodecRow { data: name_of(dtype), codec, plain: all as u64, coded, error, coding, with_base: false }
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
