//! `bench`: what `snap` would make of data, without a repository of the user's.
//!
//! The versions are pushed, one after the other, into a scratch repository that counts and drops what it is given (`repo/scratch.rs`): the very
//! code of a push cuts, looks up, chooses bases and codecs, so that what is measured is what is done. Beside that, other ways to cut and to
//! compress are tried on the same bytes. All data is measured, or of much data a sample; then the sizes of versions say how far they may be off.
//!
//! Nothing is written but a chunk index below the cache folder, which is removed at the end.

mod chunkers;
mod codecs;
mod estimate;
mod ledger;
mod survey;
#[cfg(test)]
mod tests;
mod versions;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

pub use chunkers::ChunkerRow;
pub use codecs::CodecRow;
pub use estimate::Estimate;
pub use versions::versions_in;

use chunkers::Chunkers;
use ledger::{Ledger, Page};
use survey::{Survey, Surveyed};

use super::push::{self, Source, push};
use crate::base::ids::{ChunkId, NodeId, SnapshotId};
use crate::base::units::GIB;
use crate::clock;
use crate::error::{Error, ErrorKind};
use crate::format::config::Config;
use crate::format::entry::{Content, Extent, Kind};
use crate::merkle::{EntriesCursor, ExtentsCursor};
use crate::monitor::{BaseWays, Monitor};
use crate::repo::{OpenOptions, Repo, Sample, Scratch, Taken, path_of};
use crate::source::Selection;
use crate::tensor::Dtype;

/// What is measured whole unless somebody says otherwise: it takes seconds.
pub const SAMPLE: u64 = GIB / 2;
/// Groups that are drawn of the tensors of a version, at least: fewer say nothing of how far they are off.
const LEAST_GROUPS: u64 = 32;
/// Blobs of plain bytes of a version that are coded for each share, at least.
const LEAST_BLOBS: u64 = 8;
/// Plain bytes that ways to cut are compared on.
const COMPARED: u64 = 2 * GIB;

/// What to measure, and with what.
#[derive(Debug, Clone)]
pub struct Options {
    /// The versions, oldest first: files or folders.
    pub versions: Vec<PathBuf>,
    /// Up to so many bytes all is measured, and about so many are coded of more; `None` measures all.
    pub sample: Option<u64>,
    /// Another one gives another sample.
    pub seed: u64,
    /// Threads, memory, compression, and the folder below which the chunk index is kept meanwhile. No location is looked at.
    pub open: OpenOptions,
}

