//! Repairs of real damage: every pack spoilt in many ways, what could be read before can be read after, what is lost is named, and pushing the
//! same data again makes all whole, on this host and on one that has never seen the repository.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "disk/damaged.rs"]
mod damaged;
mod disk;
mod rig;
#[path = "disk/tiny.rs"]
mod tiny;
#[path = "disk/tricky.rs"]
mod tricky;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use damaged::{Harm, Whole, findings, fresh, restorable, write_tree};
use disk::Disk;
use rig::{assert_restores, assert_whole, check_all};
use store_core::backend::{Folder, ObjectPath};
use store_core::base::ids::SnapshotId;
use store_core::crypto::Secret;
use store_core::error::ErrorKind;
use store_core::format::lost::Loss;
use store_core::format::session::Purpose;
use store_core::monitor::Silent;
use store_core::ops::list::{Filter, resolve};
use store_core::ops::repair::{self, PacksOptions, PacksReport, SnapshotFate, SnapshotsOptions, SnapshotsReport, packs, snapshots};
use store_core::ops::{forget, key, restore, tag};
use store_core::plan::repair::PackFate;
use store_core::repo::{Repo, Secrets};
use tiny::{Folders, open, prune_all};
use tricky::{Trick, Tricky};

fn repair_packs(repo: &Repo, execute: bool) -> PacksReport {
    packs(repo, &PacksOptions { read_data: true, execute, ..PacksOptions::default() }, &Silent).unwrap()
}

fn repair_snapshots(repo: &Repo, execute: bool) -> SnapshotsReport {
    snapshots(repo, &SnapshotsOptions { read_data: true, execute, ..SnapshotsOptions::default() }, &Silent).unwrap()
}

/// Ways in which a pack may be spoilt: everywhere in it, header and footer too.
fn harms(len: usize, step: usize) -> Vec<Harm> {
    let flips = [5, 30, 60, -1, -6, -12, -40].into_iter().map(Harm::Flip);
    let inside = (88..len as i64).step_by(step).map(Harm::Flip);
    let cuts = [0, 40, 88, 200, len as i64 / 2, -1, -60].into_iter().map(Harm::Cut);
    flips.chain(inside).chain(cuts).chain([Harm::Gone]).collect()
}

/// Spoils, repairs packs, and looks at what came of it. Returns the disk.
fn rescue(whole: &Whole, what: &[(ObjectPath, Harm)]) -> (Arc<Disk>, PacksReport) {
    let disk = whole.spoilt(what);
    let (_cache, repo) = fresh(&disk);
    let before = whole.restorable(&repo);
    let spoilt = disk.objects();
    let plan = repair_packs(&repo, false);
    assert_eq!(disk.objects(), spoilt, "a plan writes nothing");
    let done = repair_packs(&repo, true);
    assert_eq!(
        plan.packs.iter().map(|line| (line.pack, line.fate)).collect::<Vec<_>>(),
        done.packs.iter().map(|line| (line.pack, line.fate)).collect::<Vec<_>>()
    );
    for repo in [&repo, &fresh(&disk).1] {
        let after = whole.restorable(repo);
        for (id, readable) in &before {
            assert!(readable.is_subset(&after[id]), "{what:?}: {:?} could be read before", readable.difference(&after[id]));
        }
    }
    for line in done.packs.iter().filter(|line| line.fate.goes()) {
        assert!(!disk.objects().contains_key(&ObjectPath::Pack(line.pack)), "{what:?}: {line:?} is still there");
    }
    // Once is enough.
    let again = repair_packs(&repo, true);
    assert!(again.packs.iter().all(|line| line.fate == PackFate::Sound) && again.written_bytes == 0, "{what:?}: {again:?}");
    (disk, done)
}

#[test]
fn what_can_be_read_of_a_damaged_pack_is_saved_and_the_next_push_heals_the_rest() {
    let whole = Whole::new(3, 4);
    let (mut tried, mut saved, mut lost) = (0, 0, 0);
    for pack in whole.packs() {
        for harm in harms(whole.objects[&pack].len(), 997) {
            let (disk, report) = rescue(&whole, &[(pack, harm)]);
            tried += 1;
            saved += report.packs.iter().map(|line| line.copied + line.held).sum::<u64>();
            lost += report.packs.iter().map(|line| line.lost).sum::<u64>();
            // By a host that has no marks: what is lost is known by the index alone.
            let (_folder, repo) = fresh(&disk);
            whole.push_again(&repo);
            for repo in [&repo, &fresh(&disk).1] {
                assert_eq!(findings(repo), [], "{pack} {harm:?}");
                whole.made.iter().for_each(|(id, tree)| assert_restores(repo, *id, tree));
            }
            prune_all(&repo, &BTreeSet::new()).unwrap();
            whole.made.iter().for_each(|(id, tree)| assert_restores(&repo, *id, tree));
        }
    }
    eprintln!("{tried} packs spoilt: {saved} blobs saved, {lost} lost until they were pushed again");
    assert!(saved > 100 && lost > 50);
}

