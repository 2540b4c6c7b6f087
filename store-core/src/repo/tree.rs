//! The tree of a snapshot: finding a path in it and walking it.

use super::{ReadError, Repo, StoredSnapshot};
use crate::base::ids::NodeId;
use crate::base::limits;
use crate::error::{Error, ErrorKind};
use crate::format::entry::{Entry, Kind};
use crate::format::lost::{LOST, Loss, Lost};
use crate::merkle::{EntriesCursor, MerkleError};

/// What a walk meets: the path in the snapshot, without a `/` at its start, and the entry there.
pub(crate) type Visit<'v> = dyn FnMut(&[u8], &Entry) -> Result<(), Error> + 'v;

/// The names that a path consists of. Empty ones and `.` are none.
fn names(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/').filter(|name| !name.is_empty() && *name != b".")
}

/// A path as walks give it: names with one `/` between them.
pub(crate) fn clean(path: &[u8]) -> Vec<u8> {
    names(path).collect::<Vec<_>>().join(&b'/')
}

/// Whether a repaired snapshot says that it lacks what is at `path`.
fn is_lost(stored: &StoredSnapshot, path: &[u8]) -> bool {
    let lost = stored.snapshot.extra.get(LOST).and_then(|bytes| Lost::decode(bytes).ok());
    lost.is_some_and(|lost| lost.losses.iter().any(|loss| matches!(loss, Loss::File { path: lost, .. } if *lost == clean(path))))
}

impl Repo {
    /// The entry at `path` in a snapshot; for an empty path its root, which is a directory.
    ///
    /// # Errors
    /// Of kind [`ErrorKind::Usage`] when there is none, of kind [`ErrorKind::Damage`] when it cannot be read.
    pub fn find(&self, stored: &StoredSnapshot, path: &[u8]) -> Result<Entry, Error> {
        let shown = || String::from_utf8_lossy(path).into_owned();
        let root = EntriesCursor::new(self, Some(stored.snapshot.root)).next()?;
        let mut found = root.ok_or_else(|| Error::new(ErrorKind::Damage, format!("snapshot {} has no root", stored.id)))?;
        for name in names(path) {
            let Kind::Directory { entries } = found.kind else {
                let message = format!("'{}' in snapshot {}: a part of it is no directory", shown(), stored.id.short());
                return Err(Error::new(ErrorKind::Usage, message));
            };
            found = EntriesCursor::new(self, entries).find(name)?.ok_or_else(|| {
                if is_lost(stored, path) {
                    let message = format!("'{}' was lost before snapshot {} was repaired: push it again", shown(), stored.id.short());
                    return Error::new(ErrorKind::Damage, message);
                }
                let message = format!("snapshot {} has no '{}': `snap ls` shows what it has", stored.id.short(), shown());
                Error::new(ErrorKind::Usage, message)
            })?;
        }
        Ok(found)
    }

    /// Visits what is in a directory, names ascending as bytes; `recursive`, each directory is followed by what is in it. `path` is where the
    /// directory is. At most one node for each level of lists and of directories is in memory.
    pub(crate) fn walk(&self, path: &[u8], entries: Option<NodeId>, recursive: bool, visit: &mut Visit<'_>) -> Result<(), Error> {
        let mut path = clean(path);
        let mut levels = vec![(path.len(), EntriesCursor::new(self, entries))];
        while let Some((len, cursor)) = levels.last_mut() {
            path.truncate(*len);
            let Some(entry) = cursor.next()? else {
                levels.pop();
                continue;
            };
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(&entry.name);
            visit(&path, &entry)?;
            if let (Kind::Directory { entries }, true) = (&entry.kind, recursive) {
                if levels.len() >= limits::TREE_DEPTH {
                    return Err(Error::new(ErrorKind::Damage, "directories lie within each other deeper than any writer makes them"));
                }
                levels.push((path.len(), EntriesCursor::new(self, *entries)));
            }
        }
        Ok(())
    }
}

impl From<MerkleError<ReadError>> for Error {
    fn from(error: MerkleError<ReadError>) -> Self {
        match error {
            MerkleError::Source(error) => error.into(),
            shape => Self::with(ErrorKind::Damage, "a list in the repository is damaged", shape),
        }
    }
}
