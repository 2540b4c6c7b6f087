use std::collections::BTreeSet;

use super::*;
use crate::base::ids::{NodeId, SnapshotId, WriterId};
use crate::format::record::{Extra, Time};
use crate::format::snapshot::{Snapshot, Totals};
use crate::notes::{Pin, Standing, StoredSnapshot};
use proptest::prelude::*;

pub(super) fn at(text: &str) -> Time {
    Time { seconds: text.parse::<jiff::Timestamp>().unwrap_or_else(|error| panic!("{text}: {error}")).as_second(), nanos: 0 }
}

/// A snapshot with a number as its name.
pub(super) fn taken(number: u32, time: Time, series: Option<&str>, tags: &[&str]) -> StoredSnapshot {
    let snapshot = Snapshot {
        root: NodeId::from_bytes([0; 32]),
        time,
        zone: 0,
        host: "host".into(),
        user: "user".into(),
        writer: WriterId::from_bytes([0; 16]),
        previous: None,
        parent: None,
        series: series.map(Into::into),
        tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
        refs: BTreeSet::new(),
        description: None,
        meta: Default::default(),
        paths: vec![b"/data".to_vec()],
        incompatible: 0,
        totals: Totals::default(),
        program: String::new(),
        extra: Extra::new(),
    };
    let mut id = [0; 32];
    id[..4].copy_from_slice(&number.to_be_bytes());
    StoredSnapshot { id: SnapshotId::from_bytes(id), snapshot, standing: Standing::default() }
}

pub(super) fn number(decision: &Decision) -> u32 {
    u32::from_be_bytes(decision.id.as_bytes()[..4].try_into().unwrap())
}

pub(super) fn situation(now: Time) -> Situation {
    Situation { now, calendar: Calendar::Recorded, latest_note: None, clock_jump: None, trust_clock: false }
}

fn policy(text: &str) -> Policy {
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}

/// Snapshots of one series at these times, numbered from 0.
fn series(times: &[&str]) -> Vec<StoredSnapshot> {
    times.iter().enumerate().map(|(n, time)| taken(n as u32, at(time), Some("s"), &[])).collect()
}

fn kept(rule: &str, snapshots: &[StoredSnapshot], now: &str) -> Vec<u32> {
    let plan = decide(&policy(&format!("[[retention]]\n{rule}")), snapshots, &situation(at(now)));
    plan.decisions.iter().filter(|decision| decision.keep).map(number).collect()
}

const NOW: &str = "2026-03-10T12:00:00Z";

#[test]
fn each_window_keeps_what_it_says() {
    let all = series(&[
        "2025-12-31T23:00:00Z", // 0
        "2026-01-01T01:00:00Z", // 1
        "2026-02-28T10:00:00Z", // 2
        "2026-03-01T10:00:00Z", // 3: Sunday
        "2026-03-02T10:00:00Z", // 4: Monday
        "2026-03-09T10:10:00Z", // 5
        "2026-03-09T10:50:00Z", // 6
        "2026-03-09T11:00:00Z", // 7
    ]);
    for (rule, expected) in [
        ("keep-last = 2", &[6, 7][..]),
        ("keep-last = 'unlimited'", &[0, 1, 2, 3, 4, 5, 6, 7]),
        ("keep-last = -1", &[0, 1, 2, 3, 4, 5, 6, 7]),
        ("keep = true", &[0, 1, 2, 3, 4, 5, 6, 7]),
        ("keep-within = '1h'", &[5, 6, 7]),
        ("keep-within = '50h'\nkeep-last = 0", &[5, 6, 7]),
        ("keep-within = '9d'", &[3, 4, 5, 6, 7]),
        ("keep-within = '1m'", &[2, 3, 4, 5, 6, 7]),
        ("keep-hourly = 2", &[6, 7]),
        ("keep-daily = 3", &[3, 4, 7]),
        ("keep-weekly = 3", &[3, 4, 7]),
        ("keep-monthly = 3", &[1, 2, 7]),
        ("keep-yearly = 2", &[0, 7]),
        ("keep-within-daily = '30d'", &[2, 3, 4, 7]),
        ("keep-within-weekly = '1m'", &[3, 4, 7]),
        ("keep-last = 1\nkeep-yearly = 2", &[0, 7]),
        ("keep-last = 0\nmin-keep = 3", &[5, 6, 7]),
    ] {
        assert_eq!(kept(rule, &all, NOW), expected, "{rule}");
    }
    // Where periods do not reach back that far, the oldest stays as well.
    assert_eq!(kept("keep-yearly = 3", &all[1..], NOW), [1, 7]);
    assert_eq!(kept("keep-weekly = 9", &all[5..], NOW), [5, 7]);
}

