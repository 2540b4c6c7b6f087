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
}
