//! Chunks that several packs hold, as after a heal, and damage to one of those packs: what has a copy comes back, and what comes back otherwise is
//! told of. A blob that is read for what is wanted of it may then stand in for a base that is damaged, too.
//!
//! More of it: `SNAP_SEEDS=2000 cargo test --release -p store-core --test several_copies`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "disk/damaged.rs"]
mod damaged;
mod disk;
mod rig;
#[path = "disk/tiny.rs"]
mod tiny;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use damaged::{Harm, Whole, findings, fresh, write_tree};
use disk::{Disk, Forgets, Objects};
use rig::{Noise, Thing, Tree, assert_restores, restored};
use store_core::backend::{GcStage, ObjectPath};
use store_core::base::ids::SnapshotId;
use store_core::error::{ErrorKind, chain};
use store_core::monitor::{Silent, Warning};
use store_core::ops::prune;
use store_core::ops::push::{self, push};
use store_core::ops::repair::{PacksOptions, packs_with};
use store_core::repo::Repo;

/// A repository where the chunks of what `harm` was done to are stored once more, and then what was done is undone; with the packs that it was done
/// to, and those that were written for it.
fn stored_twice(whole: &Whole, noise: &mut Noise, harm: &dyn Fn(&mut Noise) -> Harm) -> (Objects, Vec<ObjectPath>) {
    let mut harmed = whole.packs();
    harmed.retain(|_| noise.below(3) > 0);
    let disk = whole.spoilt(&harmed.iter().map(|pack| (*pack, harm(noise))).collect::<Vec<_>>());
    let (_cache, healer) = fresh(&disk);
    let _ = findings(&healer);
    whole.push_again(&healer);
    let mut objects = disk.objects();
    harmed.iter().for_each(|pack| _ = objects.insert(*pack, whole.objects[pack].clone()));
    let written = objects.keys().filter(|path| matches!(path, ObjectPath::Pack(_)) && !whole.objects.contains_key(path));
    let packs = written.copied().chain(harmed).collect();
    (objects, packs)
}

/// How often something is tried: so often in a usual run.
fn rounds(usual: u64) -> u64 {
    std::env::var("SNAP_SEEDS").map_or(usual, |number| number.parse().unwrap())
}

/// For some repositories, damages each of those packs, and restores every version on a host that knows nothing.
fn damage_one_of_two(harm: &dyn Fn(&mut Noise) -> Harm, is_whole: bool) {
    let mut tried = 0;
    for seed in 0..rounds(40) {
        let whole = Whole::new(seed, 3);
        let mut noise = Noise::new(seed + 1000);
        let (objects, packs) = stored_twice(&whole, &mut noise, harm);
        for pack in packs {
            let mut objects = objects.clone();
            Harm::Flip(noise.below(objects[&pack].len() as u64) as i64).to(&mut objects, &pack);
            let (_cache, repo) = fresh(&Disk::that(Forgets::Nothing, objects));
            for (id, tree) in &whole.made {
                let (found, report, said) = restored(&repo, &rig::find(&repo, *id).unwrap());
                let is_told = !report.is_ok_and(|report| report.failed == 0);
                assert!(found == *tree || is_told && !is_whole, "seed {seed}: {pack} is damaged, {id} is not as it was: {said:?}");
                assert_no_fault(&said);
            }
            tried += 1;
        }
    }
    assert!(tried > 100, "{tried}");
}

#[test]
fn what_has_a_copy_comes_back_whichever_pack_is_damaged() {
    damage_one_of_two(&|_| Harm::Gone, true);
}

#[test]
fn what_has_no_copy_is_told_of_and_the_rest_comes_back() {
    damage_one_of_two(&|noise| Harm::Flip(noise.below(200) as i64 + 100), false);
}

fn assert_no_fault(said: &[Warning]) {
    assert!(!said.iter().any(|warning| warning.message.contains("fault of this program")), "{said:?}");
}

/// Packs that are in one and not in the other.
fn new_packs(before: &Objects, after: &Objects) -> Vec<ObjectPath> {
    after.keys().filter(|path| matches!(path, ObjectPath::Pack(_)) && !before.contains_key(path)).copied().collect()
}

/// What a snapshot has, by path.
fn files(files: &[(&str, &[&[u8]])]) -> Tree {
    files.iter().map(|(path, parts)| (PathBuf::from(path), Thing::File(parts.concat()))).collect()
}

