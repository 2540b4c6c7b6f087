//! Repairs with a second repository at hand, whose keys are others: what is lost is written again from there, as far as it is there.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "disk/damaged.rs"]
mod damaged;
mod disk;
mod rig;
#[path = "disk/tiny.rs"]
mod tiny;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use damaged::{Harm, Whole, findings, fresh};
use disk::Disk;
use rig::assert_restores;
use store_core::backend::ObjectPath;
use store_core::error::ErrorKind;
use store_core::monitor::Silent;
use store_core::ops::copy::{self, copy};
use store_core::ops::list::{Filter, list};
use store_core::ops::push;
use store_core::ops::repair::{PacksOptions, PacksReport, packs, packs_with};
use store_core::repo::Repo;

/// A copy of these versions in a repository with keys of its own.
fn second_of(whole: &Whole, versions: &[usize], folder: &std::path::Path) -> Repo {
    let (_cache, sound) = fresh(&whole.spoilt(&[]));
    let second = tiny::init(&Disk::new(), folder);
    let chosen: BTreeSet<_> = versions.iter().map(|version| whole.made[*version].0).collect();
    let mut items = list(&sound, &Filter::default()).unwrap();
    items.retain(|item| chosen.contains(&item.id));
    let report = copy(&sound, &second, &items, &copy::Options::default(), &Silent, &mut |_, _| Ok(())).unwrap();
    assert_eq!((report.failed, report.copied), (0, versions.len() as u64));
    second
}

fn repair(repo: &Repo, second: Option<&Repo>, execute: bool) -> PacksReport {
    packs_with(repo, second, &PacksOptions { read_data: true, execute, ..PacksOptions::default() }, &Silent).unwrap()
}

/// Everything is there again, on this host and on one that has never seen the repository.
fn assert_healed(whole: &Whole, disk: &Arc<Disk>, repo: &Repo, what: &dyn std::fmt::Debug) {
    let (_cache, stranger) = fresh(disk);
    for repo in [repo, &stranger] {
        assert_eq!(findings(repo), [], "{what:?}");
        whole.made.iter().for_each(|(id, tree)| assert_restores(repo, *id, tree));
    }
    tiny::prune_all(&stranger, &BTreeSet::new()).unwrap();
    whole.made.iter().for_each(|(id, tree)| assert_restores(&stranger, *id, tree));
}

#[test]
fn whatever_is_lost_comes_back_from_a_copy() {
    let whole = Whole::new(41, 3);
    let folder = rig::quick_folder();
    let second = second_of(&whole, &[0, 1, 2], folder.path());
    let (mut tried, mut chunks, mut nodes, mut afterwards) = (0, 0, 0, 0);
    for pack in whole.packs() {
        let middle = whole.objects[&pack].len() as i64 / 2;
        for harm in [Harm::Gone, Harm::Flip(120), Harm::Flip(middle), Harm::Flip(-6), Harm::Cut(middle)] {
            for given_up in [false, true] {
                let disk = whole.spoilt(&[(pack, harm)]);
                let (_cache, repo) = fresh(&disk);
                if given_up {
                    // No segment names what is lost any more.
                    repair(&repo, None, true);
                }
                let before = disk.objects();
                let plan = repair(&repo, Some(&second), false);
                assert_eq!(disk.objects(), before, "a plan writes nothing");
                let was_lost = plan.findings.iter().any(|finding| !finding.hits.is_empty());
                let done = repair(&repo, Some(&second), true);
                assert_eq!(done.findings, [], "{pack} {harm:?}, given up before: {given_up}");
                assert!(done.healed.chunks >= plan.healed.chunks && done.healed.nodes >= plan.healed.nodes, "{plan:?} {done:?}");
                assert_eq!(was_lost, plan.healed.chunks + plan.healed.nodes > 0, "{pack} {harm:?}: {plan:?}");
                assert_eq!(was_lost, done.healed.written_bytes > 0);
                assert_healed(&whole, &disk, &repo, &(pack, harm, given_up));
                tried += 1;
                chunks += done.healed.chunks;
                nodes += done.healed.nodes;
                afterwards += u64::from(given_up && was_lost);
                // Once is enough.
                let again = repair(&repo, Some(&second), true);
                assert_eq!((again.healed.written_bytes, again.written_bytes, again.removed), (0, 0, 0));
            }
        }
    }
    eprintln!("{tried} packs spoilt: {chunks} chunks and {nodes} nodes came back, {afterwards} times after a repair had given them up");
    assert!(chunks > 20 && nodes > 10 && afterwards > 5, "{chunks} chunks, {nodes} nodes, {afterwards} after a repair");
}

