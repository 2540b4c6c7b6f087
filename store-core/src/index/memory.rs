//! The chunk index in memory: for tests, and for a repository that is only looked at once.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{PoisonError, RwLock};

use super::{BlobPlace, ChunkIndex, IndexError, Load, Location, PackNumber, Reads, feature_keys, features, in_order, locations};
use crate::base::ids::{ChunkId, NodeId, PackId, SegmentId};
use crate::format::pack::Sketch;
use crate::format::segment::Segment;

#[derive(Debug, Default)]
struct Tables {
    chunks: HashMap<ChunkId, Location>,
    /// Of chunks with several places, those that `chunks` does not give.
    copies: HashMap<ChunkId, Vec<Location>>,
    blobs: BTreeMap<(PackNumber, u32), BlobPlace>,
    packs: Vec<(PackId, u64)>,
    numbers: HashMap<PackId, PackNumber>,
    applied: BTreeSet<SegmentId>,
    superseded: BTreeSet<SegmentId>,
    dangling: BTreeSet<(PackNumber, u32)>,
    features: HashMap<[u8; 5], Location>,
    records: BTreeMap<String, Vec<u8>>,
    whole: BTreeSet<NodeId>,
    reads: HashMap<NodeId, Reads>,
}

/// An index that is gone with the process.
#[derive(Debug, Default)]
pub struct MemoryIndex(RwLock<Tables>);

impl ChunkIndex for MemoryIndex {
    fn find(&self, ids: &[ChunkId]) -> Result<Vec<Option<Location>>, IndexError> {
        let tables = self.0.read().unwrap_or_else(PoisonError::into_inner);
        Ok(ids.iter().map(|id| tables.chunks.get(id).copied()).collect())
    }

    fn find_all(&self, ids: &[ChunkId]) -> Result<Vec<Vec<Location>>, IndexError> {
        ids.iter().map(|id| self.copies(id)).collect()
    }

    fn copies(&self, id: &ChunkId) -> Result<Vec<Location>, IndexError> {
        let tables = self.0.read().unwrap_or_else(PoisonError::into_inner);
        Ok(in_order(tables.chunks.get(id).into_iter().chain(tables.copies.get(id).into_iter().flatten()).copied().collect()))
    }

    fn blob(&self, pack: PackNumber, ordinal: u32) -> Result<Option<BlobPlace>, IndexError> {
        Ok(self.0.read().unwrap_or_else(PoisonError::into_inner).blobs.get(&(pack, ordinal)).cloned())
    }

    fn pack(&self, number: PackNumber) -> Result<Option<(PackId, u64)>, IndexError> {
        Ok(self.0.read().unwrap_or_else(PoisonError::into_inner).packs.get(number as usize).copied())
    }

    fn apply(&self, id: Option<&SegmentId>, segment: &Segment) -> Result<(), IndexError> {
        let tables = &mut *self.0.write().unwrap_or_else(PoisonError::into_inner);
        for pack in &segment.packs {
            if let Some(known) = tables.numbers.get(&pack.id) {
                tables.features.extend(features(*known, pack));
                continue;
            }
            let number = tables.packs.len() as PackNumber;
            tables.packs.push((pack.id, pack.len));
            tables.numbers.insert(pack.id, number);
            for (id, location) in locations(number, pack) {
                let Some(held) = tables.chunks.insert(id, location) else { continue };
                let (best, other) = if location.depth <= held.depth { (location, held) } else { (held, location) };
                tables.chunks.insert(id, best);
                tables.copies.entry(id).or_default().push(other);
            }
            tables.features.extend(features(number, pack));
            for (ordinal, (blob, offset)) in pack.contents.blobs.iter().zip(pack.contents.offsets()).enumerate() {
                tables.blobs.insert((number, ordinal as u32), BlobPlace { pack: pack.id, offset, frame: blob.frame.clone() });
            }
        }
        tables.applied.extend(id);
        Ok(())
    }