#[test]
fn a_lost_footer_or_name_loses_nothing() {
    let whole = Whole::new(4, 3);
    for pack in whole.packs() {
        for harm in [Harm::Flip(-1), Harm::Flip(-6), Harm::Flip(-12), Harm::Cut(-1), Harm::Cut(-8)] {
            let (disk, report) = rescue(&whole, &[(pack, harm)]);
            assert!(!report.has_lost() && report.removed == 1, "{harm:?}: {report:?}");
            let (_folder, repo) = fresh(&disk);
            assert_whole(&repo);
            whole.made.iter().for_each(|(id, tree)| assert_restores(&repo, *id, tree));
        }
    }
}

#[test]
fn several_damaged_packs_are_saved_together() {
    let whole = Whole::new(5, 5);
    let all = whole.packs();
    for (step, harms) in [(1, [Harm::Flip(300), Harm::Flip(-6)]), (2, [Harm::Cut(400), Harm::Gone])] {
        let what: Vec<_> = all.iter().step_by(step).zip(harms.into_iter().cycle()).map(|(pack, harm)| (*pack, harm)).collect();
        let (disk, _) = rescue(&whole, &what);
        let (_folder, repo) = fresh(&disk);
        whole.push_again(&repo);
        assert_eq!(findings(&repo), []);
        whole.made.iter().for_each(|(id, tree)| assert_restores(&repo, *id, tree));
    }
}

#[test]
fn what_a_healing_push_stored_already_is_not_copied_once_more() {
    let whole = Whole::new(6, 3);
    for pack in whole.packs() {
        let disk = whole.spoilt(&[(pack, Harm::Flip(200)), (pack, Harm::Flip(-6))]);
        let (_folder, repo) = fresh(&disk);
        assert!(!findings(&repo).is_empty());
        whole.push_again(&repo);
        let report = packs(&repo, &PacksOptions { execute: true, ..PacksOptions::default() }, &Silent).unwrap();
        assert_eq!(report.removed, 1, "{report:?}");
        assert_eq!(findings(&repo), []);
        whole.made.iter().for_each(|(id, tree)| assert_restores(&repo, *id, tree));
    }
}

#[test]
fn no_prune_of_any_host_takes_the_healed_copy_and_leaves_the_damaged_one() {
    let whole = Whole::new(12, 4);
    let (mut stopped, mut pruned) = (0, 0);
    for pack in whole.packs() {
        for harm in [150, 400, 700].map(Harm::Flip) {
            for knows in [false, true] {
                let disk = whole.spoilt(&[(pack, harm)]);
                let (_folder, repo) = fresh(&disk);
                findings(&repo);
                whole.push_again(&repo);
                whole.made.iter().for_each(|(id, tree)| assert_restores(&repo, *id, tree));
                let (_other, stranger) = fresh(&disk);
                match prune_all(if knows { &repo } else { &stranger }, &BTreeSet::new()) {
                    Ok(_) => pruned += 1,
                    Err(error) => {
                        assert!(!knows && error.kind() == ErrorKind::Damage, "{error:?}");
                        stopped += 1;
                    }
                }
                let (_third, repo) = fresh(&disk);
                whole.made.iter().for_each(|(id, tree)| assert_restores(&repo, *id, tree));
                repair_packs(&repo, true);
                prune_all(&stranger, &BTreeSet::new()).unwrap();
                assert_eq!(findings(&repo), []);
                whole.made.iter().for_each(|(id, tree)| assert_restores(&repo, *id, tree));
            }
        }
    }
    eprintln!("{stopped} prunes stopped, {pruned} went on");
    assert!(stopped > 0 && pruned > 0);
}

