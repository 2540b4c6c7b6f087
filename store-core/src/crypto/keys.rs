//! What is derived from the master key: one key per object, the names of content, the secrets of the chunker.

use zeroize::Zeroizing;

use super::seal::ObjectKey;
use super::secret::Secret;
use crate::base::ids::{ChunkId, NodeId, RepoId};

/// All secrets of an open repository.
#[derive(Clone)]
pub struct RepoKeys {
    master: Secret,
    repo: RepoId,
    chunk_id: Secret,
    node_id: Secret,
    name_split: Secret,
    gear: Zeroizing<Vec<u64>>,
    sketch: Zeroizing<Vec<u64>>,
}

impl std::fmt::Debug for RepoKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RepoKeys").field("repo", &self.repo).finish_non_exhaustive()
    }
}

impl RepoKeys {
    /// Derives the secrets of repository `repo` from its master key.
    pub fn new(master: Secret, repo: RepoId) -> Self {
        let words = |context: &str, count: usize| {
            let mut bytes = Zeroizing::new(vec![0; count * 8]);
            derive(context, &master, &repo, &mut bytes);
            Zeroizing::new(bytes.chunks_exact(8).map(|b| u64::from_le_bytes(b.try_into().expect("eight bytes"))).collect::<Vec<_>>())
        };
        let key = |context: &str| {
            let mut bytes = [0; 32];
            derive(context, &master, &repo, &mut bytes);
            Secret::take(&mut bytes)
        };
        Self {
            chunk_id: key("snap 2026 v1 chunk id"),
            node_id: key("snap 2026 v1 node id"),
            name_split: key("snap 2026 v1 name split"),
            gear: words("snap 2026 v1 gear", 256),
            sketch: words("snap 2026 v1 sketch", 16),
            master,
            repo,
        }
    }

    /// The repository that these secrets belong to.
    pub fn repo(&self) -> RepoId {
        self.repo
    }

    /// The master key, for a new key slot.
    pub fn master(&self) -> &Secret {
        &self.master
    }

    /// The key of one object.
    pub fn object(&self, kind: u8, epoch: u32, salt: &[u8; 32]) -> ObjectKey {
        ObjectKey::derive(&self.master, kind, &self.repo, epoch, salt)
    }

    /// The name of a chunk with these bytes.
    pub fn chunk_id(&self, bytes: &[u8]) -> ChunkId {
        ChunkId::from_bytes(*blake3::keyed_hash(self.chunk_id.expose(), bytes).as_bytes())
    }

    /// The name of a Merkle node with these bytes.
    pub fn node_id(&self, bytes: &[u8]) -> NodeId {
        NodeId::from_bytes(*blake3::keyed_hash(self.node_id.expose(), bytes).as_bytes())
    }

    /// The boundary value of a directory entry's name (`spec/FORMAT.md`, section 8.3).
    pub fn name_boundary(&self, name: &[u8]) -> u32 {
        let hash = blake3::keyed_hash(self.name_split.expose(), name);
        u32::from_le_bytes(hash.as_bytes()[..4].try_into().expect("four bytes"))
    }

    /// The chunker's table: 256 random words.
    pub fn gear(&self) -> &[u64] {
        &self.gear
    }

    /// Eight pairs of a multiplier and an addend, for sketches.
    pub fn sketch(&self) -> &[u64] {
        &self.sketch
    }
}

fn derive(context: &str, master: &Secret, repo: &RepoId, out: &mut [u8]) {
    let mut hasher = blake3::Hasher::new_derive_key(context);
    hasher.update(master.expose()).update(repo.as_bytes());
    hasher.finalize_xof().fill(out);
}
