//! Restores into folders that are not empty, of files that share blobs and bases, and of trees as deep as there may be.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod rig;
#[path = "../src/tensor/samples.rs"]
mod samples;

use std::fs;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use rig::{Heard, Noise, Place, assert_restores, assert_whole, find, push_path, quick_folder, tree_at};
use store_core::base::limits;
use store_core::monitor::{Monitor, Progress};
use store_core::ops::restore::{Options, Overwrite, Report, restore};
use store_core::ops::{diff, dump, ls, stats};
use store_core::repo::{OpenOptions, Repo, StoredSnapshot};

struct World {
    folder: tempfile::TempDir,
    place: Place,
    repo: Repo,
}

impl World {
    fn new() -> Self {
        let folder = quick_folder();
        let place = Place::below(folder.path());
        let repo = place.init();
        fs::create_dir(folder.path().join("data")).unwrap();
        Self { folder, place, repo }
    }

    fn data(&self, name: &str) -> PathBuf {
        self.folder.path().join("data").join(name)
    }

    fn out(&self, name: &str) -> PathBuf {
        self.folder.path().join("out").join(name)
    }

    fn push(&self) -> StoredSnapshot {
        let id = push_path(&self.repo, &self.data("")).unwrap().snapshot.unwrap();
        find(&self.repo, id).unwrap()
    }

    fn options(&self, overwrite: Overwrite) -> Options {
        Options { target: self.out(""), overwrite, ..Options::default() }
    }

    fn restore(&self, stored: &StoredSnapshot, options: &Options) -> Report {
        let heard = Heard::default();
        let report = restore(&self.repo, stored, options, &heard).unwrap();
        assert_eq!(report.failed, 0, "{:?}", heard.0.into_inner().unwrap());
        report
    }
}

/// A time so many seconds after the one that all entries have.
fn time(offset: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000u64.saturating_add_signed(offset))
}

fn set_time(path: &Path, time: SystemTime) {
    let seconds = time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let status = std::process::Command::new("touch").args(["-h", "-d", &format!("@{seconds}")]).arg(path).status().unwrap();
    assert!(status.success());
}

