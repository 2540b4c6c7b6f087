//! Walking the part of a snapshot that is wanted, names ascending, one opened list a level and no recursion.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::{Here, Options};
use crate::base::ids::NodeId;
use crate::base::limits;
use crate::error::{Error, ErrorKind, chain};
use crate::format::entry::{Entry, Kind};
use crate::merkle::EntriesCursor;
use crate::repo::Repo;
use crate::sink::TargetPath;

/// What a walk talks to. An error ends it.
pub(super) trait Visit {
    /// A directory begins. `false` leaves out all that is in it.
    fn enter(&mut self, entry: &Entry, here: &Here) -> Result<bool, Error>;

    /// Something else that is wanted, in the directory `above`.
    fn entry(&mut self, entry: &Entry, here: &Here, above: &Here) -> Result<(), Error>;

    /// A directory was read to its end. It has these names, if anybody wants to know.
    fn leave(&mut self, here: &Here, names: &HashSet<Vec<u8>>) -> Result<(), Error>;

    /// An entry, or the rest of a directory, cannot be had.
    fn lost(&mut self, shown: &Path, kind: ErrorKind, why: String);
}

/// A directory that is being read.
struct Level<'r> {
    cursor: EntriesCursor<'r, Repo>,
    here: Here,
    names: HashSet<Vec<u8>>,
}

impl<'r> Level<'r> {
    fn new(repo: &'r Repo, entries: Option<NodeId>, here: Here) -> Self {
        Self { cursor: EntriesCursor::new(repo, entries), here, names: HashSet::new() }
    }
}

/// Walks what is in `start`, or `start` alone when it is no directory.
pub(super) fn walk(repo: &Repo, start: &Entry, options: &Options, visit: &mut dyn Visit) -> Result<(), Error> {
    let root = Here { target: TargetPath::root(), shown: PathBuf::from("/"), wanted: options.include.is_none() };
    let Kind::Directory { entries } = start.kind else {
        return match below(&root, start, options, visit) {
            Some(here) if here.wanted => visit.entry(start, &here, &root),
            _ => Ok(()),
        };
    };
    let mut levels = Vec::new();
    if visit.enter(start, &root)? {
        levels.push(Level::new(repo, entries, root));
    }
    while let Some(level) = levels.last_mut() {
        let entry = match level.cursor.next() {
            Ok(Some(entry)) => entry,
            Ok(None) => {
                visit.leave(&level.here, &level.names)?;
                levels.pop();
                continue;
            }
            Err(error) => {
                let error = Error::from(error);
                visit.lost(&level.here.shown, error.kind(), format!("the rest of this directory is lost: {}", chain(&error)));
                levels.pop();
                continue;
            }
        };
        if options.delete {
            level.names.insert(entry.name.clone());
        }
        let Some(here) = below(&level.here, &entry, options, visit) else { continue };
        match entry.kind {
            Kind::Directory { entries } => {
                if levels.len() >= limits::TREE_DEPTH {
                    visit.lost(
                        &here.shown,
                        ErrorKind::Damage,
                        "directories lie within each other deeper than any writer makes them".into(),
                    );
                } else if visit.enter(&entry, &here)? {
                    levels.push(Level::new(repo, entries, here));
                }
            }
            _ if here.wanted => visit.entry(&entry, &here, &level.here)?,
            _ => {}
        }
    }
    Ok(())
}

/// Where an entry of a directory is; `None` when it is left out.
fn below(above: &Here, entry: &Entry, options: &Options, visit: &mut dyn Visit) -> Option<Here> {
    let shown = above.shown.join(as_path(&entry.name));
    if options.exclude.as_ref().is_some_and(|exclude| exclude.matches(&shown)) {
        return None;
    }
    let wanted = above.wanted || options.include.as_ref().is_some_and(|include| include.matches(&shown));
    match above.target.child(&entry.name) {
        Ok(target) => Some(Here { target, shown, wanted }),
        Err(error) => {
            visit.lost(&shown, ErrorKind::Damage, chain(&error));
            None
        }
    }
}

pub(super) fn as_path(name: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(name))
}
