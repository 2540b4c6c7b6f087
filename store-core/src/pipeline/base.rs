//! Finding bases: which older chunks a group of new ones is coded against.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::sync::Arc;

use super::account::{Account, Entered, Held, Sums};
use super::chains::{BlobKey, Chains};
use super::choose::{VOTES, best_base};
use super::fresh::Brought;
use super::known::KnownChunks;
use super::store::Group;
use crate::base::ids::ChunkId;
use crate::base::limits;
use crate::blob::{self, Bases, Chain, Charge, Plain, base_of, bases_below};
use crate::error::Error;
use crate::format::blob::{BlobKind, Frame};
use crate::format::pack::Sketch;
use crate::index::Location;
use crate::monitor::BaseWays;
use crate::repo::{Decoded, Repo, chunk_of};
use crate::sketch::Sketcher;
use crate::tensor::Dtype;

/// Differences of plain bytes upon one another, after which an older base is taken (`spec/CHAINS.md`), at the least and at the most: a blob may rest
/// on several, and each of these on several others, which are decoded again and again where the cache holds few.
const LONGEST: RangeInclusive<usize> = 2..=limits::DEPTH as usize;
/// The same for numbers, which take longer to decode.
const LONGEST_OF_NUMBERS: u8 = 4;
/// More votes than there are: that of a name.
const SURE: usize = 9;

/// Finds bases in one repository.
#[derive(Debug)]
pub(super) struct BaseFinder<'r> {
    pub(super) repo: &'r Repo,
    pub(super) sketcher: Sketcher,
    pub(super) chains: Chains,
    /// What a restore of the snapshot reads.
    pub(super) account: Arc<Account>,
    /// The longest chain of plain bytes.
    pub(super) longest: u8,
}

/// A base that was read and has the name that it will be asked for by.
pub(super) struct Found {
    pub(super) id: ChunkId,
    pub(super) bytes: Vec<u8>,
    pub(super) depth: u8,
    location: Location,
    pub(super) chain: Chain,
}

/// The older segments that a new one could be coded against.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Continued {
    /// The one of the same type that it continues or resembles most.
    pub(super) same: Option<Location>,
    /// The same numbers in another type, and which.
    pub(super) other: Option<(Location, Dtype)>,
    /// How surely they are what it continues: votes, and more than there are where a name says so.
    pub(super) votes: usize,
}

impl Continued {
    /// Segments that may go together into a blob have the same sort of bases.
    pub(super) fn sort(&self) -> (bool, Option<Dtype>) {
        (self.same.is_some(), self.other.map(|(_, kind)| kind))
    }

    /// Whether `len` bytes of the type `dtype` are rather to be coded against a chunk that shares so many votes with them.
    pub(super) fn is_further(&self, dtype: Dtype, len: u32, brought: &Brought, votes: usize) -> bool {
        let Some(kind) = brought.dtype.filter(|kind| blob::base_len(*kind, dtype, len) == Some(brought.len)) else { return false };
        // Numbers in another type share few votes whatever they are, and whether they do better than older ones of the same type is tried.
        let least = if blob::is_coded_alike(kind, dtype) { self.votes.max(VOTES) } else { VOTES };
        votes >= least
    }
}

/// How far back a group may go whose chains can carry no more.
#[derive(Clone, Copy)]
pub(super) struct Jump {
    /// The depths that are tried.
    pub(super) depths: &'static [u8],
    /// Bytes that each difference after the jump is likely to take.
    pub(super) step: u64,
    /// The depth at which the next jump is due.
    pub(super) longest: u8,
}

impl<'r> BaseFinder<'r> {
    pub(super) fn new(repo: &'r Repo, account: Arc<Account>) -> Self {
        Self { repo, sketcher: Sketcher::new(&repo.keys), chains: Chains::default(), account, longest: longest_of(repo, false) }
    }

    /// The sketches of a group's chunks; empty if none of them has one.
    pub(super) fn sketches(&self, group: &Group) -> Vec<Sketch> {
        let sketches: Vec<_> = group
            .chunks()
            .map(|chunk| match group.dtype {
                Some(dtype) => self.sketcher.segment(chunk, dtype),
                None => self.sketcher.plain(chunk),
            })
            .collect();
        if sketches.iter().all(Option::is_none) {
            return Vec::new();
        }
        sketches.into_iter().map(|sketch| sketch.unwrap_or([0; 8])).collect()
    }

