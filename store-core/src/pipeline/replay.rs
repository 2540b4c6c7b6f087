//! Going through kept snapshots in the order of their times, and coding chunks of them as pushes of these alone would have: against the same segment of
//! the one before, what is most similar of what is held, or whole. What a snapshot brings is durable, and named by an index segment, before
//! the next one is coded against it (I10).
//!
//! Reads only what is coded, with its old and new bases, and the headers of the files that it stands in.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use super::account::Account;
use super::base::BaseFinder;
use super::budget::Budget;
use super::coding::CodingShared;
use super::cut::{CutContext, LEAST_TENSOR};
use super::fresh::Fresh;
use super::known::KnownChunks;
use super::parent::OldTensors;
use super::store::{BlobStore, Limit, NewChunk, NewCounts};
use super::tried::Coded;
use crate::base::ids::{ChunkId, NodeId};
use crate::base::limits;
use crate::chunking::{Region, regions};
use crate::error::{Error, ErrorKind};
use crate::format::entry::{Content, Entry, Extent, Kind};
use crate::format::node::Node;
use crate::index::PackNumber;
use crate::merkle::NodeSource as _;
use crate::monitor::Monitor;
use crate::repo::{Drawn, PackWriter, Repo, StoredFile, StoredSnapshot, WrittenCounts};
use crate::tensor::{Dtype, Layout};

/// A chunk with its place.
#[derive(Debug, Clone, Copy)]
pub(super) struct PlacedChunk<'p> {
    /// The file.
    pub(super) path: &'p [u8],
    /// Its length.
    pub(super) size: u64,
    /// Where in it the chunk starts.
    pub(super) offset: u64,
    pub(super) id: ChunkId,
    pub(super) len: u32,
    /// The number of the snapshot.
    pub(super) snapshot: usize,
}

/// Has chunks named that are on their way.
pub(super) type Name<'n> = dyn Fn(&[ChunkId]) -> Result<bool, Error> + 'n;

/// What is coded, and what is done where that fails.
pub(super) trait Choose {
    /// Of chunks that the target does not hold, those that are coded, each with what its coding may need where that is bounded.
    fn choose(&mut self, chunks: &[PlacedChunk<'_>]) -> Result<Vec<Option<Option<Limit>>>, Error>;

    /// What was coded before of a chosen chunk, for a target that holds what `known` says; `name` sees to it that chunks are held which are on
    /// their way, and says whether they were.
    fn coded(&mut self, _id: &ChunkId, _known: &KnownChunks, _name: &Name<'_>) -> Result<Coded, Error> {
        Ok(Coded::Not)
    }

    /// The bytes of a chosen chunk, where they are at hand.
    fn bytes(&self, _id: &ChunkId) -> Option<Vec<u8>> {
        None
    }

    /// Whether a chunk that cannot be read is passed over.
    fn passes_over(&self) -> bool;
}

/// From snapshots of one repository to blobs of the same or another one.
pub(super) struct Replay<'r> {
    source: &'r Repo,
    target: &'r Repo,
    kept: &'r [StoredSnapshot],
    context: Arc<CutContext>,
    /// Packs of the target that are there before the next snapshot.
    packs: PackNumber,
    seen: HashSet<NodeId>,
    monitor: &'r dyn Monitor,
}

impl<'r> Replay<'r> {
    /// Of the `kept` snapshots, which are in the order of their times. What `known` holds of `target` is not coded.
    pub(super) fn new(
        source: &'r Repo,
        target: &'r Repo,
        kept: &'r [StoredSnapshot],
        known: KnownChunks,
        monitor: &'r dyn Monitor,
    ) -> Self {
        let context = Arc::new(CutContext {
            keys: target.keys.clone(),
            chunker: target.chunker(),
            segment_len: target.config.segment_len as usize,
            known: Arc::new(known),
            read_ahead: Budget::new(target.memory.pieces),
            scratch: None,
            account: None,
        });
        let packs = context.known.packs();
        Self { source, target, kept, context, packs, seen: HashSet::new(), monitor }
    }

