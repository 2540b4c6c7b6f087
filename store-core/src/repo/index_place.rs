//! Where the chunk index of a process is: kept by this host from one command to the next; or, where the cache folder cannot be written or has no room,
//! for this process alone, in a temporary folder or in memory (`spec/INDEX.md`, section 1).

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::index::RocksIndex;
use crate::rng;

/// How temporary folders begin.
const NAME: &str = "snap-index-";
/// How old a temporary folder is at the least that another process left, being killed: a younger one may not be locked yet.
const LEFT: Duration = Duration::from_secs(3600);

/// Where slots of indexes are.
#[derive(Debug)]
pub(super) enum IndexPlace {
    /// In the cache folder.
    Kept(PathBuf),
    /// In a folder of this process.
    Own(OwnFolder),
    /// In no folder.
    Memory,
}

impl IndexPlace {
    pub(super) fn folder(&self) -> Option<&Path> {
        match self {
            Self::Kept(folder) => Some(folder),
            Self::Own(own) => Some(&own.0),
            Self::Memory => None,
        }
    }

    /// Where to go when this one cannot be used; `None` behind the last one.
    pub(super) fn next(&self) -> Option<Self> {
        match self {
            Self::Kept(_) => Some(OwnFolder::make(&std::env::temp_dir()).map_or(Self::Memory, Self::Own)),
            Self::Own(_) => Some(Self::Memory),
            Self::Memory => None,
        }
    }
}

/// A temporary folder, gone when this is.
#[derive(Debug)]
pub(super) struct OwnFolder(PathBuf);

impl OwnFolder {
    /// Makes one below `parent`, for its owner alone, and removes what killed processes left there.
    fn make(parent: &Path) -> io::Result<Self> {
        remove_left(parent, SystemTime::now());
        let name: String = rng::bytes::<8>().map_err(io::Error::other)?.iter().map(|byte| format!("{byte:02x}")).collect();
        let folder = parent.join(format!("{NAME}{name}"));
        // Not one that somebody else has put there.
        DirBuilder::new().mode(0o700).create(&folder)?;
        Ok(Self(folder))
    }
}

impl Drop for OwnFolder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn remove_left(parent: &Path, now: SystemTime) {
    let own = rustix::process::geteuid().as_raw();
    let is_old = |item: &fs::DirEntry| -> io::Result<bool> {
        let meta = item.metadata()?;
        // What others made, or may write into, may hold anything: links, pipes.
        let is_own = meta.is_dir() && meta.uid() == own && meta.mode() & 0o077 == 0;
        Ok(is_own && now.duration_since(meta.modified()?).is_ok_and(|age| age >= LEFT))
    };
    for item in fs::read_dir(parent).into_iter().flatten().flatten() {
        let is_left = item.file_name().to_str().is_some_and(|name| name.starts_with(NAME)) && is_old(&item).unwrap_or(false);
        // Whoever works with it has it locked.
        if is_left && RocksIndex::remove(&item.path().join("0")).is_ok() {
            let _ = fs::remove_dir_all(item.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::units::MIB;

    #[test]
    fn a_folder_goes_with_its_process_and_what_a_killed_one_left_goes_later() {
        let place = tempfile::tempdir().unwrap();
        let own = OwnFolder::make(place.path()).unwrap();
        let used = OwnFolder::make(place.path()).unwrap();
        let index = RocksIndex::open(&used.0.join("0"), MIB).unwrap();
        let killed = OwnFolder::make(place.path()).unwrap();
        drop(RocksIndex::open(&killed.0.join("0"), MIB).unwrap());
        std::fs::create_dir(place.path().join("others")).unwrap();
        // Of one that others may write into nothing is touched, not even a lock.
        let open = place.path().join("snap-index-0123456789abcdef");
        std::fs::create_dir(&open).unwrap();
        std::fs::set_permissions(&open, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
        let there = || fs::read_dir(place.path()).unwrap().count();
        drop(own);
        assert_eq!(there(), 4);
        remove_left(place.path(), SystemTime::now());
        assert_eq!(there(), 4, "what is young stays");
        remove_left(place.path(), SystemTime::now() + 2 * LEFT);
        assert!(used.0.exists() && !killed.0.exists() && place.path().join("others").exists());
        assert_eq!(fs::read_dir(&open).unwrap().count(), 0);
        drop(index);
    }

    #[test]
    fn where_no_folder_can_be_made_the_index_is_in_memory() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(OwnFolder::make(file.path()).is_err());
        let own = IndexPlace::Kept(PathBuf::from("x")).next().unwrap();
        assert!(own.folder().is_some_and(|folder| folder.exists()));
        assert!(own.next().unwrap().folder().is_none() && IndexPlace::Memory.next().is_none());
    }
}
