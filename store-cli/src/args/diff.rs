use std::ffi::OsString;

use clap::Args;

use super::Filters;

/// Compare two snapshots, or a snapshot and a folder
#[derive(Debug, Args)]
#[command(
    after_help = "The second side is a folder if it is `.`, `..`, begins with `./`, `../` or `/`, or contains a `/` and no `:` and is there; else it is a snapshot.
What a push leaves out of a folder by itself, or by snap.toml, is left out here, too.
Without a second side, a snapshot is compared with its parent.

Signs: + added, - removed, M content changed, T another kind of entry, U only metadata changed.

Examples:
  snap diff latest~1 latest --tensors
  snap diff latest ./checkpoint --stat"
)]
pub(crate) struct Diff {
    /// SNAP[:PATH]
    #[arg(value_name = "SNAPPATH")]
    pub(crate) from: OsString,
    /// SNAP[:PATH], or a folder
    #[arg(value_name = "SNAPPATH or DIR")]
    pub(crate) to: Option<OsString>,
    /// Only counts
    #[arg(long)]
    pub(crate) stat: bool,
    /// Mode, owner, times and attributes as well
    #[arg(long)]
    pub(crate) metadata: bool,
    /// The tensors of weights files, and how far their values moved
    #[arg(long, conflicts_with = "metadata")]
    pub(crate) tensors: bool,
    #[command(flatten)]
    pub(crate) filters: Filters,
}
