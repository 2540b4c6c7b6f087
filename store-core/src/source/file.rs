//! One regular file, opened so that nothing is followed, nothing blocks, and a change while it is read is noticed.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::error::SourceError;
use super::{holes, stat};
use crate::format::entry::Metadata;
use crate::linux::Inode;

/// A regular file, open for reading. Several threads may read it at once.
#[derive(Debug)]
pub struct OpenFile {
    file: File,
    path: PathBuf,
    opened: Stat,
}

impl OpenFile {
    /// Opens a file by its path, which may lead through symbolic links but not end in one.
    pub fn open(path: &Path) -> Result<Self, SourceError> {
        Self::open_at(rustix::fs::CWD, path.as_os_str().as_encoded_bytes(), path)
    }

    /// Opens the entry `name` of an opened folder; `path` is for messages.
    pub(super) fn open_at(folder: impl AsFd, name: &[u8], path: &Path) -> Result<Self, SourceError> {
        // Non-blocking, because a pipe may have taken the file's place, and opening one would wait for a writer.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let folder = folder.as_fd();
        let fd = match rustix::fs::openat(folder, name, flags | OFlags::NOATIME, Mode::empty()) {
            // Only the owner may leave the access time alone.
            Err(Errno::PERM) => rustix::fs::openat(folder, name, flags, Mode::empty()),
            opened => opened,
        };
        let replaced = || SourceError::Replaced { path: path.to_path_buf() };
        let fd = fd.map_err(|error| match error {
            Errno::LOOP | Errno::NXIO => replaced(),
            error => SourceError::at("open", path, error),
        })?;
        let opened = rustix::fs::fstat(&fd).map_err(|error| SourceError::at("look at", path, error))?;
        if FileType::from_raw_mode(opened.st_mode) != FileType::RegularFile {
            return Err(replaced());
        }
        Ok(Self { file: File::from(fd), path: path.to_path_buf(), opened })
    }

    /// Whether this is the inode that has this device and this number.
    pub(super) fn is(&self, inode: Inode) -> bool {
        Inode::of(&self.opened) == inode
    }

    /// The path it was found at, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Length in bytes when it was opened.
    pub fn len(&self) -> u64 {
        self.opened.st_size.max(0) as u64
    }

    /// Whether it had no bytes when it was opened.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What the file system said of it when it was opened, with the extended attributes it has now: the metadata that belong to the
    /// bytes that are read. The error is what kept some extended attributes from being read.
    pub fn metadata(&self) -> (Metadata, Option<SourceError>) {
        let (attributes, problem) = stat::attributes(self.file.as_fd(), None, &self.path);
        (stat::metadata(&self.opened, attributes), problem)
    }

    /// Fills `buffer` from `offset`. A file that ends before is an error of kind `UnexpectedEof`.
    pub fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }

    /// The ranges that hold data, sorted; what lies between them, up to [`len`](Self::len), is holes.
    /// Where the file system tells none, or more than 65,536, all is data.
    pub fn data_ranges(&self) -> Vec<Range<u64>> {
        let stat::What::File { size, allocated } = stat::file(&self.opened) else { return Vec::new() };
        holes::data(&self.file, size, allocated)
    }

    /// Whether size, modification and change time are those of when it was opened. `false` once all was read means that what was
    /// read may be no state the file ever had. A change that leaves no trace in the times (through a mapping not yet flushed, or
    /// within the granularity of the file system's clock) is not seen.
    pub fn unchanged(&self) -> io::Result<bool> {
        let (now, then) = (rustix::fs::fstat(&self.file)?, &self.opened);
        Ok(now.st_size == then.st_size
            && (now.st_mtime, now.st_mtime_nsec) == (then.st_mtime, then.st_mtime_nsec)
            && (now.st_ctime, now.st_ctime_nsec) == (then.st_ctime, then.st_ctime_nsec))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_file_that_changes_while_it_is_read_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("growing");
        fs::write(&path, b"first").unwrap();
        fs::File::open(&path).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
        let file = OpenFile::open(&path).unwrap();
        let mut bytes = [0; 5];
        file.read_exact_at(0, &mut bytes).unwrap();
        assert!(file.unchanged().unwrap());
        fs::write(&path, b"other").unwrap();
        assert!(!file.unchanged().unwrap());
        fs::write(&path, b"").unwrap();
        assert_eq!(file.read_exact_at(0, &mut bytes).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn what_is_not_a_regular_file_is_not_opened_and_does_not_block() {
        let folder = tempfile::tempdir().unwrap();
        let (pipe, link) = (folder.path().join("pipe"), folder.path().join("link"));
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, Mode::RWXU).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", &link).unwrap();
        for path in [&pipe, &link, &folder.path().to_path_buf()] {
            assert!(matches!(OpenFile::open(path), Err(SourceError::Replaced { .. })), "{path:?}");
        }
        assert!(matches!(OpenFile::open(&folder.path().join("none")), Err(SourceError::Vanished { .. })));
    }
}