    /// For each segment of a group of one tensor type, the older segments that it could be coded against. Counts in `ways` how they were found.
    pub(super) fn continued(
        &self,
        known: &KnownChunks,
        group: &Group,
        sketches: &[Sketch],
        ways: &mut BaseWays,
    ) -> Result<Vec<Continued>, Error> {
        let hints: Vec<ChunkId> = group.hints.iter().flatten().copied().collect();
        let mut located = known.locate(&hints)?.into_iter();
        let similar = if sketches.is_empty() { vec![Vec::new(); group.ids.len()] } else { known.similar(sketches)? };
        let mut found = Vec::with_capacity(group.ids.len());
        for (i, similar) in similar.iter().enumerate() {
            let len = group.lens[i];
            let hint = group.hints[i].and_then(|_| located.next().flatten()).filter(|location| location.len == len);
            let may_be = |location: &Location| self.may_be_base(known, location);
            let is_same = |location: &Location| location.len == len && may_be(location) && self.other_kind(group.dtype, location).is_none();
            let by_votes = || best_base(similar, is_same);
            let best = hint.map(|hint| (hint, SURE)).or_else(by_votes);
            let same = best.map(|(location, _)| location);
            let lens = lens_of_bases(group.dtype, len);
            let is_other = |location: &Location| {
                let fits = Some(*location) != same && lens.contains(&location.len) && may_be(location);
                let kind = if fits { self.other_kind(group.dtype, location) } else { None };
                kind.is_some_and(|kind| blob::base_len(kind, group.dtype.unwrap_or(kind), len) == Some(location.len))
            };
            let other = best_base(similar, is_other);
            let votes = best.or(other).map_or(0, |(_, votes)| votes);
            let other = other.and_then(|(location, _)| Some((location, self.other_kind(group.dtype, &location)?)));
            let continued = Continued { same, other, votes };
            *match (continued.sort(), hint) {
                (_, Some(_)) => &mut ways.parent,
                ((false, None), None) => &mut ways.none,
                (_, None) => &mut ways.votes,
            } += 1;
            found.push(continued);
        }
        Ok(found)
    }

    /// The type of the numbers at `location`, if it is known and not `dtype`. Of numbers that are stored as bytes it is not known.
    fn other_kind(&self, dtype: Option<Dtype>, location: &Location) -> Option<Dtype> {
        let kind = self.repo.frame_at(location).and_then(|frame| blob::dtype_of(&frame))?;
        dtype.filter(|dtype| !blob::is_coded_alike(kind, *dtype)).map(|_| kind)
    }

    /// Of two ways to code a group, the one that is estimated to take less.
    pub(super) fn cheaper(&self, group: &Group, one: Option<Bases>, other: Option<Bases>) -> Option<Bases> {
        let plain = Plain { kind: BlobKind::Data, bytes: &group.plain, dtype: group.dtype };
        let takes = |bases: &Bases| blob::coded_len(plain, bases, self.repo.compression);
        match (one, other) {
            (Some(one), Some(other)) => Some(if takes(&other) < takes(&one) { other } else { one }),
            (one, other) => one.or(other),
        }
    }

    /// What the segments of a group are coded against, which continue those at `locations`: these, or where their chains can carry no more,
    /// older ones. All segments of a blob go back equally far, so that old blobs are needed as a whole or not at all. `None` where all is
    /// better written whole, or a base cannot be read.
    pub(super) fn aligned(&self, known: &KnownChunks, group: &Group, locations: &[Location]) -> Option<Bases> {
        let latest = self.chain_of(known, locations)?;
        let longest = longest(group, LONGEST_OF_NUMBERS);
        let is_full = locations.iter().any(|location| location.depth >= longest);
        if !is_full && latest.goes_on() {
            let bases = self.segments(known, group, locations)?;
            // Where others rely on the group, it may have to jump all the same.
            if bases.may_take(group.plain.len() as u64, latest.last) {
                return Some(bases);
            }
        }
        let whole = latest.a_version_of_a_start(latest.last, longest);
        let jump = Jump { depths: &[LONGEST_OF_NUMBERS - 1, 2, 1, 0], step: latest.last, longest };
        let ancestors = |depth| locations.iter().map(|location| self.ancestor(known, location, depth)).collect();
        self.best_jump(group, jump, ancestors, |ancestors| {
            let fit = ancestors.iter().zip(locations).all(|(ancestor, location)| ancestor.len == location.len);
            if fit { self.segments(known, group, ancestors) } else { None }
        })
        .filter(|(takes, _)| *takes < whole)
        .map(|(_, bases)| bases)
    }

