//! From new chunks to groups that become blobs.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};

use rayon::ScopeFifo;

use super::budget::Budget;
use super::coding::CodingShared;
use crate::base::ids::{ChunkId, NodeId};
use crate::base::limits;
use crate::base::units::KIB;
use crate::blob::group_is_full;
use crate::error::Error;
use crate::format::blob::BlobKind;
use crate::format::config::Config;
use crate::repo::{Drawn, NewBlob};
use crate::tensor::Dtype;

/// Plain bytes of nodes that go together: they are small, and read together.
const NODES_TARGET: usize = 256 * KIB;

/// Chunks for one blob, their bytes one after the other.
#[derive(Debug, Default)]
pub(super) struct Group {
    /// Groups are numbered as they are sent.
    pub(super) number: u64,
    pub(super) ids: Vec<ChunkId>,
    pub(super) lens: Vec<u32>,
    /// The older segments that these continue, as far as names tell.
    pub(super) hints: Vec<Option<ChunkId>>,
    pub(super) plain: Vec<u8>,
    pub(super) dtype: Option<Dtype>,
    /// The file that the first of them comes from, where anybody wants to know.
    pub(super) path: Option<Arc<str>>,
    /// Coded without bases: these replace what was lost, and must do as bases for all that was coded against that, or are to be read by themselves.
    pub(super) whole: bool,
    /// What their coding may need, where others rely on them already.
    pub(super) limit: Option<Limit>,
    /// Whether a measurement codes it.
    pub(super) drawn: Drawn,
}

/// What the coding of chunks may need that others are coded against already: no more than before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limit {
    /// Greatest depth.
    pub(super) depth: u8,
    /// Stored bytes that reading them takes, with all below them.
    pub(super) reads: u64,
}

impl Limit {
    pub(super) fn and(self, other: Self) -> Self {
        Self { depth: self.depth.min(other.depth), reads: self.reads + other.reads }
    }
}

/// A chunk that is to be stored.
#[derive(Debug, Clone, Copy)]
pub(super) struct NewChunk<'c> {
    pub(super) id: ChunkId,
    pub(super) bytes: &'c [u8],
    pub(super) dtype: Option<Dtype>,
    /// The older segment that it continues, as far as its name tells.
    pub(super) hint: Option<ChunkId>,
    pub(super) limit: Option<Limit>,
    /// Whether it is coded without bases.
    pub(super) whole: bool,
    /// How a measurement has drawn a segment of a tensor.
    pub(super) drawn: Drawn,
}

impl Group {
    /// The chunks, in order.
    pub(super) fn chunks(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = &self.plain[..];
        self.lens.iter().map(move |len| {
            let (chunk, after) = rest.split_at(*len as usize);
            rest = after;
            chunk
        })
    }

    fn add(&mut self, id: ChunkId, bytes: &[u8], hint: Option<ChunkId>) {
        self.ids.push(id);
        self.lens.push(bytes.len() as u32);
        self.hints.push(hint);
        self.plain.extend_from_slice(bytes);
    }

    /// Parts the chunks for which `first` holds from the others.
    pub(super) fn part(self, first: impl Fn(usize) -> bool) -> (Self, Self) {
        let empty = || Self { number: self.number, dtype: self.dtype, path: self.path.clone(), drawn: self.drawn, ..Self::default() };
        let mut parts = (empty(), empty());
        for (i, chunk) in self.chunks().enumerate() {
            let part = if first(i) { &mut parts.0 } else { &mut parts.1 };
            part.add(self.ids[i], chunk, self.hints[i]);
        }
        for part in [&mut parts.0, &mut parts.1] {
            let share = |reads: u64| (u128::from(reads) * part.plain.len() as u128 / self.plain.len().max(1) as u128) as u64;
            part.limit = self.limit.map(|limit| Limit { reads: share(limit.reads), ..limit });
        }
        parts
    }
}

/// Counts of what a push found new.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NewCounts {
    /// Chunks that were written.
    pub chunks: u64,
    /// Their plain bytes.
    pub bytes: u64,
    /// Nodes that were.
    pub nodes: u64,
    /// Their plain bytes.
    pub node_bytes: u64,
}

/// Collects new chunks and nodes, and sends them as blobs to the coders.
pub(super) struct BlobStore<'s, 'scope> {
    scope: &'s ScopeFifo<'scope>,
    shared: Arc<CodingShared<'scope>>,
    coding: Budget,
    blob_len: usize,
    segment_len: usize,
    /// One group for plain bytes and one for each dtype, since neighbours of one kind code best; apart from these, what replaces lost chunks,
    /// and what others rely on already.
    groups: HashMap<(Option<Dtype>, bool, bool), Group>,
    nodes: Group,
    /// How many were sent.
    sent: u64,
    /// The file that is being stored, where anybody wants to know.
    path: Option<Arc<str>>,
    /// What was found new.
    pub counts: NewCounts,
}