/// What one version would cost.
#[derive(Debug, Clone, PartialEq)]
pub struct Version {
    /// Its name, short.
    pub name: String,
    /// Its files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes that no version before has, by chunks.
    pub new: Estimate,
    /// What its push would add to a repository, all included.
    pub stored: Estimate,
    /// How much of that is lists, footers, index and record.
    pub metadata: Estimate,
    /// By kind of data: what is new, and what that takes.
    pub kinds: Vec<(&'static str, Estimate, Estimate)>,
    /// How bases were found, by chunks.
    pub ways: BaseWays,
}

/// What a push used a codec for, in the first version or in those after it.
#[derive(Debug, Clone, PartialEq)]
pub struct Used {
    /// Whether it is of the first version.
    pub first: bool,
    /// The kind of data.
    pub data: &'static str,
    /// The codec.
    pub codec: &'static str,
    /// Blobs of the sample.
    pub blobs: u64,
    /// Their plain bytes.
    pub plain: u64,
    /// Their sealed bytes.
    pub stored: u64,
    /// Time of one core for choosing and coding.
    pub coding: Duration,
}

/// What was measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The versions, oldest first.
    pub versions: Vec<Version>,
    /// Bytes by kind of data, of all versions.
    pub kinds: Vec<(&'static str, u64)>,
    /// Whether anything was left out, and a sample stands for it.
    pub sampled: bool,
    /// Bytes that were coded as in a push.
    pub coded: u64,
    /// Ways to cut.
    pub chunkers: Vec<ChunkerRow>,
    /// Ways to compress.
    pub codecs: Vec<CodecRow>,
    /// What a push used.
    pub used: Vec<Used>,
    /// Bytes of a gzip of each version.
    pub gzip: Estimate,
    /// Bytes of all versions.
    pub full: u64,
    /// Paths that could not be read.
    pub unreadable: u64,
    /// How long it took.
    pub duration: Duration,
}

impl Report {
    /// What the next version costs, on average; `None` where there is but one.
    pub fn next(&self) -> Option<Estimate> {
        let next = self.versions.get(1..).filter(|next| !next.is_empty())?;
        let mean = |of: fn(&Version) -> f64| next.iter().map(of).sum::<f64>() / next.len() as f64;
        // Each version brings the same segments of tensors: where one is off, so are the others.
        Some(Estimate { bytes: mean(|version| version.stored.bytes), error: mean(|version| version.stored.error) })
    }
}

/// Measures.
///
/// # Errors
/// When a path cannot be read as a whole, the chunk index cannot be kept, or the monitor interrupts.
pub fn bench(options: &Options, monitor: &dyn Monitor) -> Result<Report, Error> {
    let started = Instant::now();
    let survey = Survey::of(&options.versions, monitor)?;
    let total = survey.bytes();
    let sample = sample_of(options, &survey);
    let prefix = if sample == Sample::ALL { 1.0 } else { share(COMPARED, survey.of_kind("plain")) };
    let folder = Folder::make(&options.open.cache_dir)?;
    let (repo, scratch) = Repo::scratch(&OpenOptions { cache_dir: folder.0.clone(), ..options.open.clone() }, sample)?;
    let ledger = Ledger::new(monitor, 2 * total);
    let Measured { versions, used, unreadable, left_out, .. } = Measured::of(&repo, &scratch, options, &survey, sample, &ledger)?;
    let used: Vec<_> = used.into_values().collect();
    let mut chunkers = Chunkers::new(&repo, sample, prefix, total);
    survey.versions.iter().try_for_each(|version| chunkers.version(version, &ledger))?;
    let chunkers = chunkers.rows();

    let mut kinds = BTreeMap::<_, u64>::new();
    survey.versions.iter().flat_map(|version| &version.kinds).for_each(|(name, bytes)| *kinds.entry(*name).or_default() += bytes);
    let mut kinds: Vec<_> = kinds.into_iter().collect();
    kinds.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    let mut codecs = Vec::new();
    for (dtype, bytes, blocks) in survey.blocks() {
        if monitor.interrupted() {
            return Err(Error::new(ErrorKind::Interrupted, "interrupted"));
        }
        codecs.extend(repo.pool.install(|| codecs::try_all(dtype, bytes, &blocks, options.open.compression)));
    }
    let gzip = codecs.iter().filter(|row| row.codec.starts_with("gzip")).fold(Estimate::default(), |sum, row| {
        let bytes = kinds.iter().find(|(name, _)| *name == row.data).map_or(0.0, |(_, bytes)| *bytes as f64);
        let share = row.coded as f64 / row.plain.max(1) as f64;
        sum + Estimate { bytes: share * bytes, error: row.error * bytes }
    });
    codecs.extend(with_bases(&used));
    codecs.sort_by_key(|row| kinds.iter().position(|(name, _)| *name == row.data));
    let coded = used.iter().map(|used| used.plain).sum();
    Ok(Report {
        versions,
        kinds,
        sampled: left_out,
        coded,
        chunkers,
        codecs,
        used,
        gzip,
        full: total,
        unreadable,
        duration: started.elapsed(),
    })
}

fn share(of: u64, all: u64) -> f64 {
    if all <= of { 1.0 } else { of as f64 / all as f64 }
}

/// Which part of what was surveyed is coded.
fn sample_of(options: &Options, survey: &Survey) -> Sample {
    let total = survey.bytes();
    let Some(size) = options.sample.filter(|size| *size < total) else { return Sample::ALL };
    let config = Config::new(clock::now());
    let versions = survey.versions.len().max(1) as u64;
    Sample {
        segments: share(size.max(LEAST_GROUPS * u64::from(config.segment_len) * versions), total - survey.of_kind("plain")),
        stage: Some((size / 4 / versions).max(LEAST_BLOBS * u64::from(config.blob_len))),
        seed: options.seed,
    }
}

/// What the codecs that need an older version made of the sample.
fn with_bases(used: &[Used]) -> Vec<CodecRow> {
    let rows = used.iter().filter(|used| matches!(used.codec, "difference" | "trend" | "zstd delta" | "edits"));
    let row = |used: &Used| CodecRow {
        data: used.data,
        codec: format!("snap: {}", used.codec),
        plain: used.plain,
        coded: used.stored,
        error: 0.0,
        coding: used.coding,
        with_base: true,
    };
    rows.map(row).collect()
}

struct Measured<'r> {
    repo: &'r Repo,
    scratch: &'r Scratch,
    /// Which share of tensors is drawn.
    share: f64,
    /// Whether anything was left out so far.
    left_out: bool,
    versions: Vec<Version>,
    used: BTreeMap<(bool, &'static str, &'static str), Used>,
    unreadable: u64,
}

impl<'r> Measured<'r> {
    /// Pushes all versions.
    fn of(
        repo: &'r Repo,
        scratch: &'r Scratch,
        options: &Options,
        survey: &Survey,
        sample: Sample,
        ledger: &Ledger<'_>,
    ) -> Result<Self, Error> {
        let (share, versions, used) = (sample.segments, Vec::new(), BTreeMap::new());
        let mut measured = Self { repo, scratch, share, left_out: false, versions, used, unreadable: 0 };
        let names = versions::labels(&options.versions);
        for ((path, name), surveyed) in options.versions.iter().zip(names).zip(&survey.versions) {
            measured.push(path, name, surveyed, ledger)?;
        }
        Ok(measured)
    }

