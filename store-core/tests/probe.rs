//! Stores that break one promise each are found out, and those that keep all pass.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Condvar, Mutex};
use std::time::Duration;

use store_core::backend::{Backend, BackendError, Created, Effort, Folder, Listed, LocalBackend, MemoryBackend, ObjectPath, probe};

/// How a store is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flaw {
    /// It takes every creation.
    IgnoresTheCondition,
    /// It looks, and then writes.
    LooksBeforeItWrites,
    /// One is told that it created the object, and another's bytes are there.
    KeepsTheLastWriter,
    /// A write that was refused comes through later.
    WritesLate,
    /// Nobody is told that the object was created.
    TellsNobody,
    /// A listing shows what was there three creations ago.
    ListsWhatWas,
    /// A listing gives only its first page.
    ListsOnePage,
    /// A listing gives lengths of something else.
    ListsOtherLengths,
    /// That an object was not there is remembered for a while.
    RemembersAbsence,
    /// Every now and then a reader is told that there is nothing.
    ReadsFromALaggingCopy,
    /// A range lacks its last byte.
    CutsRanges,
    /// A range is that of one byte before.
    ShiftsRanges,
    /// A range beyond the end is answered with what there is, and zeros.
    FillsUpRanges,
    /// Deleted objects can be read.
    KeepsWhatWasDeleted,
    /// Deleted objects are listed.
    ListsWhatWasDeleted,
}

const FLAWS: [(Flaw, &str); 15] = [
    (Flaw::IgnoresTheCondition, "S1"),
    (Flaw::LooksBeforeItWrites, "S1"),
    (Flaw::KeepsTheLastWriter, "S1"),
    (Flaw::WritesLate, "S1"),
    (Flaw::TellsNobody, "S1"),
    (Flaw::ListsWhatWas, "S3"),
    (Flaw::ListsOnePage, "S3"),
    (Flaw::ListsOtherLengths, "S3"),
    (Flaw::RemembersAbsence, "S3"),
    (Flaw::ReadsFromALaggingCopy, "S3"),
    (Flaw::CutsRanges, "S2"),
    (Flaw::ShiftsRanges, "S2"),
    (Flaw::FillsUpRanges, "S2"),
    (Flaw::KeepsWhatWasDeleted, "S4"),
    (Flaw::ListsWhatWasDeleted, "S4"),
];

/// A store in memory with one flaw.
#[derive(Debug)]
struct Broken {
    flaw: Flaw,
    inner: MemoryBackend,
    state: Mutex<State>,
    /// Somebody has come to the gap between looking and writing.
    in_the_gap: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Who stands between looking and writing, by what they want to write.
    gap: HashMap<ObjectPath, usize>,
    late: Option<(ObjectPath, Vec<u8>)>,
    listings: Vec<Vec<Listed>>,
    absent: HashMap<ObjectPath, u32>,
    deleted: BTreeMap<ObjectPath, Listed>,
    reads: u64,
    told: HashSet<ObjectPath>,
}

impl Broken {
    fn new(flaw: Flaw) -> Self {
        Self { flaw, inner: MemoryBackend::default(), state: Mutex::default(), in_the_gap: Condvar::new() }
    }

    fn not_found(path: &ObjectPath) -> BackendError {
        BackendError { action: "read", object: path.to_string(), source: std::io::ErrorKind::NotFound.into() }
    }

    /// Whether a read is answered as if nothing were there.
    fn is_hidden(&self, path: &ObjectPath) -> bool {
        let mut state = self.state.lock().unwrap();
        state.reads += 1;
        match self.flaw {
            Flaw::RemembersAbsence => match state.absent.get_mut(path) {
                Some(left) if *left > 0 => {
                    *left -= 1;
                    true
                }
                _ => false,
            },
            Flaw::ReadsFromALaggingCopy => state.reads.is_multiple_of(97) && state.told.contains(path),
            _ => false,
        }
    }
}

impl Backend for Broken {
    fn location(&self) -> String {
        "broken".into()
    }

    fn read(&self, path: &ObjectPath, limit: usize) -> Result<Vec<u8>, BackendError> {
        if self.is_hidden(path) {
            return Err(Self::not_found(path));
        }
        let read = self.inner.read(path, limit);
        if self.flaw == Flaw::RemembersAbsence && read.as_ref().is_err_and(BackendError::is_not_found) {
            self.state.lock().unwrap().absent.insert(*path, 3);
        }
        read
    }

    fn read_range(&self, path: &ObjectPath, offset: u64, len: usize) -> Result<Vec<u8>, BackendError> {
        match self.flaw {
            Flaw::CutsRanges => self.inner.read_range(path, offset, len).map(|bytes| bytes[..len - 1].to_vec()),
            Flaw::ShiftsRanges if offset > 0 && len > 1 => self.inner.read_range(path, offset - 1, len),
            Flaw::FillsUpRanges => {
                let mut bytes = self.inner.read(path, usize::MAX)?.split_off((offset as usize).min(self.inner.len(path)? as usize));
                bytes.resize(len, 0);
                Ok(bytes)
            }
            _ => self.inner.read_range(path, offset, len),
        }
    }

