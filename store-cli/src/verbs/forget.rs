use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read as _};
use std::path::Path;

use store_core::base::ids::SnapshotId;
use store_core::ops::forget::{self, Plan};
use store_core::ops::list::{Filter, resolve};
use store_core::ops::{self, ErrorKind};
use store_core::retention::{GroupBy, Policy, RelativeTo, Rule, Windows};

use super::{Context, filter, words};
use crate::args::{Forget, Keep};
use crate::exit::{Failure, Outcome, Result, read_or_not};
use crate::output::human::{count, duration, local_time, printable, rfc3339, size};
use crate::output::json::{self, Message};
use crate::output::table::{Column, layout};

/// Longest policy that is read, in bytes; the library says what is too long.
const POLICY_LEN: u64 = 1 << 20;

pub(super) fn run(context: &Context, args: &Forget) -> Result {
    let flags = policy_of(&args.keep);
    let filter = filter(&args.filters)?;
    one_thing(args, flags.is_some(), &filter)?;
    if args.undo {
        return undo(context, args, &filter);
    }
    if args.show_policy {
        return show_policy(context);
    }
    if let Some(file) = &args.set_policy {
        return set_policy(context, file);
    }
    if args.remove_policy {
        return remove_policy(context);
    }
    let policy = match (&args.policy, flags) {
        (Some(file), _) => Some(read(file)?.parse::<Policy>().map_err(|error| Failure::with(ErrorKind::Usage, file.display(), &error))?),
        (None, flags) => flags,
    };
    let filtered = filter != Filter::default();
    let repo = context.open()?;
    let trash = args.trash.map(store_core::retention::Span::seconds);
    let mut plan = if args.snaps.is_empty() {
        let (trust_clock, stored_trash) = (args.trust_clock, args.policy.is_none());
        let plan = forget::by_policy(&repo, &forget::Options { policy, stored_trash, filter, trust_clock, trash });
        plan.map_err(|error| match &args.policy {
            Some(file) if error.kind() == ErrorKind::Usage => Failure::with(ErrorKind::Usage, file.display(), &error),
            _ => error.into(),
        })?
    } else {
        forget::named(&repo, &ids(&repo, args, &filter)?, trash)?
    };
    if args.explain {
        forget::explain(&repo, &mut plan)?;
    }
    let refused = plan.allowed(args.force);
    let execute = args.execute && !context.global.dry_run && refused.is_ok();
    if execute {
        forget::carry_out(&repo, &plan)?;
    }
    read_or_not(print(context, &plan, args.explain, execute))?;
    plan.dropped().for_each(|line| name_refs(context, &line.item.id, &line.item.snapshot.refs, execute));
    refused?;
    if filtered && args.snaps.is_empty() && plan.lines.is_empty() {
        nothing_matches(context, args);
    }
    if !execute && plan.dropped().next().is_some() {
        context.ui.note("this is a plan: --execute carries it out");
    }
    Ok(Outcome::Done)
}

/// Says that the filters let nothing through. Who comes from restic may have meant hours.
fn nothing_matches(context: &Context, args: &Forget) {
    let is_number = args.filters.host.as_ref().is_some_and(|host| host.parse::<u32>().is_ok());
    let hint = if is_number { ": -H names a host, and how many hours are kept is said by --keep-hourly" } else { "" };
    context.ui.note(&format!("no snapshot matches the filters{hint}"));
}

/// Says which refs name nothing once their snapshot is forgotten.
pub(super) fn name_refs(context: &Context, id: &SnapshotId, refs: &BTreeSet<String>, executed: bool) {
    let will = if executed { "names nothing, since it points to" } else { "would name nothing, since it points to" };
    for name in refs.iter().map(|name| printable(name.as_bytes())) {
        context.ui.note(&format!("the ref {name} {will} {}: `snap tag SNAP --ref {name}` moves it", id.short()));
    }
}