#[test]
fn neither_a_pin_nor_a_time_of_the_future_is_a_rule_that_keeps() {
    let all = || series(&["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z", "2026-01-03T00:00:00Z", "2026-01-04T00:00:00Z"]);
    // Of another series, so that no more than half is dropped.
    let others = || (10..20).map(|n| taken(n, at("2026-01-01T00:00:00Z"), Some("other"), &[]));
    let rules = "[[retention]]\nmatch = 'series = s'\nkeep = false";
    let plan = |mut all: Vec<StoredSnapshot>, pinned: &[usize]| {
        for place in pinned {
            all[*place].standing.pins = vec![Pin { by: "me".into(), time: at(NOW), reason: None, until: None }];
        }
        let situation = Situation { trust_clock: true, ..situation(at(NOW)) };
        let plan = decide(&policy(rules), &all.into_iter().chain(others()).collect::<Vec<_>>(), &situation);
        (plan.dropped().map(number).collect::<Vec<_>>(), plan.refusals)
    };
    let emptied = |snapshots, others| vec![Refusal::Emptied { group: GroupBy::Line.of(&all()[0].snapshot), snapshots, others }];
    assert_eq!(plan(all(), &[]), (vec![0, 1, 2], emptied(4, 0)));
    assert_eq!(plan(all(), &[0]), (vec![1, 2], emptied(3, 1)));
    assert_eq!(plan(all(), &[3]), (vec![0, 1, 2], emptied(3, 1)), "the newest stays for its pin alone");
    assert_eq!(plan(all(), &[1, 3]), (vec![0, 2], emptied(2, 2)));
    assert_eq!(plan(all(), &[0, 1, 2]), (vec![], vec![]), "what drops nothing is no reason to refuse");
    assert_eq!(plan(all(), &[0, 1, 2, 3]), (vec![], vec![]));
    let future = || [all(), vec![taken(4, at("2090-01-01T00:00:00Z"), Some("s"), &[])]].concat();
    assert_eq!(plan(future(), &[]), (vec![0, 1, 2], emptied(4, 1)));
    assert_eq!(plan(future(), &[0, 1, 2]), (vec![], vec![]));
    assert_eq!(
        emptied(1, 2)[0].to_string(),
        format!(
            "nothing would be kept of the 1 snapshot of {} besides 2 that are pinned or of the future",
            GroupBy::Line.of(&all()[0].snapshot)
        )
    );
}

#[test]
fn windows_end_at_the_newest_unless_the_rule_says_now() {
    let all = series(&["2026-01-01T00:00:00Z", "2026-01-05T00:00:00Z", "2026-01-06T00:00:00Z"]);
    assert_eq!(kept("keep-within = '2d'", &all, NOW), [1, 2], "idle for months");
    let rule = "[[retention]]\nrelative-to = 'now'\nkeep-within = '2d'";
    let plan = decide(&policy(rule), &all, &situation(at(NOW)));
    assert_eq!(plan.dropped().map(number).collect::<Vec<_>>(), [0, 1], "the newest is never dropped");
    assert_eq!(plan.decisions[2].reasons, [Reason::Newest]);
    assert!(
        matches!(&plan.refusals[..], [Refusal::Emptied { snapshots: 3, .. }, Refusal::Most { dropped: 2, of: 3 }]),
        "{:?}",
        plan.refusals
    );
    assert_eq!(decide(&policy(rule), &all[2..], &situation(at(NOW))).refusals, [], "one alone loses nothing");
    let more = decide(&policy(&format!("{rule}\nmin-keep = 2")), &all, &situation(at(NOW)));
    assert_eq!(more.refusals, []);
}

