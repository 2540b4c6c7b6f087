//! L3: the handle through which objects are read and written. Drivers: a local folder, memory, object storage.

mod local;
mod location;
mod memory;
#[cfg(feature = "object")]
mod object;
mod path;
mod probe;
mod requests;
mod reserve;

use std::fmt;
use std::io;

pub use local::LocalBackend;
pub use location::{Location, Transport};
pub use memory::MemoryBackend;
#[cfg(feature = "object")]
pub use object::{ObjectBackend, Place, Scheme, Variables};
pub(crate) use path::parse_gc_name;
pub use path::{Folder, GcStage, ObjectPath};
pub use probe::{Effort, probe};
pub use requests::{Asked, RequestCount, Requests};

/// What a driver could not do, and to which object.
#[derive(Debug)]
pub struct BackendError {
    /// What was tried.
    pub action: &'static str,
    /// With what.
    pub object: String,
    /// Why it failed.
    pub source: io::Error,
}

impl fmt::Display for BackendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} {}", self.action, self.object)
    }
}

impl std::error::Error for BackendError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// Not a single object is missing but the bucket that it would be in.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct NoBucket(pub(crate) String);

impl BackendError {
    /// Whether it is the bucket that is not there.
    pub fn is_no_bucket(&self) -> bool {
        self.source.get_ref().is_some_and(|error| error.is::<NoBucket>())
    }

    /// Whether the object does not exist.
    pub fn is_not_found(&self) -> bool {
        self.source.kind() == io::ErrorKind::NotFound
    }

    /// Whether it is the object that cannot be read, not the backend: it is longer than any such object, or where the disk is spoilt.
    pub fn is_damage(&self) -> bool {
        self.source.kind() == io::ErrorKind::InvalidData || self.source.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error())
    }

    /// Whether it is not allowed to do that.
    pub fn is_denied(&self) -> bool {
        self.source.kind() == io::ErrorKind::PermissionDenied
    }

    /// Whether the backend could not be reached, or failed for the time being, so that a retry makes sense.
    pub fn is_unreachable(&self) -> bool {
        use io::ErrorKind as Kind;
        matches!(
            self.source.kind(),
            Kind::TimedOut
                | Kind::ConnectionRefused
                | Kind::ConnectionReset
                | Kind::ConnectionAborted
                | Kind::NotConnected
                | Kind::HostUnreachable
                | Kind::NetworkUnreachable
                | Kind::NetworkDown
        )
    }

    /// Whether no room is left.
    pub fn is_no_space(&self) -> bool {
        matches!(self.source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }
}

/// What became of a create-if-absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Created {
    /// The object is there now, whole and durable.
    New,
    /// Another one was there before, and is untouched.
    Exists,
}

/// One object in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its name within the folder: 64 hexadecimal digits, but in `gc`.
    pub name: String,
    /// Its length in bytes.
    pub len: u64,
}

/// Reads and writes objects. Objects are immutable: created once, whole, and never overwritten.
pub trait Backend: Send + Sync + fmt::Debug {
    /// Where it is, for people.
    fn location(&self) -> String;

    /// A whole object. Fails on one longer than `limit`, before it is read.
    fn read(&self, path: &ObjectPath, limit: usize) -> Result<Vec<u8>, BackendError>;

    /// `len` bytes of an object from `offset`. Fewer are an error.
    fn read_range(&self, path: &ObjectPath, offset: u64, len: usize) -> Result<Vec<u8>, BackendError>;

    /// The length of an object in bytes.
    fn len(&self, path: &ObjectPath) -> Result<u64, BackendError>;

    /// Creates an object if none is there. When it returns `New`, the object survives a power failure.
    fn create(&self, path: &ObjectPath, bytes: &[u8]) -> Result<Created, BackendError>;

    /// The same with bytes that the driver may take for as long as it writes, so that one that sends them from another thread need not copy
    /// them. They are in their place again when it returns.
    fn create_lent(&self, path: &ObjectPath, bytes: &mut Vec<u8>) -> Result<Created, BackendError> {
        self.create(path, bytes)
    }

    /// All objects of a folder, in no order. Names that are none are left out.
    fn list(&self, folder: Folder) -> Result<Vec<Listed>, BackendError>;

    /// Sees to it that an object which a listing showed survives a power failure, and so do all others of its folder, though whoever made
    /// it may have been killed before [`create`](Self::create) returned. Packs have a folder for each first two digits.
    fn settle(&self, _path: &ObjectPath) -> Result<(), BackendError> {
        Ok(())
    }

    /// Removes what writers that are gone left unfinished, if the driver keeps such things. They were never objects.
    fn clean_unfinished(&self) -> Result<(), BackendError> {
        Ok(())
    }

    /// Deletes an object. That it is not there is no error.
    fn delete(&self, path: &ObjectPath) -> Result<(), BackendError>;

    /// Sees to it, where the driver does so, that a prune finds room for its records on a full disk, unless there is too little room for that.
    fn keep_reserve(&self) {}

    /// Gives back some of that room, so that what failed for lack of it can be tried again. `false` when there is none, or none is left.
    /// For prunes alone: what they delete gives it back.
    fn yield_reserve(&self) -> bool {
        false
    }

    /// The name of the store, if what this trait promises rests on a promise of that store which has to be put to the test
    /// (`spec/BUCKETS.md`, section 4). `None` where the driver sees to it itself.
    fn store_to_probe(&self) -> Option<String> {
        None
    }

    /// How many requests it pays to have under way at a time, by as many threads: 1 where one keeps the driver busy.
    fn lanes(&self) -> usize {
        1
    }

    /// How often the driver has given up a store that could not be reached: whoever takes an object for damaged that he cannot read asks
    /// whether it is that.
    fn given_up(&self) -> u64 {
        0
    }

    /// Requests that were made so far, if the driver makes any.
    fn requests(&self) -> Vec<RequestCount> {
        Vec::new()
    }
}
