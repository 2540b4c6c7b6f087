//! Reading the bytes of a stored file: anywhere in it, or in order with the next blobs decoded ahead on all cores.
//!
//! Memory is bounded whatever the file: one chunk, or a window of runs within the budget for reading ahead. Every chunk is compared with its id
//! before a byte of it is handed out.

use std::collections::VecDeque;

use crossbeam_channel::Receiver;

use super::{ReadError, Repo};
use crate::base::ids::ChunkId;
use crate::base::limits;
use crate::error::{Error, ErrorKind};
use crate::format::entry::{Content, Entry, Extent, Kind};
use crate::format::node::Node;
use crate::index::Location;
use crate::merkle::{ExtentsCursor, NodeSource as _};
use crate::pipeline::detect_with;
use crate::tensor::Layout;

/// Runs of chunks that are decoded ahead.
const WINDOW: usize = 16;
/// Most plain bytes of one run, unless one chunk has more.
const RUN: usize = limits::CHUNK_LEN;
/// Chunks that are looked up at a time.
const LOOK_UP: usize = 256;

/// A run of a file's bytes with its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Placed {
    /// Where in the file it begins.
    pub(crate) offset: u64,
    /// What it is.
    pub(crate) extent: Extent,
}

impl Placed {
    /// The offset past its last byte. It does not overflow: extents lie within their file.
    pub(crate) fn end(&self) -> u64 {
        self.offset + self.extent.len()
    }
}

/// The next bytes of a file that is read in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part<'b> {
    /// Bytes.
    Bytes(&'b [u8]),
    /// So many zeros that take no room.
    Hole(u64),
}

/// A file in the repository.
#[derive(Debug, Clone)]
pub struct StoredFile<'r> {
    repo: &'r Repo,
    size: u64,
    content: Content,
    last: Option<(ChunkId, Vec<u8>)>,
}

impl<'r> StoredFile<'r> {
    /// The file that `entry` is; `None` when it is none.
    pub fn new(repo: &'r Repo, entry: &Entry) -> Option<Self> {
        match &entry.kind {
            Kind::File { size, content } => Some(Self { repo, size: *size, content: content.clone(), last: None }),
            _ => None,
        }
    }

    /// Length in bytes.
    pub fn len(&self) -> u64 {
        self.size
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.size == 0
    }