#[test]
fn a_damaged_segment_comes_first() {
    let whole = Whole::new(7, 3);
    let (pack, segment) = (whole.packs()[0], whole.segments()[0]);
    let disk = whole.spoilt(&[(pack, Harm::Flip(200)), (segment, Harm::Flip(100))]);
    let (_folder, repo) = fresh(&disk);
    let before = whole.restorable(&repo);
    let report = repair_packs(&repo, true);
    assert!(report.removed == 0 && report.packs.iter().all(|line| !line.fate.goes()), "{report:?}");
    repair::index(&repo, false, &Silent).unwrap();
    let report = repair_packs(&repo, true);
    assert_eq!(report.removed, 1, "{report:?}");
    let after = whole.restorable(&fresh(&disk).1);
    before.iter().for_each(|(id, readable)| assert!(readable.is_subset(&after[id])));
}

#[test]
fn a_pack_that_says_nothing_goes_when_nobody_may_still_name_it() {
    let whole = Whole::new(8, 2);
    let pack = whole.packs()[0];
    let ObjectPath::Pack(id) = pack else { panic!() };
    let mut objects = whole.objects.clone();
    Harm::Flip(-6).to(&mut objects, &pack);
    // And no segment says what is in it.
    whole.segments().iter().for_each(|segment| _ = objects.remove(segment));
    let disk = Disk::that(disk::Forgets::Nothing, objects);
    let (folder, repo) = fresh(&disk);
    repair::index(&repo, false, &Silent).unwrap();
    let somebody = open(&disk, &folder.path().join("other")).unwrap().begin_session(Purpose::Push).unwrap();
    let report = repair_packs(&repo, true);
    assert!(report.packs.iter().any(|line| line.pack == id && line.fate == PackFate::MayBeAwaited), "{report:?}");
    repo.end_session(&somebody);
    let report = repair_packs(&repo, true);
    assert!(report.packs.iter().any(|line| line.pack == id && line.fate == PackFate::Meaningless) && report.removed > 0, "{report:?}");
    whole.push_again(&repo);
    assert_eq!(findings(&repo), []);
    whole.made.iter().for_each(|(id, tree)| assert_restores(&repo, *id, tree));
}

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
                    let stored = rig::find(&repo, new).unwrap();
                    assert!(stored.snapshot.tags.contains("repaired"));
                    assert!(rig::find(&repo, *id).is_none(), "the broken one is in the trash");
                    let after = restorable(&repo, &stored, tree);
                    assert!(before[id].is_subset(&after), "{harm:?}: {:?}", before[id].difference(&after));
                    let (found, restored, _) = rig::restored(&repo, &stored);
                    let restored = restored.unwrap();
                    assert!(restored.failed == 0 && restored.lost == line.lost.losses.len() as u64, "{restored:?}");
                    assert!(found.iter().all(|(path, thing)| tree.get(path) == Some(thing)), "what is left is right");
                    let files = found.values().filter(|thing| matches!(thing, rig::Thing::File(_))).count() as u64;
                    let folders = found.values().filter(|thing| matches!(thing, rig::Thing::Directory)).count() as u64;
                    assert_eq!((stored.snapshot.totals.files, stored.snapshot.totals.directories), (files, folders));
                }
                let again = repair_snapshots(&repo, true);
                assert!(again.broken.iter().all(|line| line.fate == SnapshotFate::Unreadable), "once is enough: {again:?}");
                // Once the trash is emptied nothing is damaged any more, unless a snapshot was left as it was.
                if packs_first && report.broken.iter().all(|line| line.fate == SnapshotFate::Replaced) {
                    let kept = Disk::that(disk::Forgets::Nothing, disk.objects());
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
                let target = rig::quick_folder();
                write_tree(target.path(), tree);
                std::fs::create_dir(target.path().join("more")).unwrap();
                let stored = rig::find(&repo, line.repaired.unwrap()).unwrap();
                let options = restore::Options { target: target.path().into(), delete: true, ..restore::Options::default() };
                let restored = restore::restore(&repo, &stored, &options, &Silent).unwrap();
                assert_eq!(restored.failed, 0);
                let found = rig::tree_at(target.path());
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
                let (_cache, other) = fresh(&Disk::that(disk::Forgets::Nothing, objects));
                for line in report.broken.iter().filter(|line| line.fate != SnapshotFate::Unreadable) {
                    let (_, tree) = whole.made.iter().find(|(id, _)| *id == line.id).unwrap();
                    let stored = rig::find(&other, line.repaired.unwrap()).unwrap();
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
        assert!(rig::find(&repo, line.id).is_some());
    }
    let again = repair_snapshots(&repo, true);
    let ids = |report: &SnapshotsReport| report.broken.iter().map(|line| line.repaired).collect::<Vec<_>>();
    assert_eq!(ids(&again), ids(&report), "no second one is made");
    assert!(!check_all(&repo).unwrap().findings.is_empty());
}

