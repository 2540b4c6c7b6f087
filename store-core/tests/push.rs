//! Pushing into a repository on disk, through the library.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use store_core::codec::Compression;
use store_core::error::ErrorKind;
use store_core::monitor::{Monitor, Silent};
use store_core::ops::push::{Options, Report, Source, push};
use store_core::ops::restore;
use store_core::repo::{OpenOptions, Repo, Secrets};
use store_core::source::Selection;

fn secrets() -> Secrets {
    Secrets { passphrase: Some(b"correct horse".to_vec().into()), key_file: None }
}

fn options(folder: &Path) -> OpenOptions {
    OpenOptions {
        location: folder.join("repo").display().to_string(),
        cache_dir: folder.join("cache"),
        threads: 2,
        memory: 128 << 20,
        compression: Compression::Auto,
        kept: 0,
    }
}

fn push_path(repo: &Repo, path: &Path) -> Report {
    push(repo, Options::new(Source::Paths(Selection { paths: vec![path.to_path_buf()], ..Selection::default() })), &Silent).unwrap()
}

fn restore_latest(repo: &Repo, target: &Path) -> store_core::ops::restore::Report {
    let stored = repo.snapshots().unwrap().pop().unwrap();
    let options = restore::Options { target: target.to_path_buf(), verify: true, ..restore::Options::default() };
    restore::restore(repo, &stored, &options, &Loud).unwrap()
}

struct Loud;

impl Monitor for Loud {
    fn warning(&self, warning: &store_core::monitor::Warning) {
        panic!("{warning}");
    }
}

#[test]
fn a_snapshot_comes_back_and_replaces_only_what_differs() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir_all(data.join("empty folder")).unwrap();
    let noise: Vec<u8> = (0..3_000_000u32).flat_map(|i| blake3_like(i).to_le_bytes()).collect();
    std::fs::write(data.join("large"), &noise).unwrap();
    std::fs::write(data.join("small"), "text").unwrap();
    std::os::unix::fs::symlink("small", data.join("link")).unwrap();
    let (repo, _) = Repo::init(&options(folder.path()), &secrets(), "test").unwrap();
    push_path(&repo, &data);
    let target = folder.path().join("target");
    let first = restore_latest(&repo, &target);
    assert_eq!((first.failed, first.written_bytes), (0, 12_000_004));
    assert_eq!(std::fs::read(target.join("large")).unwrap(), noise);
    assert_eq!(std::fs::read_link(target.join("link")).unwrap(), Path::new("small"));
    let mut changed = noise.clone();
    changed[6_000_000] ^= 1;
    std::fs::write(target.join("large"), &changed).unwrap();
    let second = restore_latest(&repo, &target);
    // One chunk, and none is longer than this.
    assert!(second.written_bytes <= 1 << 20, "{second:?}");
    assert_eq!(std::fs::read(target.join("large")).unwrap(), noise);
}

/// Numbers without pattern.
fn blake3_like(i: u32) -> u32 {
    (u64::from(i).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 29) as u32
}

#[test]
fn a_second_push_reads_nothing_and_stores_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir_all(data.join("sub")).unwrap();
    std::fs::write(data.join("sub/text"), "some text\n".repeat(100_000)).unwrap();
    std::fs::write(data.join("empty"), "").unwrap();
    let (repo, _) = Repo::init(&options(folder.path()), &secrets(), "test").unwrap();
    let first = push_path(&repo, &data);
    assert_eq!((first.files_new, first.bytes, first.unreadable), (2, 1_000_000, 0));
    drop(repo);
    let repo = Repo::open(&options(folder.path()), &secrets()).unwrap();
    let second = push_path(&repo, &data);
    assert_eq!((second.files_unmodified, second.bytes_read, second.new_bytes, second.stored_bytes), (2, 0, 0, 0));
    assert_eq!(second.parent, first.snapshot);
    assert_eq!(repo.snapshots().unwrap().len(), 2);
}

