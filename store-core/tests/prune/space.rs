//! What goes, what is coded anew and what stays; and how much of it a push believes.

use std::sync::{Arc, Mutex};

use crate::rig::{assert_restores, find, push_path};
use crate::tiny::{open, prune_all, prune_options};
use crate::versions::Versions;
use store_core::backend::{Backend as _, Folder, ObjectPath};
use store_core::monitor::Silent;
use store_core::ops::prune::{Options, prune};

#[test]
fn what_no_snapshot_needs_goes_and_the_rest_stays() {
    let mut versions = Versions::new(6);
    let before = versions.pack_bytes();
    let forgotten = versions.ids([0, 1, 3]);
    let report = prune_all(&versions.repo, &forgotten).unwrap();
    assert!(report.deleted_packs > 0 && report.dropped_snapshots == 3 && report.stopped.is_none(), "{report:?}");
    assert!(versions.pack_bytes() < before);
    assert_eq!(report.live_snapshots, 3);
    versions.assert_kept(&forgotten);
    let again = prune_all(&versions.repo, &forgotten).unwrap();
    // How blobs come to lie is for chance, and so is what is just worth coding anew: little, as the test below says of twelve repositories.
    assert!(again.freed_bytes() <= again.decision.totals(|_| true).bytes / 8, "{again:?}");
    // What was deleted is not known, and what stays is.
    versions.push();
    versions.assert_kept(&forgotten);
    let all = versions.ids(0..versions.made.len());
    let report = prune_all(&versions.repo, &all).unwrap();
    assert_eq!(report.live_snapshots, 0);
    assert_eq!(versions.pack_bytes(), 0);
}

#[test]
fn little_is_left_unused_after_repacking() {
    let versions = Versions::new(8);
    let forgotten = versions.ids([0, 1, 2, 3, 5, 6]);
    prune_all(&versions.repo, &forgotten).unwrap();
    versions.assert_kept(&forgotten);
    let report = prune(&versions.repo, &Options { max_unused: 0.0, ..Options::default() }, &Silent).unwrap();
    let all = report.decision.totals(|_| true);
    // A rewritten chunk may have another copy in a pack that stays, which is unused from then on.
    assert!(all.bytes - all.needed <= all.bytes / 50, "{} of {} are needed", all.needed, all.bytes);
}

#[test]
fn what_the_first_prune_misjudges_is_little_and_found_by_the_next() {
    // How blobs come to lie is for chance; some of these are at the border of what is worth coding anew.
    for _ in 0..12 {
        let versions = Versions::with_copy(8);
        let forgotten = versions.ids([0, 1, 2, 3, 5, 6]);
        let reports = [(); 3].map(|()| prune_all(&versions.repo, &forgotten).unwrap());
        versions.assert_kept(&forgotten);
        let [_, next, last] = reports.map(|report| (report.freed_bytes(), report.decision.totals(|_| true).bytes));
        assert!(next.0 <= next.1 / 8 && last.0 <= last.1 / 50, "{next:?} {last:?}");
    }
}

#[test]
fn chains_whose_supports_live_for_them_alone_are_coded_anew() {
    let mut versions = Versions::with_weights(8, 6000);
    let forgotten = versions.ids([0, 1, 2, 3, 5, 6]);
    let planned = prune(&versions.repo, &Options { execute: false, ..prune_options(&forgotten) }, &Silent).unwrap();
    assert!(planned.decision.chains.blobs > 0 && planned.freed_bytes() > 0, "{:?}", planned.decision.chains);
    let report = prune_all(&versions.repo, &forgotten).unwrap();
    assert_eq!(report.decision.chains, planned.decision.chains);
    assert!(report.recoded_chunks > 0 && report.rescued_packs == 0, "{report:?}");
    versions.assert_kept(&forgotten);
    // Nothing is left to do, for another host neither.
    for repo in [&versions.repo, &open(&versions.disk, &versions.folders.cache.join("other")).unwrap()] {
        let again = prune_all(repo, &forgotten).unwrap();
        assert_eq!((again.recoded_chunks, again.decision.chains.blobs), (0, 0), "{again:?}");
    }
    // What is pushed next is coded against what was coded anew.
    versions.push();
    let last = versions.ids([4, 7]);
    let report = prune_all(&versions.repo, &(&forgotten | &last)).unwrap();
    assert!(report.recoded_chunks > 0, "{report:?}");
    versions.assert_kept(&(&forgotten | &last));
}

