//! A [`Disk`](super::disk::Disk) on which something happens at a certain call, once.

#![allow(dead_code, unreachable_pub, reason = "each test uses a part")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use super::disk::Disk;
use store_core::backend::{Backend, BackendError, Created, Folder, Listed, ObjectPath};

/// What happens.
#[derive(Debug, Clone, Copy)]
pub enum Trick {
    /// Before the first object is deleted, somebody else deletes this one.
    AlsoDeleted(ObjectPath),
    /// The first outcome is created, and an error says that nobody knows.
    UnsureOutcome,
    /// The first index segment that is to be deleted is not.
    SegmentStays,
    /// The first pack that is to be deleted is not.
    PackStays,
}

/// The disk, and what happens on it.
#[derive(Debug)]
pub struct Tricky {
    disk: Arc<Disk>,
    trick: Mutex<Option<Trick>>,
    happened: AtomicBool,
}

impl Tricky {
    pub fn new(disk: &Arc<Disk>, trick: Trick) -> Arc<Self> {
        Arc::new(Self { disk: Arc::clone(disk), trick: Mutex::new(Some(trick)), happened: AtomicBool::new(false) })
    }

    /// Whether it has happened.
    pub fn happened(&self) -> bool {
        self.happened.load(Ordering::Relaxed)
    }

    fn take(&self, fits: impl Fn(&Trick) -> bool) -> Option<Trick> {
        let taken = self.trick.lock().unwrap().take_if(|trick| fits(trick));
        self.happened.fetch_or(taken.is_some(), Ordering::Relaxed);
        taken
    }
}

impl Backend for Tricky {
    fn location(&self) -> String {
        "tricky".into()
    }

    fn read(&self, path: &ObjectPath, limit: usize) -> Result<Vec<u8>, BackendError> {
        self.disk.read(path, limit)
    }

    fn read_range(&self, path: &ObjectPath, offset: u64, len: usize) -> Result<Vec<u8>, BackendError> {
        self.disk.read_range(path, offset, len)
    }

    fn len(&self, path: &ObjectPath) -> Result<u64, BackendError> {
        self.disk.len(path)
    }

    fn create(&self, path: &ObjectPath, bytes: &[u8]) -> Result<Created, BackendError> {
        let created = self.disk.create(path, bytes)?;
        if matches!(path, ObjectPath::Outcome(_)) && self.take(|trick| matches!(trick, Trick::UnsureOutcome)).is_some() {
            return Err(BackendError { action: "write", object: path.to_string(), source: std::io::Error::from_raw_os_error(5) });
        }
        Ok(created)
    }

    fn list(&self, folder: Folder) -> Result<Vec<Listed>, BackendError> {
        self.disk.list(folder)
    }

    fn settle(&self, path: &ObjectPath) -> Result<(), BackendError> {
        self.disk.settle(path)
    }

    fn delete(&self, path: &ObjectPath) -> Result<(), BackendError> {
        if let Some(Trick::AlsoDeleted(other)) = self.take(|trick| matches!(trick, Trick::AlsoDeleted(_))) {
            self.disk.delete(&other)?;
        }
        let stays = |trick: &Trick| match trick {
            Trick::SegmentStays => matches!(path, ObjectPath::Segment(_)),
            Trick::PackStays => matches!(path, ObjectPath::Pack(_)),
            _ => false,
        };
        if self.take(stays).is_some() {
            return Err(BackendError { action: "delete", object: path.to_string(), source: std::io::Error::from_raw_os_error(5) });
        }
        self.disk.delete(path)
    }
}
