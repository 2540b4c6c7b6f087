use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;
use store_core::retention::Period;

use super::Filters;

/// Copy snapshots to another repository: these, or all that the filters let through
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  snap copy --to /mnt/second --to-password-file ~/.second-password
  snap copy latest --series cet-d --to /mnt/second
  snap copy --select monthly --to /mnt/archive --verify

The second repository has keys of its own, and may have other chunk sizes. Snapshots keep their times, hosts, labels and metadata; \
what the target has a copy of already is passed over, so that the same command brings what is new, and goes on after an interruption.")]
pub(crate) struct Copy {
    /// These snapshots
    #[arg(value_name = "SNAP")]
    pub(crate) snaps: Vec<String>,

    #[command(flatten)]
    pub(crate) to: To,

    /// Of these, only the last of each period of each line of versions: hourly, daily, weekly, monthly or yearly
    #[arg(long, value_name = "PERIOD", help_heading = "How")]
    pub(crate) select: Option<Period>,
    /// Compare each copy with what it is a copy of, those that were there already too
    #[arg(long, help_heading = "How")]
    pub(crate) verify: bool,
    /// Store new chunks whole, not as differences from similar ones
    #[arg(long, help_heading = "How")]
    pub(crate) no_delta: bool,

    #[command(flatten)]
    pub(crate) filters: Filters,
}

/// The repository that a push is copied to once it is done.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "A second repository")]
pub(crate) struct CopyTo {
    /// Once the snapshot is made and reported, copy it to this repository, as `snap copy` does. If that fails the snapshot is there all the same,
    /// and the exit code is 18
    #[arg(long, value_name = "REPO")]
    pub(crate) copy_to: Option<OsString>,
    /// File that holds its password [env: SNAP_TO_PASSWORD_FILE, or the password itself in SNAP_TO_PASSWORD]
    #[arg(long, value_name = "FILE", requires = "copy_to", conflicts_with = "to_password_command", hide_short_help = true)]
    pub(crate) to_password_file: Option<PathBuf>,
    /// Program that prints its password; split like a shell does, run without one [env: SNAP_TO_PASSWORD_COMMAND]
    #[arg(long, value_name = "CMD", requires = "copy_to", hide_short_help = true)]
    pub(crate) to_password_command: Option<String>,
    /// Its key file, readable by its owner alone [env: SNAP_TO_KEY_FILE]
    #[arg(long, value_name = "FILE", requires = "copy_to", hide_short_help = true)]
    pub(crate) to_key_file: Option<PathBuf>,
}

/// The second repository.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "The second repository")]
pub(crate) struct To {
    /// Folder of the repository that snapshots are copied to [env: SNAP_TO_REPOSITORY]
    #[arg(long, value_name = "REPO", conflicts_with = "to_repository_file")]
    pub(crate) to: Option<OsString>,
    /// File that names it [env: SNAP_TO_REPOSITORY_FILE]
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    pub(crate) to_repository_file: Option<PathBuf>,
    /// File that holds its password [env: SNAP_TO_PASSWORD_FILE, or the password itself in SNAP_TO_PASSWORD]
    #[arg(long, value_name = "FILE", conflicts_with = "to_password_command")]
    pub(crate) to_password_file: Option<PathBuf>,
    /// Program that prints its password; split like a shell does, run without one [env: SNAP_TO_PASSWORD_COMMAND]
    #[arg(long, value_name = "CMD")]
    pub(crate) to_password_command: Option<String>,
    /// Its key file, readable by its owner alone [env: SNAP_TO_KEY_FILE]
    #[arg(long, value_name = "FILE")]
    pub(crate) to_key_file: Option<PathBuf>,
}