#[test]
fn a_prune_that_may_rewrite_little_leaves_chains_alone() {
    let versions = Versions::with_weights(8, 6000);
    let forgotten = versions.ids([0, 1, 2, 3, 5, 6]);
    for options in [Options { max_repack: Some(0), ..prune_options(&forgotten) }, Options { max_unused: 1.0, ..prune_options(&forgotten) }]
    {
        let report = prune(&versions.repo, &options, &Silent).unwrap();
        assert_eq!((report.recoded_chunks, report.decision.chains.blobs), (0, 0), "{report:?}");
        versions.assert_kept(&forgotten);
    }
}

#[test]
fn without_repacking_only_wholly_unused_packs_go() {
    let versions = Versions::new(5);
    let forgotten = versions.ids([0, 1, 2, 3]);
    let options = Options { max_repack: Some(0), ..prune_options(&forgotten) };
    let report = prune(&versions.repo, &options, &Silent).unwrap();
    assert!(report.deleted_packs > 0 && report.written_bytes == 0, "{report:?}");
    versions.assert_kept(&forgotten);
}

#[test]
fn a_push_lists_packs_once_behind_its_session_open_plans_and_segments() {
    let mut versions = Versions::new(2);
    let calls = Arc::new(Mutex::new(Vec::new()));
    let made = Arc::clone(&calls);
    versions.disk.set_hook(move |_, action, path| {
        made.lock().unwrap().push(match path {
            Some(path) => format!("{action} {}", path.folder().map_or("config", Folder::name)),
            None => format!("list {action}"),
        });
        Ok(())
    });
    versions.push();
    versions.disk.clear_hook();
    let calls = calls.lock().unwrap();
    let places = |wanted: &str| calls.iter().enumerate().filter(|(_, call)| *call == wanted).map(|(at, _)| at).collect::<Vec<_>>();
    let all = ["create sessions", "list gc", "list index", "list packs", "create packs", "create snapshots"].map(places);
    let [session, plans, segments, packs, pack, snapshot] = &all;
    assert!((session.len(), plans.len(), segments.len(), packs.len(), snapshot.len()) == (1, 2, 1, 1, 1) && !pack.is_empty(), "{calls:?}");
    assert!(session[0] < plans[0] && plans[0] < segments[0] && segments[0] < packs[0], "{calls:?}");
    // The second look is for prunes that were done before packs were listed.
    assert!(packs[0] < plans[1] && plans[1] < pack[0] && pack[pack.len() - 1] < snapshot[0], "{calls:?}");
}

#[test]
fn what_a_push_found_whole_is_taken_over_until_a_pack_goes() {
    let mut versions = Versions::new(3);
    let pruned = prune_all(&versions.repo, &versions.ids([0])).unwrap();
    assert!(pruned.deleted_packs > 0, "{pruned:?}");
    versions.push();
    let root = |versions: &Versions| find(&versions.repo, versions.made.last().unwrap().0).unwrap().snapshot.root;
    let is_whole = |versions: &Versions| versions.repo.index().unwrap().is_whole(&root(versions)).unwrap();
    assert!(is_whole(&versions));
    let again = push_path(&versions.repo, &versions.folders.data).unwrap();
    assert_eq!((again.files_new, again.files_changed, again.bytes_read), (0, 0, 0), "{again:?}");
    assert!(is_whole(&versions));
    // Somebody loses packs, and a prune must not be the one who notices first.
    for (path, _) in versions.disk.objects() {
        if let ObjectPath::Pack(_) = path {
            versions.disk.delete(&path).unwrap();
        }
    }
    let after = push_path(&versions.repo, &versions.folders.data).unwrap();
    assert_eq!((after.files_unmodified, after.bytes_read), (0, after.bytes), "{after:?}");
    assert!(!is_whole(&versions) || after.stored_bytes > 0);
    assert_restores(&versions.repo, after.snapshot.unwrap(), &versions.made.last().unwrap().1);
}
