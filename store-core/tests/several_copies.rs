//! Chunks that several packs hold, as after a heal, and damage to one of those packs: what has a copy comes back, and what comes back otherwise is
//! told of. A blob that is read for what is wanted of it may then stand in for a base that is damaged, too.

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
use rig::{Noise, Thing, Tree, restored};
use store_core::backend::ObjectPath;
use store_core::monitor::{Silent, Warning};
use store_core::ops::push::push;
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

/// For some repositories, damages each of those packs, and restores every version on a host that knows nothing.
fn damage_one_of_two(harm: &dyn Fn(&mut Noise) -> Harm, is_whole: bool) {
    let mut tried = 0;
    for seed in 0..40 {
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
    (0..50).for_each(|_| stand_in(&mut noise));
}
