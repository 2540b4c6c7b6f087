//! The example of `spec/RETENTION.md`: a year of pushes, and what its policy keeps of them. The page has the policy and the table; here it is
//! seen to that they are true.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::tests::{at, number, situation, taken};
use super::*;
use crate::format::record::Time;
use crate::notes::StoredSnapshot;

const PAGE: &str = include_str!("../../../spec/RETENTION.md");
const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

/// The policy of the page.
fn policy() -> Policy {
    let start = PAGE.find("```toml\n").unwrap() + "```toml\n".len();
    PAGE[start..].split_once("```").unwrap().0.parse().unwrap()
}

fn begin() -> i64 {
    at("2026-01-01T00:00:00Z").seconds
}

/// Pushes so many seconds into the year.
fn push<'a>(all: &'a mut Vec<StoredSnapshot>, seconds: i64, series: Option<&str>, tags: &[&str]) -> &'a mut StoredSnapshot {
    all.push(taken(all.len() as u32, Time { seconds: begin() + seconds, nanos: 0 }, series, tags));
    all.last_mut().unwrap()
}

/// All that was pushed from the first to the last moment of 2026, oldest first.
fn pushes() -> Vec<StoredSnapshot> {
    let mut all: Vec<StoredSnapshot> = Vec::new();
    for day in 0..365 {
        let noon = day * DAY + 12 * HOUR;
        let first = jiff::Timestamp::from_second(begin() + day * DAY).unwrap().to_zoned(jiff::tz::TimeZone::UTC).day() == 1;
        for quarter in 0..4 {
            push(&mut all, day * DAY + quarter * 6 * HOUR, Some("cet-d"), &["type=micro"]);
        }
        push(&mut all, noon + 1800, Some("cet-d"), &["type=checkpoint"]);
        if day % 5 == 4 {
            push(&mut all, noon + HOUR, Some("cet-d"), &["type=checkpoint", "best"]);
        }
        if first {
            push(&mut all, noon + 2 * HOUR, Some("cet-d"), &["type=major"]);
            push(&mut all, noon + 3 * HOUR, Some("data-train"), &["validated"]);
        }
        if day % 7 == 0 {
            push(&mut all, noon, Some("model"), &[]).snapshot.refs.insert("production".into());
            push(&mut all, noon, Some("data-train"), &[]);
        }
        if day % 3 == 0 {
            push(&mut all, noon, None, &[]).snapshot.paths = vec![b"/srv/app/.env".to_vec()];
        }
        for hour in 0..24 {
            push(&mut all, day * DAY + hour * HOUR + 1200, Some("app-db"), &[]);
        }
    }
    all.sort_by_key(|stored| (stored.snapshot.time, stored.id));
    all
}

/// The snapshots of the first `until`, with `production` at the last one that was given it.
fn known(pushes: &[StoredSnapshot], until: Time) -> Vec<StoredSnapshot> {
    let mut known: Vec<StoredSnapshot> = pushes.iter().filter(|stored| stored.snapshot.time <= until).cloned().collect();
    let mut left = None;
    for stored in known.iter_mut().rev().filter(|stored| !stored.snapshot.refs.is_empty()) {
        if let Some(time) = left.replace(stored.snapshot.time) {
            stored.snapshot.refs.clear();
            stored.standing.left.insert("production".into(), time);
        }
    }
    known
}

#[test]
fn the_table_of_the_page_is_what_the_policy_keeps() {
    let (policy, now) = (policy(), at("2026-12-31T23:30:00Z"));
    let all = known(&pushes(), now);
    let plan = decide(&policy, &all, &situation(now));
    let mut table = String::from("| rule | pushed | kept | the oldest kept | why that one is kept |\n|---|---|---|---|---|\n");
    let mut rows: BTreeMap<Option<usize>, (usize, Vec<usize>)> = BTreeMap::new();
    for (place, decision) in plan.decisions.iter().enumerate() {
        let row = rows.entry(decision.rule).or_default();
        row.0 += 1;
        if decision.keep {
            row.1.push(place);
        }
    }
    for (rule, (pushed, kept)) in rows {
        let name = rule.map_or("none", |rule| policy.rules[rule].name.as_deref().unwrap());
        let time = jiff::Timestamp::from_second(all[kept[0]].snapshot.time.seconds).unwrap().strftime("%Y-%m-%d %H:%M");
        let reasons: Vec<String> = plan.decisions[kept[0]].reasons.iter().map(ToString::to_string).collect();
        writeln!(table, "| {name} | {pushed} | {} | {time} | {} |", kept.len(), reasons.join(", ")).unwrap();
    }
    assert!(PAGE.contains(&table), "the page should have\n{table}");
    let dropped = plan.dropped().count();
    assert_eq!(plan.refusals, [Refusal::Most { dropped, of: all.len() }], "once for a whole year it takes --force");
}

#[test]
fn forgetting_each_day_is_never_refused_and_ends_the_same() {
    let (policy, pushes) = (policy(), pushes());
    let mut gone = std::collections::BTreeSet::new();
    for day in 1..=365 {
        let now = Time { seconds: begin() + day * DAY - 1800, nanos: 0 };
        let mut all = known(&pushes, now);
        all.retain(|stored| !gone.contains(&stored.id));
        let plan = decide(&policy, &all, &situation(now));
        assert_eq!(plan.refusals, [], "day {day}");
        gone.extend(plan.dropped().map(|decision| decision.id));
    }
    let at_once = decide(&policy, &known(&pushes, at("2026-12-31T23:30:00Z")), &situation(at("2026-12-31T23:30:00Z")));
    let left: Vec<u32> = at_once.decisions.iter().filter(|decision| !gone.contains(&decision.id)).map(number).collect();
    let kept: Vec<u32> = at_once.decisions.iter().filter(|decision| decision.keep).map(number).collect();
    assert_eq!(left, kept);
}
