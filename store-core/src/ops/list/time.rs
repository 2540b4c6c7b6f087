//! Points in time as people write them.

use jiff::{Span, Timestamp, Zoned, civil};

use crate::error::{Error, ErrorKind};
use crate::format::record::Time;
use crate::retention;

/// Which end of a day a date without a time of day stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edge {
    /// Its first moment, as for `--since`.
    Start,
    /// Its last moment, as for `--until` and `@TIME`.
    End,
}

/// Reads RFC 3339 (`2026-01-31T12:00:00Z`), a date or a date with a time of day in this host's time zone (`2026-01-31`,
/// `2026-01-31 12:00`), or how long ago it was (`2h`, `3d`, `1w 2d`; `m` are minutes, `mo` months).
///
/// # Errors
/// When the text is none of these, or lies beyond the years -9999 to 9999.
pub fn parse_time(text: &str, edge: Edge) -> Result<Time, Error> {
    parse_time_at(text, edge, &Zoned::now())
}

/// Reads until when something holds: a time as [`parse_time`] reads it, with `2h` and `3d` for in so long, that is yet to come.
///
/// # Errors
/// The same, and when that time has come.
pub fn parse_until(text: &str) -> Result<Time, Error> {
    parse_until_at(text, &Zoned::now())
}

fn parse_until_at(text: &str, now: &Zoned) -> Result<Time, Error> {
    // Of policies, in which `m` are months.
    let span = text.parse::<retention::Span>().ok().and_then(|span| i64::try_from(span.seconds()).ok());
    let span = span.and_then(|seconds| Span::new().try_seconds(seconds).ok()).or_else(|| text.trim().parse().ok());
    let until = match span {
        Some(span) => now
            .checked_add(span)
            .map(|then| time(then.timestamp()))
            .map_err(|error| Error::with(ErrorKind::Usage, format!("'{text}' is too long: the year 9999 is the last"), error))?,
        None => parse_time_at(text, Edge::End, now)?,
    };
    if until <= time(now.timestamp()) {
        return Err(Error::new(ErrorKind::Usage, format!("'{text}' is not in the future: write 30d for in so long, or a later day")));
    }
    Ok(until)
}

fn parse_time_at(text: &str, edge: Edge, now: &Zoned) -> Result<Time, Error> {
    let text = text.trim();
    let wrong = |source: Option<jiff::Error>| {
        let message =
            format!("'{text}' is no time: write 2026-01-31, '2026-01-31 12:00', 2026-01-31T12:00:00Z, or 2h and 3d for so long ago");
        match source {
            Some(source) => Error::with(ErrorKind::Usage, message, source),
            None => Error::new(ErrorKind::Usage, message),
        }
    };
    if let Ok(stamp) = text.parse::<Timestamp>() {
        return Ok(time(stamp));
    }
    if let Ok(span) = text.parse::<Span>() {
        return now.checked_sub(span.abs()).map(|then| time(then.timestamp())).map_err(|error| wrong(Some(error)));
    }
    let civil = if text.len() <= "2026-01-31".len() {
        let date: civil::Date = text.parse().map_err(|_| wrong(None))?;
        match edge {
            Edge::Start => date.at(0, 0, 0, 0),
            Edge::End => date.at(23, 59, 59, 999_999_999),
        }
    } else {
        text.parse::<civil::DateTime>().map_err(|_| wrong(None))?
    };
    let zoned = civil.to_zoned(now.time_zone().clone()).map_err(|error| wrong(Some(error)))?;
    Ok(time(zoned.timestamp()))
}

fn time(stamp: Timestamp) -> Time {
    let nanos = stamp.as_nanosecond();
    Time { seconds: nanos.div_euclid(1_000_000_000) as i64, nanos: nanos.rem_euclid(1_000_000_000) as u32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str, edge: Edge) -> Option<i64> {
        let now: Zoned = "2026-03-10T12:00:00+01:00[+01:00]".parse().unwrap();
        parse_time_at(text, edge, &now).ok().map(|time| time.seconds)
    }

    fn stamp(text: &str) -> Option<i64> {
        Some(text.parse::<Timestamp>().unwrap().as_second())
    }

    #[test]
    fn every_way_to_write_a_time_is_understood() {
        for (text, edge, meant) in [
            ("2026-01-31T12:00:00Z", Edge::Start, "2026-01-31T12:00:00Z"),
            ("2026-01-31T12:00:00+02:00", Edge::Start, "2026-01-31T10:00:00Z"),
            ("2026-01-31", Edge::Start, "2026-01-30T23:00:00Z"),
            ("2026-01-31", Edge::End, "2026-01-31T22:59:59Z"),
            ("2026-01-31 12:00", Edge::End, "2026-01-31T11:00:00Z"),
            ("2026-01-31T12:00:30", Edge::Start, "2026-01-31T11:00:30Z"),
            ("2h", Edge::Start, "2026-03-10T09:00:00Z"),
            ("3d", Edge::Start, "2026-03-07T11:00:00Z"),
            ("1w 2d", Edge::Start, "2026-03-01T11:00:00Z"),
            ("90 minutes ago", Edge::Start, "2026-03-10T09:30:00Z"),
            ("1mo", Edge::Start, "2026-02-10T11:00:00Z"),
        ] {
            assert_eq!(at(text, edge), stamp(meant), "{text}");
        }
    }

    #[test]
    fn what_holds_ends_in_the_future() {
        let now: Zoned = "2026-03-10T12:00:00+01:00[+01:00]".parse().unwrap();
        for (text, meant) in [
            ("30d", "2026-04-09T11:00:00Z"),
            ("6m", "2026-09-12T11:00:00Z"),
            ("6 months", "2026-09-10T11:00:00Z"),
            ("2 weeks", "2026-03-24T11:00:00Z"),
            ("90s", "2026-03-10T11:01:30Z"),
            ("30min", "2026-03-10T11:30:00Z"),
            ("2026-03-10", "2026-03-10T22:59:59Z"),
            ("2026-03-10T12:00:00Z", "2026-03-10T12:00:00Z"),
        ] {
            assert_eq!(parse_until_at(text, &now).ok().map(|time| time.seconds), stamp(meant), "{text}");
        }
        for text in
            ["", "0d", "-7d", "7d ago", "2026-03-09", "2020-01-01", "2026-03-10T11:00:00Z", "9999y", "soon", "99999999999999999999y"]
        {
            assert_eq!(parse_until_at(text, &now).map_err(|error| error.kind()), Err(ErrorKind::Usage), "{text}");
        }
    }

    #[test]
    fn other_texts_are_no_times() {
        for text in ["", "soon", "2026-13-01", "2026-02-30", "25", "12:00", "2026-01-31 25:00", "99999999999999y", "é"] {
            assert_eq!(at(text, Edge::Start), None, "{text}");
        }
    }
}
