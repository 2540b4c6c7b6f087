//! Which packs go, which are rewritten first, and why.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::trial::WORTH;
use crate::base::ids::PackId;
use crate::base::limits;

/// A pack, and how much of it is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackUse {
    /// Which.
    pub id: PackId,
    /// Its length in bytes.
    pub len: u64,
    /// Its bytes but for those of blobs that are not needed; of a blob that is needed in part, the share of plain bytes that are not. None
    /// when nothing is needed.
    pub needed: u64,
    /// Whether anything of it is needed.
    pub is_needed: bool,
    /// Whether an index segment names it.
    pub is_named: bool,
    /// Its number in the chunk index, if it has one.
    pub number: Option<u32>,
    /// Bytes that are not counted as needed since chains are coded anew first.
    pub freed: u64,
}

/// Of a pack little is unused when it is at most a part in so many.
const REACHED: u64 = 16;

/// What is thought to be worth it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Policy {
    /// Which share of all bytes may be unused, from 0 to 1.
    pub max_unused: f64,
    /// Bytes of packs that are rewritten, at the most; `None` for any.
    pub max_repack: Option<u64>,
    /// Bytes that are used and need not be: they count as unused.
    pub excess: u64,
    /// Whether a session has no outcome: packs that no segment names may be its.
    pub is_somebody_active: bool,
}

/// What becomes of a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It stays: all of it is needed, or nearly.
    Stays,
    /// It stays, though much of it is unused: enough others go.
    Tolerated,
    /// It stays for now: it may belong to a push that is under way.
    MayBeAwaited,
    /// It stays for now: a prune deletes only so many packs at a time.
    Later,
    /// What is needed of it is written to other packs, and then it goes.
    Repacked,
    /// It goes: nothing of it is needed.
    Unused,
    /// It goes: no segment names it, and nobody is there who could still do so.
    Unnamed,
}

impl Fate {
    /// Whether the pack is to go.
    pub fn goes(self) -> bool {
        matches!(self, Self::Repacked | Self::Unused | Self::Unnamed)
    }
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stays => "stays: it is needed",
            Self::Tolerated => "stays: little enough is unused in all",
            Self::MayBeAwaited => "stays for now: no index segment names it, and a push may be under way",
            Self::Later => "stays for now: it is for the next prune",
            Self::Repacked => "goes: what is needed of it is written to another pack first",
            Self::Unused => "goes: nothing of it is needed",
            Self::Unnamed => "goes: no index segment names it, and no push is under way",
        })
    }
}

/// What is to be done, pack by pack.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decision {
    /// All packs with what becomes of them.
    pub packs: Vec<(PackUse, Fate)>,
    /// Chains that are coded anew.
    pub chains: ChainTotals,
}

/// Chains that are coded anew since what they rest on is needed for nothing else.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ChainTotals {
    /// How many blobs.
    pub blobs: u64,
    /// Stored bytes that go.
    pub goes: u64,
    /// Stored bytes that come in their place, as estimated.
    pub comes: u64,
}

/// Sums over packs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Packs.
    pub packs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Of these, needed.
    pub needed: u64,
}

impl Decision {
    /// Sums over the packs that have one of these fates.
    pub fn totals(&self, with: impl Fn(Fate) -> bool) -> Totals {
        let add =
            |sum: Totals, pack: &PackUse| Totals { packs: sum.packs + 1, bytes: sum.bytes + pack.len, needed: sum.needed + pack.needed };
        self.packs.iter().filter(|(_, fate)| with(*fate)).map(|(pack, _)| pack).fold(Totals::default(), add)
    }

    /// The packs that go.
    pub fn condemned(&self) -> BTreeSet<PackId> {
        self.packs.iter().filter(|(_, fate)| fate.goes()).map(|(pack, _)| pack.id).collect()
    }

    /// The packs that are rewritten first.
    pub fn repacked(&self) -> BTreeSet<PackId> {
        self.packs.iter().filter(|(_, fate)| *fate == Fate::Repacked).map(|(pack, _)| pack.id).collect()
    }
}

