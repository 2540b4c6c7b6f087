//! A repository in memory, for tests and for trials that leave nothing behind.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Backend, BackendError, Created, Folder, Listed, ObjectPath};

/// Objects in memory.
#[derive(Debug, Default)]
pub struct MemoryBackend {
    objects: Mutex<BTreeMap<ObjectPath, Vec<u8>>>,
}

impl MemoryBackend {
    fn objects(&self) -> MutexGuard<'_, BTreeMap<ObjectPath, Vec<u8>>> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All paths with their bytes.
    pub fn snapshot(&self) -> Vec<(ObjectPath, Vec<u8>)> {
        self.objects().iter().map(|(path, bytes)| (*path, bytes.clone())).collect()
    }

    /// Puts other bytes in an object's place: damage, for tests.
    pub fn overwrite(&self, path: ObjectPath, bytes: Vec<u8>) {
        self.objects().insert(path, bytes);
    }
}

fn fail(action: &'static str, path: &ObjectPath, kind: io::ErrorKind) -> BackendError {
    BackendError { action, object: path.to_string(), source: kind.into() }
}

impl Backend for MemoryBackend {
    fn location(&self) -> String {
        "memory".into()
    }

    fn read(&self, path: &ObjectPath, limit: usize) -> Result<Vec<u8>, BackendError> {
        let objects = self.objects();
        let bytes = objects.get(path).ok_or_else(|| fail("read", path, io::ErrorKind::NotFound))?;
        if bytes.len() > limit { Err(fail("read", path, io::ErrorKind::InvalidData)) } else { Ok(bytes.clone()) }
    }

    fn read_range(&self, path: &ObjectPath, offset: u64, len: usize) -> Result<Vec<u8>, BackendError> {
        let objects = self.objects();
        let bytes = objects.get(path).ok_or_else(|| fail("read", path, io::ErrorKind::NotFound))?;
        let range = usize::try_from(offset).ok().and_then(|start| Some(start..start.checked_add(len)?));
        range.and_then(|range| bytes.get(range)).map(<[u8]>::to_vec).ok_or_else(|| fail("read", path, io::ErrorKind::UnexpectedEof))
    }

    fn len(&self, path: &ObjectPath) -> Result<u64, BackendError> {
        self.objects().get(path).map(|bytes| bytes.len() as u64).ok_or_else(|| fail("look at", path, io::ErrorKind::NotFound))
    }

    fn create(&self, path: &ObjectPath, bytes: &[u8]) -> Result<Created, BackendError> {
        let mut objects = self.objects();
        if objects.contains_key(path) {
            return Ok(Created::Exists);
        }
        objects.insert(*path, bytes.to_vec());
        Ok(Created::New)
    }

    fn list(&self, folder: Folder) -> Result<Vec<Listed>, BackendError> {
        let prefix = format!("{}/", folder.name());
        let name = |path: &ObjectPath| path.to_string().strip_prefix(&prefix).and_then(|rest| rest.rsplit('/').next()).map(str::to_owned);
        Ok(self.objects().iter().filter_map(|(path, bytes)| Some(Listed { name: name(path)?, len: bytes.len() as u64 })).collect())
    }

    fn delete(&self, path: &ObjectPath) -> Result<(), BackendError> {
        self.objects().remove(path);
        Ok(())
    }
}