#[test]
fn the_first_rule_that_matches_governs_and_others_are_kept() {
    let mut all = series(&["2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z", "2026-03-03T00:00:00Z", "2026-03-04T00:00:00Z"]);
    all[0].snapshot.tags.insert("major".into());
    all[1].snapshot.tags.insert("micro".into());
    all[3].snapshot.tags.insert("micro".into());
    let rules =
        "[[retention]]\nmatch = 'tag = major'\nkeep = true\n[[retention]]\nname = 'm'\nmatch = 'tag = major or tag = micro'\nkeep-last = 1";
    let plan = decide(&policy(rules), &all, &situation(at(NOW)));
    let shown: Vec<_> = plan.decisions.iter().map(|d| (d.keep, d.rule, d.reasons[0].to_string())).collect();
    assert_eq!(
        shown,
        [
            (true, Some(0), "keep".to_owned()),
            (false, Some(1), "not in keep-last 1".to_owned()),
            (true, None, "no rule matches".to_owned()),
            (true, Some(1), "among the last 1".to_owned())
        ]
    );
}

#[test]
fn a_window_counts_from_when_the_ref_left() {
    let mut all = series(&["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z", "2026-03-04T00:00:00Z"]);
    all[0].standing.left.insert("production".into(), at("2026-02-07T00:00:00Z"));
    all[1].standing.left.insert("production".into(), at("2026-02-09T00:00:00Z"));
    all[1].standing.left.insert("staging".into(), at("2026-01-03T00:00:00Z"));
    let rule = |name: &str| format!("match = 'was-ref = {name}'\nkeep-within = '30d'\nrelative-to = 'ref'");
    assert_eq!(kept(&rule("production"), &all, NOW), [1, 2]);
    assert_eq!(kept(&rule("staging"), &all, NOW), [0, 2]);
    // One that matches for another reason has nothing to count from.
    all[2].snapshot.tags.insert("best".into());
    let rule = "[[retention]]\nmatch = 'was-ref = production or tag = best'\nkeep-within = '30d'\nrelative-to = 'ref'";
    all.push(taken(3, at("2026-03-05T00:00:00Z"), Some("s"), &[]));
    let reasons: Vec<String> =
        decide(&policy(rule), &all, &situation(at(NOW))).decisions.iter().map(|d| d.reasons[0].to_string()).collect();
    assert_eq!(reasons[1..], ["within 30d of losing the ref", "no ref of the rule has left it", "no rule matches"]);
}

#[test]
fn pins_stand_in_nobodys_place_and_end_when_they_say() {
    let mut all = series(&["2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z", "2026-03-03T00:00:00Z"]);
    let pin = |until| Pin { by: "me".into(), time: at(NOW), reason: Some("audit".into()), until };
    all[2].standing.pins.push(pin(None));
    assert_eq!(kept("keep-last = 1", &all, NOW), [1, 2]);
    all[0].standing.pins.push(pin(Some(at("2026-03-10T12:00:01Z"))));
    assert_eq!(kept("keep-last = 1", &all, NOW), [0, 1, 2]);
    assert_eq!(kept("keep-last = 1", &all, "2026-03-10T12:00:01Z"), [1, 2]);
}

