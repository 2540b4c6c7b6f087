//! What damage takes down: blobs that are coded against what is lost, and chunks of which no other copy is intact.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::{Checker, Spot};
use crate::base::ids::{ChunkId, PackId};
use crate::base::limits;
use crate::error::Error;

/// A blob by pack and ordinal.
pub(super) type BlobId = (PackId, u32);

/// What is known of damage to packs.
#[derive(Default)]
pub(super) struct Damage {
    /// Packs that are there.
    pub(super) exist: HashSet<PackId>,
    /// Those that were read in full.
    pub(super) read: HashSet<PackId>,
    /// Blobs that cannot be had, and the spot that is to blame.
    pub(super) blobs: BTreeMap<BlobId, Spot>,
    /// Those of them that were read and found so.
    pub(super) found: BTreeSet<BlobId>,
    /// Packs of which footer or name are damaged.
    pub(super) frames: BTreeSet<PackId>,
}

impl Checker<'_> {
    /// Whether there is a copy of a chunk that can be read as far as is known, of less than this depth and not in `except`.
    pub(super) fn intact(&self, id: &ChunkId, below: u8, except: Option<&PackId>) -> Result<bool, Error> {
        let index = self.repo.index()?;
        for copy in index.copies(id)? {
            if let Some((pack, _)) = index.pack(copy.pack)?
                && copy.depth < below
                && except != Some(&pack)
                && self.damage.exist.contains(&pack)
                && !self.damage.blobs.contains_key(&(pack, copy.ordinal))
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The chunks in blobs that cannot be had, with the spots that are to blame.
    fn in_damaged_blobs(&self) -> HashMap<ChunkId, Spot> {
        let mut ids = HashMap::new();
        for ((pack, ordinal), spot) in &self.damage.blobs {
            let blob = self.listed.get(pack).and_then(|listed| listed.contents.blobs.get(*ordinal as usize));
            ids.extend(blob.iter().flat_map(|blob| &blob.ids).map(|id| (*id, spot.clone())));
        }
        ids
    }

    /// Adds the blobs that are coded against damaged ones, the least deep first, so that chains are followed to their end.
    pub(super) fn spread(&mut self) -> Result<(), Error> {
        if self.damage.blobs.is_empty() {
            return Ok(());
        }
        for depth in 1..=limits::DEPTH {
            let suspect = self.in_damaged_blobs();
            let mut more = Vec::new();
            for (pack, listed) in self.listed.iter().filter(|(pack, _)| self.damage.exist.contains(pack)) {
                for (ordinal, blob) in listed.contents.blobs.iter().enumerate().filter(|(_, blob)| blob.frame.depth == depth) {
                    for base in &blob.frame.bases {
                        if let Some(spot) = suspect.get(base)
                            && !self.intact(base, depth, None)?
                        {
                            more.push(((*pack, ordinal as u32), spot.clone()));
                            break;
                        }
                    }
                }
            }
            for (blob, spot) in more {
                self.damage.blobs.entry(blob).or_insert(spot);
            }
        }
        Ok(())
    }

    /// Finds the chunks of which nothing intact is left.
    pub(super) fn find_lost(&mut self) -> Result<(), Error> {
        for (id, spot) in self.in_damaged_blobs() {
            if !self.intact(&id, u8::MAX, None)? {
                self.lost.insert(id, spot);
            }
        }
        Ok(())
    }
}
