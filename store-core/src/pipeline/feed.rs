//! The feeder: walks the source in order, leaves out what did not change, and hands the rest to the pool as pieces.

use std::path::PathBuf;
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, bounded};
use rayon::ScopeFifo;

use super::budget::Permit;
use super::cut::{Cut, CutContext, CutError, OldVersion, Piece, Readable, pieces};
use super::parent::{OldTensors, inline_chunks};
use crate::base::ids::NodeId;
use crate::base::units::MIB;
use crate::error::{Error, chain};
use crate::format::entry::{Entry, Kind, Metadata};
use crate::merkle::EntriesCursor;
use crate::monitor::Warning;
use crate::repo::Repo;
use crate::source::{Event, Found, OpenFile, SourceError, Walk, What};

/// Files up to this many bytes are read whole by one job; larger ones are spread over the pool.
pub(super) const WHOLE: u64 = 8 * MIB as u64;
/// Small files that one job takes, and their bytes.
pub(super) const BATCH_FILES: usize = 128;
pub(super) const BATCH_BYTES: u64 = 2 * MIB as u64;
/// Files that look unchanged and are looked up at a time.
const LOOK_UP: usize = 1024;
/// How often a file that changes while it is read is tried.
pub(super) const TRIES: usize = 3;

/// What the assembler gets, in the order of the source.
#[derive(Debug)]
pub(super) enum Item {
    /// A directory begins.
    Enter {
        /// Its name; empty for the root.
        name: Vec<u8>,
        /// What the file system says of it; `None` when no directory stands behind it.
        meta: Option<Metadata>,
    },
    /// The directory that began last ends.
    Leave,
    /// An entry that needs no reading, where it is, and whether it is the same as in the parent snapshot.
    Ready(Box<Entry>, PathBuf, bool),
    /// Small files, read and cut.
    Batch(Receiver<(Vec<WholeFile>, Permit)>),
    /// A large file begins; its pieces follow.
    Begin(Box<LargeFile>),
    /// The next piece of the large file.
    Piece(Receiver<CutResult>),
    /// The large file ends.
    End,
    /// Something could not be read.
    Problem(Warning),
    /// What is read cannot be read as a whole: there is to be no snapshot.
    Failed(Error),
}

pub(super) type CutResult = Result<Cut, CutError>;

/// A small file and what became of it.
#[derive(Debug)]
pub(super) struct WholeFile {
    pub(super) name: Vec<u8>,
    pub(super) path: String,
    pub(super) replaces: bool,
    pub(super) read: Result<(Metadata, Vec<Cut>), FileError>,
}

/// A large file while its pieces are on their way.
#[derive(Debug)]
pub(super) struct LargeFile {
    pub(super) name: Vec<u8>,
    pub(super) path: String,
    pub(super) replaces: bool,
    pub(super) meta: Metadata,
    /// `None` for what is no file of a file system.
    pub(super) file: Option<Arc<OpenFile>>,
}

/// Why a file is not in the snapshot.
#[derive(Debug)]
pub(super) enum FileError {
    /// It, and it alone, could not be read.
    Unreadable(String),
    /// The repository failed.
    Repo(Error),
}

/// What the feeder works with.
pub(super) struct Feed<'f, 'scope> {
    pub(super) repo: &'scope Repo,
    pub(super) scope: &'f ScopeFifo<'scope>,
    pub(super) context: Arc<CutContext>,
    pub(super) items: Sender<Item>,
    pub(super) force: bool,
    /// Whether bases are looked for.
    pub(super) delta: bool,
}

/// The assembler is gone: its error is the one to tell.
pub(super) struct Gone;

pub(super) type Parent<'f> = Option<EntriesCursor<'f, Repo>>;

struct Batch {
    files: Vec<(Found, Older)>,
    bytes: u64,
}

/// A file that looks unchanged, until it is known whether all that the parent has of it is held.
struct Unchanged {
    found: Found,
    size: u64,
    old: Entry,
    /// What the snapshot has that bases are taken from.
    base: Option<Entry>,
}

/// What older snapshots have in place of a file.
pub(super) struct Older {
    /// The snapshot that bases are taken from.
    pub(super) base: Option<Entry>,
    /// The parent.
    pub(super) replaced: Option<Entry>,
}