    /// Of the `ancestors` at some depths those with which, as `read`, a version takes least until the next jump.
    pub(super) fn best_jump(
        &self,
        group: &Group,
        jump: Jump,
        ancestors: impl Fn(u8) -> Option<Vec<Location>>,
        read: impl Fn(&[Location]) -> Option<Bases>,
    ) -> Option<(u64, Bases)> {
        let plain = Plain { kind: BlobKind::Data, bytes: &group.plain, dtype: group.dtype };
        let mut best: Option<(u64, Bases)> = None;
        let mut tried = Vec::new();
        for depth in jump.depths.iter().filter(|depth| **depth < jump.longest) {
            let Some(ancestors) = ancestors(*depth).filter(|ancestors| *ancestors != tried) else { continue };
            if let Some(bases) = read(&ancestors) {
                let coded = blob::coded_len(plain, &bases, self.repo.compression);
                if !bases.may_take(group.plain.len() as u64, coded) {
                    continue;
                }
                let steps = jump.longest.saturating_sub(bases.depth + 1);
                let takes = bases.chain.at_most(plain.bytes.len() as u64).a_version(coded, jump.step, steps);
                if let Some(takes) = takes.filter(|takes| best.as_ref().is_none_or(|(least, _)| takes < least)) {
                    best = Some((takes, bases));
                }
            }
            tried = ancestors;
        }
        best
    }

    pub(super) fn chain_of(&self, known: &KnownChunks, locations: &[Location]) -> Option<Chain> {
        locations.iter().try_fold(Chain::default(), |sum, location| Some(sum.and(self.chains.of(self.repo, known, location)?)))
    }

    /// What the segments of a group are coded against, which are the numbers at `locations` in another type, `kind`. `None` where a base cannot be read.
    pub(super) fn converted(&self, known: &KnownChunks, group: &Group, locations: &[Location], kind: Dtype) -> Option<Bases> {
        let mut joined = Bases { aligned: true, kind: Some(kind), most_reads: group.limit.map(|limit| limit.reads), ..Bases::default() };
        for location in locations.iter().filter(|location| location.depth < longest(group, LONGEST_OF_NUMBERS)) {
            let Found { id, bytes, depth, chain, .. } = self.read(known, group, *location)?;
            joined.join(Bases { ids: vec![id], bytes, depth, chain, ..Bases::default() });
        }
        joined.chain = joined.chain.of_another_kind(group.plain.len() as u64);
        let charge = self.charge(known, group, locations, joined.chain);
        if joined.most_reads.is_none() {
            // Masters that are in the snapshot themselves are read anyway.
            joined.chain.reads = joined.chain.reads.min(charge.more);
        }
        joined.charge = Some(charge);
        (joined.ids.len() == locations.len()).then_some(joined)
    }

    fn segments(&self, known: &KnownChunks, group: &Group, locations: &[Location]) -> Option<Bases> {
        let mut joined = Bases { aligned: true, most_reads: group.limit.map(|limit| limit.reads), ..Bases::default() };
        if locations.len() > 1 {
            joined.bytes.reserve(group.plain.len());
        }
        for location in locations {
            let base = self.read(known, group, *location)?;
            let (older, older_bytes) = self.before(known, group, &base).map(|(id, bytes)| (vec![id], bytes)).unwrap_or_default();
            let Found { id, bytes, depth, chain, .. } = base;
            joined.join(Bases { ids: vec![id], bytes, depth, older, older_bytes, chain, ..Bases::default() });
        }
        joined.charge = Some(self.charge(known, group, locations, joined.chain));
        Some(joined)
    }

    /// What reading the chunks at `locations` costs the snapshot, whose chain is `chain`.
    pub(super) fn charge(&self, known: &KnownChunks, group: &Group, locations: &[Location], chain: Chain) -> Charge {
        self.account.charge(&Linked { finder: self, known }, group.number, &blobs_of(locations), chain)
    }

