//! The assembler: takes items in order, builds the lists of files and directories, and has new chunks stored.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Arc;

use crossbeam_channel::Receiver;

use super::ahead::Ahead;
use super::cut::{Cut, CutContext, CutError};
use super::feed::{FileError, Item, LargeFile, TRIES, WholeFile, read_again};
use super::store::{BlobStore, NewChunk, NewCounts};
use crate::base::ids::NodeId;
use crate::base::units::KIB;
use crate::compressed::{self, Compressed};
use crate::crypto::RepoKeys;
use crate::error::{Error, ErrorKind, chain};
use crate::format::entry::{Content, Entry, Extent, Kind, Metadata, Timestamp};
use crate::format::snapshot::Totals;
use crate::merkle::{EntriesBuilder, ExtentsBuilder};
use crate::monitor::{Monitor, Notice, Progress, Warning};
use crate::repo::WrittenCounts;
use crate::source::{Excludes, OpenFile};

/// Compressed files below this length are not worth a word.
const LEAST_COMPRESSED: u64 = 64 * KIB as u64;

/// How files compare with the parent snapshot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FileCounts {
    /// Not there before.
    pub new: u64,
    /// There before, and read again.
    pub changed: u64,
    /// There before, and taken over.
    pub unmodified: u64,
}

/// What came out.
#[derive(Debug, Clone)]
pub struct Assembled {
    /// The snapshot's root.
    pub root: NodeId,
    /// What it holds.
    pub totals: Totals,
    /// How its files compare with the parent.
    pub files: FileCounts,
    /// What was new.
    pub new: NewCounts,
    /// Chunks that were held already, among the files that were read.
    pub known_chunks: u64,
    /// Bytes of files that were read.
    pub read_bytes: u64,
    /// Which of the required patterns nothing matches, by their place.
    pub unmet: Vec<usize>,
}

struct Directory {
    name: Vec<u8>,
    meta: Metadata,
    entries: EntriesBuilder,
}

/// A file's list of extents while it is built.
struct FileList {
    inline: Vec<Extent>,
    long: Option<ExtentsBuilder>,
    size: u64,
    /// How it is compressed, if its beginning is new.
    compressed: Option<Compressed>,
}