#[test]
fn all_packs_at_once_come_back_too() {
    let whole = Whole::new(42, 3);
    let folder = rig::quick_folder();
    let second = second_of(&whole, &[0, 1, 2], folder.path());
    for harm in [Harm::Gone, Harm::Flip(100), Harm::Cut(200)] {
        for given_up in [false, true] {
            let what: Vec<(ObjectPath, Harm)> = whole.packs().into_iter().map(|pack| (pack, harm)).collect();
            let disk = whole.spoilt(&what);
            let (_cache, repo) = fresh(&disk);
            if given_up {
                repair(&repo, None, true);
            }
            let done = repair(&repo, Some(&second), true);
            // What a changed bit hits is the cuts' matter, which keys decide.
            let healed = [done.healed.chunks, done.healed.nodes];
            assert!(matches!(harm, Harm::Flip(_)) && healed != [0, 0] || !healed.contains(&0), "{harm:?}: {done:?}");
            assert_healed(&whole, &disk, &repo, &(harm, given_up));
        }
    }
}

#[test]
fn lists_of_a_long_file_deep_in_the_tree_are_made_again() {
    let folder = rig::quick_folder();
    let data = folder.path().join("data");
    std::fs::create_dir_all(data.join("a/b")).unwrap();
    let mut noise = rig::Noise::new(46);
    std::fs::write(data.join("a/b/long"), noise.bytes(900_000)).unwrap();
    std::fs::write(data.join("a/b/short"), noise.bytes(2_000)).unwrap();
    let (disk, second) = (Disk::new(), tiny::init(&Disk::new(), &folder.path().join("second")));
    let sound = tiny::init(&disk, &folder.path().join("cache"));
    let id = rig::push_path(&sound, &data).unwrap().snapshot.unwrap();
    let items = list(&sound, &Filter::default()).unwrap();
    copy(&sound, &second, &items, &copy::Options::default(), &Silent, &mut |_, _| Ok(())).unwrap();
    let (objects, tree) = (disk.objects(), rig::tree_at(&data));
    let packs: Vec<_> = objects.keys().filter(|path| matches!(path, ObjectPath::Pack(_))).copied().collect();
    let mut nodes = 0;
    let one = packs.iter().map(|pack| vec![*pack]);
    for gone in one.chain([packs.clone()]) {
        let mut objects = objects.clone();
        gone.iter().for_each(|pack| Harm::Gone.to(&mut objects, pack));
        let disk = Disk::that(disk::Forgets::Nothing, objects);
        let (_cache, repo) = fresh(&disk);
        let done = repair(&repo, Some(&second), true);
        assert_eq!(done.findings, []);
        assert_eq!(findings(&fresh(&disk).1), []);
        assert_restores(&repo, id, &tree);
        // Of the lists alone that are missed, and of no others.
        nodes = nodes.max(done.healed.nodes);
    }
    assert!(nodes > 5, "{nodes}");
}

