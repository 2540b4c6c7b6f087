//! Tiny repositories on a [`Disk`](super::disk::Disk): small chunks, small packs, so that a push of some kilobytes has many of them.

#![allow(dead_code, unreachable_pub, reason = "each test uses a part")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disk::Disk;
use super::rig::{self, Noise};
use store_core::base::ids::SnapshotId;
use store_core::codec::Compression;
use store_core::error::Error;
use store_core::format::config::Config;
use store_core::format::record::Time;
use store_core::monitor::Silent;
use store_core::ops::prune::{self, prune};
use store_core::repo::{OpenOptions, Repo};

/// Parameters that make everything small.
pub fn config() -> Config {
    let small = Config::new(Time { seconds: 1_700_000_000, nanos: 0 });
    Config { chunk_min: 256, chunk_avg: 1024, chunk_max: 4096, segment_len: 4096, blob_len: 4096, pack_len: 6000, ..small }
}

pub fn options(cache: &Path) -> OpenOptions {
    OpenOptions {
        location: "disk".into(),
        cache_dir: cache.to_path_buf(),
        threads: 1,
        memory: 64 << 20,
        compression: Compression::Fastest,
        kept: 0,
    }
}

pub fn init(disk: &Arc<Disk>, cache: &Path) -> Repo {
    let disk = Arc::<Disk>::clone(disk);
    Repo::init_on(disk, config(), &options(cache), &rig::secrets(), "test").unwrap().0.with_index_in_memory()
}

pub fn open(disk: &Arc<Disk>, cache: &Path) -> Result<Repo, Error> {
    let disk = Arc::<Disk>::clone(disk);
    Ok(Repo::open_on(disk, &options(cache), &rig::secrets())?.with_index_in_memory())
}

/// Writes the next version of a few small files: text of which a line changes, numbers that move a little, a file that comes, one that goes.
pub fn write_version(data: &Path, noise: &mut Noise, version: u64) {
    std::fs::create_dir_all(data.join("sub")).unwrap();
    let text = data.join("text");
    let mut lines: Vec<String> = match std::fs::read_to_string(&text) {
        Ok(text) => text.lines().map(str::to_owned).collect(),
        Err(_) => (0..120).map(|line| format!("{line}: {:x}", noise.next())).collect(),
    };
    for _ in 0..3 {
        let at = noise.below(lines.len() as u64) as usize;
        lines[at] = format!("{at}: {:x} in version {version}", noise.next());
    }
    std::fs::write(text, lines.join("\n")).unwrap();
    write_numbers(&data.join("numbers.npy"), 1500, noise);
    let len = 500 + noise.below(3000) as usize;
    std::fs::write(data.join(format!("sub/{version}")), noise.bytes(len)).unwrap();
    let _ = std::fs::remove_file(data.join(format!("sub/{}", version.wrapping_sub(2))));
}

/// Writes nearly the same text once more: in a push it resembles what is still on its way.
pub fn write_copy(data: &Path) {
    let text = std::fs::read_to_string(data.join("text")).unwrap();
    std::fs::write(data.join("text.copy"), text.replacen('7', "of this a copy was made", 1)).unwrap();
}

/// Writes the next version of a file of so many numbers, of which each moves a little. Below 2,048 of them they are plain bytes to a push.
pub fn write_numbers(path: &Path, count: usize, noise: &mut Noise) {
    let mut bytes = std::fs::read(path).unwrap_or_else(|_| npy(count, noise));
    for number in bytes[128..].chunks_exact_mut(4) {
        number[0] ^= (noise.next() & 0x7f) as u8;
    }
    std::fs::write(path, bytes).unwrap();
}

/// A file of numbers as NumPy writes it.
fn npy(count: usize, noise: &mut Noise) -> Vec<u8> {
    let mut bytes = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
    bytes.extend_from_slice(format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({count},), }}").as_bytes());
    bytes.resize(127, b' ');
    bytes.push(b'\n');
    for _ in 0..count {
        let number = (noise.below(2000) as f32 - 1000.0) / 777.0;
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    bytes
}

/// A prune that acts, and takes every session that is still there for dead.
pub fn prune_options(forgotten: &BTreeSet<SnapshotId>) -> prune::Options {
    prune::Options {
        execute: true,
        max_unused: 0.0,
        fence_after: std::time::Duration::ZERO,
        forgotten: forgotten.clone(),
        ..prune::Options::default()
    }
}

pub fn prune_all(repo: &Repo, forgotten: &BTreeSet<SnapshotId>) -> Result<prune::Report, Error> {
    prune(repo, &prune_options(forgotten), &Silent)
}

/// A folder for data and one for caches.
pub struct Folders {
    _folder: tempfile::TempDir,
    pub data: PathBuf,
    pub cache: PathBuf,
}

impl Folders {
    pub fn new() -> Self {
        let folder = rig::quick_folder();
        let [data, cache] = ["data", "cache"].map(|name| folder.path().join(name));
        Self { _folder: folder, data, cache }
    }
}
