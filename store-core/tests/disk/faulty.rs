//! A [`Disk`](super::disk::Disk) whose calls fail, once or from some call on, in the ways in which a driver's may.

#![allow(dead_code, unreachable_pub, reason = "each test uses a part")]

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::disk::Disk;
use store_core::backend::{Backend, BackendError, Created, Folder, Listed, ObjectPath};

/// How a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Any call: the device fails.
    Io,
    /// Writes: no room is left.
    NoSpace,
    /// Any call: a signal came.
    Interrupted,
    /// Writes: a part of the bytes was written, and no name was given to them.
    ShortWrite,
    /// Writes: the bytes could not be synced, and no name was given to them.
    SyncFile,
    /// Writes and deletions: it was done, and could not be made durable.
    SyncFolder,
    /// Any call: it is not allowed.
    Permission,
    /// Reads: half of the bytes come.
    Truncated,
    /// Reads: a bit is wrong.
    Corrupt,
}

impl Fault {
    pub const ALL: [Self; 9] = [
        Self::Io,
        Self::NoSpace,
        Self::Interrupted,
        Self::ShortWrite,
        Self::SyncFile,
        Self::SyncFolder,
        Self::Permission,
        Self::Truncated,
        Self::Corrupt,
    ];

    fn error(self) -> io::Error {
        match self {
            Self::Io | Self::SyncFile | Self::SyncFolder => io::Error::from_raw_os_error(5),
            Self::NoSpace => io::ErrorKind::StorageFull.into(),
            Self::Interrupted => io::ErrorKind::Interrupted.into(),
            Self::ShortWrite => io::ErrorKind::WriteZero.into(),
            Self::Permission => io::ErrorKind::PermissionDenied.into(),
            Self::Truncated => io::ErrorKind::UnexpectedEof.into(),
            Self::Corrupt => io::ErrorKind::Other.into(),
        }
    }

    fn hits(self, call: Call) -> bool {
        match self {
            Self::Io | Self::Interrupted | Self::Permission => true,
            Self::NoSpace | Self::ShortWrite | Self::SyncFile => call == Call::Create,
            Self::SyncFolder => matches!(call, Call::Create | Call::Delete | Call::Settle),
            Self::Truncated | Self::Corrupt => call == Call::Read,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    Read,
    Look,
    List,
    Create,
    Settle,
    Delete,
}

/// The disk, and which of the calls that a fault can hit fail.
#[derive(Debug)]
pub struct Faulty {
    disk: Arc<Disk>,
    fault: Fault,
    at: u64,
    once: bool,
    calls: AtomicU64,
    hits: AtomicU64,
}

impl Faulty {
    /// The `at`th call that `fault` can hit fails, and, unless `once`, all after it.
    pub fn new(disk: &Arc<Disk>, fault: Fault, at: u64, once: bool) -> Arc<Self> {
        Arc::new(Self { disk: Arc::clone(disk), fault, at, once, calls: AtomicU64::new(0), hits: AtomicU64::new(0) })
    }

    /// How many calls failed.
    pub fn hits(&self) -> u64 {
        self.hits.load(Ordering::Relaxed)
    }

    fn fails(&self, call: Call) -> bool {
        if !self.fault.hits(call) {
            return false;
        }
        let number = self.calls.fetch_add(1, Ordering::Relaxed);
        let fails = if self.once { number == self.at } else { number >= self.at };
        self.hits.fetch_add(u64::from(fails), Ordering::Relaxed);
        fails
    }

    fn error(&self, action: &'static str, object: impl ToString) -> BackendError {
        BackendError { action, object: object.to_string(), source: self.fault.error() }
    }

    /// What comes of a read that went well.
    fn spoilt(&self, mut bytes: Vec<u8>) -> Vec<u8> {
        if self.fault == Fault::Truncated {
            bytes.truncate(bytes.len() / 2);
        } else if let Some(len) = bytes.len().checked_sub(1) {
            let at = (self.at as usize * 7919 + 31) % (len + 1);
            bytes[at] ^= 0x10;
        }
        bytes
    }
}

impl Backend for Faulty {
    fn location(&self) -> String {
        "faulty".into()
    }

    fn read(&self, path: &ObjectPath, limit: usize) -> Result<Vec<u8>, BackendError> {
        match (self.fails(Call::Read), self.fault) {
            (false, _) => self.disk.read(path, limit),
            (true, Fault::Truncated | Fault::Corrupt) => self.disk.read(path, limit).map(|bytes| self.spoilt(bytes)),
            (true, _) => Err(self.error("read", path)),
        }
    }

    fn read_range(&self, path: &ObjectPath, offset: u64, len: usize) -> Result<Vec<u8>, BackendError> {
        match (self.fails(Call::Read), self.fault) {
            (false, _) => self.disk.read_range(path, offset, len),
            (true, Fault::Corrupt) => self.disk.read_range(path, offset, len).map(|bytes| self.spoilt(bytes)),
            // Whoever asks for a range gets all of it or an error.
            (true, _) => Err(self.error("read", path)),
        }
    }

    fn len(&self, path: &ObjectPath) -> Result<u64, BackendError> {
        if self.fails(Call::Look) { Err(self.error("look at", path)) } else { self.disk.len(path) }
    }

    fn create(&self, path: &ObjectPath, bytes: &[u8]) -> Result<Created, BackendError> {
        if !self.fails(Call::Create) {
            return self.disk.create(path, bytes);
        }
        if self.fault == Fault::SyncFolder {
            let _ = self.disk.create(path, bytes)?;
        }
        Err(self.error("write", path))
    }

    fn list(&self, folder: Folder) -> Result<Vec<Listed>, BackendError> {
        if self.fails(Call::List) { Err(self.error("list", folder.name())) } else { self.disk.list(folder) }
    }

    fn settle(&self, path: &ObjectPath) -> Result<(), BackendError> {
        if self.fails(Call::Settle) { Err(self.error("sync the folder of", path)) } else { self.disk.settle(path) }
    }

    fn delete(&self, path: &ObjectPath) -> Result<(), BackendError> {
        if !self.fails(Call::Delete) {
            return self.disk.delete(path);
        }
        if self.fault == Fault::SyncFolder {
            self.disk.delete(path)?;
        }
        Err(self.error("delete", path))
    }
}
