//! Pushes and prunes at each call of one another, and calls that fail.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::rig::{Tree, assert_restores, assert_whole, push_path, tree_at};
use crate::tiny::{open, prune_all};
use crate::versions::Versions;
use store_core::error::ErrorKind;
use store_core::monitor::Silent;
use store_core::ops::push::{self, Source, push};

/// At the `at`th call that a push makes, a whole prune runs that takes the push for dead.
fn push_with_a_prune_at(at: u64, forgotten_before: bool) -> Option<bool> {
    let mut versions = Versions::new(3);
    // A snapshot that shares nearly all with what is pushed next, and is forgotten.
    let forgotten = if forgotten_before { versions.ids([0, 1, 2]) } else { versions.ids([0]) };
    if !forgotten_before {
        versions.change();
    }
    let tree = tree_at(&versions.folders.data);
    let gone = forgotten.clone();
    let pruned = versions.interrupt(at, move |repo| prune_all(&repo, &gone).unwrap());
    let pushed = push_path(&versions.repo, &versions.folders.data);
    versions.disk.clear_hook();
    pruned.lock().unwrap().as_ref()?;
    let report = pushed.unwrap_or_else(|error| panic!("at {at}: {error:?}"));
    versions.made.push((report.snapshot.unwrap(), tree));
    versions.assert_kept_by_the_next_prune(&forgotten);
    Some(true)
}

#[test]
fn a_push_survives_a_prune_at_each_of_its_calls() {
    for forgotten_before in [false, true] {
        let calls = (0..).take_while(|at| push_with_a_prune_at(*at, forgotten_before).is_some()).count();
        assert!(calls > 10, "{calls}");
        eprintln!("a prune at each of {calls} calls of a push");
    }
}

/// At the `at`th call that a prune makes, a whole push runs of the data that is just forgotten.
fn prune_with_a_push_at(at: u64) -> bool {
    let mut versions = Versions::new(4);
    let forgotten = versions.ids([0, 1, 3]);
    let tree = tree_at(&versions.folders.data);
    let data = versions.folders.data.clone();
    let pushed = versions.interrupt(at, move |repo| push_path(&repo, &data).unwrap().snapshot.unwrap());
    prune_all(&versions.repo, &forgotten).unwrap_or_else(|error| panic!("at {at}: {error:?}"));
    versions.disk.clear_hook();
    let Some(id) = *pushed.lock().unwrap() else { return false };
    versions.made.push((id, tree));
    versions.assert_kept_by_the_next_prune(&forgotten);
    true
}

#[test]
fn a_push_at_each_call_of_a_prune_survives() {
    let calls = (0..).take_while(|at| prune_with_a_push_at(*at)).count();
    assert!(calls > 40, "{calls}");
    eprintln!("a push at each of {calls} calls of a prune");
}

#[test]
fn a_stream_that_is_fenced_fails_as_busy_or_is_whole() {
    let mut busy = 0;
    for at in 0..200 {
        let versions = Versions::new(2);
        let forgotten = versions.ids([0, 1]);
        let bytes = std::fs::read(versions.folders.data.join("numbers.npy")).unwrap();
        let gone = forgotten.clone();
        let pruned = versions.interrupt(at, move |repo| prune_all(&repo, &gone).unwrap());
        let source = Source::Reader { name: "numbers".into(), reader: Box::new(io::Cursor::new(bytes.clone())) };
        let pushed = push(&versions.repo, push::Options::new(source), &Silent);
        versions.disk.clear_hook();
        if pruned.lock().unwrap().is_none() {
            break;
        }
        match pushed {
            Ok(report) => {
                let tree = Tree::from([("numbers".into(), crate::rig::Thing::File(bytes))]);
                assert_restores(&open(&versions.disk, &versions.folders.cache).unwrap(), report.snapshot.unwrap(), &tree);
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Busy, "{error:?}");
                busy += 1;
            }
        }
        assert_whole(&open(&versions.disk, &versions.folders.cache).unwrap());
    }
    eprintln!("{busy} pushes of a stream failed as busy");
}

/// A prune that another one overtakes at its `at`th call.
fn prune_with_a_prune_at(at: u64) -> bool {
    let versions = Versions::new(4);
    let forgotten = versions.ids([0, 1]);
    let gone = forgotten.clone();
    let overtook = versions.interrupt(at, move |repo| prune_all(&repo, &gone).unwrap());
    let result = prune_all(&versions.repo, &forgotten);
    versions.disk.clear_hook();
    if overtook.lock().unwrap().is_none() {
        return false;
    }
    result.unwrap_or_else(|error| panic!("overtaken at call {at}: {error:?}"));
    versions.assert_kept_by_the_next_prune(&forgotten);
    true
}

#[test]
fn prunes_overtake_each_other_at_each_call() {
    let calls = (0..).take_while(|at| prune_with_a_prune_at(*at)).count();
    assert!(calls > 40, "{calls}");
}

/// A prune whose `at`th call fails, for ever after or once.
fn prune_that_fails_at(at: u64, once: bool, kind: io::ErrorKind) -> bool {
    let versions = Versions::new(4);
    let forgotten = versions.ids([0, 1]);
    let first = versions.disk.calls();
    let failed = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&failed);
    versions.disk.set_hook(move |number, action, _| {
        // Reads need no room.
        let hit = if once { number == first + at } else { number >= first + at };
        if !hit || kind == io::ErrorKind::StorageFull && action != "create" {
            return Ok(());
        }
        counter.fetch_add(1, Ordering::Relaxed);
        Err(kind.into())
    });
    let result = prune_all(&versions.repo, &forgotten);
    versions.disk.clear_hook();
    let hit = failed.load(Ordering::Relaxed) > 0;
    if kind != io::ErrorKind::StorageFull {
        assert!(!hit || result.is_err() || once, "at {at}: a failure that nobody told of");
    }
    // Snapshots are all whole, whatever was done; and the next prune finishes it.
    let fresh = open(&versions.disk, &versions.folders.cache).unwrap();
    assert_whole(&fresh);
    let there: BTreeMap<_, _> = fresh.snapshots().unwrap().into_iter().map(|stored| (stored.id, ())).collect();
    for (id, tree) in versions.made.iter().filter(|(id, _)| there.contains_key(id)) {
        assert_restores(&fresh, *id, tree);
    }
    assert!(versions.made.iter().all(|(id, _)| there.contains_key(id) || forgotten.contains(id)));
    prune_all(&fresh, &forgotten).unwrap();
    versions.assert_kept(&forgotten);
    hit
}

#[test]
fn a_prune_that_fails_at_any_call_harms_nothing() {
    for kind in [io::ErrorKind::Other, io::ErrorKind::PermissionDenied, io::ErrorKind::StorageFull] {
        for once in [false, true] {
            let mut misses = 0;
            let mut at = 0;
            // Calls that need no room do not fail for want of it.
            while misses < 60 {
                misses = if prune_that_fails_at(at, once, kind) { 0 } else { misses + 1 };
                at += 1;
            }
        }
    }
}
