//! `store-core`: everything that is true about a repository of `snap`, a content-addressed, deduplicating, delta-compressing,
//! encrypted snapshot store. What is true about a terminal, a process or a config file is in `store-cli`.
//!
//! The layers, and what each may touch, are in `ARCHITECTURE.md` beside this crate; every byte on disk is in `spec/`.

// L0: base
pub mod base;

// L1: pure codecs
pub mod codec;
pub mod format;
pub mod tensor;

// L3: ports, L4: engine
#[cfg(feature = "engine")]
pub(crate) mod linux;
#[cfg(feature = "engine")]
pub mod sink;
#[cfg(feature = "engine")]
pub mod source;
