//! What the parent snapshot has in place of a file: which of its segments a tensor's segment continues.

use std::collections::HashMap;

use super::cut::detect_with;
use crate::base::ids::ChunkId;
use crate::format::entry::{Content, Entry, Extent, Kind};
use crate::merkle::ExtentsCursor;
use crate::repo::Repo;
use crate::tensor::{Dtype, Tensor};

/// Extents of an older file that are worth holding in memory; more have no tensors or are too many to be searched.
const MOST_EXTENTS: usize = 1 << 18;
/// Files below this length have too few segments to be worth a look.
const LEAST: u64 = 64 << 10;

/// The tensors of an older version of a file.
#[derive(Debug)]
pub(super) struct OldTensors {
    tensors: HashMap<(String, Dtype, Vec<u64>), u64>,
    /// Chunks by where they start in the file.
    chunks: HashMap<u64, (ChunkId, u32)>,
}

impl OldTensors {
    /// Reads the layout of the older file. `None` where it has no tensors, or cannot be read: that costs size, no more.
    pub(super) fn of(repo: &Repo, old: &Entry) -> Option<Self> {
        let Kind::File { size, content } = &old.kind else { return None };
        if *size < LEAST {
            return None;
        }
        let extents = extents(repo, content)?;
        let read =
            |offset: u64, buffer: &mut [u8]| read_at(repo, &extents, offset, buffer).ok_or_else(|| std::io::ErrorKind::InvalidData.into());
        let layout = detect_with(*size, read).ok()??;
        let tensors = layout.tensors.into_iter().map(|Tensor { name, dtype, shape, offset, .. }| ((name, dtype, shape), offset)).collect();
        let chunks = extents.into_iter().filter_map(|(offset, extent)| match extent {
            Extent::Chunk { id, len } => Some((offset, (id, len))),
            Extent::Hole { .. } => None,
        });
        Some(Self { tensors, chunks: chunks.collect() })
    }

    /// The chunk `at` bytes into the older version of a tensor, if it has `len` bytes.
    pub(super) fn segment(&self, tensor: &Tensor, at: u64, len: usize) -> Option<ChunkId> {
        let start = self.tensors.get(&(tensor.name.clone(), tensor.dtype, tensor.shape.clone()))?;
        self.chunks.get(&start.checked_add(at)?).filter(|(_, chunk_len)| *chunk_len as usize == len).map(|(id, _)| *id)
    }
}

/// The chunks of a file that has few.
pub(super) fn inline_chunks(old: &Entry) -> Vec<ChunkId> {
    let extents: &[Extent] = if let Kind::File { content: Content::Inline(extents), .. } = &old.kind { extents } else { &[] };
    let chunk = |extent: &Extent| if let Extent::Chunk { id, .. } = extent { Some(*id) } else { None };
    extents.iter().filter_map(chunk).collect()
}

fn extents(repo: &Repo, content: &Content) -> Option<Vec<(u64, Extent)>> {
    let mut found = Vec::new();
    let mut at = 0u64;
    let mut add = |extent: Extent| {
        found.push((at, extent));
        at = at.saturating_add(extent.len());
        found.len() < MOST_EXTENTS
    };
    match content {
        Content::Inline(extents) => {
            extents.iter().for_each(|extent| {
                add(*extent);
            });
        }
        Content::List(root) => {
            let mut cursor = ExtentsCursor::new(repo, *root);
            while let Some(extent) = cursor.next().ok()? {
                if !add(extent) {
                    return None;
                }
            }
        }
    }
    Some(found)
}

fn read_at(repo: &Repo, extents: &[(u64, Extent)], offset: u64, buffer: &mut [u8]) -> Option<()> {
    let mut filled = 0;
    let first = extents.partition_point(|(start, _)| *start <= offset).checked_sub(1)?;
    for (start, extent) in &extents[first..] {
        if filled == buffer.len() {
            break;
        }
        let skip = (offset + filled as u64).checked_sub(*start)?;
        let take = (extent.len().checked_sub(skip)? as usize).min(buffer.len() - filled);
        match extent {
            Extent::Chunk { id, .. } => {
                let bytes = repo.chunk(id).ok()?;
                buffer[filled..filled + take].copy_from_slice(bytes.get(skip as usize..skip as usize + take)?);
            }
            Extent::Hole { .. } => buffer[filled..filled + take].fill(0),
        }
        filled += take;
    }
    (filled == buffer.len()).then_some(())
}
