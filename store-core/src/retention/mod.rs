//! L2: which snapshots a retention policy keeps, and why (`spec/RETENTION.md`).
//!
//! [`Policy`] is what somebody wants, as TOML or made of flags; [`decide`] applies it to snapshots and gives a [`Plan`]: a decision with its
//! reason for each of them, and what forbids carrying it out. Nothing here reads a clock, drops a snapshot, or knows a repository: `now` is
//! given, and windows are measured on the times that snapshots have recorded.

mod calendar;
mod decide;
mod group;
mod parse;
mod policy;
mod select;
mod span;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod year;

pub use calendar::{Calendar, Period, PeriodError};
pub use decide::{Decision, Plan, Reason, Refusal, SKEW, Situation, decide};
pub use group::{GroupBy, GroupError};
pub use parse::PolicyError;
pub use policy::{Count, Policy, RelativeTo, Rule, Windows};
pub use select::newest_of_periods;
pub use span::{Span, SpanError};
