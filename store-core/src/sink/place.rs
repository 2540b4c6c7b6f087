//! Making entries where other things may already be.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::beneath::{PLACE, Target};
use super::error::{SinkError, Warning};
use super::file::TargetFile;
use super::keep::Kept;
use super::path::TargetPath;
use crate::linux::names::Names;
use crate::linux::{Inode, proc_path};

/// How often something in the way is cleared, when somebody keeps putting things there.
const ATTEMPTS: usize = 8;

/// What may happen to something that is where an entry must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// Nothing: that is an error.
    Refuse,
    /// It is removed, unless it is a folder with content.
    Replace,
    /// It is removed, with all that is in it.
    ReplaceAll,
}

/// One entry of a folder beneath the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub name: Vec<u8>,
    /// Whether it is a folder; a link to one is not.
    pub is_directory: bool,
}

impl Target {
    /// Makes a folder, or takes the one that is there, unless that is closed. It is left open to its owner alone until its metadata are set.
    pub fn make_dir(&self, path: &TargetPath, existing: Existing) -> Result<(), SinkError> {
        if path.is_root() {
            return Ok(());
        }
        let (folder, name) = self.parent(path)?;
        if self.stays(&folder, name).map_err(|error| SinkError::at("look at", path, error))? == Some(Kept::Closed) {
            return Err(SinkError::Closed { path: path.as_path().to_path_buf() });
        }
        let failed = |error| SinkError::at("make the folder", path, error);
        for _ in 0..ATTEMPTS {
            match rustix::fs::mkdirat(&folder, name, Mode::RWXU) {
                Err(Errno::EXIST) => {}
                made => return made.map_err(failed).and_then(|()| self.must_keep_name(folder.as_fd(), name, path)),
            }
            match rustix::fs::openat(&folder, name, PLACE, Mode::empty()) {
                Err(Errno::NOTDIR | Errno::LOOP | Errno::NOENT) => self.clear(folder.as_fd(), name, path, existing)?,
                opened => {
                    let there = opened.map_err(failed)?;
                    self.must_have_name(folder.as_fd(), name, path)?;
                    return self.open_up(there.as_fd()).map_err(failed);
                }
            }
        }
        Err(SinkError::Replaced { path: path.as_path().to_path_buf() })
    }

    /// Makes a folder and those above it, or takes the ones that are there.
    pub fn make_dirs(&self, path: &TargetPath, existing: Existing) -> Result<(), SinkError> {
        let mut folder = TargetPath::root();
        path.names().try_for_each(|name| {
            folder = folder.child(name)?;
            self.make_dir(&folder, existing)
        })
    }

