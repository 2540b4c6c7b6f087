//! Coding chunks of kept snapshots anew because packs are to go that their old codings rest on (`spec/CHAINS.md`, section 4). Snapshots are taken in the
//! order of their times, and each is coded as a push of it would be: against the same segment of the one before, what is most similar of what
//! stays, or whole. What a snapshot brings is durable, and named by an index segment, before the next one is coded against it (I10).
//!
//! Reads only what is coded anew, with its old and new bases, and the headers of the files that it stands in.

use std::collections::{BTreeSet, HashSet};
use std::sync::{Arc, Mutex};

use super::base::BaseFinder;
use super::budget::Budget;
use super::cut::{CutContext, LEAST_TENSOR};
use super::known::KnownChunks;
use super::parent::OldTensors;
use super::relied::ReliedOn;
use super::store::{BlobStore, CodingShared, NewChunk};
use crate::base::ids::{ChunkId, NodeId, PackId};
use crate::base::limits;
use crate::chunking::{Region, regions};
use crate::error::{Error, ErrorKind};
use crate::format::entry::{Content, Entry, Extent, Kind};
use crate::format::node::Node;
use crate::index::PackNumber;
use crate::merkle::NodeSource as _;
use crate::monitor::{Monitor, Progress};
use crate::plan::gc::BlobSet;
use crate::repo::{PackWriter, Repo, StoredFile, StoredSnapshot};
use crate::tensor::{Dtype, Layout};

/// What is coded anew.
#[derive(Clone, Copy)]
pub(crate) struct Recoding<'r> {
    /// Snapshots that stay, in the order of their times.
    pub(crate) kept: &'r [StoredSnapshot],
    /// Packs that are to go: chunks of the snapshots that stand nowhere else are coded anew.
    pub(crate) condemned: &'r BTreeSet<PackId>,
    /// Blobs that this is about.
    pub(crate) anew: &'r BlobSet,
    /// Which blobs stay as they are.
    pub(crate) stays: &'r dyn Fn(PackNumber, u32) -> bool,
    /// Blobs of which nothing is needed.
    pub(crate) unneeded: &'r Arc<BlobSet>,
}

/// What was done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Recoded {
    /// Chunks that were coded.
    pub(crate) chunks: u64,
    /// Their plain bytes.
    pub(crate) bytes: u64,
    /// Bytes that were written for them.
    pub(crate) written: u64,
    /// Whether all was done.
    pub(crate) is_complete: bool,
}

/// Codes anew, until `is_over` between two snapshots. Nothing relies on what is written.
///
/// # Errors
/// When something cannot be read or written, or the user stops it.
pub(crate) fn recode(repo: &Repo, what: Recoding<'_>, monitor: &dyn Monitor, is_over: &dyn Fn() -> bool) -> Result<Recoded, Error> {
    let context = Arc::new(CutContext {
        keys: repo.keys.clone(),
        chunker: repo.chunker(),
        segment_len: repo.config.segment_len as usize,
        known: Arc::new(KnownChunks::for_recoding(repo, what.condemned, Arc::clone(what.unneeded))?),
        read_ahead: Budget::new(repo.memory.read_ahead),
        scratch: None,
    });
    let relied_on = ReliedOn::find(repo, what.anew, what.stays)?;
    let (mut recoded, mut seen) = (Recoded::default(), HashSet::new());
    for (number, stored) in what.kept.iter().enumerate() {
        if is_over() {
            return Ok(recoded);
        }
        let previous = what.kept[..number].iter().rev().find(|other| is_of_one_line(other, stored));
        let coding = Arc::new(CodingShared {
            bases: Some(BaseFinder::new(repo)),
            writer: PackWriter::new(repo, false)?,
            context: Arc::clone(&context),
            compression: repo.compression,
            failure: Mutex::new(None),
            monitor,
            scratch: None,
        });
        let counts = repo.pool.in_place_scope_fifo(|scope| {
            let store = BlobStore::new(scope, Arc::clone(&coding), Budget::new(repo.memory.coding), &repo.config);
            let known = &context.known;
            let mut walk = Walk { repo, known, relied_on: &relied_on, store, seen: &mut seen, stored, previous, monitor };
            walk.run()?;
            walk.store.finish()?;
            Ok::<_, Error>(walk.store.counts)
        })?;
        coding.check()?;
        let coding = Arc::into_inner(coding).ok_or_else(|| Error::new(ErrorKind::Failed, "a coding job outlived the pipeline"))?;
        recoded.chunks += counts.chunks;
        recoded.bytes += counts.bytes;
        recoded.written += coding.writer.finish()?.counts.bytes;
        monitor.progress(&Progress { files_done: number as u64 + 1, files_total: what.kept.len() as u64, ..Progress::default() });
    }
    recoded.is_complete = true;
    Ok(recoded)
}

/// Whether a push would have taken one for the parent of the other.
fn is_of_one_line(a: &StoredSnapshot, b: &StoredSnapshot) -> bool {
    let (a, b) = (&a.snapshot, &b.snapshot);
    a.series == b.series && (a.series.is_some() || (&a.host, &a.paths) == (&b.host, &b.paths))
}

/// Goes through one snapshot, but for nodes that another one had before.
struct Walk<'w, 's, 'scope> {
    repo: &'w Repo,
    known: &'w KnownChunks,
    relied_on: &'w ReliedOn,
    store: BlobStore<'s, 'scope>,
    seen: &'w mut HashSet<NodeId>,
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
        let held = self.known.has(&ids)?;
        if held.iter().all(|held| *held) {
            return Ok(());
        }
        let old = self.relied_on.before().locate(&ids)?;
        for (((offset, id, len), _), old) in chunks.into_iter().zip(held).zip(old).filter(|((_, held), _)| !held) {
            let bytes = self.repo.chunk(&id)?;
            if file.tensors.is_none() {
                file.tensors = Some(self.tensors(file.path, file.entry));
            }
            let (dtype, hint) = file.tensors.as_ref().map_or((None, None), |tensors| tensors.at(offset, len));
            let limit = old.and_then(|old| self.relied_on.limit(self.repo, &old));
            self.store.chunk(NewChunk { id, bytes: &bytes, dtype, hint, limit })?;
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
