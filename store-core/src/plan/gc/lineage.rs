//! Chains whose supports live for them alone (`spec/CHAINS.md`, section 4). A *support* is a chunk that no snapshot asks for, needed only since
//! something is coded against it. A *lineage* is supports that hang together with the chunks that snapshots ask for and that are coded
//! against them: when those are coded anew, against one another or whole, the supports go.
//!
//! Whether that pays is estimated from lengths alone; nothing is read for it.

use std::collections::{BTreeMap, BTreeSet};

use super::mark::{BlobPlaces, Marks, Place};
use crate::base::ids::ChunkId;
use crate::format::blob::Frame;

/// Bytes that coding anew must give back for each of so many that it writes.
pub(super) const WORTH: u64 = 8;
/// Stored bytes for each plain one are counted in parts of a million.
const PARTS: u64 = 1_000_000;

/// A blob of a lineage.
#[derive(Debug, Clone)]
struct Member {
    pack: u32,
    ordinal: u32,
    depth: u8,
    /// Whether differences from older numbers grow slowly with their distance.
    numbers: bool,
    /// Stored bytes of its supports.
    supports: u32,
    /// Stored bytes of its chunks that are coded anew, and their plain bytes.
    anew: u32,
    plain: u32,
    /// Stored bytes for each plain one.
    ratio: u64,
    upon: Upon,
}

/// What a member is coded against, judged by its first base.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Upon {
    Nothing,
    /// Something that snapshots ask for: that stays.
    Asked,
    /// Another member.
    Member(u32),
}

/// What is known of one lineage.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lineage {
    /// Stored bytes that go: supports, and the old codings of what is coded anew.
    pub goes: u64,
    /// Stored bytes that come in their place, as estimated.
    pub comes: u64,
    /// Whether not all of it was looked at.
    pub is_cut: bool,
}

impl Lineage {
    /// Whether coding it anew gives back enough for what it writes.
    pub fn pays(&self) -> bool {
        let gain = self.goes.saturating_sub(self.comes);
        !self.is_cut && gain > 0 && gain.saturating_mul(WORTH) >= self.comes
    }
}

/// Finds lineages: all blobs are to be shown twice, in the order of packs and ordinals.
#[derive(Debug)]
pub struct LineageFinder {
    members: Vec<Member>,
    /// How many of them, the first ones, were found in the first pass: those with supports.
    supporting: usize,
    /// For each member, another one of its lineage, or itself.
    joined: Vec<u32>,
    cut: BTreeSet<u32>,
    most: usize,
}

impl LineageFinder {
    /// At most so many blobs are looked at: what is left is for a later prune. A member takes about 120 bytes while this is decided.
    pub fn new(most: usize) -> Self {
        Self { members: Vec::new(), supporting: 0, joined: Vec::new(), cut: BTreeSet::new(), most }
    }

    /// The first pass: takes blobs that hold supports.
    pub fn show(&mut self, marks: &Marks, pack: u32, ordinal: u32, frame: &Frame, numbers: bool) {
        if self.members.len() >= self.most || !marks.is_blob_needed(pack, ordinal) {
            return;
        }
        let supports = marks.supports(pack, ordinal);
        if supports.contains(&true) {
            let member = Member { supports: share(frame, &supports).0, ..member(pack, ordinal, frame, numbers) };
            self.add(member);
            self.supporting = self.members.len();
        }
    }

