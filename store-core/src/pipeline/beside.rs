//! Which chunks lie beside one that is stored: mostly what stood beside it in its file.

use std::collections::HashMap;

use crate::blob::dtype_of;
use crate::format::blob::BlobKind;
use crate::index::{Location, PackNumber};
use crate::repo::Repo;

/// A side of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Before,
    Behind,
}

/// How a blob is made up.
struct Laid {
    /// Where each of its chunks begins, and where the last one ends.
    edges: Vec<u32>,
    depth: u8,
}

/// Looks for what lies beside plain chunks; each blob is looked up once.
pub(super) struct Beside<'r> {
    repo: &'r Repo,
    blobs: HashMap<(PackNumber, u32), Option<Laid>>,
}

impl<'r> Beside<'r> {
    pub(super) fn new(repo: &'r Repo) -> Self {
        Self { repo, blobs: HashMap::new() }
    }

    /// The plain chunk on that side of the one at `location`: in the same blob, or in the next one of its pack.
    pub(super) fn at(&mut self, location: &Location, side: Side) -> Option<Location> {
        let edges = &self.blob(location)?.edges;
        let chunk = edges.binary_search(&location.start).ok()?;
        let ordinal = match side {
            Side::Before => match chunk.checked_sub(1) {
                Some(before) => return self.chunk(location, before),
                None => location.ordinal.checked_sub(1)?,
            },
            Side::Behind if chunk + 2 < edges.len() => return self.chunk(location, chunk + 1),
            Side::Behind => location.ordinal.checked_add(1)?,
        };
        let other = Location { ordinal, ..*location };
        let last = self.blob(&other)?.edges.len().checked_sub(2)?;
        self.chunk(&other, if side == Side::Before { last } else { 0 })
    }

    /// The chunk with this number in the blob at `location`.
    fn chunk(&mut self, location: &Location, number: usize) -> Option<Location> {
        let Laid { edges, depth } = self.blob(location)?;
        let (start, end) = (*edges.get(number)?, *edges.get(number + 1)?);
        Some(Location { start, len: end - start, depth: *depth, ..*location })
    }

    /// Nothing where there is none, or none of plain chunks.
    fn blob(&mut self, location: &Location) -> Option<&Laid> {
        let Self { repo, blobs } = self;
        let laid = blobs.entry((location.pack, location.ordinal)).or_insert_with(|| {
            let frame = repo.frame_at(location).filter(|frame| frame.kind == BlobKind::Data && dtype_of(frame).is_none())?;
            let mut edges = vec![0];
            for len in &frame.chunk_lens {
                edges.push(edges.last()? + len);
            }
            Some(Laid { edges, depth: frame.depth })
        });
        laid.as_ref()
    }
}
