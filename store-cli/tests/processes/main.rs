//! The real program as a process among others: killed at each of its system calls, watched in what it syncs and when, on a disk that is
//! full, and many at once that are killed and stopped at any moment. Nothing that was reported is ever lost.
//!
//! Usual runs are short. [RELIABILITY.md](../../../spec/RELIABILITY.md) has the commands for more.

#![allow(clippy::unwrap_used, reason = "a test may stop anywhere")]

mod audit;
mod full;
mod kills;
mod linkless;
mod melee;
mod place;
mod trace;
