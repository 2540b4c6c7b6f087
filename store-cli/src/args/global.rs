//! Options that every verb takes.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;

/// Options that every verb takes. What is `None` is looked for in the environment and in config files.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Folder of the repository, or s3://BUCKET/PREFIX, gs://…, az://… [env: SNAP_REPOSITORY] [default: the nearest .snap upward]
    #[arg(short = 'r', long, value_name = "REPO", global = true, conflicts_with = "repository_file")]
    pub(crate) repo: Option<OsString>,
    /// File that names the repository [env: SNAP_REPOSITORY_FILE]
    #[arg(long, value_name = "FILE", global = true, hide_short_help = true)]
    pub(crate) repository_file: Option<PathBuf>,
    /// File that holds the password [env: SNAP_PASSWORD_FILE, or the password itself in SNAP_PASSWORD]
    #[arg(short = 'p', long, value_name = "FILE", global = true, conflicts_with = "password_command")]
    pub(crate) password_file: Option<PathBuf>,
    /// Program that prints the password; split like a shell does, run without one [env: SNAP_PASSWORD_COMMAND]
    #[arg(long, value_name = "CMD", global = true, hide_short_help = true)]
    pub(crate) password_command: Option<String>,
    /// Key file, readable by its owner alone [env: SNAP_KEY_FILE]
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) key_file: Option<PathBuf>,
    /// Folder for what can be rebuilt at any time [env: SNAP_CACHE_DIR] [default: ~/.cache/snap]
    #[arg(long, value_name = "DIR", global = true, hide_short_help = true)]
    pub(crate) cache_dir: Option<PathBuf>,
    /// Disk that each repository in a bucket may take there for lists and records that were read; 0 keeps none [env: SNAP_CACHE_SIZE]
    /// [default: 256MiB]
    #[arg(long, value_name = "SIZE", global = true, hide_short_help = true)]
    pub(crate) cache_size: Option<String>,
    /// Config file ~/.config/snap/NAME.toml; one with a / in it is a path, read in the place of any snap.toml that would be found here or above
    /// [env: SNAP_PROFILE] [default: default]
    #[arg(short = 'P', long, value_name = "NAME", global = true, hide_short_help = true)]
    pub(crate) profile: Option<String>,
    /// One JSON object a line
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Only the result and errors
    #[arg(short = 'q', long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Say what is done to each file; twice: why
    #[arg(short = 'v', long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Draw no progress bar
    #[arg(long, global = true, hide_short_help = true)]
    pub(crate) no_progress: bool,
    /// off, fastest, auto, better, max, or a level of zstd from 1 to 22 [env: SNAP_COMPRESSION] [default: auto]
    #[arg(long, value_name = "HOW", global = true, hide_short_help = true)]
    pub(crate) compression: Option<String>,
    /// Threads to work with [env: SNAP_THREADS] [default: one a core]
    #[arg(long, value_name = "N", global = true, hide_short_help = true)]
    pub(crate) threads: Option<String>,
    /// Memory to work with [env: SNAP_MEMORY] [default: 512MiB]
    #[arg(long, value_name = "SIZE", global = true, hide_short_help = true)]
    pub(crate) memory: Option<String>,
    /// Send no more to a bucket than this many KiB a second [env: SNAP_LIMIT_UPLOAD] [default: no limit]
    #[arg(long, value_name = "KIB", global = true, hide_short_help = true)]
    pub(crate) limit_upload: Option<String>,
    /// Fetch no more from a bucket than this many KiB a second [env: SNAP_LIMIT_DOWNLOAD] [default: no limit]
    #[arg(long, value_name = "KIB", global = true, hide_short_help = true)]
    pub(crate) limit_download: Option<String>,
    /// Say what would be done, and do nothing
    #[arg(short = 'n', long, global = true)]
    pub(crate) dry_run: bool,
}