impl<'s, 'scope> BlobStore<'s, 'scope> {
    pub(super) fn new(scope: &'s ScopeFifo<'scope>, shared: Arc<CodingShared<'scope>>, coding: Budget, config: &Config) -> Self {
        let (blob_len, segment_len) = (config.blob_len as usize, config.segment_len as usize);
        let (nodes, counts) = (Group::default(), NewCounts::default());
        Self { scope, shared, coding, blob_len, segment_len, groups: HashMap::new(), nodes, sent: 0, path: None, counts }
    }

    /// From here on chunks are of the file at `path`.
    pub(super) fn reading(&mut self, path: &str) {
        if self.shared.monitor.wants_decisions() {
            self.path = Some(path.into());
        }
    }

    /// Stores a chunk that the repository does not hold, unless this push has brought it already.
    pub(super) fn chunk(&mut self, new: NewChunk<'_>) -> Result<(), Error> {
        let NewChunk { id, bytes, dtype, hint, limit, whole, drawn } = new;
        // Between the look-up and the claim a segment of this very push may have brought it into the index.
        if !self.shared.writer.claim(id) {
            return Ok(());
        }
        if self.shared.context.known.has(&[id])?[0] {
            self.shared.writer.release(&id);
            return Ok(());
        }
        self.counts.chunks += 1;
        self.counts.bytes += bytes.len() as u64;
        let whole = whole || self.shared.context.known.is_lost(id)?;
        let group = self.groups.entry((dtype, whole, limit.is_some())).or_default();
        // Numbers gain nothing by company; each blob of them has one segment, or several small ones.
        let target = if dtype.is_some() { self.segment_len } else { self.blob_len };
        // What stands between two groups that a measurement has drawn is left out, and would have closed the first one.
        let is_full = group_is_full(target, group.plain.len(), group.ids.len(), bytes.len())
            || !group.ids.is_empty() && group.drawn.unit != drawn.unit;
        let full = is_full.then(|| std::mem::take(group));
        (group.dtype, group.whole, group.drawn) = (dtype, whole, drawn);
        group.limit = group.limit.into_iter().chain(limit).reduce(Limit::and);
        if group.ids.is_empty() {
            group.path.clone_from(&self.path);
            // Numbers mostly come as one segment.
            if dtype.is_none() {
                group.plain.reserve((target + target / 4).min(limits::BLOB_LEN));
            }
        }
        group.add(id, bytes, hint);
        full.map_or(Ok(()), |full| self.draw_and_send(full, false))
    }

    /// Stores a blob that was coded before, and none of whose chunks is held or on its way.
    pub(super) fn coded(&mut self, blob: NewBlob) -> Result<(), Error> {
        self.shared.check()?;
        self.counts.chunks += blob.ids.len() as u64;
        self.counts.bytes += blob.coded.frame.plain_len() as u64;
        for id in &blob.ids {
            let _ = self.shared.writer.claim(*id);
        }
        self.sent += 1;
        self.shared.add(blob, self.sent - 1)
    }

    /// Stores a node, unless the repository holds it.
    pub(super) fn node(&mut self, id: NodeId, bytes: &[u8]) -> Result<(), Error> {
        let id = ChunkId::from_bytes(*id.as_bytes());
        if self.shared.context.known.has(&[id])?[0] || !self.shared.writer.claim(id) {
            return Ok(());
        }
        self.counts.nodes += 1;
        self.counts.node_bytes += bytes.len() as u64;
        let full = group_is_full(NODES_TARGET, self.nodes.plain.len(), self.nodes.ids.len(), bytes.len());
        let full = full.then(|| std::mem::take(&mut self.nodes));
        self.nodes.add(id, bytes, None);
        full.map_or(Ok(()), |full| self.send(BlobKind::Nodes, full))
    }

    /// Sees to it that the index names these chunks, as far as they were coded or are being coded. Says whether that is new.
    pub(super) fn name(&self, ids: &[ChunkId]) -> Result<bool, Error> {
        self.shared.name(ids)
    }

    fn draw_and_send(&mut self, mut group: Group, is_last: bool) -> Result<(), Error> {
        // Groups of tensors were drawn before they were read.
        if let (Some(scratch), None) = (self.shared.scratch, group.dtype) {
            group.drawn = scratch.group(group.plain.len(), is_last);
        }
        self.send(BlobKind::Data, group)
    }

    fn send(&mut self, kind: BlobKind, mut group: Group) -> Result<(), Error> {
        self.shared.check()?;
        group.number = self.sent;
        self.sent += 1;
        let permit = self.coding.take(group.plain.len());
        let shared = Arc::clone(&self.shared);
        self.scope.spawn_fifo(move |_| {
            if let Err(error) = shared.code(kind, group) {
                shared.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
            }
            drop(permit);
        });
        Ok(())
    }

    /// Sends what is left.
    pub(super) fn finish(&mut self) -> Result<(), Error> {
        let groups = std::mem::take(&mut self.groups);
        for group in groups.into_values().filter(|group| !group.ids.is_empty()) {
            self.draw_and_send(group, true)?;
        }
        let nodes = std::mem::take(&mut self.nodes);
        if nodes.ids.is_empty() { Ok(()) } else { self.send(BlobKind::Nodes, nodes) }
    }
}
