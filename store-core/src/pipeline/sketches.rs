//! Sketches of what stays. Of the chunks whose sketches have a value in common the chunk index names the last one, which a prune is often about
//! to drop: then what stays would not be found by what resembles it.

use std::collections::{BTreeSet, HashMap};

use crate::backend::Folder;
use crate::base::ids::{PackId, SegmentId};
use crate::error::Error;
use crate::format::pack::Sketch;
use crate::index::{Location, PackNumber, feature_keys, features};
use crate::repo::Repo;

/// Bytes of memory that a value takes.
const VALUE: usize = 48;

/// For each value of a sketch, a chunk that has it.
#[derive(Debug, Default)]
pub(super) struct KeptSketches(HashMap<[u8; 5], Location>);

impl KeptSketches {
    /// Those of blobs that stay as they are, in packs that are not condemned; within an eighth of the memory budget.
    pub(super) fn find(repo: &Repo, condemned: &BTreeSet<PackId>, stays: &dyn Fn(PackNumber, u32) -> bool) -> Result<Self, Error> {
        let (index, most) = (repo.index()?, repo.memory.read_ahead / VALUE);
        let mut found: HashMap<_, Location> = HashMap::new();
        for listed in repo.backend.list(Folder::Segments)? {
            let Ok(id) = listed.name.parse::<SegmentId>() else { continue };
            for pack in repo.read_listed(&id)?.into_iter().flat_map(|segment| segment.packs) {
                let Some(number) = index.number(&pack.id)?.filter(|_| !condemned.contains(&pack.id)) else { continue };
                for (key, location) in features(number, &pack).filter(|(_, location)| stays(number, location.ordinal)) {
                    let is_full = found.len() >= most;
                    match found.get_mut(&key) {
                        // Of several the one that was taken in last: it is of the latest version.
                        Some(there) => *there = location.max(*there),
                        None if is_full => {}
                        None => _ = found.insert(key, location),
                    }
                }
            }
        }
        Ok(Self(found))
    }

    /// Adds to `found`, in which chunks stand once for each value that they share with the sketch, those that are not there as often.
    pub(super) fn add(&self, sketch: Sketch, found: &mut Vec<Location>) {
        let mut here: HashMap<Location, usize> = HashMap::new();
        feature_keys(sketch).iter().filter_map(|key| self.0.get(key)).for_each(|location| *here.entry(*location).or_default() += 1);
        for (location, count) in here {
            let there = found.iter().filter(|found| **found == location).count();
            found.extend(std::iter::repeat_n(location, count.saturating_sub(there)));
        }
    }
}
