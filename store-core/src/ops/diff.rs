//! `diff`: what differs between two snapshots, or a snapshot and a folder. Lists, files and tensors that are equal are not read.

mod folder;
mod numbers;
mod tensors;

use std::path::PathBuf;

use super::list::Item;
use crate::base::ids::NodeId;
use crate::base::limits;
use crate::error::{Error, ErrorKind};
use crate::format::entry::{Entry, Extent, Kind};
use crate::merkle::EntriesDiff;
use crate::repo::{Placed, Repo, StoredFile, clean};
use crate::source::Excludes;

pub use tensors::{TensorChange, tensors};

/// One of the two things that are compared.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "there are two of them")]
pub enum Side {
    /// What is at a path in a snapshot; empty for all of it.
    Snapshot(Item, Vec<u8>),
    /// A folder (or file) as it is now.
    Folder(PathBuf),
}

/// How to compare.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// What of a folder does not count, as if it were not there.
    pub excludes: Excludes,
    /// Whether entries count that differ in mode, owner, modification time or extended attributes alone.
    pub metadata: bool,
}

/// How an entry differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// Only the second side has it.
    Added,
    /// Only the first side has it.
    Removed,
    /// Its content differs.
    Modified,
    /// It is something else.
    TypeChanged,
    /// Only its metadata differ.
    Metadata,
}

/// An entry that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Its path below what is compared.
    pub path: Vec<u8>,
    /// How it differs.
    pub what: What,
    /// Bytes it had; 0 for what is no file.
    pub old_size: u64,
    /// Bytes it has.
    pub new_size: u64,
}

/// What differs, counted. Directories are not counted, but those whose metadata differ.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Entries that only the second side has.
    pub added: u64,
    /// Entries that only the first side has.
    pub removed: u64,
    /// Entries whose content or kind differs.
    pub changed: u64,
    /// Entries of which only metadata differ; 0 unless asked for.
    pub metadata: u64,
    /// Bytes of files that were added, and of the new state of those that changed.
    pub added_bytes: u64,
    /// Bytes of files that were removed, and of the old state of those that changed.
    pub removed_bytes: u64,
}

type Give<'g> = dyn FnMut(Change) -> Result<(), Error> + 'g;

/// Calls `give` for each entry that differs, ordered by path, and counts.
///
/// Two snapshots are compared by ids; bytes are read only where two files are cut into other chunks, up to the first that differs. Files
/// of a folder are read unless size and modification time are those of the snapshot; one that cannot be read ends the comparison.
///
/// # Errors
/// When a side is not there or cannot be read, both are folders, or `give` fails.
pub fn diff(repo: &Repo, old: &Side, new: &Side, options: &Options, give: &mut Give<'_>) -> Result<Totals, Error> {
    repo.refresh()?;
    let mut comparer = Comparer { repo, options: options.clone(), totals: Totals::default(), give };
    match (old, new) {
        (Side::Snapshot(old, old_path), Side::Snapshot(new, new_path)) => {
            let (old, new) = (repo.find(old, old_path)?, repo.find(new, new_path)?);
            comparer.roots(&old, &new, &clean(new_path))?;
        }
        (Side::Snapshot(item, path), Side::Folder(folder)) => folder::compare(&mut comparer, &repo.find(item, path)?, path, folder, false)?,
        (Side::Folder(folder), Side::Snapshot(item, path)) => folder::compare(&mut comparer, &repo.find(item, path)?, path, folder, true)?,
        (Side::Folder(_), Side::Folder(_)) => return Err(two_folders()),
    }
    Ok(comparer.totals)
}

fn two_folders() -> Error {
    Error::new(ErrorKind::Usage, "one of the two sides must be a snapshot: for two folders there is diff")
}

struct Comparer<'c> {
    repo: &'c Repo,
    options: Options,
    totals: Totals,
    give: &'c mut Give<'c>,
}

