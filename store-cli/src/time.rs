//! Times as people write them.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, Zoned};
use store_core::format::record::Time;

/// A moment, and how far east of UTC it was written, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment {
    pub(crate) time: Time,
    pub(crate) zone: i32,
}

/// Reads `2026-01-31`, `2026-01-31 12:00[:05]` (by the clock of `here`), `2026-01-31T12:00:05Z`, with any other offset, or how long
/// before `now`: `7d`, `12h`, `1w 2d`.
pub(crate) fn parse(text: &str, now: &Zoned) -> Result<Moment, String> {
    let text = text.trim();
    let here = now.time_zone();
    if let Ok(at) = text.parse::<Timestamp>() {
        let zone = jiff::fmt::temporal::Pieces::parse(text)
            .ok()
            .and_then(|pieces| pieces.to_numeric_offset())
            .map_or(0, |offset| offset.seconds());
        return Ok(Moment { time: of(at), zone });
    }
    if let Ok(civil) = text.parse::<DateTime>() {
        return civil.to_zoned(here.clone()).map(|at| moment(&at)).map_err(|error| format!("'{text}' is no time: {error}"));
    }
    if let Ok(span) = text.parse::<Span>()
        && !span.is_negative()
        && !text.starts_with('P')
        && let Ok(at) = now.checked_sub(span)
    {
        return Ok(moment(&at));
    }
    Err(format!("'{text}' is no time: 2026-01-31, '2026-01-31 12:00', 2026-01-31T12:00:00Z and 7d are times"))
}

/// This moment, here.
pub(crate) fn now() -> Zoned {
    Zoned::now().with_time_zone(TimeZone::system())
}

fn moment(at: &Zoned) -> Moment {
    Moment { time: of(at.timestamp()), zone: at.offset().seconds() }
}

fn of(at: Timestamp) -> Time {
    // Before 1970 the fraction counts down from the second above; a record counts up from the second below.
    let (seconds, nanos) = (at.as_second(), at.subsec_nanosecond());
    if nanos < 0 { Time { seconds: seconds - 1, nanos: (nanos + 1_000_000_000) as u32 } } else { Time { seconds, nanos: nanos as u32 } }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Moment, String> {
        parse(text, &"2026-03-01T00:00:00+01:00[+01:00]".parse().unwrap())
    }

    #[test]
    fn times_are_read_as_people_write_them() {
        let hour = |hours: i64| 1_767_225_600 + hours * 3600;
        for (text, seconds, zone) in [
            ("2026-01-01", hour(-1), 3600),
            ("2026-01-01 12:30", hour(11) + 1800, 3600),
            ("2026-01-01 12:30:05", hour(11) + 1805, 3600),
            ("2026-01-01T00:00:00Z", hour(0), 0),
            ("2026-01-01T00:00:00-05:00", hour(5), -18_000),
            ("1d", hour(24 * 58 - 1), 3600),
            ("36h", hour(24 * 59 - 37), 3600),
        ] {
            assert_eq!(read(text), Ok(Moment { time: Time { seconds, nanos: 0 }, zone }), "{text}");
        }
        for odd in ["", "yesterday", "2026-13-01", "-7d", "7"] {
            assert!(read(odd).is_err(), "{odd}");
        }
    }

    #[test]
    fn fractions_count_up_before_1970_too() {
        assert_eq!(read("1969-12-31T23:59:59.25Z").unwrap().time, Time { seconds: -1, nanos: 250_000_000 });
    }
}
