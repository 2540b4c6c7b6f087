//! The chains of differences behind stored blobs: what reading them takes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::known::KnownChunks;
use crate::base::limits;
use crate::blob::{Chain, LEFT_OUT_LEN, bases_below, kind_of_bases};
use crate::index::{Location, PackNumber};
use crate::repo::Repo;

/// Blobs that are remembered.
const REMEMBERED: usize = 1 << 14;

/// A blob, by the number of its pack and its place there.
pub(super) type BlobKey = (PackNumber, u32);

/// A blob of a chain.
#[derive(Debug)]
struct Link {
    chain: Chain,
    /// Stored bytes of the blob itself.
    stored: u64,
    /// What it is coded against, each blob once.
    below: Vec<BlobKey>,
}

/// What is known of the chains of one repository's blobs.
#[derive(Debug, Default)]
pub(super) struct Chains {
    blobs: Mutex<HashMap<BlobKey, Arc<Link>>>,
}

impl Chains {
    /// That of the chunk at `location`. `None` where it cannot be told: such a chunk is no base.
    pub(super) fn of(&self, repo: &Repo, known: &KnownChunks, location: &Location) -> Option<Chain> {
        Some(self.of_blob(repo, known, (location.pack, location.ordinal))?.share(location.len.into()))
    }

    /// That of a whole blob.
    pub(super) fn of_blob(&self, repo: &Repo, known: &KnownChunks, blob: BlobKey) -> Option<Chain> {
        Some(self.link(repo, known, blob, limits::DEPTH)?.chain)
    }

    /// Calls `found` for a blob and those that it rests on, with the stored bytes of each. Where it says no, what lies below that one is left out.
    pub(super) fn walk(&self, repo: &Repo, known: &KnownChunks, blob: BlobKey, found: &mut dyn FnMut(BlobKey, u64) -> bool) {
        let mut open = vec![blob];
        while let Some(key) = open.pop() {
            // It ends: what a chain is told of was followed down to its start.
            let Some(link) = self.link(repo, known, key, limits::DEPTH) else { continue };
            if found(key, link.stored) {
                open.extend(&link.below);
            }
        }
    }

    /// Recursion is bounded by `most`, whatever frames say of their depth.
    fn link(&self, repo: &Repo, known: &KnownChunks, key: BlobKey, most: u8) -> Option<Arc<Link>> {
        if let Some(link) = self.blobs.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Some(Arc::clone(link));
        }
        let frame = repo.frame(key)?;
        let plain = frame.plain_len() as u64;
        let stored = match &repo.scratch {
            Some(scratch) if frame.sealed_len as usize == LEFT_OUT_LEN => scratch.would_take(plain, !frame.bases.is_empty()),
            _ => frame.sealed_len.into(),
        };
        let named = bases_below(&frame);
        let mut below = Vec::new();
        let chain = if named.is_empty() {
            Chain::start(plain, stored)
        } else {
            let below_it = most.checked_sub(1)?;
            let mut bases = Chain::default();
            for location in known.locate(named).ok()? {
                let location = location?;
                let key = (location.pack, location.ordinal);
                bases = bases.and(self.link(repo, known, key, below_it)?.chain.share(location.len.into()));
                if !below.contains(&key) {
                    below.push(key);
                }
            }
            let bases = if kind_of_bases(&frame).is_some() { bases.of_another_kind(plain) } else { bases };
            Chain::longer(bases, plain, stored)
        };
        let link = Arc::new(Link { chain, stored, below });
        let mut blobs = self.blobs.lock().unwrap_or_else(PoisonError::into_inner);
        if blobs.len() >= REMEMBERED {
            blobs.clear();
        }
        blobs.insert(key, Arc::clone(&link));
        Some(link)
    }
}
