//! What every driver must do, asked of each of them in the same words: memory, a local folder, a bucket behind an S3 server, one that speaks as Google
//! Cloud Storage does.

use std::io;
use std::sync::Arc;
use std::sync::Barrier;
use std::time::Duration;

use crate::s3;
use store_core::backend::{Backend, Created, Folder, GcStage, Listed, LocalBackend, MemoryBackend, ObjectBackend, ObjectPath, Transport};
use store_core::base::ids::{NoteId, PackId, PlanNumber, SegmentId, SessionId, SlotId};

/// A driver with nothing in it but a config.
struct Subject {
    name: &'static str,
    backend: Arc<dyn Backend>,
    /// Puts bytes under a name that may be no object's.
    litter: Box<dyn Fn(&str)>,
    _keep: Box<dyn std::any::Any>,
}

fn subjects() -> Vec<Subject> {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().to_owned();
    let litter = move |name: &str| {
        std::fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
        std::fs::write(root.join(name), b"litter").unwrap();
    };
    let local = Subject {
        name: "local",
        backend: Arc::new(LocalBackend::create_at(folder.path()).unwrap()),
        litter: Box::new(litter),
        _keep: Box::new(folder),
    };
    // Nothing can be in memory that is no object.
    let memory = Subject { name: "memory", backend: Arc::new(MemoryBackend::default()), litter: Box::new(|_| {}), _keep: Box::new(()) };
    let mut all = vec![memory, local];
    all.extend([in_a_bucket("some/prefix"), in_a_bucket(""), at_google()]);
    for subject in &all {
        assert_eq!(subject.backend.create(&ObjectPath::Config, b"config").unwrap(), Created::New);
    }
    all
}

fn in_a_bucket(prefix: &'static str) -> Subject {
    let server = s3::Server::start();
    // Many pages to a listing.
    server.shelf.page.store(7, std::sync::atomic::Ordering::Relaxed);
    let shelf = Arc::clone(&server.shelf);
    let litter =
        move |name: &str| shelf.put(if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") }.as_str(), b"litter");
    Subject { name: "bucket", backend: Arc::new(server.backend(prefix)), litter: Box::new(litter), _keep: Box::new(server) }
}

fn at_google() -> Subject {
    let server = s3::Server::start_google();
    server.shelf.page.store(7, std::sync::atomic::Ordering::Relaxed);
    let shelf = Arc::clone(&server.shelf);
    let place = format!("gs://{}/some/prefix", s3::BUCKET).parse().unwrap();
    let transport = Transport { patience: Duration::from_secs(20), retry_for: Duration::from_secs(60), ..Transport::default() };
    let backend = ObjectBackend::at(place, &transport, &server.google_variables()).unwrap();
    let litter = move |name: &str| shelf.put(&format!("some/prefix/{name}"), b"litter");
    Subject { name: "google", backend: Arc::new(backend), litter: Box::new(litter), _keep: Box::new(server) }
}

/// Asks each driver the same.
fn each(ask: impl Fn(&Subject)) {
    for subject in subjects() {
        let asked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| ask(&subject)));
        assert!(asked.is_ok(), "{}", subject.name);
    }
}

fn pack(of: u8) -> ObjectPath {
    ObjectPath::Pack(PackId::from_bytes([of; 32]))
}

fn outcome(of: u8) -> ObjectPath {
    ObjectPath::Outcome(SessionId::from_bytes([of; 32]))
}

/// One of each kind.
fn paths() -> Vec<ObjectPath> {
    let number = PlanNumber::FIRST;
    vec![
        ObjectPath::Key(SlotId::from_bytes([1; 32])),
        pack(0xab),
        ObjectPath::Segment(SegmentId::from_bytes([2; 32])),
        ObjectPath::Session(SessionId::from_bytes([3; 32])),
        outcome(4),
        ObjectPath::Note(NoteId::from_bytes([5; 32])),
        ObjectPath::Gc(number, GcStage::Plan),
        ObjectPath::Gc(number, GcStage::Final),
    ]
}

