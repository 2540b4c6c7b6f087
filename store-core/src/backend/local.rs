//! A repository in a local folder. Order of a write: temporary file, data to disk, link under the final name without replacing,
//! folder to disk (`spec/PROTOCOL.md`, section 2). Whoever sees a name sees the whole object.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::io::Errno;

use super::path::is_object_name;
use super::{Backend, BackendError, Created, Folder, Listed, ObjectPath, reserve};

const UNFINISHED: &str = "tmp";

/// A local folder.
#[derive(Debug)]
pub struct LocalBackend {
    root: PathBuf,
    counter: AtomicU64,
}

impl LocalBackend {
    /// Makes the folders of a new repository at `root`, which must be empty or absent.
    pub fn create_at(root: &Path) -> Result<Self, BackendError> {
        let backend = Self::at(root);
        let fail = |action, path: &Path| {
            let object = path.display().to_string();
            move |source| BackendError { action, object, source }
        };
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder.create(root).map_err(fail("create folder", root))?;
        if fs::read_dir(root).map_err(fail("read folder", root))?.next().is_some() {
            return Err(fail("create a repository in", root)(io::Error::new(io::ErrorKind::AlreadyExists, "the folder is not empty")));
        }
        let below = Folder::ALL.iter().map(|folder| root.join(folder.name())).chain([root.join(UNFINISHED)]);
        let packs = (0..=255u8).map(|first| root.join(Folder::Packs.name()).join(format!("{first:02x}")));
        for folder in below.chain(packs) {
            builder.create(&folder).map_err(fail("create folder", &folder))?;
        }
        for folder in [root.join(Folder::Packs.name()), root.to_path_buf()] {
            sync_folder(&folder).map_err(fail("sync folder", &folder))?;
        }
        if let Some(parent) = root.canonicalize().ok().as_deref().and_then(Path::parent) {
            sync_folder(parent).map_err(fail("sync folder", parent))?;
        }
        Ok(backend)
    }

    /// The repository at `root`. Nothing is touched.
    pub fn at(root: &Path) -> Self {
        Self { root: root.to_path_buf(), counter: AtomicU64::new(0) }
    }

    fn path(&self, path: &ObjectPath) -> PathBuf {
        self.root.join(path.to_string())
    }

    fn write_unfinished(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut file = File::options().write(true).create_new(true).mode(0o400).open(path)?;
        file.write_all(bytes)?;
        file.sync_data()
    }

    fn publish(&self, unfinished: &Path, target: &Path, bytes: &[u8]) -> io::Result<Created> {
        self.with_folder(unfinished, || self.write_unfinished(unfinished, bytes))?;
        let created = match self.with_folder(target, || give_name(unfinished, target)) {
            Ok(()) => Created::New,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Created::Exists,
            Err(error) => return Err(error),
        };
        // Also when another writer created it: its name may not be durable yet, and this writer is about to rely on it.
        sync_folder(target.parent().expect("objects stand in folders"))?;
        Ok(created)
    }

    /// Does `act` at `path`, and where the folder is missing that should hold it, makes that first. Copies of a repository may lack folders
    /// that were empty.
    fn with_folder(&self, path: &Path, act: impl Fn() -> io::Result<()>) -> io::Result<()> {
        match act() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.is_there()?;
                self.make_folder(path.parent().expect("objects stand in folders"))?;
                act()
            }
            done => done,
        }
    }

    /// Makes a folder below the root, durably.
    fn make_folder(&self, folder: &Path) -> io::Result<()> {
        let Some(above) = folder.parent().filter(|_| folder != self.root) else { return Ok(()) };
        self.make_folder(above)?;
        match fs::DirBuilder::new().mode(0o700).create(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => sync_folder(above),
        }
    }

    /// Fails where there is no repository: a folder that is missing with all the others, as on a disk that was unmounted, is not an empty one.
    fn is_there(&self) -> io::Result<()> {
        if self.root.join(ObjectPath::Config.to_string()).exists() {
            return Ok(());
        }
        Err(io::Error::new(io::ErrorKind::NotFound, "the repository is not there any more: is its disk mounted?"))
    }
}