/// A base in two blobs, each with something that is nowhere else, and a file that is coded against it. In each is a part of a longer file: were it
/// written twice, that file would be taken for done before its end.
fn stand_in(noise: &mut Noise) {
    let folder = rig::quick_folder();
    let push = |repo: &Repo, name: &str, tree: &Tree| {
        let data = folder.path().join(name);
        write_tree(&data, tree);
        push(repo, rig::push_options(&data), &Silent).unwrap().snapshot.unwrap()
    };
    let [base, left, right, more] = [1500, 1500, 1500, 3000].map(|len| noise.bytes(len));
    let changed = [&base[..700], b"changed", &base[700..]].concat();
    let disk = Disk::new();
    let repo = tiny::init(&disk, &folder.path().join("cache"));
    push(&repo, "0", &files(&[("more", &[&more])]));
    let before = disk.objects();
    push(&repo, "1", &files(&[("base", &[&base]), ("left", &[&left, &more])]));
    let sound = disk.objects();
    let first = new_packs(&before, &sound);
    let mut lost = sound.clone();
    first.iter().for_each(|pack| Harm::Gone.to(&mut lost, pack));
    let disk = Disk::that(Forgets::Nothing, lost);
    let (_cache, repo) = fresh(&disk);
    push(&repo, "2", &files(&[("base", &[&base]), ("right", &[&right, &more])]));
    let mut objects = disk.objects();
    let second = new_packs(&sound, &objects);
    first.iter().for_each(|pack| _ = objects.insert(*pack, Arc::clone(&sound[pack])));
    let disk = Disk::that(Forgets::Nothing, objects);
    let (_cache, repo) = fresh(&disk);
    let all = files(&[("base", &[&base]), ("changed", &[&changed]), ("left", &[&left, &more]), ("right", &[&right, &more])]);
    let snapshot = push(&repo, "3", &all);
    for pack in first.iter().chain(&second) {
        let mut objects = disk.objects();
        Harm::Flip(200).to(&mut objects, pack);
        let (_cache, repo) = fresh(&Disk::that(Forgets::Nothing, objects));
        let (found, _, said) = restored(&repo, &rig::find(&repo, snapshot).unwrap());
        let wrong = all.iter().filter(|(path, thing)| found.get(*path) != Some(thing)).map(|(path, _)| path.display().to_string());
        let told: BTreeSet<String> = said.iter().map(|warning| warning.item.clone()).collect();
        assert_eq!(wrong.collect::<BTreeSet<_>>(), told, "{said:?}");
        assert_no_fault(&said);
    }
}

#[test]
fn a_blob_that_is_wanted_and_stands_in_for_a_damaged_base_is_written_once() {
    // Which copy is read first hangs on the repository's keys, and so does where chunks end: of ten, about two read what is damaged.
    let mut noise = Noise::new(77);
    (0..rounds(50)).for_each(|_| stand_in(&mut noise));
}

/// A repository in memory, and a folder for what is pushed to it.
struct Pushed {
    folder: tempfile::TempDir,
    disk: Arc<Disk>,
}

impl Pushed {
    fn new() -> Self {
        let (folder, disk) = (rig::quick_folder(), Disk::new());
        drop(tiny::init(&disk, &folder.path().join("cache")));
        Self { folder, disk }
    }

    /// Pushes by a host that knows nothing. Gives the packs that it wrote.
    fn push(&self, name: &str, tree: &Tree, no_delta: bool) -> (SnapshotId, Vec<ObjectPath>) {
        let before = self.disk.objects();
        let data = self.folder.path().join(name);
        write_tree(&data, tree);
        let (_cache, repo) = fresh(&self.disk);
        let snapshot = push(&repo, push::Options { no_delta, ..rig::push_options(&data) }, &Silent).unwrap().snapshot.unwrap();
        (snapshot, new_packs(&before, &self.disk.objects()))
    }

    /// The same store with these packs lost, sound or damaged.
    fn with(&self, harms: &[(ObjectPath, Harm)], back: &[(ObjectPath, Arc<Vec<u8>>)]) -> Self {
        let mut objects = self.disk.objects();
        harms.iter().for_each(|(pack, harm)| harm.to(&mut objects, pack));
        objects.extend(back.iter().cloned());
        Self { folder: rig::quick_folder(), disk: Disk::that(Forgets::Nothing, objects) }
    }

    fn sound(&self, packs: &[ObjectPath]) -> Vec<(ObjectPath, Arc<Vec<u8>>)> {
        let objects = self.disk.objects();
        packs.iter().map(|pack| (*pack, Arc::clone(&objects[pack]))).collect()
    }
}

fn each(packs: &[ObjectPath], harm: Harm) -> Vec<(ObjectPath, Harm)> {
    packs.iter().map(|pack| (*pack, harm)).collect()
}

#[test]
fn what_is_coded_against_a_copy_that_was_read_needs_no_other_one() {
    let mut noise = Noise::new(78);
    for round in 0..rounds(40) {
        let older = noise.bytes(1500);
        let base = [&older[..400], b"base", &older[400..]].concat();
        let changed = [&base[..900], b"changed", &base[900..]].concat();
        let pushed = Pushed::new();
        pushed.push("0", &files(&[("older", &[&older])]), false);
        // As a difference from the older one; then, where that is lost, by itself, where it is not found by what it resembles.
        let (_, deep) = pushed.push("1", &files(&[("base", &[&base])]), false);
        let sound = pushed.sound(&deep);
        let pushed = pushed.with(&each(&deep, Harm::Gone), &[]);
        let (_, whole) = pushed.push("2", &files(&[("base", &[&base])]), true);
        let pushed = pushed.with(&each(&whole, Harm::Flip(200)), &sound);
        let all = files(&[("changed", &[&changed])]);
        let (snapshot, _) = pushed.push("3", &all, false);
        let (_cache, repo) = fresh(&pushed.disk);
        let (found, _, said) = restored(&repo, &rig::find(&repo, snapshot).unwrap());
        assert!(found == all, "round {round}: {said:?}");
    }
}

