//! L1: the objects of a repository, one file each: bytes ↔ values, no disk. Byte layouts are in `spec/FORMAT.md`.

pub mod blob;
pub mod catalogue;
pub mod config;
pub mod copied;
pub mod entry;
pub mod envelope;
pub mod gc;
pub mod keyslot;
pub mod lost;
pub mod node;
pub mod note;
pub mod pack;
pub mod probe;
pub mod record;
pub mod segment;
pub mod session;
pub mod snapshot;