/// Gives what is written the name of an object, which nothing may have yet.
fn give_name(unfinished: &Path, target: &Path) -> io::Result<()> {
    fs::hard_link(unfinished, target).map_err(|error| match error.raw_os_error().map(Errno::from_raw_os_error) {
        // As exFAT and FAT say it, SMB, and FUSE.
        Some(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS) => {
            let message =
                format!("hard links are refused there ({error}); put the repository on a file system that has them: ext4, XFS, Btrfs");
            io::Error::new(error.kind(), message)
        }
        _ => error,
    })
}

fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

impl Backend for LocalBackend {
    fn location(&self) -> String {
        self.root.display().to_string()
    }

    fn read(&self, path: &ObjectPath, limit: usize) -> Result<Vec<u8>, BackendError> {
        let fail = |source| BackendError { action: "read", object: path.to_string(), source };
        let file = File::open(self.path(path)).map_err(fail)?;
        let len = file.metadata().map_err(fail)?.len();
        if len > limit as u64 {
            return Err(fail(io::Error::new(io::ErrorKind::InvalidData, format!("it has {len} bytes, the limit is {limit}"))));
        }
        let mut bytes = vec![0; len as usize];
        file.read_exact_at(&mut bytes, 0).map_err(fail)?;
        Ok(bytes)
    }

    fn read_range(&self, path: &ObjectPath, offset: u64, len: usize) -> Result<Vec<u8>, BackendError> {
        let fail = |source| BackendError { action: "read", object: path.to_string(), source };
        let file = File::open(self.path(path)).map_err(fail)?;
        if offset > i64::MAX as u64 {
            // No file is so long; the system would call the offset itself invalid.
            return Err(fail(io::ErrorKind::UnexpectedEof.into()));
        }
        let mut bytes = vec![0; len];
        file.read_exact_at(&mut bytes, offset).map_err(fail)?;
        Ok(bytes)
    }

    fn len(&self, path: &ObjectPath) -> Result<u64, BackendError> {
        let meta = fs::metadata(self.path(path)).map_err(|source| BackendError { action: "look at", object: path.to_string(), source })?;
        Ok(meta.len())
    }

    fn create(&self, path: &ObjectPath, bytes: &[u8]) -> Result<Created, BackendError> {
        let target = self.path(path);
        let number = self.counter.fetch_add(1, Ordering::Relaxed);
        let random = getrandom::u64().map_err(|error| BackendError { action: "name", object: path.to_string(), source: error.into() })?;
        let unfinished = self.root.join(UNFINISHED).join(format!("{}-{number}-{random:016x}", std::process::id()));
        let created = self.publish(&unfinished, &target, bytes);
        // The object has its own name by now, or never will: what is left of the temporary one is of no consequence.
        let _ = fs::remove_file(&unfinished);
        // Where it is, too: it is the disk there that is full or may not be written to.
        created.map_err(|source| BackendError { action: "write", object: target.display().to_string(), source })
    }

