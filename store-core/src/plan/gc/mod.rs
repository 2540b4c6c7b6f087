//! The decisions of a prune (`spec/PROTOCOL.md`, section 5): what is needed (`mark`), what takes more than it would if only what is kept had been
//! pushed (`trial`), what is coded anew and what goes with that (`rewriting`), which packs go and which are rewritten (`decide`), when a session
//! is no longer waited for (`fence`), whose turn it is where a store cannot decide (`turn`), and what comes next, given which records there are (`step`). Nothing here reads or writes.

mod blobs;
mod decide;
mod fence;
mod mark;
mod rewriting;
mod step;
mod trial;
mod turn;

pub use blobs::BlobSet;
pub use decide::{ChainTotals, Decision, Fate, PackUse, Policy, Totals, decide, decide_with_chains, deleted, is_tolerated};
pub use fence::{Fencing, SessionView, fence};
pub use mark::{BlobPlaces, MarkError, Marks, Needed, Place, Standing};
pub use rewriting::{Rewriting, Supported, used};
pub use step::{Step, condemned, next_step};
pub use trial::{Excess, Sample, Sampled, Strand, Whole};
pub use turn::{has_turn, may_take_away};
