//! L1: the objects of a repository, one file each: bytes ↔ values, no keys and no disk. Byte layouts are in `spec/FORMAT.md`.

pub mod entry;