    /// Codes what the next snapshot brings. To be called for one after the other.
    pub(super) fn snapshot(&mut self, number: usize, choose: &mut dyn Choose) -> Result<(NewCounts, WrittenCounts), Error> {
        let Self { source, target, kept, monitor, .. } = *self;
        let stored = &kept[number];
        let previous = kept[..number].iter().rev().find(|other| other.snapshot.line() == stored.snapshot.line());
        while target.index()?.pack(self.packs)?.is_some() {
            self.packs += 1;
        }
        let account = Arc::new(Account::of_a_part(self.packs));
        let coding = Arc::new(CodingShared {
            bases: Some(BaseFinder::new(target, Arc::clone(&account))),
            fresh: Some(Fresh::new(&target.config)),
            writer: PackWriter::new(target, false)?,
            context: Arc::clone(&self.context),
            compression: target.compression,
            failure: Mutex::new(None),
            monitor,
            scratch: None,
        });
        let (known, seen) = (&self.context.known, &mut self.seen);
        let counts = target.pool.in_place_scope_fifo(|scope| {
            let store = BlobStore::new(scope, Arc::clone(&coding), Budget::new(target.memory.coding), &target.config);
            let mut walk = Walk { repo: source, known, account: &account, choose, store, seen, number, stored, previous, monitor };
            walk.run()?;
            walk.store.finish()?;
            Ok::<_, Error>(walk.store.counts)
        })?;
        coding.check()?;
        let coding = Arc::into_inner(coding).ok_or_else(|| Error::new(ErrorKind::Failed, "a coding job outlived the pipeline"))?;
        Ok((counts, coding.writer.finish()?.counts))
    }
}

/// Goes through one snapshot, but for nodes that another one had before.
struct Walk<'w, 's, 'scope> {
    repo: &'w Repo,
    known: &'w KnownChunks,
    account: &'w Account,
    choose: &'w mut dyn Choose,
    store: BlobStore<'s, 'scope>,
    seen: &'w mut HashSet<NodeId>,
    number: usize,
    stored: &'w StoredSnapshot,
    previous: Option<&'w StoredSnapshot>,
    monitor: &'w dyn Monitor,
}

/// A file of which some chunk is coded anew, with what is known of its tensors once somebody asked.
struct File<'f> {
    path: &'f [u8],
    entry: &'f Entry,
    tensors: Option<Tensors>,
}

/// Where a file's tensors are, and where those of the version before are.
struct Tensors {
    layout: Option<Layout>,
    regions: Vec<Region>,
    old: Option<OldTensors>,
}

impl Tensors {
    /// What stands at `offset`, and what it continues.
    fn at(&self, offset: u64, len: u32) -> (Option<Dtype>, Option<ChunkId>) {
        let after = self.regions.partition_point(|region| region.offset <= offset);
        let region = after.checked_sub(1).and_then(|index| self.regions.get(index));
        let Some((region, tensor)) = region.and_then(|region| Some((region, self.layout.as_ref()?.tensors.get(region.tensor?)?))) else {
            return (None, None);
        };
        let at = offset - region.offset;
        if at.checked_add(len.into()).is_none_or(|end| end > region.len) {
            return (None, None);
        }
        (Some(tensor.dtype), self.old.as_ref().and_then(|old| old.segment(tensor, at, len as usize)))
    }
}

