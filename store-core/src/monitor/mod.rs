//! L3: how an operation tells of its progress while it runs, and learns that it should stop.

use std::fmt;
use std::ops::AddAssign;
use std::time::Duration;

use crate::blob::Weighed;

/// Counts of a running operation. All only grow, but for the totals, which become known while it runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Files (or objects) finished.
    pub files_done: u64,
    /// Files (or objects) there are, as far as is known.
    pub files_total: u64,
    /// Plain bytes worked through.
    pub bytes_done: u64,
    /// Plain bytes there are, as far as is known; 0 when nothing is.
    pub bytes_total: u64,
    /// Plain bytes that the repository did not hold yet (push), or that were written (restore).
    pub new_bytes: u64,
    /// Bytes written to the repository.
    pub stored_bytes: u64,
}

/// Something that went wrong with one file, which the operation goes on without.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// What it is about: a path, an object.
    pub item: String,
    /// What happened and what follows.
    pub message: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.item, self.message)
    }
}

/// Files that cost more than they need to, told of once for all of a kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// One of them.
    pub item: String,
    /// What they are.
    pub what: &'static str,
    /// How many there are.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// How to feed them better.
    pub advice: &'static str,
}

/// By what the chunks of a blob found the older ones that it may be coded against, each chunk counted once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BaseWays {
    /// The same place of the same tensor in the parent snapshot.
    pub parent: u64,
    /// The most values of a sketch in common.
    pub votes: u64,
    /// Standing behind the base of the chunk before.
    pub locality: u64,
    /// There is none.
    pub none: u64,
    /// Beside these: how many found one whose chain of differences can carry no more (`spec/CHAINS.md`), so that the blob is coded against older
    /// ones, or by itself.
    pub full: u64,
    /// And how many found one that was left out, since a restore would read too much for it.
    pub unpaid: u64,
}

impl AddAssign for BaseWays {
    fn add_assign(&mut self, other: Self) {
        let Self { parent, votes, locality, none, full, unpaid } = other;
        self.parent += parent;
        self.votes += votes;
        self.locality += locality;
        self.none += none;
        self.full += full;
        self.unpaid += unpaid;
    }
}

/// How one blob came to be coded as it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// The file that its first chunk was read from; empty for nodes.
    pub path: String,
    /// What it holds: a dtype's name, `plain` or `nodes`.
    pub what: &'static str,
    /// How many chunks it has.
    pub chunks: u64,
    /// Their bytes.
    pub plain: u64,
    /// Where its bases came from.
    pub bases: BaseWays,
    /// What was tried or estimated, in that order.
    pub weighed: Vec<Weighed>,
    /// What it was coded with; `None` where a measurement leaves it out of its sample.
    pub codec: Option<&'static str>,
    /// Which share of such blobs is coded: 1, but in a measurement.
    pub share: f64,
    /// What a measurement draws together has one number; 0 outside of it.
    pub unit: u64,
    /// Sealed bytes.
    pub stored: u64,
    /// Time of one core for the choice and the coding, without the search for bases.
    pub coding: Duration,
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, what, chunks, plain, bases, stored, .. } = self;
        write!(f, "blob  {what}  {chunks} chunks, {plain} B -> {stored} B {}", self.codec.unwrap_or("left out"))?;
        let ways = [("parent", bases.parent), ("votes", bases.votes), ("locality", bases.locality), ("none", bases.none)];
        for (i, (way, count)) in ways.into_iter().filter(|(_, count)| *count > 0).enumerate() {
            write!(f, "{}{way} {count}", if i == 0 { "; bases: " } else { ", " })?;
        }
        if bases.full > 0 {
            write!(f, "; chains of {} are full: coded against older ones, or by itself", bases.full)?;
        }
        if bases.unpaid > 0 {
            write!(f, "; those of {} left out: a restore would read too much", bases.unpaid)?;
        }
        for (i, weighed) in self.weighed.iter().enumerate() {
            let about = if weighed.estimated { "~" } else { "" };
            write!(f, "{}{} {about}{}", if i == 0 { "; weighed: " } else { ", " }, weighed.codec, weighed.bytes)?;
            if let Some(why) = weighed.refused {
                write!(f, " (not taken: {why})")?;
            }
        }
        if path.is_empty() { Ok(()) } else { write!(f, "; from {path}") }
    }
}

/// What an operation talks to while it runs. Calls come from several threads.
pub trait Monitor: Send + Sync {
    /// Whether anybody looks at the totals of [`progress`](Self::progress). Where nobody does, they are not worked out.
    fn wants_totals(&self) -> bool {
        false
    }

    /// Counts changed. Called often: a receiver draws when it likes.
    fn progress(&self, _progress: &Progress) {}

    /// A file was finished; `what` says how: `new`, `changed`, `unmodified`, `restored`, `deleted`.
    fn file(&self, _path: &str, _what: &'static str, _bytes: u64) {}

    /// Something went wrong that does not end the operation.
    fn warning(&self, _warning: &Warning) {}

    /// Something could be done better.
    fn notice(&self, _notice: &Notice) {}

    /// Whether decisions are to be told. Where nobody listens they are not put together.
    fn wants_decisions(&self) -> bool {
        false
    }

    /// A blob was coded.
    fn decision(&self, _decision: &Decision) {}

    /// What `-vv` shows besides: remarks on single files.
    fn detail(&self, _message: &dyn fmt::Display) {}

    /// Whether the operation should stop at the next good place, leaving the repository clean.
    fn interrupted(&self) -> bool {
        false
    }
}

/// Hears nothing and never interrupts.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Monitor for Silent {}
