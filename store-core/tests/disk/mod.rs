//! A disk as `spec/PROTOCOL.md`, section 2, uses one, in memory: it keeps a log of what was done to it, can stop being there, and can say what
//! a power failure at any moment may leave of it.

#![allow(dead_code, unreachable_pub, reason = "each test uses a part")]

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use store_core::backend::{Backend, BackendError, Created, Folder, Listed, ObjectPath};

/// The bytes of an object.
pub type Bytes = Arc<Vec<u8>>;
/// All objects.
pub type Objects = BTreeMap<ObjectPath, Bytes>;

/// One step of a driver.
#[derive(Debug, Clone)]
pub enum Step {
    /// Bytes were written to a file without a name.
    Write(usize, Bytes),
    /// Those bytes survive from here on.
    SyncFile(usize),
    /// A file got this name.
    Link(ObjectPath, usize),
    /// A name went.
    Unlink(ObjectPath),
    /// Names of this folder that came or went survive from here on.
    SyncFolder(String),
}

/// What a driver leaves out, to see that it would be noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forgets {
    Nothing,
    SyncFile,
    SyncFolder,
}

/// What survives a power failure of what was not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Survives {
    Everything,
    Nothing,
    /// Names by chance.
    Some(u64),
    /// Names by chance, and of bytes that were not synced the first half.
    Torn(u64),
}

type Hook = Box<dyn FnMut(u64, &str, Option<&ObjectPath>) -> io::Result<()> + Send>;

/// The disk.
pub struct Disk {
    state: Mutex<State>,
    hook: Mutex<Option<Hook>>,
    forgets: Forgets,
}

#[derive(Default)]
struct State {
    objects: Objects,
    log: Vec<Step>,
    files: usize,
    calls: u64,
}

impl std::fmt::Debug for Disk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Disk")
    }
}

/// The folder that holds a name.
fn folder_of(path: &ObjectPath) -> String {
    let text = path.to_string();
    text.rsplit_once('/').map_or(String::new(), |(folder, _)| folder.to_owned())
}

impl Disk {
    pub fn new() -> Arc<Self> {
        Self::that(Forgets::Nothing, Objects::new())
    }

    pub fn that(forgets: Forgets, objects: Objects) -> Arc<Self> {
        let state = State { objects, ..State::default() };
        Arc::new(Self { state: Mutex::new(state), hook: Mutex::new(None), forgets })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// What is there.
    pub fn objects(&self) -> Objects {
        self.state().objects.clone()
    }

    /// Creates an object as a store does that looks at no condition: whatever is there is replaced.
    pub fn replace(&self, path: &ObjectPath, bytes: &[u8]) {
        self.state().objects.insert(*path, Arc::new(bytes.to_vec()));
    }

    /// What was done.
    pub fn log(&self) -> Vec<Step> {
        self.state().log.clone()
    }

    /// How many steps were done.
    pub fn steps(&self) -> usize {
        self.state().log.len()
    }

    /// How many calls were made.
    pub fn calls(&self) -> u64 {
        self.state().calls
    }

    /// Has `hook` called before each call of a driver with its number, its name and its object; of a listing with the folder's name and no
    /// object. Calls that the hook itself makes have none.
    pub fn set_hook(&self, hook: impl FnMut(u64, &str, Option<&ObjectPath>) -> io::Result<()> + Send + 'static) {
        *self.hook.lock().unwrap() = Some(Box::new(hook));
    }

    pub fn clear_hook(&self) {
        *self.hook.lock().unwrap() = None;
    }

    fn call(&self, action: &'static str, path: Option<&ObjectPath>) -> Result<(), BackendError> {
        let number = {
            let mut state = self.state();
            state.calls += 1;
            state.calls - 1
        };
        let Some(mut hook) = self.hook.lock().unwrap().take() else { return Ok(()) };
        let result = hook(number, action, path);
        let mut place = self.hook.lock().unwrap();
        if place.is_none() {
            *place = Some(hook);
        }
        let (action, object) = path.map_or_else(|| ("list", action.to_owned()), |path| (action, path.to_string()));
        result.map_err(|source| BackendError { action, object, source })
    }
}

fn fail(action: &'static str, path: &ObjectPath, kind: io::ErrorKind) -> BackendError {
    BackendError { action, object: path.to_string(), source: kind.into() }
}

impl Backend for Disk {
    fn location(&self) -> String {
        "disk".into()
    }

    fn read(&self, path: &ObjectPath, limit: usize) -> Result<Vec<u8>, BackendError> {
        self.call("read", Some(path))?;
        let state = self.state();
        let bytes = state.objects.get(path).ok_or_else(|| fail("read", path, io::ErrorKind::NotFound))?;
        if bytes.len() > limit { Err(fail("read", path, io::ErrorKind::InvalidData)) } else { Ok(bytes.to_vec()) }
    }

    fn read_range(&self, path: &ObjectPath, offset: u64, len: usize) -> Result<Vec<u8>, BackendError> {
        self.call("read", Some(path))?;
        let state = self.state();
        let bytes = state.objects.get(path).ok_or_else(|| fail("read", path, io::ErrorKind::NotFound))?;
        let range = usize::try_from(offset).ok().and_then(|start| Some(start..start.checked_add(len)?));
        range.and_then(|range| bytes.get(range)).map(<[u8]>::to_vec).ok_or_else(|| fail("read", path, io::ErrorKind::UnexpectedEof))
    }

