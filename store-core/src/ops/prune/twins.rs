//! What is in two packs may be there twice because one is damaged and a push has healed it. So before a pack goes of which something is needed
//! and found elsewhere, it is read there (`spec/PROTOCOL.md`, I35).

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use super::Run;
use super::contents::for_each_contents;
use super::survey::Survey;
use crate::base::ids::{ChunkId, PackId};
use crate::error::{Error, ErrorKind};
use crate::format::blob::BlobKind;

impl Run<'_> {
    /// Reads what packs that are to go have in common with what is needed of others.
    ///
    /// # Errors
    /// Of kind [`ErrorKind::Damage`] when it cannot be read there: the copy that would go may be the only good one.
    pub(super) fn read_twins(&self, survey: &Survey) -> Result<(), Error> {
        let goes: BTreeSet<PackId> = survey.decision.condemned();
        let index = &survey.marked.index;
        for_each_contents(self.repo, &goes, &mut |pack, contents| {
            let Some(number) = index.number(&pack)? else { return Ok(ControlFlow::Continue(())) };
            for (ordinal, entry) in contents.blobs.iter().enumerate() {
                if self.monitor.interrupted() {
                    return Err(Error::new(ErrorKind::Interrupted, "interrupted: nothing was deleted"));
                }
                let needed = survey.marked.marks.chunks(number, ordinal as u32);
                let here = needed.iter().copied().chain(std::iter::repeat(false));
                for (id, _) in entry.ids.iter().zip(here).filter(|(_, is_needed)| !is_needed) {
                    self.read_twin(survey, &pack, id, entry.frame.kind)?;
                }
            }
            Ok(ControlFlow::Continue(()))
        })
    }

    fn read_twin(&self, survey: &Survey, pack: &PackId, id: &ChunkId, kind: BlobKind) -> Result<(), Error> {
        let index = &survey.marked.index;
        for copy in index.copies(id)? {
            let Some(frame) = index.blob(copy.pack, copy.ordinal)?.map(|place| place.frame) else { continue };
            let mut start = 0;
            let at = frame.chunk_lens.iter().position(|len| {
                let here = start == copy.start && *len == copy.len;
                start += len;
                here
            });
            let is_needed = at.and_then(|at| survey.marked.marks.chunks(copy.pack, copy.ordinal).get(at).copied()).unwrap_or(false);
            if !is_needed {
                continue;
            }
            if let Err(why) = self.repo.read_as(&copy, id, kind) {
                let kept = index.pack(copy.pack)?.map_or_else(String::new, |(kept, _)| kept.to_string());
                let message = format!(
                    "{id} is needed and cannot be read from pack {kept}, and pack {pack}, which has it too, would go: `snap repair packs \
                     --read-data` first"
                );
                return Err(Error::with(ErrorKind::Damage, message, why));
            }
        }
        Ok(())
    }
}
