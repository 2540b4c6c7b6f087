use std::ffi::OsString;

use clap::Args;

use super::Filters;

/// Write a file to standard output, or a folder as tar
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  snap dump --series app latest:app.sql | psql app
  snap dump v017 | tar -x -C ./checkpoint")]
pub(crate) struct Dump {
    /// SNAP[:PATH]
    #[arg(value_name = "SNAPPATH")]
    pub(crate) place: OsString,
    #[command(flatten)]
    pub(crate) filters: Filters,
}
