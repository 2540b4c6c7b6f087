//! Applying a policy.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use super::{Calendar, Count, Period, Policy, RelativeTo, Rule, Span};
use crate::base::ids::SnapshotId;
use crate::format::record::Time;
use crate::notes::StoredSnapshot;

/// How many seconds clocks of two hosts may differ before a time counts as one of the future: an hour, the shortest window.
pub const SKEW: i64 = 3600;

/// What a decision depends on besides policy and snapshots.
#[derive(Debug, Clone)]
pub struct Situation {
    /// The time by this host's clock.
    pub now: Time,
    /// By whose calendar.
    pub calendar: Calendar,
    /// The latest time that a note has recorded.
    pub latest_note: Option<Time>,
    /// By how many seconds that clock was set while the host was up, if it was.
    pub clock_jump: Option<i64>,
    /// Whether `now` is to be believed although records have later times, or the clock was set. Snapshots with later times are then kept.
    pub trust_clock: bool,
}

/// Why a snapshot is kept or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// It is pinned.
    Pinned(Option<String>),
    /// No rule matches it.
    Unmatched,
    /// Its rule keeps all that it governs.
    All,
    /// One of the newest.
    Last(Count),
    /// Its rule keeps at least so many.
    MinKeep(u32),
    /// In a window of time.
    Within(Span, RelativeTo),
    /// The window counts from when a ref left it, and none did that the rule asks for.
    NotLeft,
    /// The newest of one of the last periods.
    Each(Period, Count),
    /// The newest of a period in a window of time.
    EachWithin(Period, Span, RelativeTo),
    /// The oldest of all, where the periods do not reach further back than snapshots do.
    Oldest(Period),
    /// It has these tags.
    Tags(Vec<String>),
    /// Its time lies in the future, so no window tells anything.
    Future,
    /// Its time is beyond every calendar.
    NoCalendar,
    /// The newest of its group is never dropped.
    Newest,
    /// Dropped: it is in no window of its rule.
    InNoWindow(String),
}

/// What becomes of one snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Which.
    pub id: SnapshotId,
    /// Whether it is kept.
    pub keep: bool,
    /// The number of the rule that governs it, from 0.
    pub rule: Option<usize>,
    /// Why.
    pub reasons: Vec<Reason>,
}

/// Why a plan is not carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// A snapshot's time is later than this host's clock.
    FutureSnapshot(SnapshotId, Time),
    /// A note's time is later than this host's clock.
    FutureNote(Time),
    /// This host's clock was set by so many seconds while the host was up.
    ClockSet(i64),
    /// The policy keeps nothing of a group by its rules, and drops some of it.
    Emptied {
        /// Which group.
        group: String,
        /// Snapshots that it has, besides these:
        snapshots: usize,
        /// Those that stay whatever a rule says, since they are pinned or of the future.
        others: usize,
    },
    /// More than half of all snapshots would be dropped.
    Most {
        /// So many.
        dropped: usize,
        /// Of so many.
        of: usize,
    },
}

/// What a policy does to snapshots.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// One for each snapshot, oldest first.
    pub decisions: Vec<Decision>,
    /// What forbids it.
    pub refusals: Vec<Refusal>,
}

impl Plan {
    /// Those that are dropped.
    pub fn dropped(&self) -> impl Iterator<Item = &Decision> {
        self.decisions.iter().filter(|decision| !decision.keep)
    }
}

