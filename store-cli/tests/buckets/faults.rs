//! A network that fails between the driver and its store, under each verb: what a verb reports is so, what was reported before is still there and
//! whole, and the verb works when it is called again.
//!
//! A usual run hits every 17th request. Every third, which is more than a thousand faults: `SNAP_BUCKET_FAULTS=3 cargo test --release -p store-cli
//! --test buckets on_the_way`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use store_core::backend::{Asked, Backend, Created, Effort, Folder, ObjectPath, Transport};
use store_core::base::ids::{SessionId, SnapshotId};
use store_core::error::Error;
use store_core::monitor::Silent;
use store_core::ops::{check, restore, tag};
use store_core::repo::Repo;

use crate::proxy::{Fault, Plan, Proxy};
use crate::rig::{self, Noise, Tree, push_path, tree_at};
use crate::s3;
use crate::tiny::{self, Folders, options, prune_all, write_version};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verb {
    Push,
    Restore,
    Check,
    Tag,
    Prune,
}

const VERBS: [Verb; 5] = [Verb::Push, Verb::Restore, Verb::Check, Verb::Tag, Verb::Prune];

/// More than a busy machine needs to answer.
const PATIENCE: Duration = Duration::from_millis(1500);

fn transport(retry_for: u64) -> Transport {
    Transport { patience: PATIENCE, retry_for: Duration::from_millis(retry_for), ..Transport::default() }
}

/// A bucket with three snapshots, and what is pushed next.
struct World {
    server: s3::Server,
    proxy: Proxy,
    folders: Folders,
    objects: BTreeMap<String, Bytes>,
    made: Vec<(SnapshotId, Tree)>,
    next: Tree,
}

/// What a verb reported as done.
#[derive(Debug)]
enum Done {
    Nothing,
    Pushed(SnapshotId),
    Tagged,
    Pruned,
}

impl World {
    fn new() -> Self {
        let (server, folders) = (s3::Server::start(), Folders::new());
        let proxy = Proxy::before(server.port);
        let backend = Arc::new(server.backend("p"));
        let repo =
            Repo::init_on(backend, tiny::config(), &options(&folders.cache), &rig::secrets(), "test").unwrap().0.with_index_in_memory();
        // What is known of a store is known by the address that it was tested at.
        let through: Arc<dyn Backend> = Arc::new(server.backend_through(proxy.port, "p", &transport(60_000)));
        for tested in [&repo, &Repo::open_on(through, &options(&folders.cache), &rig::secrets()).unwrap()] {
            assert_eq!(tested.probe_store(Effort { rounds: 2, writers: 4 }).unwrap(), Vec::<String>::new());
        }
        let mut noise = Noise::new(5);
        let mut made = Vec::new();
        for version in 0..3 {
            write_version(&folders.data, &mut noise, version);
            made.push((push_path(&repo, &folders.data).unwrap().snapshot.unwrap(), tree_at(&folders.data)));
        }
        write_version(&folders.data, &mut noise, 3);
        let (objects, next) = (server.shelf.all(), tree_at(&folders.data));
        Self { server, proxy, folders, objects, made, next }
    }

    /// Puts everything back.
    fn reset(&self) {
        self.server.shelf.replace(self.objects.clone());
    }

    fn open(&self, backend: Arc<dyn Backend>, cache: &str) -> Result<Repo, Error> {
        let cache = self.folders.cache.join(cache);
        let _ = std::fs::remove_dir_all(&cache);
        Ok(Repo::open_on(backend, &options(&cache), &rig::secrets())?.with_index_in_memory())
    }

    /// By a host that knows nothing, past the proxy.
    fn direct(&self) -> Repo {
        self.open(Arc::new(self.server.backend("p")), "direct").unwrap()
    }

    /// Does it. What it reports as done is returned; `None` is a report that not all was done.
    fn run(&self, verb: Verb, repo: &Repo) -> Result<Option<Done>, Error> {
        Ok(match verb {
            Verb::Push => {
                let report = push_path(repo, &self.folders.data)?;
                (report.unreadable == 0).then_some(Done::Pushed(report.snapshot.unwrap()))
            }
            Verb::Restore => {
                let (id, tree) = &self.made[2];
                let target = self.folders.data.parent().unwrap().join("target");
                let _ = std::fs::remove_dir_all(&target);
                let Some(stored) = repo.snapshots()?.into_iter().find(|stored| stored.id == *id) else { return Ok(None) };
                let options = restore::Options { target: target.clone(), ..restore::Options::default() };
                let report = restore::restore(repo, &stored, &options, &Silent)?;
                assert!(report.failed > 0 || tree_at(&target) == *tree, "a restore that went well restored something else");
                (report.failed == 0).then_some(Done::Nothing)
            }
            Verb::Check => {
                let report = check::check(repo, &check::Options { read: check::Read::All }, &Silent)?;
                report.findings.is_empty().then_some(Done::Nothing)
            }
            Verb::Tag => {
                tag::tag(repo, &[self.made[0].0], &tag::Options { add: vec!["new".into()], ..tag::Options::default() })?;
                Some(Done::Tagged)
            }
            Verb::Prune => {
                prune_all(repo, &self.forgotten())?;
                Some(Done::Pruned)
            }
        })
    }

