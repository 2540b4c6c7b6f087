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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::ChunkId;
    use crate::blob::{self, Plain};
    use crate::codec::Compression;
    use crate::repo::{NewBlob, OpenOptions, PackWriter};
    use crate::tensor::Dtype;

    #[test]
    fn what_lies_beside_a_chunk_is_in_its_blob_or_the_next_one_of_the_pack() {
        let folder = tempfile::tempdir().unwrap();
        let (location, cache_dir) = (String::new(), folder.path().to_path_buf());
        let options = OpenOptions { location, cache_dir, threads: 1, memory: 0, compression: Compression::Fastest, kept: 0 };
        let repo = Repo::keeping(&options).0;
        let writer = PackWriter::new(&repo, false).unwrap();
        let mut noise = vec![0; 4000];
        blake3::Hasher::new().finalize_xof().fill(&mut noise);
        // Numbers from 1 to 2.
        let one_to_two = |bytes: &[u8]| bytes.chunks(4).flat_map(|four| [four[0], four[1], four[2] | 0x80, 0x3f]).collect::<Vec<_>>();
        let add = |lens: &[u32], dtype: Option<Dtype>| {
            let bytes = &noise[..lens.iter().sum::<u32>() as usize];
            let bytes = if dtype.is_some() { one_to_two(bytes) } else { bytes.to_vec() };
            let (mut rest, mut ids) = (&bytes[..], Vec::new());
            for len in lens {
                let (chunk, after) = rest.split_at(*len as usize);
                ids.push(repo.keys.chunk_id(chunk));
                rest = after;
            }
            let coded = blob::encode(Plain { kind: BlobKind::Data, bytes: &bytes, dtype }, lens.to_vec(), None, Compression::Fastest);
            writer.add(NewBlob { coded, ids: ids.clone(), sketches: Vec::new() }).unwrap();
            ids
        };
        let (first, second, numbers) = (add(&[1000, 2000, 500], None), add(&[700, 300], None), add(&[4000], Some(Dtype::F32)));
        let _ = writer.finish().unwrap();
        let at = |id: &ChunkId| repo.index().unwrap().find(&[*id]).unwrap()[0].unwrap();
        let mut beside = Beside::new(&repo);
        let mut of = |id: &ChunkId| [Side::Before, Side::Behind].map(|side| beside.at(&at(id), side));
        assert_eq!(of(&first[0]), [None, Some(at(&first[1]))]);
        assert_eq!(of(&first[1]), [Some(at(&first[0])), Some(at(&first[2]))]);
        assert_eq!(of(&first[2]), [Some(at(&first[1])), Some(at(&second[0]))]);
        assert_eq!(of(&second[0]), [Some(at(&first[2])), Some(at(&second[1]))]);
        // Numbers stand beside no plain chunk, and nothing behind the last one.
        assert_eq!(of(&second[1]), [Some(at(&second[0])), None]);
        assert_eq!(of(&numbers[0]), [None, None]);
    }
}