    /// Enters what is written of a group into the account of the snapshot: `frame` says what it is coded against. Where nobody has tried what it takes by
    /// itself, that is as much as its bases'.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub(super) fn enter(&self, known: &KnownChunks, group: u64, frame: &Frame, stored: u64, alone: Option<u64>) -> Result<(), Error> {
        let locations: Vec<Location> = known.locate(bases_below(frame))?.into_iter().flatten().collect();
        let plain = frame.plain_len() as u64;
        let alone = alone.unwrap_or_else(|| self.chain_of(known, &locations).map_or(stored, |bases| bases.at_most(plain).whole));
        self.account.enter(&Linked { finder: self, known }, group, &blobs_of(&locations), Entered { plain, stored, alone });
        Ok(())
    }

    /// What the account of the snapshot comes to.
    pub(super) fn sums(&self, known: &KnownChunks) -> Sums {
        self.account.sums(&Linked { finder: self, known })
    }

    /// Whether a chunk can be a base as far as its chain tells. Looked at before votes are counted only while chains are coded anew: then much of
    /// what is similar rests on what has no place yet.
    pub(super) fn may_be_base(&self, known: &KnownChunks, location: &Location) -> bool {
        !known.is_recoding() || self.chains.of(self.repo, known, location).is_some()
    }

    /// Reads a base. One that cannot be read is none: what is damaged must not be relied on.
    fn read(&self, known: &KnownChunks, group: &Group, location: Location) -> Option<Found> {
        self.read_in(known, group, location, &mut None)
    }

    /// The same where one of its blob may have been read just before.
    pub(super) fn read_in(
        &self,
        known: &KnownChunks,
        group: &Group,
        location: Location,
        open: &mut Option<(Location, Decoded)>,
    ) -> Option<Found> {
        let chain = self.chains.of(self.repo, known, &location)?;
        let blob = match open.take().filter(|(other, _)| (other.pack, other.ordinal) == (location.pack, location.ordinal)) {
            Some((_, blob)) => blob,
            None => self.repo.blob_bytes(&location).ok()?.0,
        };
        let blob = &open.insert((location, blob)).1;
        let bytes = chunk_of(blob, &location)?.to_vec();
        let id = self.repo.keys.chunk_id(&bytes);
        // What is found by its place must be found by its name, too: that is how a reader will ask for it.
        let by_name = known.locate(&[id]).ok()?[0]?;
        // A reader takes no copy that lies deeper. This one was read; the other one nobody has looked at.
        let depth = by_name.depth.max(location.depth);
        // A chunk that is about to be written is no base of its neighbours: it could become its own.
        let usable = depth < limits::DEPTH && !group.ids.contains(&id);
        usable.then_some(Found { id, bytes, depth, location, chain })
    }

    /// What a segment that serves as base was itself coded against. To read it costs nothing more: the base cannot be read without it.
    fn before(&self, known: &KnownChunks, group: &Group, base: &Found) -> Option<(ChunkId, Vec<u8>)> {
        let frame = self.repo.frame_at(&base.location).filter(|frame| blob::kind_of_bases(frame).is_none())?;
        let id = base_of(&frame, frame.chunk_at(base.location.start, base.location.len)?)?;
        let location = known.locate(&[id]).ok()?[0].filter(|older| older.len == base.location.len && older.depth <= base.depth)?;
        let (found, bytes) = self.repo.chunk_at(&location).ok()?;
        (found == id && !group.ids.contains(&id)).then_some((id, bytes))
    }
}

/// The blobs of a repository, for its account.
struct Linked<'f> {
    finder: &'f BaseFinder<'f>,
    known: &'f KnownChunks,
}

impl Held for Linked<'_> {
    fn chain(&self, blob: BlobKey) -> Option<Chain> {
        self.finder.chains.of_blob(self.finder.repo, self.known, blob)
    }

    fn walk(&self, blob: BlobKey, found: &mut dyn FnMut(BlobKey, u64) -> bool) {
        self.finder.chains.walk(self.finder.repo, self.known, blob, found);
    }
}

/// The blobs of these chunks, each once.
fn blobs_of(locations: &[Location]) -> Vec<BlobKey> {
    let blobs: BTreeSet<BlobKey> = locations.iter().map(|location| (location.pack, location.ordinal)).collect();
    blobs.into_iter().collect()
}

/// Lengths of what `len` bytes of a tensor may be coded against.
fn lens_of_bases(dtype: Option<Dtype>, len: u32) -> Vec<u32> {
    let kin = dtype.filter(|dtype| dtype.has_kin()).into_iter();
    let others = kin.flat_map(|dtype| [Dtype::F32, Dtype::BF16].into_iter().filter_map(move |from| blob::base_len(from, dtype, len)));
    others.chain([len]).collect()
}

/// The longest chain of numbers, or of plain bytes.
pub(super) fn longest_of(repo: &Repo, numbers: bool) -> u8 {
    let cached = repo.memory.blobs / (repo.config.blob_len as usize).max(1);
    if numbers { LONGEST_OF_NUMBERS } else { (cached / 2).clamp(*LONGEST.start(), *LONGEST.end()) as u8 }
}

/// The longest chain that a group may become part of.
pub(super) fn longest(group: &Group, usual: u8) -> u8 {
    group.limit.map_or(usual, |limit| limit.depth.min(usual))
}
