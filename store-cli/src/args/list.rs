use clap::Args;

use super::Filters;

/// List snapshots, oldest first
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  snap list --series cet-d
  snap list --where 'meta.loss < 0.5' --since 30d
  snap list --forgotten
  snap list --json | jq -r .id")]
pub(crate) struct List {
    /// What is forgotten, until a prune drops it: `snap forget --undo` brings it back
    #[arg(long)]
    pub(crate) forgotten: bool,
    /// Where each ref points, and where it pointed before
    #[arg(long, conflicts_with = "forgotten")]
    pub(crate) refs: bool,
    #[command(flatten)]
    pub(crate) filters: Filters,
}
