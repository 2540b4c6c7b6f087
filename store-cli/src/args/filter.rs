//! Which snapshots are meant.

use clap::Args;

/// Narrow down the snapshots that a verb sees; `latest` is the latest of these.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Filters")]
pub(crate) struct Filters {
    /// Of this series
    #[arg(long, value_name = "SERIES")]
    pub(crate) series: Option<String>,
    /// With all of these labels, separated by commas; given again: or with all of those
    #[arg(long, value_name = "TAG[,TAG]")]
    pub(crate) tag: Vec<String>,
    /// Taken on this host
    #[arg(short = 'H', long, value_name = "HOST")]
    pub(crate) host: Option<String>,
    /// Of this path
    #[arg(long, value_name = "PATH")]
    pub(crate) path: Option<std::path::PathBuf>,
    /// Taken at this time or later: 2026-01-31, '2026-01-31 12:00', 2026-01-31T12:00:00Z, or 7d
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Taken at this time or earlier
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
    /// For which this holds, as in 'meta.loss < 0.5' or 'tag = best and not ref ~ v1*'; given again: and that
    #[arg(long = "where", value_name = "CONDITION")]
    pub(crate) conditions: Vec<String>,
}