impl Walk<'_, '_, '_> {
    fn run(&mut self) -> Result<(), Error> {
        let Kind::Directory { entries } = self.repo.find(self.stored, b"")?.kind else { return Ok(()) };
        let mut open: Vec<(NodeId, Vec<u8>, usize)> = entries.into_iter().map(|node| (node, Vec::new(), 0)).collect();
        while let Some((id, path, depth)) = open.pop() {
            if !self.is_new(id)? || depth > limits::TREE_DEPTH {
                continue;
            }
            match self.repo.node(&id)? {
                Node::EntriesInner { children, .. } => {
                    open.extend(children.into_iter().rev().map(|child| (child.id, path.clone(), depth)));
                }
                Node::Entries(entries) => {
                    let first = open.len();
                    for entry in entries {
                        let mut path = path.clone();
                        path.extend_from_slice(&entry.name);
                        match &entry.kind {
                            Kind::Directory { entries: Some(node) } => {
                                path.push(b'/');
                                open.push((*node, path, depth + 1));
                            }
                            Kind::File { content, .. } => self.file(&path, &entry, content)?,
                            _ => {}
                        }
                    }
                    open[first..].reverse();
                }
                Node::Extents(_) | Node::ExtentsInner { .. } => {}
            }
        }
        Ok(())
    }

    /// Whether a node was not gone through before.
    fn is_new(&mut self, id: NodeId) -> Result<bool, Error> {
        if self.monitor.interrupted() {
            return Err(Error::new(ErrorKind::Interrupted, "interrupted: nothing was deleted"));
        }
        Ok(self.seen.insert(id))
    }

    fn file(&mut self, path: &[u8], entry: &Entry, content: &Content) -> Result<(), Error> {
        let mut file = File { path, entry, tensors: None };
        let root = match content {
            Content::Inline(extents) => return self.extents(&mut file, 0, extents),
            Content::List(root) => *root,
        };
        let mut open = vec![(root, 0u64)];
        while let Some((id, offset)) = open.pop() {
            if !self.is_new(id)? {
                continue;
            }
            match self.repo.node(&id)? {
                Node::Extents(extents) => self.extents(&mut file, offset, &extents)?,
                Node::ExtentsInner { children, .. } => {
                    let first = open.len();
                    let mut at = offset;
                    for child in children {
                        open.push((child.id, at));
                        at = at.saturating_add(child.bytes);
                    }
                    open[first..].reverse();
                }
                Node::Entries(_) | Node::EntriesInner { .. } => {}
            }
        }
        Ok(())
    }

    fn extents(&mut self, file: &mut File<'_>, offset: u64, extents: &[Extent]) -> Result<(), Error> {
        let mut at = offset;
        let mut chunks = Vec::new();
        for extent in extents {
            if let Extent::Chunk { id, len } = extent {
                chunks.push((at, *id, *len));
            }
            at = at.saturating_add(extent.len());
        }
        let ids: Vec<_> = chunks.iter().map(|(_, id, _)| *id).collect();
        let mut places = Vec::new();
        let held = self.known.held(&ids, &mut places)?;
        self.account.meet(&places);
        if held.iter().all(|held| *held) {
            return Ok(());
        }
        let size = match file.entry.kind {
            Kind::File { size, .. } => size,
            _ => 0,
        };
        let placed: Vec<_> = chunks
            .into_iter()
            .zip(held)
            .filter(|(_, held)| !held)
            .map(|((offset, id, len), _)| PlacedChunk { path: file.path, size, offset, id, len, snapshot: self.number })
            .collect();
        let chosen = self.choose.choose(&placed)?;
        for (PlacedChunk { offset, id, len, .. }, limit) in
            placed.into_iter().zip(chosen).filter_map(|(chunk, limit)| Some((chunk, limit?)))
        {
            match self.choose.coded(&id, self.known, &|ids| self.store.name(ids))? {
                Coded::Not => {}
                Coded::Before => continue,
                Coded::Now(blob) => {
                    self.store.coded(blob)?;
                    continue;
                }
            }
            let bytes = match self.choose.bytes(&id).map_or_else(|| self.repo.chunk(&id), Ok) {
                Ok(bytes) => bytes,
                Err(_) if self.choose.passes_over() => continue,
                Err(error) => return Err(error.into()),
            };
            if file.tensors.is_none() {
                file.tensors = Some(self.tensors(file.path, file.entry));
            }
            let (dtype, hint) = file.tensors.as_ref().map_or((None, None), |tensors| tensors.at(offset, len));
            self.store.chunk(NewChunk { id, bytes: &bytes, dtype, hint, limit, whole: false, drawn: Drawn::default() })?;
        }
        Ok(())
    }

    /// Reads a file's header, and that of the version before. What cannot be read costs size, no more.
    fn tensors(&self, path: &[u8], entry: &Entry) -> Tensors {
        let file = StoredFile::new(self.repo, entry);
        let len = file.as_ref().map_or(0, StoredFile::len);
        let layout = file.and_then(|mut file| file.layout().ok()?);
        let regions = layout.as_ref().map(|layout| regions(layout, len, LEAST_TENSOR)).unwrap_or_default();
        let old = layout.as_ref().and_then(|_| OldTensors::of(self.repo, &self.repo.find(self.previous?, path).ok()?));
        Tensors { layout, regions, old }
    }
}
