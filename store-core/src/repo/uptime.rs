//! The host's clock beside how long the host has been up, so that a clock that was set meanwhile is noticed (`spec/RETENTION.md`, R12).

use std::fs;

use super::Repo;
use crate::clock;
use crate::error::{Error, ErrorKind};
use crate::retention::Refusal;

/// Seconds that both may differ by: clocks are adjusted, and hosts sleep in ways that not every one counts.
const TOLERANCE: i64 = 24 * 3600;

/// What the clock showed when the host had been up for so long.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Sight {
    /// One start of one host.
    boot: String,
    up: i64,
    clock: i64,
}

impl Sight {
    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        let (boot, up, clock) = (words.next()?, words.next()?, words.next()?);
        Some(Self { boot: boot.to_owned(), up: up.parse().ok()?, clock: clock.parse().ok()? })
    }

    /// By how many seconds the clock was set ahead since `self`, back where it is negative. `None` where the host was started again.
    fn jump(&self, now: &Self) -> Option<i64> {
        let comparable = self.boot == now.boot && self.up <= now.up;
        comparable.then(|| now.clock.saturating_sub(self.clock).saturating_sub(now.up.saturating_sub(self.up)))
    }
}

impl Repo {
    /// By how many seconds this host's clock was set since this installation first looked at it after the host's start, ahead or, where it is
    /// negative, back. `None` where that is less than a day, or nobody can tell.
    pub(crate) fn clock_jump(&self) -> Option<i64> {
        let now = self.sight()?;
        let jump = fs::read_to_string(self.uptime_file()).ok().and_then(|text| Sight::parse(&text)?.jump(&now));
        if jump.is_none() {
            self.keep(&now);
        }
        jump.filter(|jump| jump.saturating_abs() > TOLERANCE)
    }

    /// Takes the clock as it is for right from now on.
    pub(crate) fn trust_clock(&self) {
        if let Some(now) = self.sight() {
            self.keep(&now);
        }
    }

    /// Fails when the clock was set, unless it is to be trusted.
    ///
    /// # Errors
    /// Of kind [`ErrorKind::Refused`].
    pub(crate) fn need_clock(&self, trust: bool) -> Result<(), Error> {
        if trust {
            self.trust_clock();
        }
        let Some(set) = self.clock_jump().map(Refusal::ClockSet) else { return Ok(()) };
        let message = format!("nothing is pruned: {set}: set it right, or, if it is right, give --trust-clock");
        Err(Error::new(ErrorKind::Refused, message))
    }

    fn sight(&self) -> Option<Sight> {
        let (boot, up) = clock::uptime()?;
        Some(Sight { boot, up, clock: self.now().seconds })
    }

    fn uptime_file(&self) -> std::path::PathBuf {
        self.cache_dir.join("uptime")
    }

    /// Where the cache cannot be written, nothing is noticed.
    fn keep(&self, sight: &Sight) {
        let Sight { boot, up, clock } = sight;
        let _ = self.make_cache_dir().and_then(|()| fs::write(self.uptime_file(), format!("{boot} {up} {clock}\n")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sight(boot: &str, up: i64, clock: i64) -> Sight {
        Sight { boot: boot.into(), up, clock }
    }

    #[test]
    fn a_clock_that_goes_as_the_uptime_does_has_not_jumped() {
        let then = sight("a", 100, 1_000_000);
        assert_eq!(then.jump(&sight("a", 5100, 1_005_000)), Some(0));
        assert_eq!(then.jump(&sight("a", 5100, 1_005_000 + 86_401)), Some(86_401));
        assert_eq!(then.jump(&sight("a", 5100, 0)), Some(-1_005_000));
        assert_eq!(then.jump(&sight("a", 100, i64::MAX)), Some(i64::MAX - 1_000_000));
        // Started again, with another name or not.
        assert_eq!(then.jump(&sight("b", 5100, 9_000_000)), None);
        assert_eq!(then.jump(&sight("a", 99, 9_000_000)), None);
    }

    #[test]
    fn what_is_no_sight_is_none() {
        for text in ["", "a", "a 1", "a 1 x", "a x 1", "\0"] {
            assert_eq!(Sight::parse(text), None, "{text:?}");
        }
        assert_eq!(Sight::parse("a 1 -5\n"), Some(sight("a", 1, -5)));
    }
}
