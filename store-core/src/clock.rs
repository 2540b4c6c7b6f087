//! L3: what the host says of itself: the time, its name, its user. Safety never depends on any of it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::format::record::Time;

/// The time by this host's clock.
pub fn now() -> Time {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => Time { seconds: since.as_secs() as i64, nanos: since.subsec_nanos() },
        Err(before) => Time { seconds: -(before.duration().as_secs() as i64) - 1, nanos: 0 },
    }
}

/// A clock: the host's, or one that is wrong by as much as it says, for tests of what that does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Clock {
    /// Seconds that it is ahead of the host's.
    pub ahead: i64,
}

impl Clock {
    /// The time by it.
    pub fn now(self) -> Time {
        let host = now();
        Time { seconds: host.seconds.saturating_add(self.ahead), ..host }
    }
}

/// Which start of which host this is, and for how many seconds it has been up, sleep included. `None` where the system does not say.
pub(crate) fn uptime() -> Option<(String, i64)> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    // Containers may have an uptime of their own.
    let space = std::fs::read_link("/proc/self/ns/time").map(|link| link.to_string_lossy().into_owned()).unwrap_or_default();
    let up = rustix::time::clock_gettime(rustix::time::ClockId::Boottime).tv_sec;
    Some((format!("{}{space}", boot.trim()).split_whitespace().collect(), up))
}

/// The time that this thread has computed for, which other work on the same cores does not lengthen.
pub fn of_this_thread() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap_or(0), time.tv_nsec.try_into().unwrap_or(0))
}

/// Seconds east of UTC at `time`, where this host is.
pub fn zone_at(time: Time) -> i32 {
    jiff::Timestamp::from_second(time.seconds).map_or(0, |stamp| jiff::tz::TimeZone::system().to_offset(stamp).seconds())
}

/// The host's name.
pub fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// The user's name, or number where the system has no name for it.
pub fn user() -> String {
    let named = std::env::var("USER").ok().filter(|name| !name.is_empty());
    named.unwrap_or_else(|| {
        let number = rustix::process::getuid().as_raw();
        let users = std::fs::read("/etc/passwd").unwrap_or_default();
        name_of(&users, number).unwrap_or_else(|| number.to_string())
    })
}

/// The name of user `number` in a file of the form of `/etc/passwd`.
fn name_of(users: &[u8], number: u32) -> Option<String> {
    String::from_utf8_lossy(users).lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, of) = (fields.next()?, fields.nth(1)?);
        (!name.is_empty() && of.parse() == Ok(number)).then(|| name.to_owned())
    })
}

/// Name and version of the program, as records carry it.
pub const PROGRAM: &str = concat!("snap ", env!("CARGO_PKG_VERSION"));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_the_name_that_the_system_gives() {
        let users = b"root:x:0:0:root:/root:/bin/sh\n# a comment\n\nbroken\n\xff:x:7:7::/:\nmaxim:x:1000:1000::/home/maxim:/bin/sh\n";
        assert_eq!(name_of(users, 0).as_deref(), Some("root"));
        assert_eq!(name_of(users, 1000).as_deref(), Some("maxim"));
        assert_eq!((name_of(users, 1), name_of(b"", 0)), (None, None));
    }
}
