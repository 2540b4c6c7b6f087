//! Bases of plain chunks: what stands before a blob of them as prefix.

use std::collections::HashSet;

use super::base::{BaseFinder, Found, Jump, longest};
use super::choose::{VOTES, best_base};
use super::fresh::Brought;
use super::known::KnownChunks;
use super::store::Group;
use crate::base::limits;
use crate::base::units::MIB;
use crate::blob::Bases;
use crate::error::Error;
use crate::format::pack::Sketch;
use crate::index::Location;
use crate::monitor::BaseWays;
use crate::repo::Decoded;

/// Bytes of bases of one blob.
const MOST_BASES: usize = 10 * MIB;

/// What a plain chunk most resembles.
#[derive(Debug, Clone, Copy)]
pub(super) struct Resembled {
    location: Location,
    votes: usize,
    /// Whether it is the chunk behind the one that the chunk before resembles.
    follows: bool,
}

/// Whether a chunk is rather to be coded against one that shares so many votes with it than against what it resembles of what is held.
pub(super) fn is_nearer(held: Option<&Resembled>, brought: &Brought, votes: usize) -> bool {
    brought.dtype.is_none() && votes >= held.map_or(VOTES, |held| held.votes)
}

impl BaseFinder<'_> {
    /// For each of plain chunks, the one that it most resembles.
    pub(super) fn resembled(&self, known: &KnownChunks, sketches: &[Sketch]) -> Result<Vec<Option<Resembled>>, Error> {
        let mut last: Option<Location> = None;
        let similar = if sketches.is_empty() { Vec::new() } else { known.similar(sketches)? };
        let resembled = similar.iter().map(|similar| {
            let next = last.map(|last| (last.pack, last.ordinal, last.start + last.len));
            let (location, votes) = best_base(similar, next, |location| self.may_be_base(known, location))?;
            last = Some(location);
            Some(Resembled { location, votes, follows: next == Some((location.pack, location.ordinal, location.start)) })
        });
        Ok(resembled.collect())
    }

    /// The chunks that those of a group of plain ones resemble, and what followed them; of those whose chains can carry no more, older ones.
    /// Counts in `ways` how they were found.
    pub(super) fn prefix(&self, known: &KnownChunks, group: &Group, resembled: &[Option<Resembled>], ways: &mut BaseWays) -> Option<Bases> {
        let mut found = Vec::new();
        for Resembled { location, follows, .. } in resembled.iter().flatten() {
            *(if *follows { &mut ways.locality } else { &mut ways.votes }) += 1;
            found.push(*location);
            found.extend(self.repo.next_in_blob(location));
        }
        ways.none += group.ids.len() as u64 - ways.locality - ways.votes;
        let longest = longest(group, self.longest);
        if found.iter().all(|location| location.depth < longest) {
            return self.joined(known, group, &found);
        }
        ways.full = (found.iter().filter(|location| location.depth >= longest).count() as u64).min(group.ids.len() as u64);
        let step = self.chain_of(known, &found).map_or(0, |latest| latest.at_most(group.plain.len() as u64).last);
        let jump = Jump { depths: &[4, 2, 0], step, longest };
        let best = self.best_jump(known, group, &found, jump, |finder, ancestors| finder.joined(known, group, ancestors));
        best.map(|(_, bases)| bases)
    }

    /// The chunks at `locations` as the prefix of one blob, as far as they can be read.
    fn joined(&self, known: &KnownChunks, group: &Group, locations: &[Location]) -> Option<Bases> {
        let (mut taken, mut len) = (HashSet::new(), 0);
        let within = |location: &&Location| {
            len += location.len as usize;
            len <= MOST_BASES
        };
        let chosen: Vec<Location> =
            locations.iter().filter(|location| taken.insert(**location)).take_while(within).take(limits::BLOB_BASES / 2).copied().collect();
        // Those of one blob one after the other: each blob is decoded once, with all that it rests on, however little is kept.
        let mut order: Vec<usize> = (0..chosen.len()).collect();
        order.sort_unstable_by_key(|place| chosen[*place]);
        let mut found: Vec<Option<Found>> = chosen.iter().map(|_| None).collect();
        let mut open: Option<(Location, Decoded)> = None;
        for place in order {
            found[place] = self.read_in(known, group, chosen[place], &mut open);
        }
        let mut bases = Bases { most_reads: group.limit.map(|limit| limit.reads), ..Bases::default() };
        for found in found.into_iter().flatten() {
            if bases.ids.contains(&found.id) {
                continue;
            }
            bases.ids.push(found.id);
            bases.bytes.extend_from_slice(&found.bytes);
            bases.depth = bases.depth.max(found.depth);
            bases.chain = bases.chain.and(found.chain);
        }
        (!bases.ids.is_empty()).then_some(bases)
    }
}
