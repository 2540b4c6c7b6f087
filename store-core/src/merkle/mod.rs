//! L2: Merkle lists: directories and files are one structure (`spec/FORMAT.md`, section 8). Nodes come and go through callbacks; nothing here reads a disk.

mod build;
mod cursor;
mod diff;

#[cfg(test)]
mod tests;

pub use build::{Emit, EntriesBuilder, ExtentsBuilder};
pub use cursor::{EntriesCursor, EntriesHead, ExtentsCursor, MerkleError, NodeSource};
pub use diff::{EntriesDiff, EntryPair, diff_entries};
