//! Snapshots: what is left of broken ones, and records that cannot be read.

use std::collections::BTreeSet;

use crate::damaged::{Harm, Whole, findings, fresh, restorable, write_tree};
use crate::disk::Disk;
use crate::rig::{assert_restores, assert_whole, check_all};
use crate::run::{harms, repair_packs, repair_snapshots};
use crate::tiny::{Folders, open, prune_all};
use store_core::backend::ObjectPath;
use store_core::base::ids::SnapshotId;
use store_core::error::ErrorKind;
use store_core::format::lost::Loss;
use store_core::monitor::Silent;
use store_core::ops::list::{Filter, resolve};
use store_core::ops::repair::{self, SnapshotFate, SnapshotsOptions, SnapshotsReport, snapshots};
use store_core::ops::{forget, restore, tag};

#[test]
fn snapshots_of_what_is_left_stand_for_broken_ones() {
    let whole = Whole::new(9, 3);
    let (mut repaired, mut unreadable) = (0, 0);
    for pack in whole.packs() {
        for harm in harms(whole.objects[&pack].len(), 1501) {
            for packs_first in [false, true] {
                let disk = whole.spoilt(&[(pack, harm)]);
                let (_folder, repo) = fresh(&disk);
                if packs_first {
                    repair_packs(&repo, true);
                }
                let before = whole.restorable(&repo);
                let was = disk.objects();
                let plan = repair_snapshots(&repo, false);
                assert_eq!(disk.objects(), was, "a plan writes nothing");
                let report = repair_snapshots(&repo, true);
                assert_eq!(plan.broken.len(), report.broken.len());
                let gone: BTreeSet<SnapshotId> =
                    report.broken.iter().filter(|line| line.fate == SnapshotFate::Replaced).map(|line| line.id).collect();
                for (id, tree) in &whole.made {
                    let Some(line) = report.broken.iter().find(|line| line.id == *id) else {
                        assert_eq!(before[id].len(), tree.len());
                        assert_restores(&repo, *id, tree);
                        continue;
                    };
                    let Some(new) = line.repaired else {
                        assert_eq!(line.fate, SnapshotFate::Unreadable);
                        unreadable += 1;
                        continue;
                    };
                    repaired += 1;
                    let stored = crate::rig::find(&repo, new).unwrap();
                    assert!(stored.snapshot.tags.contains("repaired"));
                    assert!(crate::rig::find(&repo, *id).is_none(), "the broken one is in the trash");
                    let after = restorable(&repo, &stored, tree);
                    assert!(before[id].is_subset(&after), "{harm:?}: {:?}", before[id].difference(&after));
                    let (found, restored, _) = crate::rig::restored(&repo, &stored);
                    let restored = restored.unwrap();
                    assert!(restored.failed == 0 && restored.lost == line.lost.losses.len() as u64, "{restored:?}");
                    assert!(found.iter().all(|(path, thing)| tree.get(path) == Some(thing)), "what is left is right");
                    let files = found.values().filter(|thing| matches!(thing, crate::rig::Thing::File(_))).count() as u64;
                    let folders = found.values().filter(|thing| matches!(thing, crate::rig::Thing::Directory)).count() as u64;
                    assert_eq!((stored.snapshot.totals.files, stored.snapshot.totals.directories), (files, folders));
                }
                let again = repair_snapshots(&repo, true);
                assert!(again.broken.iter().all(|line| line.fate == SnapshotFate::Unreadable), "once is enough: {again:?}");
                // Once the trash is emptied nothing is damaged any more, unless a snapshot was left as it was.
                if packs_first && report.broken.iter().all(|line| line.fate == SnapshotFate::Replaced) {
                    let kept = Disk::that(crate::disk::Forgets::Nothing, disk.objects());
                    let (_cache, other) = fresh(&kept);
                    prune_all(&other, &gone).unwrap();
                    assert_whole(&other);
                }
                // And where the data are pushed again, the broken ones come back whole.
                whole.push_again(&repo);
                if !gone.is_empty() {
                    forget::undo(&repo, &gone.iter().copied().collect::<Vec<_>>(), false).unwrap();
                }
                assert_eq!(findings(&repo), [], "{harm:?}");
                whole.made.iter().for_each(|(id, tree)| assert_restores(&repo, *id, tree));
            }
        }
    }
    eprintln!("{repaired} snapshots repaired, {unreadable} of which nothing was left");
    assert!(repaired > 50);
}