    /// Whether there are no supports at all: then a second pass shows nothing.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The second pass: takes what is coded against supports.
    ///
    /// # Errors
    /// When it cannot be told where bases are.
    pub fn show_again<P: BlobPlaces>(
        &mut self,
        marks: &Marks,
        places: &mut P,
        (pack, ordinal): (u32, u32),
        frame: &Frame,
        numbers: bool,
    ) -> Result<(), P::Error> {
        if frame.bases.is_empty() || !marks.is_blob_needed(pack, ordinal) {
            return Ok(());
        }
        let mut below = Vec::with_capacity(frame.bases.len());
        for base in &frame.bases {
            below.push(self.support(marks, places, base, frame.depth)?);
        }
        let own = self.position(pack, ordinal);
        let upon = below[0].map_or(Upon::Asked, |member| Upon::Member(member as u32));
        if below.iter().all(Option::is_none) {
            own.into_iter().for_each(|own| self.members[own].upon = upon);
            return Ok(());
        }
        let asked = marks.asked(pack, ordinal);
        // More than are looked at: what it is coded against cannot go.
        if own.is_none() && (!asked.contains(&true) || marks.supports(pack, ordinal).contains(&true) || self.members.len() >= 2 * self.most)
        {
            self.cut.extend(below.into_iter().flatten().map(|member| member as u32));
            return Ok(());
        }
        let own = own.unwrap_or_else(|| self.add(member(pack, ordinal, frame, numbers)));
        let member = &mut self.members[own];
        (member.anew, member.plain) = share(frame, &asked);
        member.upon = upon;
        below.into_iter().flatten().for_each(|other| self.join(own, other));
        Ok(())
    }

    fn add(&mut self, member: Member) -> usize {
        self.joined.push(self.members.len() as u32);
        self.members.push(member);
        self.members.len() - 1
    }

    fn position(&self, pack: u32, ordinal: u32) -> Option<usize> {
        self.members[..self.supporting].binary_search_by_key(&(pack, ordinal), |member| (member.pack, member.ordinal)).ok()
    }

    /// The member that holds the place which is used of a base, if that is a support there.
    fn support<P: BlobPlaces>(&self, marks: &Marks, places: &mut P, id: &ChunkId, below: u8) -> Result<Option<usize>, P::Error> {
        let is_used = |place: &Place| place.depth < below && marks.is_blob_needed(place.pack, place.ordinal);
        let place = match places.first(id)? {
            Some(place) if is_used(&place) => Some(place),
            Some(_) => places.all(id)?.into_iter().find(is_used),
            None => None,
        };
        let Some(place) = place else { return Ok(None) };
        let Some(member) = self.position(place.pack, place.ordinal) else { return Ok(None) };
        let Some(frame) = places.frame(place.pack, place.ordinal)? else { return Ok(None) };
        let supports = marks.supports(place.pack, place.ordinal);
        Ok(place.index_in(&frame).and_then(|index| supports.get(index).copied()).unwrap_or(false).then_some(member))
    }

    fn root(&mut self, mut member: usize) -> usize {
        while self.joined[member] as usize != member {
            self.joined[member] = self.joined[self.joined[member] as usize];
            member = self.joined[member] as usize;
        }
        member
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        self.joined[a.max(b)] = a.min(b) as u32;
    }

    /// What was found.
    pub fn finish(mut self) -> Lineages {
        // The smallest member of each lineage is its root, so roots come first.
        let mut of = vec![0u32; self.members.len()];
        let mut all: Vec<Lineage> = Vec::new();
        for member in 0..self.members.len() {
            let root = self.root(member);
            self.joined[member] = root as u32;
            if root == member {
                of[member] = all.len() as u32;
                all.push(Lineage::default());
            } else {
                of[member] = of[root];
            }
            let Member { supports, anew, .. } = self.members[member];
            all[of[member] as usize].goes += u64::from(supports) + u64::from(anew);
        }
        for member in &self.cut {
            all[of[*member as usize] as usize].is_cut = true;
        }
        for (member, comes) in estimate(&self.members) {
            all[of[member] as usize].comes += comes;
        }
        Lineages { members: self.members, of, all }
    }
}

fn member(pack: u32, ordinal: u32, frame: &Frame, numbers: bool) -> Member {
    let ratio = u64::from(frame.sealed_len) * PARTS / frame.plain_len().max(1) as u64;
    Member { pack, ordinal, depth: frame.depth, numbers, supports: 0, anew: 0, plain: 0, ratio, upon: Upon::Nothing }
}

