//! A second repository that holds what a restored snapshot holds: bytes that are lost in the first one are read there.
//!
//! The two have different keys, so nothing is found there by its name: a chunk is the bytes at its place in the file of the same path. They are
//! hashed with the first repository's key before anybody gets them, so a wrong candidate costs time and never a byte.

use crate::base::ids::ChunkId;
use crate::crypto::RepoKeys;
use crate::repo::{Repo, StoredFile, StoredSnapshot};

/// Where else the bytes of a snapshot may be.
pub(crate) struct Spare<'r> {
    /// The second repository.
    pub(crate) repo: &'r Repo,
    /// Its snapshots that may have them, the likeliest first.
    pub(crate) candidates: Vec<StoredSnapshot>,
    /// The folder that is restored, as a path in the snapshot.
    pub(crate) base: Vec<u8>,
    /// The keys of the first repository.
    pub(crate) keys: &'r RepoKeys,
}

impl Spare<'_> {
    /// The bytes of a chunk that begins at `offset` of the file at `path` below what is restored. They have its id.
    pub(crate) fn chunk(&self, path: &[u8], offset: u64, len: u32, id: &ChunkId) -> Option<Vec<u8>> {
        let path = [&self.base, path].join(&b'/');
        self.candidates.iter().find_map(|stored| {
            let entry = self.repo.find(stored, &path).ok()?;
            let mut bytes = vec![0; len as usize];
            StoredFile::new(self.repo, &entry)?.read_at(offset, &mut bytes).ok()?;
            (self.keys.chunk_id(&bytes) == *id).then_some(bytes)
        })
    }
}
