use store_core::ops::repair::{self, Report};

use super::Context;
use crate::args::{Repair, RepairAction};
use crate::exit::{Outcome, Result};
use crate::interrupt;
use crate::output::human::count;
use crate::output::json::{self, Message};
use crate::output::progress::Watch;

pub(super) fn run(context: &Context, args: &Repair) -> Result {
    let RepairAction::Index = args.action;
    interrupt::listen()?;
    let dry_run = context.global.dry_run;
    let repo = context.open()?;
    let watch = Watch::new(context.ui);
    let report = repair::index(&repo, dry_run, &watch);
    watch.finish();
    let report = report?;
    let mut out = context.ui.out();
    if context.ui.json {
        out.json(&Message::Repaired(summary(&report, dry_run)))?;
    } else if !context.ui.quiet {
        out.line(line(&report, dry_run))?;
    }
    out.done()?;
    Ok(if report.unreadable_packs > 0 { Outcome::Damage } else { Outcome::Done })
}

fn line(report: &Report, dry_run: bool) -> String {
    let mut parts = vec![
        if dry_run { "dry run" } else { "index repaired" }.to_owned(),
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

fn summary(report: &Report, dry_run: bool) -> json::Repaired {
    json::Repaired {
        packs: report.packs,
        packs_added: report.added_packs,
        chunks_added: report.chunks,
        segments_written: report.segments,
        segments_damaged: report.damaged_segments,
        packs_unreadable: report.unreadable_packs,
        dry_run,
    }
}
