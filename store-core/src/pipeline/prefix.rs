//! Bases of plain chunks: what stands before a blob of them as prefix.

use std::collections::{HashMap, HashSet};

use super::base::{BaseFinder, Found, Jump, longest};
use super::beside::{Beside, Side};
use super::chains::{BlobKey, blob_of};
use super::choose::{VOTES, ranked};
use super::fresh::Brought;
use super::known::KnownChunks;
use super::store::Group;
use crate::base::limits;
use crate::base::units::{KIB, MIB};
use crate::blob::Bases;
use crate::error::Error;
use crate::format::pack::Sketch;
use crate::index::{Location, feature_keys};
use crate::monitor::BaseWays;
use crate::repo::Decoded;

/// Bytes of bases of one blob.
const MOST_BASES: usize = 10 * MIB;
/// Bytes of older chunks that are looked at, at the most, where it is not recorded which of them new ones go back to.
const MOST_CANDIDATES: usize = 4 * MOST_BASES;
/// Of a chunk of so many bytes, an eighth is worth a base: a single vote counts.
pub(super) const LARGE: u32 = 32 * KIB as u32;
/// Of eight votes, as many as leave room for others: the chunk may have something of several.
const HALF: usize = 4;
/// How many of these are looked at, beside the one with most votes.
const OTHERS: usize = 3;
/// Bytes by which it is seen whether two chunks begin, or end, at the same place of what they are cut from: cuts lie where the bytes say so.
const EDGE: usize = 64;

/// What a plain chunk most resembles.
#[derive(Debug, Clone)]
pub(super) struct Resembled {
    location: Location,
    votes: usize,
    /// Whether it is the chunk behind the one that the chunk before resembles.
    follows: bool,
    /// What it resembles besides.
    others: Vec<(Location, usize)>,
}

/// Whether a chunk is rather to be coded against one that shares so many votes with it than against what it resembles of what is held.
pub(super) fn is_nearer(held: Option<&Resembled>, brought: &Brought, votes: usize) -> bool {
    brought.dtype.is_none() && votes >= held.map_or(VOTES, |held| held.votes)
}

/// A base of a chunk of a group.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pick {
    /// Which of the group's chunks.
    pub(super) chunk: usize,
    /// Whether it is what that one most resembles.
    pub(super) is_first: bool,
}

/// The bases of a blob, as they are read.
struct Reading<'f> {
    finder: &'f BaseFinder<'f>,
    known: &'f KnownChunks,
    group: &'f Group,
    /// The blob that was read last.
    open: Option<(Location, Decoded)>,
    found: HashMap<Location, Option<Found>>,
    /// Bytes that may still be read.
    left: usize,
}

impl Reading<'_> {
    /// Reads a base, unless it was read before or there are too many.
    fn read(&mut self, location: Location) -> Option<&Found> {
        if !self.found.contains_key(&location) {
            self.left = self.left.checked_sub(location.len as usize).filter(|_| self.found.len() < limits::BLOB_BASES / 2)?;
            let read = self.finder.read_in(self.known, self.group, location, &mut self.open);
            self.found.insert(location, read);
        }
        self.found[&location].as_ref()
    }
}

