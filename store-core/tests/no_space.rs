//! A full disk: the push fails and says so, the repository stays whole, and once there is room the next push works.
//!
//! Needs to mount a small file system in memory; says so and does nothing where that is not allowed.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod rig;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use rig::{Noise, Place, assert_restores, assert_whole, push_path, tree_at};
use store_core::error::{ErrorKind, chain};

/// A file system of this many bytes, until it is dropped.
struct Small(tempfile::TempDir);

impl Small {
    fn mount(bytes: usize) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let size = format!("size={bytes}");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(folder.path()).output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Self(folder));
        }
        eprintln!("not tried: mounting is not allowed here");
        None
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Bytes that `df` says are in this column.
    fn bytes(&self, column: &str) -> usize {
        let said = Command::new("df").args([&format!("--output={column}"), "-B1"]).arg(self.path()).output().unwrap().stdout;
        String::from_utf8(said).unwrap().lines().nth(1).unwrap().trim().parse().unwrap()
    }

    /// Removes what fills it, and waits until that has gone.
    fn empty(&self, filler: &Path, free: usize) {
        std::fs::remove_file(filler).unwrap();
        let started = Instant::now();
        while self.bytes("avail") < free {
            assert!(started.elapsed() < Duration::from_secs(10), "{} bytes are free", self.bytes("avail"));
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").args(["-l".as_ref(), self.path().as_os_str()]).status();
    }
}

#[test]
fn a_push_into_a_full_repository_fails_and_works_when_there_is_room() {
    let Some(small) = Small::mount(6 << 20) else { return };
    let folder = tempfile::tempdir().unwrap();
    let place = Place { repo: small.path().join("repo"), cache: folder.path().join("cache") };
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let mut noise = Noise::new(1);
    std::fs::write(data.join("a"), noise.bytes(300_000)).unwrap();
    let repo = place.init();
    let first = push_path(&repo, &data).unwrap().snapshot.unwrap();
    let first_tree = tree_at(&data);
    std::fs::write(data.join("b"), noise.bytes(2_500_000)).unwrap();
    // Room that ends somewhere in the middle of a pack, of a segment, of a snapshot, or before anything.
    let free = 6 << 20;
    let filler = small.path().join("filler");
    for left in [0, 4 << 10, 8 << 10, 12 << 10, 100 << 10, 1 << 20, 2 << 20, 2_500 << 10, 2_504 << 10, 2_508 << 10] {
        std::fs::write(&filler, vec![1; 0]).unwrap();
        let used = small.bytes("used");
        std::fs::write(&filler, vec![1; (free - used - left) & !4095]).unwrap();
        let repo = place.open().unwrap();
        match push_path(&repo, &data) {
            Err(error) => assert_eq!(error.kind(), ErrorKind::NoSpace, "{left} bytes left: {}", chain(&error)),
            Ok(report) => assert_restores(&repo, report.snapshot.unwrap(), &tree_at(&data)),
        }
        drop(repo);
        let repo = place.open().unwrap();
        assert_restores(&repo, first, &first_tree);
        assert_whole(&repo);
    }
    std::fs::remove_file(&filler).unwrap();
    let repo = place.open().unwrap();
    let second = push_path(&repo, &data).unwrap().snapshot.unwrap();
    assert_restores(&repo, second, &tree_at(&data));
    assert_restores(&repo, first, &first_tree);
    assert_whole(&repo);
    assert_eq!(std::fs::read_dir(place.repo.join("tmp")).unwrap().count(), 0, "unfinished files stay");
}

#[test]
fn a_push_with_a_full_cache_fails_or_works_and_harms_nothing() {
    let Some(small) = Small::mount(3 << 20) else { return };
    let folder = tempfile::tempdir().unwrap();
    let place = Place { repo: folder.path().join("repo"), cache: small.path().join("cache") };
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let mut noise = Noise::new(2);
    (0..400).for_each(|name| std::fs::write(data.join(name.to_string()), noise.bytes(2000)).unwrap());
    let repo = place.init();
    let filler = small.path().join("filler");
    for left in [0, 4 << 10, 64 << 10, 128 << 10, 256 << 10] {
        let _ = std::fs::remove_dir_all(&place.cache);
        std::fs::write(&filler, vec![1; (3 << 20) - left]).unwrap();
        match push_path(&place.open().unwrap(), &data) {
            Err(error) => assert_eq!(error.kind(), ErrorKind::NoSpace, "{left} bytes left: {}", chain(&error)),
            Ok(report) => eprintln!("{left} bytes left in the cache: pushed {:?}", report.snapshot),
        }
        small.empty(&filler, 2 << 20);
        let repo = place.open().unwrap();
        assert_whole(&repo);
        let id = push_path(&repo, &data).unwrap().snapshot.unwrap();
        assert_restores(&repo, id, &tree_at(&data));
    }
    drop(repo);
}
