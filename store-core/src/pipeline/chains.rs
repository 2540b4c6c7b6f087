//! The chains of differences behind stored blobs: what reading them takes.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::known::KnownChunks;
use crate::base::limits;
use crate::blob::{Chain, LEFT_OUT_LEN, bases_below, kind_of_bases};
use crate::index::{Location, PackNumber};
use crate::repo::Repo;

/// Blobs that are remembered.
const REMEMBERED: usize = 1 << 16;

/// What is known of the chains of one repository's blobs.
#[derive(Debug, Default)]
pub(super) struct Chains {
    blobs: Mutex<HashMap<(PackNumber, u32), Chain>>,
}

impl Chains {
    /// That of the chunk at `location`. `None` where it cannot be told: such a chunk is no base.
    pub(super) fn of(&self, repo: &Repo, known: &KnownChunks, location: &Location) -> Option<Chain> {
        Some(self.blob(repo, known, location, limits::DEPTH)?.share(location.len.into()))
    }

    /// Recursion is bounded by `most`, whatever frames say of their depth.
    fn blob(&self, repo: &Repo, known: &KnownChunks, at: &Location, most: u8) -> Option<Chain> {
        let key = (at.pack, at.ordinal);
        if let Some(chain) = self.blobs.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Some(*chain);
        }
        let frame = repo.frame_at(at)?;
        let plain = frame.plain_len() as u64;
        let stored = match &repo.scratch {
            Some(scratch) if frame.sealed_len as usize == LEFT_OUT_LEN => scratch.would_take(plain, !frame.bases.is_empty()),
            _ => frame.sealed_len.into(),
        };
        let below = bases_below(&frame);
        let chain = if below.is_empty() {
            Chain::start(plain, stored)
        } else {
            let below_it = most.checked_sub(1)?;
            let mut bases = Chain::default();
            for location in known.locate(below).ok()? {
                let location = location?;
                bases = bases.and(self.blob(repo, known, &location, below_it)?.share(location.len.into()));
            }
            let bases = if kind_of_bases(&frame).is_some() { bases.of_another_kind(plain) } else { bases };
            Chain::longer(bases, plain, stored)
        };
        let mut blobs = self.blobs.lock().unwrap_or_else(PoisonError::into_inner);
        if blobs.len() >= REMEMBERED {
            blobs.clear();
        }
        blobs.insert(key, chain);
        Some(chain)
    }
}
