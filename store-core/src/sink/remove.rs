//! Removing what is beneath the target, and nothing that is mounted there.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Mode};
use rustix::io::Errno;

use super::beneath::{PLACE, Target};
use super::error::SinkError;
use super::path::TargetPath;
use crate::linux::names::Names;
use crate::linux::{Inode, climb};

/// Folders of one path that stay open; those above are reopened from below.
const OPEN: usize = 64;

/// A folder that is being emptied.
struct Level {
    /// `None` while it is one of those that are not kept open.
    folder: Option<OwnedFd>,
    inode: Inode,
    name: Vec<u8>,
    names: Names,
    next: usize,
}

impl Target {
    /// Removes an entry, with all that is in it. A symbolic link is removed itself. Says whether anything was there.
    ///
    /// # Errors
    /// [`SinkError::Kept`], and nothing is removed, when it has to stay.
    pub fn remove(&self, path: &TargetPath) -> Result<bool, SinkError> {
        let (folder, name) = self.parent(path)?;
        if self.stays(&folder, name).map_err(|error| SinkError::at("look at", path, error))?.is_some() {
            return Err(SinkError::Kept { path: path.as_path().to_path_buf() });
        }
        self.let_go(path);
        match rustix::fs::unlinkat(&folder, name, AtFlags::empty()) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(Errno::ISDIR) => self.remove_tree(folder.as_fd(), name, path).map(|()| true),
            Err(error) => match rustix::fs::statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) if rustix::fs::FileType::from_raw_mode(stat.st_mode).is_dir() => {
                    self.remove_tree(folder.as_fd(), name, path).map(|()| true)
                }
                _ => Err(SinkError::at("remove", path, error)),
            },
        }
    }

    /// Removes the folder `name` of an opened folder; `path` is for messages. Goes down without recursion, and with few open files,
    /// since somebody else may have made the tree deep.
    pub(super) fn remove_tree(&self, folder: BorrowedFd<'_>, name: &[u8], path: &TargetPath) -> Result<(), SinkError> {
        let failed = |error: Errno| match error {
            Errno::XDEV | Errno::BUSY => SinkError::MountPoint { path: path.as_path().to_path_buf() },
            error => SinkError::at("remove", path, error),
        };
        let empty = |folder: BorrowedFd<'_>, name: &[u8]| {
            let level = self.empty(folder, name).map_err(failed)?;
            // Not met at the top, where all above it was refused, unless it is mounted in another place as well.
            if self.has_to_stay(level.inode) { Err(SinkError::Kept { path: path.as_path().to_path_buf() }) } else { Ok(level) }
        };
        let mut levels = vec![empty(folder, name)?];
        while let Some(level) = levels.last_mut() {
            let Some(opened) = &level.folder else { return Err(SinkError::Replaced { path: path.as_path().to_path_buf() }) };
            if let Some(name) = level.names.get(level.next) {
                level.next += 1;
                match rustix::fs::unlinkat(opened, name, AtFlags::empty()) {
                    Ok(()) | Err(Errno::NOENT) => {}
                    Err(Errno::ISDIR | Errno::PERM) => {
                        let inner = empty(opened.as_fd(), name)?;
                        if let Some(above) = levels.len().checked_sub(OPEN) {
                            levels[above].folder = None;
                        }
                        levels.push(inner);
                    }
                    Err(error) => return Err(failed(error)),
                }
                continue;
            }
            let Some(done) = levels.pop() else { break };
            if let (Some(above), Some(done)) = (levels.last_mut(), &done.folder)
                && above.folder.is_none()
            {
                above.folder = Some(climb(done, above.inode).map_err(|error| SinkError::at("remove", path, error))?);
            }
            let above = levels.last().and_then(|level| level.folder.as_ref()).map_or(folder, AsFd::as_fd);
            match rustix::fs::unlinkat(above, &done.name, AtFlags::REMOVEDIR) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(error) => return Err(failed(error)),
            }
        }
        Ok(())
    }

    /// Opens a folder to be emptied.
    fn empty(&self, folder: BorrowedFd<'_>, name: &[u8]) -> rustix::io::Result<Level> {
        if !self.privileged {
            self.open_up(rustix::fs::openat(folder, name, PLACE, Mode::empty())?.as_fd())?;
        }
        let opened = self.open_folder(folder, name, false)?;
        let inode = Inode::of(&rustix::fs::fstat(&opened)?);
        let (names, error) = Names::read(&opened);
        match error.and_then(|error| Errno::from_io_error(&error)) {
            Some(error) => Err(error),
            None => Ok(Level { folder: Some(opened), inode, name: name.to_vec(), names, next: 0 }),
        }
    }
}
