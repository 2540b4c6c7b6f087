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
use crate::index::{ChunkIndex, PackNumber};
use crate::repo::Marked;

/// What was read when it was decided which packs go.
pub(super) struct TwinsRead {
    /// Numbers of the packs that there were, and how many. What came later was compared when it was written.
    index: Arc<dyn ChunkIndex>,
    packs: PackNumber,
    /// Chunks that are right in these packs.
    right: HashSet<(ChunkId, PackId)>,
}

impl TwinsRead {
    /// Whether a chunk was read in this pack, or came with it since.
    fn is_sure(&self, id: &ChunkId, pack: &PackId) -> Result<bool, Error> {
        Ok(self.right.contains(&(*id, *pack)) || self.index.number(pack)?.is_none_or(|number| number >= self.packs))
    }
}

impl Run<'_> {
    /// Reads what packs that are to go have in common with what is needed of others, but for what is sure by an earlier look.
    ///
    /// # Errors
    /// Of kind [`ErrorKind::Damage`] when it cannot be read there: the copy that would go may be the only good one.
    pub(super) fn read_twins(&self, goes: &BTreeSet<PackId>, marked: &Marked, before: Option<&TwinsRead>) -> Result<TwinsRead, Error> {
        let index = &marked.index;
        let mut read = TwinsRead { index: Arc::clone(index), packs: marked.marks.packs(), right: HashSet::new() };
        for_each_contents(self.repo, goes, &mut |pack, contents| {
            let Some(number) = index.number(&pack)? else { return Ok(ControlFlow::Continue(())) };
            for (ordinal, entry) in contents.blobs.iter().enumerate() {
                if self.monitor.interrupted() {
                    return Err(Error::new(ErrorKind::Interrupted, "interrupted: nothing was deleted"));
                }
                let needed = marked.marks.chunks(number, ordinal as u32);
                let here = needed.iter().copied().chain(std::iter::repeat(false));
                for (id, _) in entry.ids.iter().zip(here).filter(|(_, is_needed)| !is_needed) {
                    self.read_twin(marked, &pack, id, entry.frame.kind, before, &mut read.right)?;
                }
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(read)
    }

    fn read_twin(
        &self,
        marked: &Marked,
        pack: &PackId,
        id: &ChunkId,
        kind: BlobKind,
        before: Option<&TwinsRead>,
        right: &mut HashSet<(ChunkId, PackId)>,
    ) -> Result<(), Error> {
        let index = &marked.index;
        for copy in index.copies(id)? {
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
            if let Err(why) = self.repo.read_as(index, &copy, id, kind) {
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
