use std::ffi::OsString;

use clap::Args;

use super::Filters;

/// List the files of a snapshot
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  snap ls latest                              what was pushed
  snap ls -lR v017:tokenizer
  snap ls --sha256 -R latest | sha256sum -c   compares with the files here
  snap ls --tensors latest:model.safetensors#'*.q_proj.*'")]
pub(crate) struct Ls {
    /// SNAP[:PATH][#TENSORS]
    #[arg(value_name = "SNAPPATH")]
    pub(crate) place: OsString,
    /// Mode, owner, size and time as well
    #[arg(short = 'l', long)]
    pub(crate) long: bool,
    /// What is in folders, too
    #[arg(short = 'R', long)]
    pub(crate) recursive: bool,
    /// SHA-256 of each file, as sha256sum prints it; reads every byte
    #[arg(long)]
    pub(crate) sha256: bool,
    /// The tensors of a weights file
    #[arg(long, conflicts_with_all = ["long", "recursive", "sha256"])]
    pub(crate) tensors: bool,
    #[command(flatten)]
    pub(crate) filters: Filters,
}
