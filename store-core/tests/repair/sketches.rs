//! Sketches that were lost with the index segments.

use crate::damaged::fresh;
use crate::disk::Disk;
use crate::rig::{assert_restores, assert_whole};
use crate::tiny::Folders;
use store_core::backend::ObjectPath;
use store_core::monitor::Silent;
use store_core::ops::repair::{self};

/// Stored bytes of a second version, whose files have other names than those of the first, so that only sketches tell what they resemble;
/// the first one's index segments are gone, and were made again, with sketches or without.
fn stored_for_the_next_version(with_sketches: bool) -> (u64, u64) {
    let (folders, disk) = (Folders::new(), Disk::new());
    let repo = crate::tiny::init(&disk, &folders.cache);
    let mut noise = crate::rig::Noise::new(12);
    let mut lines: Vec<String> = (0..4000).map(|line| format!("{line}: {:x}", noise.next())).collect();
    std::fs::create_dir_all(&folders.data).unwrap();
    std::fs::write(folders.data.join("first"), lines.join("\n")).unwrap();
    let first = crate::rig::push_path(&repo, &folders.data).unwrap().stored_bytes;
    let mut objects = disk.objects();
    objects.retain(|path, _| !matches!(path, ObjectPath::Segment(_)));
    let disk = Disk::that(crate::disk::Forgets::Nothing, objects);
    let (_folder, repo) = fresh(&disk);
    assert!(repair::index(&repo, false, &Silent).unwrap().added_packs > 0);
    if with_sketches {
        let made = repair::sketches(&repo, &Silent).unwrap();
        assert!(made.packs > 0 && made.chunks > 20 && made.segments > 0, "{made:?}");
        // All of it once, and no more.
        assert!((first / 2..=first).contains(&made.read_bytes), "{made:?}, {first} stored");
        let again = repair::sketches(&repo, &Silent).unwrap();
        assert_eq!(again, repair::SketchesReport::default(), "once is enough");
    }
    let (_folder, repo) = fresh(&disk);
    for at in (0..lines.len()).step_by(50) {
        lines[at] = format!("{at}: changed");
    }
    std::fs::remove_file(folders.data.join("first")).unwrap();
    std::fs::write(folders.data.join("second"), lines.join("\n")).unwrap();
    let next = crate::rig::push_path(&repo, &folders.data).unwrap();
    assert_whole(&repo);
    assert_restores(&repo, next.snapshot.unwrap(), &crate::rig::tree_at(&folders.data));
    (first, next.stored_bytes)
}

#[test]
fn a_push_finds_its_bases_again_once_sketches_were_made_anew() {
    let (first, without) = stored_for_the_next_version(false);
    let (_, with) = stored_for_the_next_version(true);
    assert!(without > first / 2 && with < without / 2, "{first} stored, then {without} without sketches and {with} with them");
}
