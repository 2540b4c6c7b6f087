//! The real binary as people and scripts use it.

#![allow(clippy::unwrap_used, reason = "a test may stop anywhere")]

mod bench;
#[cfg(feature = "object")]
mod bucket;
#[cfg(feature = "object")]
mod bucket_cache;
#[cfg(feature = "object")]
mod bucket_figures;
mod cacheless;
mod codes;
mod copy;
mod copy_to;
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
#[cfg(feature = "object")]
#[path = "../s3/mod.rs"]
mod s3;
mod settings;
mod streams;
mod tag;