fn mkfifo(path: &Path) {
    assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// One of each kind in `folder`: what the snapshot has, with `text` in the file, the link and the mode of the directory.
fn one_of_each(folder: &Path, text: &str, mode: u32, at: SystemTime) {
    fs::create_dir_all(folder.join("directory")).unwrap();
    fs::write(folder.join("file"), text).unwrap();
    fs::set_permissions(folder.join("file"), fs::Permissions::from_mode(mode & 0o666)).unwrap();
    symlink(text, folder.join("link")).unwrap();
    mkfifo(&folder.join("pipe"));
    fs::set_permissions(folder.join("pipe"), fs::Permissions::from_mode(mode & 0o666)).unwrap();
    fs::set_permissions(folder.join("directory"), fs::Permissions::from_mode(mode)).unwrap();
    ["file", "link", "pipe", "directory"].iter().for_each(|name| set_time(&folder.join(name), at));
}

/// What tells whether an entry is the snapshot's or the one that was there.
fn looks(folder: &Path) -> Vec<String> {
    let look = |name: &str| {
        let path = folder.join(name);
        let meta = fs::symlink_metadata(&path).unwrap();
        let mode = if meta.is_symlink() { 0 } else { meta.mode() };
        let content = match name {
            "file" => fs::read_to_string(&path).unwrap(),
            "link" => fs::read_link(&path).unwrap().display().to_string(),
            _ => String::new(),
        };
        format!("{name} {mode:o} {} {content}", meta.mtime())
    };
    ["file", "link", "pipe", "directory"].map(look).to_vec()
}

#[test]
fn what_stands_there_is_guarded_whatever_it_is() {
    for (overwrite, age, stays) in [
        (Overwrite::Always, 50, [false; 4]),
        (Overwrite::IfNewer, -50, [false; 4]),
        (Overwrite::IfNewer, 0, [true; 4]),
        (Overwrite::IfNewer, 50, [true; 4]),
        (Overwrite::Never, -50, [true; 4]),
        // Another file, link and pipe of the same time: file and pipe pass for the same, the link does not; folders get their metadata.
        (Overwrite::IfChanged, 0, [true, false, true, false]),
        (Overwrite::IfChanged, 50, [false; 4]),
    ] {
        let world = World::new();
        one_of_each(&world.data(""), "new", 0o755, time(0));
        let stored = world.push();
        one_of_each(&world.out(""), "old", 0o700, time(age));
        let (before, wanted) = (looks(&world.out("")), looks(&world.data("")));
        let report = world.restore(&stored, &Options { verify: true, ..world.options(overwrite) });
        for (i, found) in looks(&world.out("")).iter().enumerate() {
            let expected = if stays[i] { &before[i] } else { &wanted[i] };
            assert_eq!(found, expected, "{overwrite:?} with entries {age} s younger");
        }
        assert_eq!(report.skipped, stays.iter().filter(|stays| **stays).count() as u64, "{overwrite:?}");
    }
}

#[test]
fn what_is_lacking_is_made_in_a_folder_that_stays() {
    let world = World::new();
    one_of_each(&world.data(""), "new", 0o755, time(0));
    fs::write(world.data("directory/inner"), "inner").unwrap();
    let stored = world.push();
    fs::create_dir_all(world.out("directory")).unwrap();
    fs::set_permissions(world.out("directory"), fs::Permissions::from_mode(0o711)).unwrap();
    fs::write(world.out("file"), "old").unwrap();
    world.restore(&stored, &world.options(Overwrite::Never));
    assert_eq!(fs::read(world.out("directory/inner")).unwrap(), b"inner");
    assert_eq!(fs::metadata(world.out("directory")).unwrap().mode() & 0o777, 0o711);
    assert_eq!(fs::read(world.out("file")).unwrap(), b"old");
    assert_eq!(fs::read_link(world.out("link")).unwrap(), Path::new("new"));
}

#[test]
fn a_file_stays_where_the_snapshot_has_a_folder_and_that_is_told() {
    let world = World::new();
    fs::create_dir(world.data("x")).unwrap();
    fs::write(world.data("x/inner"), "inner").unwrap();
    let stored = world.push();
    fs::create_dir_all(world.out("")).unwrap();
    fs::write(world.out("x"), "a file").unwrap();
    let heard = Heard::default();
    let report = restore(&world.repo, &stored, &world.options(Overwrite::Never), &heard).unwrap();
    assert_eq!((report.failed, fs::read(world.out("x")).unwrap()), (1, b"a file".to_vec()));
    assert!(heard.0.into_inner().unwrap()[0].item.ends_with('x'));
    world.restore(&stored, &world.options(Overwrite::Always));
    assert_eq!(fs::read(world.out("x/inner")).unwrap(), b"inner");
}

#[test]
fn another_name_of_a_file_is_not_taken_from_one_that_stays() {
    let world = World::new();
    fs::write(world.data("a"), "of the snapshot").unwrap();
    fs::hard_link(world.data("a"), world.data("b")).unwrap();
    let stored = world.push();
    fs::create_dir_all(world.out("")).unwrap();
    fs::write(world.out("a"), "of the user").unwrap();
    world.restore(&stored, &world.options(Overwrite::Never));
    assert_eq!(fs::read(world.out("a")).unwrap(), b"of the user");
    assert_eq!(fs::read(world.out("b")).unwrap(), b"of the snapshot");
}

#[test]
fn of_a_large_file_that_is_there_only_what_differs_is_written() {
    let world = World::new();
    let bytes = Noise::new(3).bytes(160 << 20);
    fs::write(world.data("large"), &bytes).unwrap();
    let stored = world.push();
    fs::create_dir_all(world.out("")).unwrap();
    let mut old = bytes.clone();
    for at in (0..old.len()).step_by(1 << 20) {
        old[at] ^= 1;
    }
    old.truncate(150 << 20);
    fs::write(world.out("large"), &old).unwrap();
    let report = world.restore(&stored, &Options { verify: true, ..world.options(Overwrite::Always) });
    assert!(fs::read(world.out("large")).unwrap() == bytes);
    assert_eq!(report.kept_bytes + report.written_bytes, bytes.len() as u64);
    assert!(report.kept_bytes > 60 << 20, "{report:?}");
    // And what is right is written no more.
    let report = world.restore(&stored, &Options { verify: true, ..world.options(Overwrite::Always) });
    assert_eq!((report.kept_bytes, report.written_bytes, report.decoded), (bytes.len() as u64, 0, 0));
}

/// Restores into `target`, deleting what is too much.
fn restore_alone(world: &World, stored: &StoredSnapshot, target: &Path) -> (Result<Report, store_core::error::Error>, Vec<String>) {
    let heard = Heard::default();
    let options = Options { target: target.into(), delete: true, ..Options::default() };
    let report = restore(&world.repo, stored, &options, &heard);
    let said = heard.0.into_inner().unwrap().iter().map(|warning| format!("{}: {}", warning.item, warning.message)).collect();
    (report, said)
}

#[test]
fn deleting_spares_repository_and_cache_wherever_they_are() {
    let world = World::new();
    fs::write(world.data("file"), "x").unwrap();
    let stored = world.push();
    let top = world.folder.path();
    fs::write(top.join("extra"), "x").unwrap();
    // By another name: a link to it is what the user may have.
    symlink(&world.place.repo, top.join("link")).unwrap();
    let dry = world.restore(&stored, &Options { target: top.into(), delete: true, dry_run: true, ..Options::default() });
    assert_eq!(dry.deleted, 3, "the data, the link, the rest");
    let (report, said) = restore_alone(&world, &stored, top);
    assert_eq!((report.unwrap().deleted, said.len()), (3, 1), "{said:?}");
    assert!(said[0].starts_with("/cache: stays"), "caches of other repositories may be there: {said:?}");
    assert_eq!(fs::read(top.join("file")).unwrap(), b"x");
    assert!(!top.join("extra").exists() && !world.data("").exists());
    assert_whole(&world.place.open().unwrap());

    // And what holds them is not removed, nor taken apart, nor replaced by what the snapshot has in its place.
    let deep = World::new();
    fs::write(deep.data("file"), "x").unwrap();
    fs::create_dir_all(deep.folder.path().join("holds/it")).unwrap();
    fs::write(deep.folder.path().join("holds/other"), "x").unwrap();
    let place = Place::below(&deep.folder.path().join("holds/it"));
    let world = World { repo: place.init(), place, ..deep };
    let stored = world.push();
    let (report, said) = restore_alone(&world, &stored, world.folder.path());
    assert!(report.unwrap().deleted > 0 && said.len() == 1, "{said:?}");
    assert!(world.folder.path().join("holds/other").exists() && said[0].starts_with("/holds: stays"), "{said:?}");
    fs::create_dir(world.data("")).unwrap();
    fs::write(world.data("holds"), "x").unwrap();
    let stored = world.push();
    let (report, said) = restore_alone(&world, &stored, world.folder.path());
    assert_eq!(report.unwrap().failed, 1, "{said:?}");
    assert_whole(&world.place.open().unwrap());
}

#[test]
fn nothing_is_restored_into_a_repository() {
    let world = World::new();
    fs::create_dir_all(world.data("repo/keys")).unwrap();
    fs::write(world.data("repo/config"), "another").unwrap();
    fs::write(world.data("repo/keys/x"), "another").unwrap();
    let stored = world.push();
    for target in [world.place.repo.clone(), world.place.repo.join("made/by"), world.place.cache.join(world.repo.id().to_string())] {
        let error = restore_alone(&world, &stored, &target).0.unwrap_err();
        assert_eq!(error.kind(), store_core::error::ErrorKind::Refused, "{}", target.display());
    }
    assert!(!world.place.repo.join("made").exists());
    let dry = Options { target: world.folder.path().into(), delete: true, dry_run: true, ..Options::default() };
    assert_eq!(world.restore(&stored, &dry).deleted, 1, "the data, and nothing in the repository");
    let (report, said) = restore_alone(&world, &stored, world.folder.path());
    assert!(report.unwrap().failed > 0 && said[0].contains("in the repository"), "{said:?}");
    assert!(world.data("").exists(), "nothing is deleted where not all was restored");
    assert_whole(&world.place.open().unwrap());
}

#[test]
fn what_the_caller_keeps_is_not_deleted_and_a_failure_deletes_nothing() {
    let world = World::new();
    fs::create_dir(world.data("folder")).unwrap();
    fs::write(world.data("folder/file"), "x").unwrap();
    let stored = world.push();
    for name in ["a", "b", "c/key", "d"] {
        fs::create_dir_all(world.out(name).parent().unwrap()).unwrap();
        fs::write(world.out(name), "x").unwrap();
    }
    fs::write(world.out("folder"), "in the way").unwrap();
    let keep = vec![world.out("b"), world.out("c/key"), world.out("is/not/there")];
    let failing = Options { delete: true, keep: keep.clone(), ..world.options(Overwrite::Never) };
    let report = restore(&world.repo, &stored, &failing, &Heard::default()).unwrap();
    assert_eq!((report.failed, report.deleted), (1, 0));
    assert!(world.out("a").exists());
    let report = world.restore(&stored, &Options { delete: true, keep, ..world.options(Overwrite::Always) });
    assert_eq!(report.deleted, 2);
    assert_eq!(
        [("a", false), ("b", true), ("c/key", true), ("d", false)].map(|(name, _)| world.out(name).exists()),
        [false, true, true, false]
    );
}

#[test]
fn folders_that_are_made_are_open_to_nobody_else_until_all_is_there() {
    /// The modes of folders when each file is done.
    struct Modes(Vec<PathBuf>, Mutex<Vec<u32>>);

    impl Monitor for Modes {
        fn file(&self, _: &str, _: &'static str, _: u64) {
            self.1.lock().unwrap().extend(self.0.iter().map(|path| mode_of(path)));
        }
    }

    fn mode_of(path: &Path) -> u32 {
        path.metadata().unwrap().mode() & 0o7777
    }

    let world = World::new();
    fs::write(world.data("file"), "x").unwrap();
    fs::set_permissions(world.data(""), fs::Permissions::from_mode(0o751)).unwrap();
    let stored = world.push();
    // As the system makes them for this process.
    fs::create_dir(world.folder.path().join("usual")).unwrap();
    let usual = mode_of(&world.folder.path().join("usual"));
    assert_ne!(usual, 0o700, "there is something to see");
    for (path, mode) in [("", 0o751), ("file", usual)] {
        let folders = vec![world.out(""), world.out("deep"), world.out("deep/er")];
        let modes = Modes(folders.clone(), Mutex::default());
        let options = Options { target: world.out("deep/er"), path: path.into(), ..Options::default() };
        assert_eq!(restore(&world.repo, &stored, &options, &modes).unwrap().failed, 0);
        assert_eq!(modes.1.into_inner().unwrap(), [0o700; 3]);
        assert_eq!(folders.iter().map(|path| mode_of(path)).collect::<Vec<_>>(), [usual, usual, mode], "{path:?}");
        fs::remove_dir_all(world.out("")).unwrap();
    }
    // What was there keeps its mode.
    fs::create_dir(world.out("")).unwrap();
    fs::set_permissions(world.out(""), fs::Permissions::from_mode(0o750)).unwrap();
    let options = Options { path: "file".into(), ..world.options(Overwrite::Always) };
    world.restore(&stored, &options);
    assert_eq!(mode_of(&world.out("")), 0o750);
}

/// The largest file below a folder.
fn largest(folder: &Path) -> PathBuf {
    let files = tree_at(folder).into_iter().filter_map(|(path, thing)| match thing {
        rig::Thing::File(bytes) => Some((bytes.len(), folder.join(path))),
        _ => None,
    });
    files.max().unwrap().1
}

#[test]
fn another_name_of_a_file_that_failed_fails_too_and_nothing_is_put_in_its_place() {
    let world = World::new();
    fs::write(world.data("a"), Noise::new(5).bytes(3 << 20)).unwrap();
    fs::hard_link(world.data("a"), world.data("b")).unwrap();
    let stored = world.push();
    let pack = largest(&world.place.repo);
    let mut bytes = fs::read(&pack).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::remove_file(&pack).unwrap();
    fs::write(&pack, bytes).unwrap();
    fs::create_dir(world.out("")).unwrap();
    fs::write(world.out("b"), "the last good copy").unwrap();
    let repo = world.place.open().unwrap();
    let report = restore(&repo, &stored, &world.options(Overwrite::Always), &Heard::default()).unwrap();
    assert_eq!(report.failed, 2);
    assert_eq!(fs::read(world.out("b")).unwrap(), b"the last good copy");
}

/// Writes into a restored file as soon as it is said to be done.
struct Meddler {
    path: PathBuf,
    at: u64,
    heard: Heard,
}

impl Monitor for Meddler {
    fn file(&self, _: &str, _: &'static str, _: u64) {
        let file = fs::File::options().write(true).open(&self.path).unwrap();
        file.write_all_at(b"!", self.at).unwrap();
    }

    fn warning(&self, warning: &store_core::monitor::Warning) {
        self.heard.warning(warning);
    }
}

#[test]
fn verifying_looks_at_chunks_and_at_holes() {
    let world = World::new();
    let file = fs::File::create(world.data("sparse")).unwrap();
    file.write_all_at(&[7; 5000], 0).unwrap();
    file.set_len(40 << 20).unwrap();
    drop(file);
    let stored = world.push();
    for at in [100, 30 << 20, (40 << 20) - 1] {
        let meddler = Meddler { path: world.out("sparse"), at, heard: Heard::default() };
        let options = Options { verify: true, ..world.options(Overwrite::Always) };
        let report = restore(&world.repo, &stored, &options, &meddler).unwrap();
        assert_eq!(report.failed, 1, "byte {at} was changed and nobody noticed");
        fs::remove_file(world.out("sparse")).unwrap();
    }
    world.restore(&stored, &Options { verify: true, ..world.options(Overwrite::Always) });
}

/// Versions of a file of weights, each a little different from the one before.
fn push_versions(world: &World, versions: usize) -> Vec<StoredSnapshot> {
    let mut noise = Noise::new(7);
    let mut weights = samples::safetensors(&[("w", "BF16", &[2048, 1024], 4 << 20)]);
    let start = weights.len() - (4 << 20);
    let mut value = 0u16;
    for pair in weights[start..].chunks_exact_mut(2) {
        value = value.wrapping_add((noise.next() % 512) as u16);
        pair.copy_from_slice(&(0x3c00 | (value & 0x3ff)).to_le_bytes());
    }
    let text: String = (0..40_000).map(|i| format!("{i},{},some words that repeat\n", noise.below(1000))).collect();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let mut made = Vec::new();
    for version in 0..versions {
        for pair in weights[start..].chunks_exact_mut(2).filter(|_| noise.below(3) == 0) {
            pair[0] ^= 1;
        }
        for _ in 0..200 {
            let at = noise.below(lines.len() as u64) as usize;
            lines[at] = format!("{at},{version},changed");
        }
        fs::write(world.data("weights.safetensors"), &weights).unwrap();
        fs::write(world.data("table.csv"), lines.join("\n")).unwrap();
        made.push(world.push());
    }
    made
}

#[test]
fn each_blob_of_a_chain_of_versions_is_decoded_once() {
    let world = World::new();
    let versions = push_versions(&world, 6);
    let first = world.restore(&versions[0], &world.options(Overwrite::Always));
    fs::remove_dir_all(world.out("")).unwrap();
    let last = world.restore(&versions[5], &world.options(Overwrite::Always));
    assert!(last.blobs > first.blobs, "the last version is coded against earlier ones: {last:?}");
    assert_eq!((first.decoded, last.decoded), (first.blobs, last.blobs));
    assert_eq!(tree_at(&world.out("")), tree_at(&world.data("")));
    let plan = world.restore(&versions[5], &Options { dry_run: true, ..world.options(Overwrite::Always) });
    assert_eq!((plan.blobs, plan.read_bytes, plan.decoded), (last.blobs, last.read_bytes, 0));
}

#[test]
fn bytes_move_while_one_file_is_pushed_and_restored() {
    /// The counts of bytes done that were told.
    #[derive(Default)]
    struct Steps(Mutex<Vec<(u64, u64)>>);

    impl Monitor for Steps {
        fn progress(&self, progress: &Progress) {
            self.0.lock().unwrap().push((progress.bytes_done, progress.bytes_total));
        }
    }

    impl Steps {
        #[track_caller]
        fn assert_move(self, total: u64, ordered: bool) {
            let steps = self.0.into_inner().unwrap();
            let mut told: Vec<u64> = steps.iter().map(|(done, _)| *done).collect();
            assert!(!ordered || told.is_sorted(), "{told:?}");
            told.sort_unstable();
            told.dedup();
            assert!(told.len() > 8 && told.last() == Some(&total), "{told:?}");
        }
    }

    let world = World::new();
    let len = 60 << 20;
    fs::write(world.data("large"), Noise::new(9).bytes(len)).unwrap();
    let steps = Steps::default();
    let id = store_core::ops::push::push(&world.repo, rig::push_options(&world.data("")), &steps).unwrap().snapshot.unwrap();
    steps.assert_move(len as u64, true);
    let stored = find(&world.repo, id).unwrap();
    // Empty, then right already, then left alone.
    for overwrite in [Overwrite::Always, Overwrite::Always] {
        let steps = Steps::default();
        restore(&world.repo, &stored, &world.options(overwrite), &steps).unwrap();
        steps.assert_move(len as u64, false);
    }
    let steps = Steps::default();
    restore(&world.repo, &stored, &Options { verify: true, ..world.options(Overwrite::Never) }, &steps).unwrap();
    assert_eq!(steps.0.into_inner().unwrap().iter().max(), Some(&(2 * len as u64, 2 * len as u64)));
}

#[test]
fn the_deepest_tree_needs_no_deep_stack() {
    let world = World::new();
    // As deep as a push makes it.
    let deepest: PathBuf = std::iter::repeat_n("d", limits::TREE_DEPTH - 2).collect();
    fs::create_dir_all(world.data("").join(&deepest)).unwrap();
    fs::write(world.data("").join(&deepest).join("f"), "deep").unwrap();
    let options = OpenOptions { threads: 1, ..world.place.options() };
    let walk = move || {
        let repo = Repo::open(&options, &rig::secrets()).unwrap();
        let stored = find(&repo, push_path(&repo, &world.data("")).unwrap().snapshot.unwrap()).unwrap();
        assert_restores(&repo, stored.id, &tree_at(&world.data("")));
        let restored = world.restore(&stored, &Options { verify: true, delete: true, ..world.options(Overwrite::IfNewer) });
        assert_eq!(restored.directories, limits::TREE_DEPTH as u64 - 2);
        assert_whole(&repo);
        let mut lines = 0;
        let all = ls::Options { path: Vec::new(), recursive: true };
        ls::ls(&repo, &stored, &all, &mut |_| {
            lines += 1;
            Ok(())
        })
        .unwrap();
        assert_eq!(lines, limits::TREE_DEPTH - 1);
        assert!(dump::dump(&repo, &stored, b"", &mut std::io::sink()).unwrap() > 0);
        stats::stats(&repo, std::slice::from_ref(&stored)).unwrap();
        fs::write(world.data("").join(&deepest).join("f"), "changed").unwrap();
        let other = find(&repo, push_path(&repo, &world.data("")).unwrap().snapshot.unwrap()).unwrap();
        let side = |stored: &StoredSnapshot| diff::Side::Snapshot(stored.clone(), Vec::new());
        let totals = diff::diff(&repo, &side(&stored), &side(&other), &diff::Options::default(), &mut |_| Ok(())).unwrap();
        assert_eq!(totals.changed, 1);
    };
    std::thread::Builder::new().stack_size(1 << 20).spawn(walk).unwrap().join().unwrap();
}
