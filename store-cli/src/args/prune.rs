use std::time::Duration;

use clap::Args;
use store_core::base::ids::SessionId;

use crate::output::human::parse_size;

/// Forget what the stored policy drops, then delete what no snapshot needs, beside pushes that go on
#[derive(Debug, Args)]
#[command(after_help = "Without --execute nothing is forgotten and nothing deleted: the plan is printed.

The policy is the one that `snap forget --set-policy` has stored; without one nothing is forgotten. What is forgotten stays in the trash for the
time that the policy says, and is deleted by the first prune after that.

Any number of prunes and pushes may run at the same time. A prune that is stopped, by --budget or by anything else, goes on the next time.

At a store where of two who create one name both may be told that they have (see `snap check --probe`), one prune at a time deletes, and no push
is ended: each is waited for. A process that was killed on another host is waited for in vain, until --end-session says that it runs no more; a
prune that waited in vain names the sessions that are open, and so does the error about an ID that is none.

Exits with 11 if pushes are under way that may need what would be deleted and have not ended in time, and with 15, having deleted nothing, if
anything that a snapshot needs is damaged.

Examples:
  snap prune                        what would be deleted
  snap prune --explain              snapshot by snapshot, pack by pack, and why
  snap prune --execute --budget 1h")]
pub(crate) struct Prune {
    /// Do it
    #[arg(long)]
    pub(crate) execute: bool,
    /// Print what becomes of each snapshot and each pack, and why
    #[arg(long)]
    pub(crate) explain: bool,
    /// Leave the stored policy alone: delete what was forgotten before
    #[arg(long)]
    pub(crate) no_forget: bool,
    /// Forget even if that is more than half of all snapshots, or all but one of a group
    #[arg(long)]
    pub(crate) force: bool,
    /// Take this host's clock for right although records have later times, or it was set while the host was up
    #[arg(long)]
    pub(crate) trust_clock: bool,
    /// Leave up to this share of the repository unused rather than write packs anew
    #[arg(long, value_name = "SHARE", default_value = "5%")]
    pub(crate) max_unused: Share,
    /// Write packs of at most this size anew in one run; 0 for none
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub(crate) max_repack_size: Option<u64>,
    /// Stop after this time; the next prune goes on
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub(crate) budget: Option<Duration>,
    /// End pushes that began this long ago and have not ended: they begin again
    #[arg(long, value_name = "TIME", value_parser = parse_time, default_value = "24h")]
    pub(crate) fence_after: Duration,
    /// Wait this long for pushes that are younger
    #[arg(long, value_name = "TIME", value_parser = parse_time, default_value = "10m")]
    pub(crate) wait: Duration,
    /// The process of this session runs no more, you are sure (again for more): needed at stores alone where no push can be ended safely
    #[arg(long, value_name = "ID")]
    pub(crate) end_session: Vec<SessionId>,
}

/// A share of a whole, from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Share(pub(crate) f64);

impl std::str::FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let percent = text.strip_suffix('%').and_then(|percent| percent.trim().parse::<f64>().ok());
        let share = percent.filter(|percent| (0.0..=100.0).contains(percent));
        share.map(|percent| Self(percent / 100.0)).ok_or_else(|| format!("'{text}' is no share from 0% to 100%"))
    }
}

/// A time span: a number and s, m, h or d.
fn parse_time(text: &str) -> Result<Duration, String> {
    let refuse = || format!("'{text}' is no time like 90s, 10m, 1h or 7d");
    let unit = text.chars().last().ok_or_else(refuse)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return Err(refuse()),
    };
    let number: u64 = text[..text.len() - 1].trim().parse().map_err(|_| refuse())?;
    number.checked_mul(seconds).map(Duration::from_secs).ok_or_else(refuse)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_number_and_a_unit() {
        assert_eq!(parse_time("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(parse_time("1h"), Ok(Duration::from_secs(3600)));
        assert_eq!(parse_time("7d"), Ok(Duration::from_secs(7 * 86_400)));
        for odd in ["", "1", "h", "-1h", "1.5h", "1w", "é", "99999999999999999999d", "18446744073709551615d"] {
            assert!(parse_time(odd).is_err(), "{odd}");
        }
    }

    #[test]
    fn a_share_is_a_percentage() {
        assert_eq!("5%".parse(), Ok(Share(0.05)));
        for odd in ["5", "-1%", "101%", "NaN%", "%", ""] {
            assert!(odd.parse::<Share>().is_err(), "{odd}");
        }
    }
}
