use clap::{Args, Subcommand};

/// Rebuild what can be rebuilt
#[derive(Debug, Args)]
pub(crate) struct Repair {
    #[command(subcommand)]
    pub(crate) action: RepairAction,
}

/// What is rebuilt.
#[derive(Debug, Clone, Copy, Subcommand)]
pub(crate) enum RepairAction {
    /// Rebuild the index from the packs
    Index,
    /// Give up notes that are lost and of which there is no copy: what is forgotten comes back. Says which, until --execute
    Notes {
        /// Do it
        #[arg(long)]
        execute: bool,
    },
}