impl Older {
    /// Tells the account of the snapshot which chunks new ones stand in place of.
    pub(super) fn note_replaced(&self, context: &CutContext, file: &WholeFile) {
        let (Some(account), Some(old), Ok((_, cuts))) = (&context.account, &self.replaced, &file.read) else { return };
        let is_new = |cut: &Cut| matches!(cut, Cut::Chunks { chunks, .. } if chunks.iter().any(|chunk| !chunk.known));
        if cuts.iter().any(is_new) {
            // What cannot be looked up costs size, no more.
            let old: Vec<_> = context.known.locate(&inline_chunks(old)).unwrap_or_default().into_iter().flatten().collect();
            account.replace(&old);
        }
    }

    pub(super) fn tensors(&self, repo: &Repo, delta: bool) -> Option<OldTensors> {
        if !delta {
            return None;
        }
        [&self.base, &self.replaced].into_iter().flatten().find_map(|old| OldTensors::of(repo, old))
    }
}

fn entries_of(directory: Option<Entry>) -> Option<NodeId> {
    match directory?.kind {
        Kind::Directory { entries } => entries,
        _ => None,
    }
}

/// Walks a tree. `parent` is the directory that the same paths gave in the parent snapshot, `base` that of another one.
pub(super) fn feed_tree(feed: &Feed<'_, '_>, walk: Walk, parent: Option<NodeId>, base: Option<NodeId>) {
    let batch = Batch { files: Vec::new(), bytes: 0 };
    // A closed channel ends the walk: the assembler has failed and says why.
    let unchanged = Vec::new();
    let _ = TreeFeeder { feed, parents: Vec::new(), bases: Vec::new(), batch, unchanged, roots: (parent, base) }.run(walk);
}

struct TreeFeeder<'f, 'g, 'scope> {
    feed: &'f Feed<'g, 'scope>,
    /// For each open directory, what the parent snapshot has there.
    parents: Vec<Parent<'scope>>,
    /// The same for the snapshot that bases are taken from.
    bases: Vec<Parent<'scope>>,
    /// Files that are to be read. Of these and the unchanged ones there are never both: they go on in the order in which they came.
    batch: Batch,
    unchanged: Vec<Unchanged>,
    roots: (Option<NodeId>, Option<NodeId>),
}

