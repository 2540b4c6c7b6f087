//! Which bases of plain chunks the snapshot can pay for (`spec/CHAINS.md`, section 1).

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

use super::base::BaseFinder;
use super::chains::{BlobKey, blob_of};
use super::known::KnownChunks;
use super::prefix::Pick;
use super::store::Group;
use crate::blob::Chain;
use crate::index::Location;

/// What has a base takes one part in so many of what it takes without, thereabouts.
const WITH_BASE: u64 = 8;
/// By so much the plain bytes that a blob is used for are multiplied before they are compared with what it costs.
const SCALE: u64 = 1 << 20;

/// A blob in which bases lie.
#[derive(Default)]
struct Offer {
    /// Plain bytes of the group that have their first base there.
    covered: u64,
    bases: Vec<Location>,
}

impl BaseFinder<'_> {
    /// Of bases, one for each pick, those that the snapshot can pay for: where that is not all, those in the blobs that are used most for what they
    /// cost.
    pub(super) fn afforded(
        &self,
        known: &KnownChunks,
        group: &Group,
        picks: Vec<Pick>,
        locations: Vec<Location>,
    ) -> (Vec<Pick>, Vec<Location>) {
        let plain = group.plain.len() as u64;
        let covered = |pick: &Pick| if pick.is_first { u64::from(group.lens[pick.chunk]) } else { 0 };
        let Some(chain) = self.chain_of(known, &locations) else { return (picks, locations) };
        let whole = chain.share(plain).whole;
        let can_pay = |covered: u64, bases: &[Location]| {
            let coded = whole - whole * covered / plain.max(1) * (WITH_BASE - 1) / WITH_BASE;
            self.charge(known, group, bases, Chain { plain, whole, ..Chain::default() }).is_paid(coded, whole)
        };
        if can_pay(picks.iter().map(covered).sum(), &locations) {
            return (picks, locations);
        }
        let mut offers: HashMap<BlobKey, Offer> = HashMap::new();
        for (pick, location) in picks.iter().zip(&locations) {
            let offer = offers.entry(blob_of(location)).or_default();
            offer.covered += covered(pick);
            offer.bases.push(*location);
        }
        let cost = |offer: &Offer| self.charge(known, group, &offer.bases, Chain::default()).more;
        let mut offers: Vec<_> =
            offers.into_iter().map(|(blob, offer)| (offer.covered * SCALE / (cost(&offer) + 1), blob, offer)).collect();
        offers.sort_unstable_by_key(|(use_for_cost, blob, _)| Reverse((*use_for_cost, *blob)));
        let (mut taken, mut bases, mut len) = (HashSet::new(), Vec::new(), 0);
        for (_, blob, offer) in offers {
            let before = bases.len();
            bases.extend(offer.bases);
            if can_pay(len + offer.covered, &bases) {
                len += offer.covered;
                let _ = taken.insert(blob);
            } else {
                bases.truncate(before);
            }
        }
        picks.into_iter().zip(locations).filter(|(_, location)| taken.contains(&blob_of(location))).unzip()
    }
}
