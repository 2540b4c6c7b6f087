//! Pruning: what nobody needs goes, all else stays, whoever does what meanwhile.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod disk;
mod rig;
#[path = "disk/tiny.rs"]
mod tiny;
#[path = "disk/tricky.rs"]
mod tricky;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use disk::Disk;
use rig::{Noise, Tree, assert_restores, assert_whole, find, push_path, tree_at};
use store_core::backend::{Backend as _, Folder, ObjectPath};
use store_core::base::ids::SnapshotId;
use store_core::error::ErrorKind;
use store_core::format::config::Config;
use store_core::format::session::Purpose;
use store_core::monitor::Silent;
use store_core::ops::prune::{Options, Stopped, prune};
use store_core::ops::push::{self, Source, push};
use store_core::plan::gc::Fate;
use store_core::repo::Repo;
use tiny::{Folders, init, open, prune_all, prune_options, write_numbers, write_version};
use tricky::{Trick, Tricky};

/// A repository with some versions of the same data.
struct Versions {
    folders: Folders,
    disk: Arc<Disk>,
    repo: Repo,
    noise: Noise,
    weights: usize,
    made: Vec<(SnapshotId, Tree)>,
}

impl Versions {
    fn new(count: u64) -> Self {
        Self::with_weights(count, 0)
    }

    /// The same, with so many numbers besides: a tensor, of which long chains are made whatever the keys are.
    fn with_weights(count: u64, weights: usize) -> Self {
        let folders = Folders::new();
        let disk = Disk::new();
        let repo = init(&disk, &folders.cache);
        let mut versions = Self { folders, disk, repo, noise: Noise::new(1), weights, made: Vec::new() };
        (0..count).for_each(|_| versions.push());
        versions
    }

    fn change(&mut self) -> Tree {
        write_version(&self.folders.data, &mut self.noise, self.made.len() as u64);
        if self.weights > 0 {
            write_numbers(&self.folders.data.join("weights.npy"), self.weights, &mut self.noise);
        }
        tree_at(&self.folders.data)
    }

    fn push(&mut self) {
        let tree = self.change();
        let id = push_path(&self.repo, &self.folders.data).unwrap().snapshot.unwrap();
        self.made.push((id, tree));
    }

    fn ids(&self, which: impl IntoIterator<Item = usize>) -> BTreeSet<SnapshotId> {
        which.into_iter().map(|i| self.made[i].0).collect()
    }

    /// All but the forgotten ones are there and whole, by an index that is built anew, too.
    #[track_caller]
    fn assert_kept(&self, forgotten: &BTreeSet<SnapshotId>) {
        for repo in [&self.repo, &open(&self.disk, &self.folders.cache).unwrap()] {
            assert_whole(repo);
            for (id, tree) in &self.made {
                if forgotten.contains(id) {
                    assert!(find(repo, *id).is_none());
                } else {
                    assert_restores(repo, *id, tree);
                }
            }
        }
    }

    /// The same, and again after one more prune, with nobody in between.
    #[track_caller]
    fn assert_kept_by_the_next_prune(&self, forgotten: &BTreeSet<SnapshotId>) {
        self.assert_kept(forgotten);
        prune_all(&self.repo, forgotten).unwrap();
        self.assert_kept(forgotten);
    }

    /// At the `at`th call from here, once, `act` is done by another process. What it gives is there once it was.
    fn interrupt<T: Send + 'static>(&self, at: u64, act: impl Fn(Repo) -> T + Send + Sync + 'static) -> Arc<Mutex<Option<T>>> {
        let (disk, cache) = (Arc::clone(&self.disk), self.folders.cache.join("other"));
        interrupt(&self.disk, at, move || act(open(&disk, &cache).unwrap()))
    }

    fn pack_bytes(&self) -> usize {
        self.disk.objects().iter().filter(|(path, _)| matches!(path, ObjectPath::Pack(_))).map(|(_, bytes)| bytes.len()).sum()
    }
}