#[test]
fn packs_are_listed_as_often_for_many_lost_lists_as_for_few() {
    let listed = |seed: u64, versions: u64| {
        let whole = Whole::new(seed, versions);
        let folder = rig::quick_folder();
        let second = second_of(&whole, &(0..versions as usize).collect::<Vec<_>>(), folder.path());
        let what: Vec<(ObjectPath, Harm)> = whole.packs().into_iter().map(|pack| (pack, Harm::Gone)).collect();
        let disk = whole.spoilt(&what);
        let (_cache, repo) = fresh(&disk);
        let times = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&times);
        disk.set_hook(move |_, call, object| {
            counted.fetch_add(usize::from(object.is_none() && call == "packs"), Ordering::Relaxed);
            Ok(())
        });
        // A root is lost of each.
        let done = repair(&repo, Some(&second), true);
        disk.clear_hook();
        assert!(done.findings.is_empty() && done.healed.nodes >= versions, "{done:?}");
        assert_healed(&whole, &disk, &repo, &versions);
        times.load(Ordering::Relaxed)
    };
    let (few, many) = (listed(47, 1), listed(48, 6));
    assert!(few > 0 && few == many, "{few} {many}");
}

#[test]
fn what_the_second_repository_lacks_stays_reported() {
    let whole = Whole::new(43, 3);
    let folder = rig::quick_folder();
    let second = second_of(&whole, &[0], folder.path());
    let (mut partly, mut still_lost) = (0, 0);
    let one = whole.packs().into_iter().map(|pack| vec![(pack, Harm::Gone)]);
    let all = whole.packs().into_iter().map(|pack| (pack, Harm::Gone)).collect();
    for what in one.chain([all]) {
        let disk = whole.spoilt(&what);
        let (_cache, repo) = fresh(&disk);
        let before = whole.restorable(&repo);
        let done = repair(&repo, Some(&second), true);
        for repo in [&repo, &fresh(&disk).1] {
            let left = findings(repo);
            assert_eq!(left.is_empty(), done.findings.is_empty(), "{left:?}");
            let after = whole.restorable(repo);
            for (id, tree) in &whole.made {
                assert!(before[id].is_subset(&after[id]));
                let is_hit = done.findings.iter().any(|finding| finding.hits.iter().any(|hit| hit.snapshot == *id));
                assert_eq!(after[id].len() < tree.len(), is_hit, "{what:?}: {done:?}");
            }
            // The one that was copied comes back whole.
            assert_eq!(after[&whole.made[0].0].len(), whole.made[0].1.len(), "{what:?}");
        }
        still_lost += usize::from(!done.findings.is_empty());
        partly += usize::from(!done.findings.is_empty() && done.healed.chunks > 0);
        whole.push_again(&repo);
        assert_eq!(findings(&repo), []);
    }
    assert!(still_lost > 0 && partly > 0, "{still_lost} still lost, {partly} of them healed in part");
}

#[test]
fn other_bytes_at_the_same_places_heal_nothing_and_leave_nothing_behind() {
    let whole = Whole::new(44, 1);
    let folder = rig::quick_folder();
    let second = tiny::init(&Disk::new(), &folder.path().join("second"));
    let data = folder.path().join("data");
    damaged::write_tree(&data, &whole.made[0].1);
    for (path, thing) in &whole.made[0].1 {
        let rig::Thing::File(bytes) = thing else { continue };
        std::fs::write(data.join(path), bytes.iter().map(|byte| byte ^ 1).collect::<Vec<_>>()).unwrap();
    }
    push::push(&second, push::Options { series: Some("versions".into()), ..rig::push_options(&data) }, &Silent).unwrap();
    for pack in whole.packs() {
        let disk = whole.spoilt(&[(pack, Harm::Gone)]);
        let (_cache, repo) = fresh(&disk);
        let done = repair(&repo, Some(&second), true);
        assert!(!done.findings.is_empty());
        assert_eq!((done.healed.chunks, done.healed.nodes, done.healed.written_bytes), (0, 0, 0), "{pack}");
    }
}

#[test]
fn a_repository_heals_nothing_of_itself() {
    let whole = Whole::new(45, 1);
    let disk = whole.spoilt(&[(whole.packs()[0], Harm::Gone)]);
    let ((_cache, repo), (_other, again)) = (fresh(&disk), fresh(&disk));
    let refused = packs_with(&repo, Some(&again), &PacksOptions { execute: true, ..PacksOptions::default() }, &Silent);
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Usage);
    assert!(!packs(&repo, &PacksOptions::default(), &Silent).unwrap().packs.is_empty());
}