#[test]
fn clocks_that_disagree_are_refused_not_obeyed() {
    let all = series(&["2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z", "2090-01-01T00:00:00Z"]);
    let rules = policy("[[retention]]\nkeep-within = '7d'");
    let plan = decide(&rules, &all, &situation(at(NOW)));
    assert!(plan.decisions.iter().all(|decision| decision.keep), "what is of 2090 moves no window");
    assert_eq!(plan.refusals, [Refusal::FutureSnapshot(all[2].id, all[2].snapshot.time)]);
    let behind = decide(&rules, &all[..2], &situation(at("2026-03-01T00:00:00Z")));
    assert_eq!(behind.refusals.len(), 1, "this host's clock is behind");
    let skewed = decide(&rules, &all[..2], &situation(at("2026-03-01T23:00:00Z")));
    assert_eq!(skewed.refusals, [], "an hour is nothing");
    let note = Situation { latest_note: Some(at("2026-03-11T00:00:00Z")), ..situation(at(NOW)) };
    assert_eq!(decide(&rules, &all[..2], &note).refusals, [Refusal::FutureNote(at("2026-03-11T00:00:00Z"))]);
    let trusted = Situation { trust_clock: true, ..situation(at(NOW)) };
    let plan = decide(&rules, &all, &trusted);
    assert_eq!((plan.refusals, plan.decisions[2].keep), (vec![], true));
}

#[test]
fn times_that_no_calendar_has_are_kept() {
    let odd = |number, seconds| taken(number, Time { seconds, nanos: 0 }, Some("s"), &[]);
    let mut all = vec![odd(0, i64::MIN), odd(1, -1), odd(2, 0)];
    all[1].snapshot.zone = i32::MAX;
    assert_eq!(kept("keep-daily = 1", &all, NOW), [0, 2]);
    assert_eq!(kept("keep-within = '9999y'", &all, NOW), [0, 1, 2]);
}

#[test]
fn a_day_is_one_of_the_zone_that_it_was_taken_in() {
    let mut all = series(&["2026-03-01T22:30:00Z", "2026-03-01T23:30:00Z"]);
    assert_eq!(kept("keep-daily = 1", &all, NOW), [1]);
    all.iter_mut().for_each(|stored| stored.snapshot.zone = 3600);
    assert_eq!(kept("keep-daily = 5", &all, NOW), [0, 1]);
    let berlin = jiff::tz::TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
    // The hour from 2 to 3 comes twice on that day.
    let all = series(&["2026-10-25T00:10:00Z", "2026-10-25T00:50:00Z", "2026-10-25T01:10:00Z", "2026-10-25T01:50:00Z"]);
    let zoned = Situation { calendar: Calendar::Zone(berlin), ..situation(at("2026-11-01T00:00:00Z")) };
    let plan = decide(&policy("[[retention]]\nkeep-within-hourly = '1d'\nmin-keep=1"), &all[1..], &zoned);
    assert_eq!(plan.decisions.iter().filter(|d| d.keep).map(number).collect::<Vec<_>>(), [1, 3]);
}

#[test]
fn groups_are_lines_of_versions_unless_the_rule_says_otherwise() {
    let mut all = series(&["2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z", "2026-03-03T00:00:00Z", "2026-03-04T00:00:00Z"]);
    all[0].snapshot.series = Some("other".into());
    all[1].snapshot.series = None;
    all[1].snapshot.host = "elsewhere".into();
    assert_eq!(kept("keep-last = 1", &all, NOW), [0, 1, 3]);
    assert_eq!(kept("keep-last = 2\ngroup-by = 'host'", &all, NOW), [0, 1, 2, 3]);
    let one = "group-by = ''\n[[retention]]\nkeep-last = 1";
    let plan = decide(&policy(one), &all, &situation(at(NOW)));
    assert_eq!(plan.dropped().count(), 3);
}