impl Comparer<'_> {
    /// Two entries that are compared whatever their names are; `path` is what a file is called.
    fn roots(&mut self, old: &Entry, new: &Entry, path: &[u8]) -> Result<(), Error> {
        if let (Kind::Directory { entries: old_list }, Kind::Directory { entries: new_list }) = (&old.kind, &new.kind) {
            if self.options.metadata && metadata_differ(old, new) {
                self.change(b".", What::Metadata, Some(old), Some(new))?;
            }
            return self.lists(*old_list, *new_list);
        }
        self.both(path, old, new)
    }

    /// What is in two directories, level by level.
    fn lists(&mut self, old: Option<NodeId>, new: Option<NodeId>) -> Result<(), Error> {
        let mut path = Vec::new();
        let mut levels = vec![(0, EntriesDiff::new(self.repo, old, new))];
        while let Some((len, level)) = levels.last_mut() {
            path.truncate(*len);
            let Some(pair) = level.next()? else {
                levels.pop();
                continue;
            };
            let name = pair.old.as_ref().or(pair.new.as_ref()).map(|entry| &entry.name[..]).unwrap_or_default();
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(name);
            match (&pair.old, &pair.new) {
                (Some(old), Some(new)) => {
                    self.both(&path, old, new)?;
                    let (Kind::Directory { entries: old }, Kind::Directory { entries: new }) = (&old.kind, &new.kind) else { continue };
                    if old == new {
                        continue;
                    }
                    if levels.len() >= limits::TREE_DEPTH {
                        return Err(Error::new(ErrorKind::Damage, "directories lie within each other deeper than any writer makes them"));
                    }
                    levels.push((path.len(), EntriesDiff::new(self.repo, *old, *new)));
                }
                (Some(old), None) => self.one(&path, old, What::Removed)?,
                (None, Some(new)) => self.one(&path, new, What::Added)?,
                (None, None) => {}
            }
        }
        Ok(())
    }

    /// An entry that both have; of two directories not what is in them.
    fn both(&mut self, path: &[u8], old: &Entry, new: &Entry) -> Result<(), Error> {
        match (&old.kind, &new.kind) {
            (Kind::Directory { .. }, Kind::Directory { .. }) => self.metadata(path, old, new),
            (Kind::File { .. }, Kind::File { .. }) => {
                if same_bytes(self.repo, old, new)? {
                    self.metadata(path, old, new)
                } else {
                    self.change(path, What::Modified, Some(old), Some(new))
                }
            }
            (old_kind, new_kind) if old_kind == new_kind => self.metadata(path, old, new),
            (old_kind, new_kind) if std::mem::discriminant(old_kind) == std::mem::discriminant(new_kind) => {
                self.change(path, What::Modified, Some(old), Some(new))
            }
            _ => {
                self.change(path, What::TypeChanged, Some(old), Some(new))?;
                self.below(path, old, What::Removed)?;
                self.below(path, new, What::Added)
            }
        }
    }

    fn metadata(&mut self, path: &[u8], old: &Entry, new: &Entry) -> Result<(), Error> {
        if self.options.metadata && metadata_differ(old, new) { self.change(path, What::Metadata, Some(old), Some(new)) } else { Ok(()) }
    }

    /// An entry that one side alone has, with all below it.
    fn one(&mut self, path: &[u8], entry: &Entry, what: What) -> Result<(), Error> {
        let (old, new) = if what == What::Removed { (Some(entry), None) } else { (None, Some(entry)) };
        self.change(path, what, old, new)?;
        self.below(path, entry, what)
    }

    fn below(&mut self, path: &[u8], entry: &Entry, what: What) -> Result<(), Error> {
        let Kind::Directory { entries } = entry.kind else { return Ok(()) };
        self.repo.walk(path, entries, true, &mut |path, entry| {
            let (old, new) = if what == What::Removed { (Some(entry), None) } else { (None, Some(entry)) };
            self.change(path, what, old, new)
        })
    }

    fn change(&mut self, path: &[u8], what: What, old: Option<&Entry>, new: Option<&Entry>) -> Result<(), Error> {
        let counts = |entry: Option<&Entry>| u64::from(entry.is_some_and(|entry| !matches!(entry.kind, Kind::Directory { .. })));
        let (old_size, new_size) = (old.map_or(0, size), new.map_or(0, size));
        let totals = &mut self.totals;
        match what {
            What::Added => totals.added += counts(new),
            What::Removed => totals.removed += counts(old),
            What::Modified | What::TypeChanged => totals.changed += 1,
            What::Metadata => totals.metadata += 1,
        }
        if what != What::Metadata {
            totals.added_bytes = totals.added_bytes.saturating_add(new_size);
            totals.removed_bytes = totals.removed_bytes.saturating_add(old_size);
        }
        (self.give)(Change { path: path.to_vec(), what, old_size, new_size })
    }
}

fn size(entry: &Entry) -> u64 {
    match entry.kind {
        Kind::File { size, .. } => size,
        _ => 0,
    }
}

/// Change time, inode, device and number of names say how a file came to be, not what it is.
fn metadata_differ(old: &Entry, new: &Entry) -> bool {
    let (old, new) = (&old.meta, &new.meta);
    (old.mode, old.uid, old.gid, old.mtime, &old.xattrs) != (new.mode, new.uid, new.gid, new.mtime, &new.xattrs)
}

/// Whether two stored files have the same bytes, as their chunks tell. Holes and chunks of zeros are compared as bytes.
fn same_bytes(repo: &Repo, old: &Entry, new: &Entry) -> Result<bool, Error> {
    match (&old.kind, &new.kind) {
        (Kind::File { size: a, content: x }, Kind::File { size: b, content: y }) if a != b || x == y => return Ok(a == b),
        _ => {}
    }
    let (Some(mut old), Some(mut new)) = (StoredFile::new(repo, old), StoredFile::new(repo, new)) else { return Ok(false) };
    let (mut a, mut b) = (old.extents(0)?, new.extents(0)?);
    let (mut x, mut y) = (a.next()?, b.next()?);
    while let (Some(old_at), Some(new_at)) = (x, y) {
        if old_at == new_at {
            (x, y) = (a.next()?, b.next()?);
            continue;
        }
        // Cut in another way, which happens around holes and when a file's header changes: the bytes decide, up to where the cuts meet.
        let (from, until) = (old_at.offset.max(new_at.offset), old_at.end().min(new_at.end()));
        if !same_range(&mut old, &mut new, &old_at, &new_at, from..until)? {
            return Ok(false);
        }
        if old_at.end() <= until {
            x = a.next()?;
        }
        if new_at.end() <= until {
            y = b.next()?;
        }
    }
    Ok(x.is_none() && y.is_none())
}

fn same_range(
    old: &mut StoredFile<'_>,
    new: &mut StoredFile<'_>,
    x: &Placed,
    y: &Placed,
    range: std::ops::Range<u64>,
) -> Result<bool, Error> {
    match (x.extent, y.extent) {
        (Extent::Hole { .. }, Extent::Hole { .. }) => return Ok(true),
        // Chunks of one range with other ids have other bytes.
        (Extent::Chunk { .. }, Extent::Chunk { .. }) if (x.offset, x.end()) == (y.offset, y.end()) => return Ok(false),
        _ => {}
    }
    // One of them is a chunk, so the range is no longer than one.
    let len = (range.end - range.start) as usize;
    let (mut a, mut b) = (vec![0; len], vec![0; len]);
    old.read_at(range.start, &mut a)?;
    new.read_at(range.start, &mut b)?;
    Ok(a == b)
}
