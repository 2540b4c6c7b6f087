//! What a host keeps of a store where requests take long: it saves requests, and whatever is done to its files, nothing comes out wrong and no check is
//! deceived.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod disk;
mod rig;
#[path = "disk/tiny.rs"]
mod tiny;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use disk::{Disk, Objects};
use rig::{Noise, Tree, assert_restores, check_all};
use store_core::backend::{Backend, BackendError, Created, Folder, Listed, ObjectPath};
use store_core::base::ids::SnapshotId;
use store_core::monitor::Silent;
use store_core::ops::list::{Filter, list};
use store_core::ops::push;
use store_core::ops::repair::{PacksOptions, packs};
use store_core::repo::{OpenOptions, Repo};

/// A disk that is far away: it pays to ask it little, and it notes what it was asked for.
#[derive(Debug)]
struct Far {
    disk: Arc<Disk>,
    read: Mutex<Vec<ObjectPath>>,
}

impl Far {
    fn with(objects: Objects) -> Arc<Self> {
        Arc::new(Self { disk: Disk::that(disk::Forgets::Nothing, objects), read: Mutex::default() })
    }

    fn note(&self, path: &ObjectPath) {
        self.read.lock().unwrap().push(*path);
    }

    /// How often packs, and snapshots and notes, were read since the last call.
    fn reads(&self) -> [usize; 2] {
        let read = std::mem::take(&mut *self.read.lock().unwrap());
        let count = |is: fn(&ObjectPath) -> bool| read.iter().filter(|path| is(path)).count();
        [count(|path| matches!(path, ObjectPath::Pack(_))), count(|path| matches!(path, ObjectPath::Outcome(_) | ObjectPath::Note(_)))]
    }
}

impl Backend for Far {
    fn location(&self) -> String {
        self.disk.location()
    }

    fn read(&self, path: &ObjectPath, limit: usize) -> Result<Vec<u8>, BackendError> {
        self.note(path);
        self.disk.read(path, limit)
    }

    fn read_range(&self, path: &ObjectPath, offset: u64, len: usize) -> Result<Vec<u8>, BackendError> {
        self.note(path);
        self.disk.read_range(path, offset, len)
    }

    fn len(&self, path: &ObjectPath) -> Result<u64, BackendError> {
        self.disk.len(path)
    }

    fn create(&self, path: &ObjectPath, bytes: &[u8]) -> Result<Created, BackendError> {
        self.disk.create(path, bytes)
    }

    fn list(&self, folder: Folder) -> Result<Vec<Listed>, BackendError> {
        self.disk.list(folder)
    }

    fn delete(&self, path: &ObjectPath) -> Result<(), BackendError> {
        self.disk.delete(path)
    }

    fn lanes(&self) -> usize {
        4
    }
}

fn options(cache: &Path, kept: u64) -> OpenOptions {
    OpenOptions { kept, ..tiny::options(cache) }
}

/// The repository as a new process of the host with this cache sees it.
fn open(far: &Arc<Far>, cache: &Path) -> Repo {
    let backend = Arc::<Far>::clone(far);
    Repo::open_on(backend, &options(cache, 64 << 20), &rig::secrets()).unwrap().with_index_in_memory()
}

/// A repository of a few versions, far away.
struct World {
    folder: tempfile::TempDir,
    objects: Objects,
    made: Vec<(SnapshotId, Tree)>,
}

impl World {
    fn new(seed: u64) -> Self {
        let folder = rig::quick_folder();
        let far = Far::with(Objects::new());
        let backend = Arc::<Far>::clone(&far);
        let pusher = options(&folder.path().join("pusher"), 0);
        let repo = Repo::init_on(backend, tiny::config(), &pusher, &rig::secrets(), "test").unwrap().0.with_index_in_memory();
        let (data, mut noise, mut made) = (folder.path().join("data"), Noise::new(seed), Vec::new());
        for version in 0..3 {
            tiny::write_version(&data, &mut noise, version);
            // Many files: lists of several nodes.
            for file in 0..60 {
                let path = data.join(format!("many/{file}"));
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, noise.bytes(40)).unwrap();
            }
            let options = push::Options { series: Some("s".into()), ..rig::push_options(&data) };
            made.push((push::push(&repo, options, &Silent).unwrap().snapshot.unwrap(), rig::tree_at(&data)));
        }
        Self { objects: far.disk.objects(), folder, made }
    }

    fn cache(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn assert_restores(&self, repo: &Repo) {
        self.made.iter().for_each(|(id, tree)| assert_restores(repo, *id, tree));
    }
}