/// Without footer and segment nobody knows what a pack held. What is lost is known all the same, from the snapshots that need it.
#[test]
fn a_footer_that_is_lost_with_its_only_segment_costs_what_is_named_and_nothing_else() {
    let (whole, mut lost_files) = (Whole::new(11, 3), 0);
    for pack in whole.packs() {
        let ObjectPath::Pack(id) = pack else { panic!() };
        for harm in [Harm::Flip(-40), Harm::Flip(-6), Harm::Cut(-9)] {
            let mut objects = whole.objects.clone();
            harm.to(&mut objects, &pack);
            whole.segments().iter().for_each(|segment| _ = objects.remove(segment));
            let disk = Disk::that(disk::Forgets::Nothing, objects);
            let (_folder, repo) = fresh(&disk);
            assert_eq!(repair::index(&repo, false, &Silent).unwrap().unreadable_packs, 1, "{harm:?}");
            let (_other, repo) = fresh(&disk);
            let report = repair_packs(&repo, true);
            let line = report.packs.iter().find(|line| line.pack == id).unwrap_or_else(|| panic!("{harm:?}: {report:?}"));
            assert!(line.fate == PackFate::Meaningless && report.has_lost(), "{harm:?}: {line:?}");
            let after = whole.restorable(&repo);
            assert!(report.findings.iter().all(|finding| finding.more_hits == 0), "{report:?}");
            let hits: Vec<_> = report.findings.iter().flat_map(|finding| &finding.hits).collect();
            for (id, tree) in &whole.made {
                let lost: Vec<_> = tree.keys().filter(|path| !after[id].contains(*path)).collect();
                let at = |hit: &str| std::path::Path::new("/").join(hit);
                let is_hit = |path: &std::path::Path| {
                    let full = std::path::Path::new("/").join(path);
                    hits.iter().any(|hit| hit.snapshot == *id && full.starts_with(at(&hit.path)))
                };
                assert!(lost.iter().all(|path| is_hit(path)), "{harm:?}: {lost:?} of {id}, {hits:?}");
                for hit in hits.iter().filter(|hit| hit.snapshot == *id) {
                    let is_lost = |path: &&std::path::PathBuf| std::path::Path::new("/").join(path).starts_with(at(&hit.path));
                    assert!(lost.iter().any(is_lost), "{harm:?}: {hit:?}, {lost:?}");
                }
                lost_files += lost.len();
            }
            whole.push_again(&repo);
            assert_eq!(findings(&repo), [], "{harm:?}");
            whole.made.iter().for_each(|(id, tree)| assert_restores(&repo, *id, tree));
        }
    }
    assert!(lost_files > 20, "{lost_files}");
}

/// Stored bytes of a second version, whose files have other names than those of the first, so that only sketches tell what they resemble;
/// the first one's index segments are gone, and were made again, with sketches or without.
fn stored_for_the_next_version(with_sketches: bool) -> (u64, u64) {
    let (folders, disk) = (Folders::new(), Disk::new());
    let repo = tiny::init(&disk, &folders.cache);
    let mut noise = rig::Noise::new(12);
    let mut lines: Vec<String> = (0..4000).map(|line| format!("{line}: {:x}", noise.next())).collect();
    std::fs::create_dir_all(&folders.data).unwrap();
    std::fs::write(folders.data.join("first"), lines.join("\n")).unwrap();
    let first = rig::push_path(&repo, &folders.data).unwrap().stored_bytes;
    let mut objects = disk.objects();
    objects.retain(|path, _| !matches!(path, ObjectPath::Segment(_)));
    let disk = Disk::that(disk::Forgets::Nothing, objects);
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
    let next = rig::push_path(&repo, &folders.data).unwrap();
    assert_whole(&repo);
    assert_restores(&repo, next.snapshot.unwrap(), &rig::tree_at(&folders.data));
    (first, next.stored_bytes)
}

#[test]
fn a_push_finds_its_bases_again_once_sketches_were_made_anew() {
    let (first, without) = stored_for_the_next_version(false);
    let (_, with) = stored_for_the_next_version(true);
    assert!(without > first / 2 && with < without / 2, "{first} stored, then {without} without sketches and {with} with them");
}

fn secrets(byte: u8) -> Secrets {
    Secrets { passphrase: None, key_file: Some(Secret::take(&mut [byte; 32])) }
}

