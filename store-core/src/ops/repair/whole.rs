//! Chunks and nodes on their way to packs, coded against nothing: what a repair writes must not rest on what may be damaged.

use std::collections::HashMap;

use crate::base::ids::ChunkId;
use crate::blob::{Plain, decode, dtype_of, encode, group_is_full};
use crate::error::{Error, ErrorKind};
use crate::format::blob::BlobKind;
use crate::repo::{NewBlob, PackWriter, Repo};
use crate::tensor::Dtype;

/// Collects them by kind, and writes a blob where one is full.
pub(super) struct WholeWriter<'w> {
    repo: &'w Repo,
    writer: &'w PackWriter,
    nodes: Group,
    data: HashMap<Option<Dtype>, Group>,
}

/// Chunks for one blob.
#[derive(Default)]
struct Group {
    ids: Vec<ChunkId>,
    lens: Vec<u32>,
    plain: Vec<u8>,
}

impl<'w> WholeWriter<'w> {
    pub(super) fn new(repo: &'w Repo, writer: &'w PackWriter) -> Self {
        Self { repo, writer, nodes: Group::default(), data: HashMap::new() }
    }

    /// Adds a node.
    pub(super) fn node(&mut self, id: ChunkId, bytes: &[u8]) -> Result<(), Error> {
        let full = self.nodes.add(self.repo.config.blob_len as usize, id, bytes);
        full.map_or(Ok(()), |full| self.write(BlobKind::Nodes, None, full))
    }

    /// Adds a chunk, coded as numbers of the kind as which it is stored.
    pub(super) fn chunk(&mut self, id: ChunkId, bytes: &[u8]) -> Result<(), Error> {
        let location = self.repo.index()?.find(&[id])?[0];
        let dtype = location.and_then(|location| self.repo.frame_at(&location)).and_then(|frame| dtype_of(&frame));
        let most = if dtype.is_some() { self.repo.config.segment_len } else { self.repo.config.blob_len };
        let full = self.data.entry(dtype).or_default().add(most as usize, id, bytes);
        full.map_or(Ok(()), |full| self.write(BlobKind::Data, dtype, full))
    }

    /// Writes what is left.
    pub(super) fn finish(mut self) -> Result<(), Error> {
        let nodes = std::mem::take(&mut self.nodes);
        self.write(BlobKind::Nodes, None, nodes)?;
        std::mem::take(&mut self.data).into_iter().try_for_each(|(dtype, group)| self.write(BlobKind::Data, dtype, group))
    }

    fn write(&self, kind: BlobKind, dtype: Option<Dtype>, group: Group) -> Result<(), Error> {
        if group.ids.is_empty() {
            return Ok(());
        }
        let coded = encode(Plain { kind, bytes: &group.plain, dtype }, group.lens, None, self.repo.compression);
        if decode(&coded.frame, coded.bytes.clone(), &[]).ok().as_deref() != Some(&group.plain[..]) {
            return Err(Error::new(ErrorKind::Failed, "a blob does not decode to what was coded: is the memory of this machine sound?"));
        }
        self.writer.add(NewBlob { coded, ids: group.ids, sketches: Vec::new() })
    }
}

impl Group {
    /// Adds one; gives what was there before if that is full with it.
    fn add(&mut self, most: usize, id: ChunkId, bytes: &[u8]) -> Option<Self> {
        let full = group_is_full(most, self.plain.len(), self.ids.len(), bytes.len()).then(|| std::mem::take(self));
        self.ids.push(id);
        self.lens.push(bytes.len() as u32);
        self.plain.extend_from_slice(bytes);
        full
    }
}
