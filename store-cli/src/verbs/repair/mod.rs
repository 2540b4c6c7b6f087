mod packs;
mod snapshots;

use store_core::ops::repair::{self, LostNotes, Report, SketchesReport};

use super::Context;
use crate::args::{Repair, RepairAction};
use crate::exit::{Outcome, Result, read_or_not};
use crate::interrupt;
use crate::output::human::{count, size};
use crate::output::json::{self, Message};
use crate::output::progress::Watch;

pub(super) fn run(context: &Context, args: &Repair) -> Result {
    interrupt::listen()?;
    match &args.action {
        RepairAction::Index { no_sketches } => index(context, !no_sketches),
        RepairAction::Packs(args) => packs::run(context, args),
        RepairAction::Snapshots(args) => snapshots::run(context, args),
        RepairAction::Notes { execute } => notes(context, *execute && !context.global.dry_run),
    }
}

fn notes(context: &Context, execute: bool) -> Result {
    let repo = context.open()?;
    let LostNotes { lost } = repair::notes(&repo, !execute)?;
    // They are told of below.
    drop(repo.take_warnings());
    let mut out = context.ui.out();
    if context.ui.json {
        lost.iter().try_for_each(|note| out.json(&Message::LostNote { note, given_up: execute }))?;
    } else {
        for note in &lost {
            out.line(format_args!("{}  {note}", if execute { "given up" } else { "lost" }))?;
        }
        match (lost.is_empty(), execute) {
            (true, _) => context.ui.note("no note is lost"),
            (false, true) => context.ui.note("what was forgotten is there again, as far as it was not pruned"),
            (false, false) => context.ui.note("put them back from a copy; only if there is none, give --execute"),
        }
    }
    out.done()?;
    Ok(Outcome::Done)
}

fn index(context: &Context, with_sketches: bool) -> Result {
    let dry_run = context.global.dry_run;
    let repo = context.open()?;
    let plan = if !dry_run && !context.ui.json && !context.ui.quiet { Some(index_once(context, &repo, true)?) } else { None };
    let report = index_once(context, &repo, dry_run)?;
    let sketches = if dry_run || !with_sketches { SketchesReport::default() } else { sketches(context, &repo)? };
    read_or_not(print_index(context, plan.as_ref(), &report, &sketches, dry_run))?;
    Ok(if report.unreadable_packs > 0 { Outcome::Damage } else { Outcome::Done })
}

fn print_index(context: &Context, plan: Option<&Report>, report: &Report, sketches: &SketchesReport, dry_run: bool) -> Result<()> {
    let mut out = context.ui.out();
    plan.map_or(Ok(()), |plan| out.line(line(plan, "plan")))?;
    if context.ui.json {
        out.json(&Message::Repaired(summary(report, sketches, dry_run)))?;
    } else if !context.ui.quiet {
        out.line(line(report, if dry_run { "dry run" } else { "index repaired" }))?;
        if sketches.packs > 0 {
            let (packs, chunks) = (count(sketches.packs, "pack"), count(sketches.chunks, "chunk"));
            out.line(format_args!("sketches made for {chunks} of {packs}: {} read", size(sketches.read_bytes)))?;
        }
    }
    out.done()
}

fn index_once(context: &Context, repo: &store_core::repo::Repo, dry_run: bool) -> Result<Report> {
    let watch = Watch::new(context.ui);
    let report = repair::index(repo, dry_run, &watch);
    watch.finish();
    Ok(report?)
}

fn sketches(context: &Context, repo: &store_core::repo::Repo) -> Result<SketchesReport> {
    let watch = Watch::new(context.ui);
    let report = repair::sketches(repo, &watch);
    watch.finish();
    Ok(report?)
}

fn line(report: &Report, what: &str) -> String {
    let mut parts = vec![
        what.to_owned(),
        count(report.packs, "pack"),
        format!("{} added with {}", report.added_packs, count(report.chunks, "chunk")),
        count(report.segments, "new segment"),
    ];
    if report.damaged_segments > 0 {
        parts.push(count(report.damaged_segments, "damaged segment"));
    }
    if report.unreadable_packs > 0 {
        parts.push(count(report.unreadable_packs, "unreadable pack"));
    }
    parts.join("  ")
}

fn summary(report: &Report, sketches: &SketchesReport, dry_run: bool) -> json::Repaired {
    json::Repaired {
        packs: report.packs,
        packs_added: report.added_packs,
        chunks_added: report.chunks,
        segments_written: report.segments,
        segments_damaged: report.damaged_segments,
        packs_unreadable: report.unreadable_packs,
        chunks_sketched: sketches.chunks,
        read_bytes: sketches.read_bytes,
        dry_run,
    }
}