#[test]
fn of_two_who_remove_each_others_key_slot_none_leaves_a_locked_repository() {
    let (folders, disk) = (Folders::new(), Disk::new());
    let repo = tiny::init(&disk, &folders.cache);
    let first = repo.slot_of(&rig::secrets()).unwrap().unwrap();
    let second = key::add(&repo, &secrets(8), "second").unwrap();
    let before = disk.objects();
    let tricky = Tricky::new(&disk, Trick::AlsoDeleted(ObjectPath::Key(first)));
    let repo = Repo::open_on(tricky, &tiny::options(&folders.cache), &rig::secrets()).unwrap().with_index_in_memory();
    let error = key::remove(&repo, second, &rig::secrets()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
    let path = ObjectPath::Key(second);
    assert_eq!(disk.objects()[&path], before[&path]);
    assert!(Repo::open_on(disk, &tiny::options(&folders.cache), &secrets(8)).is_ok());
}

#[test]
fn a_key_slot_that_may_not_open_is_not_the_one_that_stays() {
    let (folders, disk) = (Folders::new(), Disk::new());
    let repo = tiny::init(&disk, &folders.cache);
    let own = repo.slot_of(&rig::secrets()).unwrap().unwrap();
    let second = key::add(&repo, &secrets(8), "second").unwrap();
    let mut objects = disk.objects();
    Harm::Flip(-1).to(&mut objects, &ObjectPath::Key(second));
    let repo = open(&Disk::that(disk::Forgets::Nothing, objects), &folders.cache).unwrap();
    assert!(key::list(&repo).unwrap().iter().all(|(_, info)| info.is_some()), "what it says in the clear can be read");
    assert_eq!(key::remove(&repo, own, &rig::secrets()).unwrap_err().kind(), ErrorKind::Refused);
    key::remove(&repo, second, &rig::secrets()).unwrap();
    assert_eq!(key::remove(&repo, own, &rig::secrets()).unwrap_err().kind(), ErrorKind::Refused);
}

#[test]
fn a_repair_that_does_not_know_whether_it_committed_leaves_its_announcement() {
    let whole = Whole::new(22, 2);
    let mut tried = 0;
    for pack in whole.packs() {
        let disk = whole.spoilt(&[(pack, Harm::Flip(150))]);
        let folder = rig::quick_folder();
        let tricky = Tricky::new(&disk, Trick::UnsureOutcome);
        let backend = Arc::<Tricky>::clone(&tricky);
        let repo = Repo::open_on(backend, &tiny::options(folder.path()), &rig::secrets()).unwrap().with_index_in_memory();
        let options = SnapshotsOptions { read_data: true, execute: true, ..SnapshotsOptions::default() };
        let done = snapshots(&repo, &options, &Silent);
        if !tricky.happened() {
            continue;
        }
        tried += 1;
        assert!(done.is_err());
        let announced: Vec<_> = disk.objects().into_keys().filter(|path| matches!(path, ObjectPath::Session(_))).collect();
        assert_eq!(announced.len(), 1, "a prune must be able to find out");
        // What came through is there, and is what the next repair goes on with.
        let (_cache, other) = fresh(&disk);
        assert!(repair_snapshots(&other, true).broken.iter().all(|line| line.fate == SnapshotFate::Unreadable || line.repaired.is_some()));
    }
    assert!(tried > 0, "no pack has files");
}

#[test]
fn what_a_repair_gives_up_while_a_push_begins_is_stored_again() {
    let whole = Whole::new(23, 3);
    for pack in whole.packs() {
        let disk = whole.spoilt(&[(pack, Harm::Flip(150))]);
        let (_folder, repo) = fresh(&disk);
        let (other, done) = (Arc::clone(&disk), Arc::new(AtomicBool::new(false)));
        let was_done = Arc::clone(&done);
        // The push has read plans, of which there were none, and does not know yet what there is.
        disk.set_hook(move |_, action, path| {
            if action == Folder::Segments.name() && path.is_none() && !done.swap(true, Ordering::Relaxed) {
                std::thread::scope(|threads| threads.spawn(|| repair_packs(&fresh(&other).1, true)).join().unwrap());
            }
            Ok(())
        });
        let id = whole.push_last_again(&repo);
        disk.clear_hook();
        assert!(was_done.load(Ordering::Relaxed));
        assert_restores(&fresh(&disk).1, id, &whole.made[whole.made.len() - 1].1);
    }
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
        let disk = Disk::that(disk::Forgets::Nothing, objects);
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
