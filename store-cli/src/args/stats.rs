use clap::Args;

use super::Filters;

/// Logical, unique and stored bytes, by codec and by kind, and what each snapshot alone holds
#[derive(Debug, Args)]
pub(crate) struct Stats {
    /// Only these snapshots [default: all]
    #[arg(value_name = "SNAP")]
    pub(crate) snaps: Vec<String>,
    #[command(flatten)]
    pub(crate) filters: Filters,
}
