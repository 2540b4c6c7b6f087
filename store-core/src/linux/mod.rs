//! L3: the few things that reading from and writing to a Linux file system have in common: listing an opened folder, going back up
//! in a tree that may be changing, extended attributes, and what kind of file system it is. It follows no symbolic link and holds no state.

pub(crate) mod exact;
pub(crate) mod far;
pub(crate) mod names;
pub(crate) mod xattrs;

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags, Stat};

/// What tells one inode from another while both exist: device and inode number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Inode {
    device: u64,
    number: u64,
}

impl Inode {
    /// The inode that `stat` describes.
    #[allow(clippy::unnecessary_cast, reason = "the fields' types differ between architectures")]
    pub(crate) fn of(stat: &Stat) -> Self {
        Self { device: stat.st_dev as u64, number: stat.st_ino as u64 }
    }

    /// The inode that the standard library describes.
    pub(crate) fn of_metadata(metadata: &std::fs::Metadata) -> Self {
        use std::os::unix::fs::MetadataExt as _;
        Self { device: metadata.dev(), number: metadata.ino() }
    }
}

/// Flags that every folder is opened with.
pub(crate) const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// A path by which the kernel finds an opened inode, or an entry `name` of an opened folder, whatever its path is by now and however
/// long. Needs a mounted `/proc`.
pub(crate) fn proc_path(fd: BorrowedFd<'_>, name: Option<&[u8]>) -> Vec<u8> {
    let mut path = format!("/proc/self/fd/{}", fd.as_raw_fd()).into_bytes();
    if let Some(name) = name {
        path.push(b'/');
        path.extend_from_slice(name);
    }
    path
}

/// The folder that holds the opened folder `child`, if it is still the one `expected`; an error of kind `NotFound` when the tree was
/// rearranged. So a deep tree can be walked with few open files.
pub(crate) fn climb(child: impl AsFd, expected: Inode) -> io::Result<OwnedFd> {
    let parent = rustix::fs::openat(child, c"..", FOLDER, Mode::empty())?;
    if Inode::of(&rustix::fs::fstat(&parent)?) != expected {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the folder was moved while it was in use"));
    }
    Ok(parent)
}

/// Reads a whole small file beneath `folder`, `None` when no regular file of that name is there. At most `limit` bytes of it.
pub(crate) fn read_small(folder: impl AsFd, name: &[u8], limit: u64) -> io::Result<Option<Vec<u8>>> {
    use std::io::Read;
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = match rustix::fs::openat(folder, name, flags, Mode::empty()) {
        Ok(fd) => std::fs::File::from(fd),
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::LOOP | rustix::io::Errno::NXIO) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    if !file.metadata()?.is_file() {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}