    fn len(&self, path: &ObjectPath) -> Result<u64, BackendError> {
        self.call("look at", Some(path))?;
        let state = self.state();
        state.objects.get(path).map(|bytes| bytes.len() as u64).ok_or_else(|| fail("look at", path, io::ErrorKind::NotFound))
    }

    fn create(&self, path: &ObjectPath, bytes: &[u8]) -> Result<Created, BackendError> {
        self.call("create", Some(path))?;
        let mut state = self.state();
        let (file, bytes) = (state.files, Arc::new(bytes.to_vec()));
        state.files += 1;
        state.log.push(Step::Write(file, Arc::clone(&bytes)));
        if self.forgets != Forgets::SyncFile {
            state.log.push(Step::SyncFile(file));
        }
        let created = if state.objects.contains_key(path) {
            Created::Exists
        } else {
            state.log.push(Step::Link(*path, file));
            state.objects.insert(*path, bytes);
            Created::New
        };
        if self.forgets != Forgets::SyncFolder {
            state.log.push(Step::SyncFolder(folder_of(path)));
        }
        Ok(created)
    }

    fn list(&self, folder: Folder) -> Result<Vec<Listed>, BackendError> {
        self.call(folder.name(), None)?;
        let name = |path: &ObjectPath| path.to_string().rsplit('/').next().map(str::to_owned);
        let state = self.state();
        let here = state.objects.iter().filter(|(path, _)| path.folder() == Some(folder));
        Ok(here.filter_map(|(path, bytes)| Some(Listed { name: name(path)?, len: bytes.len() as u64 })).collect())
    }

    fn settle(&self, path: &ObjectPath) -> Result<(), BackendError> {
        self.call("settle", Some(path))?;
        self.state().log.push(Step::SyncFolder(folder_of(path)));
        Ok(())
    }

    fn delete(&self, path: &ObjectPath) -> Result<(), BackendError> {
        self.call("delete", Some(path))?;
        let mut state = self.state();
        if state.objects.remove(path).is_some() {
            state.log.push(Step::Unlink(*path));
        }
        state.log.push(Step::SyncFolder(folder_of(path)));
        Ok(())
    }
}

/// What is there at a moment, and what of it is sure to stay.
#[derive(Debug, Clone, Default)]
pub struct Moment {
    before: Objects,
    bytes: Vec<Bytes>,
    synced: BTreeSet<usize>,
    /// Names that survive.
    durable: BTreeMap<ObjectPath, usize>,
    /// Names that came or went since their folder was synced, in order.
    pending: Vec<(ObjectPath, Option<usize>)>,
}

impl Moment {
    /// The start of a log of a disk that held these objects.
    pub fn new(before: Objects) -> Self {
        Self { before, ..Self::default() }
    }

    /// One step later.
    pub fn step(&mut self, step: &Step) {
        match step {
            Step::Write(file, bytes) => {
                assert_eq!(*file, self.bytes.len());
                self.bytes.push(Arc::clone(bytes));
            }
            Step::SyncFile(file) => _ = self.synced.insert(*file),
            Step::Link(path, file) => self.pending.push((*path, Some(*file))),
            Step::Unlink(path) => self.pending.push((*path, None)),
            Step::SyncFolder(folder) => {
                let (sure, pending) = std::mem::take(&mut self.pending).into_iter().partition(|(path, _)| folder_of(path) == *folder);
                self.pending = pending;
                self.apply(sure);
            }
        }
    }

    fn apply(&mut self, names: Vec<(ObjectPath, Option<usize>)>) {
        for (path, file) in names {
            match file {
                Some(file) => _ = self.durable.insert(path, file),
                None => {
                    self.durable.remove(&path);
                    self.before.remove(&path);
                }
            }
        }
    }

    /// What is there after a power failure now.
    pub fn after_failure(&self, survives: Survives) -> Objects {
        let mut left = self.clone();
        let mut noise = match survives {
            Survives::Some(seed) | Survives::Torn(seed) => seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            Survives::Everything | Survives::Nothing => 0,
        };
        let mut chance = || {
            noise ^= noise << 13;
            noise ^= noise >> 7;
            noise ^= noise << 17;
            noise >> 32 & 1 == 1
        };
        let pending = std::mem::take(&mut left.pending);
        left.apply(match survives {
            Survives::Everything => pending,
            Survives::Nothing => Vec::new(),
            Survives::Some(_) | Survives::Torn(_) => pending.into_iter().filter(|_| chance()).collect(),
        });
        let mut objects = left.before;
        for (path, file) in left.durable {
            let bytes = &left.bytes[file];
            let whole = left.synced.contains(&file) || survives == Survives::Everything;
            let bytes = match survives {
                _ if whole => Arc::clone(bytes),
                Survives::Torn(_) => Arc::new(bytes[..bytes.len() / 2].to_vec()),
                _ => Arc::new(Vec::new()),
            };
            objects.insert(path, bytes);
        }
        objects
    }
}
