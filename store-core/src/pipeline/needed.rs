//! Which blobs are read for chunks, by the index: of several places of a chunk, one that is read anyway.

use std::collections::{BTreeMap, HashSet};

use crate::base::limits;
use crate::index::{ChunkIndex, IndexError, Location};
use crate::plan::copies::{Blobs, Several, choose};
use crate::plan::restore::BlobKey;

/// Bases in several blobs are chosen for one after the other so often, and all at once then.
const ROUNDS: usize = 256;

/// The blobs of an index.
#[derive(Debug, Clone, Copy)]
pub(super) struct IndexedBlobs<'i>(pub(super) &'i dyn ChunkIndex);

/// The blob at a place.
pub(super) fn blob_at(location: &Location) -> BlobKey {
    (location.pack, location.ordinal)
}

impl IndexedBlobs<'_> {
    /// For each chunk that a blob is coded against, the blobs that hold it, as far as they lie less deep: others are refused when it is decoded.
    fn offers(self, key: BlobKey) -> Result<impl Iterator<Item = Vec<BlobKey>>, IndexError> {
        let frame = self.0.blob(key.0, key.1)?.map(|place| place.frame);
        let bases = frame.as_ref().map_or(&[][..], |frame| &frame.bases);
        let (places, depth) = (self.0.find_all(bases)?, frame.as_ref().map_or(0, |frame| frame.depth));
        Ok(places.into_iter().map(move |places| places.iter().filter(|location| location.depth < depth).map(blob_at).collect()))
    }

    /// The blobs that a blob is coded against, those that are `needed` anyway where there are several.
    pub(super) fn bases_of(self, key: BlobKey, needed: &HashSet<BlobKey>) -> Result<Vec<BlobKey>, IndexError> {
        let best = |blobs: Vec<BlobKey>| blobs.iter().find(|key| needed.contains(key)).or(blobs.first()).copied();
        Ok(self.offers(key)?.filter_map(best).collect())
    }

    /// Of chunks with several places the ones to read, with all blobs that are read then and for others, which are in `alone`: whatever reads less.
    /// That of the oldest places is what was read for an old version before others were made.
    pub(super) fn read(self, alone: &HashSet<BlobKey>, several: &[Several]) -> Result<(Vec<usize>, HashSet<BlobKey>), IndexError> {
        let oldest = |blobs: &[BlobKey]| blobs.iter().enumerate().min_by_key(|(_, key)| **key).map_or(0, |(number, _)| number);
        let old: Vec<usize> = several.iter().map(|chunk| oldest(&chunk.blobs)).collect();
        let (mut needed, mut of_old) = (HashSet::new(), HashSet::new());
        let mut open: Vec<BlobKey> = alone.iter().copied().chain(several.iter().zip(&old).map(|(chunk, number)| chunk.blobs[*number])).collect();
        while let Some(key) = open.pop() {
            if of_old.insert(key) {
                open.extend(self.offers(key)?.filter_map(|blobs| blobs.into_iter().min()));
            }
        }
        self.need_all(alone.iter().copied(), &mut needed)?;
        let chosen = choose(several, &mut needed, &mut { self })?;
        let takes = |needed: &HashSet<BlobKey>| needed.iter().try_fold(0, |sum, key| Ok::<_, IndexError>(sum + self.stored(*key)?.0));
        Ok(if takes(&of_old)? < takes(&needed)? { (old, of_old) } else { (chosen, needed) })
    }

    /// The stored bytes of a blob, and its depth.
    fn stored(self, (pack, ordinal): BlobKey) -> Result<(u64, u8), IndexError> {
        let frame = self.0.blob(pack, ordinal)?.map(|place| place.frame);
        Ok(frame.map_or((0, 0), |frame| (frame.sealed_len.into(), frame.depth)))
    }

    /// Adds blobs that are read to those that are, with all that they rest on. Of bases in several blobs, one that is read for something else, or the
    /// one that most of them are in.
    fn need_all(self, blobs: impl IntoIterator<Item = BlobKey>, needed: &mut HashSet<BlobKey>) -> Result<(), IndexError> {
        let mut open: Vec<BlobKey> = blobs.into_iter().collect();
        let mut several: Vec<Vec<BlobKey>> = Vec::new();
        for round in 0.. {
            while let Some(key) = open.pop() {
                if needed.insert(key) {
                    for blobs in self.offers(key)? {
                        if let [one] = blobs[..] { open.push(one) } else { several.push(blobs) }
                    }
                }
            }
            several.retain(|blobs| !blobs.iter().any(|key| needed.contains(key)));
            if round == ROUNDS {
                open.extend(several.iter().filter_map(|blobs| blobs.first()));
                continue;
            }
            let mut votes: BTreeMap<BlobKey, usize> = BTreeMap::new();
            several.iter().flatten().for_each(|key| *votes.entry(*key).or_default() += 1);
            // Of equals the last: it was written for a later version.
            let Some((best, _)) = votes.into_iter().max_by_key(|(key, votes)| (*votes, *key)) else { break };
            open.push(best);
        }
        Ok(())
    }
}

impl Blobs for IndexedBlobs<'_> {
    type Error = IndexError;

    fn cost(&mut self, blob: BlobKey) -> Result<u64, IndexError> {
        // What it rests on takes more than it does, as a rule.
        let (stored, depth) = self.stored(blob)?;
        Ok(stored << depth.min(limits::DEPTH))
    }

    fn need(&mut self, blob: BlobKey, needed: &mut HashSet<BlobKey>) -> Result<(), IndexError> {
        self.need_all([blob], needed)
    }
}
