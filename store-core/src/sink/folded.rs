//! Folders that take two names for one: by upper and lower case (FAT, exFAT, NTFS, SMB, ext4 where it is told to), by the form of an accent,
//! by dots at the end. Two entries of a snapshot must not become one file there without a word, so what is found by a name must have it.

use std::ffi::OsStr;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::ffi::OsStrExt as _;

use rustix::fs::AtFlags;
use rustix::io::Errno;

use super::beneath::Target;
use super::error::SinkError;
use super::path::TargetPath;
use crate::linux::names::Names;

/// What is known of the folder that was asked last: entries come folder by folder.
#[derive(Debug)]
pub(super) struct Asked {
    folder: TargetPath,
    /// Whether upper and lower case are told apart there. Not known before a name with letters was met.
    has_case: bool,
    names: Names,
}

impl Target {
    /// Passes when what is found as `name` in the opened folder is listed by this very name there. `path` is the same in the target.
    ///
    /// # Errors
    /// [`SinkError::OneName`] when it is listed by another name alone, and when the folder cannot be listed.
    pub(super) fn must_have_name(&self, folder: BorrowedFd<'_>, name: &[u8], path: &TargetPath) -> Result<(), SinkError> {
        let mut asked = self.asked();
        let (above, _) = path.split().unwrap_or_else(|| (TargetPath::root(), name));
        let asked = match &mut *asked {
            Some(asked) if asked.folder == above => asked,
            asked => asked.insert(Asked { folder: above, has_case: false, names: Names::default() }),
        };
        // One look in most folders, where their names would be many.
        let other_case = other_case(name).filter(|_| name.is_ascii());
        if let Some(other_case) = other_case {
            asked.has_case = asked.has_case || is_missing(folder, &other_case);
            if asked.has_case {
                return Ok(());
            }
        }
        if asked.names.contains(name) {
            return Ok(());
        }
        asked.names = self.names(folder).map_err(|error| SinkError::at("list the folder of", path, error))?;
        if asked.names.contains(name) || is_missing(folder, name) {
            return Ok(());
        }
        let like = asked.names.iter().find(|listed| listed.eq_ignore_ascii_case(name));
        let path = path.as_path().to_path_buf();
        let there = like.map(|listed| path.with_file_name(OsStr::from_bytes(listed)));
        Err(SinkError::OneName { path, there })
    }

    fn names(&self, folder: BorrowedFd<'_>) -> std::io::Result<Names> {
        let opened = self.open_folder(folder, b".", true)?;
        let (mut names, error) = Names::read(opened.as_fd());
        names.sort();
        error.map_or(Ok(names), Err)
    }
}

fn is_missing(folder: BorrowedFd<'_>, name: &[u8]) -> bool {
    matches!(rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW), Err(Errno::NOENT))
}

/// A name with its ASCII letters in the other case, if it has any.
fn other_case(name: &[u8]) -> Option<Vec<u8>> {
    let swap = |byte: &u8| if byte.is_ascii_alphabetic() { byte ^ 0x20 } else { *byte };
    name.iter().any(u8::is_ascii_alphabetic).then(|| name.iter().map(swap).collect())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_has_its_name_passes() {
        let folder = tempfile::tempdir().unwrap();
        let target = Target::open(folder.path(), false).unwrap();
        // Both cases, none, and letters that have it elsewhere.
        for name in ["a", "A", "7", "É", "é", "e\u{301}", "b"] {
            fs::write(folder.path().join(name), name).unwrap();
            let path = TargetPath::root().child(name.as_bytes()).unwrap();
            let (above, name) = target.parent(&path).unwrap();
            target.must_have_name(above.as_fd(), name, &path).unwrap();
        }
        // What is gone meanwhile has no name.
        fs::remove_file(folder.path().join("7")).unwrap();
        let path = TargetPath::root().child(b"7").unwrap();
        let (above, name) = target.parent(&path).unwrap();
        target.must_have_name(above.as_fd(), name, &path).unwrap();
    }

    #[test]
    fn only_letters_have_another_case() {
        assert_eq!(other_case(b"Read me.1").as_deref(), Some(&b"rEAD ME.1"[..]));
        assert_eq!(other_case(b"[@`{1.").as_deref(), None);
    }
}
