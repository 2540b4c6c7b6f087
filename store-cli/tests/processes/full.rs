//! A disk that is full after any number of bytes: a small file system of its own, with room that ends 64 KiB later each time. A push that fails
//! says so with the code for it; what was reported before is whole; with more room the same command works. A prune works without any room.
//! A usual run takes a few of the steps; `SNAP_STEPS=1000` takes them all, and `SNAP_EXT4=1` takes ext4 in a file in place of a file system in
//! memory.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::place::{Noise, Place, change, said, setting, tree_at};

const STEP: u64 = 64 << 10;
/// The room of the whole file system, in bytes.
const SIZE: u64 = 12 << 20;

/// A file system of [`SIZE`] bytes at a folder, until it is dropped.
struct Small(PathBuf);

impl Small {
    /// `None` where mounting is not allowed, which is said.
    fn mount(at: PathBuf) -> Option<Self> {
        fs::create_dir(&at).unwrap();
        let mounted = if setting("SNAP_EXT4", 0) == 1 {
            let image = at.with_extension("image");
            fs::File::create(&image).unwrap().set_len(SIZE).unwrap();
            let made = Command::new("mkfs.ext4").args(["-q", "-m", "0", "-O", "^has_journal"]).arg(&image).output().unwrap();
            assert!(made.status.success(), "{}", said(&made));
            Command::new("mount").args(["-o", "loop"]).arg(&image).arg(&at).output()
        } else {
            Command::new("mount").args(["-t", "tmpfs", "-o", &format!("size={SIZE}"), "tmpfs"]).arg(&at).output()
        };
        match mounted {
            Ok(output) if output.status.success() => Some(Self(at)),
            _ => {
                eprintln!("not tried: mounting is not allowed here");
                None
            }
        }
    }

