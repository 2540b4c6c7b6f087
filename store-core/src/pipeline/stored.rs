//! The feeder of a copy: a tree of another repository goes through the pipeline as files do. It is read there, cut by this repository's
//! chunker and named with its keys, so that it stands here as if it had been pushed, and a later push of the same files finds it.
//!
//! What did not change since a snapshot that both repositories have is taken over unread, whole directories at once. Unlike a file that
//! changes under a push, what cannot be read in the other repository ends the copy: a part of a snapshot is no copy of it.

use std::ffi::OsStr;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use crossbeam_channel::bounded;

use super::cut::{Cut, CutContext, CutError, OldVersion, Readable, pieces};
use super::feed::{BATCH_BYTES, BATCH_FILES, Feed, FileError, Gone, Item, LargeFile, Older, Parent, WHOLE, WholeFile, read_all};
use super::flow::Flow;
use crate::base::ids::NodeId;
use crate::base::limits;
use crate::error::{Error, ErrorKind};
use crate::format::entry::{Entry, Extent, Kind};
use crate::merkle::EntriesCursor;
use crate::repo::{Repo, StoredFile};
use crate::tensor::Layout;

/// Ranges of data beyond which a file counts as all data, as for files that are pushed.
const MOST_RANGES: usize = 1 << 16;

/// A snapshot's tree in another repository.
pub struct StoredTree<'r> {
    /// That repository.
    pub from: &'r Repo,
    /// The snapshot's root directory there; or another directory, or a file, which then stands alone in the root.
    pub root: Entry,
    /// The root directory, there, of a snapshot that this repository has a copy of.
    pub before: Option<NodeId>,
    /// The root directory, here, of the copy of that one, or of another snapshot that this one may resemble.
    pub parent: Option<NodeId>,
}

/// A file of another repository, its layout looked up.
struct OtherFile<'r> {
    file: StoredFile<'r>,
    layout: Option<Layout>,
    path: String,
}

impl<'r> OtherFile<'r> {
    fn new(from: &'r Repo, entry: &Entry, path: String) -> Result<Self, Error> {
        let file = StoredFile::new(from, entry);
        let file = file.ok_or_else(|| Error::new(ErrorKind::Failed, format!("'{path}' is no file")))?;
        let layout = file.clone().layout().map_err(|error| unreadable(&path, error))?;
        Ok(Self { file, layout, path })
    }

    fn cannot(&self, error: Error) -> CutError {
        CutError::Repo(unreadable(&self.path, error))
    }
}

impl Readable for OtherFile<'_> {
    fn size(&self) -> u64 {
        self.file.len()
    }

    fn layout(&self) -> Result<Option<Layout>, CutError> {
        Ok(self.layout.clone())
    }

    fn data_ranges(&self) -> Result<Vec<Range<u64>>, CutError> {
        data_ranges(&self.file).map_err(|error| self.cannot(error))
    }

    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), CutError> {
        self.file.clone().read_at(offset, buffer).map_err(|error| self.cannot(error))
    }
}

/// The ranges of a stored file that hold data, sorted and apart. Of more than 65,536, the last holds all that is left.
pub(crate) fn data_ranges(file: &StoredFile<'_>) -> Result<Vec<Range<u64>>, Error> {
    let (mut found, mut extents) = (Vec::<Range<u64>>::new(), file.extents(0)?);
    while let Some(placed) = extents.next()? {
        let Extent::Chunk { .. } = placed.extent else { continue };
        let is_full = found.len() == MOST_RANGES;
        match found.last_mut() {
            Some(last) if last.end == placed.offset || is_full => last.end = placed.end(),
            _ => found.push(placed.offset..placed.end()),
        }
    }
    Ok(found)
}

fn unreadable(path: &str, error: Error) -> Error {
    Error::with(error.kind(), format!("cannot read '{path}' in the repository that is copied from"), error)
}

/// One open directory, in the three trees that are walked at once.
struct Level<'r> {
    /// Bytes of its path.
    len: usize,
    entries: EntriesCursor<'r, Repo>,
    before: Parent<'r>,
    parent: Parent<'r>,
}

struct StoredFeeder<'f, 'g, 'scope> {
    feed: &'f Feed<'g, 'scope>,
    from: &'scope Repo,
    levels: Vec<Level<'scope>>,
    path: Vec<u8>,
    /// Small files that go to the pool together, each with what the parent has in its place.
    batch: Vec<(Entry, String, Option<Entry>)>,
    batch_bytes: u64,
}

/// Why a walk ends before its end.
enum Stop {
    Gone,
    Failed(Error),
}

impl From<Gone> for Stop {
    fn from(Gone: Gone) -> Self {
        Self::Gone
    }
}

