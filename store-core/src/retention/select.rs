//! Choosing one snapshot of each period, to be copied elsewhere.

use std::collections::{BTreeMap, HashSet};

use super::decide::newest_of_each;
use super::{Calendar, GroupBy, Period};
use crate::base::ids::SnapshotId;
use crate::notes::StoredSnapshot;

/// The newest snapshot of each `period` of each group of `snapshots`, which come in any order. One of a time that no calendar has is among them.
pub fn newest_of_periods(snapshots: &[StoredSnapshot], group_by: GroupBy, period: Period, calendar: &Calendar) -> HashSet<SnapshotId> {
    let mut newest_first: Vec<&StoredSnapshot> = snapshots.iter().collect();
    newest_first.sort_by_key(|stored| std::cmp::Reverse((stored.snapshot.time, stored.id)));
    let mut groups: BTreeMap<String, Vec<&StoredSnapshot>> = BTreeMap::new();
    let mut chosen = HashSet::new();
    for stored in newest_first {
        match calendar.period(&stored.snapshot, period) {
            Some(_) => groups.entry(group_by.of(&stored.snapshot)).or_default().push(stored),
            None => _ = chosen.insert(stored.id),
        }
    }
    for members in groups.values() {
        chosen.extend(newest_of_each(members, calendar, period).into_iter().map(|place| members[place].id));
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::super::tests::{at, taken};
    use super::*;

    #[test]
    fn the_last_of_each_period_of_each_line_is_chosen() {
        let times = [
            ("2026-01-30T10:00:00Z", "a"), // 0
            ("2026-01-30T12:00:00Z", "a"), // 1
            ("2026-01-31T12:00:00Z", "a"), // 2
            ("2026-02-01T12:00:00Z", "a"), // 3
            ("2026-01-30T11:00:00Z", "b"), // 4
        ];
        let all: Vec<_> = (0..).zip(times).map(|(number, (time, series))| taken(number, at(time), Some(series), &[])).collect();
        let chosen = |period: &str| {
            let found = newest_of_periods(&all, GroupBy::Line, period.parse().unwrap(), &Calendar::Recorded);
            let places = all.iter().enumerate().filter(|(_, stored)| found.contains(&stored.id));
            places.map(|(place, _)| place).collect::<Vec<_>>()
        };
        assert_eq!(chosen("hourly"), [0, 1, 2, 3, 4]);
        assert_eq!(chosen("daily"), [1, 2, 3, 4]);
        assert_eq!(chosen("weekly"), [3, 4]);
        assert_eq!(chosen("monthly"), [2, 3, 4]);
        assert_eq!(chosen("yearly"), [3, 4]);
        assert!("fortnightly".parse::<Period>().is_err());
    }

    #[test]
    fn a_time_beyond_every_calendar_is_chosen() {
        let all = [taken(1, crate::format::record::Time { seconds: i64::MAX, nanos: 0 }, None, &[])];
        assert_eq!(newest_of_periods(&all, GroupBy::Line, Period::Day, &Calendar::Recorded).len(), 1);
    }
}