    fn list(&self, folder: Folder) -> Result<Vec<Listed>, BackendError> {
        let root = self.root.join(folder.name());
        let below = (0..=255u8).filter(|_| folder == Folder::Packs).map(|first| root.join(format!("{first:02x}")));
        let (mut found, mut missing) = (Vec::new(), false);
        for path in [root.clone()].into_iter().chain(below) {
            match list_folder(folder, &path, &mut found) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => missing = true,
                listed => listed.map_err(|source| BackendError { action: "list", object: path.display().to_string(), source })?,
            }
        }
        if missing {
            self.is_there().map_err(|source| BackendError { action: "list", object: root.display().to_string(), source })?;
        }
        Ok(found)
    }

    /// An object has its name only once its bytes are durable: it is the name that may not be.
    fn settle(&self, path: &ObjectPath) -> Result<(), BackendError> {
        let synced = sync_folder(self.path(path).parent().expect("objects stand in folders"));
        synced.map_err(|source| BackendError { action: "sync the folder of", object: path.to_string(), source })
    }

    /// They are temporary files, and old when their writer is surely gone: after a day.
    fn clean_unfinished(&self) -> Result<(), BackendError> {
        let folder = self.root.join(UNFINISHED);
        let Ok(entries) = fs::read_dir(&folder) else { return Ok(()) };
        for entry in entries.flatten() {
            let old =
                entry.metadata().and_then(|meta| meta.modified()).is_ok_and(|time| time.elapsed().is_ok_and(|age| age.as_secs() > 86_400));
            if old {
                // Another process may have been quicker; a file that stays is tried again next time.
                let _ = fs::remove_file(entry.path());
            }
        }
        Ok(())
    }

    /// It is of use to a prune to come, and of none to the command that makes it: where that fails it is made next time.
    fn keep_reserve(&self) {
        if self.is_there().is_ok() {
            let _ = reserve::fill(&self.root);
        }
    }

    fn yield_reserve(&self) -> bool {
        reserve::shorten(&self.root).unwrap_or(false)
    }

    fn delete(&self, path: &ObjectPath) -> Result<(), BackendError> {
        let target = self.path(path);
        let folder = target.parent().expect("objects stand in folders");
        let deleted = match fs::remove_file(&target) {
            // Another process may have removed it and not have synced the folder yet.
            Err(error) if error.kind() == io::ErrorKind::NotFound => match sync_folder(folder) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                synced => synced,
            },
            done => done.and_then(|()| sync_folder(folder)),
        };
        deleted.map_err(|source| BackendError { action: "delete", object: path.to_string(), source })
    }
}

fn list_folder(folder: Folder, path: &Path, found: &mut Vec<Listed>) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if let Some(name) = entry.file_name().to_str().filter(|name| is_object_name(folder, name)) {
            // A name may vanish between the listing and the look at it, when a prune runs.
            match entry.metadata() {
                Ok(meta) => found.push(Listed { name: name.to_owned(), len: meta.len() }),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::{PackId, SessionId};

    /// A repository as a copy may be that keeps no empty folders.
    fn bare(root: &Path) -> LocalBackend {
        fs::write(root.join("config"), "").unwrap();
        LocalBackend::at(root)
    }

    #[test]
    fn a_folder_that_is_not_there_is_empty() {
        let root = tempfile::tempdir().unwrap();
        let backend = bare(root.path());
        for folder in Folder::ALL {
            assert_eq!(backend.list(folder).unwrap(), []);
        }
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_write_makes_the_folders_that_it_needs() {
        let root = tempfile::tempdir().unwrap();
        let backend = bare(root.path());
        let (session, pack) = (ObjectPath::Session(SessionId::from_bytes([1; 32])), ObjectPath::Pack(PackId::from_bytes([0xab; 32])));
        for path in [session, pack] {
            assert_eq!(backend.create(&path, b"bytes").unwrap(), Created::New);
            assert_eq!(backend.create(&path, b"bytes").unwrap(), Created::Exists);
            assert_eq!(backend.read(&path, 10).unwrap(), b"bytes");
        }
        assert_eq!(backend.list(Folder::Packs).unwrap().len(), 1);
    }

    #[test]
    fn where_no_repository_is_nothing_is_listed_or_made() {
        let root = tempfile::tempdir().unwrap();
        let backend = LocalBackend::at(root.path());
        assert!(backend.list(Folder::Packs).unwrap_err().is_not_found());
        assert!(backend.create(&ObjectPath::Session(SessionId::from_bytes([1; 32])), b"bytes").is_err());
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    }
}