impl TreeFeeder<'_, '_, '_> {
    fn run(&mut self, walk: Walk) -> Result<(), Gone> {
        for event in walk {
            match event {
                Event::Enter(found) => self.enter(found)?,
                Event::Leave => {
                    self.flush()?;
                    self.parents.pop();
                    self.bases.pop();
                    self.send(Item::Leave)?;
                }
                Event::Entry(found) => self.entry(found)?,
                Event::Problem(error) => {
                    self.flush()?;
                    self.send(Item::Problem(problem(&error)))?;
                }
            }
        }
        self.flush()
    }

    fn send(&self, item: Item) -> Result<(), Gone> {
        self.feed.items.send(item).map_err(|_| Gone)
    }

    fn enter(&mut self, found: Found) -> Result<(), Gone> {
        self.flush()?;
        let (parent, base) = if self.parents.is_empty() {
            std::mem::take(&mut self.roots)
        } else {
            (entries_of(self.in_parent(&found.name)?), entries_of(self.in_base(&found.name)))
        };
        let cursor = |root: Option<NodeId>| root.map(|root| EntriesCursor::new(self.feed.repo, Some(root)));
        self.parents.push(cursor(parent));
        self.bases.push(cursor(base));
        let meta = (!found.is_virtual()).then_some(found.meta);
        self.send(Item::Enter { name: found.name, meta })
    }

    /// What the parent snapshot has under this name. Names are asked for in ascending order.
    fn in_parent(&mut self, name: &[u8]) -> Result<Option<Entry>, Gone> {
        let Some(Some(cursor)) = self.parents.last_mut() else { return Ok(None) };
        match cursor.find(name) {
            Ok(entry) => Ok(entry),
            Err(error) => {
                // A damaged parent costs reading its files again; it does not stop a push.
                let message = format!("the parent snapshot cannot be read here, so all is read again: {}", chain(&error));
                self.parents.iter_mut().for_each(|parent| *parent = None);
                self.send(Item::Problem(Warning { item: "parent snapshot".into(), message }))?;
                Ok(None)
            }
        }
    }

    /// What the snapshot that bases are taken from has under this name. Where it cannot be read there are no bases.
    fn in_base(&mut self, name: &[u8]) -> Option<Entry> {
        let Some(Some(cursor)) = self.bases.last_mut() else { return None };
        match cursor.find(name) {
            Ok(entry) => entry,
            Err(_) => {
                self.bases.iter_mut().for_each(|base| *base = None);
                None
            }
        }
    }

    fn entry(&mut self, found: Found) -> Result<(), Gone> {
        let old = self.in_parent(&found.name)?;
        let kind = match found.what {
            What::File { size, .. } => {
                let base = self.in_base(&found.name);
                return match old {
                    Some(old) if !self.feed.force && is_unchanged(&old, &found.meta, size) => {
                        self.unchanged(Unchanged { found, size, old, base })
                    }
                    replaced => {
                        self.settle()?;
                        self.file(found, size, Older { base, replaced })
                    }
                };
            }
            What::Directory => return Ok(()),
            What::Other(kind) => kind,
        };
        let entry = Entry { name: found.name, kind, meta: found.meta };
        let same = old.is_some_and(|old| old == entry);
        self.ready(entry, found.path, same)
    }

    /// A file needs no reading if nothing says that it changed, and all that the parent has of it is held.
    fn unchanged(&mut self, file: Unchanged) -> Result<(), Gone> {
        self.flush_batch()?;
        self.unchanged.push(file);
        if self.feed.context.known.holds_all() || self.unchanged.len() >= LOOK_UP { self.settle() } else { Ok(()) }
    }

    /// Takes over what is held of files that look unchanged, and reads the others.
    fn settle(&mut self) -> Result<(), Gone> {
        let files = std::mem::take(&mut self.unchanged);
        if files.is_empty() {
            return Ok(());
        }
        let held = self.feed.context.known.has_files(self.feed.repo, files.iter().map(|file| &file.old));
        for (Unchanged { found, size, old, base }, held) in files.into_iter().zip(held) {
            if held {
                self.flush_batch()?;
                let entry = Entry { name: found.name, kind: old.kind, meta: found.meta };
                self.send(Item::Ready(Box::new(entry), found.path, true))?;
            } else {
                self.file(found, size, Older { base, replaced: Some(old) })?;
            }
        }
        Ok(())
    }

    fn ready(&mut self, entry: Entry, path: PathBuf, same: bool) -> Result<(), Gone> {
        self.flush()?;
        self.send(Item::Ready(Box::new(entry), path, same))
    }

    fn file(&mut self, found: Found, size: u64, older: Older) -> Result<(), Gone> {
        if size <= WHOLE {
            if self.batch.files.len() >= BATCH_FILES || self.batch.bytes + size > BATCH_BYTES {
                self.flush_batch()?;
            }
            self.batch.files.push((found, older));
            self.batch.bytes += size;
            return Ok(());
        }
        self.flush_batch()?;
        let file = match found.open() {
            Ok(file) => Arc::new(file),
            Err(error) => return self.send(Item::Problem(problem(&error))),
        };
        let (meta, incomplete) = file.metadata();
        if let Some(error) = incomplete {
            self.send(Item::Problem(problem(&error)))?;
        }
        let path = found.path.to_string_lossy().into_owned();
        let large = LargeFile { name: found.name, path, replaces: older.replaced.is_some(), meta, file: Some(Arc::clone(&file)) };
        self.send(Item::Begin(Box::new(large)))?;
        let tensors = || older.tensors(self.feed.repo, self.feed.delta);
        let given = pieces(&self.feed.context, &*file, &tensors, &mut |piece| {
            self.feed
                .spawn(piece, Some(Arc::clone(&file) as Arc<dyn Readable>))
                .map_err(|Gone| CutError::Read(std::io::ErrorKind::BrokenPipe.into()))
        });
        if let Err(error) = given {
            let (sender, receiver) = bounded(1);
            let _ = sender.send(Err(error));
            self.send(Item::Piece(receiver))?;
        }
        self.send(Item::End)
    }

    /// Sends all that waits.
    fn flush(&mut self) -> Result<(), Gone> {
        self.settle()?;
        self.flush_batch()
    }

    fn flush_batch(&mut self) -> Result<(), Gone> {
        if self.batch.files.is_empty() {
            return Ok(());
        }
        let files = std::mem::take(&mut self.batch.files);
        let permit = self.feed.context.read_ahead.take(std::mem::take(&mut self.batch.bytes) as usize);
        let (context, repo, delta) = (Arc::clone(&self.feed.context), self.feed.repo, self.feed.delta);
        let (sender, receiver) = bounded(1);
        self.feed.scope.spawn_fifo(move |_| {
            let read = |(found, older): (Found, Older)| {
                let file = whole_file(&context, found, older.replaced.is_some(), &|| older.tensors(repo, delta));
                older.note_replaced(&context, &file);
                file
            };
            // Nobody waits for the result any more when the push has failed.
            let _ = sender.send((files.into_iter().map(read).collect(), permit));
        });
        self.send(Item::Batch(receiver))
    }
}