#[test]
fn records_that_a_push_has_read_are_not_read_again_by_a_push() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir_all(&data).unwrap();
    std::fs::write(data.join("text"), "some text\n").unwrap();
    let (repo, _) = Repo::init(&options(folder.path()), &secrets(), "test").unwrap();
    let first = push_path(&repo, &data).snapshot.unwrap();
    let second = push_path(&repo, &data);
    let path = format!("snapshots/{first}");
    assert_eq!(repo.index().unwrap().records().unwrap(), std::slice::from_ref(&path));
    // Damage shows to whoever lists, and a push goes on with what it has read before.
    let record = folder.path().join("repo").join(&path);
    std::fs::remove_file(&record).unwrap();
    std::fs::write(&record, "damaged").unwrap();
    drop(repo);
    let repo = Repo::open(&options(folder.path()), &secrets()).unwrap();
    let third = push_path(&repo, &data);
    assert_eq!((third.parent, third.files_unmodified), (second.snapshot, 1));
    assert!(repo.take_warnings().is_empty());
    assert_eq!((repo.snapshots().unwrap().len(), repo.take_warnings().len()), (2, 1));
    // What is gone is forgotten.
    std::fs::remove_file(&record).unwrap();
    push_path(&repo, &data);
    assert!(!repo.index().unwrap().records().unwrap().contains(&path));
    assert_eq!(repo.index().unwrap().records().unwrap().len(), 2);
}

/// A safetensors file of one bf16 tensor.
fn tensor_file(values: &[f32]) -> Vec<u8> {
    let header = format!(r#"{{"w":{{"dtype":"BF16","shape":[{}],"data_offsets":[0,{}]}}}}"#, values.len(), values.len() * 2);
    let data = values.iter().flat_map(|x| ((x.to_bits() + 0x8000) >> 16).to_le_bytes()[..2].to_vec());
    (header.len() as u64).to_le_bytes().into_iter().chain(header.into_bytes()).chain(data).collect()
}

#[test]
fn weights_that_go_on_as_before_cost_less_the_second_time() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir_all(&data).unwrap();
    let (repo, _) = Repo::init(&options(folder.path()), &secrets(), "test").unwrap();
    // About normally distributed.
    let normal = |i: u32| (0..6u32).map(|k| blake3_like(blake3_like(i * 6 + k) ^ i) as f32 / u32::MAX as f32).sum::<f32>() - 3.0;
    let count = 300_000;
    let mut stored = Vec::new();
    let mut files = Vec::new();
    for version in 0..4 {
        let moved = |i: u32| normal(i) * 0.02 + version as f32 * normal(i + count) * 2e-4;
        files.push(tensor_file(&(0..count).map(moved).collect::<Vec<_>>()));
        std::fs::write(data.join("model.safetensors"), &files[version]).unwrap();
        stored.push(push_path(&repo, &data).stored_bytes);
    }
    assert!(stored[1] * 2 < stored[0] && stored[2] * 4 < stored[1] * 3 && stored[3] * 4 < stored[1] * 3, "{stored:?}");
    drop(repo);
    let repo = Repo::open(&options(folder.path()), &secrets()).unwrap();
    let target = folder.path().join("target");
    restore_latest(&repo, &target);
    assert!(std::fs::read(target.join("model.safetensors")).unwrap() == files[3]);
}

/// Holds a push back until its totals are known, and notes what it was told.
#[derive(Default)]
struct Patient {
    all: u64,
    told: std::sync::Mutex<Vec<(u64, u64)>>,
}

impl Monitor for Patient {
    fn wants_totals(&self) -> bool {
        true
    }