#[test]
fn an_object_is_created_once_and_read_back() {
    each(|Subject { backend, .. }| {
        for (number, path) in paths().into_iter().enumerate() {
            let bytes = vec![number as u8; 100 + number];
            assert_eq!(backend.create(&path, &bytes).unwrap(), Created::New, "{path}");
            assert_eq!(backend.create(&path, b"other bytes").unwrap(), Created::Exists, "{path}");
            assert_eq!(backend.create(&path, &bytes).unwrap(), Created::Exists, "{path}");
            let mut lent = bytes.clone();
            assert_eq!(backend.create_lent(&path, &mut lent).unwrap(), Created::Exists, "{path}");
            assert_eq!(lent, bytes);
            assert_eq!(backend.read(&path, 1000).unwrap(), bytes, "{path}");
            assert_eq!(backend.len(&path).unwrap(), bytes.len() as u64, "{path}");
        }
        assert_eq!(backend.read(&ObjectPath::Config, 1000).unwrap(), b"config");
        assert_eq!(backend.create_lent(&pack(1), &mut vec![7; 10]).unwrap(), Created::New);
        assert_eq!(backend.read(&pack(1), 10).unwrap(), [7; 10]);
    });
}

#[test]
fn of_many_creators_of_one_name_one_succeeds() {
    each(|Subject { backend, .. }| {
        for round in 0..20 {
            let (path, start) = (outcome(round), Barrier::new(16));
            let created: Vec<Created> = std::thread::scope(|threads| {
                let (path, start) = (&path, &start);
                let racers = (0..16u8).map(|racer| {
                    threads.spawn(move || {
                        start.wait();
                        backend.create(path, &[racer; 1000]).unwrap()
                    })
                });
                let racers: Vec<_> = racers.collect();
                racers.into_iter().map(|racer| racer.join().unwrap()).collect()
            });
            assert_eq!(created.iter().filter(|created| **created == Created::New).count(), 1);
            let winner = created.iter().position(|created| *created == Created::New).unwrap() as u8;
            assert_eq!(backend.read(&path, 1000).unwrap(), [winner; 1000]);
        }
    });
}

#[test]
fn a_listing_shows_what_was_created_and_nothing_else() {
    each(|Subject { backend, litter, .. }| {
        for folder in Folder::ALL {
            assert_eq!(backend.list(folder).unwrap(), []);
        }
        paths().iter().for_each(|path| _ = backend.create(path, b"some bytes").unwrap());
        (0..40).for_each(|of| _ = backend.create(&pack(of), &[of; 50]).unwrap());
        let id = "ab".repeat(32);
        for name in ["index/.tmp-1", "index/short", "notes/README", "packs/zz", "gc/01.plan", "gc/1.other", "sessions/x/y", "tmp/1"] {
            litter(name);
        }
        litter(&format!("index/{}", id.to_uppercase()));
        let mut packs = backend.list(Folder::Packs).unwrap();
        packs.sort_by(|a, b| a.name.cmp(&b.name));
        let listed = |of: u8, len| Listed { name: PackId::from_bytes([of; 32]).to_string(), len };
        let wanted: Vec<Listed> = (0..40).map(|of| listed(of, 50)).chain([listed(0xab, 10)]).collect();
        assert_eq!(packs, wanted);
        let names = |folder| {
            let mut names: Vec<String> = backend.list(folder).unwrap().into_iter().map(|listed| listed.name).collect();
            names.sort();
            names
        };
        assert_eq!(names(Folder::Gc), ["1.final", "1.plan"]);
        for folder in [Folder::Keys, Folder::Segments, Folder::Sessions, Folder::Outcomes, Folder::Notes] {
            assert_eq!(names(folder).len(), 1, "{}", folder.name());
        }
    });
}

