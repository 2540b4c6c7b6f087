//! Folders that take two names for one: by upper and lower case (exFAT, NTFS, FAT, SMB, ext4 where it is told to), by the form of an accent,
//! by a dot at the end. Two entries of a snapshot must not become one file there without a word, so what is found by a name must have it.
//!
//! The usual file systems are known not to do so, and nothing is asked there. Not noticed is what one does that takes accents apart or writes all in
//! lower case as it stores names: of two that become one by that, that which is listed may take the place of the other. What is listed by another
//! name is told when it is restored once more.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::ffi::OsStrExt as _;

use rustix::fs::AtFlags;
use rustix::io::Errno;

use super::beneath::Target;
use super::error::SinkError;
use super::path::TargetPath;
use crate::linux::exact::is_exact;
use crate::linux::names::Names;

/// Folders of which something is kept: entries come folder by folder, each with those above it.
const FOLDERS: usize = 8;

/// By which name something is listed that was found by one.
#[derive(Debug, PartialEq, Eq)]
enum Name {
    Own,
    /// By another one: the first that is the same but for upper and lower case, if there is one.
    Other(Option<Vec<u8>>),
    /// There is no such thing by now.
    Gone,
}

/// A folder that is asked for names.
trait Lookup {
    /// Whether it is known to take names as they are.
    fn is_exact(&self) -> bool;
    fn finds(&self, name: &[u8]) -> bool;
    fn list(&self) -> io::Result<Names>;
}

/// What is known of the folders that were asked last, the latest at the end.
#[derive(Debug, Default)]
pub(super) struct KnownFolders(Vec<(TargetPath, KnownFolder)>);

/// What is known of one folder.
#[derive(Debug, Default)]
struct KnownFolder {
    /// Whether it takes names as they are. Not known before it was asked.
    is_exact: Option<bool>,
    /// Whether it tells upper and lower case apart. Not known before a name with letters was met.
    tells_case: bool,
    names: Names,
}

impl KnownFolders {
    fn of(&mut self, folder: TargetPath) -> &mut KnownFolder {
        let known = self.0.iter().position(|(path, _)| *path == folder).map(|at| self.0.remove(at));
        if known.is_none() && self.0.len() >= FOLDERS {
            // Those above are asked again when this one is done.
            let oldest = self.0.iter().position(|(path, _)| !folder.is_within(path));
            self.0.remove(oldest.unwrap_or(0));
        }
        self.0.push(known.unwrap_or_else(|| (folder, KnownFolder::default())));
        let last = self.0.len() - 1;
        &mut self.0[last].1
    }

    /// Forgets that a name is there: it may come back by another one.
    fn forget(&mut self, path: &TargetPath) {
        let Some((folder, name)) = path.split() else { return };
        let names = &mut self.of(folder).names;
        if names.contains(name) {
            names.retain(|listed| listed != name);
        }
    }
}

impl KnownFolder {
    fn is_exact(&mut self, folder: &impl Lookup) -> bool {
        *self.is_exact.get_or_insert_with(|| folder.is_exact())
    }

    fn name_of(&mut self, folder: &impl Lookup, name: &[u8]) -> io::Result<Name> {
        if self.is_exact(folder) {
            return Ok(Name::Own);
        }
        if !folder.finds(name) {
            return Ok(Name::Gone);
        }
        // A few looks where the names may be many.
        if let Some(other) = other_case(name).filter(|_| name.is_ascii() && trimmed(name) == name) {
            // Between two looks something may come or go.
            self.tells_case = self.tells_case || !folder.finds(&other) && folder.finds(name) && !folder.finds(&other);
            if self.tells_case {
                return Ok(Name::Own);
            }
        }
        // Twice: a file that is replaced while its folder is listed may be missing.
        for _ in 0..2 {
            if self.names.contains(name) {
                return Ok(Name::Own);
            }
            self.names = folder.list()?;
        }
        if self.names.contains(name) {
            return Ok(Name::Own);
        }
        if !folder.finds(name) {
            return Ok(Name::Gone);
        }
        Ok(Name::Other(self.names.iter().find(|listed| is_like(listed, name)).map(<[u8]>::to_vec)))
    }

    /// Whether something that was just made is listed by its name.
    fn keeps(&mut self, folder: &impl Lookup, name: &[u8]) -> io::Result<bool> {
        if self.is_exact(folder) {
            return Ok(true);
        }
        self.names = folder.list()?;
        Ok(self.names.contains(name))
    }
}

/// Without dots and spaces at its end.
fn trimmed(name: &[u8]) -> &[u8] {
    let end = name.iter().rposition(|byte| !b". ".contains(byte)).map_or(0, |last| last + 1);
    &name[..end]
}

fn is_like(one: &[u8], other: &[u8]) -> bool {
    trimmed(one).eq_ignore_ascii_case(trimmed(other))
}

