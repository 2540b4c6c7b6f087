//! Comparing a part of a snapshot with a folder as it is now.

use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rayon::prelude::*;

use super::{Comparer, What, metadata_differ};
use crate::base::units::MIB;
use crate::error::{Error, ErrorKind};
use crate::format::entry::{Content, Entry, Extent, Kind};
use crate::merkle::EntriesCursor;
use crate::repo::{Placed, Repo, StoredFile};
use crate::source::{Event, Found, OpenFile, Selection, SourceError, What as Live};

/// Chunks that are hashed at a time.
const BATCH: usize = 64;

/// Compares `stored` with what is at `folder`; `reversed` when the folder is the old side.
pub(super) fn compare(comparer: &mut Comparer<'_>, stored: &Entry, path: &[u8], folder: &Path, reversed: bool) -> Result<(), Error> {
    // A trailing slash has a link to a folder followed.
    let is_folder = folder.is_dir();
    let root = if is_folder { folder.join("") } else { folder.to_path_buf() };
    let walk = Selection { paths: vec![root], excludes: comparer.options.excludes.clone(), ..Selection::default() }.walk();
    let walk = walk.map_err(|error| Error::with(ErrorKind::Usage, "cannot compare with this path", error))?;
    let is_directory = matches!(stored.kind, Kind::Directory { .. });
    if is_folder != is_directory {
        let (file, directory) =
            if is_directory { ("the path on disk", "the one in the snapshot") } else { ("the path in the snapshot", "the one on disk") };
        return Err(Error::new(ErrorKind::Usage, format!("{file} is no directory and {directory} is: name two of one kind")));
    }
    let mut merge = Merge { repo: comparer.repo, comparer, reversed, levels: Vec::new(), path: Vec::new() };
    for event in walk {
        match event {
            Event::Enter(found) if merge.levels.is_empty() => merge.root(stored, &found)?,
            Event::Enter(found) => merge.enter(&found)?,
            Event::Leave => merge.leave()?,
            Event::Problem(error) => return Err(unread(error)),
            Event::Entry(found) if is_folder => merge.entry(&found)?,
            Event::Entry(found) => {
                merge.path = path.to_vec();
                merge.both(stored, &found)?;
            }
        }
    }
    Ok(())
}

fn unread(error: SourceError) -> Error {
    Error::with(ErrorKind::Failed, "the folder cannot be compared", error)
}

/// One folder that is in both, or in the walk alone.
struct Level<'r> {
    stored: Option<EntriesCursor<'r, Repo>>,
    /// Bytes of the path that leads here.
    path: usize,
}

/// Two walks in the same order, side by side.
struct Merge<'m, 'c> {
    repo: &'m Repo,
    comparer: &'m mut Comparer<'c>,
    reversed: bool,
    levels: Vec<Level<'m>>,
    path: Vec<u8>,
}

impl Merge<'_, '_> {
    fn root(&mut self, stored: &Entry, found: &Found) -> Result<(), Error> {
        if let Kind::Directory { entries } = &stored.kind {
            if !found.is_virtual() && stored.meta.inode != 0 {
                self.path = b".".to_vec();
                self.metadata(stored, &live(found))?;
                self.path.clear();
            }
            self.levels.push(Level { stored: Some(EntriesCursor::new(self.repo, *entries)), path: 0 });
        }
        Ok(())
    }

    fn enter(&mut self, found: &Found) -> Result<(), Error> {
        let (stored, live) = (self.advance_to(&found.name)?, live(found));
        let below = match &stored {
            None => {
                self.change(What::Added, None, Some(&live))?;
                None
            }
            Some(stored) => match &stored.kind {
                Kind::Directory { entries } => {
                    self.metadata(stored, &live)?;
                    Some(EntriesCursor::new(self.repo, *entries))
                }
                _ => {
                    self.change(What::TypeChanged, Some(stored), Some(&live))?;
                    None
                }
            },
        };
        self.levels.push(Level { stored: below, path: self.path.len() });
        Ok(())
    }

    fn entry(&mut self, found: &Found) -> Result<(), Error> {
        match self.advance_to(&found.name)? {
            Some(stored) => self.both(&stored, found),
            None => self.change(What::Added, None, Some(&live(found))),
        }
    }

    fn leave(&mut self) -> Result<(), Error> {
        self.advance(None)?;
        self.levels.pop();
        Ok(())
    }

    /// Reports what the snapshot alone has before `name`, and takes what it has there. The path is that of `name` then.
    fn advance_to(&mut self, name: &[u8]) -> Result<Option<Entry>, Error> {
        let stored = self.advance(Some(name))?;
        self.to(name);
        Ok(stored)
    }

