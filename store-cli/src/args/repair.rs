use clap::{Args, Subcommand};
use store_core::retention::Span;

use super::{Filters, From};

/// Make good what is damaged, as far as that goes, and name what is lost
#[derive(Debug, Args)]
#[command(after_help = "After damage, in this order:
  snap check --read-data            what is damaged, and which files it hits
  snap repair index --execute       only if index segments are damaged
  snap repair packs --execute       save what can still be read of damaged packs; with --from REPO, write again what another repository has
  snap push …                       the same data again, where it is still there: what was lost is whole again, in old snapshots, too
  snap repair snapshots --execute   only for what cannot be pushed again
  snap check --read-data

Without --execute each repair says what it would do, and writes nothing. Nothing that can still be read is deleted before it stands elsewhere.")]
pub(crate) struct Repair {
    #[command(subcommand)]
    pub(crate) action: RepairAction,
}

/// What is repaired.
#[derive(Debug, Subcommand)]
pub(crate) enum RepairAction {
    /// Rebuild the index from the packs. Says what that adds, until --execute
    Index {
        /// Do not read the newest snapshots of packs without sketches: later versions may then take more
        #[arg(long)]
        no_sketches: bool,
        /// Do it
        #[arg(long)]
        execute: bool,
    },
    /// Save what can still be read of damaged packs, and have the rest stored again by the next push of the same data
    Packs(Box<RepairPacks>),
    /// Make snapshots of what is left of broken ones, which go to the trash
    Snapshots(Box<RepairSnapshots>),
    /// Give up notes that are lost and of which there is no copy: what is forgotten comes back. Says which, until --execute
    Notes {
        /// Do it
        #[arg(long)]
        execute: bool,
    },
}

/// Which packs.
#[derive(Debug, Args)]
#[command(after_help = "Without --execute the plan is printed and nothing is written. Exits with 15 as long as something is lost.

With --from what is lost here is looked for in a second repository that has copies of the snapshots, or pushes of the same files. It has keys of its own, so
what it gives is compared with the ids under which it is missed here before it is written; what it lacks stays lost, and is named.")]
pub(crate) struct RepairPacks {
    /// These packs besides those that `check` found damaged on this host: names, or 4 or more digits of them
    #[arg(value_name = "ID")]
    pub(crate) packs: Vec<String>,
    /// Read all packs first
    #[arg(long)]
    pub(crate) read_data: bool,
    /// Do it
    #[arg(long)]
    pub(crate) execute: bool,
    #[command(flatten)]
    pub(crate) from: From,
}

/// Which snapshots.
#[derive(Debug, Args)]
#[command(after_help = "Without --execute the plan is printed, with every file that is lost, and nothing is written.

What is left of a snapshot becomes a snapshot with the tag `repaired`. Files of which anything is lost are left out of it and named when it is
restored, which then exits with 3. The broken snapshot goes to the trash: when the same data was pushed again, `forget --undo` brings it back whole.")]
pub(crate) struct RepairSnapshots {
    /// Only these
    #[arg(value_name = "SNAP")]
    pub(crate) snaps: Vec<String>,
    /// Read all packs first, to know all that is lost
    #[arg(long)]
    pub(crate) read_data: bool,
    /// How long broken snapshots can be brought back; 0d: not at all [default: 7d]
    #[arg(long, value_name = "SPAN")]
    pub(crate) trash: Option<Span>,
    /// Do it
    #[arg(long)]
    pub(crate) execute: bool,
    #[command(flatten)]
    pub(crate) filters: Filters,
}
