//! Repairs of real damage: every pack spoilt in many ways, what could be read before can be read after, what is lost is named, and pushing the
//! same data again makes all whole, on this host and on one that has never seen the repository.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../disk/damaged.rs"]
mod damaged;
#[path = "../disk/mod.rs"]
mod disk;
mod keys;
mod packs;
#[path = "../rig/mod.rs"]
mod rig;
mod run;
mod sketches;
mod snapshots;
#[path = "../disk/tiny.rs"]
mod tiny;
#[path = "../disk/tricky.rs"]
mod tricky;
