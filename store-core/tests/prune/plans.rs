//! Plans: what stops one before it deletes, who goes on with one, and which records are left.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::disk::Disk;
use crate::rig::{assert_restores, push_path};
use crate::tiny::{open, prune_all, prune_options};
use crate::versions::Versions;
use store_core::backend::{Folder, ObjectPath};
use store_core::error::ErrorKind;
use store_core::format::session::Purpose;
use store_core::monitor::Silent;
use store_core::ops::prune::{Options, Stopped, prune};
use store_core::plan::gc::Fate;

#[test]
fn a_plan_is_only_a_plan_until_it_is_executed() {
    let versions = Versions::new(3);
    let before = versions.disk.objects();
    let options = Options { forgotten: versions.ids([0]), max_unused: 0.0, ..Options::default() };
    let report = prune(&versions.repo, &options, &Silent).unwrap();
    assert!(report.freed_bytes() > 0 && report.deleted_packs == 0);
    assert_eq!(versions.disk.objects(), before);
}

#[test]
fn damage_stops_a_prune_before_anything_is_deleted() {
    let versions = Versions::new(3);
    let forgotten = versions.ids([0]);
    let whole = versions.disk.objects();
    for (path, bytes) in &whole {
        if matches!(path, ObjectPath::Config | ObjectPath::Key(_)) {
            continue;
        }
        // Removed, and with a byte changed.
        for change in [None, Some(bytes.len() / 2)] {
            let mut objects = whole.clone();
            match change {
                None => _ = objects.remove(path),
                Some(at) => {
                    let mut bytes = bytes.to_vec();
                    bytes[at] ^= 1;
                    objects.insert(*path, Arc::new(bytes));
                }
            }
            let disk = Disk::that(crate::disk::Forgets::Nothing, objects.clone());
            let repo = open(&disk, &versions.folders.cache).unwrap();
            let pruned = prune_all(&repo, &forgotten);
            let kept = |objects: &crate::disk::Objects| objects.keys().filter(|path| matches!(path, ObjectPath::Pack(_))).count();
            match (path, change, pruned) {
                // A pack with one changed byte is noticed only where that byte is read; nothing is lost that was there.
                (ObjectPath::Pack(_), _, Ok(_)) | (ObjectPath::Outcome(_), None, Ok(_)) => {}
                (_, _, Err(error)) => {
                    assert_eq!(error.kind(), ErrorKind::Damage, "{path} {change:?}: {error:?}");
                    assert_eq!(kept(&disk.objects()), kept(&objects).max(kept(&disk.objects())), "{path}");
                    assert!(
                        objects.keys().filter(|path| matches!(path, ObjectPath::Pack(_))).all(|path| disk.objects().contains_key(path))
                    );
                }
                // Announcements and notes are none of what snapshots need; a segment that is not there at all is not missed if nothing was in it alone.
                (ObjectPath::Session(_) | ObjectPath::Note(_), ..) => {}
                (_, _, Ok(report)) => panic!("{path} {change:?}: {report:?}"),
            }
        }
    }
}

#[test]
fn sessions_that_may_be_active_are_waited_for_and_old_ones_are_fenced() {
    let versions = Versions::new(3);
    let forgotten = versions.ids([0]);
    let other = versions.folders.cache.join("other");
    let _alive = open(&versions.disk, &other).unwrap().begin_session(Purpose::Push).unwrap();
    let patient = Options { fence_after: Duration::from_secs(3600), wait: Duration::ZERO, ..prune_options(&forgotten) };
    let report = prune(&versions.repo, &patient, &Silent).unwrap();
    assert_eq!(report.stopped, Some(Stopped::Busy { sessions: 1 }));
    assert_eq!(report.deleted_packs, 0);
    // Until the plan is done nobody relies on what it condemns, and the snapshots are all there.
    for (id, tree) in &versions.made {
        assert_restores(&versions.repo, *id, tree);
    }
    let report = prune_all(&versions.repo, &forgotten).unwrap();
    assert!(report.resumed && report.sessions_fenced == 1 && report.deleted_packs > 0, "{report:?}");
    versions.assert_kept(&forgotten);
}