/// Walks a tree of another repository.
pub(super) fn feed_stored<'scope>(feed: &Feed<'_, 'scope>, tree: StoredTree<'scope>) {
    let from = tree.from;
    let mut feeder = StoredFeeder { feed, from, levels: Vec::new(), path: Vec::new(), batch: Vec::new(), batch_bytes: 0 };
    if let Err(Stop::Failed(error)) = feeder.run(tree) {
        // When the assembler is gone, its error is the one to tell.
        let _ = feed.items.send(Item::Failed(error));
    }
}

impl<'scope> StoredFeeder<'_, '_, 'scope> {
    fn run(&mut self, tree: StoredTree<'scope>) -> Result<(), Stop> {
        let entries = match tree.root.kind {
            Kind::Directory { entries } => entries,
            Kind::File { size, .. } => return self.alone(tree.root, size),
            _ => return Err(Stop::Failed(Error::new(ErrorKind::Damage, "the root of a snapshot is no directory"))),
        };
        self.send(Item::Enter { name: Vec::new(), meta: Some(tree.root.meta) })?;
        self.open(entries, tree.before, tree.parent)?;
        while let Some(level) = self.levels.last_mut() {
            self.path.truncate(level.len);
            match level.entries.next() {
                Ok(Some(entry)) => self.entry(entry)?,
                Ok(None) => {
                    self.flush()?;
                    self.levels.pop();
                    self.send(Item::Leave)?;
                }
                Err(error) => return Err(self.failed(error.into())),
            }
        }
        Ok(())
    }

    /// A file with nothing beside it.
    fn alone(&mut self, file: Entry, size: u64) -> Result<(), Stop> {
        self.send(Item::Enter { name: Vec::new(), meta: Some(file.meta.clone()) })?;
        self.path.extend_from_slice(&file.name);
        self.file(file, size, None)?;
        self.flush()?;
        Ok(self.send(Item::Leave)?)
    }

    fn open(&mut self, entries: Option<NodeId>, before: Option<NodeId>, parent: Option<NodeId>) -> Result<(), Stop> {
        if self.levels.len() >= limits::TREE_DEPTH {
            let error = Error::new(ErrorKind::Damage, "directories lie within each other deeper than any writer makes them");
            return Err(self.failed(error));
        }
        self.levels.push(Level {
            len: self.path.len(),
            entries: EntriesCursor::new(self.from, entries),
            before: before.map(|before| EntriesCursor::new(self.from, Some(before))),
            parent: parent.map(|parent| EntriesCursor::new(self.feed.repo, Some(parent))),
        });
        Ok(())
    }

    fn send(&self, item: Item) -> Result<(), Gone> {
        self.feed.items.send(item).map_err(|_| Gone)
    }

    fn failed(&self, error: Error) -> Stop {
        Stop::Failed(unreadable(&self.shown(), error))
    }

    fn shown(&self) -> String {
        format!("/{}", String::from_utf8_lossy(&self.path))
    }

    /// What the older snapshot has under this name, there and here. One that cannot be read costs reading its files again.
    fn older(&mut self, name: &[u8]) -> (Option<Entry>, Option<Entry>) {
        let find = |cursor: &mut Parent<'scope>| cursor.as_mut().map_or(Ok(None), |cursor| cursor.find(name));
        let Some(level) = self.levels.last_mut() else { return (None, None) };
        let (before, parent) = (find(&mut level.before), find(&mut level.parent));
        if before.is_err() {
            self.levels.iter_mut().for_each(|level| level.before = None);
        }
        if parent.is_err() {
            self.levels.iter_mut().for_each(|level| level.parent = None);
        }
        (before.unwrap_or(None), parent.unwrap_or(None))
    }

    fn entry(&mut self, entry: Entry) -> Result<(), Stop> {
        let (before, parent) = self.older(&entry.name);
        if !self.path.is_empty() {
            self.path.push(b'/');
        }
        self.path.extend_from_slice(&entry.name);
        if let Some(kind) = self.taken_over(&entry, before.as_ref(), parent.as_ref()) {
            self.flush()?;
            self.send(Item::Ready(Box::new(Entry { kind, ..entry }), self.place(), true))?;
            return Ok(());
        }
        match entry.kind {
            Kind::Directory { entries } => {
                self.flush()?;
                self.send(Item::Enter { name: entry.name, meta: Some(entry.meta) })?;
                self.open(entries, before.and_then(entries_of), parent.and_then(entries_of))
            }
            Kind::File { size, .. } => self.file(entry, size, parent),
            _ => {
                self.flush()?;
                let same = before.is_some_and(|before| before == entry);
                Ok(self.send(Item::Ready(Box::new(entry), self.place(), same))?)
            }
        }
    }

    /// Where the entry at hand is in the snapshot.
    fn place(&self) -> PathBuf {
        PathBuf::from(OsStr::from_bytes(&self.path))
    }