#[test]
fn deleting_what_a_repaired_snapshot_lacks_spares_what_was_lost() {
    let whole = Whole::new(21, 3);
    let (mut spared, mut deleted) = (0, 0);
    for pack in whole.packs() {
        for harm in harms(whole.objects[&pack].len(), 4001) {
            let disk = whole.spoilt(&[(pack, harm)]);
            let (_folder, repo) = fresh(&disk);
            let report = repair_snapshots(&repo, true);
            for line in report.broken.iter().filter(|line| line.fate == SnapshotFate::Replaced) {
                let (_, tree) = whole.made.iter().find(|(id, _)| *id == line.id).unwrap();
                let target = crate::rig::quick_folder();
                write_tree(target.path(), tree);
                std::fs::create_dir(target.path().join("more")).unwrap();
                let stored = crate::rig::find(&repo, line.repaired.unwrap()).unwrap();
                let options = restore::Options { target: target.path().into(), delete: true, ..restore::Options::default() };
                let restored = restore::restore(&repo, &stored, &options, &Silent).unwrap();
                assert_eq!(restored.failed, 0);
                let found = crate::rig::tree_at(target.path());
                assert!(tree.iter().all(|(path, thing)| found.get(path) == Some(thing)), "{harm:?}: {:?}", line.lost.losses);
                let of_root = line.lost.losses.iter().any(|loss| matches!(loss, Loss::Entries { path, .. } if path.is_empty()));
                assert_eq!(found.contains_key(std::path::Path::new("more")), of_root, "{harm:?}");
                spared += line.lost.losses.len();
                deleted += restored.deleted;
            }
        }
    }
    eprintln!("{spared} losses spared, {deleted} others deleted");
    assert!(spared > 50 && deleted > 20);
}

#[test]
fn what_is_left_of_a_snapshot_does_not_need_a_pack_that_was_cut_short() {
    // Packs of which the start can be read, and something of it is needed that is nowhere else.
    let (mut needed, mut seed) = (0, 40);
    while needed < 4 {
        let whole = Whole::new(seed, 3);
        seed += 1;
        for pack in whole.packs() {
            let len = whole.objects[&pack].len() as i64;
            for at in [len / 3, len / 2, len - len / 4] {
                let disk = whole.spoilt(&[(pack, Harm::Cut(at))]);
                let (_folder, repo) = fresh(&disk);
                let before = whole.restorable(&repo);
                let without = whole.restorable(&fresh(&whole.spoilt(&[(pack, Harm::Gone)])).1);
                let report = repair_snapshots(&repo, true);
                let mut objects = disk.objects();
                objects.remove(&pack);
                let (_cache, other) = fresh(&Disk::that(crate::disk::Forgets::Nothing, objects));
                for line in report.broken.iter().filter(|line| line.fate != SnapshotFate::Unreadable) {
                    let (_, tree) = whole.made.iter().find(|(id, _)| *id == line.id).unwrap();
                    let stored = crate::rig::find(&other, line.repaired.unwrap()).unwrap();
                    let after = restorable(&other, &stored, tree);
                    assert!(before[&line.id].is_subset(&after), "{:?}", before[&line.id].difference(&after));
                    needed += usize::from(without[&line.id] != before[&line.id]);
                }
            }
        }
    }
}

#[test]
fn a_pinned_snapshot_stays_beside_what_is_left_of_it() {
    let whole = Whole::new(10, 2);
    let folders = Folders::new();
    let Some((disk, broken)) = whole.packs().into_iter().find_map(|pack| {
        let disk = whole.spoilt(&[(pack, Harm::Flip(150))]);
        let (_cache, repo) = fresh(&disk);
        let report = repair_snapshots(&repo, false);
        let broken: Vec<_> = report.broken.iter().filter(|line| line.fate == SnapshotFate::Replaced).map(|line| line.id).collect();
        (!broken.is_empty()).then_some((disk, broken))
    }) else {
        panic!("no pack has files")
    };
    let repo = open(&disk, &folders.cache).unwrap();
    tag::tag(&repo, &broken, &tag::Options { pin: Some(tag::Hold::default()), ..tag::Options::default() }).unwrap();
    let report = repair_snapshots(&repo, true);
    for line in &report.broken {
        assert!(line.fate == SnapshotFate::Pinned && line.repaired.is_some(), "{line:?}");
        assert!(crate::rig::find(&repo, line.id).is_some());
    }
    let again = repair_snapshots(&repo, true);
    let ids = |report: &SnapshotsReport| report.broken.iter().map(|line| line.repaired).collect::<Vec<_>>();
    assert_eq!(ids(&again), ids(&report), "no second one is made");
    assert!(!check_all(&repo).unwrap().findings.is_empty());
}