/// All files that are kept.
fn kept(cache: &Path) -> Vec<PathBuf> {
    let (mut found, mut open) = (Vec::new(), vec![cache.to_path_buf()]);
    while let Some(folder) = open.pop() {
        for item in std::fs::read_dir(folder).into_iter().flatten() {
            let path = item.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.components().any(|part| part.as_os_str() == "sealed") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

#[test]
fn what_was_read_once_is_not_asked_for_again() {
    let world = World::new(51);
    let (far, cache) = (Far::with(world.objects.clone()), world.cache("host"));
    let first = open(&far, &cache);
    list(&first, &Filter::default()).unwrap();
    world.assert_restores(&first);
    let [cold, records] = far.reads();
    assert!(records > 0);
    for _ in 0..2 {
        // Another process.
        let next = open(&far, &cache);
        assert_eq!(list(&next, &Filter::default()).unwrap().len(), 3);
        world.assert_restores(&next);
        let [warm, records] = far.reads();
        assert_eq!(records, 0, "which snapshots there are is listed, and what they say is known");
        assert!(warm + 5 < cold, "{warm} of packs after {cold}");
    }
    // Another host has a cache of its own.
    world.assert_restores(&open(&far, &world.cache("other")));
    assert_eq!(far.reads()[0], cold);
}

#[test]
fn a_push_leaves_its_lists_to_the_next_command() {
    let world = World::new(52);
    let (far, cache) = (Far::with(world.objects.clone()), world.cache("host"));
    let data = world.folder.path().join("data");
    std::fs::write(data.join("new"), Noise::new(9).bytes(3000)).unwrap();
    let options = push::Options { series: Some("s".into()), ..rig::push_options(&data) };
    let id = push::push(&open(&far, &cache), options, &Silent).unwrap().snapshot.unwrap();
    far.reads();
    let repo = open(&far, &cache);
    let stored = rig::find(&repo, id).unwrap();
    repo.find(&stored, b"many/7").unwrap();
    repo.find(&stored, b"new").unwrap();
    assert_eq!(far.reads(), [0, 0]);
    let options = push::Options { series: Some("s".into()), ..rig::push_options(&data) };
    push::push(&open(&far, &cache), options, &Silent).unwrap();
    assert_eq!(far.reads(), [0, 0], "nor has the next push anything to ask for");
}

#[test]
fn whatever_is_done_to_what_is_kept_nothing_comes_out_wrong() {
    let world = World::new(53);
    let (far, cache) = (Far::with(world.objects.clone()), world.cache("host"));
    world.assert_restores(&open(&far, &cache));
    let files = kept(&cache);
    let sound: Vec<Vec<u8>> = files.iter().map(|path| std::fs::read(path).unwrap()).collect();
    assert!(files.len() > 10, "{files:?}");
    let put_back = || files.iter().zip(&sound).for_each(|(path, bytes)| std::fs::write(path, bytes).unwrap());
    let look = |what: &str| {
        let repo = open(&far, &cache);
        assert_eq!(list(&repo, &Filter::default()).unwrap().len(), 3, "{what}");
        world.assert_restores(&repo);
        assert!(repo.take_warnings().is_empty(), "{what}");
    };
    let mut noise = Noise::new(5);
    for (path, bytes) in files.iter().zip(&sound) {
        let mut flipped = bytes.clone();
        let at = noise.below(bytes.len() as u64) as usize;
        flipped[at] ^= 1 << noise.below(8);
        let torn = bytes[..bytes.len() / 2].to_vec();
        for spoilt in [flipped, torn, vec![0; bytes.len()], Vec::new(), [&bytes[..], b"x"].concat()] {
            std::fs::write(path, spoilt).unwrap();
            look(&format!("{}", path.display()));
            // It is replaced, and serves again.
            assert_eq!(std::fs::read(path).unwrap(), *bytes);
        }
    }
    // Each is in the place of the next one, and then each of its own kind: what opens is another thing.
    for step in 1..files.len() {
        files.iter().enumerate().for_each(|(at, path)| std::fs::write(path, &sound[(at + step) % files.len()]).unwrap());
        look(&format!("{step} further"));
        put_back();
    }
    // Header and lists of one pack in the place of another's, so that they fit together.
    let of = |path: &Path| path.file_name().unwrap().to_str().unwrap().rsplit_once('-').unwrap().0.to_owned();
    let packs: BTreeSet<String> = files.iter().map(|path| of(path)).filter(|name| name.starts_with("packs-")).collect();
    let mut swapped = 0;
    for one in &packs {
        for other in packs.iter().filter(|other| *other != one) {
            for (path, bytes) in files.iter().zip(&sound).filter(|(path, _)| of(path) == *other) {
                let offset = path.file_name().unwrap().to_str().unwrap().rsplit_once('-').unwrap().1;
                let there = files.iter().find(|file| of(file) == *one && file.to_str().unwrap().ends_with(&format!("-{offset}")));
                there.iter().for_each(|there| std::fs::write(there, bytes).unwrap());
                swapped += usize::from(there.is_some());
            }
            look(&format!("{other} as {one}"));
            put_back();
        }
    }
    assert!(swapped > 10, "{swapped}");
    // All of it is noise.
    files.iter().for_each(|path| std::fs::write(path, noise.bytes(100)).unwrap());
    look("noise");
}

#[test]
fn checks_prunes_and_repairs_look_at_the_store() {
    let world = World::new(54);
    let cache = world.cache("host");
    world.assert_restores(&open(&Far::with(world.objects.clone()), &cache));
    let (mut hidden, mut found) = (0, 0);
    let all: Vec<ObjectPath> = world.objects.keys().copied().collect();
    for path in all.iter().filter(|path| matches!(path, ObjectPath::Pack(_) | ObjectPath::Outcome(_))) {
        for middle in [false, true] {
            let mut objects = world.objects.clone();
            let mut bytes = objects[path].to_vec();
            let at = if middle { bytes.len() / 2 } else { 30 };
            bytes[at] ^= 1;
            objects.insert(*path, Arc::new(bytes));
            let (far, stranger) = (Far::with(objects), world.cache("stranger"));
            let repo = open(&far, &cache);
            // Whether or not what is kept hides it from a restore.
            let restores = |repo: &Repo| {
                let whole =
                    |(id, tree): &&(SnapshotId, Tree)| rig::find(repo, *id).is_some_and(|stored| rig::restored(repo, &stored).0 == *tree);
                world.made.iter().filter(whole).count()
            };
            let _ = std::fs::remove_dir_all(&stranger);
            hidden += usize::from(restores(&repo) > restores(&open(&far, &stranger)));
            let findings = check_all(&repo).unwrap().findings;
            let by_others = check_all(&open(&far, &stranger)).unwrap().findings;
            let objects = |findings: &[store_core::ops::check::Finding]| findings.iter().map(|f| f.object.clone()).collect::<BTreeSet<_>>();
            assert_eq!(objects(&findings), objects(&by_others), "{path}");
            found += usize::from(!findings.is_empty());
            if let ObjectPath::Pack(_) = path {
                let plan = packs(&repo, &PacksOptions { read_data: true, ..PacksOptions::default() }, &Silent).unwrap();
                assert_eq!(plan.packs.is_empty(), findings.is_empty(), "{path}: {plan:?}");
            } else {
                assert!(tiny::prune_all(&repo, &BTreeSet::new()).is_err(), "{path}: a prune that cannot read a snapshot goes on");
            }
        }
    }
    assert!(hidden > 3 && found > 10, "{hidden} hidden, {found} found");
}

#[test]
fn nothing_is_kept_of_a_folder_nor_where_nothing_is_wanted() {
    let world = World::new(55);
    let cache = world.cache("host");
    let near = Disk::that(disk::Forgets::Nothing, world.objects.clone());
    let repo = Repo::open_on(near, &options(&cache, 64 << 20), &rig::secrets()).unwrap().with_index_in_memory();
    world.assert_restores(&repo);
    assert_eq!(kept(&cache), Vec::<PathBuf>::new());
    let far = Far::with(world.objects.clone());
    world.assert_restores(&open(&far, &cache));
    assert!(!kept(&cache).is_empty());
    let without = Repo::open_on(Arc::<Far>::clone(&far), &options(&cache, 0), &rig::secrets()).unwrap().with_index_in_memory();
    world.assert_restores(&without);
    assert_eq!(kept(&cache), Vec::<PathBuf>::new(), "what was kept goes once nothing is wanted");
    // So little that hardly anything fits.
    let little = Repo::open_on(far, &options(&cache, 128 << 10), &rig::secrets()).unwrap().with_index_in_memory();
    world.assert_restores(&little);
    let taken: u64 = kept(&cache).iter().map(|path| path.metadata().unwrap().len().next_multiple_of(4096)).sum();
    assert!(taken <= 128 << 10, "{taken}");
}