impl<'scope> Feed<'_, 'scope> {
    /// Has a piece cut on the pool; `file` is what it is read from, unless it was read already.
    pub(super) fn spawn(&self, piece: Piece, file: Option<Arc<dyn Readable + 'scope>>) -> Result<(), Gone> {
        let context = Arc::clone(&self.context);
        let (sender, receiver) = bounded(1);
        self.scope.spawn_fifo(move |_| {
            let _ = sender.send(piece.cut(&context, file.as_deref()));
        });
        self.items.send(Item::Piece(receiver)).map_err(|_| Gone)
    }
}

/// Size, times and inode are those that the parent snapshot recorded, so the bytes are taken to be, too.
fn is_unchanged(old: &Entry, meta: &Metadata, size: u64) -> bool {
    let Kind::File { size: old_size, .. } = old.kind else { return false };
    let then = &old.meta;
    old_size == size && then.mtime == meta.mtime && then.ctime == meta.ctime && then.inode == meta.inode
}

fn whole_file(context: &CutContext, found: Found, replaces: bool, old: &OldVersion<'_>) -> WholeFile {
    let mut read = Err(FileError::Unreadable(String::new()));
    for _ in 0..TRIES {
        read = read_whole(context, &found, old);
        if !matches!(read, Err(FileError::Unreadable(_))) {
            break;
        }
    }
    WholeFile { path: found.path.to_string_lossy().into_owned(), name: found.name, replaces, read }
}

fn read_whole(context: &CutContext, found: &Found, old: &OldVersion<'_>) -> Result<(Metadata, Vec<Cut>), FileError> {
    let file = found.open().map_err(|error| FileError::Unreadable(chain(&error)))?;
    let (meta, incomplete) = file.metadata();
    if let Some(error) = incomplete {
        return Err(FileError::Unreadable(chain(&error)));
    }
    let mut cuts = Vec::new();
    read_again(context, &file, old, &mut |cut| {
        cuts.push(cut);
        Ok(())
    })?;
    Ok((meta, cuts))
}

/// Reads a file in this thread, from start to end, and gives its pieces as they come. One that changes meanwhile is unreadable.
pub(super) fn read_again(
    context: &CutContext,
    file: &OpenFile,
    old: &OldVersion<'_>,
    give: &mut dyn FnMut(Cut) -> Result<(), FileError>,
) -> Result<(), FileError> {
    read_all(context, file, old, give)?;
    match file.unchanged() {
        Ok(true) => Ok(()),
        Ok(false) => Err(FileError::Unreadable("it changes while it is read; push again when nothing writes to it".into())),
        Err(error) => Err(FileError::Unreadable(format!("cannot look at it again: {error}"))),
    }
}

/// Reads a file in this thread, from start to end, and gives its pieces as they come.
pub(super) fn read_all(
    context: &CutContext,
    file: &dyn Readable,
    old: &OldVersion<'_>,
    give: &mut dyn FnMut(Cut) -> Result<(), FileError>,
) -> Result<(), FileError> {
    // These bytes are counted by the caller: waiting here for what pieces further on hold could last for ever.
    let unlimited = CutContext { read_ahead: super::Budget::new(usize::MAX), ..context.clone() };
    let mut failed = None;
    let given = pieces(&unlimited, file, old, &mut |piece| {
        let cut = piece.cut(&unlimited, Some(file))?;
        give(cut).map_err(|error| {
            failed = Some(error);
            CutError::Read(std::io::ErrorKind::Interrupted.into())
        })
    });
    if let Some(error) = failed {
        return Err(error);
    }
    given.map_err(|error| match error {
        CutError::Read(error) => FileError::Unreadable(format!("cannot read it: {error}")),
        CutError::Repo(error) => FileError::Repo(error),
    })
}

fn problem(error: &SourceError) -> Warning {
    Warning { item: error.path().to_string_lossy().into_owned(), message: chain(error) }
}