/// Assembles one snapshot.
pub(super) struct Assembler<'a, 's, 'scope> {
    pub(super) keys: &'a RepoKeys,
    pub(super) context: Arc<CutContext>,
    pub(super) store: BlobStore<'s, 'scope>,
    pub(super) monitor: &'a dyn Monitor,
    pub(super) written: &'a dyn Fn() -> WrittenCounts,
    /// A guess at what there will be, and what a look ahead has found of it.
    expected: (Totals, Option<&'a Ahead>),
    directories: Vec<Directory>,
    totals: Totals,
    files: FileCounts,
    known_chunks: u64,
    read_bytes: u64,
    /// What came compressed.
    compressed: BTreeMap<Compressed, Notice>,
    root: Option<NodeId>,
    /// Bytes of the file that is being assembled, and the most that was ever told: counts only grow, though a file may be read again.
    partial: u64,
    told: u64,
    /// Patterns that nothing matched yet, each with its place.
    unmet: Vec<(usize, &'a Excludes)>,
}

impl<'a, 's, 'scope> Assembler<'a, 's, 'scope> {
    pub(super) fn new(
        keys: &'a RepoKeys,
        context: Arc<CutContext>,
        store: BlobStore<'s, 'scope>,
        monitor: &'a dyn Monitor,
        written: &'a dyn Fn() -> WrittenCounts,
        expected: (Totals, Option<&'a Ahead>),
        require: &'a [Excludes],
    ) -> Self {
        let (totals, files) = (Totals::default(), FileCounts::default());
        Self {
            keys,
            context,
            store,
            monitor,
            written,
            expected,
            directories: Vec::new(),
            totals,
            files,
            known_chunks: 0,
            read_bytes: 0,
            compressed: BTreeMap::new(),
            root: None,
            partial: 0,
            told: 0,
            unmet: require.iter().enumerate().collect(),
        }
    }

    /// Takes all items.
    pub(super) fn run(mut self, items: &Receiver<Item>) -> Result<Assembled, Error> {
        let mut large: Option<(Box<LargeFile>, FileList, Option<String>)> = None;
        for item in items {
            if self.monitor.interrupted() {
                return Err(Error::new(ErrorKind::Interrupted, "interrupted"));
            }
            match item {
                Item::Enter { name, meta } => {
                    self.totals.directories += 1;
                    self.directories.push(Directory { name, meta: meta.unwrap_or_else(bare), entries: EntriesBuilder::new() });
                }
                Item::Leave => self.leave()?,
                Item::Ready(entry, path, same) => self.ready(*entry, &path, same)?,
                Item::Batch(files) => {
                    let (files, permit) = files.recv().map_err(|_| worker_gone())?;
                    for file in files {
                        self.whole(file)?;
                        self.report();
                    }
                    drop(permit);
                }
                Item::Begin(file) => {
                    self.reading(&file.path);
                    large = Some((file, FileList::new(), None));
                }
                Item::Piece(piece) => {
                    let Some((_, list, failed)) = &mut large else { continue };
                    match piece.recv().map_err(|_| worker_gone())? {
                        Ok(cut) if failed.is_none() => self.add_cut(list, cut)?,
                        Ok(_) => {}
                        Err(CutError::Read(error)) => *failed = Some(format!("cannot read it: {error}")),
                        Err(CutError::Repo(error)) => return Err(error),
                    }
                }
                Item::End => {
                    if let Some((file, list, failed)) = large.take() {
                        self.end_large(*file, list, failed)?;
                    }
                }
                Item::Problem(warning) => self.problem(warning),
                Item::Failed(error) => return Err(error),
            }
            self.report();
        }
        let root = self.root.ok_or_else(|| Error::new(ErrorKind::Failed, "the walk ended before its root did"))?;
        self.store.finish()?;
        self.compressed.values().for_each(|notice| self.monitor.notice(notice));
        let (totals, files) = (self.totals, self.files);
        let unmet = self.unmet.into_iter().map(|(place, _)| place).collect();
        Ok(Assembled { root, totals, files, new: self.store.counts, known_chunks: self.known_chunks, read_bytes: self.read_bytes, unmet })
    }

    /// From here on chunks are of the file at `path`.
    fn reading(&mut self, path: &str) {
        self.store.reading(path);
        self.context.scratch.iter().for_each(|scratch| scratch.reading(path));
    }

    fn report(&mut self) {
        self.told = self.told.max(self.totals.bytes + self.partial);
        let (totals, written) = (&self.totals, (self.written)());
        let (guess, ahead) = &self.expected;
        let (files, bytes) = ahead.map_or((guess.files, guess.bytes), |ahead| ahead.totals(guess));
        self.context.account.iter().for_each(|account| account.expect(bytes));
        self.monitor.progress(&Progress {
            files_done: totals.files,
            files_total: files.max(totals.files),
            bytes_done: self.told,
            // Of a stream nobody knows: what was read of it is not all.
            bytes_total: if bytes == 0 { 0 } else { bytes.max(self.told) },
            new_bytes: self.store.counts.bytes,
            stored_bytes: written.bytes,
        });
    }

    fn problem(&mut self, warning: Warning) {
        self.totals.unreadable += 1;
        self.monitor.warning(&warning);
    }

    fn ready(&mut self, entry: Entry, path: &Path, same: bool) -> Result<(), Error> {
        match &entry.kind {
            Kind::File { size, .. } => {
                self.totals.files += 1;
                self.totals.bytes += size;
                self.files.unmodified += 1;
                self.context.account.iter().for_each(|account| account.pass(*size));
                self.monitor.file(&path.to_string_lossy(), if same { "unmodified" } else { "changed" }, *size);
            }
            // With all that is in it, which a copy does not count.
            Kind::Directory { .. } => {
                self.totals.directories += 1;
                self.context.account.iter().for_each(|account| account.pass_folder());
            }
            _ => self.totals.others += 1,
        }
        self.push(&entry)
    }

    fn whole(&mut self, file: WholeFile) -> Result<(), Error> {
        match file.read {
            Ok((meta, cuts)) => {
                let mut list = FileList::new();
                self.reading(&file.path);
                for cut in cuts {
                    self.add_cut(&mut list, cut)?;
                }
                self.end_file(file.name, &file.path, file.replaces, meta, list)
            }
            Err(FileError::Unreadable(message)) => {
                self.problem(Warning { item: file.path, message });
                Ok(())
            }
            Err(FileError::Repo(error)) => Err(error),
        }
    }

    fn end_large(&mut self, large: LargeFile, mut list: FileList, mut failed: Option<String>) -> Result<(), Error> {
        let LargeFile { name, path, replaces, mut meta, file } = large;
        let Some(file) = file else {
            // It has no second try, and half of it is no snapshot.
            return match failed {
                Some(message) => Err(Error::new(ErrorKind::Failed, format!("{path}: {message}"))),
                None => self.end_file(name, &path, replaces, meta, list),
            };
        };
        let mut tries = 1;
        while failed.is_some() || !file.unchanged().unwrap_or(false) {
            if tries == TRIES {
                let message = failed.unwrap_or_else(|| "it changes while it is read; push again when nothing writes to it".into());
                self.problem(Warning { item: path, message });
                return Ok(());
            }
            tries += 1;
            self.monitor.detail(&format_args!("{path}: changed while it was read, try {tries}"));
            // Rare and large: read again in this thread, a piece at a time.
            match self.read_again(&file) {
                Ok((again, new_meta)) => {
                    list = again;
                    meta = new_meta;
                    break;
                }
                Err(FileError::Unreadable(message)) => failed = Some(message),
                Err(FileError::Repo(error)) => return Err(error),
            }
        }
        self.end_file(name, &path, replaces, meta, list)
    }

    fn read_again(&mut self, file: &OpenFile) -> Result<(FileList, Metadata), FileError> {
        let again = OpenFile::open(file.path()).map_err(|error| FileError::Unreadable(chain(&error)))?;
        let (meta, _) = again.metadata();
        let (context, mut list) = (Arc::clone(&self.context), FileList::new());
        read_again(&context, &again, &|| None, &mut |cut| {
            self.report();
            self.add_cut(&mut list, cut).map_err(FileError::Repo)
        })?;
        Ok((list, meta))
    }

    fn end_file(&mut self, name: Vec<u8>, path: &str, replaces: bool, meta: Metadata, list: FileList) -> Result<(), Error> {
        let size = list.size;
        if let Some(kind) = list.compressed.filter(|_| size >= LEAST_COMPRESSED) {
            let none = || Notice { item: path.to_owned(), what: kind.name(), files: 0, bytes: 0, advice: kind.advice() };
            let notice = self.compressed.entry(kind).or_insert_with(none);
            notice.files += 1;
            notice.bytes += size;
        }
        let content = self.end_list(list)?;
        self.partial = 0;
        self.totals.files += 1;
        self.totals.bytes += size;
        if replaces {
            self.files.changed += 1;
        } else {
            self.files.new += 1;
        }
        self.monitor.file(path, if replaces { "changed" } else { "new" }, size);
        self.push(&Entry { name, kind: Kind::File { size, content }, meta })
    }

    fn add_cut(&mut self, list: &mut FileList, cut: Cut) -> Result<(), Error> {
        match cut {
            Cut::Hole { len } => self.add_extent(list, Extent::Hole { len }),
            Cut::Chunks { bytes, chunks, dtype, drawn, _permit } => {
                self.read_bytes += bytes.len() as u64;
                // What was held before has been told of before.
                if list.size == 0 && dtype.is_none() && chunks.iter().any(|chunk| !chunk.known) {
                    list.compressed = compressed::detect(&bytes[..bytes.len().min(Compressed::PREFIX_LEN)]);
                }
                for chunk in chunks {
                    if chunk.known {
                        self.known_chunks += 1;
                    } else {
                        let bytes = &bytes[chunk.start..chunk.start + chunk.len];
                        self.context.scratch.iter().for_each(|scratch| scratch.met(chunk.id, list.size));
                        self.store.chunk(NewChunk { id: chunk.id, bytes, dtype, hint: chunk.hint, limit: None, whole: false, drawn })?;
                    }
                    self.add_extent(list, Extent::Chunk { id: chunk.id, len: chunk.len as u32 })?;
                }
                Ok(())
            }
        }
    }

    fn add_extent(&mut self, list: &mut FileList, extent: Extent) -> Result<(), Error> {
        list.size += extent.len();
        self.partial = list.size;
        let (keys, store) = (self.keys, &mut self.store);
        let mut emit = |id, bytes: Vec<u8>| store.node(id, &bytes);
        match &mut list.long {
            Some(long) => long.push(keys, &extent, &mut emit),
            None if list.inline.len() < Content::INLINE => {
                list.inline.push(extent);
                Ok(())
            }
            None => {
                let long = list.long.insert(ExtentsBuilder::new());
                list.inline.drain(..).chain([extent]).try_for_each(|extent| long.push(keys, &extent, &mut emit))
            }
        }
    }

    fn end_list(&mut self, list: FileList) -> Result<Content, Error> {
        let store = &mut self.store;
        let Some(long) = list.long else { return Ok(Content::Inline(list.inline)) };
        let root = long.finish(self.keys, &mut |id, bytes: Vec<u8>| store.node(id, &bytes))?;
        root.map(Content::List).ok_or_else(|| Error::new(ErrorKind::Failed, "a long list has no root"))
    }

    /// Crosses off the patterns that an entry matches by its path in the snapshot.
    fn cross_off(&mut self, name: &[u8]) {
        let above = self.directories.iter().skip(1).map(|directory| directory.name.as_slice());
        let path = [b"/", &above.chain([name]).collect::<Vec<_>>().join(&b'/')[..]].concat();
        self.unmet.retain(|(_, pattern)| !pattern.matches(Path::new(OsStr::from_bytes(&path))));
    }

    fn push(&mut self, entry: &Entry) -> Result<(), Error> {
        if !self.unmet.is_empty() && !matches!(entry.kind, Kind::Directory { .. }) {
            self.cross_off(&entry.name);
        }
        let (keys, store) = (self.keys, &mut self.store);
        let directory = self.directories.last_mut().ok_or_else(|| Error::new(ErrorKind::Failed, "an entry outside of any directory"))?;
        directory.entries.push(keys, entry, &mut |id, bytes: Vec<u8>| store.node(id, &bytes))
    }

    fn leave(&mut self) -> Result<(), Error> {
        let Some(directory) = self.directories.pop() else { return Ok(()) };
        let store = &mut self.store;
        let entries = directory.entries.finish(self.keys, &mut |id, bytes: Vec<u8>| store.node(id, &bytes))?;
        let mut entry = Entry { name: directory.name, kind: Kind::Directory { entries }, meta: directory.meta };
        if !self.directories.is_empty() {
            return self.push(&entry);
        }
        entry.name = b"root".to_vec();
        let mut list = EntriesBuilder::new();
        let store = &mut self.store;
        list.push(self.keys, &entry, &mut |id, bytes: Vec<u8>| store.node(id, &bytes))?;
        self.root = list.finish(self.keys, &mut |id, bytes: Vec<u8>| store.node(id, &bytes))?;
        Ok(())
    }
}

impl FileList {
    fn new() -> Self {
        Self { inline: Vec::new(), long: None, size: 0, compressed: None }
    }
}

fn worker_gone() -> Error {
    Error::new(ErrorKind::Failed, "a worker thread ended before its work did")
}

/// The metadata of a directory that stands behind no path.
fn bare() -> Metadata {
    let zero = Timestamp { seconds: 0, nanos: 0 };
    Metadata { mode: 0o755, uid: 0, gid: 0, mtime: zero, ctime: zero, inode: 0, device: 0, links: 1, xattrs: Vec::new() }
}
