//! Looking at what stands in the target, which changes nothing.

use std::os::fd::AsFd as _;

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::beneath::Target;
use super::error::SinkError;
use super::file::TargetFile;
use super::path::TargetPath;
use crate::format::entry::Timestamp;

/// What an entry of the target is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    /// A regular file of so many bytes.
    File(u64),
    /// A folder.
    Directory,
    /// A symbolic link to this.
    Symlink(Vec<u8>),
    /// A named pipe.
    Fifo,
    /// A character device: `st_rdev`.
    CharDevice(u64),
    /// A block device: `st_rdev`.
    BlockDevice(u64),
    /// Anything else.
    Other,
}

/// Something that is there already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// What it is.
    pub form: Form,
    /// When its content last changed.
    pub mtime: Timestamp,
    /// Its permission bits.
    pub mode: u32,
}

impl Target {
    /// What stands at `path`; `None` when nothing does. Follows no link.
    pub fn look(&self, path: &TargetPath) -> Result<Option<Standing>, SinkError> {
        if path.is_root() {
            let root = self.place(path)?;
            let stat = rustix::fs::fstat(&root).map_err(|error| SinkError::at("look at", path, error))?;
            return Ok(Some(standing(&stat, Form::Directory)));
        }
        let (folder, name) = match self.parent(path) {
            Ok(parent) => parent,
            Err(SinkError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let failed = |error| SinkError::at("look at", path, error);
        let stat = match rustix::fs::statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        self.must_have_name(folder.as_fd(), name, path)?;
        let form = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Form::File(stat.st_size as u64),
            FileType::Directory => Form::Directory,
            FileType::Symlink => Form::Symlink(rustix::fs::readlinkat(&folder, name, Vec::new()).map_err(failed)?.into_bytes()),
            FileType::Fifo => Form::Fifo,
            FileType::CharacterDevice => Form::CharDevice(stat.st_rdev),
            FileType::BlockDevice => Form::BlockDevice(stat.st_rdev),
            _ => Form::Other,
        };
        Ok(Some(standing(&stat, form)))
    }

    /// Opens a regular file for reading alone. `None` when there is none.
    pub fn read_file(&self, path: &TargetPath) -> Result<Option<TargetFile>, SinkError> {
        let failed = |error| SinkError::at("read", path, error);
        let (folder, name) = self.parent(path)?;
        // A device is not even opened: that could have effects.
        match rustix::fs::statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile => {}
            Ok(_) | Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(failed(error)),
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&folder, name, flags, Mode::empty()).map_err(failed)?;
        Ok(Some(TargetFile::new(fd, path.clone(), self.privileged)))
    }
}

fn standing(stat: &rustix::fs::Stat, form: Form) -> Standing {
    let mtime = Timestamp { seconds: stat.st_mtime, nanos: stat.st_mtime_nsec as u32 };
    Standing { form, mtime, mode: stat.st_mode & 0o7777 }
}