#[test]
fn no_final_takes_the_only_sound_copy_whatever_was_read_before_the_plan() {
    let mut noise = Noise::new(79);
    let all = files(&[("file", &[&noise.bytes(2000)])]);
    let pushed = Pushed::new();
    let (_, first) = pushed.push("0", &all, false);
    let sound = pushed.sound(&first);
    let pushed = pushed.with(&each(&first, Harm::Gone), &[]);
    let (snapshot, second) = pushed.push("1", &all, false);
    let pushed = pushed.with(&[], &sound);
    // Which of them a prune would delete.
    let done = pushed.with(&[], &[]);
    tiny::prune_all(&fresh(&done.disk).1, &BTreeSet::new()).unwrap();
    let there = done.disk.objects();
    let (goes, stays): (Vec<_>, Vec<_>) = first.into_iter().chain(second).partition(|pack| !there.contains_key(pack));
    assert!(!goes.is_empty() && !stays.is_empty(), "{goes:?} {stays:?}");
    // One that ends between its plan and its final, and then what it relied on is damaged.
    pushed.disk.set_hook(|_, action, path| match path {
        Some(ObjectPath::Gc(_, GcStage::Final)) if action == "create" => Err(std::io::ErrorKind::TimedOut.into()),
        _ => Ok(()),
    });
    let _ = tiny::prune_all(&fresh(&pushed.disk).1, &BTreeSet::new()).unwrap_err();
    pushed.disk.clear_hook();
    let pushed = pushed.with(&each(&stays, Harm::Flip(200)), &[]);
    let (_cache, repo) = fresh(&pushed.disk);
    let error = tiny::prune_all(&repo, &BTreeSet::new()).unwrap_err();
    assert!(error.kind() == ErrorKind::Damage && chain(&error).contains("repair packs"), "{}", chain(&error));
    let there = pushed.disk.objects();
    assert!(goes.iter().all(|pack| there.contains_key(pack)));
    assert_restores(&fresh(&pushed.disk).1, snapshot, &all);
    // The plan is closed: the next one is told the same, and once what is damaged is repaired a prune goes through.
    assert_eq!(tiny::prune_all(&repo, &BTreeSet::new()).unwrap_err().kind(), ErrorKind::Damage);
    packs_with(&repo, None, &PacksOptions { read_data: true, execute: true, ..PacksOptions::default() }, &Silent).unwrap();
    tiny::prune_all(&repo, &BTreeSet::new()).unwrap();
    assert_restores(&fresh(&pushed.disk).1, snapshot, &all);
}

#[test]
fn no_final_takes_what_a_push_relies_on_since_it_was_decided_what_goes() {
    let mut noise = Noise::new(80);
    let (all, other) = (files(&[("file", &[&noise.bytes(2000)])]), files(&[("other", &[&noise.bytes(2000)])]));
    let both: Tree = all.iter().chain(&other).map(|(path, thing)| (path.clone(), thing.clone())).collect();
    let pushed = Pushed::new();
    let (first, sound) = pushed.push("0", &all, false);
    let back = pushed.sound(&sound);
    let pushed = pushed.with(&each(&sound, Harm::Gone), &[]);
    let (second, damaged) = pushed.push("1", &both, false);
    let pushed = pushed.with(&each(&damaged, Harm::Flip(200)), &back);
    pushed.push("2", &other, false);
    // Nobody needs the file when it is decided that its first pack goes; then somebody pushes it.
    let pushed = Arc::new(pushed);
    let (pusher, snapshot) = (Arc::clone(&pushed), Arc::new(std::sync::Mutex::new(None)));
    let (tree, told) = (all.clone(), Arc::clone(&snapshot));
    pushed.disk.set_hook(move |_, action, path| {
        if action == "create" && matches!(path, Some(ObjectPath::Gc(_, GcStage::Plan))) {
            let (id, packs) = pusher.push("3", &tree, false);
            assert!(packs.len() < 2, "the file was stored again");
            *told.lock().unwrap() = Some(id);
        }
        Ok(())
    });
    let (_cache, repo) = fresh(&pushed.disk);
    let options = prune::Options { max_unused: 1.0, ..tiny::prune_options(&[first, second].into()) };
    let pruned = prune::prune(&repo, &options, &Silent);
    pushed.disk.clear_hook();
    assert_eq!(pruned.unwrap_err().kind(), ErrorKind::Damage);
    assert_restores(&fresh(&pushed.disk).1, snapshot.lock().unwrap().unwrap(), &all);
}