/// Applies `policy` to `snapshots`: all that there are and that the policy is to be about, in any order.
///
/// What is kept depends on no order, and grows with each window. A pinned snapshot is kept and stands in no other's place. So does one from
/// the future.
pub fn decide(policy: &Policy, snapshots: &[StoredSnapshot], situation: &Situation) -> Plan {
    let mut all: Vec<&StoredSnapshot> = snapshots.iter().collect();
    all.sort_by_key(|stored| (stored.snapshot.time, stored.id));
    let horizon = Time { seconds: situation.now.seconds.saturating_add(SKEW), ..situation.now };
    let mut decisions: Vec<Decision> = Vec::with_capacity(all.len());
    // Newest first, as windows count.
    let mut groups: BTreeMap<(usize, String), Vec<usize>> = BTreeMap::new();
    let mut refusals = Vec::new();
    for (place, stored) in all.iter().enumerate().rev() {
        let rule = policy.rules.iter().position(|rule| rule.matching.as_ref().is_none_or(|condition| condition.holds(stored)));
        let mut reasons = Vec::new();
        if let Some(pin) = stored.standing.pinned(situation.now) {
            reasons.push(Reason::Pinned(pin.reason.clone()));
        } else if stored.snapshot.time > horizon {
            reasons.push(Reason::Future);
            refusals.push(Refusal::FutureSnapshot(stored.id, stored.snapshot.time));
        } else if let Some(rule) = rule {
            groups.entry((rule, policy.rules[rule].group_by.of(&stored.snapshot))).or_default().push(place);
        } else {
            reasons.push(Reason::Unmatched);
        }
        decisions.push(Decision { id: stored.id, keep: false, rule, reasons });
    }
    decisions.reverse();
    for ((number, _), places) in &groups {
        let rule = &policy.rules[*number];
        let members: Vec<&StoredSnapshot> = places.iter().map(|place| all[*place]).collect();
        for (place, reasons) in places.iter().zip(windows(rule, &members, situation)) {
            decisions[*place].reasons.extend(reasons);
        }
    }
    if situation.trust_clock {
        refusals.clear();
    } else {
        refusals.reverse();
        refusals.extend(situation.latest_note.filter(|latest| *latest > horizon).map(Refusal::FutureNote));
        refusals.extend(situation.clock_jump.map(Refusal::ClockSet));
    }
    refusals.extend(protect_newest(policy, &all, &mut decisions, horizon));
    for decision in &mut decisions {
        decision.keep = !decision.reasons.is_empty();
        if let (false, Some(rule)) = (decision.keep, decision.rule) {
            decision.reasons.push(Reason::InNoWindow(policy.rules[rule].windows.to_string()));
        }
    }
    let dropped = decisions.iter().filter(|decision| !decision.keep).count();
    if dropped * 2 > all.len() {
        refusals.push(Refusal::Most { dropped, of: all.len() });
    }
    Plan { decisions, refusals }
}

/// Keeps the newest snapshot of each group, and says of which groups some would be dropped and none is kept by a rule.
fn protect_newest(policy: &Policy, all: &[&StoredSnapshot], decisions: &mut [Decision], horizon: Time) -> Vec<Refusal> {
    let mut groups: HashMap<String, Vec<usize>> = HashMap::new();
    for (place, stored) in all.iter().enumerate() {
        groups.entry(policy.group_by.of(&stored.snapshot)).or_default().push(place);
    }
    let mut emptied = Vec::new();
    for (group, places) in groups {
        let stays_anyway = |place: &&usize| matches!(decisions[**place].reasons[..], [Reason::Pinned(_) | Reason::Future]);
        let others = places.iter().filter(stays_anyway).count();
        let dropped = |decisions: &[Decision]| places.iter().filter(|place| decisions[**place].reasons.is_empty()).count();
        let snapshots = places.len() - others;
        let none_by_rule = dropped(decisions) == snapshots;
        // One from the future may not be the newest in truth.
        let newest = places.iter().rev().find(|place| all[**place].snapshot.time <= horizon);
        if let Some(decision) = newest.map(|place| &mut decisions[*place]).filter(|decision| decision.reasons.is_empty()) {
            decision.reasons.push(Reason::Newest);
        }
        if none_by_rule && dropped(decisions) > 0 {
            emptied.push(Refusal::Emptied { group, snapshots, others });
        }
    }
    emptied.sort_by_key(|refusal| refusal.to_string());
    emptied
}

/// Why a rule keeps each of the `members` of one group, which come newest first.
fn windows(rule: &Rule, members: &[&StoredSnapshot], situation: &Situation) -> Vec<Vec<Reason>> {
    let windows = &rule.windows;
    let calendar = &situation.calendar;
    let start = |span: Span| match rule.relative_to {
        RelativeTo::Latest => calendar.before_snapshot(&members[0].snapshot, span),
        RelativeTo::Now | RelativeTo::Ref => calendar.before(situation.now, span),
    };
    // Where the calendar does not reach back so far, all is within.
    let within = |time: Time, start: Option<Time>| start.is_none_or(|start| time > start);
    let mut reasons: Vec<Vec<Reason>> = vec![Vec::new(); members.len()];
    for (nth, (stored, reasons)) in members.iter().zip(&mut reasons).enumerate() {
        if windows.all == Some(true) {
            reasons.push(Reason::All);
        }
        let tagged = windows.tags.iter().find(|tags| tags.iter().all(|tag| stored.snapshot.tags.contains(tag)));
        reasons.extend(tagged.map(|tags| Reason::Tags(tags.clone())));
        reasons.extend(windows.last.filter(|count| count.has(nth)).map(Reason::Last));
        reasons.extend(windows.min_keep.filter(|count| Count::Of(*count).has(nth)).map(Reason::MinKeep));
        if let Some(span) = windows.within {
            match measured(rule, stored) {
                None => reasons.push(Reason::NotLeft),
                Some(time) if within(time, start(span)) => reasons.push(Reason::Within(span, rule.relative_to)),
                Some(_) => {}
            }
        }
        let by_time =
            windows.within.is_some() || windows.counts.iter().any(Option::is_some) || windows.within_each.iter().any(Option::is_some);
        if by_time && calendar.period(&stored.snapshot, Period::Year).is_none() {
            reasons.push(Reason::NoCalendar);
        }
    }
    let oldest = members.len() - 1;
    for (at, period) in Period::ALL.into_iter().enumerate() {
        let newest: Vec<usize> = newest_of_each(members, calendar, period);
        if let Some(count) = windows.counts[at] {
            newest.iter().enumerate().filter(|(nth, _)| count.has(*nth)).for_each(|(_, i)| reasons[*i].push(Reason::Each(period, count)));
            if count.has(newest.len()) && newest.last() != Some(&oldest) {
                reasons[oldest].push(Reason::Oldest(period));
            }
        }
        if let Some(span) = windows.within_each[at] {
            let start = start(span);
            let inside = |i: &&usize| within(members[**i].snapshot.time, start);
            newest.iter().filter(inside).for_each(|i| reasons[*i].push(Reason::EachWithin(period, span, rule.relative_to)));
            if newest.last() != Some(&oldest) && inside(&&oldest) {
                reasons[oldest].push(Reason::Oldest(period));
            }
        }
    }
    reasons
}

