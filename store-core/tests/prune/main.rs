//! Pruning: what nobody needs goes, all else stays, whoever does what meanwhile.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../disk/mod.rs"]
mod disk;
mod plans;
mod readers;
#[path = "../rig/mod.rs"]
mod rig;
mod space;
#[path = "../disk/tiny.rs"]
mod tiny;
#[path = "../disk/tricky.rs"]
mod tricky;
mod versions;
mod writers;
