//! Reading ahead where a request takes long to be answered: several threads each fetch what the next few blobs need, neighbours of a pack by one
//! request, while the pool decodes what others have fetched. What is fetched and not decoded yet is bounded by the memory budget.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::base::ids::PackId;
use crate::index::{BlobPlace, IndexError};
use crate::plan::ranges::{Part, together};
use crate::plan::restore::Plan;
use crate::repo::Repo;

/// What the first trip fetches, in bytes; each next one takes twice as much, up to its limit.
const FIRST: u64 = 4 << 20;

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
    /// Bytes that the next trip fetches: few at first, so that decoding begins soon and a small restore has something for each thread.
    len: u64,
    /// Bytes that one trip fetches at most.
    most: u64,
}

impl<'r> Route<'r> {
    pub(super) fn new(plan: &'r Plan<'r>, most: u64) -> Self {
        Self { plan, starts: plan.starts(), next: 0, taken: vec![false; plan.blobs.len()], len: FIRST.min(most), most }
    }

    /// The next trip. `place` says where a blob is; one that it does not know is left to whoever needs it.
    pub(super) fn trip(&mut self, place: &dyn Fn(u32) -> Result<Option<BlobPlace>, IndexError>) -> Result<Option<Trip>, IndexError> {
        let mut trip = Trip { starts: Vec::new(), blobs: Vec::new(), most: self.most };
        let wanted = self.len;
        self.len = (2 * self.len).min(self.most);
        let mut len = 0;
        while let Some(start) = self.starts.get(self.next).copied() {
            let (found, more) = self.with_bases(start, place)?;
            if !trip.starts.is_empty() && len + more > wanted {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::blob::{BlobKind, Frame};
    use crate::plan::restore::{BlobKey, Want};

    const LEN: u32 = 1 << 20;

    fn place(number: u32) -> BlobPlace {
        let frame = Frame { kind: BlobKind::Data, depth: 0, sealed_len: LEN, steps: Vec::new(), chunk_lens: vec![LEN], bases: Vec::new() };
        BlobPlace { pack: PackId::from_bytes([1; 32]), offset: u64::from(number) * u64::from(LEN), frame }
    }

    /// Which blobs each trip starts with, and how many it fetches, for so many blobs of a mebibyte, each coded against those that `bases` names.
    fn trips(count: u32, most: u64, bases: &dyn Fn(u32) -> Vec<u32>) -> Vec<(Vec<u32>, usize)> {
        let want = |ordinal| Want { pack: 0, ordinal, start: 0, len: LEN, chunk: 0, file: 0, offset: 0 };
        let mut wants: Vec<_> = (0..count).map(want).collect();
        let mut bases_of = |key: BlobKey| Ok::<_, ()>(bases(key.1).into_iter().map(|base| (0, base)).collect());
        let plan = Plan::new(&mut wants, &mut bases_of).unwrap();
        let mut route = Route::new(&plan, most);
        let at = |blob: u32| Ok(Some(place(plan.blobs[blob as usize].key.1)));
        std::iter::from_fn(|| route.trip(&at).unwrap().map(|trip| (trip.starts, trip.blobs.len()))).collect()
    }

    #[test]
    fn trips_grow_to_their_limit_and_fetch_each_blob_once() {
        let found = trips(60, 16 << 20, &|_| Vec::new());
        assert_eq!(found.iter().map(|(_, fetched)| *fetched).collect::<Vec<_>>(), [4, 8, 16, 16, 16]);
        assert_eq!(found.into_iter().flat_map(|(starts, _)| starts).collect::<Vec<_>>(), (0..60).collect::<Vec<_>>());
        // Where memory is short, no trip is longer than that has room for.
        assert!(trips(20, 2 << 20, &|_| Vec::new()).iter().all(|(_, fetched)| *fetched == 2));
    }

    #[test]
    fn a_base_comes_with_the_first_that_is_coded_against_it() {
        // Beyond the wanted ones lie 100 and 101: two and three of those are coded against each.
        let bases = |blob: u32| match blob {
            0 | 1 => vec![100],
            2..=4 => vec![101],
            _ => Vec::new(),
        };
        assert_eq!(trips(5, 64 << 20, &bases), [(vec![0, 1], 3), (vec![2, 3, 4], 4)]);
    }

    #[test]
    fn a_chain_that_is_longer_than_a_trip_gets_one_of_its_own_and_no_more_than_fits() {
        let bases = |blob: u32| if (1..110).contains(&blob) { vec![if blob == 1 { 101 } else { blob + 1 }] } else { Vec::new() };
        assert_eq!(trips(2, 4 << 20, &bases), [(vec![0], 1), (vec![1], 4)]);
    }
}