    /// Leaves so many bytes, as far as the file system gives away whole blocks.
    fn leave(&self, bytes: u64) {
        let filler = self.0.join("filler");
        let _ = fs::remove_file(&filler);
        let free = free(&self.0);
        let file = fs::File::create(&filler).unwrap();
        // The file system may want a block or two for itself.
        let mut len = free.saturating_sub(bytes) & !4095;
        while len > 0 && rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, len).is_err() {
            len -= 4096;
        }
    }

    fn leave_all(&self) {
        fs::remove_file(self.0.join("filler")).unwrap();
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn free(at: &Path) -> u64 {
    let room = rustix::fs::statvfs(at).unwrap();
    room.f_bavail * room.f_frsize
}

/// What a repository keeps for prunes, when it is whole.
const RESERVE: u64 = 128 << 10;

fn reserve(place: &Place) -> u64 {
    fs::metadata(place.path("repo/reserve")).map_or(0, |meta| meta.len())
}

/// How much room each attempt is given: up to more than enough.
fn steps() -> impl Iterator<Item = u64> {
    let all = 3 << 20;
    let wanted = setting("SNAP_STEPS", 8).clamp(1, all / STEP);
    let step = all / wanted / STEP * STEP;
    (0..wanted).map(move |n| n * step)
}

#[test]
fn a_push_onto_a_disk_that_fills_up_fails_and_loses_nothing() {
    let place = Place::empty();
    let Some(small) = Small::mount(place.path("small")) else { return };
    place.ok(&["-r", "small/repo", "init"]);
    std::os::unix::fs::symlink("small/repo", place.path("repo")).unwrap();
    let mut noise = Noise::new(6);
    change(&place.path("data"), &mut noise, 0);
    let mut reported = BTreeMap::from([(place.push(), tree_at(&place.path("data")))]);
    fs::write(place.path("data/more"), noise.bytes(2_200_000)).unwrap();
    let tree = tree_at(&place.path("data"));
    let (mut failed, mut worked) = (0, 0);
    for room in steps() {
        small.leave(room);
        let output = place.command(&["push", "-q", "data"]).output().unwrap();
        if output.status.code() == Some(0) {
            worked += 1;
            reported.insert(String::from_utf8(output.stdout).unwrap().trim().to_owned(), tree.clone());
        } else {
            failed += 1;
            let code = output.status.code();
            assert!(output.stdout.is_empty() && code == Some(17), "{room} bytes left: {}: {}", output.status, said(&output));
        }
        assert_eq!(reserve(&place), RESERVE, "what is kept for prunes is for no push");
        place.assert_whole(&reported);
    }
    small.leave_all();
    reported.insert(place.push(), tree);
    place.assert_whole(&reported);
    eprintln!("{failed} pushes found no space, {worked} had enough");
    assert!(failed > 0);
}

#[test]
fn a_prune_on_a_full_disk_gives_room_back_and_loses_nothing() {
    let base = Place::empty();
    let Some(small) = Small::mount(base.path("small")) else { return };
    base.ok(&["-r", "small/repo", "init"]);
    std::os::unix::fs::symlink("small/repo", base.path("repo")).unwrap();
    let mut noise = Noise::new(7);
    for room in [4 << 10, 8 << 10, 16 << 10].into_iter().chain(steps()) {
        let mut reported = BTreeMap::new();
        for version in 0..3 {
            change(&base.path("data"), &mut noise, version);
            fs::write(base.path("data/other"), noise.bytes(400_000)).unwrap();
            reported.insert(base.push(), tree_at(&base.path("data")));
        }
        let mut dropped: Vec<String> = reported.keys().take(2).cloned().collect();
        dropped.iter().for_each(|id| _ = reported.remove(id));
        // In packs of which nothing else is needed: there is no room to rewrite any.
        fs::create_dir_all(base.path("gone")).unwrap();
        fs::write(base.path("gone/noise"), noise.bytes(400_000)).unwrap();
        dropped.push(base.ok(&["push", "-q", "gone"]).trim().to_owned());
        for id in &dropped {
            base.ok(&["forget", id, "--trash", "0d", "--force", "--execute"]);
        }
        assert_eq!(reserve(&base), RESERVE);
        small.leave(room);
        let left = free(&small.0);
        let output = base.command(&["prune", "-q", "--execute", "--fence-after", "0s"]).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{room} bytes left: {}", said(&output));
        assert!(free(&small.0) + reserve(&base) > left + RESERVE + 200_000, "{room} bytes left: {left}, {} then", free(&small.0));
        base.assert_whole(&reported);
        small.leave_all();
        let all: Vec<String> = base.ok(&["list", "-q"]).lines().map(str::to_owned).collect();
        let last = reported.keys().next().unwrap();
        for id in all.iter().filter(|id| !last.starts_with(id.as_str())) {
            base.ok(&["forget", id, "--trash", "0d", "--force", "--execute"]);
        }
        base.ok(&["prune", "-q", "--execute", "--fence-after", "0s", "--max-unused", "0%"]);
    }
}

#[test]
fn a_repository_that_keeps_nothing_for_prunes_says_what_to_do_and_the_next_push_makes_that_good() {
    let place = Place::empty();
    let Some(small) = Small::mount(place.path("small")) else { return };
    place.ok(&["-r", "small/repo", "init"]);
    std::os::unix::fs::symlink("small/repo", place.path("repo")).unwrap();
    let mut noise = Noise::new(8);
    let mut ids = Vec::new();
    for version in 0..2 {
        change(&place.path("data"), &mut noise, version);
        fs::write(place.path("data/other"), noise.bytes(400_000)).unwrap();
        ids.push(place.push());
    }
    place.ok(&["forget", &ids[0], "--trash", "0d", "--force", "--execute"]);
    let kept = BTreeMap::from([(ids[1].clone(), tree_at(&place.path("data")))]);
    // As one that an older version made.
    fs::remove_file(place.path("repo/reserve")).unwrap();
    small.leave(0);
    let output = place.command(&["prune", "--execute", "--fence-after", "0s"]).output().unwrap();
    assert_eq!(output.status.code(), Some(17), "{}", said(&output));
    assert!(said(&output).contains("remove something else there, and prune again"), "{}", said(&output));
    place.assert_whole(&kept);
    small.leave_all();
    assert_eq!(reserve(&place), 0);
    change(&place.path("data"), &mut noise, 2);
    let last = place.push();
    assert_eq!(reserve(&place), RESERVE);
    small.leave(0);
    place.ok(&["prune", "--execute", "--fence-after", "0s"]);
    place.assert_whole(&kept.into_iter().chain([(last, tree_at(&place.path("data")))]).collect());
}

#[test]
fn a_full_disk_under_the_cache_keeps_nobody_from_reading() {
    let place = Place::empty();
    let Some(small) = Small::mount(place.path("small")) else { return };
    place.ok(&["-r", "repo", "init"]);
    change(&place.path("data"), &mut Noise::new(5), 0);
    place.ok(&["-r", "repo", "push", "-q", "data"]);
    for has_index in [false, true] {
        for room in [0, 8 << 10, 64 << 10] {
            let target = format!("out-{has_index}-{room}");
            small.leave(room);
            let run = place.command(&["-r", "repo", "restore", "latest", "-t", &target, "--cache-dir", "small/cache"]).output().unwrap();
            assert!(run.status.success(), "{has_index} {room}: {}", said(&run));
            // A little room may do where the index is there.
            assert!(
                (usize::from(room == 0)..=1).contains(&said(&run).matches("--cache-dir").count()),
                "{has_index} {room}: {}",
                said(&run)
            );
            assert!(tree_at(&place.path(&target)) == tree_at(&place.path("data")), "{has_index} {room}");
        }
        small.leave_all();
        place.ok(&["-r", "repo", "ls", "latest", "--cache-dir", "small/cache"]);
    }
}