/// A name with its ASCII letters in the other case, if it has any.
fn other_case(name: &[u8]) -> Option<Vec<u8>> {
    let swap = |byte: &u8| if byte.is_ascii_alphabetic() { byte ^ 0x20 } else { *byte };
    name.iter().any(u8::is_ascii_alphabetic).then(|| name.iter().map(swap).collect())
}

struct Opened<'t> {
    target: &'t Target,
    folder: BorrowedFd<'t>,
}

impl Lookup for Opened<'_> {
    fn is_exact(&self) -> bool {
        self.target.open_folder(self.folder, b".", true).is_ok_and(is_exact)
    }

    fn finds(&self, name: &[u8]) -> bool {
        !matches!(rustix::fs::statat(self.folder, name, AtFlags::SYMLINK_NOFOLLOW), Err(Errno::NOENT))
    }

    fn list(&self) -> io::Result<Names> {
        let opened = self.target.open_folder(self.folder, b".", true)?;
        let (mut names, error) = Names::read(opened.as_fd());
        names.sort();
        error.map_or(Ok(names), Err)
    }
}

impl Target {
    /// Passes when what is found as `name` in the opened folder is listed by this very name there, is gone, or nobody may know since the folder
    /// may not be listed. `path` is the same in the target.
    ///
    /// # Errors
    /// [`SinkError::OneName`] when it is listed by another name alone, and when the folder cannot be listed.
    pub(super) fn must_have_name(&self, folder: BorrowedFd<'_>, name: &[u8], path: &TargetPath) -> Result<(), SinkError> {
        self.has_name(&mut self.known(), folder, name, path).map(drop)
    }

    /// The same, and takes the name away or over then by `act`, which is told whether something has it. Nobody else does so meanwhile: what stands
    /// there might be of another name by then.
    pub(super) fn take_name<T>(
        &self,
        folder: BorrowedFd<'_>,
        name: &[u8],
        path: &TargetPath,
        act: impl FnOnce(bool) -> T,
    ) -> Result<T, SinkError> {
        let mut known = self.known();
        let is_there = self.has_name(&mut known, folder, name, path)?;
        if known.of(folder_of(path)).is_exact == Some(true) {
            // There is no other name.
            drop(known);
            return Ok(act(is_there));
        }
        let done = act(is_there);
        known.forget(path);
        Ok(done)
    }

    /// Forgets that a name is there.
    pub(super) fn forget_name(&self, path: &TargetPath) {
        self.known().forget(path);
    }

    /// Passes when what was just made as `name` is listed by it.
    ///
    /// # Errors
    /// [`SinkError::OneName`] otherwise.
    pub(super) fn must_keep_name(&self, folder: BorrowedFd<'_>, name: &[u8], path: &TargetPath) -> Result<(), SinkError> {
        // Some leave out what names end in.
        if trimmed(name) == name {
            return Ok(());
        }
        let mut known = self.known();
        let asked = known.of(folder_of(path));
        match asked.keeps(&Opened { target: self, folder }, name) {
            Ok(false) => {}
            Ok(true) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(()),
            Err(error) => return Err(SinkError::at("list the folder of", path, error)),
        }
        // It stays: by now it may be what another one has made in its place, by that name.
        Err(one_name(path, asked.names.iter().find(|listed| is_like(listed, name))))
    }

    fn has_name(&self, known: &mut KnownFolders, folder: BorrowedFd<'_>, name: &[u8], path: &TargetPath) -> Result<bool, SinkError> {
        match known.of(folder_of(path)).name_of(&Opened { target: self, folder }, name) {
            Ok(Name::Own) => Ok(true),
            Ok(Name::Gone) => Ok(false),
            Ok(Name::Other(there)) => Err(one_name(path, there.as_deref())),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(true),
            Err(error) => Err(SinkError::at("list the folder of", path, error)),
        }
    }
}

fn one_name(path: &TargetPath, there: Option<&[u8]>) -> SinkError {
    let path = path.as_path().to_path_buf();
    let there = there.map(|there| path.with_file_name(OsStr::from_bytes(there)));
    SinkError::OneName { path, there }
}

