//! `forget`: drops snapshots, by their ids or by a retention policy, and takes that back (`spec/NOTES.md`, `spec/RETENTION.md`).
//!
//! A [`Plan`] is a value: it can be printed, explained and refused. [`carry_out`] writes it down as notes, each of which has seen what the plan
//! was made of, so that what somebody else said meanwhile revives what it is about. No byte of a snapshot is deleted here: `prune` does that,
//! once the trash time is over.

mod policy;

use std::collections::BTreeSet;

pub use policy::{StoredPolicy, has_policy, remove_policy, set_policy, stored_policy};

use super::list::{Filter, Item};
use super::stats;
use crate::base::ids::{NoteId, SnapshotId};
use crate::error::{Error, ErrorKind};
use crate::format::note::Statement;
use crate::format::record::Time;
use crate::notes::{DEFAULT_TRASH, forgetting};
use crate::repo::{Repo, Standings};
use crate::retention::{self, Policy, Refusal, Situation};

/// What becomes of one snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Which.
    pub item: Item,
    /// Whether it is kept.
    pub keep: bool,
    /// The rule that governs it.
    pub rule: Option<String>,
    /// Why.
    pub reasons: Vec<String>,
    /// Stored bytes that no other snapshot needs: what dropping it alone gives back, at most. Only in a plan that was [explained](explain).
    pub gives_back: Option<u64>,
}

/// What would be dropped and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// One for each snapshot that it is about, oldest first.
    pub lines: Vec<Line>,
    /// What speaks against it.
    pub refusals: Vec<Refusal>,
    /// Seconds that what is dropped stays in the trash.
    pub trash: u64,
    /// Stored bytes that only the dropped snapshots need, taken together. Only in a plan that was [explained](explain).
    pub gives_back: Option<u64>,
    /// What it was made of.
    seen: BTreeSet<NoteId>,
}

impl Plan {
    /// The snapshots that are dropped.
    pub fn dropped(&self) -> impl Iterator<Item = &Line> {
        self.lines.iter().filter(|line| !line.keep)
    }

    /// Whether it may be carried out. `force` gets past what asks for a second thought, and past no clock.
    ///
    /// # Errors
    /// Of kind [`ErrorKind::Refused`], saying why and what to do.
    pub fn allowed(&self, force: bool) -> Result<(), Error> {
        let is_clock = |refusal: &&Refusal| matches!(refusal, Refusal::FutureSnapshot(..) | Refusal::FutureNote(_) | Refusal::ClockSet(_));
        let (clock, second_thoughts): (Vec<_>, Vec<_>) = self.refusals.iter().partition(is_clock);
        let (first, count, next) = match (clock.first(), second_thoughts.first()) {
            // While a note is of the future, or the clock was set, there is no way on by one snapshot.
            (Some(first), _) if !clock.iter().all(|refusal| matches!(refusal, Refusal::FutureSnapshot(..))) => {
                (first, clock.len(), "set this host's clock; or, if it is right, give --trust-clock, which keeps what is of the future")
            }
            (Some(first), _) => {
                let next = "set this host's clock; or forget or pin that snapshot by its id; or, if the clock is right, give --trust-clock";
                (first, clock.len(), next)
            }
            (None, Some(first)) if !force => {
                (first, second_thoughts.len(), "look at the plan with --explain, and give --force if it is meant")
            }
            _ => return Ok(()),
        };
        let more = if count > 1 { format!(" (and {} more like it)", count - 1) } else { String::new() };
        Err(Error::new(ErrorKind::Refused, format!("nothing is forgotten: {first}{more}: {next}")))
    }
}

/// What to apply a policy to.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The policy; the stored one when `None`.
    pub policy: Option<Policy>,
    /// Where that does not say how long what is dropped stays in the trash, the stored policy does.
    pub stored_trash: bool,
    /// Which snapshots it is about.
    pub filter: Filter,
    /// Takes this host's clock for right although records have later times.
    pub trust_clock: bool,
    /// Seconds that dropped snapshots stay in the trash; as the policy says when `None`, and 7 days when that does not.
    pub trash: Option<u64>,
}