    fn forgotten(&self) -> BTreeSet<SnapshotId> {
        [self.made[0].0].into()
    }

    /// Looks at what is there.
    fn look(&self, verb: Verb, done: Option<&Done>) {
        let repo = self.direct();
        rig::assert_whole(&repo);
        for (id, tree) in &self.made {
            let may_be_gone = verb == Verb::Prune && self.forgotten().contains(id);
            if !may_be_gone || rig::find(&repo, *id).is_some() {
                rig::assert_restores(&repo, *id, tree);
            }
        }
        match done {
            Some(Done::Pushed(id)) => rig::assert_restores(&repo, *id, &self.next),
            Some(Done::Tagged) => assert!(rig::find(&repo, self.made[0].0).unwrap().snapshot.tags.contains("new")),
            Some(Done::Pruned) => assert!(rig::find(&repo, self.made[0].0).is_none()),
            Some(Done::Nothing) | None => {}
        }
    }

    /// One run in which requests are hit as planned. `None` if there was none to hit; otherwise whether the verb did all.
    fn with(&self, verb: Verb, plan: Plan) -> Option<bool> {
        self.reset();
        self.proxy.plan(Some(plan));
        let backend = self.server.backend_through(self.proxy.port, "p", &transport(if plan.once { 60_000 } else { 250 }));
        let repo = self.open(Arc::new(backend), "through");
        let result = repo.and_then(|repo| self.run(verb, &repo));
        // Nothing that could not be fetched is taken for damaged.
        let is_spoilt = plan.fault == Fault::SpoiltAnswer && !plan.once;
        assert!(is_spoilt || verb != Verb::Check || !matches!(result, Ok(None)), "a check took a network for damage");
        if self.proxy.hits() == 0 {
            return None;
        }
        // What still sleeps in the proxy does not come later than this.
        self.proxy.plan(None);
        if matches!(plan.fault, Fault::LateAnswer) {
            std::thread::sleep(PATIENCE);
        }
        let done = result.as_ref().ok().and_then(Option::as_ref);
        assert!(!plan.once || done.is_some(), "one fault that passes is met by trying again: {result:?}");
        self.look(verb, done);
        let again = self.run(verb, &self.direct()).unwrap_or_else(|error| panic!("it does not work again: {error:?}"));
        self.look(verb, again.as_ref());
        Some(done.is_some())
    }
}

