//! Where something is beneath a target.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::error::SinkError;
use crate::base::ids::SnapshotId;
use crate::format::entry::Entry;

/// The longest name that every file system takes, in bytes: that of eCryptfs, the others take 255.
const NAME_LEN: usize = 143;
/// How names of files go on that are not whole yet.
const UNFINISHED: &[u8] = b".snap-part-";
/// Digits behind that.
const HASH_LEN: usize = 16;

/// A path beneath a target: names that each passed [`Entry::is_name`], so that none leads up, to the side or nowhere.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetPath(Vec<u8>);

impl TargetPath {
    /// The target itself.
    pub fn root() -> Self {
        Self(Vec::new())
    }

    /// The entry `name` in this folder.
    ///
    /// # Errors
    /// [`SinkError::Name`] when no entry can have that name.
    pub fn child(&self, name: &[u8]) -> Result<Self, SinkError> {
        if !Entry::is_name(name) {
            return Err(SinkError::Name { folder: self.as_path().to_path_buf(), name: String::from_utf8_lossy(name).into_owned() });
        }
        let mut bytes = Vec::with_capacity(self.0.len() + 1 + name.len());
        if !self.is_root() {
            bytes.extend_from_slice(&self.0);
            bytes.push(b'/');
        }
        bytes.extend_from_slice(name);
        Ok(Self(bytes))
    }

    /// Whether this is the target itself.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The folder it is in and its name there; `None` for the target itself.
    pub fn split(&self) -> Option<(Self, &[u8])> {
        if self.is_root() {
            return None;
        }
        Some(match self.0.iter().rposition(|&byte| byte == b'/') {
            Some(slash) => (Self(self.0[..slash].to_vec()), &self.0[slash + 1..]),
            None => (Self::root(), &self.0),
        })
    }

    /// Where what is to become this by a snapshot is written until it is whole: beside it, by the same name at each attempt. A snapshot has
    /// nothing of that name itself, were it what is left of another restore: its id was drawn by chance when it was pushed.
    pub fn unfinished(&self, snapshot: &SnapshotId) -> Option<Self> {
        let (folder, name) = self.split()?;
        let hash = blake3::Hasher::new().update(snapshot.as_bytes()).update(name).finalize().to_hex();
        let most = name.len().min(NAME_LEN - UNFINISHED.len() - HASH_LEN);
        // Some take whole characters of UTF-8 alone.
        let is_start = |at: &usize| name.get(*at).is_none_or(|byte| byte & 0xc0 != 0x80);
        let shown = (most.saturating_sub(3)..=most).rev().find(is_start).unwrap_or(most);
        folder.child(&[&name[..shown], UNFINISHED, &hash.as_bytes()[..HASH_LEN]].concat()).ok()
    }

    /// How many names it has.
    pub fn depth(&self) -> usize {
        if self.is_root() { 0 } else { self.names().count() }
    }

    /// Its names from the target on, none when it is the target itself.
    pub fn names(&self) -> impl Iterator<Item = &[u8]> {
        self.0.split(|&byte| byte == b'/').filter(|name| !name.is_empty())
    }

    /// Whether it is `folder` or lies beneath it.
    pub fn is_within(&self, folder: &Self) -> bool {
        folder.is_root() || self.0.strip_prefix(folder.0.as_slice()).is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
    }

    /// The path relative to the target, empty for the target itself. For messages: it must not be opened.
    pub fn as_path(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.0))
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for TargetPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_path().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for name in [&b""[..], b".", b"..", b"/", b"a/b", b"../x", b"a\0b", &[b'x'; 1025]] {
            assert!(TargetPath::root().child(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn what_is_unfinished_stands_beside_what_it_becomes() {
        let folder = TargetPath::root().child(b"a").unwrap();
        let (one, other) = (SnapshotId::from_bytes([1; 32]), SnapshotId::from_bytes([2; 32]));
        let part = |name: &[u8], snapshot| folder.child(name).unwrap().unfinished(snapshot).unwrap();
        assert!(part(b"b", &one).is_within(&folder) && part(b"b", &one).split().unwrap().1.starts_with(b"b.snap-part-"));
        assert!(part(b"b", &one) == part(b"b", &one) && part(b"b", &one) != part(b"b", &other));
        let long = |last: u8| part(&[&[b'x'; 254][..], &[last]].concat(), &one);
        assert!(long(b'1') != long(b'2') && long(b'1').split().unwrap().1.len() == NAME_LEN);
        let name = part("é".repeat(100).as_bytes(), &one);
        assert!(std::str::from_utf8(name.split().unwrap().1).is_ok_and(|name| name.starts_with("éé") && name.len() >= NAME_LEN - 1));
        assert_eq!(TargetPath::root().unfinished(&one), None);
    }

    #[test]
    fn a_path_splits_into_what_it_was_made_of() {
        let path = TargetPath::root().child(b"a").unwrap().child(b"...").unwrap().child(b"c\n").unwrap();
        assert_eq!(path.depth(), 3);
        let (folder, name) = path.split().unwrap();
        assert_eq!((folder.as_bytes(), name), (&b"a/..."[..], &b"c\n"[..]));
        assert!(path.is_within(&folder) && path.is_within(&TargetPath::root()) && !folder.is_within(&path));
        let other = TargetPath::root().child(b"a").unwrap().child(b"..").is_err();
        assert!(other && TargetPath::root().split().is_none());
        assert!(!TargetPath::root().child(b"ab").unwrap().is_within(&TargetPath::root().child(b"a").unwrap()));
    }
}
