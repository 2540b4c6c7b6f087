use clap::Args;

use super::Filters;

/// Say something of snapshots after the fact: labels, refs, pins, metadata, a description
#[derive(Debug, Default, Args)]
#[command(after_help = "Examples:
  snap tag latest --add best,eval=passed
  snap tag v017 --ref production
  snap tag production@{1} --pin --reason 'rollback target'
  snap tag 5f3a9c12 --hold 2036-06-30 --reason audit
  snap tag latest --meta loss=0.39 --description 'after the fix'

Snapshots themselves never change. Where two say something at the same time, a label, a pin and a snapshot stay rather than go.")]
pub(crate) struct Tag {
    /// Which snapshots [default: those that the filters let through]
    #[arg(value_name = "SNAP")]
    pub(crate) snaps: Vec<String>,
    /// Labels to add, separated by commas
    #[arg(long, value_name = "TAG[,TAG]")]
    pub(crate) add: Vec<String>,
    /// Labels to remove
    #[arg(long, value_name = "TAG[,TAG]")]
    pub(crate) remove: Vec<String>,
    /// Labels from now on, in place of all others; '' removes all
    #[arg(long, value_name = "TAG[,TAG]", conflicts_with_all = ["add", "remove"])]
    pub(crate) set: Vec<String>,
    /// Let this name point to the one snapshot; it keeps its history: NAME@{1} is where it pointed before
    #[arg(long = "ref", value_name = "NAME")]
    pub(crate) refs: Vec<String>,
    /// Let this name point nowhere
    #[arg(long = "unref", value_name = "NAME")]
    pub(crate) unrefs: Vec<String>,
    /// Keep it whatever a policy says
    #[arg(long)]
    pub(crate) pin: bool,
    /// Keep it until then, whatever a policy says: 2036-12-31, or 30d for so long from now
    #[arg(long, value_name = "UNTIL", conflicts_with = "pin")]
    pub(crate) hold: Option<String>,
    /// Why it is pinned or held
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    /// Take pins and holds back
    #[arg(long)]
    pub(crate) unpin: bool,
    /// Set a metadata value
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) meta: Vec<String>,
    /// Remove a metadata value
    #[arg(long, value_name = "KEY")]
    pub(crate) unset_meta: Vec<String>,
    /// What it is, in words; '' removes it
    #[arg(long, value_name = "TEXT")]
    pub(crate) description: Option<String>,
    #[command(flatten)]
    pub(crate) filters: Filters,
}
