//! What a damaged base costs whoever reads what rests on it: each blob of a chain is decoded once, however long that is.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod disk;
mod rig;
#[path = "disk/tiny.rs"]
mod tiny;

use disk::{Disk, Forgets};
use rig::{Noise, push_path, restored, tree_at};
use store_core::backend::ObjectPath;
use tiny::{Folders, init, open, write_numbers};

#[test]
fn a_lost_root_is_not_tried_twice_as_often_at_each_step_of_a_chain() {
    let folders = Folders::new();
    std::fs::create_dir_all(&folders.data).unwrap();
    let disk = Disk::new();
    let repo = init(&disk, &folders.cache);
    let mut noise = Noise::new(3);
    let mut packs = Vec::new();
    let mut last = None;
    let path = folders.data.join("numbers.npy");
    write_numbers(&path, 3000, &mut noise);
    for _ in 0..9 {
        let mut bytes = std::fs::read(&path).unwrap();
        (0..3).for_each(|part| bytes[128 + 4 * (1000 * part + noise.below(1000) as usize)] ^= 1);
        std::fs::write(&path, bytes).unwrap();
        last = push_path(&repo, &folders.data).unwrap().snapshot;
        let new =
            disk.objects().into_keys().filter(|path| matches!(path, ObjectPath::Pack(_)) && !packs.contains(path)).collect::<Vec<_>>();
        packs.extend(new);
    }
    for is_lost in [false, true] {
        let mut objects = disk.objects();
        if is_lost {
            objects.remove(&packs[0]);
        }
        let cache = rig::quick_folder();
        let repo = open(&Disk::that(Forgets::Nothing, objects), cache.path()).unwrap();
        let (found, report, _) = restored(&repo, &rig::find(&repo, last.unwrap()).unwrap());
        let report = report.unwrap();
        assert_eq!((found == tree_at(&folders.data), report.failed), (!is_lost, u64::from(is_lost)));
        assert!(report.blobs > 9 && report.decoded <= report.blobs, "{report:?}");
    }
}
