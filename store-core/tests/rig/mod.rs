//! A repository in a temporary folder, trees of files to push into it, and a process that pushes and can be killed.

#![allow(dead_code, unreachable_pub, clippy::print_stdout, reason = "each test uses a part, and a child tells its parent what it did")]

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

use store_core::base::ids::SnapshotId;
use store_core::codec::Compression;
use store_core::crypto::Secret;
use store_core::error::Error;
use store_core::monitor::{Monitor, Silent, Warning};
use store_core::ops::push::{Options, Report, Source, push};
use store_core::ops::{check, restore};
use store_core::repo::{OpenOptions, Repo, Secrets, StoredSnapshot};
use store_core::source::Selection;

/// What a file system shows of a tree: its files with their bytes, its links with their targets, its directories.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Thing {
    File(Vec<u8>),
    Link(PathBuf),
    Directory,
}

pub type Tree = BTreeMap<PathBuf, Thing>;

/// What stands below `root`.
pub fn tree_at(root: &Path) -> Tree {
    let mut tree = Tree::new();
    let mut open = vec![root.to_path_buf()];
    while let Some(folder) = open.pop() {
        for item in std::fs::read_dir(&folder).unwrap() {
            let item = item.unwrap();
            let kind = item.file_type().unwrap();
            let thing = if kind.is_dir() {
                open.push(item.path());
                Thing::Directory
            } else if kind.is_symlink() {
                Thing::Link(std::fs::read_link(item.path()).unwrap())
            } else {
                Thing::File(std::fs::read(item.path()).unwrap())
            };
            tree.insert(item.path().strip_prefix(root).unwrap().to_path_buf(), thing);
        }
    }
    tree
}

/// A folder in memory where there is such a thing: for tests that sync thousands of files.
pub fn quick_folder() -> tempfile::TempDir {
    let shm = Path::new("/dev/shm");
    if shm.is_dir() { tempfile::tempdir_in(shm) } else { tempfile::tempdir() }.unwrap()
}

/// Numbers without pattern, the same in each run.
pub struct Noise(u64);

impl Noise {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| (self.next() >> 32) as u8).collect()
    }
}

/// A safetensors file of one tensor of bf16.
pub fn safetensors(weights: &[f32]) -> Vec<u8> {
    let header = format!(r#"{{"w":{{"dtype":"BF16","shape":[{}],"data_offsets":[0,{}]}}}}"#, weights.len(), 2 * weights.len());
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header.as_bytes());
    bytes.extend(weights.iter().flat_map(|weight| ((weight.to_bits() >> 16) as u16).to_le_bytes()));
    bytes
}

/// Where a repository and its cache are.
#[derive(Debug, Clone)]
pub struct Place {
    pub repo: PathBuf,
    pub cache: PathBuf,
}

impl Place {
    pub fn below(folder: &Path) -> Self {
        Self { repo: folder.join("repo"), cache: folder.join("cache") }
    }

    pub fn options(&self) -> OpenOptions {
        OpenOptions {
            location: self.repo.display().to_string(),
            cache_dir: self.cache.clone(),
            threads: 2,
            memory: 64 << 20,
            compression: Compression::Auto,
            kept: 0,
        }
    }

    /// A new repository that a key file opens: no password is stretched.
    pub fn init(&self) -> Repo {
        Repo::init(&self.options(), &secrets(), "test").unwrap().0
    }

    pub fn open(&self) -> Result<Repo, Error> {
        Repo::open(&self.options(), &secrets())
    }
}

/// Bytes of all files of a repository, but for the room that it keeps for prunes.
pub fn stored_bytes(place: &Place) -> u64 {
    fn below(folder: &Path) -> u64 {
        let items = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
        items.map(|item| if item.file_type().unwrap().is_dir() { below(&item.path()) } else { item.metadata().unwrap().len() }).sum()
    }
    below(&place.repo) - std::fs::metadata(place.repo.join("reserve")).map_or(0, |meta| meta.len())
}

pub fn secrets() -> Secrets {
    Secrets { passphrase: None, key_file: Some(Secret::take(&mut [7; 32])) }
}

pub fn push_options(path: &Path) -> Options {
    Options::new(Source::Paths(Selection { paths: vec![path.to_path_buf()], ..Selection::default() }))
}

pub fn push_path(repo: &Repo, path: &Path) -> Result<Report, Error> {
    push(repo, push_options(path), &Silent)
}

/// Keeps what is said.
#[derive(Default)]
pub struct Heard(pub Mutex<Vec<Warning>>);

impl Monitor for Heard {
    fn warning(&self, warning: &Warning) {
        self.0.lock().unwrap().push(warning.clone());
    }
}

pub fn find(repo: &Repo, id: SnapshotId) -> Option<StoredSnapshot> {
    repo.snapshots().unwrap().into_iter().find(|stored| stored.id == id)
}

/// Restores a snapshot into an empty folder and says what came out, and what failed.
pub fn restored(repo: &Repo, stored: &StoredSnapshot) -> (Tree, Result<restore::Report, Error>, Vec<Warning>) {
    let target = quick_folder();
    let heard = Heard::default();
    let options = restore::Options { target: target.path().to_path_buf(), ..restore::Options::default() };
    let report = restore::restore(repo, stored, &options, &heard);
    (tree_at(target.path()), report, heard.0.into_inner().unwrap())
}

/// Restores a snapshot, which must come back whole.
#[track_caller]
pub fn assert_restores(repo: &Repo, id: SnapshotId, tree: &Tree) {
    let stored = find(repo, id).expect("the snapshot is there");
    let (found, report, warnings) = restored(repo, &stored);
    assert_eq!(report.unwrap().failed, 0, "{warnings:?}");
    let differ: Vec<_> = tree.keys().chain(found.keys()).filter(|path| tree.get(*path) != found.get(*path)).collect();
    assert!(differ.is_empty(), "{differ:?} differ");
}

pub fn check_all(repo: &Repo) -> Result<check::Report, Error> {
    check::check(repo, &check::Options { read: check::Read::All }, &Silent)
}

#[track_caller]
pub fn assert_whole(repo: &Repo) {
    let report = check_all(repo).unwrap();
    assert_eq!(report.findings, []);
}

const CHILD: &str = "SNAP_TEST_PUSHES";

/// Starts this test's own program again, as a process that pushes `path` so many times. Its test `child_that_pushes` must call [`be_child`].
pub fn start_child(place: &Place, path: &Path, times: usize) -> Child {
    let job = [&place.repo, &place.cache, path].map(|path| path.display().to_string()).join("\n");
    Command::new(std::env::current_exe().unwrap())
        .args(["child_that_pushes", "--exact", "--nocapture"])
        .env(CHILD, format!("{job}\n{times}"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Pushes as [`start_child`] says, and names each snapshot on standard output once it has been reported. Does nothing in the test itself.
pub fn be_child() {
    let Ok(job) = std::env::var(CHILD) else { return };
    let job: Vec<&str> = job.lines().collect();
    let place = Place { repo: job[0].into(), cache: job[1].into() };
    for _ in 0..job[3].parse().unwrap() {
        let report = place.open().and_then(|repo| push_path(&repo, Path::new(job[2])));
        println!("\nreported {}", report.unwrap().snapshot.unwrap());
    }
}

/// What a child has reported until it ended, and whether it ended well.
pub fn reported(mut child: Child) -> (Vec<SnapshotId>, bool, String) {
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let ids = lines.filter_map(|line| line.ok()?.strip_prefix("reported ")?.parse().ok()).collect();
    let output = child.wait_with_output().unwrap();
    (ids, output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}