    /// The file's extents in order, from the one that holds the byte at `offset`.
    pub(crate) fn extents(&self, offset: u64) -> Result<Extents<'r>, Error> {
        let mut extents = Extents { list: List::of(self.repo, &self.content), size: self.size, next: 0 };
        extents.skip(offset)?;
        Ok(extents)
    }

    /// The nodes of its list of extents, by the ids under which the index has them; none while that is short.
    pub(crate) fn nodes(&self) -> Result<Vec<ChunkId>, Error> {
        let mut found = Vec::new();
        let Content::List(root) = self.content else { return Ok(found) };
        let mut open = vec![root];
        while let Some(id) = open.pop() {
            found.push(ChunkId::from_bytes(*id.as_bytes()));
            if let Node::ExtentsInner { children, level } = self.repo.node(&id)? {
                // Leaves are named by their parent, and need not be read.
                match level {
                    1 => found.extend(children.iter().map(|child| ChunkId::from_bytes(*child.id.as_bytes()))),
                    _ => open.extend(children.into_iter().map(|child| child.id)),
                }
            }
        }
        Ok(found)
    }

    /// Fills `buffer` with the bytes from `offset`.
    ///
    /// # Errors
    /// When they cannot be read, are not those that were stored, or lie past the file's end.
    pub fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        let end = offset.checked_add(buffer.len() as u64).filter(|end| *end <= self.size);
        let end = end.ok_or_else(|| Error::new(ErrorKind::Failed, "a file was read past its end"))?;
        let mut extents = self.extents(offset)?;
        let mut at = offset;
        while at < end {
            let placed = extents.next()?.ok_or_else(does_not_add_up)?;
            let until = placed.end().min(end);
            let out = &mut buffer[(at - offset) as usize..(until - offset) as usize];
            match placed.extent {
                Extent::Hole { .. } => out.fill(0),
                Extent::Chunk { id, len } => {
                    let start = (at - placed.offset) as usize;
                    out.copy_from_slice(&self.chunk(id, len)?[start..start + (until - at) as usize]);
                }
            }
            at = until;
        }
        Ok(())
    }

    fn chunk(&mut self, id: ChunkId, len: u32) -> Result<&[u8], Error> {
        let bytes = match self.last.take() {
            Some((last, bytes)) if last == id => bytes,
            _ => self.repo.chunk(&id)?,
        };
        if bytes.len() != len as usize {
            return Err(does_not_add_up());
        }
        Ok(&self.last.insert((id, bytes)).1)
    }

    /// Where the file's tensors lie; `None` when it is no weights file that is known.
    ///
    /// # Errors
    /// When its header cannot be read.
    pub fn layout(&mut self) -> Result<Option<Layout>, Error> {
        let mut failed = None;
        let found = detect_with(self.size, |offset, buffer| {
            self.read_at(offset, buffer).map_err(|error| {
                failed = Some(error);
                std::io::ErrorKind::Other.into()
            })
        });
        match (found, failed) {
            (_, Some(error)) => Err(error),
            (found, None) => found.map_err(|error| Error::with(ErrorKind::Failed, "cannot read a header", error)),
        }
    }

    /// Hands out all bytes in order. While `give` works on one part the next ones are read and decoded. Must not run on a thread of the
    /// repository's own pool, which it waits for.
    ///
    /// # Errors
    /// The first of `give`, or of reading.
    pub fn for_each(&self, give: &mut dyn FnMut(Part<'_>) -> Result<(), Error>) -> Result<(), Error> {
        let mut extents = self.extents(0)?;
        let (repo, index) = (self.repo, self.repo.index()?);
        let mut ahead = Ahead { waiting: VecDeque::new(), bytes: 0, budget: repo.memory.read_ahead, give };
        repo.pool.in_place_scope_fifo(|scope| {
            loop {
                let mut some = Vec::with_capacity(LOOK_UP);
                while some.len() < LOOK_UP
                    && let Some(placed) = extents.next()?
                {
                    some.push(placed.extent);
                }
                if some.is_empty() {
                    return ahead.finish();
                }
                let ids: Vec<_> = some.iter().filter_map(chunk_id).collect();
                for run in runs(&some, index.find(&ids)?) {
                    let (chunks, bytes) = match run {
                        Run::Hole(len) => {
                            ahead.push(Waiting::Hole(len), 0)?;
                            continue;
                        }
                        Run::Chunks { chunks, bytes } => (chunks, bytes),
                    };
                    ahead.make_room(bytes)?;
                    let (sender, receiver) = crossbeam_channel::bounded(1);
                    scope.spawn_fifo(move |_| {
                        // Nobody waits for it any more after an error.
                        let _ = sender.send(read_run(repo, &chunks, bytes));
                    });
                    ahead.push(Waiting::Run(receiver), bytes)?;
                }
            }
        })
    }
}

fn does_not_add_up() -> Error {
    Error::new(ErrorKind::Damage, "a file's chunks do not add up to its size")
}

fn chunk_id(extent: &Extent) -> Option<ChunkId> {
    match extent {
        Extent::Chunk { id, .. } => Some(*id),
        Extent::Hole { .. } => None,
    }
}

fn read_run(repo: &Repo, chunks: &[(ChunkId, u32)], bytes: usize) -> Result<Vec<u8>, ReadError> {
    let mut out = Vec::with_capacity(bytes);
    for (id, len) in chunks {
        let chunk = repo.chunk(id)?;
        if chunk.len() != *len as usize {
            return Err(ReadError::Content { object: "a list".into(), id: format!("chunk {id} of {len} bytes") });
        }
        out.extend_from_slice(&chunk);
    }
    Ok(out)
}

/// Chunks one after the other in one blob, so that it is decoded once.
enum Run {
    Hole(u64),
    Chunks { chunks: Vec<(ChunkId, u32)>, bytes: usize },
}