#[test]
fn what_fails_on_the_way_is_survived() {
    let step: usize = std::env::var("SNAP_BUCKET_FAULTS").map_or(17, |step| step.parse().unwrap());
    let mut ways = Vec::new();
    for verb in VERBS {
        ways.extend(Fault::ALL.into_iter().flat_map(|fault| [(verb, fault, true), (verb, fault, false)]));
    }
    let (next, tried, met) = (AtomicUsize::new(0), AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|threads| {
        for _ in 0..8 {
            threads.spawn(|| {
                let world = World::new();
                while let Some((verb, fault, once)) = ways.get(next.fetch_add(1, Ordering::Relaxed)).copied() {
                    // Where nothing ever comes back, each request takes its time: a few tell as much as all.
                    let step = if !once && matches!(fault, Fault::Stall | Fault::LateAnswer) { step * 3 } else { step };
                    for at in (0..).step_by(step).map(|at| at + (verb as u64 * 5 + fault as u64) % step as u64) {
                        let plan = Plan { fault, at, once, patience: PATIENCE };
                        let run = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| world.with(verb, plan)));
                        let Ok(hit) = run else { panic!("{verb:?}, {plan:?}") };
                        let Some(is_done) = hit else { break };
                        tried.fetch_add(1, Ordering::Relaxed);
                        met.fetch_add(u64::from(is_done), Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let (tried, met) = (tried.into_inner(), met.into_inner());
    eprintln!("{tried} faults: {met} times the verb did all that it should, otherwise it said that it had not");
    assert!(tried >= if step <= 3 { 1000 } else { 60 }, "{tried}");
}

/// A creation whose success nobody reported is settled by what is there.
#[test]
fn a_success_that_is_reported_late_is_no_conflict() {
    let server = s3::Server::start();
    let proxy = Proxy::before(server.port);
    let path = |of: u8| ObjectPath::Outcome(SessionId::from_bytes([of; 32]));
    for (of, fault) in [Fault::Late500, Fault::CutAfter, Fault::LateAnswer].into_iter().enumerate() {
        let backend = server.backend_through(proxy.port, "p", &transport(60_000));
        proxy.plan(Some(Plan { fault, at: 0, once: true, patience: PATIENCE }));
        assert_eq!(backend.create(&path(of as u8), b"ours").unwrap(), Created::New, "{fault:?}");
        assert_eq!(proxy.hits(), 1);
        let puts = backend.requests().into_iter().find(|made| made.asked == Asked::Put).unwrap();
        assert_eq!((puts.kind, puts.count), ("snapshots", 2), "{fault:?}");
        // Whoever asks first, and is refused, has not created it, equal bytes or not.
        proxy.plan(None);
        assert_eq!(backend.create(&path(of as u8), b"ours").unwrap(), Created::Exists);
    }
    // Another one's object is another one's, however late that shows.
    let backend = server.backend_through(proxy.port, "p", &transport(60_000));
    for other in [b"other".as_slice(), b"longer than ours"] {
        server.shelf.put(&format!("p/{}", path(9)), other);
        proxy.plan(Some(Plan { fault: Fault::Answer500, at: 0, once: true, patience: PATIENCE }));
        assert_eq!(backend.create(&path(9), b"ours").unwrap(), Created::Exists);
    }
}

#[test]
fn what_does_not_pass_is_not_tried_again() {
    let server = s3::Server::start();
    let backend = server.backend("p");
    let path = ObjectPath::Outcome(SessionId::from_bytes([1; 32]));
    assert!(backend.read(&path, 10).unwrap_err().is_not_found());
    assert_eq!(backend.create(&path, b"a").unwrap(), Created::New);
    assert_eq!(backend.create(&path, b"b").unwrap(), Created::Exists);
    server.shelf.keeps_all.store(true, Ordering::Relaxed);
    assert!(backend.delete(&path).unwrap_err().is_denied());
    let counts: Vec<(Asked, u64)> = backend.requests().iter().map(|made| (made.asked, made.count)).collect();
    assert_eq!(counts, [(Asked::Get, 1), (Asked::Put, 2), (Asked::Delete, 1)]);
}

/// Who prunes where one at a time may relies on that: what nobody waits for may still come through.
#[test]
fn what_nobody_waits_for_since_the_user_wants_to_stop_counts_as_given_up() {
    let server = s3::Server::start();
    let proxy = Proxy::before(server.port);
    let backend = server.backend_through(proxy.port, "p", &Transport { interrupted: || true, ..transport(600_000) });
    proxy.plan(Some(Plan { fault: Fault::Stall, at: 0, once: false, patience: PATIENCE }));
    let (path, began) = (ObjectPath::Outcome(SessionId::from_bytes([1; 32])), std::time::Instant::now());
    assert!(backend.create(&path, b"bytes").unwrap_err().source.to_string().contains("interrupted"));
    assert!(began.elapsed() < Duration::from_secs(120), "{:?}", began.elapsed());
    assert_eq!(backend.given_up(), 1);
    // What is answered at once is done all the same.
    proxy.plan(None);
    assert_eq!(backend.create(&path, b"bytes").unwrap(), Created::New);
}

#[test]
fn a_store_that_stays_away_is_unreachable() {
    let server = s3::Server::start();
    let proxy = Proxy::before(server.port);
    let backend = server.backend_through(proxy.port, "p", &transport(300));
    for fault in [Fault::CutBefore, Fault::Answer500, Fault::Answer503, Fault::Stall] {
        proxy.plan(Some(Plan { fault, at: 0, once: false, patience: PATIENCE }));
        let error = backend.list(Folder::Packs).unwrap_err();
        assert!(error.is_unreachable(), "{fault:?}: {error:?}");
        let path = ObjectPath::Outcome(SessionId::from_bytes([1; 32]));
        assert!(backend.create(&path, b"bytes").unwrap_err().is_unreachable());
        assert!(backend.read(&path, 10).unwrap_err().is_unreachable());
    }
    assert!(server.shelf.all().is_empty());
}
