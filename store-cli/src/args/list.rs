use clap::Args;

use super::Filters;

/// List snapshots, oldest first
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  snap list --series cet-d
  snap list --where 'meta.loss < 0.5' --since 30d
  snap list --json | jq -r .id")]
pub(crate) struct List {
    #[command(flatten)]
    pub(crate) filters: Filters,
}
