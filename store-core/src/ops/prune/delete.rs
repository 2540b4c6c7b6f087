//! Deletes what a final says. Each step may have been taken before, by this prune or by another one.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::Run;
use crate::backend::{Folder, ObjectPath};
use crate::base::ids::SegmentId;
use crate::error::{Error, ErrorKind};
use crate::format::gc::Final;
use crate::format::segment::{PackEntry, Segment};
use crate::monitor::Progress;
use crate::repo::PackLens;

/// Packs that one new segment speaks of, unless one that it replaces speaks of more.
const SEGMENT_PACKS: usize = 64;

/// Index segments that there are, with those that each supersedes.
type Superseding = BTreeMap<SegmentId, Vec<SegmentId>>;

impl Run<'_> {
    /// Deletes the outcomes of dropped snapshots, then the packs, with what index segments say of them.
    pub(super) fn delete(&mut self, last: &Final) -> Result<(), Error> {
        let backend = &self.repo.backend;
        for id in &last.dropped {
            // The announcement first: without its outcome it would look as if somebody were active.
            backend.delete(&ObjectPath::Session(*id))?;
            backend.delete(&ObjectPath::Outcome(*id))?;
        }
        let mut there = self.repo.listed_packs()?;
        match self.supersede(last, &there) {
            Err(error) if error.kind() == ErrorKind::NoSpace => {
                // Readers know from the final why packs that segments name are not there.
                self.delete_packs(last, &mut there)?;
                self.supersede_with_room(last, &there)?;
            }
            superseded => superseded?,
        }
        self.delete_packs(last, &mut there)?;
        self.delete_segments()
    }

    /// With room that the driver keeps, if what was deleted made too little.
    fn supersede_with_room(&mut self, last: &Final, there: &PackLens) -> Result<(), Error> {
        loop {
            match self.supersede(last, there) {
                Err(error) if error.kind() == ErrorKind::NoSpace && self.repo.backend.yield_reserve() => {}
                superseded => return superseded,
            }
        }
    }

    fn delete_packs(&mut self, last: &Final, there: &mut PackLens) -> Result<(), Error> {
        for (done, pack) in last.deleted.iter().enumerate() {
            self.stop_if_over()?;
            let Some(len) = there.remove(pack) else { continue };
            self.repo.backend.delete(&ObjectPath::Pack(*pack))?;
            self.has_got_on = true;
            self.report.deleted_packs += 1;
            self.report.deleted_bytes += len;
            let files_total = last.deleted.len() as u64;
            self.monitor.progress(&Progress { files_done: done as u64 + 1, files_total, ..Progress::default() });
        }
        Ok(())
    }

    /// Writes index segments in place of those that name packs which are deleted or were.
    fn supersede(&mut self, last: &Final, there: &PackLens) -> Result<(), Error> {
        let pruned = self.repo.pruned_packs()?;
        let stays = |pack: &PackEntry| !last.deleted.contains(&pack.id) && (there.contains_key(&pack.id) || !pruned.contains(&pack.id));
        let segments = self.superseding()?;
        let superseded: HashSet<SegmentId> = segments.values().flatten().copied().collect();
        let mut new = Segment::default();
        for id in segments.keys().filter(|id| !superseded.contains(id)) {
            let Some(mut segment) = self.repo.read_listed(id)? else { continue };
            let named = segment.packs.len();
            segment.packs.retain(stays);
            if segment.packs.len() == named {
                continue;
            }
            let fits = new.packs.len() + segment.packs.len() <= SEGMENT_PACKS && new.has_room_for(&segment.packs);
            if !fits && !new.supersedes.is_empty() {
                self.write(std::mem::take(&mut new))?;
            }
            new.supersedes.push(*id);
            new.packs.append(&mut segment.packs);
        }
        if new.supersedes.is_empty() { Ok(()) } else { self.write(new) }
    }

    fn write(&mut self, segment: Segment) -> Result<(), Error> {
        self.repo.create_segment(&segment)?;
        self.report.segments_written += 1;
        Ok(())
    }

    /// Deletes segments that others supersede, and those that say nothing any more; each before any that supersedes it.
    fn delete_segments(&mut self) -> Result<(), Error> {
        let segments = self.superseding()?;
        let Some(any) = segments.keys().next() else { return Ok(()) };
        // Those that supersede others may be of another prune, and are to outlast them.
        self.repo.backend.settle(&ObjectPath::Segment(*any))?;
        for id in deletable(&segments) {
            self.repo.backend.delete(&ObjectPath::Segment(id))?;
            self.report.segments_deleted += 1;
        }
        for (id, supersedes) in &segments {
            let says_nothing = !supersedes.is_empty() && !supersedes.iter().any(|other| segments.contains_key(other));
            if says_nothing && self.repo.read_listed(id)?.is_some_and(|segment| segment.packs.is_empty()) {
                self.repo.backend.delete(&ObjectPath::Segment(*id))?;
                self.report.segments_deleted += 1;
            }
        }
        Ok(())
    }

    /// Which segments there are, with what they supersede.
    fn superseding(&self) -> Result<Superseding, Error> {
        let mut found = BTreeMap::new();
        for listed in self.repo.backend.list(Folder::Segments)? {
            let Ok(id) = listed.name.parse::<SegmentId>() else { continue };
            // Another prune may have deleted it meanwhile.
            if let Some(segment) = self.repo.read_listed(&id)? {
                found.insert(id, segment.supersedes);
            }
        }
        Ok(found)
    }
}

/// The superseded segments, each before any that supersedes it.
fn deletable(segments: &Superseding) -> Vec<SegmentId> {
    let mut left: BTreeSet<SegmentId> = segments.values().flatten().filter(|id| segments.contains_key(id)).copied().collect();
    let mut order = Vec::new();
    loop {
        let is_free = |id: &&SegmentId| !segments[*id].iter().any(|other| left.contains(other) && other != *id);
        let free: Vec<SegmentId> = left.iter().filter(is_free).copied().collect();
        if free.is_empty() {
            // What supersedes itself in a circle is nobody's work; it stays.
            return order;
        }
        free.iter().for_each(|id| _ = left.remove(id));
        order.extend(free);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_superseded_goes_before_what_supersedes_it() {
        let id = |n: u8| SegmentId::from_bytes([n; 32]);
        let segments = Superseding::from([(id(1), vec![id(2)]), (id(2), vec![id(3), id(9)]), (id(3), vec![]), (id(4), vec![])]);
        assert_eq!(deletable(&segments), [id(3), id(2)]);
        let circle = Superseding::from([(id(1), vec![id(2)]), (id(2), vec![id(1)])]);
        assert!(deletable(&circle).is_empty());
    }
}