    fn load(&self) -> Result<Box<dyn Load + '_>, IndexError> {
        Ok(Box::new(MemoryLoad { index: self, segments: Vec::new() }))
    }

    fn similar(&self, sketches: &[Sketch]) -> Result<Vec<Vec<Location>>, IndexError> {
        let tables = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let find = |sketch: &Sketch| feature_keys(*sketch).iter().filter_map(|key| tables.features.get(key).copied()).collect();
        Ok(sketches.iter().map(find).collect())
    }

    fn packs(&self) -> Result<Vec<PackId>, IndexError> {
        Ok(self.0.read().unwrap_or_else(PoisonError::into_inner).packs.iter().map(|(id, _)| *id).collect())
    }

    fn applied(&self) -> Result<BTreeSet<SegmentId>, IndexError> {
        Ok(self.0.read().unwrap_or_else(PoisonError::into_inner).applied.clone())
    }

    fn superseded(&self) -> Result<BTreeSet<SegmentId>, IndexError> {
        Ok(self.0.read().unwrap_or_else(PoisonError::into_inner).superseded.clone())
    }

    fn dangling(&self) -> Result<BTreeSet<(PackNumber, u32)>, IndexError> {
        Ok(self.0.read().unwrap_or_else(PoisonError::into_inner).dangling.clone())
    }

    fn settle(&self, taken: &[SegmentId], superseded: &[SegmentId], dangling: &BTreeSet<(PackNumber, u32)>) -> Result<(), IndexError> {
        let tables = &mut *self.0.write().unwrap_or_else(PoisonError::into_inner);
        tables.applied.extend(taken);
        tables.superseded.extend(superseded);
        tables.dangling.clone_from(dangling);
        Ok(())
    }

    fn number(&self, pack: &PackId) -> Result<Option<PackNumber>, IndexError> {
        Ok(self.0.read().unwrap_or_else(PoisonError::into_inner).numbers.get(pack).copied())
    }

    fn for_each_blob(&self, found: &mut dyn FnMut(PackNumber, u32, BlobPlace)) -> Result<(), IndexError> {
        // Whoever is called may look things up: no lock is held meanwhile.
        let blobs = self.0.read().unwrap_or_else(PoisonError::into_inner).blobs.clone();
        blobs.into_iter().for_each(|((pack, ordinal), place)| found(pack, ordinal, place));
        Ok(())
    }

    fn record(&self, path: &str) -> Result<Option<Vec<u8>>, IndexError> {
        Ok(self.0.read().unwrap_or_else(PoisonError::into_inner).records.get(path).cloned())
    }

    fn records(&self) -> Result<Vec<String>, IndexError> {
        Ok(self.0.read().unwrap_or_else(PoisonError::into_inner).records.keys().cloned().collect())
    }

    fn keep_records(&self, new: &[(String, Vec<u8>)], gone: &[String]) -> Result<(), IndexError> {
        let records = &mut self.0.write().unwrap_or_else(PoisonError::into_inner).records;
        records.extend(new.iter().cloned());
        gone.iter().for_each(|path| _ = records.remove(path));
        Ok(())
    }

    fn is_whole(&self, root: &NodeId) -> Result<bool, IndexError> {
        Ok(self.0.read().unwrap_or_else(PoisonError::into_inner).whole.contains(root))
    }

    fn note_whole(&self, root: &NodeId, instead_of: Option<&NodeId>) -> Result<(), IndexError> {
        let whole = &mut self.0.write().unwrap_or_else(PoisonError::into_inner).whole;
        instead_of.into_iter().for_each(|other| _ = whole.remove(other));
        whole.insert(*root);
        Ok(())
    }

    fn reads_of(&self, root: &NodeId) -> Result<Option<Reads>, IndexError> {
        Ok(self.0.read().unwrap_or_else(PoisonError::into_inner).reads.get(root).copied())
    }

    fn note_reads(&self, root: &NodeId, reads: Reads, instead_of: Option<&NodeId>) -> Result<(), IndexError> {
        let tables = &mut *self.0.write().unwrap_or_else(PoisonError::into_inner);
        instead_of.into_iter().for_each(|other| _ = tables.reads.remove(other));
        let _ = tables.reads.insert(*root, reads);
        Ok(())
    }

    fn flush(&self) -> Result<(), IndexError> {
        Ok(())
    }
}

/// Segments that wait for the last one.
struct MemoryLoad<'i> {
    index: &'i MemoryIndex,
    segments: Vec<Segment>,
}

impl Load for MemoryLoad<'_> {
    fn add(&mut self, segment: &Segment) -> Result<(), IndexError> {
        self.segments.push(segment.clone());
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), IndexError> {
        self.segments.iter().try_for_each(|segment| self.index.apply(None, segment))
    }
}
