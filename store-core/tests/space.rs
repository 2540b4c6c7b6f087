//! What a pruned repository takes, beside one that never held more than what was kept (`spec/CHAINS.md`, section 4).

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod rig;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rig::{Noise, Place, Tree, assert_restores, assert_whole, find, push_path, quick_folder, restored, secrets, stored_bytes, tree_at};
use store_core::base::ids::SnapshotId;
use store_core::monitor::Silent;
use store_core::ops::prune::{Options, Report, prune};
use store_core::repo::{OpenOptions, Repo};

const ELEMENTS: usize = 700_000;
const LINES: u64 = 40_000;
/// Records of prunes, and what a pack costs whatever is in it, in a repository this small.
const SMALL: u64 = 64 << 10;

/// Weights that are trained, a table of which rows change, and a file that is another one each time.
struct Series {
    noise: Noise,
    weights: Vec<f32>,
    rows: Vec<String>,
}

impl Series {
    fn new(seed: u64, elements: usize) -> Self {
        let mut noise = Noise::new(seed);
        let weights = (0..elements).map(|_| (noise.below(20_001) as f32 - 10_000.0) * 3e-6).collect();
        let rows = (0..LINES).map(|row| format!("{row}\t{:016x}\t{}", noise.next(), noise.below(1000))).collect();
        Self { noise, weights, rows }
    }

    fn write(&mut self, folder: &Path, version: usize) {
        let step = 1e-7 * (1 + version % 3) as f32;
        self.weights.iter_mut().for_each(|weight| *weight += (self.noise.below(2001) as f32 - 1000.0) * step);
        for _ in 0..400 {
            let row = self.noise.below(LINES) as usize;
            self.rows[row] = format!("{row}\t{:016x}\t{}", self.noise.next(), self.noise.below(1000));
        }
        std::fs::create_dir_all(folder).unwrap();
        std::fs::write(folder.join("model.safetensors"), safetensors(&self.weights)).unwrap();
        std::fs::write(folder.join("table.tsv"), self.rows.join("\n")).unwrap();
        std::fs::write(folder.join("log"), self.noise.bytes(20_000)).unwrap();
    }
}

/// A safetensors file of three tensors of bf16.
fn safetensors(weights: &[f32]) -> Vec<u8> {
    let third = weights.len() / 3;
    let ends = [third, 2 * third, weights.len()];
    let tensors: Vec<_> = (0..3)
        .map(|i| {
            let (from, to) = (if i == 0 { 0 } else { ends[i - 1] }, ends[i]);
            format!(r#""w{i}":{{"dtype":"BF16","shape":[{}],"data_offsets":[{},{}]}}"#, to - from, 2 * from, 2 * to)
        })
        .collect();
    let header = format!("{{{}}}", tensors.join(","));
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header.as_bytes());
    bytes.extend(weights.iter().flat_map(|weight| ((weight.to_bits() >> 16) as u16).to_le_bytes()));
    bytes
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for item in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(item.file_name());
        if item.file_type().unwrap().is_dir() { copy(&item.path(), &to) } else { _ = std::fs::copy(item.path(), to).unwrap() }
    }
}

/// Writes each next version to a folder.
type Write = Box<dyn FnMut(&Path, usize)>;

fn series(seed: u64) -> Write {
    let mut series = Series::new(seed, ELEMENTS);
    Box::new(move |folder, version| series.write(folder, version))
}

/// The same in a folder of their own each, of which the last three are there: one comes and one goes.
fn window(seed: u64) -> Write {
    let mut series = Series::new(seed, ELEMENTS);
    let mut next = 0;
    Box::new(move |folder, version| {
        while next < version + 3 {
            series.write(&folder.join(format!("step-{next:02}")), next);
            next += 1;
        }
        let _ = std::fs::remove_dir_all(folder.join(format!("step-{:02}", version.wrapping_sub(1))));
    })
}

/// A dump of two tables: rows that say much, of which some change, and rows that say little.
fn dump(seed: u64) -> Write {
    let mut noise = Noise::new(seed);
    let row = |noise: &mut Noise, number: u64| format!("{number}\t{:08x}\t{}\n", noise.next() >> 32, "-".repeat(20));
    let mut rows: Vec<String> = (0..220_000).map(|number| row(&mut noise, number)).collect();
    Box::new(move |folder, version| {
        for _ in 0..(if version > 0 { 14_000 } else { 0 }) {
            let number = noise.below(rows.len() as u64);
            rows[number as usize] = row(&mut noise, number);
        }
        let little = (0..150_000).map(|number| format!("{number}\t{}\n", "-".repeat(20)));
        std::fs::create_dir_all(folder).unwrap();
        std::fs::write(folder.join("dump.sql"), rows.iter().cloned().chain(little).collect::<String>()).unwrap();
    })
}

/// A repository that some versions were pushed to, one after the other.
struct Pushed {
    place: Place,
    repo: Repo,
    data: PathBuf,
    made: Vec<(SnapshotId, Tree)>,
}

impl Pushed {
    fn new(folder: &Path) -> Self {
        Self::with_memory(folder, Place::below(folder).options().memory)
    }