    fn push(&mut self, path: &Path, name: String, surveyed: &Surveyed, ledger: &Ledger<'_>) -> Result<(), Error> {
        let before = self.scratch.written();
        let selection = Selection { paths: vec![path.to_path_buf()], ..Selection::default() };
        let mut options = push::Options::new(Source::Paths(selection));
        options.series = Some("bench".into());
        self.scratch.begin(surveyed.kinds.get("plain").copied().unwrap_or(0));
        let report = push(self.repo, options, ledger)?;
        let page = ledger.turn(surveyed.bytes);
        let tensors = self.scratch.end();
        self.remember(path, report.snapshot)?;
        let grown = self.scratch.written() - before;
        let first = self.versions.is_empty();
        self.unreadable += report.unreadable;
        self.note(first, &page);
        let mut version = version(name, &report, &page, tensors, grown, self.share);
        self.left_out |= version.stored.error > 0.0;
        if self.left_out {
            version.stored = version.stored.at_best();
        }
        self.versions.push(version);
        Ok(())
    }

    fn note(&mut self, first: bool, page: &Page) {
        for ((data, codec), used) in &page.uses {
            let entry = self.used.entry((first, data, codec)).or_insert_with(|| Used {
                first,
                data,
                codec,
                blobs: 0,
                plain: 0,
                stored: 0,
                coding: Duration::ZERO,
            });
            entry.blobs += used.blobs;
            entry.plain += used.plain;
            entry.stored += used.stored;
            entry.coding += used.coding;
        }
    }

    /// Takes note of where the last version's chunks are.
    fn remember(&self, path: &Path, snapshot: Option<SnapshotId>) -> Result<(), Error> {
        let Some(last) = self.repo.snapshots()?.into_iter().find(|stored| Some(stored.id) == snapshot) else { return Ok(()) };
        let is_folder = path.is_dir();
        let folder = if is_folder { path } else { path.parent().unwrap_or(Path::new("")) };
        let mut pending: Vec<(Vec<Vec<u8>>, Option<NodeId>)> = vec![(Vec::new(), push::root_directory(self.repo, &last.snapshot))];
        while let Some((names, node)) = pending.pop() {
            let mut entries = EntriesCursor::new(self.repo, node);
            while let Some(entry) = entries.next()? {
                let names = [&names[..], std::slice::from_ref(&entry.name)].concat();
                match entry.kind {
                    Kind::Directory { entries } => pending.push((names, entries)),
                    Kind::File { content, .. } => self.scratch.place(path_of(folder, &names), self.places(&content)?.into_iter())?,
                    _ => {}
                }
            }
        }
        Ok(())
    }

    fn places(&self, content: &Content) -> Result<Vec<(ChunkId, u64)>, Error> {
        let (mut found, mut at) = (Vec::new(), 0);
        let mut add = |extent: Extent| {
            if let Extent::Chunk { id, .. } = extent {
                found.push((id, at));
            }
            at += extent.len();
        };
        match content {
            Content::Inline(extents) => extents.iter().copied().for_each(&mut add),
            Content::List(root) => {
                let mut cursor = ExtentsCursor::new(self.repo, *root);
                while let Some(extent) = cursor.next()? {
                    add(extent);
                }
            }
        }
        Ok(found)
    }
}

/// What a push of one version told.
fn version(name: String, report: &push::Report, page: &Page, tensors: HashMap<Dtype, Taken>, grown: u64, share: f64) -> Version {
    let mut by_name = BTreeMap::<&'static str, Taken>::new();
    for (dtype, taken) in tensors {
        let entry = by_name.entry(dtype.name()).or_default();
        entry.all += taken.all;
        entry.segments_left_out += taken.segments_left_out;
        entry.units.extend(taken.units);
    }
    let settled = page.settle(&by_name, share);
    // Segments that were left out would stand in lists and in the index, as the others do; but what they would take is a guess.
    let left_out: u64 = by_name.values().map(|taken| taken.segments_left_out).sum();
    let chunks = (report.chunks_new + report.chunks_known).max(1) as f64;
    let written = grown.saturating_sub(page.sealed) as f64;
    let guess = written * left_out as f64 / chunks;
    let metadata = Estimate { bytes: written + guess, error: guess / 4.0 };
    let (mut stored, mut new) = (metadata, Estimate::default());
    for (of_kind, new_of_kind) in settled.values() {
        stored = stored + *of_kind;
        new = new + *new_of_kind;
    }
    Version {
        name,
        files: report.files_new + report.files_changed + report.files_unmodified,
        bytes: report.bytes,
        new,
        stored,
        metadata,
        kinds: settled.into_iter().map(|(name, (stored, new))| (name, new, stored)).collect(),
        ways: page.ways,
    }
}

/// A folder that is gone when this is.
struct Folder(PathBuf);

impl Folder {
    /// Makes one below `parent`, and removes those of processes that were killed.
    fn make(parent: &Path) -> Result<Self, Error> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        for entry in std::fs::read_dir(parent).into_iter().flatten().flatten() {
            let pid = entry.file_name().to_str().and_then(|name| name.strip_prefix("bench-")?.split('-').next()?.parse::<u32>().ok());
            if pid.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
        let folder = parent.join(format!("bench-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed)));
        let failed = |error| Error::with(ErrorKind::Failed, format!("cannot make {}: see --cache-dir", folder.display()), error);
        std::fs::create_dir_all(&folder).map_err(failed)?;
        Ok(Self(folder))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
