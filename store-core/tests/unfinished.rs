//! Restores that do not get to their end, and go on when the same command runs again: nothing that is half written is taken for whole, by whichever
//! policy it is told what stays.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod rig;

use std::fs;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rig::{Noise, Place, Thing, find, push_path, quick_folder, secrets, tree_at};
use store_core::error::ErrorKind;
use store_core::monitor::{Monitor, Progress, Silent};
use store_core::ops::restore::{Options, Overwrite, restore};
use store_core::repo::{OpenOptions, Repo};

const ALL: [Overwrite; 4] = [Overwrite::Always, Overwrite::IfChanged, Overwrite::IfNewer, Overwrite::Never];

/// Of a file: several blobs.
const SIZE: usize = 12 << 20;

/// The packs of a repository, the largest last.
fn packs(place: &Place) -> Vec<PathBuf> {
    let below = |folder: PathBuf| fs::read_dir(folder).unwrap().map(|item| item.unwrap().path()).collect::<Vec<_>>();
    let mut packs: Vec<PathBuf> = below(place.repo.join("packs")).into_iter().flat_map(below).collect();
    packs.sort_by_key(|pack| fs::metadata(pack).unwrap().len());
    packs
}

fn flip(pack: &Path) {
    let file = fs::File::options().read(true).write(true).open(pack).unwrap();
    let (at, mut byte) = (file.metadata().unwrap().len() / 8 * 7, [0]);
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], at).unwrap();
}

/// A repository that is read by one worker, from the first blob of a file to the last: some is written when a late one is found to be damaged.
fn init(place: &Place) -> Repo {
    let options = OpenOptions { threads: 1, ..place.options() };
    Repo::init(&options, &secrets(), "test").unwrap().0
}

/// Stops once something was written.
#[derive(Default)]
struct Impatient(AtomicBool);

impl Monitor for Impatient {
    fn progress(&self, progress: &Progress) {
        self.0.fetch_or(progress.bytes_done > 0, Ordering::Relaxed);
    }

    fn interrupted(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

#[test]
fn what_a_restore_that_ended_early_wrote_is_not_taken_for_whole() {
    for (overwrite, is_there) in ALL.into_iter().flat_map(|overwrite| [(overwrite, false), (overwrite, true)]) {
        let folder = quick_folder();
        let (place, data, target) = (Place::below(folder.path()), folder.path().join("data"), folder.path().join("target"));
        let repo = init(&place);
        fs::create_dir_all(&data).unwrap();
        fs::write(data.join("file"), Noise::new(1).bytes(SIZE)).unwrap();
        let stored = find(&repo, push_path(&repo, &data).unwrap().snapshot.unwrap()).unwrap();
        let stays = is_there && overwrite == Overwrite::Never;
        if is_there {
            fs::create_dir(&target).unwrap();
            fs::write(target.join("file"), "older").unwrap();
            let old = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
            fs::File::options().write(true).open(target.join("file")).unwrap().set_modified(old).unwrap();
        }
        let options = Options { target: target.clone(), overwrite, ..Options::default() };
        // Some bytes are lost for a while.
        let pack = packs(&place).pop().unwrap();
        flip(&pack);
        let failed = restore(&repo, &stored, &options, &Silent).unwrap().failed;
        assert_eq!(failed, u64::from(!stays), "{overwrite:?}");
        flip(&pack);
        // And then somebody has no patience.
        match restore(&repo, &stored, &options, &Impatient::default()) {
            Err(error) => assert_eq!(error.kind(), ErrorKind::Interrupted),
            Ok(report) => assert!(report.failed == 0, "{overwrite:?}"),
        }
        let report = restore(&repo, &stored, &options, &Silent).unwrap();
        let found = tree_at(&target);
        let expected = if stays { [("file".into(), Thing::File(b"older".into()))].into() } else { tree_at(&data) };
        assert!(found == expected, "{overwrite:?}, {is_there}: {:?}, {report:?}", found.keys().collect::<Vec<_>>());
        assert_eq!(report.failed, 0);
        // What was right already was not written again.
        assert!(report.written_bytes < SIZE as u64, "{overwrite:?}: {report:?}");
        if !stays {
            assert_eq!(fs::metadata(target.join("file")).unwrap().mtime(), fs::metadata(data.join("file")).unwrap().mtime());
        }
    }
}

#[test]
fn what_is_left_of_a_restore_can_be_pushed_and_restored_beside_what_it_would_have_become() {
    for overwrite in [Overwrite::IfNewer, Overwrite::Never] {
        let folder = quick_folder();
        let (place, data) = (Place::below(folder.path()), folder.path().join("data"));
        let repo = init(&place);
        fs::create_dir_all(&data).unwrap();
        fs::write(data.join("file"), Noise::new(1).bytes(SIZE)).unwrap();
        let first = find(&repo, push_path(&repo, &data).unwrap().snapshot.unwrap()).unwrap();
        let to = |name: &str| Options { target: folder.path().join(name), overwrite, ..Options::default() };
        let pack = packs(&place).pop().unwrap();
        flip(&pack);
        assert_eq!(restore(&repo, &first, &to("left"), &Silent).unwrap().failed, 1);
        flip(&pack);
        // Now there is what was to become the file, and another file of that name.
        let left = folder.path().join("left");
        let names = || tree_at(&left).into_keys().collect::<Vec<_>>();
        assert!(names().len() == 1 && names()[0] != Path::new("file"), "{:?}", names());
        fs::write(left.join("file"), Noise::new(2).bytes(3 << 20)).unwrap();
        let second = find(&repo, push_path(&repo, &left).unwrap().snapshot.unwrap()).unwrap();
        let report = restore(&repo, &second, &to("second"), &Silent).unwrap();
        assert!(report.failed == 0 && tree_at(&folder.path().join("second")) == tree_at(&left), "{report:?}");
        // The first one still goes on from it.
        fs::remove_file(left.join("file")).unwrap();
        let report = restore(&repo, &first, &to("left"), &Silent).unwrap();
        assert!(report.kept_bytes > 0 && tree_at(&left) == tree_at(&data), "{report:?}");
    }
}
