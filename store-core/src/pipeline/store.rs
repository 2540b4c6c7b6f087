//! From new chunks to coded blobs: grouping, and the jobs that code and check them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use rayon::ScopeFifo;

use super::budget::Budget;
use super::cut::CutContext;
use crate::base::ids::{ChunkId, NodeId};
use crate::base::units::KIB;
use crate::blob::{self, group_is_full};
use crate::codec::Compression;
use crate::error::{Error, ErrorKind};
use crate::format::blob::BlobKind;
use crate::repo::{NewBlob, PackWriter};
use crate::tensor::Dtype;

/// Plain bytes of nodes that go together: they are small, and read together.
const NODES_TARGET: usize = 256 * KIB;

/// Chunks for one blob, their bytes one after the other.
#[derive(Debug, Default)]
struct Group {
    ids: Vec<ChunkId>,
    lens: Vec<u32>,
    plain: Vec<u8>,
}

/// Counts of what a push found new.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NewCounts {
    /// Chunks that were written.
    pub chunks: u64,
    /// Their plain bytes.
    pub bytes: u64,
    /// Plain bytes of new nodes.
    pub node_bytes: u64,
}

/// Collects new chunks and nodes, and sends them as blobs to the coders.
pub(super) struct BlobStore<'s, 'scope> {
    scope: &'s ScopeFifo<'scope>,
    shared: Arc<CodingShared>,
    coding: Budget,
    blob_len: usize,
    /// One group for plain bytes and one for each dtype, since neighbours of one kind code best.
    groups: HashMap<Option<Dtype>, Group>,
    nodes: Group,
    /// What was found new.
    pub counts: NewCounts,
}

/// What the coding jobs share.
#[derive(Debug)]
pub(super) struct CodingShared {
    pub(super) writer: PackWriter,
    pub(super) context: Arc<CutContext>,
    pub(super) compression: Compression,
    pub(super) failure: Mutex<Option<Error>>,
}

impl CodingShared {
    fn code(&self, kind: BlobKind, group: Group) -> Result<(), Error> {
        let coded = blob::encode(kind, &group.plain, group.lens, self.compression);
        // Decoded and compared before it is sealed: a coder that errs costs a push, never a byte.
        if blob::decode(&coded.frame, coded.bytes.clone(), &[]).ok().as_deref() != Some(&group.plain[..]) {
            return Err(Error::new(ErrorKind::Failed, "a blob does not decode to what was coded: is the memory of this machine sound?"));
        }
        self.writer.add(NewBlob { coded, ids: group.ids, sketches: Vec::new() })
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take().map_or(Ok(()), Err)
    }
}

impl<'s, 'scope> BlobStore<'s, 'scope> {
    pub(super) fn new(scope: &'s ScopeFifo<'scope>, shared: Arc<CodingShared>, coding: Budget, blob_len: usize) -> Self {
        Self { scope, shared, coding, blob_len, groups: HashMap::new(), nodes: Group::default(), counts: NewCounts::default() }
    }

    /// Stores a chunk that the repository does not hold, unless this push has brought it already.
    pub(super) fn chunk(&mut self, id: ChunkId, bytes: &[u8], dtype: Option<Dtype>) -> Result<(), Error> {
        if !self.shared.writer.claim(id) {
            return Ok(());
        }
        self.counts.chunks += 1;
        self.counts.bytes += bytes.len() as u64;
        let group = self.groups.entry(dtype).or_default();
        let full = group_is_full(self.blob_len, group.plain.len(), group.ids.len(), bytes.len()).then(|| std::mem::take(group));
        group.ids.push(id);
        group.lens.push(bytes.len() as u32);
        group.plain.extend_from_slice(bytes);
        full.map_or(Ok(()), |full| self.send(BlobKind::Data, full))
    }

    /// Stores a node, unless the repository holds it.
    pub(super) fn node(&mut self, id: NodeId, bytes: &[u8]) -> Result<(), Error> {
        let id = ChunkId::from_bytes(*id.as_bytes());
        if self.shared.context.known.has(&[id])?[0] || !self.shared.writer.claim(id) {
            return Ok(());
        }
        self.counts.node_bytes += bytes.len() as u64;
        let full = group_is_full(NODES_TARGET, self.nodes.plain.len(), self.nodes.ids.len(), bytes.len());
        let full = full.then(|| std::mem::take(&mut self.nodes));
        self.nodes.ids.push(id);
        self.nodes.lens.push(bytes.len() as u32);
        self.nodes.plain.extend_from_slice(bytes);
        full.map_or(Ok(()), |full| self.send(BlobKind::Nodes, full))
    }

    fn send(&mut self, kind: BlobKind, group: Group) -> Result<(), Error> {
        self.shared.check()?;
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
            self.send(BlobKind::Data, group)?;
        }
        let nodes = std::mem::take(&mut self.nodes);
        if nodes.ids.is_empty() { Ok(()) } else { self.send(BlobKind::Nodes, nodes) }
    }
}
