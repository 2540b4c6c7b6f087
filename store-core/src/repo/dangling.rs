//! Blobs whose bases are not all there: what a prune made of blobs that nobody needs, and of what a fenced push wrote late
//! (`spec/PROTOCOL.md`, I20). They hold nothing.

use std::collections::{BTreeSet, HashSet};

use crate::base::ids::ChunkId;
use crate::base::limits;
use crate::index::{ChunkIndex, IndexError, PackNumber};

/// Bases that are looked up at a time.
const LOOK_UP: usize = 4096;
/// Packs up to which they are looked at one by one; of more all blobs are gone through.
const FEW_PACKS: usize = 64;

type Key = (PackNumber, u32);

/// Which blobs dangle, where `new` packs were taken in and these `before` dangled.
pub(super) fn find(index: &dyn ChunkIndex, new: &HashSet<PackNumber>, before: &BTreeSet<Key>) -> Result<BTreeSet<Key>, IndexError> {
    let look = Look { index, new, before };
    let mut dangling = BTreeSet::new();
    // Nearly always nothing dangles, and one pass says so.
    if before.is_empty() && look.pass(None, &dangling)?.is_empty() {
        return Ok(dangling);
    }
    for depth in 1..=limits::DEPTH {
        let more = look.pass(Some(depth), &dangling)?;
        dangling.extend(more);
    }
    Ok(dangling)
}

struct Look<'l> {
    index: &'l dyn ChunkIndex,
    new: &'l HashSet<PackNumber>,
    before: &'l BTreeSet<Key>,
}

/// Blobs with their depths and bases.
#[derive(Default)]
struct Batch {
    blobs: Vec<(Key, u8, usize)>,
    bases: Vec<ChunkId>,
}

impl Look<'_> {
    /// The blobs of this depth (of any, without one) of which a base has no place that is less deep and does not dangle.
    fn pass(&self, depth: Option<u8>, dangling: &BTreeSet<Key>) -> Result<Vec<Key>, IndexError> {
        let (mut batch, mut found, mut failed) = (Batch::default(), Vec::new(), None);
        let mut take = |key: Key, frame: &crate::format::blob::Frame| {
            if frame.bases.is_empty() || depth.is_some_and(|depth| depth != frame.depth) {
                return Ok(());
            }
            batch.blobs.push((key, frame.depth, frame.bases.len()));
            batch.bases.extend_from_slice(&frame.bases);
            if batch.bases.len() < LOOK_UP {
                return Ok(());
            }
            self.judge(std::mem::take(&mut batch), dangling, &mut found)
        };
        if self.new.len() <= FEW_PACKS {
            for pack in self.new {
                for ordinal in 0.. {
                    let Some(place) = self.index.blob(*pack, ordinal)? else { break };
                    take((*pack, ordinal), &place.frame)?;
                }
            }
            for (pack, ordinal) in self.before.iter().filter(|(pack, _)| !self.new.contains(pack)) {
                if let Some(place) = self.index.blob(*pack, *ordinal)? {
                    take((*pack, *ordinal), &place.frame)?;
                }
            }
        } else {
            self.index.for_each_blob(&mut |pack, ordinal, place| {
                if failed.is_none() && (self.new.contains(&pack) || self.before.contains(&(pack, ordinal))) {
                    failed = take((pack, ordinal), &place.frame).err();
                }
            })?;
        }
        match failed {
            Some(error) => Err(error),
            None => {
                self.judge(batch, dangling, &mut found)?;
                Ok(found)
            }
        }
    }

    fn judge(&self, batch: Batch, dangling: &BTreeSet<Key>, found: &mut Vec<Key>) -> Result<(), IndexError> {
        let places = self.index.find(&batch.bases)?;
        let mut bases = batch.bases.iter().zip(places);
        for (key, depth, count) in batch.blobs {
            let mut dangles = false;
            for (id, place) in bases.by_ref().take(count) {
                let will_do = |place: &crate::index::Location| place.depth < depth && !dangling.contains(&(place.pack, place.ordinal));
                dangles |= match place {
                    None => true,
                    Some(place) if will_do(&place) => false,
                    Some(_) => !self.index.copies(id)?.iter().any(will_do),
                };
            }
            found.extend(dangles.then_some(key));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::PackId;
    use crate::format::blob::{BlobKind, Frame};
    use crate::format::pack::{BlobEntry, PackContents};
    use crate::format::segment::{PackEntry, Segment};
    use crate::index::MemoryIndex;

    fn id(n: u8) -> ChunkId {
        ChunkId::from_bytes([n; 32])
    }

    /// A pack of one blob that holds `chunk`, coded against `bases`.
    fn pack(name: u8, chunk: u8, depth: u8, bases: &[u8]) -> Segment {
        let bases = bases.iter().copied().map(id).collect();
        let frame = Frame { kind: BlobKind::Data, depth, sealed_len: 17, steps: Vec::new(), chunk_lens: vec![1], bases };
        let blobs = vec![BlobEntry { frame, ids: vec![id(chunk)], sketches: Vec::new() }];
        let contents = PackContents { padding: 0, blobs };
        Segment { supersedes: Vec::new(), packs: vec![PackEntry { id: PackId::from_bytes([name; 32]), len: 1000, contents }] }
    }

    fn dangling(packs: &[Segment], before: &[u32]) -> Vec<u32> {
        let index = MemoryIndex::default();
        packs.iter().for_each(|segment| index.apply(None, segment).unwrap());
        let new = (0..packs.len() as u32).filter(|number| !before.contains(number)).collect();
        let found = find(&index, &new, &before.iter().map(|pack| (*pack, 0)).collect()).unwrap();
        found.into_iter().map(|(pack, _)| pack).collect()
    }

    #[test]
    fn what_has_all_its_bases_does_not_dangle() {
        assert!(dangling(&[pack(1, 1, 0, &[]), pack(2, 2, 1, &[1]), pack(3, 3, 2, &[1, 2])], &[]).is_empty());
    }

    #[test]
    fn what_is_coded_against_what_dangles_dangles() {
        assert_eq!(dangling(&[pack(3, 3, 2, &[2]), pack(2, 2, 1, &[9]), pack(1, 1, 0, &[])], &[]), [0, 1]);
    }

    #[test]
    fn a_base_counts_where_it_is_less_deep() {
        assert_eq!(dangling(&[pack(1, 1, 3, &[7]), pack(2, 7, 0, &[]), pack(3, 2, 2, &[1])], &[]), [2]);
        assert!(dangling(&[pack(1, 1, 3, &[7]), pack(2, 7, 0, &[]), pack(3, 2, 2, &[1]), pack(4, 1, 1, &[7])], &[]).is_empty());
    }

    #[test]
    fn another_place_of_a_base_will_do_and_may_come_later() {
        assert!(dangling(&[pack(1, 1, 0, &[]), pack(2, 2, 1, &[9]), pack(3, 2, 2, &[1]), pack(4, 3, 3, &[2])], &[]) == [1]);
        assert!(dangling(&[pack(2, 2, 1, &[9]), pack(3, 9, 0, &[])], &[0]).is_empty());
    }
}