    fn with_memory(folder: &Path, memory: usize) -> Self {
        let place = Place::below(folder);
        let repo = Repo::init(&OpenOptions { memory, ..place.options() }, &secrets(), "test").unwrap().0;
        Self { repo, place, data: folder.join("data"), made: Vec::new() }
    }

    /// An empty repository with the keys of this one, so that it has the same cuts; before anything was pushed.
    fn twin(&self, folder: &Path) -> Self {
        let place = Place::below(folder);
        copy(&self.place.repo, &place.repo);
        Self { repo: place.open().unwrap(), place, data: folder.join("data"), made: Vec::new() }
    }

    fn push(&mut self, mut write: Write, versions: usize, which: impl Fn(usize) -> bool) {
        for version in 0..versions {
            write(&self.data, version);
            if which(version) {
                self.push_data();
            }
        }
    }

    fn push_data(&mut self) {
        let id = push_path(&self.repo, &self.data).unwrap().snapshot.unwrap();
        self.made.push((id, tree_at(&self.data)));
    }

    fn prune(&self, kept: impl Fn(usize) -> bool) -> Report {
        let forgotten: BTreeSet<_> = self.made.iter().enumerate().filter(|(i, _)| !kept(*i)).map(|(_, (id, _))| *id).collect();
        let options = Options { execute: true, fence_after: Duration::ZERO, forgotten, ..Options::default() };
        prune(&self.repo, &options, &Silent).unwrap()
    }

    fn assert_kept(&self, kept: impl Fn(usize) -> bool) {
        for repo in [&self.repo, &self.place.open().unwrap()] {
            assert_whole(repo);
            for (id, tree) in self.made.iter().enumerate().filter(|(i, _)| kept(*i)).map(|(_, made)| made) {
                assert_restores(repo, *id, tree);
            }
        }
    }

    fn reads(&self, id: SnapshotId) -> u64 {
        restored(&self.repo, &find(&self.repo, id).unwrap()).1.unwrap().read_bytes
    }
}

/// Prunes versions to what `kept` says, and compares: they may take the given share more than what was pushed alone, in percent.
fn compare(name: &str, write: impl Fn() -> Write, versions: usize, more: u64, kept: impl Fn(usize) -> bool) {
    let (after, alone) = prune_both(name, write, versions, kept);
    assert!(after <= alone + alone * more / 100 + SMALL, "{name}: {after} bytes, {alone} if only these were pushed");
}

/// Prunes versions to what `kept` says; the bytes that they take, and those that they take in a repository to which nothing else was pushed.
fn prune_both(name: &str, write: impl Fn() -> Write, versions: usize, kept: impl Fn(usize) -> bool) -> (u64, u64) {
    let folder = quick_folder();
    let mut pruned = Pushed::new(&folder.path().join("pruned"));
    let mut fresh = pruned.twin(&folder.path().join("fresh"));
    pruned.push(write(), versions, |_| true);
    fresh.push(write(), versions, &kept);
    let before = stored_bytes(&pruned.place);
    let report = pruned.prune(&kept);
    let (after, alone) = (stored_bytes(&pruned.place), stored_bytes(&fresh.place));
    eprintln!(
        "{name}: {before} bytes, {after} after pruning, {alone} if only these were pushed: {:.3}; {:?}, {} written, {} read",
        after as f64 / alone as f64,
        report.decision.chains,
        report.written_bytes,
        report.read_bytes
    );
    pruned.assert_kept(&kept);
    // Trying and coding anew read what they need nearly once, though a cache of an eighth of this memory holds few decoded versions.
    assert!(report.read_bytes <= 2 * before, "{name}: {} read of {before}", report.read_bytes);
    // What is kept is read for as little as what was pushed alone, or for twice what its last version takes by itself.
    for ((id, _), (other, _)) in pruned.made.iter().enumerate().filter(|(i, _)| kept(*i)).map(|(_, made)| made).zip(&fresh.made) {
        let (reads, alone) = (pruned.reads(*id), fresh.reads(fresh.made[0].0).max(fresh.reads(*other) / 2));
        assert!(reads <= 2 * alone + alone / 20, "{name}: {reads} read for a version of {alone}");
    }
    // Nothing is left to do.
    let again = pruned.prune(&kept);
    assert_eq!((again.repacked_packs, again.recoded_chunks), (0, 0), "{name}: {:?}", again.decision.chains);
    // And pushing goes on.
    let data = &pruned.data;
    std::fs::write(data.join("more"), b"more").unwrap();
    let id = push_path(&pruned.repo, data).unwrap().snapshot.unwrap();
    assert_restores(&pruned.repo, id, &tree_at(data));
    (after, alone)
}

#[test]
fn the_last_versions_of_a_series_take_what_they_would_alone() {
    compare("last 5 of 20", || series(1), 20, 5, |version| version >= 15);
}

#[test]
fn every_fifth_version_of_a_series_takes_what_it_would_alone() {
    compare("each 4th of 16", || series(2), 16, 5, |version| version % 4 == 3);
}

