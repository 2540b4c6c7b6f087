use std::collections::BTreeSet;

use store_core::format::lost::Loss;
use store_core::ops;
use store_core::ops::list::{Filter, list, resolve};
use store_core::ops::repair::{LostSnapshot, SnapshotFate, SnapshotLine, SnapshotsOptions, SnapshotsReport, find_lost, snapshots};
use store_core::retention::Span;

use super::super::forget::name_refs;
use super::super::{Context, filter};
use crate::args::RepairSnapshots;
use crate::exit::{Outcome, Result, read_or_not};
use crate::output::human::{count, printable};
use crate::output::json::{self, Message};
use crate::output::progress::Watch;

pub(super) fn run(context: &Context, args: &RepairSnapshots) -> Result {
    let execute = args.execute && !context.global.dry_run;
    let filter = filter(&args.filters)?;
    let repo = context.open()?;
    let chosen: BTreeSet<_> = if !args.snaps.is_empty() {
        let find = |snap: &String| -> std::result::Result<_, ops::Error> {
            match resolve(&repo, snap, &filter) {
                Err(error) if error.kind() == ops::ErrorKind::Damage => find_lost(&repo, snap)?.ok_or(error),
                found => Ok(found?.id),
            }
        };
        args.snaps.iter().map(find).collect::<std::result::Result<_, _>>()?
    } else if filter != Filter::default() {
        list(&repo, &filter)?.into_iter().map(|item| item.id).collect()
    } else {
        BTreeSet::new()
    };
    let none_chosen = chosen.is_empty() && filter != Filter::default();
    let trash = args.trash.map(Span::seconds);
    let options = SnapshotsOptions { snapshots: chosen, read_data: args.read_data, trash, execute };
    let watch = Watch::new(context.ui);
    let report = if none_chosen { Ok(SnapshotsReport::default()) } else { snapshots(&repo, &options, &watch) };
    watch.finish();
    let report = report?;
    // Records that cannot be read are told of below.
    let is_told = |item: &str| report.lost.iter().any(|lost| item == format!("snapshots/{}", lost.id));
    repo.take_warnings().iter().filter(|warning| !is_told(&warning.item)).for_each(|warning| context.ui.warning(warning));
    read_or_not(print(context, &report, execute))?;
    for line in report.broken.iter().filter(|line| line.fate == SnapshotFate::Replaced) {
        name_refs(context, &line.id, &line.refs, execute);
    }
    let is_left = !execute && !report.lost.is_empty() || report.broken.iter().any(|line| !execute || line.fate != SnapshotFate::Replaced);
    Ok(if is_left { Outcome::Damage } else { Outcome::Done })
}

fn print(context: &Context, report: &SnapshotsReport, execute: bool) -> Result<()> {
    let mut out = context.ui.out();
    for line in &report.broken {
        if context.ui.json {
            out.json(&Message::BrokenSnapshot(object(line)))?;
            continue;
        }
        out.line(format_args!("{}  {}", line.id.short(), fate(line, execute)))?;
        line.lost.losses.iter().try_for_each(|loss| out.line(format_args!("  {}", text_of(loss))))?;
        if line.lost.more > 0 {
            out.line(format_args!("  and {} more", line.lost.more))?;
        }
    }
    for lost in &report.lost {
        if context.ui.json {
            out.json(&Message::BrokenSnapshot(lost_object(lost)))?;
        } else {
            out.line(format_args!("{}  {}", lost.id.short(), fate_of_lost(lost)))?;
        }
    }
    let given_up = report.lost.iter().filter(|lost| lost.given_up).count() as u64;
    let repaired = report.broken.iter().filter(|line| line.repaired.is_some()).count() as u64;
    let broken = (report.broken.len() + report.lost.len()) as u64;
    if context.ui.json {
        out.json(&Message::SnapshotsRepaired(json::SnapshotsRepaired {
            snapshots_whole: report.whole,
            snapshots_broken: broken,
            snapshots_repaired: repaired,
            snapshots_given_up: given_up,
            dry_run: !execute,
        }))?;
    } else if !context.ui.quiet {
        let last = match (broken, execute) {
            (0, _) => "nothing is lost, as far as is known".to_owned(),
            (_, true) if given_up > 0 => format!("{repaired} repaired  {given_up} given up"),
            (_, true) => format!("{repaired} repaired"),
            (_, false) => "nothing was written: --execute does it".to_owned(),
        };
        out.line(format_args!("{}  {broken} of them broken  {last}", count(report.whole + broken, "snapshot")))?;
    }
    out.done()
}