    fn progress(&self, progress: &store_core::monitor::Progress) {
        if progress.bytes_total < self.all {
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        self.told.lock().unwrap().push((progress.bytes_done, progress.bytes_total));
    }
}

#[test]
fn what_there_is_to_push_is_known_before_it_is_pushed() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir_all(data.join("below")).unwrap();
    for number in 0..200u32 {
        std::fs::write(data.join(format!("below/{number}")), number.to_le_bytes().repeat(100)).unwrap();
    }
    let (repo, _) = Repo::init(&options(folder.path()), &secrets(), "test").unwrap();
    let watch = Patient { all: 80_000, ..Patient::default() };
    let source = Source::Paths(Selection { paths: vec![data], ..Selection::default() });
    push(&repo, Options::new(source), &watch).unwrap();
    let told = watch.told.into_inner().unwrap();
    assert!(told.iter().any(|(done, total)| *total == 80_000 && *done < 40_000), "{told:?}");
    assert_eq!(*told.last().unwrap(), (80_000, 80_000));
    // How long a stream is nobody knows.
    let watch = Patient::default();
    let source = Source::Reader { name: "stream".into(), reader: Box::new(&[7u8; 100_000][..]) };
    push(&repo, Options::new(source), &watch).unwrap();
    assert!(watch.told.into_inner().unwrap().iter().all(|(_, total)| *total == 0));
}

#[test]
fn packs_and_segments_of_many_small_files_end_before_they_are_long() {
    let shm = Path::new("/dev/shm");
    let folder = if shm.is_dir() { tempfile::tempdir_in(shm) } else { tempfile::tempdir() }.unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir_all(&data).unwrap();
    // Two blobs with as many chunks as a blob may have, each more than a pack is to have here, and some.
    for number in 0..66_000u32 {
        std::fs::write(data.join(number.to_string()), number.to_le_bytes()).unwrap();
    }
    let (repo, _) = Repo::init(&OpenOptions { memory: 64 << 20, ..options(folder.path()) }, &secrets(), "test").unwrap();
    push_path(&repo, &data);
    // A pack has room for millions of such files; what is said of them in memory has not.
    let segments = std::fs::read_dir(folder.path().join("repo/index")).unwrap().count();
    assert!((2..10).contains(&segments), "{segments}");
    restore_latest(&repo, &folder.path().join("target"));
}

/// Interrupts at the so-many-th question.
struct Interrupts(AtomicU64);

impl Monitor for Interrupts {
    fn interrupted(&self) -> bool {
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| Some(left.saturating_sub(1))) == Ok(0)
    }
}

#[test]
fn a_push_that_is_interrupted_ends_while_much_is_read_ahead() {
    let folder = tempfile::tempdir().unwrap();
    let (path, count) = (folder.path().join("weights.npy"), 12_000_000_u32);
    let mut bytes = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
    bytes.extend_from_slice(format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({count},), }}").as_bytes());
    bytes.resize(127, b' ');
    bytes.push(b'\n');
    bytes.extend((0..count).flat_map(|i| blake3_like(i).to_le_bytes()));
    std::fs::write(&path, bytes).unwrap();
    let (mut interrupted, mut whole) = (0, 0);
    for at in [1, 3, 6, 10, 20, 1_000_000] {
        // Little is read ahead, so that whoever reads soon waits for who takes.
        let at_folder = folder.path().join(at.to_string());
        let (repo, _) = Repo::init(&OpenOptions { memory: 64 << 20, ..options(&at_folder) }, &secrets(), "test").unwrap();
        let source = Source::Paths(Selection { paths: vec![path.clone()], ..Selection::default() });
        let (ended, ends) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let pushed = push(&repo, Options::new(source), &Interrupts(AtomicU64::new(at)));
            let _ = ended.send(pushed.map(drop).map_err(|error| error.kind()));
        });
        match ends.recv_timeout(Duration::from_secs(120)).expect("it hangs") {
            Ok(()) => whole += 1,
            Err(kind) => {
                assert_eq!(kind, ErrorKind::Interrupted);
                interrupted += 1;
            }
        }
    }
    assert!(interrupted >= 4 && whole >= 1, "{interrupted} interrupted, {whole} whole");
}
