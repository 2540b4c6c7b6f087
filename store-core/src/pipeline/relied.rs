//! What stays as it is and rests on chunks that are coded anew: how much more reading these may take (`spec/CHAINS.md`, section 4).

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::chains::Chains;
use super::known::KnownChunks;
use super::sketches::KeptSketches;
use super::store::Limit;
use crate::base::limits;
use crate::error::Error;
use crate::format::blob::Frame;
use crate::index::{Location, PackNumber};
use crate::plan::gc::BlobSet;
use crate::repo::Repo;

/// Blobs that one blob may rest on, before no more of them are followed.
const FOLLOWED: usize = 64;
/// Stored bytes for each plain one are counted in parts of a million.
const PARTS: u64 = 1_000_000;

/// Blobs that are coded anew and that others rest on which stay as they are.
#[derive(Debug)]
pub(super) struct ReliedOn {
    /// What was held before anything was condemned, with its chains.
    before: KnownChunks,
    chains: Chains,
    /// For each blob, by how much its chain may grow, in stored bytes for each plain one, until that of something above it takes too much.
    room: HashMap<(PackNumber, u32), u64>,
}

impl ReliedOn {
    /// Finds them: `anew` is coded anew, and what `stays` stays as it is. Takes memory for each blob that is relied on.
    pub(super) fn find(repo: &Repo, anew: &BlobSet, stays: &dyn Fn(PackNumber, u32) -> bool) -> Result<Self, Error> {
        let before = KnownChunks::for_recoding(repo, &BTreeSet::new(), Arc::default(), KeptSketches::default())?;
        let mut found = Self { before, chains: Chains::default(), room: HashMap::new() };
        let mut looked = Ok(());
        repo.index()?.for_each_blob(&mut |pack, ordinal, place| {
            if looked.is_ok() && !place.frame.bases.is_empty() && stays(pack, ordinal) {
                looked = found.look(repo, anew, (pack, ordinal), &place.frame);
            }
        })?;
        looked.map(|()| found)
    }

    fn look(&mut self, repo: &Repo, anew: &BlobSet, blob: (PackNumber, u32), frame: &Frame) -> Result<(), Error> {
        let (mut below, mut seen) = (BTreeSet::new(), BTreeSet::from([blob]));
        let mut open = vec![frame.clone()];
        while let Some(frame) = open.pop() {
            for location in self.before.locate(&frame.bases)?.into_iter().flatten() {
                let key = (location.pack, location.ordinal);
                if anew.contains(location.pack, location.ordinal) {
                    below.insert(key);
                } else if location.depth > 0 && seen.len() < FOLLOWED && seen.insert(key) {
                    open.extend(repo.frame_at(&location));
                }
            }
        }
        if below.is_empty() {
            return Ok(());
        }
        let plain = frame.plain_len() as u64;
        let whole = Location { pack: blob.0, ordinal: blob.1, start: 0, len: plain as u32, depth: frame.depth };
        let room = self.chains.of(repo, &self.before, &whole).map_or(0, |chain| chain.room() * PARTS / plain.max(1));
        for key in below {
            self.room.entry(key).and_modify(|least| *least = room.min(*least)).or_insert(room);
        }
        Ok(())
    }

    /// What the coding of the chunk at `old` may need; `None` where nobody relies on it.
    pub(super) fn limit(&self, repo: &Repo, old: &Location) -> Option<Limit> {
        let room = self.room.get(&(old.pack, old.ordinal))?;
        let reads = self.chains.of(repo, &self.before, old).map_or(0, |chain| chain.reads);
        Some(Limit { depth: old.depth.min(limits::DEPTH), reads: reads + room * u64::from(old.len) / PARTS })
    }

    /// Where a chunk was before anything was coded anew.
    pub(super) fn before(&self) -> &KnownChunks {
        &self.before
    }
}
