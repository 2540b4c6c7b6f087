//! What a chain of differences costs whoever reads it, and when a chunk is written whole again (`spec/CHAINS.md`).

/// A restore reads at most so many times the bytes that the same chunks would take by themselves.
pub const MOST_READS: u64 = 2;

/// What reading some plain bytes takes. Of what blobs hold for others, too, these have their share, so that the sums over a snapshot are
/// what a restore of all of it reads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Chain {
    /// The plain bytes.
    pub plain: u64,
    /// Stored bytes that are read: their own, and those of all that they are coded against, one upon the other.
    pub reads: u64,
    /// Stored bytes of the last difference alone; 0 where there is none.
    pub last: u64,
    /// Stored bytes that they would take by themselves, as far as the starts of their chains tell.
    pub whole: u64,
}

/// What a snapshot pays for reading some bases, where each blob counts once, and whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Charge {
    /// Stored bytes that are read for these bases and for nothing else so far.
    pub more: u64,
    /// Stored bytes that may be read beyond the bound of what is coded against them; below 0 where less may.
    pub credit: i64,
}

impl Charge {
    /// Whether the snapshot can pay for a difference of `stored` bytes from these bases in place of `whole` bytes for the same by itself, which
    /// would be read, too.
    pub fn is_paid(self, stored: u64, whole: u64) -> bool {
        let reads = self.more + stored;
        reads <= whole || i128::from(reads) <= i128::from(MOST_READS * whole) + i128::from(self.credit)
    }
}

impl Chain {
    /// That of a blob which is coded against nothing.
    pub fn start(plain: u64, stored: u64) -> Self {
        Self { plain, reads: stored, last: 0, whole: stored }
    }

    /// That of a blob which is coded against `bases`.
    pub fn longer(bases: Self, plain: u64, stored: u64) -> Self {
        Self { plain, reads: bases.at_most(plain).reads + stored, last: stored, whole: scaled(bases.whole, plain, bases.plain) }
    }

    /// That of bases, as it counts for `plain` bytes. Where bases have more bytes than is coded against them, the rest is mostly what stands beside
    /// them, and is read for others all the same.
    pub fn at_most(self, plain: u64) -> Self {
        if self.plain > plain { self.share(plain) } else { self }
    }

    /// That of bases of another kind, as it counts for the `plain` bytes which are coded against all of them.
    pub fn of_another_kind(self, plain: u64) -> Self {
        Self { plain, whole: scaled(self.whole, plain, self.plain), ..self }
    }

    /// The share of `plain` of its plain bytes.
    pub fn share(self, plain: u64) -> Self {
        let of = |bytes| scaled(bytes, plain, self.plain);
        Self { plain, reads: of(self.reads), last: of(self.last), whole: of(self.whole) }
    }

    /// What so many bytes like these take by themselves.
    pub fn whole_of(self, plain: u64) -> u64 {
        scaled(self.whole, plain, self.plain)
    }

    /// Both together.
    pub fn and(self, other: Self) -> Self {
        Self {
            plain: self.plain + other.plain,
            reads: self.reads + other.reads,
            last: self.last + other.last,
            whole: self.whole + other.whole,
        }
    }

    /// Whether a restore reads no more than it may.
    pub fn is_within_bound(self) -> bool {
        self.reads <= MOST_READS * self.whole
    }

    /// Whether one more difference like the last one is likely to leave the chain within what a restore may read.
    pub fn goes_on(self) -> bool {
        self.reads + self.last <= MOST_READS * self.whole
    }

    /// Whether a difference of `stored` bytes from this may be written in place of `whole` bytes for the same by itself.
    pub fn carries(self, stored: u64, whole: u64) -> bool {
        self.reads + stored <= MOST_READS * whole
    }

    /// Stored bytes by which its start may grow until a restore would read too much.
    pub fn room(self) -> u64 {
        (MOST_READS * self.whole).saturating_sub(self.reads)
    }

    /// Stored bytes that a version takes on average from now to the next jump, if `stored` bytes are written upon this, then as many differences
    /// of `step` bytes as a restore may read and `steps` allows. `None` if a restore would read too much at once.
    pub fn a_version(self, stored: u64, step: u64, steps: u8) -> Option<u64> {
        let room = (MOST_READS * self.whole).checked_sub(self.reads + stored)?;
        let steps = (room / step.max(1)).min(steps.into());
        Some((stored + steps * step) / (steps + 1))
    }

    /// The same, if it is written whole.
    pub fn a_version_of_a_start(self, step: u64, steps: u8) -> u64 {
        let start = Self { reads: 0, ..self };
        start.a_version(self.whole, step, steps).unwrap_or(self.whole)
    }
}

/// `bytes * part / of`, for lengths of bytes.
fn scaled(bytes: u64, part: u64, of: u64) -> u64 {
    (u128::from(bytes) * u128::from(part) / u128::from(of.max(1))) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_goes_on_until_its_differences_take_what_its_start_does() {
        let mut chain = Chain::start(1000, 600);
        let mut differences = 0;
        while chain.goes_on() {
            chain = Chain::longer(chain, 1000, 150);
            differences += 1;
        }
        assert_eq!((differences, chain.reads), (4, 1200));
        assert_eq!((chain.room(), Chain::start(1000, 600).room()), (0, 600));
        assert!(!chain.carries(1, 600) && Chain::start(1000, 600).carries(600, 600));
    }

    #[test]
    fn a_snapshot_pays_once_for_what_it_reads() {
        let is_paid = |stored, more, credit| Charge { more, credit }.is_paid(stored, 600);
        assert!(is_paid(1200, 0, 0) && !is_paid(1201, 0, 0));
        assert!(is_paid(100, 1101, 1) && !is_paid(100, 1101, 0));
        assert!(is_paid(200, 500, -500) && !is_paid(200, 500, -501));
        assert!(is_paid(100, 500, -5000), "no more than without");
    }

    #[test]
    fn shares_add_up() {
        let blob = Chain::longer(Chain::start(2000, 1000), 1000, 30);
        assert_eq!(blob, Chain { plain: 1000, reads: 530, last: 30, whole: 500 });
        assert_eq!(blob.share(400).and(blob.share(600)), blob);
    }

    #[test]
    fn a_jump_is_weighed_by_what_it_leaves_room_for() {
        // A start of 660 and four differences of 150: full.
        let chain = Chain { plain: 1000, reads: 1260, last: 150, whole: 660 };
        let start = Chain::start(1000, 660);
        assert!(!chain.goes_on() && chain.a_version(150, 150, 8).is_none());
        assert_eq!(start.a_version(300, 150, 8), Some((300 + 2 * 150) / 3));
        assert_eq!(start.a_version(300, 150, 1), Some(225));
        assert_eq!(chain.a_version_of_a_start(150, 8), (660 + 4 * 150) / 5);
    }
}
