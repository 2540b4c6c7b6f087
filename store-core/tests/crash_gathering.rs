//! A push that stores once more what earlier ones scattered (`spec/CHAINS.md`, section 6), cut off at every step, and on a disk that is full from any
//! call on: what was reported before is whole, and the same push goes through afterwards.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod disk;
mod rig;

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use disk::{Disk, Forgets, Moment, Objects, Step, Survives};
use rig::{Noise, Tree, assert_restores, assert_whole, push_path, quick_folder, tree_at};
use store_core::base::ids::SnapshotId;
use store_core::codec::Compression;
use store_core::error::ErrorKind;
use store_core::format::config::Config;
use store_core::format::record::Time;
use store_core::repo::{OpenOptions, Repo};

const FILES: u64 = 400;
/// Files that change from version to version.
const CHANGED: u64 = 40;
/// A version that stores so much more than the one before has gathered.
const GATHERED: u64 = 150 << 10;

fn options(cache: &Path) -> OpenOptions {
    OpenOptions {
        location: "disk".into(),
        cache_dir: cache.to_path_buf(),
        threads: 1,
        memory: 512 << 20,
        compression: Compression::Auto,
        kept: 0,
    }
}

fn open(disk: &Arc<Disk>, cache: &Path) -> Repo {
    Repo::open_on(Arc::<Disk>::clone(disk), &options(cache), &rig::secrets()).unwrap().with_index_in_memory()
}

fn write_text(noise: &mut Noise, path: &Path) {
    let words: Vec<String> = (0..500 + noise.below(2500)).map(|_| format!("{:x}", noise.below(5000) * 7919)).collect();
    std::fs::write(path, words.join(" ")).unwrap();
}

/// A push that gathers, and what there was before.
struct Gathering {
    folder: tempfile::TempDir,
    before: Objects,
    /// Bytes that it stored.
    new: u64,
    /// Versions that were reported before, with what is in them.
    versions: Vec<(SnapshotId, Tree)>,
    /// What is pushed.
    tree: Tree,
}

impl Gathering {
    fn new() -> Self {
        let folder = quick_folder();
        let (data, cache) = (folder.path().join("data"), folder.path().join("cache"));
        std::fs::create_dir(&data).unwrap();
        let disk = Disk::new();
        let config = Config::new(Time { seconds: 1_700_000_000, nanos: 0 });
        drop(Repo::init_on(Arc::<Disk>::clone(&disk), config, &options(&cache), &rig::secrets(), "test").unwrap());
        let repo = open(&disk, &cache);
        let mut noise = Noise::new(9);
        let path = |number: u64| data.join(format!("{number:03}"));
        (0..FILES).for_each(|number| write_text(&mut noise, &path(number)));
        let (mut versions, mut last) = (Vec::new(), u64::MAX);
        loop {
            let before = disk.objects();
            let id = push_path(&repo, &data).unwrap().snapshot.unwrap();
            let new = stored_bytes(&disk.objects()) - stored_bytes(&before);
            if new > last.saturating_add(GATHERED) {
                return Self { tree: tree_at(&data), folder, before, new, versions };
            }
            assert!(versions.len() < 40, "nothing was gathered");
            versions.push((id, tree_at(&data)));
            last = new;
            for _ in 0..CHANGED {
                let path = path(noise.below(FILES));
                std::fs::remove_file(&path).unwrap();
                write_text(&mut noise, &path);
            }
        }
    }

    /// The push's steps, by a host that has seen nothing of it.
    fn log(&self) -> Vec<Step> {
        let (disk, cache) = (Disk::that(Forgets::Nothing, self.before.clone()), quick_folder());
        let _ = push_path(&open(&disk, cache.path()), &self.folder.path().join("data")).unwrap();
        let new = stored_bytes(&disk.objects()) - stored_bytes(&self.before);
        assert!(new > self.new - GATHERED, "{new} bytes, and by the host that pushed the other versions {}", self.new);
        disk.log()
    }

    /// What a host finds there that has never seen it, and what it can go on with.
    fn look(&self, objects: Objects) {
        let disk = Disk::that(Forgets::Nothing, objects);
        let cache = quick_folder();
        let repo = open(&disk, cache.path());
        assert_whole(&repo);
        let some = self.versions.iter().rev().step_by(4);
        some.clone().for_each(|(id, tree)| assert_restores(&repo, *id, tree));
        let id = push_path(&repo, &self.folder.path().join("data")).unwrap().snapshot.unwrap();
        assert_whole(&repo);
        assert_restores(&repo, id, &self.tree);
        some.take(1).for_each(|(id, tree)| assert_restores(&repo, *id, tree));
    }
}

fn stored_bytes(objects: &Objects) -> u64 {
    objects.values().map(|bytes| bytes.len() as u64).sum()
}

#[test]
fn a_push_that_gathers_may_end_anywhere() {
    let gathering = Gathering::new();
    let log = gathering.log();
    let (mut moment, mut seen, mut looked) = (Moment::new(gathering.before.clone()), HashSet::new(), 0);
    for done in 0..=log.len() {
        for survives in [Survives::Everything, Survives::Nothing, Survives::Torn(done as u64)] {
            let objects = moment.after_failure(survives);
            let names: Vec<_> = objects.iter().map(|(path, bytes)| (*path, bytes.len(), bytes.last().copied())).collect();
            if seen.insert(names) {
                gathering.look(objects);
                looked += 1;
            }
        }
        if let Some(step) = log.get(done) {
            moment.step(step);
        }
    }
    assert!(looked >= 6, "{looked} disks of {} steps", log.len());
}

#[test]
fn a_push_that_gathers_may_find_the_disk_full() {
    let gathering = Gathering::new();
    let data = gathering.folder.path().join("data");
    for full_from in 1.. {
        let disk = Disk::that(Forgets::Nothing, gathering.before.clone());
        let cache = quick_folder();
        let repo = open(&disk, cache.path());
        let mut created = 0;
        disk.set_hook(move |_, action, _| {
            created += u64::from(action == "create");
            if created >= full_from { Err(std::io::ErrorKind::StorageFull.into()) } else { Ok(()) }
        });
        let pushed = push_path(&repo, &data);
        disk.clear_hook();
        match pushed {
            Ok(_) => {
                assert!(full_from > 3, "{full_from}");
                break;
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::NoSpace, "{full_from}: {error:?}"),
        }
        drop(repo);
        gathering.look(disk.objects());
    }
}
