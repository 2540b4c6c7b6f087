use std::path::PathBuf;

use clap::Args;
use store_core::retention::{Count, GroupBy, Span};

use super::Filters;

/// Drop snapshots: those named, or those that a retention policy does not keep. Says what it would do, until --execute
#[derive(Debug, Default, Args)]
#[command(after_help = "Examples:
  snap forget --keep-daily 7 --keep-weekly 5 --series app --explain
  snap forget --set-policy retention.toml && snap forget --explain
  snap forget --execute
  snap forget 5f3a9c12 --execute
  snap forget --undo

Forgotten snapshots stay in the trash, 7 days unless --trash or the policy says otherwise: `snap list --forgotten` shows them, \
`snap forget --undo` brings them back. `snap prune` gives back the room of those whose time is over.")]
pub(crate) struct Forget {
    /// These snapshots, whatever a policy says
    #[arg(value_name = "SNAP")]
    pub(crate) snaps: Vec<String>,

    /// Do it
    #[arg(long)]
    pub(crate) execute: bool,
    /// Say of every snapshot by which rule and why it stays or goes, and how many bytes that gives back
    #[arg(long)]
    pub(crate) explain: bool,
    /// Even if that is more than half of all snapshots, or all but the newest of a group
    #[arg(short = 'f', long)]
    pub(crate) force: bool,
    /// How long forgotten snapshots can be brought back; 0d: not at all [default: as the policy says, --policy FILE or else the stored one, or 7d]
    #[arg(long, value_name = "SPAN")]
    pub(crate) trash: Option<Span>,
    /// Take this host's clock for right although the repository has later times, or it was set while the host was up; what is of the future is kept
    #[arg(long)]
    pub(crate) trust_clock: bool,
    /// Bring forgotten snapshots back: these, or all of the last run; with filters, of the last run that forgot such ones, these
    #[arg(long, conflicts_with_all = ["execute", "explain", "force", "trash", "trust_clock"])]
    pub(crate) undo: bool,

    /// Keep what the rules of this file say instead of the stored ones; `-` is standard input
    #[arg(long, value_name = "FILE", help_heading = "Policy")]
    pub(crate) policy: Option<PathBuf>,
    /// Store the rules of this file in the repository, and do nothing else
    #[arg(long, value_name = "FILE", help_heading = "Policy")]
    pub(crate) set_policy: Option<PathBuf>,
    /// Take the stored rules away, and do nothing else: nothing is forgotten by policy any more
    #[arg(long, help_heading = "Policy")]
    pub(crate) remove_policy: bool,
    /// Print the stored rules
    #[arg(long, help_heading = "Policy")]
    pub(crate) show_policy: bool,

    #[command(flatten)]
    pub(crate) keep: Keep,
    #[command(flatten)]
    pub(crate) filters: Filters,
}

/// A policy of one rule, by restic's names.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "What is kept, of each group")]
pub(crate) struct Keep {
    /// The newest N; a number, or unlimited
    #[arg(short = 'l', long, value_name = "N", allow_hyphen_values = true)]
    pub(crate) keep_last: Option<Count>,
    /// The newest of each of the last N hours
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub(crate) keep_hourly: Option<Count>,
    /// The same of days
    #[arg(short = 'd', long, value_name = "N", allow_hyphen_values = true)]
    pub(crate) keep_daily: Option<Count>,
    /// The same of weeks
    #[arg(short = 'w', long, value_name = "N", allow_hyphen_values = true)]
    pub(crate) keep_weekly: Option<Count>,
    /// The same of months
    #[arg(short = 'm', long, value_name = "N", allow_hyphen_values = true)]
    pub(crate) keep_monthly: Option<Count>,
    /// The same of years
    #[arg(short = 'y', long, value_name = "N", allow_hyphen_values = true)]
    pub(crate) keep_yearly: Option<Count>,
    /// Those not older than this, as seen from the newest: 7d, 1y5m7d2h, where m are months
    #[arg(long, value_name = "SPAN")]
    pub(crate) keep_within: Option<Span>,
    /// The newest of each hour of these
    #[arg(long, value_name = "SPAN")]
    pub(crate) keep_within_hourly: Option<Span>,
    /// The newest of each day of these
    #[arg(long, value_name = "SPAN")]
    pub(crate) keep_within_daily: Option<Span>,
    /// The newest of each week of these
    #[arg(long, value_name = "SPAN")]
    pub(crate) keep_within_weekly: Option<Span>,
    /// The newest of each month of these
    #[arg(long, value_name = "SPAN")]
    pub(crate) keep_within_monthly: Option<Span>,
    /// The newest of each year of these
    #[arg(long, value_name = "SPAN")]
    pub(crate) keep_within_yearly: Option<Span>,
    /// Those with all of these labels; given again: or with all of those
    #[arg(long, value_name = "TAG[,TAG]")]
    pub(crate) keep_tag: Vec<String>,
    /// What a group has in common: some of host, paths, tags, series; line is the series, or host and paths; '' is one group for all [default: line]
    #[arg(short = 'g', long, value_name = "WHAT")]
    pub(crate) group_by: Option<GroupBy>,
}