#[test]
fn a_plan_that_cannot_be_read_is_closed_and_deletes_nothing() {
    let mut versions = Versions::new(3);
    let forgotten = versions.ids([0]);
    let patient = Options { fence_after: Duration::from_secs(3600), wait: Duration::ZERO, ..prune_options(&forgotten) };
    let _session = open(&versions.disk, &versions.folders.cache.join("other")).unwrap().begin_session(Purpose::Push).unwrap();
    prune(&versions.repo, &patient, &Silent).unwrap();
    let mut objects = versions.disk.objects();
    let plan = *objects.keys().find(|path| matches!(path, ObjectPath::Gc(..))).unwrap();
    let mut bytes = objects[&plan].to_vec();
    bytes[100] ^= 1;
    objects.insert(plan, Arc::new(bytes));
    versions.disk = Disk::that(crate::disk::Forgets::Nothing, objects);
    versions.repo = open(&versions.disk, &versions.folders.cache).unwrap();
    // Nobody knows what it condemns.
    let error = push_path(&versions.repo, &versions.folders.data).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damage);
    let report =
        prune(&versions.repo, &Options { forgotten: BTreeSet::new(), max_repack: Some(0), ..prune_options(&BTreeSet::new()) }, &Silent)
            .unwrap();
    // What it had copied for the plan is deleted by one of its own.
    assert!(report.resumed && report.live_snapshots == 3, "{report:?}");
    assert!(push_path(&versions.repo, &versions.folders.data).is_ok());
    versions.assert_kept(&BTreeSet::new());
}

#[test]
fn a_prune_without_time_leaves_its_plan_to_the_next() {
    let versions = Versions::new(4);
    let forgotten = versions.ids([0, 1]);
    let options = Options { budget: Some(Duration::ZERO), ..prune_options(&forgotten) };
    assert_eq!(prune(&versions.repo, &options, &Silent).unwrap().stopped, Some(Stopped::Budget));
    versions.assert_kept(&BTreeSet::new());
    prune_all(&versions.repo, &forgotten).unwrap();
    versions.assert_kept(&forgotten);
}

fn records(versions: &Versions) -> usize {
    versions.disk.objects().keys().filter(|path| matches!(path, ObjectPath::Gc(..))).count()
}

/// Longer than it takes to look at a repository no budget may have to be: else nothing is ever deleted.
#[test]
fn prunes_that_have_no_time_get_to_the_end_all_the_same() {
    for max_repack in [Some(0), None] {
        let mut versions = Versions::new(6);
        let mut forgotten = versions.ids([0, 2, 3]);
        // Packs of which nothing is needed, too.
        let other = versions.folders.cache.join("other");
        std::fs::create_dir_all(&other).unwrap();
        std::fs::write(other.join("noise"), versions.noise.bytes(60_000)).unwrap();
        forgotten.insert(push_path(&versions.repo, &other).unwrap().snapshot.unwrap());
        let options = Options { budget: Some(Duration::from_nanos(1)), max_repack, ..prune_options(&forgotten) };
        let packs = versions.disk.objects().keys().filter(|path| path.folder() == Some(Folder::Packs)).count();
        let (mut runs, mut deleted, mut rewritten) = (0, 0, 0);
        loop {
            let report = prune(&versions.repo, &options, &Silent).unwrap();
            runs += 1;
            deleted += report.deleted_packs;
            rewritten += report.repacked_packs;
            // Each does one thing, and what it has begun with the one before.
            assert!(report.deleted_packs <= 1 && runs < 20 * packs, "{runs} runs, {packs} packs at first: {report:?}");
            if report.stopped.is_none() && report.decision.condemned().is_empty() && report.dropped_snapshots == 0 && !report.resumed {
                break;
            }
        }
        versions.assert_kept(&forgotten);
        assert!(deleted > 3 && (rewritten > 0) == max_repack.is_none(), "{deleted} deleted, {rewritten} rewritten");
        // With all the time there is nothing is left to do.
        let before = records(&versions);
        let again = Options { max_repack, ..prune_options(&forgotten) };
        assert_eq!(prune(&versions.repo, &again, &Silent).unwrap().deleted_packs, 0);
        assert_eq!(records(&versions), before);
    }
}

#[test]
fn a_prune_that_does_nothing_leaves_no_records() {
    let versions = Versions::new(4);
    let forgotten = versions.ids([1]);
    prune(&versions.repo, &Options { max_repack: Some(0), ..prune_options(&forgotten) }, &Silent).unwrap();
    let before = records(&versions);
    let plan = prune(&versions.repo, &Options { execute: false, ..prune_options(&BTreeSet::new()) }, &Silent).unwrap().decision;
    let wholly = |fate| matches!(fate, Fate::Unused | Fate::Unnamed);
    assert!(!plan.condemned().is_empty() && plan.packs.iter().all(|(_, fate)| !wholly(*fate)), "all that is left is rewriting: {plan:?}");
    for _ in 0..3 {
        let none = Options { budget: Some(Duration::ZERO), ..prune_options(&BTreeSet::new()) };
        assert_eq!(prune(&versions.repo, &none, &Silent).unwrap().stopped, Some(Stopped::Budget));
    }
    assert_eq!(records(&versions), before);
}