/// The time of a snapshot by which it is in a window or not. `None` when it should be that of a ref's leaving and none left.
fn measured(rule: &Rule, stored: &StoredSnapshot) -> Option<Time> {
    let left = |condition: &crate::condition::Condition| condition.left_refs(stored).map(|name| stored.standing.left[name]).max();
    match (rule.relative_to, &rule.matching) {
        (RelativeTo::Ref, Some(condition)) => left(condition),
        _ => Some(stored.snapshot.time),
    }
}

/// The newest of each period that has any, newest first, as places among `members`.
pub(super) fn newest_of_each(members: &[&StoredSnapshot], calendar: &Calendar, period: Period) -> Vec<usize> {
    let mut seen = std::collections::HashSet::new();
    let news = |(i, stored): (usize, &&StoredSnapshot)| seen.insert(calendar.period(&stored.snapshot, period)?).then_some(i);
    members.iter().enumerate().filter_map(news).collect()
}

impl fmt::Display for RelativeTo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Latest => "of the newest",
            Self::Now => "of now",
            Self::Ref => "of losing the ref",
        })
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pinned(None) => f.write_str("pinned"),
            Self::Pinned(Some(why)) => write!(f, "pinned: {why}"),
            Self::Unmatched => f.write_str("no rule matches"),
            Self::All => f.write_str("keep"),
            Self::Last(count) => write!(f, "among the last {count}"),
            Self::MinKeep(count) => write!(f, "at least {count}"),
            Self::Within(span, to) => write!(f, "within {span} {to}"),
            Self::NotLeft => f.write_str("no ref of the rule has left it"),
            Self::Each(period, count) => write!(f, "{} {count}", period.name()),
            Self::EachWithin(period, span, to) => write!(f, "{} within {span} {to}", period.name()),
            Self::Oldest(period) => write!(f, "oldest {}", period.name()),
            Self::Tags(tags) => write!(f, "tag {}", tags.join(",")),
            Self::Future => f.write_str("from the future"),
            Self::NoCalendar => f.write_str("beyond every calendar"),
            Self::Newest => f.write_str("newest of its group"),
            Self::InNoWindow(windows) => write!(f, "not in {windows}"),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown =
            |time: &Time| jiff::Timestamp::from_second(time.seconds).map_or_else(|_| format!("{} s", time.seconds), |t| t.to_string());
        match self {
            Self::FutureSnapshot(id, time) => {
                write!(f, "snapshot {} is of {}, which is later than this host's clock", id.short(), shown(time))
            }
            Self::FutureNote(time) => write!(f, "a note was written at {}, which is later than this host's clock", shown(time)),
            Self::ClockSet(seconds) => {
                // To the nearest: whole seconds of clock and uptime differ by one now and then.
                let (days, way) = ((seconds.unsigned_abs() + 43_200) / 86_400, if *seconds < 0 { "back" } else { "ahead" });
                write!(f, "this host's clock was set {days} {} {way} while the host was up", if days == 1 { "day" } else { "days" })
            }
            Self::Emptied { group, snapshots, others } => {
                let plural = if *snapshots == 1 { "" } else { "s" };
                write!(f, "nothing would be kept of the {snapshots} snapshot{plural} of {group}")?;
                if *others > 0 {
                    write!(f, " besides {others} that {} pinned or of the future", if *others == 1 { "is" } else { "are" })
                } else {
                    Ok(())
                }
            }
            Self::Most { dropped, of } => write!(f, "{dropped} of {of} snapshots would be dropped, which is more than half"),
        }
    }
}
