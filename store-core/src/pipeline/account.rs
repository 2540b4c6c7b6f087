//! What a restore of the snapshot at hand reads, blob by blob, beside what it would read if that snapshot were alone (`spec/CHAINS.md`, section 1).
//! Pure: it sees names of blobs and lengths.
//!
//! Chains know what reading a chunk takes by shares of blobs, as if all that stands beside it were asked for, too. Here each blob counts once, and
//! whole: so chunks that resemble a little of many old blobs do not bring all of these.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::chains::BlobKey;
use crate::base::units::KIB;
use crate::blob::{Chain, Charge, MOST_READS};
use crate::index::{Location, PackNumber, Reads};

/// Blobs that are remembered. Where there are more, some count twice.
const REMEMBERED: usize = 1 << 16;
/// Bytes that may be read beyond the bound: small files are like small parts of large blobs.
const SLACK: u64 = 256 * KIB as u64;

/// What the account asks of blobs that are held.
pub(super) trait Held {
    /// What reading all of a blob takes. `None` where it cannot be told.
    fn chain(&self, blob: BlobKey) -> Option<Chain>;

    /// Calls `found` for a blob and those that it rests on, with the stored bytes of each. Where it says no, what lies below that one is left out.
    fn walk(&self, blob: BlobKey, found: &mut dyn FnMut(BlobKey, u64) -> bool);
}

/// The account of one snapshot while it is made.
#[derive(Debug)]
pub(super) struct Account {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Packs from this number on came with the snapshot: what they hold counts as it is written.
    own: PackNumber,
    /// Whether much of the snapshot is never met, so that shares alone bound what is read.
    is_part: bool,
    blobs: HashMap<BlobKey, Met>,
    /// Blobs of which chunks were met that do not count yet.
    open: Vec<BlobKey>,
    /// Plain bytes of the snapshot, as far as is known, and how many of them went by without a look.
    expected: u64,
    passed: u64,
    /// Whether a folder did, with all that is in it.
    passed_folder: bool,
    /// Whether blobs were more than are remembered.
    has_forgotten: bool,
    /// Plain bytes that count.
    plain: u64,
    /// Stored bytes that a restore reads for them.
    reads: u64,
    /// Stored bytes that they take by themselves, as far as is known.
    alone: u64,
    /// Stored bytes that are read for files nobody looks at, we take it, and do not count.
    lent: u64,
    /// Groups that are being coded.
    drafts: HashMap<u64, Draft>,
}

/// What reading a blob adds.
struct Added {
    /// Stored bytes that count.
    stored: u64,
    /// Those that count for files that nobody looks at.
    lent: u64,
}

/// What a group that is being coded is likely to be entered with.
#[derive(Debug)]
struct Draft {
    /// Stored bytes that it takes of the credit.
    credit: u64,
    /// Blobs that are read for it and for nothing else so far.
    blobs: HashSet<BlobKey>,
}

/// What is known of a blob that came with an older snapshot.
#[derive(Debug, Clone, Copy, Default)]
struct Met {
    /// Plain bytes of it that the snapshot has.
    plain: u32,
    /// How many of them count.
    counted: u32,
    /// Plain bytes of it in place of which the snapshot has others.
    replaced: u32,
    /// Whether what it takes counts.
    is_read: bool,
}

/// What a snapshot's account comes to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sums {
    /// What a restore of what was met and written reads.
    pub(super) reads: Reads,
    /// Plain bytes that went by without a look; `None` where nobody knows how many.
    pub(super) passed: Option<u64>,
}

/// Whether a restore reads no more of a snapshot than it may, for what it would read if that were alone.
pub(super) fn is_within_bound(reads: Reads) -> bool {
    reads.all <= most_of(reads.alone)
}

/// Stored bytes that a restore may read of what takes so many alone.
pub(super) fn most_of(alone: u64) -> u64 {
    MOST_READS.saturating_mul(alone).saturating_add(SLACK)
}

/// Of what is written, and is coded against nothing or something.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entered {
    /// Plain bytes.
    pub(super) plain: u64,
    /// Stored bytes.
    pub(super) stored: u64,
    /// Stored bytes that it would take by itself.
    pub(super) alone: u64,
}

impl Account {
    /// An empty account; packs from the number `own` on come with the snapshot.
    pub(super) fn new(own: PackNumber) -> Self {
        Self { state: Mutex::new(State { own, ..State::default() }) }
    }

