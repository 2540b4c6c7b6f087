//! Several processes push into one repository at the same time, the same data and different data: every snapshot comes back.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod rig;

use std::collections::BTreeMap;

use rig::{Noise, Place, assert_restores, assert_whole, check_all, reported, start_child, tree_at};

const PROCESSES: usize = 4;
const PUSHES: usize = 3;

#[test]
fn child_that_pushes() {
    rig::be_child();
}

#[test]
fn processes_that_push_at_once_do_not_disturb_one_another() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::below(folder.path());
    drop(place.init());
    let mut noise = Noise::new(1);
    let shared = noise.bytes(2_000_000);
    for round in 0..3 {
        let mut children = Vec::new();
        for process in 0..PROCESSES {
            // Most is the same in all; some is of this process and round alone.
            let data = folder.path().join(format!("data {process}"));
            std::fs::create_dir_all(&data).unwrap();
            std::fs::write(data.join("shared"), &shared).unwrap();
            std::fs::write(data.join("own"), noise.bytes(300_000)).unwrap();
            std::fs::write(data.join(format!("round {round}")), [process as u8; 50]).unwrap();
            // One of them is another host, with a cache of its own.
            let place = if process == 3 { Place { cache: folder.path().join("other cache"), ..place.clone() } } else { place.clone() };
            children.push((start_child(&place, &data, PUSHES), tree_at(&data)));
        }
        // Whoever checks meanwhile sees a whole repository.
        let meanwhile = check_all(&place.open().unwrap()).unwrap();
        assert_eq!(meanwhile.findings, []);
        let mut snapshots = BTreeMap::new();
        for (child, tree) in children {
            let (ids, well, errors) = reported(child);
            assert!(well && ids.len() == PUSHES, "{errors}");
            snapshots.extend(ids.into_iter().map(|id| (id, tree.clone())));
        }
        assert_eq!(snapshots.len(), PROCESSES * PUSHES);
        let repo = place.open().unwrap();
        assert_whole(&repo);
        snapshots.iter().for_each(|(id, tree)| assert_restores(&repo, *id, tree));
        if round == 1 {
            std::fs::remove_dir_all(&place.cache).unwrap();
        }
    }
}
