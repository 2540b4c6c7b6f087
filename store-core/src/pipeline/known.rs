//! Which chunks the repository holds already, as far as this session may rely on it.

use std::collections::HashSet;
use std::sync::Arc;

use crate::backend::Folder;
use crate::base::ids::{ChunkId, PackId};
use crate::error::Error;
use crate::index::{ChunkIndex as _, PackNumber, RocksIndex};
use crate::repo::Repo;

/// The index, less the packs that are not there.
#[derive(Debug)]
pub(super) struct KnownChunks {
    index: Arc<RocksIndex>,
    /// Packs that the index names and that no longer exist.
    gone: HashSet<PackNumber>,
}

impl KnownChunks {
    /// Learns which packs exist. To be called after the session was announced: what is seen from then on stays until it ends.
    pub(super) fn new(repo: &Repo) -> Result<Self, Error> {
        let index = repo.index()?;
        let exist: HashSet<PackId> = repo.backend.list(Folder::Packs)?.iter().filter_map(|listed| listed.name.parse().ok()).collect();
        let mut gone = HashSet::new();
        for number in 0.. {
            let Some((id, _)) = index.pack(number)? else { break };
            if !exist.contains(&id) {
                gone.insert(number);
            }
        }
        Ok(Self { index, gone })
    }

    /// For each chunk, whether it is held.
    pub(super) fn has(&self, ids: &[ChunkId]) -> Result<Vec<bool>, Error> {
        let found = self.index.find(ids)?;
        Ok(found.into_iter().map(|location| location.is_some_and(|location| !self.gone.contains(&location.pack))).collect())
    }
}
