//! What deduplication scatters over the blobs of many versions is gathered again, so that no restore reads more than twice what it would alone
//! (`spec/CHAINS.md`, section 6).

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod rig;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rig::{Noise, Place, Tree, assert_restores, assert_whole, find, push_path, quick_folder, restored, secrets, stored_bytes, tree_at};
use store_core::base::ids::SnapshotId;
use store_core::monitor::Silent;
use store_core::ops::prune::{Options, prune};
use store_core::repo::{OpenOptions, Repo};

/// Bytes that may be read beyond twice: of a snapshot, and of nodes.
const SLACK: u64 = 320 << 10;

/// A version that was pushed.
struct Version {
    id: SnapshotId,
    tree: Tree,
    /// Stored bytes that a restore of it reads in a repository of its own.
    alone: u64,
}

/// A series of versions in one repository.
struct Series {
    folder: tempfile::TempDir,
    place: Place,
    repo: Repo,
    versions: Vec<Version>,
    /// Whether a version took more than the one before, by far.
    has_gathered: bool,
}

/// With less memory blobs are read and decoded again for others that rest on them.
fn options(place: &Place) -> OpenOptions {
    OpenOptions { memory: 512 << 20, ..place.options() }
}

fn reads(repo: &Repo, id: SnapshotId) -> u64 {
    restored(repo, &find(repo, id).unwrap()).1.unwrap().read_bytes
}

impl Series {
    fn new() -> Self {
        let folder = quick_folder();
        let place = Place::below(&folder.path().join("series"));
        let repo = Repo::init(&options(&place), &secrets(), "test").unwrap().0;
        std::fs::create_dir(folder.path().join("data")).unwrap();
        Self { folder, place, repo, versions: Vec::new(), has_gathered: false }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn push(&mut self, most_new: u64) {
        let data = self.data();
        let before = stored_bytes(&self.place);
        let id = push_path(&self.repo, &data).unwrap().snapshot.unwrap();
        self.has_gathered |= !self.versions.is_empty() && stored_bytes(&self.place) - before > most_new;
        let place = Place::below(&self.folder.path().join(format!("alone-{}", self.versions.len())));
        let by_itself = place.init();
        let alone = reads(&by_itself, push_path(&by_itself, &data).unwrap().snapshot.unwrap());
        self.versions.push(Version { id, tree: tree_at(&data), alone });
        self.assert_reads(self.versions.len() - 1);
    }

    fn assert_reads(&self, version: usize) {
        let Version { id, alone, .. } = self.versions[version];
        let reads = reads(&self.repo, id);
        assert!(reads <= 2 * alone + SLACK, "version {version} of {} reads {reads}, alone {alone}", self.versions.len());
    }

    /// All versions, old ones as when they were pushed; and what stays after a prune.
    fn assert_all(self) {
        assert!(self.has_gathered, "nothing was scattered");
        (0..self.versions.len()).for_each(|version| self.assert_reads(version));
        for repo in [&self.repo, &Repo::open(&options(&self.place), &secrets()).unwrap()] {
            assert_whole(repo);
            self.versions.iter().for_each(|version| assert_restores(repo, version.id, &version.tree));
        }
        // An index that was built anew was told of places in another order.
        std::fs::remove_dir_all(self.folder.path().join("series/cache")).unwrap();
        let repo = Repo::open(&options(&self.place), &secrets()).unwrap();
        self.versions.iter().for_each(|version| assert_restores(&repo, version.id, &version.tree));
        let forgotten: BTreeSet<_> =
            self.versions.iter().enumerate().filter(|(number, _)| number % 3 != 0).map(|(_, made)| made.id).collect();
        let options = Options { execute: true, fence_after: Duration::ZERO, forgotten, ..Options::default() };
        let _ = prune(&repo, &options, &Silent).unwrap();
        assert_whole(&repo);
        self.versions.iter().step_by(3).for_each(|version| assert_restores(&repo, version.id, &version.tree));
    }
}

#[test]
fn blocks_of_a_table_are_replaced_again_and_again() {
    let mut series = Series::new();
    let mut noise = Noise::new(5);
    const ROWS: u64 = 240_000;
    let row = |noise: &mut Noise, number: u64| format!("{number}\t{:016x}\t{}\n", noise.next(), noise.below(1000));
    let mut rows: Vec<String> = (0..ROWS).map(|number| row(&mut noise, number)).collect();
    for _ in 0..16 {
        std::fs::write(series.data().join("table"), rows.concat()).unwrap();
        series.push(900_000);
        for _ in 0..4 {
            let (len, start) = (noise.below(ROWS / 20), noise.below(ROWS * 19 / 20));
            for number in start..start + len {
                rows[number as usize] = row(&mut noise, number);
            }
        }
    }
    series.assert_all();
}

fn write_text(noise: &mut Noise, path: &Path) {
    let words: Vec<String> = (0..200 + noise.below(1000)).map(|_| format!("{:x}", noise.below(5000) * 7919)).collect();
    std::fs::write(path, words.join(" ")).unwrap();
}

/// Most files are taken over without a look, so that what is read for them is known from the version before alone.
#[test]
fn small_files_are_replaced_beside_others_that_stay() {
    let mut series = Series::new();
    let mut noise = Noise::new(6);
    let path = |series: &Series, number: u64| series.data().join(format!("{:02}/{number:04}", number % 20));
    for number in 0..1500 {
        std::fs::create_dir_all(path(&series, number).parent().unwrap()).unwrap();
        write_text(&mut noise, &path(&series, number));
    }
    for _ in 0..30 {
        series.push(400_000);
        for _ in 0..75 {
            let path = path(&series, noise.below(1500));
            std::fs::remove_file(&path).unwrap();
            write_text(&mut noise, &path);
        }
    }
    series.assert_all();
}
