//! What the file system says of an entry, as a snapshot keeps it.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Stat};

use super::error::SourceError;
use crate::base::limits;
use crate::format::entry::{Kind, Metadata, Timestamp};
use crate::linux::{proc_path, xattrs};

/// What an entry is, before its content was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A regular file.
    File {
        /// Length in bytes.
        size: u64,
        /// Bytes it takes on disk; below `size` when it has holes or is compressed.
        allocated: u64,
    },
    /// A directory.
    Directory,
    /// What has no content to be read: links, pipes, devices, sockets, as a snapshot keeps them.
    Other(Kind),
}

/// Looks at an entry of an opened folder without following it, nor mounting what an automounter would put there.
pub(super) fn stat_at(folder: impl AsFd, name: &[u8]) -> rustix::io::Result<Stat> {
    rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT)
}

/// What kind of entry `stat` describes; reads the target of a symbolic link.
#[allow(clippy::unnecessary_cast, reason = "the fields' types differ between architectures")]
pub(super) fn what(folder: impl AsFd, name: &[u8], path: &Path, stat: &Stat) -> Result<What, SourceError> {
    Ok(match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => file(stat),
        FileType::Directory => What::Directory,
        FileType::Symlink => {
            let target = rustix::fs::readlinkat(folder, name, Vec::new())
                .map_err(|error| match error {
                    rustix::io::Errno::INVAL => SourceError::Replaced { path: path.to_path_buf() },
                    error => SourceError::at("read the link", path, error),
                })?
                .into_bytes();
            if target.len() > limits::LINK_LEN {
                return Err(SourceError::TooLarge { what: "it points to a longer path", path: path.to_path_buf() });
            }
            What::Other(Kind::Symlink { target })
        }
        FileType::Fifo => What::Other(Kind::Fifo),
        FileType::CharacterDevice => What::Other(Kind::CharDevice { rdev: stat.st_rdev as u64 }),
        FileType::BlockDevice => What::Other(Kind::BlockDevice { rdev: stat.st_rdev as u64 }),
        FileType::Socket => What::Other(Kind::Socket),
        FileType::Unknown => {
            let source = std::io::Error::from(std::io::ErrorKind::Unsupported);
            return Err(SourceError::Unreadable { action: "tell the kind of", path: path.to_path_buf(), source });
        }
    })
}

/// The kind of a regular file that `stat` describes.
#[allow(clippy::unnecessary_cast, reason = "the fields' types differ between architectures")]
pub(super) fn file(stat: &Stat) -> What {
    What::File { size: stat.st_size.max(0) as u64, allocated: (stat.st_blocks as u64).saturating_mul(512) }
}

/// What `stat` says, with these extended attributes.
#[allow(clippy::unnecessary_cast, reason = "the fields' types differ between architectures")]
pub(super) fn metadata(stat: &Stat, xattrs: Attributes) -> Metadata {
    Metadata {
        mode: (stat.st_mode & 0o7777) as u32,
        uid: stat.st_uid,
        gid: stat.st_gid,
        mtime: time(stat.st_mtime as i64, stat.st_mtime_nsec as u64),
        ctime: time(stat.st_ctime as i64, stat.st_ctime_nsec as u64),
        inode: stat.st_ino as u64,
        device: stat.st_dev as u64,
        links: stat.st_nlink as u64,
        xattrs,
    }
}

/// Some network file systems hand out nanoseconds that a second does not have.
fn time(seconds: i64, nanos: u64) -> Timestamp {
    Timestamp { seconds, nanos: nanos.min(999_999_999) as u32 }
}

/// Names and values of extended attributes.
pub(super) type Attributes = Vec<(Vec<u8>, Vec<u8>)>;

/// The extended attributes of an entry of an opened folder, sorted by name, or of the opened inode itself when `name` is `None`.
/// What could be read comes back along with the first error.
pub(super) fn attributes(fd: BorrowedFd<'_>, name: Option<&[u8]>, path: &Path) -> (Attributes, Option<SourceError>) {
    let entry;
    let of = match name {
        None => xattrs::Of::Open(fd),
        Some(name) => {
            entry = proc_path(fd, Some(name));
            xattrs::Of::Entry(&entry)
        }
    };
    let mut names = match xattrs::list(of) {
        Ok(names) => names,
        Err(error) => {
            let error = if Path::new("/proc/self/fd").exists() { error } else { std::io::Error::other("/proc is not mounted") };
            return (Vec::new(), Some(SourceError::at("list the extended attributes of", path, error)));
        }
    };
    names.sort_unstable();
    names.dedup();
    let (mut found, mut problem, mut room) = (Vec::with_capacity(names.len()), None, limits::XATTRS_LEN);
    for name in names {
        match xattrs::get(of, &name) {
            Ok(Some(value)) => match room.checked_sub(name.len() + value.len()) {
                Some(left) => {
                    room = left;
                    found.push((name, value));
                }
                None => {
                    let path = path.to_path_buf();
                    problem.get_or_insert(SourceError::TooLarge { what: "its extended attributes are larger", path });
                }
            },
            Ok(None) => {}
            Err(error) => {
                problem.get_or_insert(SourceError::at("read the extended attributes of", path, error));
            }
        }
    }
    (found, problem)
}