    /// One that may be overdrawn: of a snapshot that is not gone through as a whole, so that it lacks much of what is held.
    pub(super) fn of_a_part(own: PackNumber) -> Self {
        Self { state: Mutex::new(State { own, is_part: true, ..State::default() }) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The snapshot is likely to have so many plain bytes.
    pub(super) fn expect(&self, bytes: u64) {
        self.lock().expected = bytes;
    }

    /// So many plain bytes are taken over without a look.
    pub(super) fn pass(&self, bytes: u64) {
        self.lock().passed += bytes;
    }

    /// A folder is taken over with all that is in it.
    pub(super) fn pass_folder(&self) {
        self.lock().passed_folder = true;
    }

    /// The snapshot has chunks that were held already.
    pub(super) fn meet(&self, held: &[Location]) {
        let mut state = self.lock();
        for location in held {
            let key = (location.pack, location.ordinal);
            if state.is_own(key) {
                continue;
            }
            let met = state.met(key);
            let is_open = met.plain != met.counted;
            met.plain = met.plain.saturating_add(location.len);
            if !is_open {
                state.open.push(key);
            }
        }
    }

    /// The snapshot has others in place of these chunks of a small file. What stands beside them in their blobs is of other small files, which
    /// mostly stay as they are and are not looked at: so where these become bases, their shares count.
    pub(super) fn replace(&self, old: &[Location]) {
        let mut state = self.lock();
        for location in old {
            let met = state.met((location.pack, location.ordinal));
            met.replaced = met.replaced.saturating_add(location.len);
        }
    }

    /// What it costs to read these blobs, and those that they rest on, for the group with this number; what is read of them has this chain. Until
    /// something of the group is entered others cannot have the credit that this takes.
    pub(super) fn charge(&self, held: &dyn Held, group: u64, blobs: &[BlobKey], chain: Chain) -> Charge {
        let mut state = self.lock();
        state.count_met(held);
        let _ = state.drafts.remove(&group);
        let others: HashSet<BlobKey> = state.drafts.values().flat_map(|draft| &draft.blobs).copied().collect();
        let mut seen = others.clone();
        let (mut more, mut lent) = (0, state.lent);
        for blob in blobs {
            let added = state.added(held, *blob, &mut seen, lent);
            more += added.stored;
            lent += added.lent;
        }
        seen.retain(|key| !others.contains(key));
        let credit = state.credit(chain);
        let _ = state.drafts.insert(group, Draft { credit: more.saturating_sub(MOST_READS * chain.whole), blobs: seen });
        Charge { more, credit }
    }

    /// What it comes to, once all was met and written.
    pub(super) fn sums(&self, held: &dyn Held) -> Sums {
        let mut state = self.lock();
        state.count_met(held);
        // What was lent is read for what went by without a look, if anything did.
        let lent = if state.passed == 0 { state.lent } else { 0 };
        let reads = Reads { all: state.reads + lent, alone: state.alone, plain: state.plain, credit: 0 };
        Sums { reads, passed: (!state.passed_folder && !state.has_forgotten).then_some(state.passed) }
    }

    /// A blob of a group is written that is coded against chunks of `blobs`.
    pub(super) fn enter(&self, held: &dyn Held, group: u64, blobs: &[BlobKey], new: Entered) {
        let mut state = self.lock();
        let _ = state.drafts.remove(&group);
        blobs.iter().for_each(|blob| state.read(held, *blob));
        state.plain += new.plain;
        state.reads += new.stored;
        state.alone += new.alone;
    }
}

impl State {
    fn is_own(&self, (pack, _): BlobKey) -> bool {
        pack >= self.own
    }

    fn met(&mut self, key: BlobKey) -> &mut Met {
        if self.blobs.len() >= REMEMBERED {
            self.blobs.clear();
            self.open.clear();
            self.has_forgotten = true;
        }
        self.blobs.entry(key).or_default()
    }

    fn is_read(&self, key: BlobKey) -> bool {
        self.blobs.get(&key).is_some_and(|met| met.is_read)
    }

    /// What reading a blob adds, with all that it rests on, beside what is `seen`, to which it adds what counts by that; `lent` was before.
    fn added(&self, held: &dyn Held, blob: BlobKey, seen: &mut HashSet<BlobKey>, lent: u64) -> Added {
        let mut stored = 0;
        held.walk(blob, &mut |key, len| {
            let is_more = !self.is_own(key) && !self.is_read(key) && seen.insert(key);
            stored += if is_more { len } else { 0 };
            is_more
        });
        let replaced = self.blobs.get(&blob).map_or(0, |met| met.replaced);
        let chain = if replaced > 0 && stored > 0 { held.chain(blob) } else { None };
        // No more is lent than files that nobody looks at can pay for.
        let others = |chain: Chain| stored.saturating_sub(chain.share(replaced.into()).reads);
        let can_lend = |chain: Chain, more: u64| lent + more <= chain.whole_of(self.expected);
        let more = chain.map_or(0, |chain| Some(others(chain)).filter(|more| can_lend(chain, *more)).unwrap_or(0));
        Added { stored: stored - more, lent: more }
    }

    /// Counts a blob, and all that it rests on.
    fn read(&mut self, held: &dyn Held, blob: BlobKey) {
        let mut seen = HashSet::new();
        let added = self.added(held, blob, &mut seen, self.lent);
        self.reads += added.stored;
        self.lent += added.lent;
        seen.into_iter().for_each(|key| self.met(key).is_read = true);
    }

    /// Counts what was met. It is put off until somebody asks: most pushes bring nothing that resembles anything.
    fn count_met(&mut self, held: &dyn Held) {
        for key in std::mem::take(&mut self.open) {
            let (Some(chain), Some(met)) = (held.chain(key), self.blobs.get_mut(&key)) else { continue };
            // A chunk that is there more than once counts once.
            let new = u64::from(met.plain).min(chain.plain).saturating_sub(met.counted.into());
            met.counted = met.plain;
            self.plain += new;
            self.alone += chain.share(new).whole;
            self.read(held, key);
        }
    }

    /// Stored bytes that may be read in addition to the bound of what comes next, which is like what has this chain. What is read for one group is
    /// mostly read for later ones, too: so of what is to come the half counts by now. Where it needs something else, it is written whole, and that is
    /// the other half.
    fn credit(&self, next: Chain) -> i64 {
        if self.is_part {
            return i64::MAX;
        }
        let left = self.expected.saturating_sub(self.passed + self.plain);
        let like = Chain { plain: self.plain + next.plain, whole: self.alone + next.whole, ..Chain::default() };
        let most = MOST_READS * self.alone + MOST_READS * like.whole_of(left) / 2 + SLACK;
        let taken = self.reads + self.drafts.values().map(|draft| draft.credit).sum::<u64>();
        most as i64 - taken as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Blobs of 1000 plain bytes, with what each takes and rests on.
    struct Table(HashMap<BlobKey, (u64, Vec<BlobKey>)>);

    impl Table {
        fn new(blobs: &[(BlobKey, u64, &[BlobKey])]) -> Self {
            Self(blobs.iter().map(|(key, stored, below)| (*key, (*stored, below.to_vec()))).collect())
        }
    }

    impl Held for Table {
        fn chain(&self, blob: BlobKey) -> Option<Chain> {
            let (stored, below) = self.0.get(&blob)?;
            match below.first() {
                None => Some(Chain::start(1000, *stored)),
                Some(base) => Some(Chain::longer(self.chain(*base)?, 1000, *stored)),
            }
        }

        fn walk(&self, blob: BlobKey, found: &mut dyn FnMut(BlobKey, u64) -> bool) {
            let (stored, below) = &self.0[&blob];
            if found(blob, *stored) {
                below.iter().for_each(|base| self.walk(*base, found));
            }
        }
    }

    const NONE: Chain = Chain { plain: 0, reads: 0, last: 0, whole: 0 };
    const OWN: PackNumber = 9;

    fn at(pack: PackNumber, ordinal: u32, len: u32) -> Location {
        Location { pack, ordinal, start: 0, len, depth: 0 }
    }

    fn more(account: &Account, held: &Table, blobs: &[BlobKey]) -> u64 {
        account.charge(held, 0, blobs, NONE).more
    }

    fn credit(account: &Account, held: &Table) -> i64 {
        account.charge(held, 0, &[], NONE).credit - SLACK as i64
    }

    #[test]
    fn each_blob_counts_once_with_all_that_it_rests_on() {
        let held = Table::new(&[((1, 0), 500, &[]), ((1, 1), 400, &[]), ((2, 0), 30, &[(1, 0), (1, 1)]), ((3, 0), 20, &[(2, 0), (1, 1)])]);
        let account = Account::new(OWN);
        assert_eq!(more(&account, &held, &[(1, 0)]), 500);
        assert_eq!(more(&account, &held, &[(2, 0), (3, 0), (1, 1)]), 950);
        account.enter(&held, 0, &[(2, 0)], Entered { plain: 1000, stored: 10, alone: 600 });
        assert_eq!((more(&account, &held, &[(3, 0)]), more(&account, &held, &[(1, 1)])), (20, 0));
        assert_eq!(credit(&account, &held), 2 * 600 - 10 - 930);
    }

    #[test]
    fn what_was_held_pays_by_its_share_and_costs_all() {
        let held = Table::new(&[((1, 0), 500, &[]), ((2, 0), 30, &[(1, 0)])]);
        let account = Account::new(OWN);
        account.meet(&[at(2, 0, 200), at(2, 0, 200), at(OWN, 0, 1000)]);
        assert_eq!(credit(&account, &held), 2 * 500 * 4 / 10 - 530);
        // The same chunk again and again, of which nobody knows that it is the same.
        account.meet(&[at(2, 0, 900), at(2, 0, 900)]);
        assert_eq!((credit(&account, &held), more(&account, &held, &[(1, 0)])), (2 * 500 - 530, 0));
        assert_eq!(credit(&account, &held), 2 * 500 - 530, "once");
    }

    #[test]
    fn what_came_with_the_snapshot_counts_as_it_is_written() {
        let held = Table::new(&[((OWN, 0), 500, &[]), ((OWN, 1), 10, &[(OWN, 0)])]);
        let account = Account::new(OWN);
        account.enter(&held, 0, &[], Entered { plain: 1000, stored: 500, alone: 500 });
        assert_eq!(more(&account, &held, &[(OWN, 1), (OWN, 0)]), 0);
        assert_eq!(credit(&account, &held), 500);
    }

    #[test]
    fn where_small_files_have_changed_the_share_of_the_old_ones_counts() {
        let held = Table::new(&[((1, 0), 500, &[]), ((2, 0), 30, &[(1, 0)])]);
        let account = Account::new(OWN);
        account.replace(&[at(2, 0, 100)]);
        assert_eq!(more(&account, &held, &[(2, 0)]), 530, "there are no others");
        account.expect(1000);
        account.pass(1000);
        assert_eq!(credit(&account, &held), 0, "nothing is read for that alone");
        assert_eq!(more(&account, &held, &[(2, 0)]), 53);
        assert_eq!(more(&account, &held, &[(1, 0)]), 500, "that was replaced long before");
        account.enter(&held, 0, &[(2, 0)], Entered { plain: 100, stored: 1, alone: 50 });
        assert_eq!((credit(&account, &held), more(&account, &held, &[(2, 0), (1, 0)])), (2 * 50 - 1 - 53, 0));
    }

    #[test]
    fn its_sums_are_those_of_all_that_was_looked_at() {
        let held = Table::new(&[((1, 0), 500, &[]), ((2, 0), 30, &[(1, 0)])]);
        let account = Account::new(OWN);
        account.meet(&[at(2, 0, 200)]);
        account.replace(&[at(2, 0, 100)]);
        account.expect(1000);
        account.enter(&held, 0, &[(2, 0)], Entered { plain: 100, stored: 1, alone: 50 });
        // What was lent is read all the same: nothing went by that could pay for it.
        assert_eq!(account.sums(&held), Sums { reads: Reads { all: 531, alone: 150, plain: 300, credit: 0 }, passed: Some(0) });
        account.pass(400);
        assert_eq!(account.sums(&held).passed, Some(400));
        account.pass_folder();
        assert_eq!(account.sums(&held).passed, None);
    }

    #[test]
    fn what_one_group_may_take_another_one_cannot() {
        let held = Table::new(&[((1, 0), 500, &[]), ((1, 1), 300, &[])]);
        let account = Account::new(OWN);
        let like_them = Chain { plain: 1000, whole: 250, ..NONE };
        assert_eq!(account.charge(&held, 1, &[(1, 0)], like_them), Charge { more: 500, credit: SLACK as i64 });
        assert_eq!(credit(&account, &held), 0, "that is what it pays itself");
        assert_eq!(account.charge(&held, 1, &[(1, 0), (1, 1)], like_them).more, 800);
        assert_eq!(credit(&account, &held), -300);
        assert_eq!(account.charge(&held, 1, &[(1, 0)], NONE).credit, SLACK as i64, "its own");
        account.enter(&held, 1, &[], Entered { plain: 1000, stored: 250, alone: 250 });
        assert_eq!(credit(&account, &held), 250, "it did without");
    }

    #[test]
    fn what_is_to_come_pays_in_advance() {
        let held = Table::new(&[((1, 0), 500, &[])]);
        let account = Account::new(OWN);
        let next = Chain { plain: 1 << 20, whole: 1 << 18, ..NONE };
        let credit = || account.charge(&held, 0, &[], next).credit;
        assert_eq!(credit(), 256 << 10, "nobody knows");
        account.expect(80 << 20);
        assert_eq!(credit(), (20 << 20) + (256 << 10));
        account.pass(40 << 20);
        assert_eq!(credit(), (10 << 20) + (256 << 10));
        // That was less than was thought.
        account.enter(&held, 0, &[], Entered { plain: 39 << 20, stored: 100, alone: 100 });
        assert_eq!(credit(), 100 + (100 + (1 << 18)) / 40 + (256 << 10));
    }
}
