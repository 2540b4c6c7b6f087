//! What stored chunks are coded against, and what that is coded against in turn: where chains of differences can carry no more, a new chunk goes back.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::base::BaseFinder;
use super::known::KnownChunks;
use crate::base::limits;
use crate::blob::{base_of, kind_of_bases};
use crate::index::Location;

/// How far from its own share of a list of bases a plain chunk's bases are looked for: some have none, some have what lies beside them.
const NEAR: usize = 2;

impl BaseFinder<'_> {
    /// What the segment of a tensor at `from` is coded against, and that, and so on, as far as depth `depth`.
    pub(super) fn ancestor(&self, known: &KnownChunks, from: &Location, depth: u8) -> Option<Location> {
        let mut at = *from;
        for _ in 0..=limits::DEPTH {
            if at.depth <= depth {
                return Some(at);
            }
            // Below a conversion the numbers are of another type.
            let frame = self.repo.frame_at(&at).filter(|frame| kind_of_bases(frame).is_none())?;
            let index = frame.chunk_at(at.start, at.len)?;
            at = known.locate(&[base_of(&frame, index)?]).ok()?[0]?;
        }
        None
    }

    /// Of what the plain chunks at `from` are coded against, and that, and so on, the first that are no deeper than `depth`. Which base is whose is not
    /// recorded, but they stand in the order of the chunks: so these are some more than those that are meant. In order.
    pub(super) fn ancestors(&self, known: &KnownChunks, from: &[Location], depth: u8) -> Vec<Location> {
        let (mut found, mut seen, mut frames) = (BTreeSet::new(), HashSet::new(), HashMap::new());
        let mut open = from.to_vec();
        while let Some(at) = open.pop() {
            if at.depth <= depth {
                found.insert(at);
                continue;
            }
            if seen.len() >= limits::BLOB_BASES || !seen.insert(at) {
                continue;
            }
            let frame = frames.entry((at.pack, at.ordinal)).or_insert_with(|| self.repo.frame_at(&at));
            let Some((frame, index)) = frame.as_ref().and_then(|frame| Some((frame, frame.chunk_at(at.start, at.len)?))) else { continue };
            let share = |chunk: usize| chunk * frame.bases.len() / frame.chunk_lens.len();
            let (first, end) = (share(index).saturating_sub(NEAR), (share(index + 1) + NEAR).min(frame.bases.len()));
            let bases = known.locate(&frame.bases[first..end]).unwrap_or_default();
            // Whatever a frame says of its depth, this ends.
            open.extend(bases.into_iter().flatten().filter(|base| base.depth < at.depth));
        }
        found.into_iter().collect()
    }
}
