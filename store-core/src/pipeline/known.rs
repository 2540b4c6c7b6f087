//! Which chunks the repository holds already, as far as this session may rely on it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::backend::Folder;
use crate::base::ids::{ChunkId, PackId};
use crate::error::Error;
use crate::format::pack::Sketch;
use crate::index::{ChunkIndex as _, Location, PackNumber, RocksIndex};
use crate::repo::Repo;

/// The index, less the packs that are not there.
#[derive(Debug)]
pub(super) struct KnownChunks {
    index: Arc<RocksIndex>,
    /// Packs that the index names and that no longer exist.
    gone: HashSet<PackNumber>,
    /// Whether packs or index segments are missing. Then nothing is taken over that was not looked up.
    incomplete: bool,
    /// Blobs whose chain of bases leads to what is missing: they are there and cannot be decoded.
    broken: HashSet<(PackNumber, u32)>,
}

impl KnownChunks {
    /// Learns which packs exist. To be called after the session was announced: what is seen from then on stays until it ends.
    pub(super) fn new(repo: &Repo) -> Result<Self, Error> {
        let index = repo.index()?;
        let listed = repo.backend.list(Folder::Packs)?;
        let exist: HashMap<PackId, u64> = listed.iter().filter_map(|listed| Some((listed.name.parse().ok()?, listed.len))).collect();
        let mut gone = HashSet::new();
        for number in 0.. {
            let Some((id, len)) = index.pack(number)? else { break };
            // One of another length was cut short or overwritten: nothing in it is to be relied on.
            if exist.get(&id) != Some(&len) {
                gone.insert(number);
            }
        }
        let mut known = Self { index, incomplete: repo.index.is_incomplete() || !gone.is_empty(), gone, broken: HashSet::new() };
        if known.incomplete {
            known.find_broken()?;
        }
        Ok(known)
    }

    /// Whether packs or index segments are missing.
    pub(super) fn is_incomplete(&self) -> bool {
        self.incomplete
    }

    /// Follows the chains of bases, the shortest first.
    fn find_broken(&mut self) -> Result<(), Error> {
        let mut coded = Vec::new();
        self.index.for_each_blob(&mut |pack, ordinal, place| {
            if !place.frame.bases.is_empty() {
                coded.push((place.frame.depth, pack, ordinal, place.frame.bases));
            }
        })?;
        coded.sort_unstable_by_key(|(depth, ..)| *depth);
        for (_, pack, ordinal, bases) in coded {
            if !self.has(&bases)?.into_iter().all(|held| held) {
                self.broken.insert((pack, ordinal));
            }
        }
        Ok(())
    }

    /// For each chunk, whether it is held.
    pub(super) fn has(&self, ids: &[ChunkId]) -> Result<Vec<bool>, Error> {
        Ok(self.locate(ids)?.iter().map(Option::is_some).collect())
    }

    /// Where these chunks are, as far as they are held.
    pub(super) fn locate(&self, ids: &[ChunkId]) -> Result<Vec<Option<Location>>, Error> {
        let mut found = self.index.find(ids)?;
        found.iter_mut().for_each(|location| *location = location.filter(|location| self.is_readable(location)));
        Ok(found)
    }

    /// For each sketch, the held chunks that share values with it, once for each value.
    pub(super) fn similar(&self, sketches: &[Sketch]) -> Result<Vec<Vec<Location>>, Error> {
        let mut found = self.index.similar(sketches)?;
        found.iter_mut().for_each(|similar| similar.retain(|location| self.is_readable(location)));
        Ok(found)
    }

    fn is_readable(&self, location: &Location) -> bool {
        !self.gone.contains(&location.pack) && !self.broken.contains(&(location.pack, location.ordinal))
    }
}
