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
        RepairAction::Index { no_sketches, execute } => index(context, !no_sketches, *execute && !context.global.dry_run),
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

fn index(context: &Context, with_sketches: bool, execute: bool) -> Result {
    let repo = context.open()?;
    let watch = Watch::new(context.ui);
    let report = repair::index(&repo, !execute, &watch);
    watch.finish();
    let report = report?;
    let sketches = if execute && with_sketches { sketches(context, &repo)? } else { SketchesReport::default() };
    read_or_not(print_index(context, &report, &sketches, execute))?;
    let is_damaged = report.unreadable_packs > 0 || !execute && report.damaged_segments > 0;
    Ok(if is_damaged { Outcome::Damage } else { Outcome::Done })
}

fn print_index(context: &Context, report: &Report, sketches: &SketchesReport, execute: bool) -> Result<()> {
    let mut out = context.ui.out();
    if context.ui.json {
        out.json(&Message::Repaired(summary(report, sketches, !execute)))?;
    } else if !context.ui.quiet {
        out.line(line(report, execute))?;
        if sketches.packs > 0 {
            let (packs, chunks) = (count(sketches.packs, "pack"), count(sketches.chunks, "chunk"));
            out.line(format_args!("sketches made for {chunks} of {packs}: {} read", size(sketches.read_bytes)))?;
        }
    }
    out.done()
}

fn sketches(context: &Context, repo: &store_core::repo::Repo) -> Result<SketchesReport> {
    let watch = Watch::new(context.ui);
    let report = repair::sketches(repo, &watch);
    watch.finish();
    Ok(report?)
}

fn line(report: &Report, execute: bool) -> String {
    let would = if execute { "" } else { "would be " };
    let mut parts = Vec::new();
    if execute {
        parts.push("index repaired".to_owned());
    }
    parts.push(count(report.packs, "pack"));
    parts.push(format!("{} {would}added with {}", report.added_packs, count(report.chunks, "chunk")));
    parts.push(count(report.segments, "new segment"));
    if report.damaged_segments > 0 {
        parts.push(count(report.damaged_segments, "damaged segment"));
    }
    if report.unreadable_packs > 0 {
        parts.push(count(report.unreadable_packs, "unreadable pack"));
    }
    if !execute {
        parts.push("nothing was written: --execute does it".to_owned());
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