    fn len(&self, path: &ObjectPath) -> Result<u64, BackendError> {
        self.inner.len(path)
    }

    fn create(&self, path: &ObjectPath, bytes: &[u8]) -> Result<Created, BackendError> {
        let write = || self.inner.overwrite(*path, bytes.to_vec());
        let created = match self.flaw {
            Flaw::IgnoresTheCondition => {
                write();
                Created::New
            }
            Flaw::LooksBeforeItWrites => {
                if self.inner.len(path).is_ok() {
                    return Ok(Created::Exists);
                }
                // Whoever comes first waits a moment for a second one; so it is no chance that two are there. Whoever is alone waits in vain.
                let mut state = self.state.lock().unwrap();
                *state.gap.entry(*path).or_default() += 1;
                self.in_the_gap.notify_all();
                let limit = Duration::from_millis(200);
                drop(self.in_the_gap.wait_timeout_while(state, limit, |state| state.gap[path] < 2).unwrap());
                write();
                Created::New
            }
            Flaw::KeepsTheLastWriter => {
                let is_first = self.state.lock().unwrap().told.insert(*path);
                write();
                if is_first { Created::New } else { Created::Exists }
            }
            Flaw::WritesLate => {
                let created = self.inner.create(path, bytes)?;
                let mut state = self.state.lock().unwrap();
                match created {
                    // What was refused for the name before comes through now.
                    Created::New => {
                        if let Some((path, bytes)) = state.late.take() {
                            self.inner.overwrite(path, bytes);
                        }
                    }
                    Created::Exists => state.late = Some((*path, bytes.to_vec())),
                }
                created
            }
            Flaw::TellsNobody => {
                let _ = self.inner.create(path, bytes)?;
                Created::Exists
            }
            _ => self.inner.create(path, bytes)?,
        };
        if created == Created::New {
            let listing = self.inner.list(Folder::Trials)?;
            let mut state = self.state.lock().unwrap();
            state.told.insert(*path);
            state.listings.push(listing);
        }
        Ok(created)
    }

    fn list(&self, folder: Folder) -> Result<Vec<Listed>, BackendError> {
        let mut listed = self.inner.list(folder)?;
        let state = self.state.lock().unwrap();
        match self.flaw {
            Flaw::ListsWhatWas => Ok(state.listings.len().checked_sub(4).map(|at| state.listings[at].clone()).unwrap_or_default()),
            Flaw::ListsOnePage => {
                listed.truncate(10);
                Ok(listed)
            }
            Flaw::ListsOtherLengths => Ok(listed.into_iter().map(|listed| Listed { len: listed.len + 1000, ..listed }).collect()),
            Flaw::ListsWhatWasDeleted => {
                listed.extend(state.deleted.values().cloned());
                Ok(listed)
            }
            _ => Ok(listed),
        }
    }

    fn delete(&self, path: &ObjectPath) -> Result<(), BackendError> {
        let mut state = self.state.lock().unwrap();
        state.told.remove(path);
        if self.flaw == Flaw::ListsWhatWasDeleted {
            let name = path.to_string().rsplit('/').next().unwrap().to_owned();
            state.deleted.insert(*path, Listed { name, len: self.inner.len(path)? });
        }
        if self.flaw == Flaw::KeepsWhatWasDeleted { Ok(()) } else { self.inner.delete(path) }
    }
}

#[test]
fn a_store_that_breaks_a_promise_is_found_out() {
    for (flaw, promise) in FLAWS {
        let failures = probe(&Broken::new(flaw), Effort::default()).unwrap();
        assert!(failures.iter().any(|failure| failure.starts_with(promise)), "{flaw:?}: {failures:?}");
    }
}

#[test]
fn of_a_store_that_ignores_the_condition_nothing_else_is_said() {
    for flaw in [Flaw::IgnoresTheCondition, Flaw::LooksBeforeItWrites, Flaw::KeepsTheLastWriter] {
        let failures = probe(&Broken::new(flaw), Effort { rounds: 5, writers: 8 }).unwrap();
        assert!(!failures.is_empty() && failures.iter().all(|failure| failure.starts_with("S1: ")), "{flaw:?}: {failures:?}");
    }
    // Where not even a lone writer is told that it created its object, that is said, too.
    let failures = probe(&Broken::new(Flaw::TellsNobody), Effort { rounds: 5, writers: 8 }).unwrap();
    assert!(failures.iter().any(|failure| failure.starts_with("S3: ")), "{failures:?}");
}

#[test]
fn stores_that_keep_all_promises_pass_and_are_left_as_they_were() {
    let memory = MemoryBackend::default();
    assert_eq!(probe(&memory, Effort::default()).unwrap(), Vec::<String>::new());
    assert_eq!(memory.snapshot(), []);
    let folder = tempfile::tempdir().unwrap();
    let local = LocalBackend::create_at(folder.path()).unwrap();
    assert_eq!(local.create(&ObjectPath::Config, b"config").unwrap(), Created::New);
    assert_eq!(probe(&local, Effort::default()).unwrap(), Vec::<String>::new());
    assert_eq!(local.list(Folder::Trials).unwrap(), []);
}