/// Applies a policy.
///
/// # Errors
/// Of kind [`ErrorKind::Damage`] while a note is lost or a snapshot cannot be read: nobody knows what they say. Of kind [`ErrorKind::Refused`]
/// when two stored policies are concurrent, [`ErrorKind::Usage`] when there is none.
pub fn by_policy(repo: &Repo, options: &Options) -> Result<Plan, Error> {
    let standings = repo.standing()?;
    standings.need_all()?;
    let policy = match &options.policy {
        Some(policy) => policy.clone(),
        None => stored_policy(&standings)?.governing()?,
    };
    let by_policy = policy.trash.map(retention::Span::seconds);
    let trash = options.trash.or(by_policy).or_else(|| policy::stored_trash(&standings).filter(|_| options.stored_trash));
    let latest_note = standings.notes.iter().map(|stored| stored.note.time).max();
    let calendar = policy::calendar(&policy)?;
    if options.trust_clock {
        repo.trust_clock();
    }
    let situation = Situation { now: repo.now(), calendar, latest_note, clock_jump: repo.clock_jump(), trust_clock: options.trust_clock };
    let mut items = standings.snapshots;
    items.retain(|item| options.filter.matches(item));
    let retention::Plan { decisions, refusals } = retention::decide(&policy, &items, &situation);
    let lines = items.into_iter().zip(decisions).map(|(item, decision)| Line {
        item,
        keep: decision.keep,
        rule: decision.rule.map(|number| policy.rules[number].title(number)),
        reasons: decision.reasons.iter().map(ToString::to_string).collect(),
        gives_back: None,
    });
    Ok(Plan { lines: lines.collect(), refusals, trash: trash.unwrap_or(DEFAULT_TRASH), gives_back: None, seen: standings.fold.heads })
}

/// Drops the snapshots `ids`, as somebody has named them one by one. They stay in the trash for `trash` seconds; when `None`, as the stored policy
/// says, or for 7 days.
///
/// # Errors
/// Of kind [`ErrorKind::Damage`] while a note is lost: no forgetting would count. Of kind [`ErrorKind::Refused`] when one is pinned,
/// [`ErrorKind::Usage`] when one is not there or is forgotten already.
pub fn named(repo: &Repo, ids: &[SnapshotId], trash: Option<u64>) -> Result<Plan, Error> {
    let standings = repo.standing()?;
    standings.need_all_notes()?;
    let now = repo.now();
    let mut lines = Vec::new();
    for id in ids.iter().collect::<BTreeSet<_>>() {
        let item = standings.snapshots.iter().find(|item| item.id == *id).ok_or_else(|| {
            let what = if standings.forgotten.iter().any(|item| item.id == *id) { "is forgotten already" } else { "is not there" };
            Error::new(ErrorKind::Usage, format!("snapshot {} {what}", id.short()))
        })?;
        if let Some(pin) = item.standing.pinned(now) {
            let why = pin.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
            let message = format!("{} is pinned by {}{why}: `snap tag --unpin {}` first", id.short(), pin.by, id.short());
            return Err(Error::new(ErrorKind::Refused, message));
        }
        lines.push(Line { item: item.clone(), keep: false, rule: None, reasons: vec!["named".into()], gives_back: None });
    }
    lines.sort_by_key(|line| (line.item.snapshot.time, line.item.id));
    let trash = trash.or_else(|| policy::stored_trash(&standings)).unwrap_or(DEFAULT_TRASH);
    Ok(Plan { lines, refusals: Vec::new(), trash, gives_back: None, seen: standings.fold.heads })
}

/// Works out what dropping gives back, for each snapshot of the plan and for all that are dropped together. Bytes that kept snapshots are coded
/// against are counted as well, though they stay until a prune rewrites what needs them.
///
/// # Errors
/// When a node cannot be read or a chunk is in no pack that is known.
pub fn explain(repo: &Repo, plan: &mut Plan) -> Result<(), Error> {
    let items: Vec<Item> = plan.lines.iter().map(|line| line.item.clone()).collect();
    for (line, own) in plan.lines.iter_mut().zip(stats::stats(repo, &items)?.per_snapshot) {
        line.gives_back = Some(own.exclusive_stored);
    }
    let dropped: Vec<Item> = plan.dropped().map(|line| line.item.clone()).collect();
    plan.gives_back = Some(stats::together(repo, &dropped)?);
    Ok(())
}

/// Forgets what the plan drops. When it returns, that survives a power failure.
///
/// # Errors
/// When the repository cannot be written. Whether the plan is [allowed](Plan::allowed) is asked before.
pub fn carry_out(repo: &Repo, plan: &Plan) -> Result<(), Error> {
    let statement = |line: &Line| {
        let rule = line.rule.as_ref().map(|rule| format!("{rule}: ")).unwrap_or_default();
        forgetting(&line.item, &format!("{rule}{}", line.reasons.join(", ")), plan.trash)
    };
    repo.write_notes(plan.dropped().map(statement).collect(), &plan.seen).map(drop)
}

/// What came back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Undone {
    /// Snapshots that are there again.
    pub back: Vec<SnapshotId>,
    /// Snapshots that a prune dropped meanwhile.
    pub gone: Vec<SnapshotId>,
}

