//! `repair`: what is damaged is made good as far as that goes, and named where it does not (`spec/PROTOCOL.md`, sections 4 and 6).
//!
//! `index` makes index segments from packs, `sketches` what these lack, `notes` gives up notes that are lost. `packs` saves what can still be read of damaged packs
//! (`salvage` reads and copies it, `plan/repair` decides), after what is lost was fetched from a second repository (`heal`, as far as `missing` finds
//! it gone), if there is one; `snapshots` makes snapshots of what is left of broken ones (`remains` builds the
//! tree). No repair deletes anything that can still be read before it stands elsewhere.

mod heal;
mod index;
mod missing;
mod notes;
mod packs;
mod remains;
mod salvage;
mod sketches;
mod snapshots;
mod whole;

pub use heal::Healed;
pub use index::{Report, index};
pub use notes::{LostNotes, notes};
pub use packs::{PackLine, PacksOptions, PacksReport, find_pack, packs, packs_with};
pub use sketches::{SketchesReport, sketches};
pub use snapshots::{LostSnapshot, SnapshotFate, SnapshotLine, SnapshotsOptions, SnapshotsReport, find_lost, snapshots};