impl BaseFinder<'_> {
    /// For each of plain chunks, what it most resembles.
    pub(super) fn resembled(&self, known: &KnownChunks, group: &Group, sketches: &[Sketch]) -> Result<Vec<Option<Resembled>>, Error> {
        let mut next: Option<Location> = None;
        let mut beside = Beside::new(self.repo);
        let similar = if sketches.is_empty() { Vec::new() } else { known.similar(sketches)? };
        let resembled = similar.iter().zip(&group.lens).map(|(similar, len)| {
            let least = if *len >= LARGE { 1 } else { VOTES };
            let mut ranked = ranked(similar, least, next.as_ref(), |location| self.may_be_base(known, location)).into_iter();
            let (location, votes) = ranked.next()?;
            let follows = next == Some(location);
            next = beside.at(&location, Side::Behind);
            let least = if votes <= HALF { 1 } else { VOTES };
            let others = ranked.filter(|(_, votes)| *votes >= least).take(OTHERS).collect();
            Some(Resembled { location, votes, follows, others })
        });
        Ok(resembled.collect())
    }

    /// The chunks that those of a group of plain ones resemble, and what else a chunk may have something of; of those whose chains can carry no more,
    /// older ones. Counts in `ways` how they were found.
    pub(super) fn prefix(
        &self,
        known: &KnownChunks,
        group: &Group,
        sketches: &[Sketch],
        resembled: &[Option<Resembled>],
        ways: &mut BaseWays,
    ) -> Option<Bases> {
        let (mut picks, mut locations): (_, Vec<Location>) = (Vec::new(), Vec::new());
        // A single vote is worth a name, but no blob that would be read for that alone; nor are others.
        let mut votes: HashMap<BlobKey, usize> = HashMap::new();
        for one in resembled.iter().flatten() {
            *votes.entry(blob_of(&one.location)).or_default() += one.votes;
            one.others.iter().for_each(|(location, more)| *votes.entry(blob_of(location)).or_default() += more);
        }
        let is_read = |location: &Location| votes.get(&blob_of(location)).is_some_and(|votes| *votes >= VOTES);
        let mut room = MOST_BASES - resembled.iter().flatten().map(|one| one.location.len as usize).sum::<usize>().min(MOST_BASES);
        let first = |(chunk, one): (usize, &'_ Option<Resembled>)| Some((chunk, one.clone().filter(|one| is_read(&one.location))?));
        for (chunk, Resembled { location, follows, others, .. }) in resembled.iter().enumerate().filter_map(first) {
            *(if follows { &mut ways.locality } else { &mut ways.votes }) += 1;
            for other in others.into_iter().map(|(location, _)| location).filter(is_read) {
                // Half of the room is for what lies beside them.
                let Some(left) = room.checked_sub(2 * other.len as usize) else { break };
                room = left;
                picks.push(Pick { chunk, is_first: false });
                locations.push(other);
            }
            picks.push(Pick { chunk, is_first: true });
            locations.push(location);
        }
        ways.none += group.ids.len() as u64 - ways.locality - ways.votes;
        let longest = longest(group, self.longest);
        if locations.iter().all(|location| location.depth < longest) {
            let firsts = |picks: &[Pick]| picks.iter().filter(|pick| pick.is_first).count() as u64;
            let found = firsts(&picks);
            let (picks, locations) = self.afforded(known, group, picks, locations);
            ways.unpaid = found - firsts(&picks);
            return self.joined(known, group, &picks, &locations);
        }
        ways.full = (locations.iter().filter(|location| location.depth >= longest).count() as u64).min(group.ids.len() as u64);
        let step = self.chain_of(known, &locations).map_or(0, |latest| latest.at_most(group.plain.len() as u64).last);
        let jump = Jump { depths: &[4, 2, 0], step, longest };
        let ancestors = |depth| Some(self.ancestors(known, &locations, depth));
        let best = self.best_jump(group, jump, ancestors, |ancestors| {
            let (picks, locations) = self.resembled_of(known, group, sketches, ancestors);
            let (picks, locations) = self.afforded(known, group, picks, locations);
            self.joined(known, group, &picks, &locations)
        });
        best.map(|(_, bases)| bases)
    }

    /// For each of a group's chunks, the one of `candidates`, which are in order, that it most resembles, if any.
    fn resembled_of(&self, known: &KnownChunks, group: &Group, sketches: &[Sketch], candidates: &[Location]) -> (Vec<Pick>, Vec<Location>) {
        let (mut open, mut left, mut old) = (None, MOST_CANDIDATES, HashMap::new());
        // Of those with the same value the latest, and where there are too many, too.
        for candidate in candidates.iter().rev() {
            let Some(less) = left.checked_sub(candidate.len as usize) else { break };
            left = less;
            let base = self.read_in(known, group, *candidate, &mut open);
            let Some(sketch) = base.and_then(|base| self.sketcher.plain(&base.bytes)) else { continue };
            for key in feature_keys(sketch).into_iter().filter(|key| key[1..] != [0; 4]) {
                let _ = old.entry(key).or_insert(*candidate);
            }
        }
        let similar = |sketch: &Sketch| -> Vec<Location> { feature_keys(*sketch).iter().filter_map(|key| old.get(key)).copied().collect() };
        let best = |sketch| ranked(&similar(sketch), 1, None, |_| true).into_iter().next();
        let found = sketches.iter().enumerate().filter_map(|(chunk, sketch)| Some((Pick { chunk, is_first: true }, best(sketch)?.0)));
        found.unzip()
    }

    /// The chunks at `locations`, one for each pick, as the prefix of one blob, as far as they can be read; with those beside them that the chunks of
    /// the group reach into.
    fn joined(&self, known: &KnownChunks, group: &Group, picks: &[Pick], locations: &[Location]) -> Option<Bases> {
        let chunks: Vec<&[u8]> = group.chunks().collect();
        let mut has_base = vec![false; chunks.len()];
        picks.iter().for_each(|pick| has_base[pick.chunk] = true);
        let lacks_base = |chunk: Option<usize>| chunk.and_then(|chunk| has_base.get(chunk)) == Some(&false);
        let deepest = locations.iter().map(|location| location.depth).max().unwrap_or_default();
        let mut reading = Reading { finder: self, known, group, open: None, found: HashMap::new(), left: MOST_BASES };
        let mut beside = Beside::new(self.repo);
        // Those of one blob one after the other: each blob is decoded once, with all that it rests on, however little is kept.
        let mut order: Vec<usize> = (0..locations.len()).collect();
        order.sort_unstable_by_key(|place| locations[*place]);
        let mut around: Vec<[Option<Location>; 2]> = vec![[None; 2]; locations.len()];
        let mut elsewhere = Vec::new();
        for place in order {
            let (Pick { chunk, is_first }, location) = (picks[place], locations[place]);
            let Some(base) = reading.read(location).filter(|_| is_first) else { continue };
            let (new, old) = (chunks[chunk], &base.bytes);
            let reaches_before = !begin_alike(new, old) || lacks_base(chunk.checked_sub(1));
            let reaches_behind = !end_alike(new, old) || lacks_base(Some(chunk + 1));
            for (at, side, reaches) in [(0, Side::Before, reaches_before), (1, Side::Behind, reaches_behind)] {
                // What lies deeper than all the others would make the chain longer than it was chosen to be.
                let neighbour = if reaches { beside.at(&location, side).filter(|neighbour| neighbour.depth <= deepest) } else { None };
                around[place][at] = neighbour;
                match neighbour {
                    Some(neighbour) if neighbour.ordinal == location.ordinal => _ = reading.read(neighbour),
                    other => elsewhere.extend(other),
                }
            }
        }
        elsewhere.sort_unstable();
        elsewhere.into_iter().for_each(|neighbour| _ = reading.read(neighbour));
        let firsts: HashSet<&Location> =
            locations.iter().zip(picks).filter(|(_, pick)| pick.is_first).map(|(location, _)| location).collect();
        let read: Vec<Location> = reading.found.iter().filter(|(_, found)| found.is_some()).map(|(location, _)| *location).collect();
        let mut bases = Bases { most_reads: group.limit.map(|limit| limit.reads), ..Bases::default() };
        bases.bytes.reserve_exact(reading.found.values().flatten().map(|found| found.bytes.len()).sum());
        let mut begins = None;
        for ((location, [before, behind]), pick) in locations.iter().zip(around).zip(picks) {
            let own = *location;
            for location in [before, Some(own), behind].into_iter().flatten() {
                let Some(found) = reading.found.remove(&location).flatten() else { continue };
                if bases.ids.contains(&found.id) {
                    continue;
                }
                if pick.is_first && location == own {
                    let plain: usize = group.lens[..pick.chunk].iter().map(|len| *len as usize).sum();
                    begins.get_or_insert(bases.bytes.len().saturating_sub(plain));
                }
                bases.ids.push(found.id);
                bases.bytes.extend_from_slice(&found.bytes);
                bases.depth = bases.depth.max(found.depth);
                if firsts.contains(&location) {
                    // What lies beside them is read for what stands beside these chunks, too, mostly.
                    bases.chain = bases.chain.and(found.chain);
                }
            }
        }
        bases.begins = begins.unwrap_or_default();
        bases.charge = Some(self.charge(known, group, &read, bases.chain));
        (!bases.ids.is_empty()).then_some(bases)
    }
}

fn begin_alike(one: &[u8], other: &[u8]) -> bool {
    let len = EDGE.min(one.len()).min(other.len());
    one[..len] == other[..len]
}

fn end_alike(one: &[u8], other: &[u8]) -> bool {
    let len = EDGE.min(one.len()).min(other.len());
    one[one.len() - len..] == other[other.len() - len..]
}
