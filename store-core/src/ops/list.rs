//! `list`: the snapshots, and which one somebody means.

pub use crate::repo::StoredSnapshot as Item;
