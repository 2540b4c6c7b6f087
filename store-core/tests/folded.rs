//! A target that takes upper and lower case for one, as disks with exFAT or NTFS, and SMB, do: two entries of a snapshot never become one there
//! without a word. Few systems let a test mount one, so a folder on it is named. With root, `exfat-fuse` and `exfatprogs`:
//!
//! ```sh
//! truncate -s 100M disk && mkfs.exfat disk && mkdir mounted && mount.exfat-fuse "$(losetup -f --show disk)" mounted
//! SNAP_FOLDED=$PWD/mounted cargo test --release -p store-core --test folded -- --ignored
//! ```

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod rig;

use std::fs;
use std::path::Path;
use std::sync::Mutex;

use rig::{Noise, Place, Thing, find, push_path, quick_folder, tree_at};
use store_core::monitor::{Monitor, Warning};
use store_core::ops::restore::{Options, Overwrite, restore};

#[derive(Default)]
struct Warnings(Mutex<Vec<Warning>>);

impl Monitor for Warnings {
    fn warning(&self, warning: &Warning) {
        self.0.lock().unwrap().push(warning.clone());
    }
}

#[test]
#[ignore = "needs a folder that ignores case, named by SNAP_FOLDED"]
fn of_two_names_that_are_one_file_one_is_restored_and_the_other_told() {
    let folded = std::env::var_os("SNAP_FOLDED").expect("SNAP_FOLDED names a folder that ignores case");
    let folder = quick_folder();
    let (place, data) = (Place::below(folder.path()), folder.path().join("data"));
    let repo = place.init();
    let mut noise = Noise::new(1);
    for (name, len) in [
        ("README", 10),
        ("readme", 11),
        ("Sub/a", 1),
        ("sub/A", 2),
        ("sub/b", 3),
        ("Big", 9 << 20),
        ("big", 8 << 20),
        ("dot", 7),
        ("dot.", 6),
        ("other", 9),
    ] {
        fs::create_dir_all(data.join(name).parent().unwrap()).unwrap();
        fs::write(data.join(name), noise.bytes(len)).unwrap();
    }
    let (pushed, whole) = (find(&repo, push_path(&repo, &data).unwrap().snapshot.unwrap()).unwrap(), tree_at(&data));
    for overwrite in [Overwrite::Always, Overwrite::IfChanged, Overwrite::IfNewer, Overwrite::Never] {
        let target = tempfile::tempdir_in(&folded).unwrap();
        for attempt in 0..3 {
            let warnings = Warnings::default();
            let options = Options { target: target.path().to_path_buf(), overwrite, verify: true, ..Options::default() };
            let report = restore(&repo, &pushed, &options, &warnings).unwrap();
            let found = tree_at(target.path());
            for (name, thing) in &found {
                assert!(whole.get(name) == Some(thing), "{overwrite:?}, attempt {attempt}: {}", name.display());
            }
            let warnings = warnings.0.into_inner().unwrap();
            let is_told = |name: &Path| warnings.iter().filter(|warning| Path::new(warning.item.trim_start_matches('/')) == name).count();
            for name in whole.keys() {
                // A folder stands for what would be in it.
                let told: usize = name.ancestors().map(is_told).sum();
                assert_eq!(
                    told,
                    usize::from(!found.contains_key(name)),
                    "{overwrite:?}, attempt {attempt}: {}: {warnings:?}",
                    name.display()
                );
            }
            // Some leave out the dot, too.
            let failed = whole.keys().map(|name| is_told(name)).sum::<usize>();
            assert!(report.failed == failed as u64 && failed >= 3, "{overwrite:?}, attempt {attempt}: {warnings:?}");
            assert!(matches!(found.get(Path::new("other")), Some(Thing::File(_))));
        }
    }
}
