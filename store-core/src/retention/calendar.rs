//! Hours, days, weeks, months and years of snapshots.

use std::str::FromStr;

use jiff::tz::{Offset, TimeZone};
use jiff::{Timestamp, Zoned};

use super::Span;
use crate::format::record::Time;
use crate::format::snapshot::Snapshot;

/// By whose calendar.
#[derive(Debug, Clone, Default)]
pub enum Calendar {
    /// Each snapshot's own: the zone that it was taken in.
    #[default]
    Recorded,
    /// One for all.
    Zone(TimeZone),
}

/// A part of the calendar of which one snapshot is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Period {
    /// A clock hour.
    Hour,
    /// A day.
    Day,
    /// A week, which begins on Monday.
    Week,
    /// A month.
    Month,
    /// A year.
    Year,
}

impl Period {
    /// All, the shortest first.
    pub const ALL: [Self; 5] = [Self::Hour, Self::Day, Self::Week, Self::Month, Self::Year];

    /// As in `keep-daily`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hour => "hourly",
            Self::Day => "daily",
            Self::Week => "weekly",
            Self::Month => "monthly",
            Self::Year => "yearly",
        }
    }
}

/// A text that names no part of the calendar.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no period: hourly, daily, weekly, monthly or yearly")]
pub struct PeriodError(String);

impl FromStr for Period {
    type Err = PeriodError;

    fn from_str(text: &str) -> Result<Self, PeriodError> {
        Self::ALL.into_iter().find(|period| period.name() == text.trim()).ok_or_else(|| PeriodError(text.to_owned()))
    }
}

impl Calendar {
    /// A name for the period that a snapshot was taken in: equal for two of one period. `None` for a time that no calendar has.
    ///
    /// When clocks are set back, the hour that comes twice is two hours.
    pub(super) fn period(&self, snapshot: &Snapshot, period: Period) -> Option<(i16, i16, i32)> {
        let local = self.local(snapshot)?;
        let date = local.date();
        Some(match period {
            Period::Hour => (date.year(), date.day_of_year(), i32::from(local.hour()) * 1_000_000 + local.offset().seconds()),
            Period::Day => (date.year(), date.day_of_year(), 0),
            Period::Week => {
                let week = date.iso_week_date();
                (week.year(), i16::from(week.week()), 0)
            }
            Period::Month => (date.year(), i16::from(date.month()), 0),
            Period::Year => (date.year(), 0, 0),
        })
    }

    /// The time `span` before that of a snapshot. `None` where the calendar does not reach.
    pub(super) fn before_snapshot(&self, snapshot: &Snapshot, span: Span) -> Option<Time> {
        before(self.local(snapshot)?, span)
    }

    /// The time `span` before `now`.
    pub(super) fn before(&self, now: Time, span: Span) -> Option<Time> {
        let zone = match self {
            Self::Recorded => TimeZone::UTC,
            Self::Zone(zone) => zone.clone(),
        };
        before(stamp(now)?.to_zoned(zone), span)
    }

    fn local(&self, snapshot: &Snapshot) -> Option<Zoned> {
        let zone = match self {
            Self::Recorded => TimeZone::fixed(Offset::from_seconds(snapshot.zone).unwrap_or(Offset::UTC)),
            Self::Zone(zone) => zone.clone(),
        };
        Some(stamp(snapshot.time)?.to_zoned(zone))
    }
}

fn stamp(time: Time) -> Option<Timestamp> {
    // Times are rounded down, so the nanoseconds go up even before 1970.
    let whole = Timestamp::from_second(time.seconds).ok()?;
    whole.checked_add(jiff::SignedDuration::from_nanos(i64::from(time.nanos))).ok()
}

fn before(zoned: Zoned, span: Span) -> Option<Time> {
    let calendar = jiff::Span::new()
        .try_years(span.years)
        .and_then(|found| found.try_months(span.months))
        .and_then(|found| found.try_days(span.days))
        .and_then(|found| found.try_hours(span.hours));
    let stamp = zoned.checked_sub(calendar.ok()?).ok()?.timestamp();
    let nanos = stamp.as_nanosecond();
    Some(Time { seconds: nanos.div_euclid(1_000_000_000) as i64, nanos: nanos.rem_euclid(1_000_000_000) as u32 })
}
