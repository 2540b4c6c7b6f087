//! The chains of differences behind stored blobs: what reading them takes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::known::KnownChunks;
use crate::base::limits;
use crate::blob::{Chain, LEFT_OUT_LEN, bases_below, kind_of_bases};
use crate::format::blob::Frame;
use crate::index::{Location, PackNumber};
use crate::repo::Repo;

/// Blobs that are remembered.
const REMEMBERED: usize = 1 << 14;

/// A blob, by the number of its pack and its place there.
pub(super) type BlobKey = (PackNumber, u32);

/// The blob at a place.
pub(super) fn blob_of(location: &Location) -> BlobKey {
    (location.pack, location.ordinal)
}

/// The chain of a blob that takes so many stored bytes, upon `bases`: those of numbers in another type count in full.
pub(super) fn chain_upon(frame: &Frame, bases: Chain, stored: u64) -> Chain {
    let plain = frame.plain_len() as u64;
    match (frame.bases.is_empty(), kind_of_bases(frame)) {
        (true, _) => Chain::start(plain, stored),
        (_, None) => Chain::longer(bases, plain, stored),
        (_, Some(_)) => Chain::longer(bases.of_another_kind(plain), plain, stored),
    }
}

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
            chain_upon(&frame, bases, stored)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::ChunkId;
    use crate::codec::Element;
    use crate::format::blob::{BlobKind, Step};

    #[test]
    fn numbers_in_another_type_count_in_full() {
        let frame = |parameters: &[u8], bases: usize| Frame {
            kind: BlobKind::Data,
            depth: u8::from(bases > 0),
            sealed_len: 10,
            steps: vec![Step { code: 4, input_len: 1000, parameters: parameters.to_vec() }],
            chunk_lens: vec![1000],
            bases: vec![ChunkId::from_bytes([1; 32]); bases],
        };
        let [bf16, f32] = [Element::Bf16, Element::F32].map(Element::code);
        let masters = Chain::start(2000, 1600);
        assert_eq!(chain_upon(&frame(&[bf16, f32], 1), masters, 10), Chain { plain: 1000, reads: 1610, last: 10, whole: 800 });
        assert_eq!(chain_upon(&frame(&[bf16], 1), masters, 10), Chain { plain: 1000, reads: 810, last: 10, whole: 800 });
        assert_eq!(chain_upon(&frame(&[bf16], 0), Chain::default(), 10), Chain::start(1000, 10));
    }
}
