//! Which blobs are read for chunks, by the index: of several places of a chunk, one that is read anyway.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::rc::Rc;

use super::chains::blob_of;
use crate::index::{ChunkIndex, IndexError, Location};
use crate::plan::copies::{Blobs, Several, choose};
use crate::plan::restore::BlobKey;

/// Bases in several blobs are chosen for one after the other so often, and all at once then.
const ROUNDS: usize = 64;

/// What is asked of a blob again and again.
#[derive(Debug, Default)]
struct Asked {
    stored: u64,
    /// For each chunk that it is coded against, the blobs that hold it, as far as they lie less deep: others are refused when it is decoded.
    offers: Vec<Vec<BlobKey>>,
}

/// The blobs of an index, each looked up once.
#[derive(Debug)]
pub(super) struct IndexedBlobs<'i> {
    index: &'i dyn ChunkIndex,
    asked: RefCell<HashMap<BlobKey, Rc<Asked>>>,
}

/// What is read, and from where.
#[derive(Debug, Default)]
pub(super) struct Read {
    /// Which of its blobs each chunk with several is read from.
    pub(super) chosen: Vec<usize>,
    /// All blobs that are read.
    pub(super) needed: HashSet<BlobKey>,
    /// Their stored bytes.
    pub(super) stored: u64,
}

impl<'i> IndexedBlobs<'i> {
    pub(super) fn new(index: &'i dyn ChunkIndex) -> Self {
        Self { index, asked: RefCell::default() }
    }

    /// Takes a blob for there that would take so many stored bytes.
    pub(super) fn suppose(&self, key: BlobKey, stored: u64) {
        let _ = self.asked.borrow_mut().insert(key, Rc::new(Asked { stored, offers: Vec::new() }));
    }

    fn asked(&self, key: BlobKey) -> Result<Rc<Asked>, IndexError> {
        if let Some(asked) = self.asked.borrow().get(&key) {
            return Ok(Rc::clone(asked));
        }
        let asked = match self.index.blob(key.0, key.1)? {
            None => Asked::default(),
            Some(place) => {
                let fit =
                    |places: Vec<Location>| places.iter().filter(|location| location.depth < place.frame.depth).map(blob_of).collect();
                let mut offers: Vec<Vec<BlobKey>> = self.index.find_all(&place.frame.bases)?.into_iter().map(fit).collect();
                // Most lie in few blobs.
                offers.sort_unstable();
                offers.dedup();
                Asked { stored: place.frame.sealed_len.into(), offers }
            }
        };
        Ok(Rc::clone(self.asked.borrow_mut().entry(key).or_insert(Rc::new(asked))))
    }

    /// The stored bytes of a blob.
    pub(super) fn stored(&self, key: BlobKey) -> Result<u64, IndexError> {
        Ok(self.asked(key)?.stored)
    }

    /// The blobs that a blob is coded against, those that are `needed` anyway where there are several.
    pub(super) fn bases_of(&self, key: BlobKey, needed: &HashSet<BlobKey>) -> Result<Vec<BlobKey>, IndexError> {
        let best = |blobs: &Vec<BlobKey>| blobs.iter().find(|key| needed.contains(key)).or(blobs.first()).copied();
        Ok(self.asked(key)?.offers.iter().filter_map(best).collect())
    }

    /// Of chunks with several places the ones to read, with all blobs that are read then and for others, which are in `alone`: whatever reads least. The
    /// oldest places are what an old version was read from before others were made, and the first ones what a new one was to be read from.
    pub(super) fn read(&self, alone: &HashSet<BlobKey>, several: &[Several]) -> Result<Read, IndexError> {
        let mut needed = HashSet::new();
        self.need_all(alone.iter().copied(), &mut needed)?;
        let chosen = choose(several, &mut needed, &mut &*self)?;
        let mut best = Read { chosen, stored: self.sum(&needed)?, needed };
        if several.is_empty() {
            return Ok(best);
        }
        let first = |_: &[BlobKey]| 0usize;
        let oldest = |blobs: &[BlobKey]| blobs.iter().enumerate().min_by_key(|(_, key)| **key).map_or(0, |(number, _)| number);
        for pick in [&first as &dyn Fn(&[BlobKey]) -> usize, &oldest] {
            let chosen: Vec<usize> = several.iter().map(|chunk| pick(&chunk.blobs)).collect();
            let mut open: Vec<BlobKey> =
                alone.iter().copied().chain(several.iter().zip(&chosen).map(|(chunk, one)| chunk.blobs[*one])).collect();
            let mut needed = HashSet::new();
            while let Some(key) = open.pop() {
                if needed.insert(key) {
                    open.extend(self.asked(key)?.offers.iter().filter_map(|blobs| blobs.get(pick(blobs))));
                }
            }
            let stored = self.sum(&needed)?;
            if stored < best.stored {
                best = Read { chosen, needed, stored };
            }
        }
        Ok(best)
    }

    fn sum(&self, needed: &HashSet<BlobKey>) -> Result<u64, IndexError> {
        needed.iter().try_fold(0, |sum, key| Ok(sum + self.stored(*key)?))
    }

    /// Adds blobs that are read to those that are, with all that they rest on. Of bases in several blobs, one that is read for something else, or the
    /// one that most of them are in.
    fn need_all(&self, blobs: impl IntoIterator<Item = BlobKey>, needed: &mut HashSet<BlobKey>) -> Result<(), IndexError> {
        let mut open: Vec<BlobKey> = blobs.into_iter().collect();
        let mut several: Vec<Vec<BlobKey>> = Vec::new();
        for round in 0.. {
            while let Some(key) = open.pop() {
                if needed.insert(key) {
                    for blobs in &self.asked(key)?.offers {
                        if let [one] = blobs[..] { open.push(one) } else { several.push(blobs.clone()) }
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

impl Blobs for &IndexedBlobs<'_> {
    type Error = IndexError;

    fn cost(&mut self, blob: BlobKey, needed: &HashSet<BlobKey>) -> Result<u64, IndexError> {
        let (mut open, mut met, mut cost) = (vec![blob], HashSet::new(), 0);
        while let Some(key) = open.pop() {
            if !needed.contains(&key) && met.insert(key) {
                cost += self.stored(key)?;
                open.extend(self.bases_of(key, needed)?);
            }
        }
        Ok(cost)
    }

    fn need(&mut self, blob: BlobKey, needed: &mut HashSet<BlobKey>) -> Result<(), IndexError> {
        self.need_all([blob], needed)
    }
}