/// The stored and the plain bytes of these chunks of a blob.
fn share(frame: &Frame, which: &[bool]) -> (u32, u32) {
    let plain: u32 = which.iter().zip(&frame.chunk_lens).filter(|(is_one, _)| **is_one).map(|(_, len)| *len).sum();
    let stored = u64::from(frame.sealed_len) * u64::from(plain) / frame.plain_len().max(1) as u64;
    (stored as u32, plain)
}

/// How far a member is from the nearest chunk that is coded anew, by the differences on the way.
#[derive(Debug, Clone, Copy)]
struct Near {
    /// The sum of the differences, or of their squares.
    distance: u64,
    /// Plain bytes of that chunk.
    plain: u64,
}

/// What coding the members anew takes: one of each chain whole, and each other one as a difference from what is nearest among those that stay.
/// Differences of plain bytes add up along the way; those of numbers wander, so that their squares do. A difference takes no more than the
/// start of its chain.
fn estimate(members: &[Member]) -> Vec<(usize, u64)> {
    let mut order: Vec<usize> = (0..members.len()).collect();
    order.sort_by_key(|member| members[*member].depth);
    let mut whole = vec![PARTS; members.len()];
    for member in &order {
        whole[*member] = match members[*member].upon {
            Upon::Nothing => members[*member].ratio,
            Upon::Asked => PARTS,
            Upon::Member(below) => whole[below as usize],
        };
    }
    let mut near: Vec<Option<Near>> = vec![None; members.len()];
    let mut comes = Vec::new();
    for at in order.into_iter().rev() {
        let member = &members[at];
        let takes = |distance: u64, plain: u64| {
            let ratio = if member.numbers { distance.isqrt() } else { distance };
            ratio.min(whole[at]) * plain / PARTS
        };
        let step = if member.numbers { member.ratio * member.ratio } else { member.ratio };
        if member.anew > 0 {
            let own = Near { distance: 0, plain: member.plain.into() };
            // Both are there: something is coded against a support beside a chunk that is coded anew.
            comes.extend(near[at].map(|other| (at, takes(other.distance, other.plain))));
            near[at] = Some(own);
        }
        let Some(mine) = near[at] else { continue };
        let up = mine.distance.saturating_add(step);
        match member.upon {
            Upon::Nothing => comes.push((at, whole[at] * mine.plain / PARTS)),
            Upon::Asked => comes.push((at, takes(up, mine.plain))),
            Upon::Member(below) => {
                let below = below as usize;
                near[below] = Some(match near[below] {
                    None => Near { distance: up, ..mine },
                    Some(other) => {
                        comes.push((at, takes(between(up, other.distance, member.numbers), mine.plain)));
                        if up < other.distance { Near { distance: up, ..mine } } else { other }
                    }
                });
            }
        }
    }
    comes
}

/// The distance of two that rest on the same: in a series both lie behind it, one further than the other, and not closer together than half of what
/// either is away.
fn between(a: u64, b: u64, numbers: bool) -> u64 {
    let half = if numbers { 4 } else { 2 };
    a.abs_diff(b).max(a.min(b) / half)
}

/// All lineages of a repository, as far as they were looked at.
#[derive(Debug, Default)]
pub struct Lineages {
    members: Vec<Member>,
    /// For each member, its lineage.
    of: Vec<u32>,
    all: Vec<Lineage>,
}

/// Which lineages are coded anew, by their numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chosen(BTreeSet<u32>);

impl Lineages {
    /// Those that pay.
    pub fn that_pay(&self) -> Chosen {
        Chosen((0u32..).zip(&self.all).filter(|(_, lineage)| lineage.pays()).map(|(number, _)| number).collect())
    }