/// At the `at`th call from here, once, `act` is done, as by another process. What it gives is there once it was.
fn interrupt<T: Send + 'static>(disk: &Disk, at: u64, act: impl Fn() -> T + Send + Sync + 'static) -> Arc<Mutex<Option<T>>> {
    let first = disk.calls();
    let done = Arc::new(Mutex::new(None));
    let (result, began) = (Arc::clone(&done), AtomicBool::new(false));
    disk.set_hook(move |number, _, _| {
        if number == first + at && !began.swap(true, Ordering::Relaxed) {
            // In a thread of its own, as another process would be: this one may be of a pool, and would take up further work of that while
            // it waits for the pool of the other.
            let came = std::thread::scope(|threads| threads.spawn(&act).join().unwrap());
            *result.lock().unwrap() = Some(came);
        }
        Ok(())
    });
    done
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
    assert_eq!((again.deleted_packs, again.repacked_packs), (0, 0), "{again:?}");
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
fn a_plan_is_only_a_plan_until_it_is_executed() {
    let versions = Versions::new(3);
    let before = versions.disk.objects();
    let options = Options { forgotten: versions.ids([0]), max_unused: 0.0, ..Options::default() };
    let report = prune(&versions.repo, &options, &Silent).unwrap();
    assert!(report.freed_bytes() > 0 && report.deleted_packs == 0);
    assert_eq!(versions.disk.objects(), before);
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
            let disk = Disk::that(disk::Forgets::Nothing, objects.clone());
            let repo = open(&disk, &versions.folders.cache).unwrap();
            let pruned = prune_all(&repo, &forgotten);
            let kept = |objects: &disk::Objects| objects.keys().filter(|path| matches!(path, ObjectPath::Pack(_))).count();
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
    versions.disk = Disk::that(disk::Forgets::Nothing, objects);
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

/// A restore, and a check, from which a whole prune takes packs at the `at`th call.
fn restore_with_a_prune_at(at: u64) -> bool {
    let versions = Versions::new(5);
    let forgotten = versions.ids([0, 1, 2]);
    let gone = forgotten.clone();
    let pruned = versions.interrupt(at, move |repo| prune_all(&repo, &gone).unwrap());
    let (id, tree) = &versions.made[4];
    assert_restores(&versions.repo, *id, tree);
    assert_whole(&versions.repo);
    versions.disk.clear_hook();
    let pruned = pruned.lock().unwrap();
    assert!(pruned.as_ref().is_none_or(|report| report.repacked_packs > 0), "{pruned:?}");
    pruned.is_some()
}

#[test]
fn a_restore_and_a_check_survive_a_prune_at_each_of_their_calls() {
    let calls = (0..).take_while(|at| restore_with_a_prune_at(*at)).count();
    assert!(calls > 20, "{calls}");
    eprintln!("a prune at each of {calls} calls of a restore and a check");
}

/// Six files in one pack, and a snapshot each of all but the first few of them: of each snapshot that goes, a part of the pack is unused.
struct OnePack {
    folders: Folders,
    disk: Arc<Disk>,
    repo: Repo,
    made: Vec<SnapshotId>,
}

impl OnePack {
    fn new() -> Self {
        let folders = Folders::new();
        let disk = Disk::new();
        let config = Config { pack_len: 100_000, ..tiny::config() };
        let repo = Repo::init_on(Arc::<Disk>::clone(&disk), config, &tiny::options(&folders.cache), &rig::secrets(), "test").unwrap().0;
        let repo = repo.with_index_in_memory();
        std::fs::create_dir_all(&folders.data).unwrap();
        (0..6).for_each(|i| std::fs::write(folders.data.join(i.to_string()), Noise::new(i).bytes(4000)).unwrap());
        let mut made = Vec::new();
        for i in 0..6 {
            made.push(push_path(&repo, &folders.data).unwrap().snapshot.unwrap());
            if i < 5 {
                std::fs::remove_file(folders.data.join(i.to_string())).unwrap();
            }
        }
        Self { folders, disk, repo, made }
    }

    /// The first snapshots.
    fn first(&self, count: usize) -> BTreeSet<SnapshotId> {
        self.made[..count].iter().copied().collect()
    }

    /// The last snapshot comes back by this process.
    #[track_caller]
    fn assert_last(&self, repo: &Repo) {
        assert_restores(repo, self.made[5], &tree_at(&self.folders.data));
    }
}

/// A restore, or a check, by a process that has no index yet. At its `at`th call a prune deletes packs, and dies before it deletes the index
/// segments that name them. `announced`: its records are there before, and no more come.
fn reading_with_a_dying_prune_at(at: u64, announced: bool, reads: impl Fn(&OnePack, &Repo)) -> bool {
    let pack = OnePack::new();
    let (disk, gone, cache) = (Arc::clone(&pack.disk), pack.first(3), pack.folders.cache.join("dying"));
    let die = move |trick| {
        let disk = Tricky::new(&disk, trick);
        let repo = Repo::open_on(Arc::<Tricky>::clone(&disk), &tiny::options(&cache), &rig::secrets()).unwrap().with_index_in_memory();
        prune_all(&repo, &gone).unwrap_err();
        disk.happened()
    };
    assert!(!announced || die(Trick::PackStays));
    let repo = open(&pack.disk, &pack.folders.cache).unwrap();
    let died = interrupt(&pack.disk, at, move || die(Trick::SegmentStays));
    reads(&pack, &repo);
    pack.disk.clear_hook();
    let died = *died.lock().unwrap();
    assert_ne!(died, Some(false));
    died.is_some()
}

#[test]
fn who_reads_survives_a_prune_that_dies_at_each_of_its_calls() {
    for announced in [false, true] {
        let restores = (0..).take_while(|at| reading_with_a_dying_prune_at(*at, announced, OnePack::assert_last)).count();
        let checks = (0..).take_while(|at| reading_with_a_dying_prune_at(*at, announced, |_, repo| assert_whole(repo))).count();
        assert!(restores > 10 && checks > 10, "{restores} {checks}");
        eprintln!("a prune that dies at each of {restores} calls of a restore, and of {checks} of a check");
    }
}

/// Whenever a restore has looked which packs there are, and is about to read one, another prune moves all that it needs.
#[test]
fn a_restore_follows_what_prune_after_prune_moves() {
    let pack = OnePack::new();
    let reports = Arc::new(Mutex::new(Vec::new()));
    let (pruned, disk, cache) = (Arc::clone(&reports), Arc::clone(&pack.disk), pack.folders.cache.join("other"));
    let gone: Vec<BTreeSet<SnapshotId>> = (1..6).map(|count| pack.first(count)).collect();
    let mut has_listed = true;
    pack.disk.set_hook(move |_, action, path| {
        has_listed |= action == Folder::Packs.name();
        let mut done = pruned.lock().unwrap();
        if matches!(path, Some(ObjectPath::Pack(_))) && done.len() < gone.len() && std::mem::take(&mut has_listed) {
            let prune = || prune_all(&open(&disk, &cache).unwrap(), &gone[done.len()]).unwrap();
            let report = std::thread::scope(|threads| threads.spawn(prune).join().unwrap());
            done.push(report);
        }
        Ok(())
    });
    pack.assert_last(&pack.repo);
    pack.disk.clear_hook();
    let reports = reports.lock().unwrap();
    assert!(reports.len() == 5 && reports.iter().all(|report| report.repacked_packs > 0), "{reports:?}");
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
                let tree = Tree::from([("numbers".into(), rig::Thing::File(bytes))]);
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
