//! `store-core`: everything that is true about a repository of `snap`, a content-addressed, deduplicating, delta-compressing,
//! encrypted snapshot store. What is true about a terminal, a process or a config file is in `store-cli`.
//!
//! The layers, and what each may touch, are in `ARCHITECTURE.md` beside this crate; every byte on disk is in `spec/`.

// L0: base
pub mod base;

// L1: pure codecs
pub mod chunking;
pub mod codec;
pub mod compressed;
pub mod crypto;
pub mod format;
pub mod sketch;
pub mod tensor;

// L2: pure logic
pub mod blob;
pub mod condition;
pub mod merkle;
pub mod notes;
pub mod plan;
pub mod retention;

// L3: ports
#[cfg(feature = "engine")]
pub mod backend;
#[cfg(feature = "engine")]
pub mod clock;
#[cfg(feature = "engine")]
pub mod error;
#[cfg(feature = "engine")]
pub mod index;
#[cfg(feature = "engine")]
pub mod monitor;
#[cfg(feature = "engine")]
pub mod process;
#[cfg(feature = "engine")]
pub mod rng;
#[cfg(feature = "engine")]
pub(crate) mod sealed_cache;

// L4: engine
#[cfg(feature = "engine")]
pub(crate) mod linux;
#[cfg(feature = "engine")]
pub mod pipeline;
#[cfg(feature = "engine")]
pub mod repo;
#[cfg(feature = "engine")]
pub mod sink;
#[cfg(feature = "engine")]
pub mod source;

// L5: operations
#[cfg(feature = "engine")]
pub mod ops;
