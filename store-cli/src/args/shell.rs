use std::path::PathBuf;

use clap::Args;
use clap_complete::Shell;

/// Print a shell's completions
#[derive(Debug, Args)]
#[command(after_help = "Example:
  snap completion bash > ~/.local/share/bash-completion/completions/snap")]
pub(crate) struct Completion {
    /// Which shell
    #[arg(value_enum)]
    pub(crate) shell: Shell,
}

/// Write man pages into a folder
#[derive(Debug, Args)]
pub(crate) struct Man {
    /// Folder to write into; it is made if it does not exist
    #[arg(value_name = "DIR")]
    pub(crate) folder: PathBuf,
}
