//! Finding bases: which older chunks a group of new ones is coded against.

use std::collections::HashSet;

use super::choose::best_base;
use super::known::KnownChunks;
use super::store::Group;
use crate::base::ids::ChunkId;
use crate::base::limits;
use crate::base::units::MIB;
use crate::blob::{Bases, base_of};
use crate::error::Error;
use crate::format::blob::Frame;
use crate::format::pack::Sketch;
use crate::index::Location;
use crate::repo::Repo;
use crate::sketch::Sketcher;

/// Bytes of bases of one blob of plain chunks.
const MOST_BASES: usize = 6 * MIB;

/// Finds bases in one repository.
#[derive(Debug)]
pub(super) struct BaseFinder<'r> {
    pub(super) repo: &'r Repo,
    pub(super) sketcher: Sketcher,
}

/// A base that was read and has the name that it will be asked for by.
struct Found {
    id: ChunkId,
    bytes: Vec<u8>,
    depth: u8,
    location: Location,
}

impl BaseFinder<'_> {
    /// The sketches of a group's chunks; empty if none of them has one.
    pub(super) fn sketches(&self, group: &Group) -> Vec<Sketch> {
        let sketches: Vec<_> = group
            .chunks()
            .map(|chunk| match group.dtype {
                Some(dtype) => self.sketcher.segment(chunk, dtype.block_bytes() as usize),
                None => self.sketcher.plain(chunk),
            })
            .collect();
        if sketches.iter().all(Option::is_none) {
            return Vec::new();
        }
        sketches.into_iter().map(|sketch| sketch.unwrap_or([0; 8])).collect()
    }

    /// For each segment of a group of one tensor type, the older segment of the same length that it continues, if there is one.
    pub(super) fn aligned(&self, known: &KnownChunks, group: &Group, sketches: &[Sketch]) -> Result<Vec<Option<Bases>>, Error> {
        let hints: Vec<ChunkId> = group.hints.iter().flatten().copied().collect();
        let mut located = known.locate(&hints)?.into_iter();
        let similar = if sketches.is_empty() { vec![Vec::new(); group.ids.len()] } else { known.similar(sketches)? };
        let mut found = Vec::with_capacity(group.ids.len());
        for (i, similar) in similar.iter().enumerate() {
            let len = group.lens[i];
            let hint = group.hints[i].and_then(|_| located.next().flatten()).filter(|location| location.len == len);
            let location = hint.or_else(|| best_base(similar, None, |location| location.len == len));
            let base = location.and_then(|location| self.read_at_depth(known, group, location, Some(len)));
            found.push(base.map(|base| {
                let (older, older_bytes) = self.before(known, group, &base).map(|(id, bytes)| (vec![id], bytes)).unwrap_or_default();
                Bases { ids: vec![base.id], bytes: base.bytes, depth: base.depth, aligned: true, older, older_bytes }
            }));
        }
        Ok(found)
    }

    /// The chunks that most resemble those of a group of plain ones, and what followed them.
    pub(super) fn prefix(&self, known: &KnownChunks, group: &Group, sketches: &[Sketch]) -> Result<Option<Bases>, Error> {
        if sketches.is_empty() {
            return Ok(None);
        }
        let mut bases = Bases::default();
        let mut taken = HashSet::new();
        let mut last: Option<Location> = None;
        for similar in known.similar(sketches)? {
            let next = last.map(|last| (last.pack, last.ordinal, last.start + last.len));
            let Some(best) = best_base(&similar, next, |_| true) else { continue };
            last = Some(best);
            self.add(known, group, best, &mut taken, &mut bases);
            if let Some(next) = self.repo.next_in_blob(&best) {
                self.add(known, group, next, &mut taken, &mut bases);
            }
        }
        Ok((!bases.ids.is_empty()).then_some(bases))
    }

    fn add(&self, known: &KnownChunks, group: &Group, location: Location, taken: &mut HashSet<Location>, bases: &mut Bases) {
        if !taken.insert(location) || bases.bytes.len() + location.len as usize > MOST_BASES || bases.ids.len() >= limits::BLOB_BASES / 2 {
            return;
        }
        let Some(found) = self.read_at_depth(known, group, location, None) else { return };
        if bases.ids.contains(&found.id) {
            return;
        }
        bases.ids.push(found.id);
        bases.bytes.extend_from_slice(&found.bytes);
        bases.depth = bases.depth.max(found.depth);
    }

    /// Reads a base. One at the end of the longest chain is replaced by the start of that chain, so that a restore never reads more than so
    /// many blobs for one. A base that cannot be read is none: what is damaged must not be relied on.
    fn read_at_depth(&self, known: &KnownChunks, group: &Group, mut location: Location, len: Option<u32>) -> Option<Found> {
        if location.depth >= limits::DEPTH {
            location = self.start_of_chain(known, &location, len)?;
        }
        let (id, bytes) = self.repo.chunk_at(&location).ok()?;
        // What is found by its place must be found by its name, too: that is how a reader will ask for it, and at what depth.
        let by_name = known.locate(&[id]).ok()?[0]?;
        // A chunk that is about to be written is no base of its neighbours: it could become its own.
        let usable = by_name.depth < limits::DEPTH && !group.ids.contains(&id);
        usable.then_some(Found { id, bytes, depth: by_name.depth, location })
    }

    /// What a segment that serves as base was itself coded against. To read it costs nothing more: the base cannot be read without it.
    fn before(&self, known: &KnownChunks, group: &Group, base: &Found) -> Option<(ChunkId, Vec<u8>)> {
        let frame = self.repo.frame_at(&base.location)?;
        let id = base_of(&frame, index_of(&frame, base.location.start)?)?;
        let location = known.locate(&[id]).ok()?[0].filter(|older| older.len == base.location.len && older.depth <= base.depth)?;
        let (found, bytes) = self.repo.chunk_at(&location).ok()?;
        (found == id && !group.ids.contains(&id)).then_some((id, bytes))
    }

    fn start_of_chain(&self, known: &KnownChunks, from: &Location, len: Option<u32>) -> Option<Location> {
        let mut at = *from;
        for _ in 0..=limits::DEPTH {
            if at.depth == 0 {
                return len.is_none_or(|len| at.len == len).then_some(at);
            }
            let frame = self.repo.frame_at(&at)?;
            let index = index_of(&frame, at.start)?;
            // Segments correspond one to one; of plain chunks the base at the same share of the list is near enough.
            let near = || frame.bases.get(index * frame.bases.len() / frame.chunk_lens.len()).copied();
            at = known.locate(&[base_of(&frame, index).or_else(near)?]).ok()?[0]?;
        }
        None
    }
}

/// Which chunk of a blob starts at `start`.
fn index_of(frame: &Frame, start: u32) -> Option<usize> {
    let mut at = 0;
    frame.chunk_lens.iter().position(|len| {
        let here = at == start;
        at += len;
        here
    })
}
