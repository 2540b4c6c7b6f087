//! Packs and index segments: what there is, what is said of it, what is lost.

use std::collections::btree_map::Entry;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use super::defects::Part;
use super::pack::{PackCheck, PackFindings};
use super::select::{Read, chosen};
use super::{Checker, Seen};
use crate::backend::{Folder, ObjectPath};
use crate::base::ids::{ChunkId, NodeId, PackId, SegmentId};
use crate::error::{Error, chain};
use crate::format::pack::PackContents;
use crate::monitor::Progress;
use crate::repo::Damaged;
use crate::repo::again::seen;

/// What index segments say of a pack.
pub(crate) struct ListedPack {
    pub(crate) len: u64,
    pub(crate) contents: PackContents,
}

pub(crate) type ListedPacks = HashMap<PackId, ListedPack>;

impl Checker<'_> {
    /// Reads all index segments.
    pub(super) fn segments(&mut self) -> Result<(), Error> {
        let (mut said, mut superseded) = (Vec::new(), HashSet::new());
        for listed in self.repo.backend.list(Folder::Segments)? {
            self.interrupted()?;
            let Ok(id) = listed.name.parse::<SegmentId>() else { continue };
            match self.repo.read_listed(&id) {
                Ok(Some(segment)) => {
                    superseded.extend(segment.supersedes);
                    said.push((id, segment.packs));
                }
                // A prune deleted it meanwhile.
                Ok(None) => {}
                Err(error) => self.defects.object(ObjectPath::Segment(id), chain(&error)),
            }
        }
        for (_, packs) in said.into_iter().filter(|(id, _)| !superseded.contains(id)) {
            let packs = packs.into_iter().map(|pack| (pack.id, ListedPack { len: pack.len, contents: pack.contents }));
            self.listed.extend(packs);
        }
        Ok(())
    }

    /// Compares packs with what index segments say of them, and reads as many as are wanted, and those in `also`.
    pub(super) fn packs(&mut self, read: Read, also: &BTreeSet<PackId>) -> Result<(), Error> {
        let mut there: Vec<(PackId, u64)> = Vec::new();
        for object in self.repo.backend.list(Folder::Packs)? {
            if let Ok(id) = object.name.parse() {
                there.push((id, object.len));
            }
        }
        there.sort_unstable();
        self.report.packs = there.len() as u64;
        self.damage.exist = there.iter().map(|(id, _)| *id).collect();
        if !self.listed.keys().all(|id| self.damage.exist.contains(id)) {
            // A push that was fenced may have named packs after a prune deleted them.
            let pruned = self.repo.pruned_packs()?;
            self.listed.retain(|id, _| self.damage.exist.contains(id) || !pruned.contains(id));
        }
        for (id, pack) in self.listed.iter().filter(|(id, _)| !self.damage.exist.contains(id)) {
            let spot = (ObjectPath::Pack(*id).to_string(), 0, pack.len);
            let problem = "the pack is missing: put it back from a copy of the repository, or push the files again";
            self.defects.add(spot.clone(), Part::Blobs, problem);
            let blobs = (0..pack.contents.blobs.len() as u32).map(|ordinal| ((*id, ordinal), spot.clone()));
            self.damage.blobs.extend(blobs);
        }
        // First what follows from missing packs, so that reading does not find it again.
        self.spread()?;
        self.dangling()?;
        let mut wanted = chosen(&there, read)?;
        wanted.extend(there.iter().map(|(id, _)| *id).filter(|id| also.contains(id)));
        self.read_packs(&there, &wanted)?;
        self.spread()?;
        self.find_lost()?;
        self.report.unlisted_packs = there.iter().filter(|(id, _)| !self.listed.contains_key(id)).count() as u64;
        Ok(())
    }

    /// Notes the blobs whose bases are in no pack, and for no other reason than that nobody needed them when a prune came by.
    fn dangling(&mut self) -> Result<(), Error> {
        let index = self.repo.index()?;
        for (number, ordinal) in index.dangling()? {
            let Some((pack, _)) = index.pack(number)? else { continue };
            let Some(listed) = self.listed.get(&pack).filter(|listed| (ordinal as usize) < listed.contents.blobs.len()) else { continue };
            let Entry::Vacant(place) = self.damage.blobs.entry((pack, ordinal)) else { continue };
            let range: Vec<u64> = listed.contents.offsets().skip(ordinal as usize).take(2).collect();
            let spot = (ObjectPath::Pack(pack).to_string(), range[0], range[1]);
            self.defects.add(spot.clone(), Part::Dangling, "what it is coded against is in no pack: push the same files again to heal it");
            place.insert(spot);
        }
        Ok(())
    }

    fn read_packs(&mut self, there: &[(PackId, u64)], wanted: &HashSet<PackId>) -> Result<(), Error> {
        let total: u64 = there.iter().map(|(_, len)| len).sum();
        let (done, found) = (AtomicU64::new(0), Mutex::new(Vec::new()));
        let this = &*self;
        this.repo.pool.install(|| {
            there.par_iter().try_for_each(|(id, len)| {
                this.interrupted()?;
                let look = || PackCheck::new(this.repo, *id, *len, this.listed.get(id)).run(wanted.contains(id));
                let findings = seen(&*this.repo.backend, PackFindings::is_sound_or_gone, look);
                found.lock().unwrap_or_else(PoisonError::into_inner).push((*id, findings));
                let bytes_done = done.fetch_add(*len, Ordering::Relaxed) + len;
                this.monitor.progress(&Progress { bytes_done, bytes_total: total, ..Progress::default() });
                Ok::<(), Error>(())
            })
        })?;
        self.damage.read.clone_from(wanted);
        let mut found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
        if found.iter().any(|(_, findings)| findings.is_gone) {
            // A prune that had said so before this check began deletes them beside it.
            let pruned = self.repo.pruned_packs()?;
            for (id, _) in found.extract_if(.., |(id, findings)| findings.is_gone && pruned.contains(id)) {
                self.damage.exist.remove(&id);
                self.listed.remove(&id);
            }
        }
        for (_, findings) in found {
            self.report.read_bytes += findings.read_bytes;
            self.report.blobs += findings.blob_count;
            let explained = |spot| findings.blobs.iter().any(|(blob, at)| at == spot && self.damage.blobs.contains_key(blob));
            for (spot, part, problem) in &findings.defects {
                if !explained(spot) {
                    self.defects.add(spot.clone(), *part, problem);
                }
                if let Part::Frame(pack) = part {
                    self.damage.frames.insert(*pack);
                }
            }
            for (blob, spot) in findings.blobs {
                if let Entry::Vacant(place) = self.damage.blobs.entry(blob) {
                    place.insert(spot);
                    self.damage.found.insert(blob);
                }
            }
        }
        Ok(())
    }

    /// The packs that are missing, or of which something is not as it should be by their own fault.
    pub(super) fn suspects(&self) -> BTreeSet<PackId> {
        let missing = self.listed.keys().filter(|id| !self.damage.exist.contains(id));
        let is_own = |pack: &PackId, ordinal: u32| {
            self.damage.blobs.get(&(*pack, ordinal)).is_some_and(|(object, ..)| *object == ObjectPath::Pack(*pack).to_string())
        };
        let blobs = self.damage.found.iter().filter(|(pack, ordinal)| is_own(pack, *ordinal)).map(|(pack, _)| pack);
        missing.chain(blobs).chain(&self.damage.frames).copied().collect()
    }

    /// Whether all that is needed of a pack is in another one, too.
    pub(super) fn is_spare(&self, pack: &PackId, seen: &Seen) -> bool {
        let Some(listed) = self.listed.get(pack) else { return false };
        let bases: HashSet<&ChunkId> =
            self.listed.values().flat_map(|listed| &listed.contents.blobs).flat_map(|blob| &blob.frame.bases).collect();
        let is_needed =
            |id: &&ChunkId| seen.chunks.contains(id) || seen.good.contains(&NodeId::from_bytes(*id.as_bytes())) || bases.contains(id);
        let mut ids = listed.contents.blobs.iter().flat_map(|blob| &blob.ids).filter(is_needed);
        ids.all(|id| self.intact(id, u8::MAX, Some(pack)).unwrap_or(false))
    }

    /// Remembers on this host what packs that are there have lost, for packs that were looked at.
    pub(super) fn remember(&self) -> Result<(), Error> {
        let mut record = self.repo.damage();
        let before = record.clone();
        record.0.retain(|pack, _| self.damage.exist.contains(pack) && !self.damage.read.contains(pack));
        for (pack, ordinal) in &self.damage.found {
            record.0.entry(*pack).or_default().insert(Damaged::Blob(*ordinal));
        }
        for pack in &self.damage.frames {
            record.0.entry(*pack).or_default().insert(Damaged::Frame);
        }
        if record == before { Ok(()) } else { self.repo.remember_damage(&record) }
    }
}