#[test]
fn policies_that_are_none_are_refused_by_name() {
    for (text, says) in [
        ("", "no rule"),
        ("[[retention]]\n", "rule 1: it says nothing of what is kept"),
        ("[[retention]]\nkeep-lats = 3", "keep-lats"),
        ("retain = 3", "retain"),
        ("[[retention]]\nkeep-last = 3\n[[retention]]\nname = 'x'\nkeep-last = -2", "rule 2 (x): keep-last cannot be -2"),
        ("[[retention]]\nkeep-last = 'many'", "many"),
        ("[[retention]]\nkeep-within = '7'", "keep-within: '7' is no length of time"),
        ("[[retention]]\nkeep = 3", "line 2"),
        ("[[retention]]\nkeep = true\nmatch = 'loss < 3'", "match: 'loss < 3' is no condition"),
        ("[[retention]]\nkeep-within = '7d'\nrelative-to = 'ref'", "was-ref"),
        ("[[retention]]\nkeep-within = '7d'\nkeep-daily = 3\nmatch='was-ref=x'\nrelative-to = 'ref'", "keep-within"),
        ("[[retention]]\nkeep = true\nrelative-to = 'then'", "latest, now or ref"),
        ("[[retention]]\nkeep = true\ngroup-by = 'moon'", "group-by: 'moon'"),
        ("trash = 'soon'\n[[retention]]\nkeep = true", "trash: 'soon'"),
        ("[[retention]]\nkeep = tr\nue", "line 3"),
        (&"#".repeat(70_000), "bytes"),
    ] {
        let error = text.parse::<Policy>().unwrap_err().to_string();
        assert!(error.contains(says) && !error.contains('\n'), "{error}");
    }
}

/// A rule whose windows all have a strictness from 0 (strict) to 3 (lax), and the same with each laxer by one.
fn rules() -> impl Strategy<Value = (Windows, Windows)> {
    let one = proptest::collection::vec(proptest::option::of(0u32..3), 13);
    one.prop_map(|strictness| {
        let of = |more: u32| {
            let count = |i: usize| strictness[i].map(|n| Count::Of(n * 2 + more));
            let span = |i: usize, unit: u32| strictness[i].map(|n| Span { hours: (n + more) * unit, ..Span::default() });
            Windows {
                all: None,
                last: count(0),
                within: span(1, 5),
                counts: std::array::from_fn(|i| count(2 + i)),
                within_each: std::array::from_fn(|i| span(7 + i, [3, 24, 200, 900, 9000][i])),
                min_keep: strictness[12],
                tags: Vec::new(),
            }
        };
        (of(0), of(1))
    })
}

fn snapshots() -> impl Strategy<Value = Vec<StoredSnapshot>> {
    let one = (0i64..2_000, 0u8..3, any::<bool>(), -14i32..14);
    proptest::collection::vec(one, 0..40).prop_map(|all| {
        let snapshot = |(n, (half_hours, series, pinned, zone)): (usize, (i64, u8, bool, i32))| {
            let time = Time { seconds: at("2026-01-01T00:00:00Z").seconds + half_hours * 1800, nanos: 0 };
            let mut stored = taken(n as u32, time, Some(&series.to_string()), &[]);
            stored.snapshot.zone = zone * 3600;
            if pinned && n % 4 == 0 {
                stored.standing.pins.push(Pin { by: String::new(), time, reason: None, until: None });
            }
            stored
        };
        all.into_iter().enumerate().map(snapshot).collect()
    })
}