/// Decides. Packs that are partly needed go by the share that is unused, the greatest first, until what is unused of all that stays is
/// little enough. The same packs give the same decision in whatever order they come.
pub fn decide(mut packs: Vec<PackUse>, policy: &Policy) -> Decision {
    packs.sort_unstable_by_key(|pack| pack.id);
    let fate = |pack: &PackUse| match pack {
        _ if pack.is_needed => Fate::Stays,
        _ if pack.is_named => Fate::Unused,
        _ if policy.is_somebody_active => Fate::MayBeAwaited,
        _ => Fate::Unnamed,
    };
    let mut decided: Vec<_> = packs.into_iter().map(|pack| (pack, fate(&pack))).collect();
    let mut room = limits::GC_PACKS;
    for (_, fate) in decided.iter_mut().filter(|(_, fate)| fate.goes()) {
        if room == 0 {
            *fate = Fate::Later;
        }
        room = room.saturating_sub(1);
    }
    let unused = |pack: &PackUse| pack.len.saturating_sub(pack.needed);
    let mut partly: Vec<usize> = (0..decided.len()).filter(|i| decided[*i].1 == Fate::Stays).collect();
    let (bytes, mut waste) =
        partly.iter().fold((0, policy.excess), |(bytes, waste), i| (bytes + decided[*i].0.len, waste + unused(&decided[*i].0)));
    let tolerated = |bytes: u64| (bytes as f64 * policy.max_unused) as u64;
    // By the share that is unused, compared without rounding.
    partly.sort_by(|a, b| {
        let (a, b) = (&decided[*a].0, &decided[*b].0);
        let share = |of: &PackUse, by: &PackUse| u128::from(unused(of)) * u128::from(by.len);
        share(b, a).cmp(&share(a, b)).then(a.id.cmp(&b.id))
    });
    let (mut left, mut stays) = (policy.max_repack.unwrap_or(u64::MAX), bytes);
    for i in partly {
        let pack = decided[i].0;
        // Chains that are coded anew go with all packs that they reach into.
        if waste <= tolerated(stays) && pack.freed == 0 {
            if unused(&pack) > pack.len / 8 {
                decided[i].1 = Fate::Tolerated;
            }
            continue;
        }
        if unused(&pack) == 0 || pack.len > left || room == 0 {
            continue;
        }
        decided[i].1 = Fate::Repacked;
        left -= pack.len;
        room -= 1;
        waste -= unused(&pack);
        stays -= unused(&pack);
    }
    Decision { packs: decided, chains: ChainTotals::default() }
}

/// Decides where so many bytes of packs are `freed` by coding chains anew, which writes `chains.comes`. `None` unless all packs go that this reaches
/// into, so that nothing is left of the old codings, and it gives back enough for what is written, the rest of packs of which little is unused included.
pub fn decide_with_chains(packs: &[PackUse], freed: &BTreeMap<u32, u64>, chains: ChainTotals, policy: &Policy) -> Option<Decision> {
    let of = |pack: &PackUse| pack.number.and_then(|number| freed.get(&number)).map_or(0, |freed| *freed.min(&pack.needed));
    let used = packs.iter().map(|pack| PackUse { needed: pack.needed - of(pack), freed: of(pack), ..*pack }).collect();
    let decision = decide(used, policy);
    let reached = || decision.packs.iter().filter(|(pack, _)| pack.freed > 0);
    let is_dear = |pack: &PackUse| pack.len.saturating_sub(pack.needed) <= pack.len / REACHED;
    let written = chains.comes + reached().filter(|(pack, _)| is_dear(pack)).map(|(pack, _)| pack.needed).sum::<u64>();
    let is_worth = chains.goes.saturating_sub(chains.comes).saturating_mul(WORTH) >= written;
    let all_go = reached().all(|(_, fate)| fate.goes());
    (is_worth && all_go).then_some(Decision { chains, ..decision })
}

/// Whether what is unused of needed packs is little enough.
pub fn is_tolerated(packs: &[PackUse], policy: &Policy) -> bool {
    let sum = |of: &dyn Fn(&PackUse) -> u64| packs.iter().filter(|pack| pack.is_needed).map(of).sum::<u64>();
    sum(&|pack| pack.len.saturating_sub(pack.needed)) + policy.excess <= (sum(&|pack| pack.len) as f64 * policy.max_unused) as u64
}

