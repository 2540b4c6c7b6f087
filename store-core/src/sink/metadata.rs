//! Owner, extended attributes, mode and times, in the only order that works: giving a file away drops its setuid bits and file
//! capabilities, attributes may need a writable mode, and each of them changes no times but must not come after them.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{AtFlags, FileType, Gid, Mode, Stat, Timespec, Timestamps, UTIME_OMIT, Uid};

use super::beneath::{PLACE, Target};
use super::error::{SinkError, Warning};
use super::path::TargetPath;
use crate::format::entry::{Metadata, Timestamp};
use crate::linux::{FOLDER, proc_path, xattrs};

/// Mode bits that give whoever runs the file the owner's or group's rights.
const SET_ID: u32 = 0o6000;

/// What gets the metadata.
#[derive(Debug, Clone, Copy)]
pub(super) enum Handle<'a> {
    /// A file or folder opened for reading or writing.
    Open(BorrowedFd<'a>),
    /// Anything else: the inode, opened as a mere place, with the folder that holds it and its name there.
    Entry { inode: BorrowedFd<'a>, folder: BorrowedFd<'a>, name: &'a [u8], is_link: bool },
}

impl Target {
    /// Gives an entry that is not a regular file its metadata; for those see
    /// [`TargetFile::set_metadata`](super::TargetFile::set_metadata). A folder gets them once all in it is done: see
    /// [`finish_directories`](Self::finish_directories).
    ///
    /// # Errors
    /// [`SinkError::Replaced`] when a regular file is there.
    pub fn set_metadata(&self, path: &TargetPath, meta: &Metadata) -> Result<Vec<Warning>, SinkError> {
        let failed = |error: rustix::io::Errno| SinkError::at("set the metadata of", path, error);
        if path.is_root() {
            let root = self.place(path)?;
            return Ok(apply(Handle::Open(root.as_fd()), path, meta, self.privileged));
        }
        let (folder, name) = self.parent(path)?;
        let flags = PLACE.difference(rustix::fs::OFlags::DIRECTORY);
        let inode = rustix::fs::openat(&folder, name, flags, Mode::empty()).map_err(failed)?;
        let kind = FileType::from_raw_mode(rustix::fs::fstat(&inode).map_err(failed)?.st_mode);
        match kind {
            FileType::RegularFile => Err(SinkError::Replaced { path: path.as_path().to_path_buf() }),
            FileType::Directory => {
                self.open_up(inode.as_fd()).map_err(failed)?;
                let opened = rustix::fs::openat(&inode, c".", FOLDER, Mode::empty()).map_err(failed)?;
                Ok(apply(Handle::Open(opened.as_fd()), path, meta, self.privileged))
            }
            kind => {
                let is_link = kind == FileType::Symlink;
                let handle = Handle::Entry { inode: inode.as_fd(), folder: folder.as_fd(), name, is_link };
                Ok(apply(handle, path, meta, self.privileged))
            }
        }
    }

    /// Gives a folder its permission bits back, which were widened to make things in it.
    pub fn set_folder_mode(&self, path: &TargetPath, mode: u32) -> Result<(), SinkError> {
        let folder = self.place(path)?;
        set_mode(Handle::Entry { inode: folder.as_fd(), folder: folder.as_fd(), name: b".", is_link: false }, mode)
            .map_err(|error| SinkError::at("set the mode of", path, error))
    }

    /// Gives folders their metadata, the deepest first: what is done in a folder changes its times, and its mode may forbid it.
    /// One that fails does not keep the others from theirs.
    pub fn finish_directories(&self, mut directories: Vec<(TargetPath, Metadata)>) -> (Vec<Warning>, Vec<SinkError>) {
        directories.sort_by_key(|(path, _)| std::cmp::Reverse(path.depth()));
        let (mut warnings, mut errors) = (Vec::new(), Vec::new());
        for (path, meta) in directories {
            match self.set_metadata(&path, &meta) {
                Ok(more) => warnings.extend(more),
                Err(error) => errors.push(error),
            }
        }
        (warnings, errors)
    }
}

/// Sets all of `meta` that the system allows, and says what it does not.
pub(super) fn apply(handle: Handle<'_>, path: &TargetPath, meta: &Metadata, privileged: bool) -> Vec<Warning> {
    let mut warnings = Vec::new();
    let mut warn = |what: &str, result: io::Result<()>| {
        if let Err(error) = result {
            warnings.push(Warning::new(path, what, error));
        }
    };
    let owned = match own(handle, meta, privileged) {
        Ok(owned) => owned,
        Err(error) => {
            warn("its owner", Err(error));
            false
        }
    };
    if !privileged && let Handle::Open(fd) = handle {
        make_writable(fd);
    }
    attributes(handle, meta, &mut warn);
    let mode = if owned { meta.mode } else { meta.mode & !SET_ID };
    if !matches!(handle, Handle::Entry { is_link: true, .. }) {
        if mode != meta.mode {
            warn("setuid or setgid, since its owner is another,", Err(io::ErrorKind::PermissionDenied.into()));
        }
        warn("its mode", set_mode(handle, mode));
    }
    warn("its modification time", set_time(handle, meta.mtime));
    warnings
}

/// Sets owner and group where the process may; says whether they now are what they should be.
fn own(handle: Handle<'_>, meta: &Metadata, privileged: bool) -> io::Result<bool> {
    let fd = match handle {
        Handle::Open(fd) | Handle::Entry { inode: fd, .. } => fd,
    };
    let is = |stat: rustix::fs::Stat| (stat.st_uid == meta.uid, stat.st_gid == meta.gid);
    let (same_owner, same_group) = is(rustix::fs::fstat(fd)?);
    if same_owner && same_group {
        return Ok(true);
    }
    // The largest number means "leave as it is" to the kernel.
    let (owner, group) = ((meta.uid != u32::MAX).then(|| Uid::from_raw(meta.uid)), (meta.gid != u32::MAX).then(|| Gid::from_raw(meta.gid)));
    let set = |owner, group| rustix::fs::chownat(fd, c"", owner, group, AtFlags::EMPTY_PATH | AtFlags::SYMLINK_NOFOLLOW);
    if privileged {
        set(owner, group)?;
    } else if !same_group {
        // Others may give a file to a group they are in. That they are not is the usual case, and no news.
        let _ = set(None, group);
    }
    let (same_owner, same_group) = is(rustix::fs::fstat(fd)?);
    Ok(same_owner && same_group)
}

/// Only who may write to a file may change its `user.` attributes, though it is open for writing.
fn make_writable(fd: BorrowedFd<'_>) {
    if let Ok(stat) = rustix::fs::fstat(fd) {
        let mode = Mode::from_raw_mode(stat.st_mode);
        if !mode.contains(Mode::WUSR) {
            // If it fails and matters, setting the attributes fails and says so.
            let _ = rustix::fs::fchmod(fd, mode | Mode::WUSR);
        }
    }
}

/// Sets the extended attributes, and removes others that the entry got from its folder or had before.
fn attributes(handle: Handle<'_>, meta: &Metadata, warn: &mut impl FnMut(&str, io::Result<()>)) {
    let entry;
    let of = match handle {
        Handle::Open(fd) => xattrs::Of::Open(fd),
        Handle::Entry { folder, name, .. } => {
            entry = proc_path(folder, Some(name));
            xattrs::Of::Entry(&entry)
        }
    };
    let wanted = |name: &[u8]| meta.xattrs.iter().any(|(wanted, _)| wanted == name);
    match xattrs::list(of) {
        Ok(present) => {
            // Labels of a security module belong to the system, and cannot be removed.
            let removable = |name: &[u8]| !name.starts_with(b"security.") || name == b"security.capability";
            for name in present.iter().filter(|name| !wanted(name) && removable(name)) {
                warn(&format!("the absence of the extended attribute {:?}", String::from_utf8_lossy(name)), xattrs::remove(of, name));
            }
        }
        Err(error) => warn("the absence of extended attributes", Err(error)),
    }
    for (name, value) in &meta.xattrs {
        if xattrs::get(of, name).ok().flatten().as_ref() != Some(value) {
            warn(&format!("the extended attribute {:?}", String::from_utf8_lossy(name)), xattrs::set(of, name, value));
        }
    }
}

fn set_mode(handle: Handle<'_>, mode: u32) -> io::Result<()> {
    let mode = Mode::from_raw_mode(mode & 0o7777);
    match handle {
        Handle::Open(fd) => rustix::fs::fchmod(fd, mode),
        Handle::Entry { inode, .. } => rustix::fs::chmod(proc_path(inode, None), mode),
    }
    .map_err(Into::into)
}

fn set_time(handle: Handle<'_>, time: Timestamp) -> io::Result<()> {
    let nanos = time.nanos.min(999_999_999);
    let set = |last_access| {
        let times = Timestamps { last_access, last_modification: Timespec { tv_sec: time.seconds, tv_nsec: nanos.into() } };
        match handle {
            Handle::Open(fd) => {
                rustix::fs::futimens(fd, &times)?;
                rustix::fs::fstat(fd)
            }
            Handle::Entry { folder, name, .. } => {
                rustix::fs::utimensat(folder, name, &times, AtFlags::SYMLINK_NOFOLLOW)?;
                rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)
            }
        }
    };
    // The kernel takes what the file system cannot hold, and sets the nearest that it can. Some hold even seconds only.
    let is_set = |stat: &Stat| stat.st_mtime.abs_diff(time.seconds) <= 1;
    let stat = set(Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT as _ })?;
    // Some do nothing when they get one of the two times alone, and say that it is done: those of libfuse 2.
    if is_set(&stat) || set(Timespec { tv_sec: stat.st_atime, tv_nsec: stat.st_atime_nsec as _ }).is_ok_and(|stat| is_set(&stat)) {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "the file system cannot hold so early or so late a time"))
}
