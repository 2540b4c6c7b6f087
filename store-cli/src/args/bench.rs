use std::path::PathBuf;

use clap::Args;

/// What snap would make of your data: try it, no repository is needed
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  snap bench ./checkpoints                 a folder of versions: v01, v02; step-500, step-1000; 2026-01-31
  snap bench monday.sql tuesday.sql        versions, oldest first
  snap bench ./run --single --csv

Several paths are versions of one thing, oldest first. Up to 512 MiB are measured whole; of more a sample is, and figures carry an error (±)
that the whole keeps to in 19 of 20 cases. --full measures all of it. Nothing is written but an index in the cache folder, which is removed at the end.")]
pub(crate) struct Bench {
    /// The versions, oldest first; or one folder that holds them
    #[arg(value_name = "PATH", required = true)]
    pub(crate) paths: Vec<PathBuf>,
    /// Measure all bytes, however many there are
    #[arg(long, conflicts_with = "sample")]
    pub(crate) full: bool,
    /// Measure all of up to this many bytes, and code about as many of more, but 32 MiB of each version at least [default: 512MiB]
    #[arg(long, value_name = "SIZE")]
    pub(crate) sample: Option<String>,
    /// Draw another sample
    #[arg(long, value_name = "NUMBER", default_value_t = 0, hide_default_value = true)]
    pub(crate) seed: u64,
    /// Take a folder of versions as one version
    #[arg(long)]
    pub(crate) single: bool,
    /// Print comma-separated values
    #[arg(long, conflicts_with = "json")]
    pub(crate) csv: bool,
}
