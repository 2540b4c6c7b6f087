//! What is in two packs may be there twice because one is damaged and a push has healed it. So before a pack goes of which something is needed
//! and found elsewhere, it is read there (`spec/PROTOCOL.md`, I35): when it is decided what goes, and once more when that is final, since what was needed
//! in a pack that goes may be found elsewhere by then, and what nobody needed may be needed.

use std::collections::{BTreeSet, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use super::Run;
use super::contents::for_each_contents;
use crate::base::ids::{ChunkId, PackId};
use crate::error::{Error, ErrorKind};
use crate::format::blob::BlobKind;
use crate::index::{ChunkIndex, Location, PackNumber};
use crate::repo::Marked;

/// What was read when it was decided which packs go.
pub(super) struct TwinsRead {
    /// Numbers of the packs that there were, and how many. What came later was compared when it was written.
    index: Arc<dyn ChunkIndex>,
    packs: PackNumber,
    /// Chunks that are right in these packs.
    right: HashSet<(ChunkId, PackId)>,
    /// What packs that go held and others, too, needed or not.
    shared: Vec<(PackId, ChunkId, BlobKind)>,
}

impl TwinsRead {
    /// Whether a chunk was read in this pack, or came with it since.
    fn is_sure(&self, id: &ChunkId, pack: &PackId) -> Result<bool, Error> {
        Ok(self.right.contains(&(*id, *pack)) || self.index.number(pack)?.is_none_or(|number| number >= self.packs))
    }
}

impl Run<'_> {
    /// Reads what packs that are to go have in common with what is needed of others.
    ///
    /// # Errors
    /// Of kind [`ErrorKind::Damage`] when it cannot be read there: the copy that would go may be the only good one.
    pub(super) fn read_twins(&self, goes: &BTreeSet<PackId>, marked: &Marked) -> Result<TwinsRead, Error> {
        let index = &marked.index;
        let (mut right, mut shared) = (HashSet::new(), Vec::new());
        for_each_contents(self.repo, goes, &mut |pack, contents| {
            let Some(number) = index.number(&pack)? else { return Ok(ControlFlow::Continue(())) };
            for (ordinal, entry) in contents.blobs.iter().enumerate() {
                self.stop_if_interrupted()?;
                let needed = marked.marks.chunks(number, ordinal as u32);
                let here = needed.iter().copied().chain(std::iter::repeat(false));
                for (id, is_needed) in entry.ids.iter().zip(here) {
                    let copies = index.copies(id)?;
                    if copies.len() > 1 {
                        shared.push((pack, *id, entry.frame.kind));
                    }
                    if !is_needed {
                        self.read_twin(marked, &(pack, *id, entry.frame.kind), &copies, None, &mut right)?;
                    }
                }
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(TwinsRead { index: Arc::clone(index), packs: marked.marks.packs(), right, shared })
    }

    /// The same of packs of which nothing is needed now, but for what is sure by the look `before`, if these are packs that it was about.
    pub(super) fn read_twins_again(&self, goes: &BTreeSet<PackId>, marked: &Marked, before: Option<&TwinsRead>) -> Result<(), Error> {
        let Some(before) = before else { return self.read_twins(goes, marked).map(drop) };
        let mut right = HashSet::new();
        for shared in before.shared.iter().filter(|(pack, ..)| goes.contains(pack)) {
            self.stop_if_interrupted()?;
            self.read_twin(marked, shared, &marked.index.copies(&shared.1)?, Some(before), &mut right)?;
        }
        Ok(())
    }

    fn read_twin(
        &self,
        marked: &Marked,
        (pack, id, kind): &(PackId, ChunkId, BlobKind),
        copies: &[Location],
        before: Option<&TwinsRead>,
        right: &mut HashSet<(ChunkId, PackId)>,
    ) -> Result<(), Error> {
        let index = &marked.index;
        for copy in copies {
            let Some(place) = index.blob(copy.pack, copy.ordinal)? else { continue };
            let mut start = 0;
            let at = place.frame.chunk_lens.iter().position(|len| {
                let here = start == copy.start && *len == copy.len;
                start += len;
                here
            });
            let is_needed = at.and_then(|at| marked.marks.chunks(copy.pack, copy.ordinal).get(at).copied()).unwrap_or(false);
            let is_sure = || before.map_or(Ok(false), |before| before.is_sure(id, &place.pack));
            if !is_needed || is_sure()? {
                continue;
            }
            if let Err(why) = self.repo.read_as(index, copy, id, *kind) {
                let message = format!(
                    "{id} is needed and cannot be read from pack {}, and pack {pack}, which has it too, would go: `snap repair packs \
                     --read-data` first",
                    place.pack
                );
                return Err(Error::with(ErrorKind::Damage, message, why));
            }
            right.insert((*id, place.pack));
        }
        Ok(())
    }
}
