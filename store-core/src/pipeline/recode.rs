//! Coding chunks of kept snapshots anew because packs are to go that hold them, or that their old codings rest on (`spec/CHAINS.md`, section 4). Nothing
//! relies on what is written.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::known::KnownChunks;
use super::relied::ReliedOn;
use super::replay::{Choose, Name, PlacedChunk, Replay};
use super::sketches::KeptSketches;
use super::store::Limit;
use super::tried::{Coded, Taking, Tried};
use crate::base::ids::{ChunkId, PackId};
use crate::error::Error;
use crate::index::PackNumber;
use crate::monitor::{Monitor, Progress};
use crate::plan::gc::BlobSet;
use crate::repo::{Repo, StoredSnapshot};

/// What is coded anew.
#[derive(Clone, Copy)]
pub(crate) struct Recoding<'r> {
    /// Snapshots that stay, in the order of their times.
    pub(crate) kept: &'r [StoredSnapshot],
    /// Packs that are to go: chunks of the snapshots that stand nowhere else are coded anew.
    pub(crate) condemned: &'r BTreeSet<PackId>,
    /// Blobs that this is about.
    pub(crate) anew: &'r BlobSet,
    /// Which blobs stay as they are.
    pub(crate) stays: &'r dyn Fn(PackNumber, u32) -> bool,
    /// Blobs of which nothing is needed.
    pub(crate) unneeded: &'r Arc<BlobSet>,
    /// What a trial has coded of it.
    pub(crate) tried: Option<&'r Tried>,
}

/// What was done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Recoded {
    /// Chunks that were coded.
    pub(crate) chunks: u64,
    /// Their plain bytes.
    pub(crate) bytes: u64,
    /// Bytes that were written for them.
    pub(crate) written: u64,
    /// Whether all was done.
    pub(crate) is_complete: bool,
}

/// Codes anew, until `is_over` between two snapshots. Nothing relies on what is written.
///
/// # Errors
/// When something cannot be read or written, or the user stops it.
pub(crate) fn recode(repo: &Repo, what: Recoding<'_>, monitor: &dyn Monitor, is_over: &dyn Fn() -> bool) -> Result<Recoded, Error> {
    let kept = KeptSketches::find(repo, what.condemned, what.stays)?;
    let known = KnownChunks::for_recoding(repo, what.condemned, Arc::clone(what.unneeded), kept)?;
    let mut relied_on = Relied { repo, on: ReliedOn::find(repo, what.anew, what.stays)?, taking: what.tried.map(Taking::new) };
    let mut replay = Replay::new(repo, repo, what.kept, known, monitor);
    let mut recoded = Recoded::default();
    for number in 0..what.kept.len() {
        if is_over() {
            return Ok(recoded);
        }
        let (counts, written) = replay.snapshot(number, &mut relied_on)?;
        recoded.chunks += counts.chunks;
        recoded.bytes += counts.bytes;
        recoded.written += written.bytes;
        monitor.progress(&Progress { files_done: number as u64 + 1, files_total: what.kept.len() as u64, ..Progress::default() });
    }
    recoded.is_complete = true;
    Ok(recoded)
}

/// Takes all that is not held, within what those need who rely on it.
struct Relied<'r> {
    repo: &'r Repo,
    on: ReliedOn,
    taking: Option<Taking<'r>>,
}

impl Relied<'_> {
    /// For each chunk, what its coding may need.
    fn limits(repo: &Repo, on: &ReliedOn, ids: &[ChunkId]) -> Result<Vec<Option<Limit>>, Error> {
        Ok(on.before().locate(ids)?.into_iter().map(|old| old.and_then(|old| on.limit(repo, &old))).collect())
    }
}

impl Choose for Relied<'_> {
    fn choose(&mut self, chunks: &[PlacedChunk<'_>]) -> Result<Vec<Option<Option<Limit>>>, Error> {
        let ids: Vec<ChunkId> = chunks.iter().map(|chunk| chunk.id).collect();
        Ok(Self::limits(self.repo, &self.on, &ids)?.into_iter().map(Some).collect())
    }

    fn coded(&mut self, id: &ChunkId, known: &KnownChunks, name: &Name<'_>) -> Result<Coded, Error> {
        let Some(taking) = &mut self.taking else { return Ok(Coded::Not) };
        let (repo, on) = (self.repo, &self.on);
        // Where others rely on some chunks of a blob only, all of it keeps within what those may need.
        let limit = |ids: &[ChunkId]| Ok(Self::limits(repo, on, ids)?.into_iter().flatten().reduce(Limit::and));
        taking.blob(id, repo, known, name, limit)
    }

    fn bytes(&self, id: &ChunkId) -> Option<Vec<u8>> {
        self.taking.as_ref()?.chunk(id)
    }

    fn passes_over(&self) -> bool {
        false
    }
}