fn fate(line: &SnapshotLine, execute: bool) -> String {
    let new = line.repaired.map_or_else(String::new, |id| format!(": {}", id.short()));
    match (line.fate, execute) {
        (SnapshotFate::Replaced, true) => format!("in the trash; what is left of it has a snapshot{new}"),
        (SnapshotFate::Replaced, false) => "would go to the trash, and what is left of it have a snapshot without".to_owned(),
        (SnapshotFate::Pinned, true) => format!("stays, for it is pinned; what is left of it has a snapshot{new}"),
        (SnapshotFate::Pinned, false) => "would stay, for it is pinned, and what is left of it have a snapshot without".to_owned(),
        (SnapshotFate::Unreadable, _) => "not even its root can be read: it stays as it is; forget it if there is no copy".to_owned(),
    }
}

fn fate_of_lost(lost: &LostSnapshot) -> String {
    let LostSnapshot { id, why, given_up } = lost;
    let record = format!("the whole snapshot is lost, since its record is damaged ({why})");
    if *given_up {
        format!("given up: {record}; a prune deletes what nothing else needs")
    } else {
        format!("{record}: put snapshots/{id} back from a copy of the repository; only if there is none, --execute gives it up")
    }
}

fn text_of(loss: &Loss) -> String {
    let path = format!("/{}", printable(loss.path()));
    match loss {
        Loss::File { size, ranges, more_bytes, .. } => {
            let listed: Vec<String> = ranges.iter().take(4).map(|(start, len)| format!("{start} to {}", start + len)).collect();
            let rest = if ranges.len() > 4 || *more_bytes > 0 { " and more" } else { "" };
            format!("{path}: of its {size} bytes {}{rest} are lost", listed.join(", "))
        }
        Loss::Entries { entries: 0, .. } => format!("{path}: entries are lost, nobody knows how many"),
        Loss::Entries { entries, .. } => format!("{path}: {entries} entries are lost"),
    }
}

fn lost_object(lost: &LostSnapshot) -> json::BrokenSnapshot<'_> {
    let all = json::Lost { path: "/".into(), size: None, ranges: Vec::new(), entries: Some(0) };
    json::BrokenSnapshot { snapshot_id: lost.id.to_string(), fate: "given_up", repaired_id: None, lost: vec![all], more_lost: 0 }
}

fn object(line: &SnapshotLine) -> json::BrokenSnapshot<'_> {
    let lost = line.lost.losses.iter().map(|loss| {
        let path = format!("/{}", String::from_utf8_lossy(loss.path()));
        match loss {
            Loss::File { size, ranges, .. } => json::Lost { path, size: Some(*size), ranges: ranges.clone(), entries: None },
            Loss::Entries { entries, .. } => json::Lost { path, size: None, ranges: Vec::new(), entries: Some(*entries) },
        }
    });
    json::BrokenSnapshot {
        snapshot_id: line.id.to_string(),
        fate: match line.fate {
            SnapshotFate::Replaced => "replaced",
            SnapshotFate::Pinned => "pinned",
            SnapshotFate::Unreadable => "unreadable",
        },
        repaired_id: line.repaired.map(|id| id.to_string()),
        lost: lost.collect(),
        more_lost: line.lost.more,
    }
}