    /// Their sum, and how many.
    pub fn totals(&self, chosen: &Chosen) -> (u64, Lineage) {
        let sum = |sum: Lineage, one: &Lineage| Lineage { goes: sum.goes + one.goes, comes: sum.comes + one.comes, is_cut: false };
        (chosen.0.len() as u64, chosen.0.iter().map(|number| &self.all[*number as usize]).fold(Lineage::default(), sum))
    }

    /// For each pack, the stored bytes that go when these are coded anew.
    pub fn freed(&self, chosen: &Chosen) -> BTreeMap<u32, u64> {
        let mut freed = BTreeMap::new();
        for (member, _) in self.members_of(chosen) {
            *freed.entry(member.pack).or_default() += u64::from(member.supports) + u64::from(member.anew);
        }
        freed
    }

    /// Leaves out those that have a part in one of these packs.
    pub fn leave_out(&self, chosen: &mut Chosen, packs: &BTreeSet<u32>) {
        let touching: BTreeSet<u32> =
            self.members_of(chosen).filter(|(member, _)| packs.contains(&member.pack)).map(|(_, lineage)| lineage).collect();
        chosen.0.retain(|lineage| !touching.contains(lineage));
    }

    /// Which blobs are concerned.
    pub fn rewriting(&self, chosen: &Chosen) -> Rewriting {
        let mut found = Rewriting::default();
        for (member, _) in self.members_of(chosen) {
            if member.supports > 0 {
                found.supports.insert(member.pack, member.ordinal);
            }
            if member.anew > 0 {
                found.anew.insert(member.pack, member.ordinal);
            }
        }
        found
    }

    fn members_of<'l>(&'l self, chosen: &'l Chosen) -> impl Iterator<Item = (&'l Member, u32)> {
        self.members.iter().zip(self.of.iter().copied()).filter(|(_, lineage)| chosen.0.contains(lineage))
    }
}

/// Blobs that are coded anew or lose their supports.
#[derive(Debug, Default)]
pub struct Rewriting {
    /// Those whose supports go.
    pub supports: BlobSet,
    /// Those whose chunks that snapshots ask for are coded anew.
    pub anew: BlobSet,
}

impl Rewriting {
    /// Whether nothing is coded anew.
    pub fn is_empty(&self) -> bool {
        self.anew.0.is_empty() && self.supports.0.is_empty()
    }

    /// Takes what rests on something that is coded anew, and is to be written to another pack as well: coding it anew, too, costs no more reading and
    /// writing. `blobs` are those of the packs that are rewritten, the least deep first.
    ///
    /// # Errors
    /// When it cannot be told where bases are.
    pub fn extend<P: BlobPlaces>(&mut self, marks: &Marks, places: &mut P, blobs: &[(u8, u32, u32)]) -> Result<(), P::Error> {
        for (_, pack, ordinal) in blobs {
            // What supports others cannot be found by what snapshots ask for.
            if !self.leaves(marks, *pack, *ordinal) || marks.supports(*pack, *ordinal).contains(&true) {
                continue;
            }
            let Some(frame) = places.frame(*pack, *ordinal)? else { continue };
            let mut rests = false;
            for base in &frame.bases {
                rests |= places.first(base)?.is_some_and(|place| self.anew.contains(place.pack, place.ordinal));
            }
            if rests {
                self.anew.insert(*pack, *ordinal);
            }
        }
        Ok(())
    }

    /// Whether anything in a pack is coded anew or goes because of that.
    pub fn reaches(&self, pack: u32) -> bool {
        self.anew.0.contains_key(&pack) || self.supports.0.contains_key(&pack)
    }

    /// Whether something of a blob is needed and stays as it is coded.
    pub fn leaves(&self, marks: &Marks, pack: u32, ordinal: u32) -> bool {
        marks.is_blob_needed(pack, ordinal)
            && !self.anew.contains(pack, ordinal)
            && (!self.supports.contains(pack, ordinal) || marks.asked(pack, ordinal).contains(&true))
    }
}

/// A set of blobs, a bit for each.
#[derive(Debug, Default)]
pub struct BlobSet(BTreeMap<u32, Vec<u64>>);