#[test]
fn a_range_is_that_range_or_an_error() {
    each(|Subject { backend, .. }| {
        let bytes: Vec<u8> = (0..10_000u32).map(|n| (n % 251) as u8).collect();
        let path = pack(1);
        assert_eq!(backend.create(&path, &bytes).unwrap(), Created::New);
        for (offset, len) in [(0, 1), (0, 10_000), (9_999, 1), (17, 4_000), (5_000, 5_000), (0, 0), (10_000, 0)] {
            assert_eq!(backend.read_range(&path, offset as u64, len).unwrap(), bytes[offset..offset + len], "{offset}, {len}");
        }
        for (offset, len) in [(9_999, 2), (10_000, 1), (20_000, 1), (0, 10_001), (5_000, 100_000), (u64::MAX, 1), (u64::MAX - 1, 1)] {
            let error = backend.read_range(&path, offset, len).unwrap_err();
            assert_eq!(error.source.kind(), io::ErrorKind::UnexpectedEof, "{offset}, {len}: {:?}", error.source);
        }
    });
}

#[test]
fn what_is_not_there_is_not_found() {
    each(|Subject { backend, .. }| {
        for path in paths() {
            assert!(backend.read(&path, 10).unwrap_err().is_not_found(), "{path}");
            assert!(backend.read_range(&path, 0, 1).unwrap_err().is_not_found(), "{path}");
            assert!(backend.read_range(&path, 5, 0).unwrap_err().is_not_found(), "{path}");
            assert!(backend.len(&path).unwrap_err().is_not_found(), "{path}");
            // And it is there once it was made.
            assert_eq!(backend.create(&path, b"bytes").unwrap(), Created::New);
            assert_eq!(backend.read(&path, 10).unwrap(), b"bytes");
        }
    });
}

#[test]
fn what_is_longer_than_the_limit_is_not_read() {
    each(|Subject { backend, .. }| {
        let path = outcome(1);
        assert_eq!(backend.create(&path, &[1; 1000]).unwrap(), Created::New);
        assert!(backend.read(&path, 999).unwrap_err().is_damage());
        assert_eq!(backend.read(&path, 1000).unwrap().len(), 1000);
    });
}

#[test]
fn deleting_twice_is_no_error() {
    each(|Subject { backend, .. }| {
        for path in paths() {
            backend.delete(&path).unwrap();
            assert_eq!(backend.create(&path, b"bytes").unwrap(), Created::New);
            backend.delete(&path).unwrap();
            backend.delete(&path).unwrap();
            assert!(backend.read(&path, 10).unwrap_err().is_not_found(), "{path}");
        }
        for folder in Folder::ALL {
            assert_eq!(backend.list(folder).unwrap(), [], "{}", folder.name());
        }
    });
}

#[test]
fn objects_may_be_empty_and_may_be_large() {
    each(|Subject { backend, .. }| {
        assert_eq!(backend.create(&outcome(1), b"").unwrap(), Created::New);
        assert_eq!(backend.read(&outcome(1), 0).unwrap(), b"");
        assert_eq!(backend.len(&outcome(1)).unwrap(), 0);
        assert!(backend.read_range(&outcome(1), 0, 1).is_err());
        assert_eq!(backend.list(Folder::Outcomes).unwrap()[0].len, 0);
        let large: Vec<u8> = (0..(20u32 << 20) + 3).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
        let mut lent = large.clone();
        assert_eq!(backend.create_lent(&pack(1), &mut lent).unwrap(), Created::New);
        assert!(lent == large);
        assert!(backend.read(&pack(1), 64 << 20).unwrap() == large);
        assert!(backend.read_range(&pack(1), 12_345_678, 1 << 20).unwrap() == large[12_345_678..12_345_678 + (1 << 20)]);
        assert_eq!(backend.list(Folder::Packs).unwrap()[0].len, large.len() as u64);
    });
}

#[test]
fn a_bucket_may_be_used_and_dropped_within_another_runtime() {
    let subject = in_a_bucket("prefix");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async move {
        assert_eq!(subject.backend.create(&pack(1), b"bytes").unwrap(), Created::New);
        assert_eq!(subject.backend.read(&pack(1), 10).unwrap(), b"bytes");
        drop(subject);
    });
}
