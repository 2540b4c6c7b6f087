//! How much different ways to cut find again.

use std::collections::HashSet;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use rayon::prelude::*;

use super::ledger::Ledger;
use super::survey::Surveyed;
use crate::base::units::{KIB, MIB};
use crate::chunking::{Chunker, segment_step};
use crate::clock;
use crate::error::{Error, ErrorKind};
use crate::format::config::Config;
use crate::monitor::Monitor as _;
use crate::pipeline::regions_of;
use crate::repo::{Groups, Repo, Sample};
use crate::source::OpenFile;

/// Bytes that are read at a time.
const BUFFER: u64 = 8 * MIB as u64;
/// Chunks that a set remembers; of more it remembers those with the lowest hashes, and counts by them.
const REMEMBERED: u64 = 1 << 20;
/// Files shorter than this are not worth several threads.
const SHORT: u64 = 256 * KIB as u64;

/// What one way to cut gave.
#[derive(Debug, Clone, PartialEq)]
pub struct ChunkerRow {
    /// What it is called.
    pub name: &'static str,
    /// Mean length of a chunk in bytes.
    pub mean: u64,
    /// Which share of the first version is left when repeated chunks are stored once.
    pub first: f64,
    /// Which share of the next versions is new, on average; `None` where there is one version only.
    pub next: Option<f64>,
    /// Bytes that were cut.
    pub bytes: u64,
    /// Time of one core for finding the cuts and hashing the chunks.
    pub cutting: Duration,
}

/// How a run of bytes is cut.
enum Cut {
    Content(Chunker),
    Fixed(usize),
    /// As a push does it: by content, but tensors in steps.
    Snap(Chunker),
}

struct Cutter {
    name: &'static str,
    cut: Cut,
    seen: HashSet<u64>,
    at: u64,
    /// Bytes read and bytes new, of plain bytes and of tensors, of this version.
    version: [(u64, u64); 2],
    shares: Vec<f64>,
    chunks: u64,
    bytes: u64,
    cutting: Duration,
}

/// Ways to cut, side by side.
pub(super) struct Chunkers<'r> {
    cutters: Vec<Cutter>,
    /// Hashes above this are not remembered.
    highest: u64,
    sample: Sample,
    /// Which share of each file's plain bytes is looked at, from its start.
    prefix: f64,
    repo: &'r Repo,
}

impl<'r> Chunkers<'r> {
    /// `total` is what all versions have, and `plain` what is read of it.
    pub(super) fn new(repo: &'r Repo, sample: Sample, prefix: f64, total: u64) -> Self {
        let content = |kib: usize| {
            let avg = (kib * KIB) as u32;
            let config = Config { chunk_min: avg / 4, chunk_avg: avg, chunk_max: avg * 4, ..repo.config.clone() };
            Chunker::new(&config, repo.keys.gear())
        };
        let cutter = |name, cut| Cutter {
            name,
            cut,
            seen: HashSet::new(),
            at: 0,
            version: [(0, 0); 2],
            shares: Vec::new(),
            chunks: 0,
            bytes: 0,
            cutting: Duration::ZERO,
        };
        let cutters = vec![
            cutter("FastCDC 16 KiB", Cut::Content(content(16))),
            cutter("FastCDC 64 KiB", Cut::Content(content(64))),
            cutter("FastCDC 256 KiB", Cut::Content(content(256))),
            cutter("fixed 1 MiB", Cut::Fixed(MIB)),
            cutter("snap: tensor segments + FastCDC 256 KiB", Cut::Snap(repo.chunker())),
        ];
        let expected = total / (16 * KIB as u64);
        let highest = if expected <= REMEMBERED { u64::MAX } else { u64::MAX / expected.max(1) * REMEMBERED };
        Self { cutters, highest, sample, prefix, repo }
    }

    /// Cuts one version.
    pub(super) fn version(&mut self, surveyed: &Surveyed, ledger: &Ledger<'_>) -> Result<(), Error> {
        for (path, len) in &surveyed.files {
            if ledger.interrupted() {
                return Err(Error::new(ErrorKind::Interrupted, "interrupted"));
            }
            // What cannot be read was told of by the push.
            let _ = self.file(path, *len);
            ledger.advance(*len);
        }
        let plain = surveyed.kinds.get("plain").copied().unwrap_or(0) as f64;
        for cutter in &mut self.cutters {
            let counts = std::mem::take(&mut cutter.version);
            let new = |(read, new): (u64, u64), all: f64| if read == 0 { 0.0 } else { all * new as f64 / read as f64 };
            let new = new(counts[0], plain) + new(counts[1], surveyed.bytes as f64 - plain);
            cutter.shares.push(if surveyed.bytes == 0 { 0.0 } else { new / surveyed.bytes as f64 });
        }
        Ok(())
    }