    /// Makes an empty file. What was there loses this name, and keeps its bytes under any others it has.
    pub fn create_file(&self, path: &TargetPath, existing: Existing) -> Result<TargetFile, SinkError> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        let fd = self.make("create", path, existing, |folder, name| rustix::fs::openat(folder, name, flags, mode))?;
        Ok(TargetFile::new(fd, path.clone(), self.privileged))
    }

    /// Opens a file that is there, to write over parts of it: a regular file without other names that may be read and written.
    /// `None` when there is no such file, and [`create_file`](Self::create_file) is the way.
    pub fn reuse_file(&self, path: &TargetPath) -> Result<Option<TargetFile>, SinkError> {
        let (folder, name) = match self.parent(path) {
            Ok(parent) => parent,
            Err(SinkError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let regular = |stat: &rustix::fs::Stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile && stat.st_nlink == 1;
        // A device is not even opened: that could have effects.
        match rustix::fs::statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if regular(&stat) => self.must_have_name(folder.as_fd(), name, path)?,
            Ok(_) | Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(SinkError::at("look at", path, error)),
        }
        let Ok(fd) = rustix::fs::openat(&folder, name, flags, Mode::empty()) else { return Ok(None) };
        let stat = rustix::fs::fstat(&fd).map_err(|error| SinkError::at("look at", path, error))?;
        if !regular(&stat) {
            return Ok(None);
        }
        // While half of it is new, nobody else runs or reads it.
        let closed = stat.st_mode & 0o7077 == 0 || rustix::fs::fchmod(&fd, Mode::RUSR | Mode::WUSR).is_ok();
        Ok(closed.then(|| TargetFile::new(fd, path.clone(), self.privileged)))
    }

    /// Gives a file of this target the name `path` in place of the one that it was made, or found, by. What was there is removed.
    ///
    /// # Errors
    /// Besides those of making it there, [`SinkError::Replaced`] when the file has that name no more.
    pub fn rename(&self, file: &TargetFile, path: &TargetPath) -> Result<(), SinkError> {
        let (from, old) = self.parent(file.path())?;
        let inode = |stat: rustix::io::Result<rustix::fs::Stat>| stat.ok().as_ref().map(Inode::of);
        let own = inode(rustix::fs::fstat(file));
        let (to, new) = self.parent(path)?;
        for _ in 0..ATTEMPTS {
            // Whoever has put another one there meanwhile keeps it.
            if own.is_none() || inode(rustix::fs::statat(&from, old, AtFlags::SYMLINK_NOFOLLOW)) != own {
                return Err(SinkError::Replaced { path: file.path().as_path().to_path_buf() });
            }
            match self.take_name(to.as_fd(), new, path, |_| rustix::fs::renameat(&from, old, &to, new))? {
                Err(Errno::EXIST | Errno::ISDIR | Errno::NOTEMPTY) => self.clear(to.as_fd(), new, path, Existing::ReplaceAll)?,
                Err(error) => return Err(SinkError::at("rename to", path, error)),
                Ok(()) => return self.must_keep_name(to.as_fd(), new, path),
            }
        }
        Err(SinkError::Replaced { path: path.as_path().to_path_buf() })
    }

    /// Makes a symbolic link to any target whatever: nothing here follows it.
    pub fn symlink(&self, path: &TargetPath, target: &[u8], existing: Existing) -> Result<(), SinkError> {
        self.make("make the link", path, existing, |folder, name| rustix::fs::symlinkat(target, folder, name))
    }

    /// Gives the entry at `original` another name, `path`. A symbolic link gets another name itself.
    pub fn hard_link(&self, original: &TargetPath, path: &TargetPath, existing: Existing) -> Result<(), SinkError> {
        let (from, old) = self.parent(original)?;
        if original == path {
            return Ok(());
        }
        self.make("link", path, existing, |folder, name| rustix::fs::linkat(&from, old, folder, name, AtFlags::empty()))
    }

    /// Makes a named pipe.
    pub fn make_fifo(&self, path: &TargetPath, existing: Existing) -> Result<(), SinkError> {
        let mode = Mode::RUSR | Mode::WUSR;
        self.make("make the pipe", path, existing, |folder, name| rustix::fs::mkfifoat(folder, name, mode))
    }

    /// Makes a character device, or with `block` a block device. Without the privilege to, it is left out with a warning.
    pub fn make_device(&self, path: &TargetPath, block: bool, rdev: u64, existing: Existing) -> Result<Option<Warning>, SinkError> {
        let (kind, mode) = (if block { FileType::BlockDevice } else { FileType::CharacterDevice }, Mode::RUSR | Mode::WUSR);
        match self.make("make the device", path, existing, |folder, name| rustix::fs::mknodat(folder, name, kind, mode, rdev)) {
            Ok(()) => Ok(None),
            Err(SinkError::Io { source, .. }) if source.kind() == io::ErrorKind::PermissionDenied => {
                Ok(Some(Warning::new(path, "the device", source)))
            }
            Err(error) => Err(error),
        }
    }

    /// The entries of a folder, sorted by name.
    pub fn list(&self, path: &TargetPath) -> Result<Vec<Listed>, SinkError> {
        let failed = |error: io::Error| SinkError::at("list", path, error);
        let folder = self.place(path)?;
        let opened = self.open_folder(&folder, b".", true).map_err(|error| failed(error.into()))?;
        let (mut names, error) = Names::read(opened);
        if let Some(error) = error {
            return Err(failed(error));
        }
        names.sort();
        let mut listed = Vec::new();
        for name in names.iter() {
            match rustix::fs::statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => {
                    let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
                    listed.push(Listed { name: name.to_vec(), is_directory });
                }
                Err(Errno::NOENT) => {}
                Err(error) => return Err(failed(error.into())),
            }
        }
        Ok(listed)
    }

    /// Runs `attempt` in the folder that holds `path`, clearing what is in its way as far as `existing` allows.
    fn make<T>(
        &self,
        action: &'static str,
        path: &TargetPath,
        existing: Existing,
        attempt: impl Fn(BorrowedFd<'_>, &[u8]) -> rustix::io::Result<T>,
    ) -> Result<T, SinkError> {
        let (folder, name) = self.parent(path)?;
        for _ in 0..ATTEMPTS {
            match attempt(folder.as_fd(), name) {
                Err(Errno::EXIST) => self.clear(folder.as_fd(), name, path, existing)?,
                Err(error) => return Err(SinkError::at(action, path, error)),
                Ok(made) => return self.must_keep_name(folder.as_fd(), name, path).map(|()| made),
            }
        }
        Err(SinkError::Replaced { path: path.as_path().to_path_buf() })
    }

    fn clear(&self, folder: BorrowedFd<'_>, name: &[u8], path: &TargetPath, existing: Existing) -> Result<(), SinkError> {
        if existing == Existing::Refuse {
            return Err(SinkError::Exists { path: path.as_path().to_path_buf() });
        }
        let kept = self.stays(folder, name).map_err(|error| SinkError::at("look at", path, error))?;
        // A file or a link in use may be replaced by what the snapshot has in its place.
        if kept.is_some() && is_folder(folder, name) {
            return Err(SinkError::Kept { path: path.as_path().to_path_buf() });
        }
        self.let_go(path);
        let unlink = |is_there| if is_there { rustix::fs::unlinkat(folder, name, AtFlags::empty()) } else { Ok(()) };
        let refused = match self.take_name(folder, name, path, unlink)? {
            Ok(()) | Err(Errno::NOENT) => return Ok(()),
            // Which of them says that it is a folder depends on the file system.
            Err(error @ (Errno::ISDIR | Errno::PERM)) => error,
            Err(error) => return Err(SinkError::at("replace", path, error)),
        };
        let removed = match rustix::fs::unlinkat(folder, name, AtFlags::REMOVEDIR) {
            Err(Errno::NOTDIR) => Err(SinkError::at("replace", path, refused)),
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(Errno::NOTEMPTY | Errno::EXIST) if existing == Existing::Replace => {
                Err(SinkError::NotEmpty { path: path.as_path().to_path_buf() })
            }
            Err(Errno::NOTEMPTY | Errno::EXIST) => self.remove_tree(folder, name, path),
            Err(Errno::BUSY) => Err(SinkError::MountPoint { path: path.as_path().to_path_buf() }),
            Err(error) => Err(SinkError::at("replace", path, error)),
        };
        self.forget_name(path);
        removed
    }

    /// Lets the owner list and change an opened folder, which its mode may forbid.
    pub(super) fn open_up(&self, folder: BorrowedFd<'_>) -> rustix::io::Result<()> {
        if self.privileged {
            return Ok(());
        }
        let mode = Mode::from_raw_mode(rustix::fs::fstat(folder)?.st_mode);
        if !mode.contains(Mode::RWXU) {
            // Failing is no harm yet: if it matters, what follows fails and says so.
            let _ = rustix::fs::chmod(proc_path(folder, None), mode | Mode::RWXU);
        }
        Ok(())
    }
}

fn is_folder(folder: BorrowedFd<'_>, name: &[u8]) -> bool {
    rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)
        .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
}
