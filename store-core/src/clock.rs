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

/// The user's name, or number.
pub fn user() -> String {
    std::env::var("USER").unwrap_or_else(|_| rustix::process::getuid().as_raw().to_string())
}

/// Name and version of the program, as records carry it.
pub const PROGRAM: &str = concat!("snap ", env!("CARGO_PKG_VERSION"));