/// Brings forgotten snapshots back: `ids`, or, when there are none, all of the last run that forgot any. `dry_run` only says which.
///
/// # Errors
/// Of kind [`ErrorKind::Usage`] when one is not forgotten, or nothing is.
pub fn undo(repo: &Repo, ids: &[SnapshotId], dry_run: bool) -> Result<Undone, Error> {
    undo_among(repo, ids, &Filter::default(), dry_run)
}

/// The same, where the last run is that which forgot any that `filter` lets through, and only these come back.
///
/// # Errors
/// As of [`undo`].
pub fn undo_among(repo: &Repo, ids: &[SnapshotId], filter: &Filter, dry_run: bool) -> Result<Undone, Error> {
    let standings = repo.standing()?;
    standings.need_all_notes()?;
    let back = if ids.is_empty() { last_run(&standings, filter)? } else { ids.iter().copied().collect() };
    for id in &back {
        if !standings.forgotten.iter().any(|item| item.id == *id) {
            let what = if standings.snapshots.iter().any(|item| item.id == *id) { "is not forgotten" } else { "is not there any more" };
            return Err(Error::new(ErrorKind::Usage, format!("snapshot {} {what}", id.short())));
        }
    }
    if dry_run {
        return Ok(Undone { back: back.into_iter().collect(), gone: Vec::new() });
    }
    repo.write_notes(back.iter().map(|id| Statement::Unforget { snapshot: *id }).collect(), &standings.fold.heads)?;
    // A prune that is under way may drop it all the same (PROTOCOL.md, I22).
    let dropping = repo.dropping()?;
    // And one that was faster has deleted the record (N4).
    let there: BTreeSet<SnapshotId> = repo.outcome_ids()?.into_iter().collect();
    if let Some(id) = back.iter().find(|id| there.contains(id) && dropping.contains(id)) {
        let message = format!(
            "a prune that is under way may drop snapshot {}: `snap list` shows it once that has ended, if it came back",
            id.short()
        );
        return Err(Error::new(ErrorKind::Busy, message));
    }
    let (back, gone) = back.into_iter().partition(|id| there.contains(id));
    Ok(Undone { back, gone })
}

/// What is in the trash.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Trash {
    /// Snapshots that are forgotten and whose trash time is not over.
    pub snapshots: u64,
    /// When that of the first of them is.
    pub first_over: Option<Time>,
}

/// Looks what is in the trash by now.
///
/// # Errors
/// When the repository cannot be read.
pub fn trash(repo: &Repo) -> Result<Trash, Error> {
    let (standings, now) = (repo.read_standing()?, repo.now());
    let waiting =
        standings.forgotten.iter().filter_map(|item| item.standing.forgotten.as_ref()).filter(|forgotten| forgotten.in_trash(now));
    let ends: Vec<Time> = waiting.filter_map(|forgotten| forgotten.until).collect();
    Ok(Trash { snapshots: ends.len() as u64, first_over: ends.into_iter().min() })
}

/// The snapshots that the last run forgot of those that `filter` lets through: those of the latest time, by one author.
fn last_run(standings: &Standings, filter: &Filter) -> Result<BTreeSet<SnapshotId>, Error> {
    let forgotten = || standings.forgotten.iter().filter(|item| filter.matches(item));
    let run = |item: &Item| item.standing.forgotten.as_ref().map(|forgotten| (forgotten.time, forgotten.by.clone()));
    let last: Option<(Time, String)> = forgotten().filter_map(run).max();
    let last = last.ok_or_else(|| {
        let which = if *filter == Filter::default() { "" } else { " that the filters let through" };
        Error::new(ErrorKind::Usage, format!("nothing{which} is forgotten: `snap list --forgotten` shows what is"))
    })?;
    Ok(forgotten().filter(|item| run(item).as_ref() == Some(&last)).map(|item| item.id).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_on_is_one_that_helps() {
        let (id, time) = (SnapshotId::from_bytes([7; 32]), Time { seconds: 4_000_000_000, nanos: 0 });
        let refused = |refusals: &[Refusal]| {
            let plan = Plan { lines: Vec::new(), refusals: refusals.to_vec(), trash: 0, gives_back: None, seen: BTreeSet::new() };
            plan.allowed(true).unwrap_err().to_string()
        };
        let (snapshot, note) = (Refusal::FutureSnapshot(id, time), Refusal::FutureNote(time));
        let of_snapshot = refused(std::slice::from_ref(&snapshot));
        assert!(of_snapshot.contains("by its id") && of_snapshot.contains("--trust-clock"), "{of_snapshot}");
        for refusals in [&[note.clone()][..], &[snapshot, note]] {
            let of_note = refused(refusals);
            assert!(!of_note.contains("by its id") && of_note.contains("--trust-clock"), "{of_note}");
        }
    }
}