/// What one snapshot brings several versions of is coded anew against one another, too.
#[test]
fn snapshots_of_several_versions_take_what_they_would_alone() {
    // Which of them find one another hangs on keys and threads: one repository may take a tenth more than the other. So many are compared:
    // the sums of eight differ by 1.024 on average, but by 1.047 once in fifteen runs.
    let (mut after, mut alone) = (0, 0);
    for _ in 0..16 {
        let both = prune_both("each 4th of 9 windows", || window(5), 9, |version| version % 4 == 0);
        (after, alone) = (after + both.0, alone + both.1);
    }
    assert!(after <= alone + alone / 20, "{after} bytes, {alone} if only these were pushed");
}

/// Of this the sample has two thirds, which take nearly all.
#[test]
fn a_dump_whose_parts_differ_takes_what_it_would_alone() {
    compare("2 and 4 of 4 dumps", || dump(1), 4, 4, |version| version % 2 == 1);
}

/// A third, a half, and two thirds of the versions, in turn. More of them: `SNAP_SEEDS=100 cargo test --release -p store-core --test space any`;
/// `SNAP_SEED=n` begins with series `n`.
#[test]
fn any_versions_of_a_series_take_what_they_would_alone() {
    let number = |name: &str, usual: u64| std::env::var(name).map_or(usual, |number| number.parse().unwrap());
    let first = number("SNAP_SEED", 3);
    for seed in first..first + number("SNAP_SEEDS", 3) {
        let mut noise = Noise::new(seed);
        let kept: Vec<bool> = (0..12).map(|_| noise.below(6) < 2 + seed % 3).collect();
        if kept.contains(&true) {
            let name: String = kept.iter().map(|kept| if *kept { '+' } else { '-' }).collect();
            compare(&format!("{seed}, {name}"), || series(seed), 12, 5, |version| kept[version]);
        }
    }
}

/// Bytes that this process has read from files so far.
fn read_so_far() -> u64 {
    let counts = std::fs::read_to_string("/proc/self/io").unwrap();
    counts.lines().find_map(|line| line.strip_prefix("rchar: ")).unwrap().parse().unwrap()
}

/// A hundred versions of which each tenth is kept; what that reads and how long it takes, and what a repository of the ten alone takes.
///
/// `SNAP_VERSIONS`, `SNAP_EACH` and `SNAP_ELEMENTS` (of the weights) say otherwise. With `SNAP_DATA=/a/folder` its folders are the versions, in the
/// order of their names. `SNAP_MEMORY` is the memory budget in MiB, and `SNAP_KEEP=+-+` says which versions stay.
#[test]
#[ignore = "takes minutes: a command"]
fn many_versions_pruned_to_a_few_take_what_these_would_alone() {
    let number = |name: &str, usual: usize| std::env::var(name).map_or(usual, |number| number.parse().unwrap());
    let mut data: Vec<PathBuf> = std::env::var_os("SNAP_DATA")
        .map(|folder| std::fs::read_dir(folder).unwrap().map(|item| item.unwrap().path()).filter(|path| path.is_dir()).collect())
        .unwrap_or_default();
    data.sort();
    let versions = if data.is_empty() { number("SNAP_VERSIONS", 100) } else { data.len() };
    let each = number("SNAP_EACH", 10);
    let pattern = std::env::var("SNAP_KEEP").ok();
    let kept = |version: usize| match &pattern {
        Some(pattern) => pattern.as_bytes().get(version) == Some(&b'+'),
        None => version % each == each - 1,
    };
    let folder = quick_folder();
    let mut pruned = Pushed::with_memory(&folder.path().join("pruned"), number("SNAP_MEMORY", 512) << 20);
    let mut fresh = pruned.twin(&folder.path().join("fresh"));
    let mut series = Series::new(1, number("SNAP_ELEMENTS", 5_000_000));
    for version in 0..versions {
        match data.get(version) {
            Some(from) => {
                let _ = std::fs::remove_dir_all(&pruned.data);
                copy(from, &pruned.data);
            }
            None => series.write(&pruned.data, version),
        }
        pruned.push_data();
        if kept(version) {
            let _ = std::fs::remove_dir_all(&fresh.data);
            copy(&pruned.data, &fresh.data);
            fresh.push_data();
        }
    }
    let (before, read, started) = (stored_bytes(&pruned.place), read_so_far(), Instant::now());
    let report = pruned.prune(kept);
    let (took, read) = (started.elapsed().as_secs_f64(), read_so_far() - read);
    let (after, alone) = (stored_bytes(&pruned.place), stored_bytes(&fresh.place));
    eprintln!(
        "{versions} versions, {} kept: {before} bytes, {after} after pruning, {alone} if only these were pushed: {:.4}; {took:.1} s, {} sealed bytes \
         read of {read} in all, {} written, {} chunks coded anew; {:?}",
        fresh.made.len(),
        after as f64 / alone as f64,
        report.read_bytes,
        report.written_bytes,
        report.recoded_chunks,
        report.decision.chains,
    );
    pruned.assert_kept(kept);
    assert!(after <= alone + alone / 20 + SMALL, "{after} bytes, {alone} if only these were pushed");
}