fn runs(extents: &[Extent], locations: Vec<Option<Location>>) -> Vec<Run> {
    let mut runs = Vec::new();
    let mut locations = locations.into_iter();
    let mut blob = None;
    for extent in extents {
        let (id, len) = match *extent {
            Extent::Hole { len } => {
                runs.push(Run::Hole(len));
                continue;
            }
            Extent::Chunk { id, len } => (id, len),
        };
        let found = locations.next().flatten().map(|location| (location.pack, location.ordinal));
        match runs.last_mut() {
            Some(Run::Chunks { chunks, bytes }) if found.is_some() && found == blob && *bytes + len as usize <= RUN => {
                chunks.push((id, len));
                *bytes += len as usize;
            }
            _ => runs.push(Run::Chunks { chunks: vec![(id, len)], bytes: len as usize }),
        }
        blob = found;
    }
    runs
}

enum Waiting {
    Hole(u64),
    Run(Receiver<Result<Vec<u8>, ReadError>>),
}

/// What is on its way, in order.
struct Ahead<'g> {
    waiting: VecDeque<(Waiting, usize)>,
    bytes: usize,
    budget: usize,
    give: &'g mut dyn FnMut(Part<'_>) -> Result<(), Error>,
}

impl Ahead<'_> {
    fn make_room(&mut self, bytes: usize) -> Result<(), Error> {
        while !self.waiting.is_empty() && (self.waiting.len() >= WINDOW || self.bytes + bytes > self.budget) {
            self.give_one()?;
        }
        Ok(())
    }

    fn push(&mut self, next: Waiting, bytes: usize) -> Result<(), Error> {
        self.make_room(bytes)?;
        self.waiting.push_back((next, bytes));
        self.bytes += bytes;
        Ok(())
    }

    fn give_one(&mut self) -> Result<(), Error> {
        let Some((next, bytes)) = self.waiting.pop_front() else { return Ok(()) };
        self.bytes -= bytes;
        match next {
            Waiting::Hole(len) => (self.give)(Part::Hole(len)),
            Waiting::Run(receiver) => {
                let read = receiver.recv().map_err(|_| Error::new(ErrorKind::Failed, "a worker thread ended before its work did"))?;
                (self.give)(Part::Bytes(&read?))
            }
        }
    }

    fn finish(mut self) -> Result<(), Error> {
        while !self.waiting.is_empty() {
            self.give_one()?;
        }
        Ok(())
    }
}

enum List<'r> {
    Inline(std::vec::IntoIter<Extent>),
    Long(ExtentsCursor<'r, Repo>),
}

impl<'r> List<'r> {
    fn of(repo: &'r Repo, content: &Content) -> Self {
        match content {
            Content::Inline(extents) => Self::Inline(extents.clone().into_iter()),
            Content::List(root) => Self::Long(ExtentsCursor::new(repo, *root)),
        }
    }
}

/// A file's extents in order, each with its place. They tile the file: anything else is an error.
pub(crate) struct Extents<'r> {
    list: List<'r>,
    size: u64,
    next: u64,
}

impl Extents<'_> {
    /// The next extent.
    pub(crate) fn next(&mut self) -> Result<Option<Placed>, Error> {
        let extent = match &mut self.list {
            List::Inline(extents) => extents.next(),
            List::Long(cursor) => cursor.next()?,
        };
        let Some(extent) = extent else {
            return if self.next == self.size { Ok(None) } else { Err(does_not_add_up()) };
        };
        let offset = self.next;
        self.next = offset.checked_add(extent.len()).filter(|end| *end <= self.size).ok_or_else(does_not_add_up)?;
        Ok(Some(Placed { offset, extent }))
    }

    fn skip(&mut self, bytes: u64) -> Result<(), Error> {
        let rest = match &mut self.list {
            List::Long(cursor) => cursor.skip(bytes)?,
            List::Inline(extents) => {
                let mut rest = bytes;
                while let Some(len) = extents.as_slice().first().map(Extent::len).filter(|len| *len <= rest) {
                    rest -= len;
                    extents.next();
                }
                rest
            }
        };
        self.next = bytes - rest;
        Ok(())
    }
}
