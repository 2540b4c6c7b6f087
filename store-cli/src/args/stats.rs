use clap::Args;

use super::Filters;

/// Logical, unique and stored bytes, by codec and by kind, and what each snapshot alone holds
#[derive(Debug, Args)]
#[command(
    after_help = "Sizes are what blobs take as they are coded. What other codecs would have taken is not recorded: push -vv says of each blob that it
writes what was weighed, by how much, and why a cheaper one was not taken; bench tries codecs on data."
)]
pub(crate) struct Stats {
    /// Only these snapshots [default: all]
    #[arg(value_name = "SNAP")]
    pub(crate) snaps: Vec<String>,
    #[command(flatten)]
    pub(crate) filters: Filters,
}