/// What a final deletes: what the plan condemned and nothing was needed of.
pub fn deleted<P: Copy, S: FromIterator<P>>(condemned: impl IntoIterator<Item = P>, is_needed: impl Fn(&P) -> bool) -> S {
    condemned.into_iter().filter(|pack| !is_needed(pack)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: Policy = Policy { max_unused: 0.05, max_repack: None, excess: 0, is_somebody_active: false };

    fn pack(name: u8, len: u64, needed: u64) -> PackUse {
        PackUse {
            id: PackId::from_bytes([name; 32]),
            len,
            needed,
            is_needed: needed > 0,
            is_named: true,
            number: Some(name.into()),
            freed: 0,
        }
    }

    fn fates(packs: &[PackUse], policy: &Policy) -> Vec<Fate> {
        decide(packs.to_vec(), policy).packs.into_iter().map(|(_, fate)| fate).collect()
    }

    #[test]
    fn what_nobody_needs_goes_and_what_is_needed_stays() {
        assert_eq!(fates(&[pack(1, 100, 0), pack(2, 100, 100)], &POLICY), [Fate::Unused, Fate::Stays]);
    }

    #[test]
    fn packs_without_a_name_go_only_when_nobody_is_active() {
        let orphan = PackUse { is_named: false, ..pack(1, 100, 0) };
        assert_eq!(fates(&[orphan], &POLICY), [Fate::Unnamed]);
        assert_eq!(fates(&[orphan], &Policy { is_somebody_active: true, ..POLICY }), [Fate::MayBeAwaited]);
        // Nothing else waits for those who are active.
        assert_eq!(fates(&[pack(1, 100, 0)], &Policy { is_somebody_active: true, ..POLICY }), [Fate::Unused]);
    }

    #[test]
    fn the_emptiest_packs_are_rewritten_until_enough_is_used() {
        let packs = [pack(1, 1000, 900), pack(2, 1000, 100), pack(3, 1000, 400), pack(4, 1000, 1000)];
        assert_eq!(fates(&packs, &POLICY), [Fate::Stays, Fate::Repacked, Fate::Repacked, Fate::Stays]);
        let lax = Policy { max_unused: 0.3, ..POLICY };
        assert_eq!(fates(&packs, &lax), [Fate::Stays, Fate::Repacked, Fate::Tolerated, Fate::Stays]);
        assert_eq!(fates(&packs, &Policy { max_unused: 0.0, ..POLICY }), [Fate::Repacked, Fate::Repacked, Fate::Repacked, Fate::Stays]);
        let tight = Policy { max_repack: Some(1500), ..POLICY };
        assert_eq!(fates(&packs, &tight), [Fate::Stays, Fate::Repacked, Fate::Stays, Fate::Stays]);
        assert!(!fates(&packs, &Policy { max_repack: Some(0), ..POLICY }).contains(&Fate::Repacked));
    }

    #[test]
    fn a_pack_that_is_needed_whole_is_not_rewritten() {
        assert_eq!(fates(&[pack(1, 1000, 1000), pack(2, 1000, 999)], &Policy { max_unused: 0.0, ..POLICY }), [Fate::Stays, Fate::Repacked]);
    }

    #[test]
    fn chains_are_coded_anew_only_with_all_packs_that_they_reach_into() {
        let packs = [pack(1, 1000, 1000), pack(2, 1000, 1000), pack(3, 1000, 1000)];
        let freed = BTreeMap::from([(1, 700), (2, 300)]);
        let chains = ChainTotals { blobs: 2, goes: 1000, comes: 600 };
        let decision = decide_with_chains(&packs, &freed, chains, &POLICY).unwrap();
        assert_eq!(decision.packs.iter().map(|(_, fate)| *fate).collect::<Vec<_>>(), [Fate::Repacked, Fate::Repacked, Fate::Stays]);
        assert_eq!(decision.chains, chains);
        assert_eq!(decide_with_chains(&packs, &freed, chains, &Policy { max_repack: Some(1500), ..POLICY }), None);
        // A pack that is reached into for little has to be written as well.
        let freed = BTreeMap::from([(1, 50)]);
        let with = |goes, comes| decide_with_chains(&packs, &freed, ChainTotals { blobs: 1, goes, comes }, &POLICY);
        assert!(with(50, 30).is_none() && with(60, 2).is_some());
    }

    #[test]
    fn what_is_used_for_no_good_reason_counts_as_unused() {
        let packs = [pack(1, 1000, 980), pack(2, 1000, 0)];
        let with = |excess| Policy { excess, ..POLICY };
        assert!(is_tolerated(&packs, &with(30)) && !is_tolerated(&packs, &with(31)));
        assert_eq!(fates(&packs, &with(30)), [Fate::Stays, Fate::Unused]);
        assert_eq!(fates(&packs, &with(31)), [Fate::Repacked, Fate::Unused]);
    }

    #[test]
    fn a_plan_has_no_more_packs_than_a_reader_takes() {
        let many = (0..limits::GC_PACKS as u64 + 5).map(|n| {
            let mut id = [0; 32];
            id[..8].copy_from_slice(&n.to_be_bytes());
            PackUse { id: PackId::from_bytes(id), ..pack(0, 10, 0) }
        });
        let decision = decide(many.collect(), &POLICY);
        assert_eq!(decision.condemned().len(), limits::GC_PACKS);
        assert_eq!(decision.totals(|fate| fate == Fate::Later).packs, 5);
    }

    #[test]
    fn the_order_in_which_packs_come_does_not_matter() {
        let mut packs = vec![pack(3, 1000, 500), pack(1, 1000, 500), pack(2, 1000, 500), pack(4, 5000, 5000)];
        let first = decide(packs.clone(), &POLICY);
        packs.reverse();
        assert_eq!(decide(packs, &POLICY), first);
    }
}
