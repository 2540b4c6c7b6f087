//! L4: from files to chunks in packs: read, cut, name, look up, group, code, write, on all cores and within a memory budget.
//!
//! A *feeder* thread walks the source in order and hands pieces of files to the worker pool; the *assembler* takes the results in the same
//! order, builds the Merkle lists and groups new chunks into blobs, which the pool codes and the pack writer writes. Two budgets hold memory:
//! bytes read and not yet assembled, and bytes on their way through the coders. Neither waits for the other, so none can block both.

mod assemble;
mod budget;
mod cut;
mod feed;
mod known;
mod store;

pub use assemble::{Assembled, Assembler};
pub use budget::{Budget, Permit};
pub use feed::{Feed, Item, feed_stream, feed_tree};
pub use known::KnownChunks;
pub use store::BlobStore;
