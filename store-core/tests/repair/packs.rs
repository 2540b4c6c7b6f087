//! Packs: what of them is saved, what goes, and who may still need it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::damaged::{Harm, Whole, findings, fresh};
use crate::disk::Disk;
use crate::rig::{assert_restores, assert_whole};
use crate::run::{harms, repair_packs, repair_snapshots};
use crate::tiny::{open, prune_all};
use crate::tricky::{Trick, Tricky};
use store_core::backend::{Folder, ObjectPath};
use store_core::error::ErrorKind;
use store_core::format::session::Purpose;
use store_core::monitor::Silent;
use store_core::ops::repair::{self, PacksOptions, PacksReport, SnapshotFate, SnapshotsOptions, packs, snapshots};
use store_core::plan::repair::PackFate;
use store_core::repo::Repo;

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
    let disk = Disk::that(crate::disk::Forgets::Nothing, objects);
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
            let disk = Disk::that(crate::disk::Forgets::Nothing, objects);
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

#[test]
fn a_repair_that_does_not_know_whether_it_committed_leaves_its_announcement() {
    let whole = Whole::new(22, 2);
    let mut tried = 0;
    for pack in whole.packs() {
        let disk = whole.spoilt(&[(pack, Harm::Flip(150))]);
        let folder = crate::rig::quick_folder();
        let tricky = Tricky::new(&disk, Trick::UnsureOutcome);
        let backend = Arc::<Tricky>::clone(&tricky);
        let repo = Repo::open_on(backend, &crate::tiny::options(folder.path()), &crate::rig::secrets()).unwrap().with_index_in_memory();
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