impl BlobSet {
    /// Adds a blob.
    pub fn insert(&mut self, pack: u32, ordinal: u32) {
        let words = self.0.entry(pack).or_default();
        let word = ordinal as usize / 64;
        if words.len() <= word {
            words.resize(word + 1, 0);
        }
        words[word] |= 1 << (ordinal % 64);
    }

    /// Whether it holds a blob.
    pub fn contains(&self, pack: u32, ordinal: u32) -> bool {
        self.0.get(&pack).and_then(|words| words.get(ordinal as usize / 64)).is_some_and(|word| word & 1 << (ordinal % 64) != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::mark::tests::{World, id, world};
    use super::super::{Policy, Standing, decide_with_chains};
    use super::*;
    use crate::base::ids::PackId;
    use crate::plan::gc::PackUse;

    /// Blobs of 1,000 plain bytes, each in a pack of its own: how many bytes it takes, depth, chunks, bases. Asks for these chunks.
    fn lineages(blobs: &[(u32, u8, &[u8], &[u8])], asked: &[u8], numbers: bool, most: usize) -> (Lineages, Marks, World) {
        let packs: Vec<_> = (0u32..).zip(blobs).map(|(pack, (_, depth, chunks, bases))| (pack, *depth, *chunks, *bases)).collect();
        let (mut world, mut marks) = world(&packs, &[Standing::Stays; 6][..blobs.len()]);
        asked.iter().for_each(|chunk| _ = marks.need(&mut world, &id(*chunk), u8::MAX).unwrap());
        let mut finder = LineageFinder::new(most);
        let frame = |world: &mut World, pack: u32| {
            let frame = world.frame(pack, 0).unwrap().unwrap();
            Frame {
                sealed_len: blobs[pack as usize].0,
                chunk_lens: vec![1000 / frame.chunk_lens.len() as u32; frame.chunk_lens.len()],
                ..(*frame).clone()
            }
        };
        for pack in 0..blobs.len() as u32 {
            finder.show(&marks, pack, 0, &frame(&mut world, pack), numbers);
        }
        for pack in 0..blobs.len() as u32 {
            let frame = frame(&mut world, pack);
            finder.show_again(&marks, &mut world, (pack, 0), &frame, numbers).unwrap();
        }
        (finder.finish(), marks, world)
    }

    fn all(found: &Lineages) -> Vec<(u64, u64)> {
        found.all.iter().map(|lineage| (lineage.goes, lineage.comes)).collect()
    }

    /// A start, and five differences one upon the other.
    const CHAIN: [(u32, u8, &[u8], &[u8]); 6] =
        [(600, 0, &[0], &[]), (100, 1, &[1], &[0]), (100, 2, &[2], &[1]), (100, 3, &[3], &[2]), (100, 4, &[4], &[3]), (100, 5, &[5], &[4])];

    #[test]
    fn without_supports_there_is_no_lineage() {
        assert_eq!(all(&lineages(&CHAIN, &[0, 1, 2, 3, 4, 5], true, 99).0), []);
        assert_eq!(all(&lineages(&CHAIN, &[], true, 99).0), []);
    }

    #[test]
    fn the_first_that_stays_is_written_whole_and_the_next_ones_rest_on_it() {
        // 3 is coded anew, and 4 and 5 stay as they are.
        let (found, ..) = lineages(&CHAIN, &[3, 4, 5], true, 99);
        assert_eq!(all(&found), [(600 + 100 + 100 + 100, 600)]);
        assert_eq!(found.that_pay().0.len(), 1);
    }

    #[test]
    fn differences_grow_with_distance_and_never_beyond_the_whole() {
        // 1 goes upon 0, which stays; 5 over four steps upon 1: the squares of numbers add up, plain bytes do.
        let (found, ..) = lineages(&CHAIN, &[0, 1, 5], true, 99);
        assert_eq!(all(&found), [(400, 200)]);
        let (found, ..) = lineages(&CHAIN, &[0, 1, 5], false, 99);
        assert_eq!(all(&found), [(400, 400)]);
        assert!(found.that_pay().0.is_empty());
        let long: [(u32, u8, &[u8], &[u8]); 3] = [(150, 0, &[0], &[]), (100, 1, &[1], &[0]), (100, 2, &[2], &[1])];
        let (found, ..) = lineages(&long, &[2], false, 99);
        assert_eq!(all(&found), [(350, 150)]);
    }

    #[test]
    fn branches_rest_on_each_other_where_their_support_goes() {
        let blobs: [(u32, u8, &[u8], &[u8]); 3] = [(600, 0, &[0], &[]), (90, 1, &[1], &[0]), (120, 1, &[2], &[0])];
        let (found, ..) = lineages(&blobs, &[1, 2], true, 99);
        // One whole, the other at the root of 120² - 90².
        assert_eq!(all(&found), [(810, 600 + 79)]);
        assert!(found.all[0].pays());
        // Both equally far: half of that.
        let blobs: [(u32, u8, &[u8], &[u8]); 3] = [(600, 0, &[0], &[]), (100, 1, &[1], &[0]), (100, 1, &[2], &[0])];
        assert_eq!(all(&lineages(&blobs, &[1, 2], true, 99).0), [(800, 600 + 50)]);
    }

    #[test]
    fn what_is_not_looked_at_keeps_its_lineage() {
        let (found, ..) = lineages(&CHAIN, &[4], true, 2);
        assert!(found.all.iter().any(|lineage| lineage.is_cut) && found.that_pay().0.is_empty());
    }

    #[test]
    fn a_lineage_goes_only_with_all_its_packs() {
        let (found, marks, mut world) = lineages(&CHAIN, &[3, 4, 5], true, 99);
        let uses: Vec<_> = (0u8..)
            .zip(&CHAIN)
            .map(|(pack, blob)| PackUse {
                id: PackId::from_bytes([pack; 32]),
                len: u64::from(blob.0) + 1,
                needed: u64::from(blob.0) + 1,
                is_needed: true,
                is_named: true,
                number: Some(pack.into()),
                freed: 0,
            })
            .collect();
        let policy = Policy { max_unused: 0.05, max_repack: None, is_somebody_active: false };
        let (decision, chosen) = decide_with_chains(&uses, &found, &policy);
        assert_eq!((decision.chains.lineages, decision.chains.goes, decision.chains.comes), (1, 900, 600));
        assert_eq!(decision.repacked().len(), 4);
        let rewriting = found.rewriting(&chosen);
        let of = |is_one: &dyn Fn(u32) -> bool| (0..6).filter(|pack| is_one(*pack)).collect::<Vec<u32>>();
        assert_eq!(of(&|pack| rewriting.supports.contains(pack, 0)), [0, 1, 2]);
        assert_eq!(of(&|pack| rewriting.anew.contains(pack, 0)), [3]);
        assert_eq!(of(&|pack| rewriting.leaves(&marks, pack, 0)), [4, 5]);
        // Of what stays, that is coded anew which is rewritten anyway.
        let mut rewriting = rewriting;
        rewriting.extend(&marks, &mut world, &[(5, 5, 0)]).unwrap();
        assert_eq!(of(&|pack| rewriting.anew.contains(pack, 0)), [3]);
        rewriting.extend(&marks, &mut world, &[(4, 4, 0), (5, 5, 0)]).unwrap();
        assert_eq!(of(&|pack| rewriting.anew.contains(pack, 0)), [3, 4, 5]);
        for hindered in [Policy { max_repack: Some(500), ..policy }, Policy { max_unused: 0.9, ..policy }] {
            let (decision, chosen) = decide_with_chains(&uses, &found, &hindered);
            assert!(decision.repacked().is_empty() && chosen == Chosen::default(), "{decision:?}");
        }
    }
}
