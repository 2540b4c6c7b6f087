use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;

use super::CopyTo;

/// Make a snapshot of files and folders, of standard input, or of what a program prints
#[derive(Debug, Default, Args)]
#[command(after_help = "Examples:
  snap push ./checkpoint --series cet-d --tag type=micro --meta step=1250 --meta loss=0.42
  snap push ./checkpoint --ref v017 --meta-file ./checkpoint/trainer_state.json -e '*.tmp'
  pg_dump app | snap push - --stdin-filename app.sql --series app
  snap push --stdin-from-command --stdin-filename app.sql -- pg_dump app
  snap push ./checkpoint --series cet-d --copy-to s3://bucket/models --to-password-file ~/.second
  snap push --command app.sql='pg_dump app' --command roles.sql='pg_dumpall --roles-only' --series app

A single folder is the root of its snapshot; of several paths, each has its last name there.")]
pub(crate) struct Push {
    /// What to keep; `-` is standard input
    #[arg(value_name = "PATH")]
    pub(crate) paths: Vec<OsString>,

    /// Continue this line of versions
    #[arg(long, value_name = "SERIES", help_heading = "What the snapshot says")]
    pub(crate) series: Option<String>,
    /// Label it; several are separated by commas
    #[arg(long, value_name = "TAG[,TAG]", help_heading = "What the snapshot says")]
    pub(crate) tag: Vec<String>,
    /// Say something of it that `--where` can ask for
    #[arg(long, value_name = "KEY=VALUE", help_heading = "What the snapshot says")]
    pub(crate) meta: Vec<String>,
    /// The same from a file with a JSON object; what is nested gets dots: optimizer.lr
    #[arg(long, value_name = "FILE", help_heading = "What the snapshot says")]
    pub(crate) meta_file: Vec<PathBuf>,
    /// What it is, in words
    #[arg(long, value_name = "TEXT", help_heading = "What the snapshot says")]
    pub(crate) description: Option<String>,
    /// Name it, as in `snap restore v017`; a name that another snapshot has moves here
    #[arg(long = "ref", value_name = "NAME", help_heading = "What the snapshot says")]
    pub(crate) refs: Vec<String>,
    /// Host that it is said to be taken on [default: this one]
    #[arg(short = 'H', long, value_name = "HOST", help_heading = "What the snapshot says")]
    pub(crate) host: Option<String>,
    /// When it is said to be taken [default: now]
    #[arg(long, value_name = "TIME", help_heading = "What the snapshot says")]
    pub(crate) time: Option<String>,

    /// Leave out what matches: '*.tmp', 'build/*.o', '/home/*/cache'
    #[arg(short = 'e', long, value_name = "PATTERN", help_heading = "What is left out")]
    pub(crate) exclude: Vec<String>,
    /// The same, upper and lower case being one
    #[arg(long, value_name = "PATTERN", help_heading = "What is left out")]
    pub(crate) iexclude: Vec<String>,
    /// Leave out what matches a line of this file
    #[arg(long, value_name = "FILE", help_heading = "What is left out")]
    pub(crate) exclude_file: Vec<PathBuf>,
    /// The same, upper and lower case being one
    #[arg(long, value_name = "FILE", help_heading = "What is left out")]
    pub(crate) iexclude_file: Vec<PathBuf>,
    /// Leave out folders with a CACHEDIR.TAG
    #[arg(long, help_heading = "What is left out")]
    pub(crate) exclude_caches: bool,
    /// Leave out folders that hold a file of this name, whose beginning is HEADER
    #[arg(long, value_name = "NAME[:HEADER]", help_heading = "What is left out")]
    pub(crate) exclude_if_present: Vec<String>,
    /// Leave out files larger than this
    #[arg(long, value_name = "SIZE", help_heading = "What is left out")]
    pub(crate) exclude_larger_than: Option<String>,
    /// Leave out what .gitignore files name
    #[arg(long, help_heading = "What is left out")]
    pub(crate) git_ignore: bool,
    /// Stay on the file systems of the given paths
    #[arg(short = 'x', long, help_heading = "What is left out")]
    pub(crate) one_file_system: bool,
    /// Keep what this file lists, a path or a pattern like *.bin a line; `-` is standard input
    #[arg(long, value_name = "FILE", help_heading = "What is kept")]
    pub(crate) files_from: Vec<PathBuf>,

    /// Name in the snapshot of what comes from standard input or a program [default: stdin]
    #[arg(long, value_name = "NAME", help_heading = "What is kept")]
    pub(crate) stdin_filename: Option<String>,
    /// Run the words after `--` and keep what they print; if they fail, no snapshot is made
    #[arg(long, help_heading = "What is kept", conflicts_with = "files_from")]
    pub(crate) stdin_from_command: bool,
    /// Run this and keep what it prints as NAME; split like a shell does, run without one. Given again: several files of one snapshot
    #[arg(long, value_name = "NAME=CMD", help_heading = "What is kept", conflicts_with_all = ["files_from", "stdin_from_command", "paths"])]
    pub(crate) command: Vec<String>,
    /// Keep standard input, as `-` does
    #[arg(long, hide = true, conflicts_with_all = ["stdin_from_command", "command"])]
    pub(crate) stdin: bool,

    /// Store new chunks whole, not as differences from similar ones
    #[arg(long, help_heading = "How")]
    pub(crate) no_delta: bool,
    /// Make no snapshot if nothing changed since its parent
    #[arg(long, help_heading = "How")]
    pub(crate) skip_if_unchanged: bool,
    /// Compare with this snapshot [default: the last of the same series, or of the same paths]
    #[arg(long, value_name = "SNAP", help_heading = "How", conflicts_with = "force")]
    pub(crate) parent: Option<String>,
    /// Look at the tensors of this snapshot first for those at the same path that new ones can be stored as differences from
    #[arg(long, value_name = "SNAP", help_heading = "How", conflicts_with = "no_delta")]
    pub(crate) base: Option<String>,
    /// Make no snapshot unless a file matches this; given again: and one matches that
    #[arg(long, value_name = "PATTERN", help_heading = "How")]
    pub(crate) require: Vec<String>,
    /// Read what was written once more, and compare it, before there is a snapshot
    #[arg(long, help_heading = "How")]
    pub(crate) verify: bool,
    /// Read every file again
    #[arg(short = 'f', long, help_heading = "How")]
    pub(crate) force: bool,

    #[command(flatten)]
    pub(crate) copy_to: CopyTo,
}