/// Refuses what cannot be meant together.
fn one_thing(args: &Forget, flags: bool, filter: &Filter) -> Result<()> {
    let asked = [
        ("SNAP", !args.snaps.is_empty() && !args.undo),
        ("--keep-*", flags),
        ("--policy", args.policy.is_some()),
        ("--set-policy", args.set_policy.is_some()),
        ("--remove-policy", args.remove_policy),
        ("--show-policy", args.show_policy),
        ("--undo", args.undo),
    ];
    // What forgets nothing has no use for what says which snapshots, or how.
    let how = [
        ("--execute", args.execute),
        ("--explain", args.explain),
        ("--force", args.force),
        ("--trash", args.trash.is_some()),
        ("--trust-clock", args.trust_clock),
        ("a filter", *filter != Filter::default()),
    ];
    let forgets_nothing = args.set_policy.is_some() || args.remove_policy || args.show_policy;
    let given = |all: &[(&'static str, bool)]| all.iter().filter(|(_, given)| *given).map(|(name, _)| *name).collect::<Vec<_>>();
    let (asked, how) = (given(&asked), given(&how));
    match asked[..] {
        [first, second, ..] => Err(Failure::usage(format!("{first} and {second} cannot be meant together"))),
        [only] if forgets_nothing && !how.is_empty() => {
            Err(Failure::usage(format!("{only} forgets nothing, so {} cannot be meant with it", how[0])))
        }
        _ if args.keep.group_by.is_some() && !flags => {
            Err(Failure::usage("--group-by says within which groups --keep-* count: give one of these, or group-by in the policy"))
        }
        _ => Ok(()),
    }
}

/// The rule that flags make, if there are any.
fn policy_of(keep: &Keep) -> Option<Policy> {
    let windows = Windows {
        all: None,
        last: keep.keep_last,
        within: keep.keep_within,
        counts: [keep.keep_hourly, keep.keep_daily, keep.keep_weekly, keep.keep_monthly, keep.keep_yearly],
        within_each: [
            keep.keep_within_hourly,
            keep.keep_within_daily,
            keep.keep_within_weekly,
            keep.keep_within_monthly,
            keep.keep_within_yearly,
        ],
        min_keep: None,
        tags: keep.keep_tag.iter().map(|tags| words(tags)).collect(),
    };
    let group_by = keep.group_by.unwrap_or(GroupBy::Line);
    (!windows.is_empty()).then(|| Policy {
        rules: vec![Rule { name: Some("flags".to_owned()), matching: None, windows, relative_to: RelativeTo::Latest, group_by }],
        group_by,
        trash: None,
        zone: None,
    })
}

fn read(file: &Path) -> Result<String> {
    let mut text = String::new();
    let read = |source: &mut dyn io::Read, text: &mut String| source.take(POLICY_LEN).read_to_string(text);
    let done = if file.as_os_str() == "-" {
        read(&mut io::stdin(), &mut text)
    } else {
        fs::File::open(file).and_then(|mut file| read(&mut file, &mut text))
    };
    done.map_err(|error| Failure::with(ErrorKind::Usage, format_args!("{} cannot be read", file.display()), &error))?;
    Ok(text)
}

fn ids(repo: &store_core::repo::Repo, args: &Forget, filter: &Filter) -> Result<Vec<SnapshotId>> {
    let found: Result<Vec<_>, ops::Error> = args.snaps.iter().map(|snap| resolve(repo, snap, filter)).collect();
    Ok(found?.into_iter().map(|item| item.id).collect())
}

fn undo(context: &Context, args: &Forget, filter: &Filter) -> Result {
    let repo = context.open()?;
    let undone = forget::undo_among(&repo, &ids(&repo, args, filter)?, filter, context.global.dry_run)?;
    read_or_not(print_undone(context, &undone))?;
    match undone.gone.first() {
        Some(first) => Err(Failure::new(ErrorKind::Failed, format!("{} came too late: a prune has dropped it", first.short()))),
        None => Ok(Outcome::Done),
    }
}

fn print_undone(context: &Context, undone: &forget::Undone) -> Result<()> {
    let mut out = context.ui.out();
    let full = |ids: &[SnapshotId]| ids.iter().map(SnapshotId::to_string).collect();
    if context.ui.json {
        out.json(&Message::Undone { restored: full(&undone.back), gone: full(&undone.gone), dry_run: context.global.dry_run })?;
    } else if context.ui.quiet {
        undone.back.iter().try_for_each(|id| out.line(id))?;
    } else {
        let would = if context.global.dry_run { "would be" } else { "is" };
        undone.back.iter().try_for_each(|id| out.line(format_args!("{}  {would} back", id.short())))?;
    }
    out.done()
}

fn show_policy(context: &Context) -> Result {
    let repo = context.open()?;
    let stored = forget::stored_policy(&repo.standing()?)?;
    read_or_not(print_policy(context, &stored))?;
    stored.governing()?;
    Ok(Outcome::Done)
}

fn print_policy(context: &Context, stored: &forget::StoredPolicy) -> Result<()> {
    let mut out = context.ui.out();
    for told in &stored.texts {
        if context.ui.json {
            out.json(&Message::Policy { toml: &told.text, time: rfc3339(told.time, 0), author: &told.by })?;
            continue;
        }
        out.line(format_args!("# set by {}, {}", printable(told.by.as_bytes()), local_time(told.time)))?;
        // Line by line, since line feeds are meant here.
        told.text.lines().try_for_each(|line| out.line(printable(line.as_bytes())))?;
    }
    out.done()
}

fn remove_policy(context: &Context) -> Result {
    context.refuse_dry_run("forget --remove-policy")?;
    forget::remove_policy(&*context.open()?)?;
    let mut out = context.ui.out();
    if context.ui.json {
        out.json(&Message::PolicySet { rules: 0 })?;
    } else if !context.ui.quiet {
        out.line("the stored policy is removed")?;
    }
    out.done()?;
    Ok(Outcome::Done)
}

fn set_policy(context: &Context, file: &Path) -> Result {
    context.refuse_dry_run("forget --set-policy")?;
    let text = read(file)?;
    let named = |error: &dyn std::error::Error| Failure::with(ErrorKind::Usage, file.display(), error);
    // What is wrong with it is said before a password is asked for.
    text.parse::<Policy>().map_err(|error| named(&error))?;
    let repo = context.open()?;
    let of_policy = |error: ops::Error| if error.kind() == ErrorKind::Usage { named(&error) } else { error.into() };
    let policy = forget::set_policy(&repo, &text).map_err(of_policy)?;
    let rules = policy.rules.len() as u64;
    let mut out = context.ui.out();
    if context.ui.json {
        out.json(&Message::PolicySet { rules })?;
    } else if !context.ui.quiet {
        out.line(format_args!("stored a policy of {}", count(rules, "rule")))?;
        context.ui.note("nothing is forgotten yet: `snap forget --explain` says what it does");
    }
    out.done().map(|()| Outcome::Done)
}

/// Prints a plan, or what was done of it.
pub(super) fn print(context: &Context, plan: &Plan, explain: bool, executed: bool) -> Result<()> {
    let mut out = context.ui.out();
    let dropped = plan.dropped().count() as u64;
    let shown: Vec<_> = plan.lines.iter().filter(|line| explain || !line.keep).collect();
    let action = |keep: bool| if keep { "keep" } else { "forget" };
    if context.ui.json {
        for line in shown {
            out.json(&Message::Retention(json::Retention {
                id: line.item.id.to_string(),
                short_id: line.item.id.short(),
                time: rfc3339(line.item.snapshot.time, line.item.snapshot.zone),
                action: action(line.keep),
                refs: &line.item.snapshot.refs,
                rule: line.rule.as_deref(),
                reasons: &line.reasons,
                gives_back: line.gives_back,
            }))?;
        }
        let (remove, trash_seconds, gives_back) = (dropped, plan.trash, plan.gives_back);
        out.json(&Message::Forgotten(json::Forgotten {
            keep: plan.lines.len() as u64 - dropped,
            remove,
            executed,
            trash_seconds,
            gives_back,
        }))?;
        return out.done();
    }
    if context.ui.quiet {
        plan.dropped().try_for_each(|line| out.line(line.item.id))?;
        return out.done();
    }
    let mut columns = ["", "id", "time", "series", "tags", "refs", "rule", "reason"].map(Column::Left).to_vec();
    if explain {
        columns.push(Column::Right("gives back"));
    }
    let rows = shown.iter().map(|line| {
        let snapshot = &line.item.snapshot;
        let text = |text: &str| printable(text.as_bytes());
        let joined = |names: &std::collections::BTreeSet<String>| text(&names.iter().map(String::as_str).collect::<Vec<_>>().join(","));
        let mut row = vec![
            action(line.keep).to_owned(),
            line.item.id.short(),
            local_time(snapshot.time),
            text(snapshot.series.as_deref().unwrap_or_default()),
            joined(&snapshot.tags),
            joined(&snapshot.refs),
            text(line.rule.as_deref().unwrap_or("-")),
            text(&line.reasons.join(", ")),
        ];
        row.extend(line.gives_back.map(size));
        row
    });
    io::Write::write_all(&mut out, layout(&columns, rows).as_bytes())?;
    out.line(summary(plan, dropped, executed))?;
    out.done()
}

fn summary(plan: &Plan, dropped: u64, executed: bool) -> String {
    let done = if executed { "forgot" } else { "would forget" };
    let mut text = format!("{done} {dropped} of {}", count(plan.lines.len() as u64, "snapshot"));
    if let Some(bytes) = plan.gives_back {
        text += &format!("  gives back {}", size(bytes));
    }
    if dropped > 0 {
        text += &match plan.trash {
            0 => "  and the next prune drops them".to_owned(),
            seconds if seconds % 86_400 == 0 => format!("  {} in the trash", count(seconds / 86_400, "day")),
            seconds => format!("  {} in the trash", duration(std::time::Duration::from_secs(seconds))),
        };
    }
    text
}