    fn file(&mut self, path: &Path, len: u64) -> io::Result<()> {
        let file = OpenFile::open(path).map_err(io::Error::other)?;
        let (layout, regions) = regions_of(&file)?;
        let len = len.min(file.len());
        let segment_len = self.repo.config.segment_len as usize;
        let sampled = self.sample != Sample::ALL;
        let Some(layout) = layout else {
            return self.run(&file, 0..(len as f64 * self.prefix) as u64, None, false, |_| true);
        };
        let is_snap = |cutter: &Cutter| matches!(cutter.cut, Cut::Snap(_));
        if !sampled {
            // Where nothing is left out, the others do not know where tensors begin.
            self.run(&file, 0..len, None, true, |cutter| !is_snap(cutter))?;
        }
        let mut groups = Groups::default();
        for region in regions {
            let tensor = region.tensor.and_then(|index| layout.tensors.get(index));
            let Some(tensor) = tensor else {
                let end = region.offset + (region.len as f64 * self.prefix) as u64;
                self.run(&file, region.offset..end, None, false, |cutter| sampled || is_snap(cutter))?;
                continue;
            };
            let step = segment_step(segment_len, tensor.dtype);
            if !sampled {
                self.run(&file, region.offset..region.offset + region.len, Some(step), true, is_snap)?;
                continue;
            }
            for at in (0..region.len).step_by(step) {
                let len = (region.len - at).min(step as u64);
                if self.sample.segment(&mut groups, segment_len, tensor, at, len as usize).taken {
                    let start = region.offset + at;
                    self.run(&file, start..start + len, Some(step), true, |_| true)?;
                }
            }
        }
        Ok(())
    }

    /// Cuts a range of a file with those that are `wanted`.
    fn run(
        &mut self,
        file: &OpenFile,
        range: Range<u64>,
        step: Option<usize>,
        tensor: bool,
        wanted: impl Fn(&Cutter) -> bool,
    ) -> io::Result<()> {
        let highest = self.highest;
        let mut cutters: Vec<&mut Cutter> = self.cutters.iter_mut().filter(|cutter| wanted(cutter)).collect();
        cutters.iter_mut().for_each(|cutter| cutter.at = range.start);
        let mut bytes = Vec::new();
        loop {
            let start = cutters.iter().map(|cutter| cutter.at).min().unwrap_or(range.end);
            if start >= range.end {
                return Ok(());
            }
            let end = range.end.min(start + BUFFER);
            bytes.resize((end - start) as usize, 0);
            file.read_exact_at(start, &mut bytes)?;
            let last = end == range.end;
            let take = |cutter: &mut &mut Cutter| cutter.take(&bytes, start, last, step, tensor, highest);
            if end - start < SHORT {
                cutters.iter_mut().for_each(take)
            } else {
                self.repo.pool.install(|| cutters.par_iter_mut().for_each(take))
            }
        }
    }

    /// What came of it.
    pub(super) fn rows(self) -> Vec<ChunkerRow> {
        let row = |cutter: Cutter| ChunkerRow {
            name: cutter.name,
            mean: cutter.bytes / cutter.chunks.max(1),
            first: cutter.shares.first().copied().unwrap_or(0.0),
            next: (cutter.shares.len() > 1).then(|| cutter.shares[1..].iter().sum::<f64>() / (cutter.shares.len() - 1) as f64),
            bytes: cutter.bytes,
            cutting: cutter.cutting,
        };
        self.cutters.into_iter().map(row).collect()
    }
}

impl Cutter {
    /// Cuts what can be cut of `bytes`, which begin at `start`.
    fn take(&mut self, bytes: &[u8], start: u64, last: bool, step: Option<usize>, tensor: bool, highest: u64) {
        let mut at = (self.at - start) as usize;
        let mut lens = Vec::new();
        let began = clock::of_this_thread();
        loop {
            let rest = &bytes[at..];
            let fixed = match &self.cut {
                Cut::Fixed(step) => Some(*step),
                Cut::Snap(_) => step,
                Cut::Content(_) => None,
            };
            let chunker = match &self.cut {
                Cut::Content(chunker) | Cut::Snap(chunker) => Some(chunker),
                Cut::Fixed(_) => None,
            };
            let longest = fixed.or_else(|| Some(chunker?.max())).unwrap_or(1);
            if rest.is_empty() || !last && rest.len() < longest {
                break;
            }
            let len = match (fixed, chunker) {
                (None, Some(chunker)) => chunker.cut(rest),
                _ => longest.min(rest.len()),
            };
            lens.push(len);
            at += len;
        }
        let mut from = (self.at - start) as usize;
        for len in lens {
            let hash = blake3::hash(&bytes[from..from + len]);
            let hash = u64::from_le_bytes(hash.as_bytes()[..8].try_into().expect("a hash has 32 bytes"));
            from += len;
            self.chunks += 1;
            self.bytes += len as u64;
            if hash <= highest {
                let (read, new) = &mut self.version[usize::from(tensor)];
                *read += len as u64;
                *new += if self.seen.insert(hash) { len as u64 } else { 0 };
            }
        }
        self.cutting += clock::of_this_thread().saturating_sub(began);
        self.at = start + at as u64;
    }
}
