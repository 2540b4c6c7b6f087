//! The real binary as people and scripts use it.

#![allow(clippy::unwrap_used, reason = "a test may stop anywhere")]

mod bench;
mod codes;
mod copy;
mod forget;
mod harness;
mod heal;
mod interrupt;
mod keys;
mod notices;
mod output;
mod prune;
mod repair;
mod restore;
mod settings;
mod streams;
mod tag;
