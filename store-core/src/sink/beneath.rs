//! The target folder, and how folders beneath it are reached: by the kernel in one step where it can refuse links and whatever leads
//! out (`openat2`, Linux 5.6), otherwise name by name, refusing links at each. A few opened folders are kept.

use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::error::SinkError;
use super::folded::KnownFolders;
use super::keep::{Keep, Kept as Staying};
use super::path::TargetPath;
use crate::linux::far::is_far;
use crate::linux::{FOLDER, Inode, proc_path};

/// Folders that are kept open.
const KEPT: usize = 64;
/// Bytes of a path that one call resolves at most; the kernel's limit is 4,096 with the end mark.
const PATH_LEN: usize = 4000;
/// How a folder is opened in which things are made and looked up, but not listed.
pub(super) const PLACE: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
const BENEATH: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);

/// The folder that a restore writes into.
#[derive(Debug)]
pub struct Target {
    path: PathBuf,
    root: Arc<OwnedFd>,
    one_step: bool,
    is_far: bool,
    pub(super) privileged: bool,
    keep: Keep,
    /// Folders that were made to hold the target, and itself if it was.
    made: Vec<Inode>,
    kept: Mutex<Kept>,
    known: Mutex<KnownFolders>,
}

#[derive(Debug, Default)]
struct Kept {
    folders: HashMap<TargetPath, (Arc<OwnedFd>, u64)>,
    uses: u64,
}

impl Target {
    /// Opens the folder at `path`, which may be reached through links: it is the user's word. With `create`, it and the folders
    /// above it are made if they are not there, and are open to their owner alone until [`open_made`](Self::open_made).
    pub fn open(path: &Path, create: bool) -> Result<Self, SinkError> {
        Self::open_keeping(path, create, Keep::default())
    }

    /// The same, with what has to stay whatever is restored.
    ///
    /// # Errors
    /// The same, and [`SinkError::Closed`] when the target is in a folder that is closed.
    pub fn open_keeping(path: &Path, create: bool, keep: Keep) -> Result<Self, SinkError> {
        if keep.is_closed(path) {
            return Err(SinkError::Closed { path: path.to_path_buf() });
        }
        let failed = |source: std::io::Error| SinkError::Target { path: path.to_path_buf(), source };
        let made = if create { make(path).map_err(failed)? } else { Vec::new() };
        let flags = FOLDER.difference(OFlags::NOFOLLOW);
        let root = rustix::fs::openat(CWD, path, flags, Mode::empty()).map_err(|error| failed(error.into()))?;
        // An older kernel does not know the call, and some sandboxes forbid it.
        let one_step = rustix::fs::openat2(&root, c".", PLACE, Mode::empty(), BENEATH).is_ok();
        let privileged = rustix::process::geteuid().is_root();
        let is_far = is_far(&root);
        let (path, root) = (path.to_path_buf(), Arc::new(root));
        Ok(Self { path, root, one_step, is_far, privileged, keep, made, kept: Mutex::default(), known: Mutex::default() })
    }

    /// Gives the folders above the target that were made for it the mode that folders get here, and, with `itself`, the target, if it was
    /// made. They keep the mode that lets their owner in alone where nobody knows another.
    pub fn open_made(&self, itself: bool) -> Result<(), SinkError> {
        let failed = |source: std::io::Error| SinkError::Target { path: self.path.clone(), source };
        let Some(mode) = mode_of_folders() else { return Ok(()) };
        let mut folder = rustix::io::dup(&self.root).map_err(|error| failed(error.into()))?;
        let mut wanted = itself;
        while self.made.contains(&Inode::of(&rustix::fs::fstat(&folder).map_err(|error| failed(error.into()))?)) {
            let above = rustix::fs::openat(&folder, c"..", PLACE, Mode::empty());
            if wanted {
                rustix::fs::chmod(proc_path(folder.as_fd(), None), mode).map_err(|error| failed(error.into()))?;
            }
            wanted = true;
            folder = above.map_err(|error| failed(error.into()))?;
        }
        Ok(())
    }

    /// The same target without `openat2`.
    #[cfg(test)]
    pub(super) fn name_by_name(mut self) -> Self {
        self.one_step = false;
        self
    }

    #[cfg(test)]
    pub(super) fn asks_the_kernel(&self) -> bool {
        self.one_step
    }

    /// The path it was opened with, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether and how what is at `path` has to stay.
    pub fn keeps(&self, path: &TargetPath) -> Result<Option<Staying>, SinkError> {
        let (folder, name) = self.parent(path)?;
        self.stays(&folder, name).map_err(|error| SinkError::at("look at", path, error))
    }

