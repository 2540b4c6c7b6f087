//! Damaged repositories on a [`Disk`](super::disk::Disk): how objects are spoilt, what of snapshots can be restored all the same, and pushing the
//! same data again.

#![allow(dead_code, unreachable_pub, reason = "each test uses a part")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disk::{Disk, Forgets, Objects};
use super::rig::{self, Noise, Thing, Tree, tree_at};
use super::tiny::{Folders, init, open, write_version};
use store_core::backend::ObjectPath;
use store_core::base::ids::SnapshotId;
use store_core::monitor::Silent;
use store_core::ops::{push, restore};
use store_core::repo::{Repo, StoredSnapshot};

/// What is done to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Harm {
    /// A bit of this byte is changed; counted from the end if negative.
    Flip(i64),
    /// It ends here; so many bytes before its end if negative.
    Cut(i64),
    /// It is gone.
    Gone,
}

impl Harm {
    /// Does it.
    pub fn to(self, objects: &mut Objects, path: &ObjectPath) {
        let mut bytes = objects[path].to_vec();
        let at = |place: i64| if place < 0 { (bytes.len() as i64 + place) as usize } else { place as usize };
        match self {
            Self::Flip(place) => {
                let at = at(place);
                bytes[at] ^= 1 << (at % 8);
            }
            Self::Cut(place) => bytes.truncate(at(place)),
            Self::Gone => {
                objects.remove(path);
                return;
            }
        }
        objects.insert(*path, Arc::new(bytes));
    }
}

/// What of each snapshot comes back right.
pub type Restorable = BTreeMap<SnapshotId, BTreeSet<PathBuf>>;

/// A repository of a few versions of the same data, whole. Each version stays in a folder of its own, so that it can be pushed again as it was,
/// with the same times and inodes.
pub struct Whole {
    folders: Folders,
    pub objects: Objects,
    pub made: Vec<(SnapshotId, Tree)>,
}

impl Whole {
    pub fn new(seed: u64, versions: u64) -> Self {
        let folders = Folders::new();
        let disk = Disk::new();
        let repo = init(&disk, &folders.cache);
        let mut noise = Noise::new(seed);
        let mut made = Vec::new();
        for version in 0..versions {
            let data = folders.data.join(version.to_string());
            if let Some((_, before)) = made.last() {
                write_tree(&data, before);
            }
            write_version(&data, &mut noise, version);
            made.push((push_version(&repo, &data), tree_at(&data)));
        }
        Self { folders, objects: disk.objects(), made }
    }

    pub fn packs(&self) -> Vec<ObjectPath> {
        self.objects.keys().filter(|path| matches!(path, ObjectPath::Pack(_))).copied().collect()
    }

    pub fn segments(&self) -> Vec<ObjectPath> {
        self.objects.keys().filter(|path| matches!(path, ObjectPath::Segment(_))).copied().collect()
    }

    /// The same with something spoilt.
    pub fn spoilt(&self, what: &[(ObjectPath, Harm)]) -> Arc<Disk> {
        let mut objects = self.objects.clone();
        what.iter().for_each(|(path, harm)| harm.to(&mut objects, path));
        Disk::that(Forgets::Nothing, objects)
    }

    /// What can be restored right of each version. Panics where something comes back wrong and is not told of.
    pub fn restorable(&self, repo: &Repo) -> Restorable {
        let found =
            |(id, tree): &(SnapshotId, Tree)| (*id, rig::find(repo, *id).map(|stored| restorable(repo, &stored, tree)).unwrap_or_default());
        self.made.iter().map(found).collect()
    }

    /// Pushes the last version again, of which no file has changed.
    pub fn push_last_again(&self, repo: &Repo) -> SnapshotId {
        push_version(repo, &self.folders.data.join((self.made.len() - 1).to_string()))
    }

    /// Pushes every version again.
    pub fn push_again(&self, repo: &Repo) {
        (0..self.made.len()).for_each(|version| _ = push_version(repo, &self.folders.data.join(version.to_string())));
    }
}

/// Pushes the next version of a series.
fn push_version(repo: &Repo, data: &Path) -> SnapshotId {
    let options = push::Options { series: Some("versions".into()), ..rig::push_options(data) };
    push::push(repo, options, &Silent).unwrap().snapshot.unwrap()
}

/// Paths of a snapshot that come back as they were.
pub fn restorable(repo: &Repo, stored: &StoredSnapshot, tree: &Tree) -> BTreeSet<PathBuf> {
    let target = rig::quick_folder();
    let options = restore::Options { target: target.path().to_path_buf(), ..restore::Options::default() };
    let heard = rig::Heard::default();
    let Ok(report) = restore::restore(repo, stored, &options, &heard) else { return BTreeSet::new() };
    let found = tree_at(target.path());
    let right: BTreeSet<PathBuf> =
        tree.iter().filter(|(path, thing)| found.get(*path) == Some(thing)).map(|(path, _)| path.clone()).collect();
    let wrong: Vec<_> = tree.keys().filter(|path| !right.contains(*path)).map(|path| (path, found.contains_key(path))).collect();
    assert!(
        wrong.is_empty() || report.failed + report.lost > 0,
        "not as it was (or not there, where false), and nobody says so: {wrong:?}, {report:?}"
    );
    let said = heard.0.into_inner().unwrap();
    for path in tree.keys().filter(|path| !right.contains(*path)) {
        let full = Path::new("/").join(path);
        assert!(
            said.iter().any(|warning| full.starts_with(Path::new("/").join(&warning.item))),
            "{} is missing and not named: {said:?}",
            path.display()
        );
    }
    right
}

pub fn write_tree(folder: &Path, tree: &Tree) {
    std::fs::create_dir_all(folder).unwrap();
    for (path, thing) in tree {
        let path = folder.join(path);
        match thing {
            Thing::Directory => std::fs::create_dir_all(path).unwrap(),
            Thing::File(bytes) => {
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, bytes).unwrap();
            }
            Thing::Link(to) => std::os::unix::fs::symlink(to, path).unwrap(),
        }
    }
}

/// The repository by a host that has never seen it.
pub fn fresh(disk: &Arc<Disk>) -> (tempfile::TempDir, Repo) {
    let folder = rig::quick_folder();
    let repo = open(disk, folder.path()).unwrap();
    (folder, repo)
}

/// A check to the last byte, which leaves its marks on this host.
pub fn findings(repo: &Repo) -> Vec<store_core::ops::check::Finding> {
    let options = store_core::ops::check::Options { read: store_core::ops::check::Read::All };
    store_core::ops::check::check(repo, &options, &Silent).unwrap().findings
}