    fn advance(&mut self, name: Option<&[u8]>) -> Result<Option<Entry>, Error> {
        loop {
            let Some(cursor) = self.levels.last_mut().and_then(|level| level.stored.as_mut()) else { return Ok(None) };
            let Some(next) = cursor.peek()? else { return Ok(None) };
            match name {
                Some(name) if next.name.as_slice() > name => return Ok(None),
                Some(name) if next.name == name => return Ok(cursor.next()?),
                _ => {}
            }
            if let Some(gone) = cursor.next()? {
                self.to(&gone.name);
                self.change(What::Removed, Some(&gone), None)?;
                self.below(&gone)?;
            }
        }
    }

    fn to(&mut self, name: &[u8]) {
        self.path.truncate(self.levels.last().map_or(0, |level| level.path));
        if !self.path.is_empty() {
            self.path.push(b'/');
        }
        self.path.extend_from_slice(name);
    }

    fn below(&mut self, stored: &Entry) -> Result<(), Error> {
        self.comparer.below(&self.path, stored, if self.reversed { What::Added } else { What::Removed })
    }

    /// `what` is seen from the snapshot as the old side.
    fn change(&mut self, what: What, stored: Option<&Entry>, live: Option<&Entry>) -> Result<(), Error> {
        match (self.reversed, what) {
            (false, what) => self.comparer.change(&self.path, what, stored, live),
            (true, What::Added) => self.comparer.change(&self.path, What::Removed, live, stored),
            (true, What::Removed) => self.comparer.change(&self.path, What::Added, live, stored),
            (true, what) => self.comparer.change(&self.path, what, live, stored),
        }
    }

    fn metadata(&mut self, stored: &Entry, live: &Entry) -> Result<(), Error> {
        let differ = self.comparer.options.metadata && metadata_differ(stored, live);
        if differ { self.change(What::Metadata, Some(stored), Some(live)) } else { Ok(()) }
    }

    fn both(&mut self, stored: &Entry, found: &Found) -> Result<(), Error> {
        let live = live(found);
        let same = match (&stored.kind, &live.kind) {
            (Kind::File { size: a, .. }, Kind::File { size: b, .. }) => {
                a == b && (stored.meta.mtime == live.meta.mtime || self.same_bytes(stored, found)?)
            }
            (a, b) if std::mem::discriminant(a) == std::mem::discriminant(b) => a == b,
            _ => {
                self.change(What::TypeChanged, Some(stored), Some(&live))?;
                return self.below(stored);
            }
        };
        if same { self.metadata(stored, &live) } else { self.change(What::Modified, Some(stored), Some(&live)) }
    }

    /// Whether the ranges of the file on disk have the ids of the stored chunks there.
    fn same_bytes(&self, stored: &Entry, found: &Found) -> Result<bool, Error> {
        let Some(stored) = StoredFile::new(self.repo, stored) else { return Ok(false) };
        let file = found.open().map_err(unread)?;
        let mut extents = stored.extents(0)?;
        loop {
            let mut batch = Vec::with_capacity(BATCH);
            while batch.len() < BATCH
                && let Some(placed) = extents.next()?
            {
                batch.push(placed);
            }
            if batch.is_empty() {
                return Ok(true);
            }
            let same = |placed: &Placed| same_range(self.repo, &file, placed);
            let differ = self.repo.pool.install(|| batch.par_iter().map(same).find_any(|same| !matches!(same, Ok(true))));
            match differ {
                None => {}
                Some(Ok(_)) => return Ok(false),
                // It was cut short meanwhile.
                Some(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
                Some(Err(error)) => {
                    let message = format!("cannot read {}", file.path().display());
                    return Err(Error::with(ErrorKind::Failed, message, error));
                }
            }
        }
    }
}

fn same_range(repo: &Repo, file: &OpenFile, placed: &Placed) -> io::Result<bool> {
    match placed.extent {
        Extent::Chunk { id, len } => {
            let mut bytes = vec![0; len as usize];
            file.read_exact_at(placed.offset, &mut bytes)?;
            Ok(repo.keys.chunk_id(&bytes) == id)
        }
        Extent::Hole { .. } => {
            // What the file has no room for either is zeros.
            for data in file.data_ranges() {
                let (mut at, end) = (data.start.max(placed.offset), data.end.min(placed.end()));
                let mut bytes = vec![0; if at < end { (end - at).min(MIB as u64) as usize } else { 0 }];
                while at < end {
                    let some = (end - at).min(MIB as u64) as usize;
                    file.read_exact_at(at, &mut bytes[..some])?;
                    if bytes[..some].iter().any(|byte| *byte != 0) {
                        return Ok(false);
                    }
                    at += some as u64;
                }
            }
            Ok(true)
        }
    }
}

/// What was found, as an entry without content.
fn live(found: &Found) -> Entry {
    let kind = match &found.what {
        Live::File { size, .. } => Kind::File { size: *size, content: Content::Inline(Vec::new()) },
        Live::Directory => Kind::Directory { entries: None },
        Live::Other(kind) => kind.clone(),
    };
    let name = if found.name.is_empty() { found.path.as_os_str().as_bytes().to_vec() } else { found.name.clone() };
    Entry { name, kind, meta: found.meta.clone() }
}
