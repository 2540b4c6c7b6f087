//! The decisions of a prune (`spec/PROTOCOL.md`, section 5): what is needed (`mark`), which chains are coded anew so that older
//! chunks can go (`lineage`), which packs go and which are rewritten (`decide`), when a session is no longer waited for (`fence`), and what comes next, given which records there are (`step`). Nothing here reads or writes.

mod decide;
mod fence;
mod lineage;
mod mark;
mod step;

pub use decide::{Decision, Fate, PackUse, Policy, Totals, decide, decide_with_chains, deleted};
pub use fence::{Fencing, SessionView, fence};
pub use lineage::{BlobSet, Chosen, Lineage, LineageFinder, Lineages, Rewriting};
pub use mark::{BlobPlaces, MarkError, Marks, Needed, Place, Standing};
pub use step::{Step, condemned, next_step};
