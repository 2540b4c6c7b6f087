//! Reading ahead where a request takes long to be answered: several threads each fetch what the next few blobs need, neighbours of a pack by one
//! request, while the pool decodes what others have fetched. What is fetched and not decoded yet is bounded by the memory budget.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::base::ids::PackId;
use crate::index::{BlobPlace, IndexError};
use crate::plan::ranges::{Part, together};
use crate::plan::restore::Plan;
use crate::repo::Repo;

/// Sealed bytes of blobs of one plan, by number, until they are decoded.
#[derive(Default)]
pub(super) struct Fetched(Mutex<HashMap<u32, Vec<u8>>>);

impl Fetched {
    fn held(&self) -> MutexGuard<'_, HashMap<u32, Vec<u8>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The bytes of a blob, if they are there: once.
    pub(super) fn take(&self, blob: u32) -> Option<Vec<u8>> {
        self.held().remove(&blob)
    }

    /// Drops what nobody has taken: its blob had been decoded before, or failed.
    pub(super) fn forget(&self, trip: &Trip) {
        let mut held = self.held();
        trip.blobs.iter().for_each(|(blob, _)| _ = held.remove(blob));
    }

    /// Fetches what a trip is for. What cannot be fetched is left out: whoever needs it reads it by itself, and learns why.
    pub(super) fn fetch(&self, repo: &Repo, trip: &Trip) {
        let parts: Vec<Part<PackId>> = trip.blobs.iter().map(|(_, place)| part(place)).collect();
        for run in together(&parts, trip.most) {
            let (start, end) = (parts[run.start].start, parts[run.clone()].iter().map(Part::end).max().unwrap_or_default());
            let Ok(bytes) = repo.read_run(&parts[run.start].object, start, end - start) else { continue };
            for (part, (blob, _)) in parts[run.clone()].iter().zip(&trip.blobs[run]) {
                let from = (part.start - start) as usize;
                self.held().insert(*blob, bytes[from..from + part.len as usize].to_vec());
            }
        }
    }
}

fn part(place: &BlobPlace) -> Part<PackId> {
    Part { object: place.pack, start: place.offset, len: place.frame.sealed_len.into() }
}

/// Blobs to start with, and all that is fetched for them.
pub(super) struct Trip {
    /// Blobs that nothing is coded against.
    pub(super) starts: Vec<u32>,
    /// These and what they are coded against, in the order of packs.
    blobs: Vec<(u32, BlobPlace)>,
    /// Bytes that one request may ask for.
    most: u64,
}

/// Which blobs are still to be fetched.
pub(super) struct Route<'r> {
    plan: &'r Plan<'r>,
    starts: Vec<u32>,
    next: usize,
    /// Blobs that are on a trip already.
    taken: Vec<bool>,
    /// Bytes that one trip fetches.
    most: u64,
}

impl<'r> Route<'r> {
    pub(super) fn new(plan: &'r Plan<'r>, most: u64) -> Self {
        Self { plan, starts: plan.starts(), next: 0, taken: vec![false; plan.blobs.len()], most }
    }

    /// The next trip. `place` says where a blob is; one that it does not know is left to whoever needs it.
    pub(super) fn trip(&mut self, place: &dyn Fn(u32) -> Result<Option<BlobPlace>, IndexError>) -> Result<Option<Trip>, IndexError> {
        let mut trip = Trip { starts: Vec::new(), blobs: Vec::new(), most: self.most };
        let mut len = 0;
        while let Some(start) = self.starts.get(self.next).copied() {
            let (found, more) = self.with_bases(start, place)?;
            if !trip.starts.is_empty() && len + more > self.most {
                break;
            }
            for (blob, place) in found {
                // Of chains that are longer than a trip the rest is read blob by blob.
                if len + u64::from(place.frame.sealed_len) > self.most && !trip.blobs.is_empty() {
                    continue;
                }
                len += u64::from(place.frame.sealed_len);
                self.taken[blob as usize] = true;
                trip.blobs.push((blob, place));
            }
            trip.starts.push(start);
            self.next += 1;
        }
        trip.blobs.sort_unstable_by_key(|(_, place)| part(place));
        Ok((!trip.starts.is_empty()).then_some(trip))
    }

    /// A blob and what it is coded against, but for what is on a trip already, with the length of all that in bytes.
    fn with_bases(
        &self,
        start: u32,
        place: &dyn Fn(u32) -> Result<Option<BlobPlace>, IndexError>,
    ) -> Result<(Vec<(u32, BlobPlace)>, u64), IndexError> {
        let (mut found, mut len, mut open) = (Vec::new(), 0, vec![start]);
        while let Some(blob) = open.pop() {
            if self.taken[blob as usize] || found.iter().any(|(other, _)| *other == blob) {
                continue;
            }
            let Some(place) = place(blob)? else { continue };
            len += u64::from(place.frame.sealed_len);
            found.push((blob, place));
            open.extend(&self.plan.blobs[blob as usize].bases);
        }
        Ok((found, len))
    }
}
