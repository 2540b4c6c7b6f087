//! What a policy says.

use std::fmt;

use super::{GroupBy, Period, Span};
use crate::condition::Condition;

/// Ordered rules. The first that matches a snapshot governs it; one that none matches is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// In their order.
    pub rules: Vec<Rule>,
    /// By what the groups are made whose newest snapshot is never dropped, and those of rules that say nothing else.
    pub group_by: GroupBy,
    /// How long forgotten snapshots stay in the trash, unless the command says otherwise.
    pub trash: Option<Span>,
    /// The name of the time zone whose calendar counts; without one each snapshot's own does.
    pub zone: Option<String>,
}

/// What is kept of the snapshots that it governs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// What it is called.
    pub name: Option<String>,
    /// Which snapshots it matches; `None`: all.
    pub matching: Option<Condition>,
    /// What of them is kept.
    pub windows: Windows,
    /// What windows of time end at.
    pub relative_to: RelativeTo,
    /// Within which groups the windows apply.
    pub group_by: GroupBy,
}

/// A snapshot in one of these is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Windows {
    /// All of them, or expressly none.
    pub all: Option<bool>,
    /// The newest so many.
    pub last: Option<Count>,
    /// Those in this time.
    pub within: Option<Span>,
    /// The newest of each of the last so many periods that have one, by [`Period::ALL`].
    pub counts: [Option<Count>; 5],
    /// The newest of each period in this time, by [`Period::ALL`].
    pub within_each: [Option<Span>; 5],
    /// The newest so many, whatever else is said.
    pub min_keep: Option<u32>,
    /// Those with all tags of one of these lists.
    pub tags: Vec<Vec<String>>,
}

/// How many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Count {
    /// So many.
    Of(u32),
    /// All.
    Unlimited,
}

/// What a window of time ends at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RelativeTo {
    /// The newest snapshot of the group, so that nothing is dropped because time passes.
    #[default]
    Latest,
    /// The present.
    Now,
    /// The present, and a snapshot counts from when the ref left it that the rule asks for with `was-ref`.
    Ref,
}

impl Count {
    /// Whether the `nth`, counted from 0, is among so many.
    pub(super) fn has(self, nth: usize) -> bool {
        match self {
            Self::Of(count) => nth < count as usize,
            Self::Unlimited => true,
        }
    }
}

impl Windows {
    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Rule {
    /// What it is called, with its number from 0.
    pub fn title(&self, number: usize) -> String {
        self.name.as_ref().map_or_else(|| format!("rule {}", number + 1), |name| format!("rule {} ({name})", number + 1))
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Of(count) => count.fmt(f),
            Self::Unlimited => f.write_str("unlimited"),
        }
    }
}

/// As the keys that say it: `keep-last 50, keep-within 7d`.
impl fmt::Display for Windows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        parts.extend(self.all.map(|all| format!("keep {all}")));
        parts.extend(self.last.map(|count| format!("keep-last {count}")));
        parts.extend(self.within.map(|span| format!("keep-within {span}")));
        for (period, count) in Period::ALL.iter().zip(self.counts) {
            parts.extend(count.map(|count| format!("keep-{} {count}", period.name())));
        }
        for (period, span) in Period::ALL.iter().zip(self.within_each) {
            parts.extend(span.map(|span| format!("keep-within-{} {span}", period.name())));
        }
        parts.extend(self.min_keep.map(|count| format!("min-keep {count}")));
        parts.extend(self.tags.iter().map(|tags| format!("keep-tag {}", tags.join(","))));
        f.write_str(&parts.join(", "))
    }
}