fn with(windows: &Windows, relative_to: RelativeTo) -> Policy {
    let rule = Rule { name: None, matching: None, windows: windows.clone(), relative_to, group_by: GroupBy::Line };
    Policy { rules: vec![rule], group_by: GroupBy::Line, trash: None, zone: None }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn what_a_stricter_rule_keeps_a_laxer_one_keeps((strict, lax) in rules(), all in snapshots(), to_now: bool) {
        let to = if to_now { RelativeTo::Now } else { RelativeTo::Latest };
        let situation = situation(at("2026-02-12T00:00:00Z"));
        let kept = |windows: &Windows| -> Vec<u32> {
            decide(&with(windows, to), &all, &situation).decisions.iter().filter(|d| d.keep).map(number).collect()
        };
        let (strict, lax) = (kept(&strict), kept(&lax));
        prop_assert!(strict.iter().all(|n| lax.contains(n)), "{:?} {:?}", strict, lax);
    }

    #[test]
    fn the_order_of_snapshots_does_not_matter((windows, _) in rules(), all in snapshots(), turn: proptest::sample::Index) {
        let situation = situation(at("2026-02-12T00:00:00Z"));
        let mut turned = all.clone();
        turned.reverse();
        if !turned.is_empty() {
            turned.rotate_left(turn.index(all.len()));
        }
        let policy = with(&windows, RelativeTo::Latest);
        prop_assert_eq!(decide(&policy, &all, &situation), decide(&policy, &turned, &situation));
    }

    #[test]
    fn pinned_and_newest_snapshots_stay_whatever_is_added((windows, _) in rules(), all in snapshots(), now in 0i64..3_000) {
        let now = Time { seconds: at("2026-01-01T00:00:00Z").seconds + now * 1800, nanos: 0 };
        let horizon = now.seconds + SKEW;
        for count in 0..=all.len() {
            let plan = decide(&with(&windows, RelativeTo::Now), &all[..count], &situation(now));
            prop_assert_eq!(plan.decisions.len(), count);
            for decision in &plan.decisions {
                let stored = &all[number(decision) as usize];
                prop_assert!(!decision.reasons.is_empty());
                prop_assert!(decision.keep || stored.standing.pins.is_empty());
                prop_assert!(decision.keep || stored.snapshot.time.seconds <= horizon);
            }
            for series in ["0", "1", "2"] {
                let of_series = |s: &&StoredSnapshot| s.snapshot.series.as_deref() == Some(series) && s.snapshot.time.seconds <= horizon;
                let newest = all[..count].iter().filter(of_series).max_by_key(|s| (s.snapshot.time, s.id));
                let dropped = newest.is_some_and(|newest| plan.dropped().any(|decision| decision.id == newest.id));
                prop_assert!(!dropped);
            }
        }
    }

    #[test]
    fn forgetting_twice_is_forgetting_once((windows, _) in rules(), all in snapshots()) {
        let situation = situation(at("2026-02-12T00:00:00Z"));
        let policy = with(&windows, RelativeTo::Latest);
        let plan = decide(&policy, &all, &situation);
        let left: Vec<_> = all.iter().filter(|s| plan.dropped().all(|d| d.id != s.id)).cloned().collect();
        let again = decide(&policy, &left, &situation);
        // What was the oldest is no more, so an older one than before may be kept, and never one less.
        prop_assert_eq!(again.dropped().count(), 0);
    }
}

#[test]
fn a_stored_policy_is_read_though_it_could_not_be_stored_now() {
    for matching in ["series = two words", "meta.loss < 0.1f", "bytes > 1MB and", "series ="] {
        let text = format!("[[retention]]\nmatch = '{matching}'\nkeep = true");
        assert!(Policy::stored(&text).is_ok(), "{matching}");
        assert!(text.parse::<Policy>().unwrap_err().to_string().starts_with("rule 1: match: "), "{matching}");
    }
}

#[test]
fn what_toml_is_expected_is_said_in_its_words() {
    for (text, says) in [
        ("[retention]\nkeep = true", "a list, each rule of which begins with [[retention]], is expected here, and this is a table"),
        ("[[retention]]\nkeep = 'yes'", "true or false is expected here, and this is the text \"yes\""),
        ("[[retention]]\nkeep-last = [1]", "a number, or \"unlimited\", is expected here"),
        ("[[retention]]\nmatch = 5", "a text in quotes is expected here, and this is 5"),
        ("[[retention]]\nmin-keep = -1", "a number from 0 to 4294967295 is expected here, and this is -1"),
        ("[[retention]]\nmin-keep = 99999999999", "a number from 0 to 4294967295 is expected here, and this is 99999999999"),
        ("[[retention]]\nkeep-last = 99999999999999999999", "a number from 0 to 4294967295, or \"unlimited\", is expected here"),
    ] {
        let error = text.parse::<Policy>().unwrap_err().to_string();
        assert!(error.contains(says), "{text}: {error}");
    }
}
