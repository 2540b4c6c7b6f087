use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::Filters;

/// Write a snapshot's files, or what of them is asked for
#[derive(Debug, Args)]
#[command(
    after_help = "With --delete, what is in the target and not in the snapshot is deleted, folders with all that is in them: also what the push of that
snapshot was told to leave out (its --exclude, --git-ignore and the like), since the snapshot does not have it. That is done last, and only if all that
the snapshot has was restored. Never deleted are the repositories in use, their caches, password and key files, and folders that hold one of them; what
--exclude matches; and, with patterns or --include, what is not below something that matches. -n -v names all that would be deleted.

Examples:
  snap restore latest -t ./run
  snap restore v017:tokenizer -t ./tokenizer       only what is in that folder
  snap restore latest -t ./run '*.safetensors'     only what matches
  snap restore latest~3 -t ./run --delete -n -v    says what would change
  snap restore v017 -t ./run --from /mnt/second    what is lost comes from the second repository"
)]
pub(crate) struct Restore {
    /// SNAP[:PATH]
    #[arg(value_name = "SNAPPATH")]
    pub(crate) place: OsString,
    /// Only what matches one of these
    #[arg(value_name = "PATTERN")]
    pub(crate) patterns: Vec<String>,
    /// Folder to write into; it is made if it does not exist
    #[arg(short = 't', long, value_name = "DIR")]
    pub(crate) target: Option<PathBuf>,
    /// Only what matches, too
    #[arg(short = 'i', long, value_name = "PATTERN")]
    pub(crate) include: Vec<String>,
    /// All but what matches
    #[arg(short = 'e', long, value_name = "PATTERN")]
    pub(crate) exclude: Vec<String>,
    /// What becomes of files that are there already
    ///
    /// By if-newer and never a file is NAME.snap-part-… until it is whole. A restore that ends early leaves such files: the next one of the same
    /// snapshot goes on with them.
    #[arg(long, value_name = "WHEN", value_enum, default_value_t = Overwrite::Always)]
    pub(crate) overwrite: Overwrite,
    /// Delete in the target what the snapshot does not have, what its push left out included: see below, and try -n first
    #[arg(long)]
    pub(crate) delete: bool,
    /// Read what was written once more and compare it
    #[arg(long)]
    pub(crate) verify: bool,
    /// Write zeros as holes
    #[arg(long)]
    pub(crate) sparse: bool,
    /// Print what would be read and written, and do nothing
    #[arg(long)]
    pub(crate) plan: bool,
    #[command(flatten)]
    pub(crate) from: From,
    #[command(flatten)]
    pub(crate) filters: Filters,
}

/// A second repository.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "A second repository")]
pub(crate) struct From {
    /// Read from this repository what cannot be read in the first: it has copies, or pushes of the same files [env: SNAP_FROM_REPOSITORY]
    #[arg(long, value_name = "REPO", conflicts_with = "from_repository_file")]
    pub(crate) from: Option<OsString>,
    /// File that names it [env: SNAP_FROM_REPOSITORY_FILE]
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    pub(crate) from_repository_file: Option<PathBuf>,
    /// File that holds its password [env: SNAP_FROM_PASSWORD_FILE, or the password itself in SNAP_FROM_PASSWORD]
    #[arg(long, value_name = "FILE", conflicts_with = "from_password_command", hide_short_help = true)]
    pub(crate) from_password_file: Option<PathBuf>,
    /// Program that prints its password; split like a shell does, run without one [env: SNAP_FROM_PASSWORD_COMMAND]
    #[arg(long, value_name = "CMD", hide_short_help = true)]
    pub(crate) from_password_command: Option<String>,
    /// Its key file, readable by its owner alone [env: SNAP_FROM_KEY_FILE]
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    pub(crate) from_key_file: Option<PathBuf>,
}

/// What becomes of files that are there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Overwrite {
    /// What differs is written
    Always,
    /// The same, but equal size and time count as equal
    IfChanged,
    /// Only files older than the snapshot's are
    IfNewer,
    /// They stay
    Never,
}