    /// What the older copy has in place of what did not change, if all of that is held.
    fn taken_over(&self, entry: &Entry, before: Option<&Entry>, parent: Option<&Entry>) -> Option<Kind> {
        let (before, parent) = (before?, parent?);
        if self.feed.force || before.kind != entry.kind {
            return None;
        }
        let known = &self.feed.context.known;
        let held = match (&entry.kind, &parent.kind) {
            (Kind::Directory { entries: Some(_) }, Kind::Directory { entries: Some(_) }) => known.holds_all(),
            (Kind::File { size, .. }, Kind::File { size: copied, .. }) => {
                size == copied && known.has_files(self.feed.repo, std::iter::once(parent))[0]
            }
            _ => false,
        };
        held.then(|| parent.kind.clone())
    }

    fn file(&mut self, entry: Entry, size: u64, parent: Option<Entry>) -> Result<(), Stop> {
        let path = self.shown();
        if size <= WHOLE {
            if self.batch.len() >= BATCH_FILES || self.batch_bytes + size > BATCH_BYTES {
                self.flush()?;
            }
            self.batch.push((entry, path, parent));
            self.batch_bytes += size;
            return Ok(());
        }
        self.flush()?;
        let file = Arc::new(OtherFile::new(self.from, &entry, path.clone()).map_err(Stop::Failed)?);
        let replaces = parent.is_some();
        self.send(Item::Begin(Box::new(LargeFile { name: entry.name, path, replaces, meta: entry.meta, file: None })))?;
        if file.layout.is_none() {
            self.stream(&file)?;
        } else {
            let older = Older { base: None, replaced: parent };
            let tensors = || older.tensors(self.feed.repo, self.feed.delta);
            let mut gone = false;
            let given = pieces(&self.feed.context, &*file, &tensors, &mut |piece| {
                self.feed.spawn(piece, Some(Arc::clone(&file) as Arc<dyn Readable + 'scope>)).map_err(|Gone| {
                    gone = true;
                    CutError::Read(std::io::ErrorKind::BrokenPipe.into())
                })
            });
            match given {
                Ok(()) => {}
                Err(_) if gone => return Err(Stop::Gone),
                Err(CutError::Repo(error)) => return Err(Stop::Failed(error)),
                Err(CutError::Read(error)) => return Err(self.failed(Error::with(ErrorKind::Failed, "cannot read it", error))),
            }
        }
        Ok(self.send(Item::End)?)
    }

    /// Cuts a file without tensors while the other repository decodes what comes next.
    fn stream(&self, file: &OtherFile<'scope>) -> Result<(), Stop> {
        let mut flow = Flow::new(&self.feed.context);
        let (mut give, mut gone) = (|piece| self.feed.spawn(piece, None), false);
        let taken = file.file.for_each(&mut |part| {
            flow.take(part, &mut give).map_err(|Gone| {
                gone = true;
                Error::new(ErrorKind::Failed, "nobody takes what is read")
            })
        });
        match taken {
            Ok(()) => Ok(flow.end(&mut give)?),
            Err(_) if gone => Err(Stop::Gone),
            Err(error) => Err(Stop::Failed(unreadable(&file.path, error))),
        }
    }

    fn flush(&mut self) -> Result<(), Gone> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let files = std::mem::take(&mut self.batch);
        let permit = self.feed.context.read_ahead.take(std::mem::take(&mut self.batch_bytes) as usize);
        let (context, from, repo, delta) = (Arc::clone(&self.feed.context), self.from, self.feed.repo, self.feed.delta);
        let (sender, receiver) = bounded(1);
        self.feed.scope.spawn_fifo(move |_| {
            let read = |(entry, path, replaced): (Entry, String, Option<Entry>)| {
                let replaces = replaced.is_some();
                let older = Older { base: None, replaced };
                let read = whole_file(&context, from, &entry, &path, &|| older.tensors(repo, delta));
                let file = WholeFile { name: entry.name, path, replaces, read: read.map(|cuts| (entry.meta, cuts)) };
                older.note_replaced(&context, &file);
                file
            };
            // Nobody waits for the result any more when the copy has failed.
            let _ = sender.send((files.into_iter().map(read).collect(), permit));
        });
        self.send(Item::Batch(receiver))
    }
}

fn whole_file(context: &CutContext, from: &Repo, entry: &Entry, path: &str, old: &OldVersion<'_>) -> Result<Vec<Cut>, FileError> {
    let file = OtherFile::new(from, entry, path.to_owned()).map_err(FileError::Repo)?;
    let mut cuts = Vec::new();
    read_all(context, &file, old, &mut |cut| {
        cuts.push(cut);
        Ok(())
    })?;
    Ok(cuts)
}

fn entries_of(directory: Entry) -> Option<NodeId> {
    match directory.kind {
        Kind::Directory { entries } => entries,
        _ => None,
    }
}
