//! What a trial coded (`spec/CHAINS.md`, section 4), for whoever codes the same chunks anew: they are read and coded once for both.

use std::collections::{BTreeSet, HashMap};

use super::base::longest_of;
use super::chains::{Chains, chain_upon};
use super::known::KnownChunks;
use super::replay::Name;
use super::store::Limit;
use crate::backend::Folder;
use crate::base::ids::{ChunkId, PackId, SegmentId};
use crate::blob::{Chain, CodedBlob, bases_below, dtype_of};
use crate::error::Error;
use crate::format::blob::BlobKind;
use crate::format::pack::BlobEntry;
use crate::index::{BlobPlace, Location};
use crate::repo::{NewBlob, Repo};

/// A chain may take so much more than it did in the trial, as a part of that.
const MORE: u64 = 16;

/// A repository in memory, with the blobs in it.
#[derive(Debug)]
pub(crate) struct Tried {
    target: Repo,
    known: KnownChunks,
    chains: Chains,
    blobs: Vec<(PackId, u32, u64, BlobEntry)>,
    /// Which blob holds a chunk.
    of: HashMap<ChunkId, usize>,
}

/// Takes blobs of a trial into another repository.
pub(super) struct Taking<'t> {
    tried: &'t Tried,
    /// Chains of the other repository.
    chains: Chains,
    taken: BTreeSet<usize>,
    refused: BTreeSet<usize>,
}

/// What is there of a chunk that is to be coded.
pub(super) enum Coded {
    /// Nothing that would do.
    Not,
    /// A blob that was handed out before holds it.
    Before,
    /// This blob holds it.
    Now(NewBlob),
}

impl Tried {
    /// All blobs of `target`.
    pub(super) fn new(target: Repo) -> Result<Self, Error> {
        let (mut blobs, mut of) = (Vec::new(), HashMap::new());
        for listed in target.backend.list(Folder::Segments)? {
            let Ok(id) = listed.name.parse::<SegmentId>() else { continue };
            for pack in target.read_listed(&id)?.into_iter().flat_map(|segment| segment.packs) {
                let offsets: Vec<u64> = pack.contents.offsets().collect();
                for ((ordinal, blob), offset) in (0..).zip(pack.contents.blobs).zip(offsets) {
                    of.extend(blob.ids.iter().map(|id| (*id, blobs.len())));
                    blobs.push((pack.id, ordinal, offset, blob));
                }
            }
        }
        let known = KnownChunks::of_own(&target)?;
        Ok(Self { target, known, chains: Chains::default(), blobs, of })
    }

    /// The bytes of a chunk.
    pub(super) fn chunk(&self, id: &ChunkId) -> Option<Vec<u8>> {
        self.of.get(id)?;
        self.target.chunk(id).ok()
    }

    /// Stored bytes that reading a blob takes there.
    fn reads(&self, blob: usize) -> Option<u64> {
        let (pack, ordinal, _, entry) = &self.blobs[blob];
        let pack = self.target.index().ok()?.number(pack).ok()??;
        let whole = Location { pack, ordinal: *ordinal, start: 0, len: entry.frame.plain_len() as u32, depth: entry.frame.depth };
        Some(self.chains.of(&self.target, &self.known, &whole)?.reads)
    }

    fn open(&self, blob: usize) -> Option<NewBlob> {
        let (pack, ordinal, offset, entry) = &self.blobs[blob];
        let place = BlobPlace { pack: *pack, offset: *offset, frame: entry.frame.clone() };
        let mut bytes = self.target.read_sealed(&place).ok()?;
        self.target.opener(pack).ok()?.open_blob(*ordinal, &entry.frame, &mut bytes).ok()?;
        let coded = CodedBlob::of(entry.frame.clone(), bytes);
        Some(NewBlob { coded, ids: entry.ids.clone(), sketches: entry.sketches.clone() })
    }
}

impl<'t> Taking<'t> {
    pub(super) fn new(tried: &'t Tried) -> Self {
        Self { tried, chains: Chains::default(), taken: BTreeSet::new(), refused: BTreeSet::new() }
    }

    /// The bytes of a chunk, where it was tried.
    pub(super) fn chunk(&self, id: &ChunkId) -> Option<Vec<u8>> {
        self.tried.chunk(id)
    }

    /// The blob of a chunk that `repo` is to hold, if it will do there but for its depth: it holds nothing else than what `repo` lacks, its bases are
    /// there, with chains that can carry it or take no more than in the trial; and it needs no more than `limit` says of its chunks.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub(super) fn blob(
        &mut self,
        id: &ChunkId,
        repo: &Repo,
        known: &KnownChunks,
        name: &Name<'_>,
        limit: impl FnOnce(&[ChunkId]) -> Result<Option<Limit>, Error>,
    ) -> Result<Coded, Error> {
        let Some(blob) = self.tried.of.get(id).copied().filter(|blob| !self.refused.contains(blob)) else { return Ok(Coded::Not) };
        if self.taken.contains(&blob) {
            return Ok(Coded::Before);
        }
        let depth = self.depth_there(blob, repo, known, name, limit)?;
        let found = depth.and_then(|depth| {
            let mut found = self.tried.open(blob)?;
            found.coded.frame.depth = depth;
            Some(found)
        });
        let is_found = found.is_some();
        // What was refused once stays so: its chunks are on their way one by one.
        let _ = if is_found { self.taken.insert(blob) } else { self.refused.insert(blob) };
        Ok(found.map_or(Coded::Not, Coded::Now))
    }

    /// How deep a blob would be in `repo`, if it will do there.
    fn depth_there(
        &self,
        blob: usize,
        repo: &Repo,
        known: &KnownChunks,
        name: &Name<'_>,
        limit: impl FnOnce(&[ChunkId]) -> Result<Option<Limit>, Error>,
    ) -> Result<Option<u8>, Error> {
        let BlobEntry { frame, ids, .. } = &self.tried.blobs[blob].3;
        if known.has(ids)?.contains(&true) {
            return Ok(None);
        }
        for id in ids {
            if known.is_lost(*id)? {
                return Ok(None);
            }
        }
        // They may have come with the same snapshot.
        let all = || Ok::<_, Error>(known.locate(&frame.bases)?.into_iter().collect::<Option<Vec<Location>>>());
        let found = match all()? {
            None if name(&frame.bases)? => all()?,
            found => found,
        };
        let Some(found) = found else { return Ok(None) };
        // What was coded in the trial rests on bytes; a reader will take them from there.
        let index = repo.index()?;
        if found.iter().zip(&frame.bases).any(|(location, id)| repo.read_as(&index, location, id, BlobKind::Data).is_err()) {
            return Ok(None);
        }
        let depth = found.iter().map(|location| location.depth + 1).max().unwrap_or(0);
        let mut bases = Chain::default();
        for location in known.locate(bases_below(frame))?.iter().flatten() {
            let Some(chain) = self.chains.of(repo, known, location) else { return Ok(None) };
            bases = bases.and(chain);
        }
        let there = chain_upon(frame, bases, frame.sealed_len.into());
        let Some(tried) = self.tried.reads(blob) else { return Ok(None) };
        let longest = longest_of(repo, dtype_of(frame).is_some());
        let is_within = depth <= longest && there.is_within_bound() || depth <= frame.depth && there.reads <= tried + tried / MORE;
        let is_limited = limit(ids)?.is_some_and(|limit| depth > limit.depth || there.reads > limit.reads);
        Ok((is_within && !is_limited).then_some(depth))
    }
}