#[test]
fn a_snapshot_whose_record_cannot_be_read_is_given_up_and_comes_back_with_a_copy() {
    let whole = Whole::new(5, 3);
    for (harm, said) in [(Harm::Cut(60), 0), (Harm::Flip(100), 1), (Harm::Cut(0), 2), (Harm::Flip(-1), 3)] {
        let (id, tree) = &whole.made[said % 3];
        let record = ObjectPath::Outcome(*id);
        let sound = whole.spoilt(&[]);
        let (_cache, before) = fresh(&sound);
        // Whatever was said of it while it could be read: that it is pinned, or that it is to stay in the trash for long.
        match said {
            1 => drop(tag::tag(&before, &[*id], &tag::Options { pin: Some(tag::Hold::default()), ..tag::Options::default() }).unwrap()),
            2 => forget::carry_out(&before, &forget::named(&before, &[*id], Some(1 << 30)).unwrap()).unwrap(),
            _ => {}
        }
        let mut objects = sound.objects();
        let bytes = objects[&record].clone();
        harm.to(&mut objects, &record);
        let disk = Disk::that(crate::disk::Forgets::Nothing, objects);
        let (_cache, repo) = fresh(&disk);
        let spoilt = disk.objects();
        let error = prune_all(&repo, &BTreeSet::new()).unwrap_err();
        assert!(error.kind() == ErrorKind::Damage && error.to_string().contains("repair snapshots"), "{error}");
        assert!(resolve(&repo, &id.to_string(), &Filter::default()).unwrap_err().to_string().contains(&record.to_string()));
        assert_eq!(repair::find_lost(&repo, &id.to_string()[..8]).unwrap(), Some(*id));
        let plan = repair_snapshots(&repo, false);
        assert!(plan.lost.len() == 1 && plan.lost[0].id == *id && !plan.lost[0].given_up, "{plan:?}");
        assert_eq!(disk.objects(), spoilt, "a plan writes nothing");
        let done = repair_snapshots(&repo, true);
        assert!(done.lost.len() == 1 && done.lost[0].given_up && done.broken.is_empty() && done.whole == 2, "{done:?}");
        // It may be an abort, which keeps a writer from committing.
        assert_eq!(disk.objects()[&record], spoilt[&record]);
        for repo in [&repo, &fresh(&disk).1] {
            assert_whole(repo);
            assert_eq!(repair_snapshots(repo, true).lost, []);
            assert!(resolve(repo, "latest", &Filter::default()).is_ok());
            let others = whole.made.iter().filter(|(other, _)| other != id);
            others.for_each(|(other, tree)| assert_restores(repo, *other, tree));
        }
        // A copy heals it as long as no prune has run.
        disk.replace(&record, &bytes);
        let (_cache, healed) = fresh(&disk);
        assert_eq!(forget::undo(&healed, &[*id], false).unwrap().back, [*id]);
        assert_restores(&healed, *id, tree);
        disk.replace(&record, &spoilt[&record]);
        // Who takes it back wants it: it is missed again.
        let (_cache, repo) = fresh(&disk);
        assert_eq!(prune_all(&repo, &BTreeSet::new()).unwrap_err().kind(), ErrorKind::Damage);
        assert_eq!(repair_snapshots(&repo, true).lost.len(), 1);
        assert!(prune_all(&repo, &BTreeSet::new()).unwrap().deleted_packs > 0);
        assert_whole(&repo);
        assert!(disk.objects().contains_key(&record));
        whole.made.iter().filter(|(other, _)| other != id).for_each(|(other, tree)| assert_restores(&repo, *other, tree));
    }
}

#[test]
fn a_record_that_can_be_read_after_all_is_not_given_up() {
    let whole = Whole::new(6, 2);
    let (id, tree) = &whole.made[0];
    let record = ObjectPath::Outcome(*id);
    let disk = whole.spoilt(&[]);
    let (_cache, repo) = fresh(&disk);
    // Once it reads as spoilt places of a disk do, and then it does not.
    let mut left = 1;
    disk.set_hook(move |_, action, path| {
        if action == "read" && path == Some(&record) && left > 0 {
            left -= 1;
            return Err(std::io::Error::from_raw_os_error(5));
        }
        Ok(())
    });
    let done = snapshots(&repo, &SnapshotsOptions { execute: true, ..SnapshotsOptions::default() }, &Silent).unwrap();
    disk.clear_hook();
    assert_eq!(done.lost, []);
    assert_restores(&repo, *id, tree);
}
