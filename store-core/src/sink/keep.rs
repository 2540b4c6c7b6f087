//! What a restore leaves alone although it is in the target: the repositories that it reads, their caches, the keys that open them.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use crate::linux::Inode;

/// What stays, by device and inode: whatever its names in the target are, and however the target is reached.
#[derive(Debug, Clone, Default)]
pub struct Keep {
    inodes: HashMap<Inode, Kept>,
}

/// How something stays. What is further down says more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kept {
    /// Something that stays is beneath it: it is not removed.
    Above,
    /// It is not removed.
    Itself,
    /// It is not removed, and nothing in it is made or changed.
    Closed,
}

impl Keep {
    /// Keeps what is at `path`, if anything is: a link and what it leads to. The folders above them are not removed either.
    ///
    /// # Errors
    /// When what is there cannot be looked at.
    pub fn keep(&mut self, path: &Path) -> io::Result<()> {
        self.add(path, Kept::Itself)
    }

    /// The same, and nothing in the folder at `path` is made or changed.
    ///
    /// # Errors
    /// The same.
    pub fn close(&mut self, path: &Path) -> io::Result<()> {
        self.add(path, Kept::Closed)
    }

    /// Whether anything may be removed.
    pub(super) fn is_empty(&self) -> bool {
        self.inodes.is_empty()
    }

    /// How `inode` stays, if it has to.
    pub(super) fn of(&self, inode: Inode) -> Option<Kept> {
        self.inodes.get(&inode).copied()
    }

    /// Whether `path`, which need not be there yet, is in a folder that is closed, or is one.
    pub(super) fn is_closed(&self, path: &Path) -> bool {
        if self.inodes.is_empty() {
            return false;
        }
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
        let there = path.ancestors().find_map(|above| above.canonicalize().ok()).unwrap_or_default();
        let is_closed = |folder: &Path| folder.metadata().is_ok_and(|found| self.of(Inode::of_metadata(&found)) == Some(Kept::Closed));
        there.ancestors().any(is_closed)
    }

    fn add(&mut self, path: &Path, how: Kept) -> io::Result<()> {
        // The name that was given may lead over links: each of these stays, and so does all above the place where it ends.
        let named = std::path::absolute(path)?;
        let real: Option<PathBuf> = found(named.canonicalize())?;
        for path in [Some(named), real].into_iter().flatten() {
            for (depth, place) in path.ancestors().enumerate() {
                let how = if depth == 0 { how } else { Kept::Above };
                let inodes = [found(place.symlink_metadata())?, found(place.metadata())?];
                for inode in inodes.iter().flatten().map(Inode::of_metadata) {
                    let kept = self.inodes.entry(inode).or_insert(how);
                    *kept = how.max(*kept);
                }
            }
        }
        Ok(())
    }
}

/// What is not there needs no keeping.
fn found<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(error),
    }
}