fn folder_of(path: &TargetPath) -> TargetPath {
    path.split().map_or_else(TargetPath::root, |(above, _)| above)
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use super::*;

    /// A folder that tells case apart, or does not, maybe leaves dots out, and counts how often it is listed.
    struct Fake {
        names: RefCell<Vec<&'static str>>,
        tells_case: bool,
        trims: bool,
        listed: Cell<usize>,
    }

    impl Fake {
        fn new(names: &[&'static str], tells_case: bool) -> Self {
            Self { names: RefCell::new(names.to_vec()), tells_case, trims: false, listed: Cell::new(0) }
        }
    }

    impl Lookup for Fake {
        fn is_exact(&self) -> bool {
            false
        }

        fn finds(&self, name: &[u8]) -> bool {
            let name = if self.trims { trimmed(name) } else { name };
            let is_it = |listed: &&str| listed.as_bytes() == name || !self.tells_case && listed.as_bytes().eq_ignore_ascii_case(name);
            self.names.borrow().iter().any(is_it)
        }

        fn list(&self) -> io::Result<Names> {
            self.listed.set(self.listed.get() + 1);
            let folder = tempfile::tempdir()?;
            for name in self.names.borrow().iter() {
                std::fs::write(folder.path().join(name), "")?;
            }
            let (mut names, _) = Names::read(std::fs::File::open(folder.path())?);
            names.sort();
            Ok(names)
        }
    }

    fn listed(known: &mut KnownFolder, folder: &Fake, name: &str) -> Name {
        known.name_of(folder, name.as_bytes()).unwrap()
    }

    #[test]
    fn where_case_is_told_apart_all_have_their_names() {
        let (folder, mut known) = (Fake::new(&["a", "A", "7", "é", "b"], true), KnownFolder::default());
        for name in ["a", "A", "7", "é", "b"] {
            assert_eq!(listed(&mut known, &folder, name), Name::Own, "{name}");
        }
        // Once for `a`, of which there is the other case, too: what was listed serves `é`.
        assert_eq!((folder.listed.get(), known.tells_case), (1, true));
    }

    #[test]
    fn where_it_is_not_a_name_of_the_other_case_is_told() {
        let (folder, mut known) = (Fake::new(&["Read me", "sub"], false), KnownFolder::default());
        assert_eq!(listed(&mut known, &folder, "Read me"), Name::Own);
        assert_eq!(listed(&mut known, &folder, "read ME"), Name::Other(Some(b"Read me".to_vec())));
        assert_eq!(listed(&mut known, &folder, "Sub"), Name::Other(Some(b"sub".to_vec())));
        assert_eq!(listed(&mut known, &folder, "sub"), Name::Own);
        assert_eq!(listed(&mut known, &folder, "other"), Name::Gone);
        assert!(!known.tells_case);
    }

    #[test]
    fn what_comes_is_met_and_what_goes_is_no_other_name() {
        let (folder, mut known) = (Fake::new(&["one"], false), KnownFolder::default());
        assert_eq!(listed(&mut known, &folder, "one"), Name::Own);
        folder.names.borrow_mut().push("two");
        assert_eq!(listed(&mut known, &folder, "two"), Name::Own);
        folder.names.borrow_mut().clear();
        assert_eq!(listed(&mut known, &folder, "Three"), Name::Gone);
    }

    #[test]
    fn what_is_stored_by_another_name_is_not_kept() {
        let (folder, mut known) = (Fake::new(&["a", "b."], true), KnownFolder::default());
        let keeps = |known: &mut KnownFolder, name: &[u8]| known.keeps(&folder, name).unwrap();
        assert!(!keeps(&mut known, b"a.") && !keeps(&mut known, b"a ") && keeps(&mut known, b"b."));
    }

    #[test]
    fn a_dot_that_is_left_out_is_told_where_case_is_told_apart() {
        let (folder, mut known) = (Fake { trims: true, ..Fake::new(&["dot"], true) }, KnownFolder::default());
        assert_eq!(listed(&mut known, &folder, "dot"), Name::Own);
        assert_eq!(listed(&mut known, &folder, "dot."), Name::Other(Some(b"dot".to_vec())));
    }

    #[test]
    fn only_letters_have_another_case() {
        assert_eq!(other_case(b"Read me.1").as_deref(), Some(&b"rEAD ME.1"[..]));
        assert_eq!(other_case(b"[@`{1.").as_deref(), None);
    }

    #[test]
    fn of_usual_folders_nothing_is_listed() {
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let target = Target::open(folder.path(), false).unwrap();
        let path = TargetPath::root().child("é.".as_bytes()).unwrap();
        let (above, name) = target.parent(&path).unwrap();
        target.must_have_name(above.as_fd(), name, &path).unwrap();
        target.must_keep_name(above.as_fd(), name, &path).unwrap();
        assert_eq!(target.known().of(TargetPath::root()).is_exact, Some(true));
    }

    #[test]
    fn of_many_folders_the_last_ones_are_known() {
        let folders: Vec<TargetPath> =
            (0..=FOLDERS).map(|number| TargetPath::root().child(format!("{number}").as_bytes()).unwrap()).collect();
        let mut known = KnownFolders::default();
        folders.iter().for_each(|folder| known.of(folder.clone()).tells_case = true);
        assert!(!known.of(folders[0].clone()).tells_case && known.of(folders[FOLDERS].clone()).tells_case && known.0.len() == FOLDERS);
        // Those above stay.
        let mut below = folders[FOLDERS].clone();
        for _ in 0..3 {
            below = below.child(b"below").unwrap();
            (0..FOLDERS).for_each(|number| known.of(below.child(format!("{number}").as_bytes()).unwrap()).tells_case = true);
            assert!(known.of(folders[FOLDERS].clone()).tells_case);
        }
    }
}