    /// The same for an entry of an opened folder.
    pub(super) fn stays(&self, folder: impl AsFd, name: &[u8]) -> rustix::io::Result<Option<Staying>> {
        if self.keep.is_empty() {
            return Ok(None);
        }
        match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(self.keep.of(Inode::of(&stat))),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether it is on a file system where a write can fail after it was said to be done: a file is whole once it is synced.
    pub fn is_far(&self) -> bool {
        self.is_far
    }

    /// Whether this inode has to stay.
    pub(super) fn has_to_stay(&self, inode: Inode) -> bool {
        self.keep.of(inode).is_some()
    }

    /// The folder at `path`, opened as a place to make and look up things in.
    pub(super) fn place(&self, path: &TargetPath) -> Result<Arc<OwnedFd>, SinkError> {
        if path.is_root() {
            return Ok(Arc::clone(&self.root));
        }
        if let Some(folder) = self.kept().find(path) {
            return Ok(folder);
        }
        let folder = Arc::new(self.resolve(path)?);
        self.kept().keep(path.clone(), Arc::clone(&folder));
        Ok(folder)
    }

    /// The folder that holds `path`, and its name there.
    pub(super) fn parent<'a>(&self, path: &'a TargetPath) -> Result<(Arc<OwnedFd>, &'a [u8]), SinkError> {
        let (folder, name) = path.split().ok_or_else(|| SinkError::Exists { path: self.path.clone() })?;
        Ok((self.place(&folder)?, name))
    }

    /// Opens an entry of an opened folder, which must itself be a folder, for reading; `mounts` says whether another file system may
    /// be mounted there.
    pub(super) fn open_folder(&self, folder: impl AsFd, name: &[u8], mounts: bool) -> rustix::io::Result<OwnedFd> {
        self.step(folder, name, FOLDER, if mounts { BENEATH } else { BENEATH | ResolveFlags::NO_XDEV })
    }

    /// Lets go of kept folders at `path` and beneath, since they are about to be removed.
    pub(super) fn let_go(&self, path: &TargetPath) {
        self.kept().folders.retain(|kept, _| !kept.is_within(path));
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // The map is whole between any two statements.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of the names of folders.
    pub(super) fn known(&self) -> MutexGuard<'_, KnownFolders> {
        // A listing is put there whole.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn resolve(&self, path: &TargetPath) -> Result<OwnedFd, SinkError> {
        let mut at: Option<OwnedFd> = None;
        let mut rest = path.as_bytes();
        while !rest.is_empty() {
            let end = if self.one_step { portion(rest) } else { rest.iter().position(|&byte| byte == b'/').unwrap_or(rest.len()) };
            let from = at.as_ref().unwrap_or(&self.root);
            at = Some(self.step(from, &rest[..end], PLACE, BENEATH).map_err(|error| match error {
                Errno::LOOP | Errno::NOTDIR | Errno::XDEV => SinkError::NotAFolder { path: path.as_path().to_path_buf() },
                error => SinkError::at("reach", path, error),
            })?);
            rest = rest.get(end + 1..).unwrap_or_default();
        }
        at.ok_or_else(|| SinkError::Exists { path: self.path.clone() })
    }

    fn step(&self, folder: impl AsFd, name: &[u8], flags: OFlags, resolve: ResolveFlags) -> rustix::io::Result<OwnedFd> {
        let folder = folder.as_fd();
        if !self.one_step {
            let opened = rustix::fs::openat(folder, name, flags, Mode::empty())?;
            let crossed = || Ok::<_, Errno>(rustix::fs::fstat(folder)?.st_dev != rustix::fs::fstat(&opened)?.st_dev);
            return if resolve.contains(ResolveFlags::NO_XDEV) && crossed()? { Err(Errno::XDEV) } else { Ok(opened) };
        }
        let mut attempts = 0;
        loop {
            match rustix::fs::openat2(folder, name, flags, Mode::empty(), resolve) {
                // The kernel could not rule out that a rename meanwhile led out.
                Err(Errno::AGAIN) if attempts < 100 => attempts += 1,
                other => return other,
            }
        }
    }
}

/// Makes a folder and those above it, open to their owner alone. Says which were made.
fn make(path: &Path) -> std::io::Result<Vec<Inode>> {
    let missing = |path: &Path| path.symlink_metadata().is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound);
    let made: Vec<&Path> = path.ancestors().filter(|above| !above.as_os_str().is_empty()).take_while(|above| missing(above)).collect();
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    made.into_iter().map(|made| Ok(Inode::of_metadata(&made.metadata()?))).collect()
}

/// The mode that this process' folders get. The mask is read where that changes nothing: other threads make files.
fn mode_of_folders() -> Option<Mode> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let mask = status.lines().find_map(|line| line.strip_prefix("Umask:"))?;
    Some(Mode::from_raw_mode(0o777 & !u32::from_str_radix(mask.trim(), 8).ok()?))
}

impl Kept {
    fn find(&mut self, path: &TargetPath) -> Option<Arc<OwnedFd>> {
        self.uses += 1;
        let (folder, used) = self.folders.get_mut(path)?;
        *used = self.uses;
        Some(Arc::clone(folder))
    }

    fn keep(&mut self, path: TargetPath, folder: Arc<OwnedFd>) {
        if self.folders.len() >= KEPT {
            let oldest = self.folders.iter().min_by_key(|(_, (_, used))| *used).map(|(path, _)| path.clone());
            oldest.and_then(|oldest| self.folders.remove(&oldest));
        }
        self.uses += 1;
        self.folders.insert(path, (folder, self.uses));
    }
}

/// How much of a path one call resolves: all, or up to the last slash within the limit. No name is as long as the limit.
fn portion(path: &[u8]) -> usize {
    match path.get(..PATH_LEN) {
        None => path.len(),
        Some(head) => head.iter().rposition(|&byte| byte == b'/').unwrap_or(path.len()),
    }
}
