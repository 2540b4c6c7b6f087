use store_core::ops::repair;

use super::Context;
use crate::args::{Repair, RepairAction};
use crate::exit::{Outcome, Result};
use crate::output::human::count;
use crate::output::json::Message;

pub(super) fn run(context: &Context, args: &Repair) -> Result {
    let RepairAction::Index = args.action;
    let dry_run = context.global.dry_run;
    let repo = context.open()?;
    let report = repair::index(&repo, dry_run)?;
    let mut out = context.ui.out();
    if context.ui.json {
        out.json(&Message::Repaired { packs: report.packs, segments: report.segments, chunks: report.chunks, dry_run })?;
    } else if !context.ui.quiet {
        let what = if dry_run { "dry run" } else { "index rebuilt" };
        out.line(format_args!(
            "{what}  {}  {}  {}",
            count(report.packs, "pack"),
            count(report.segments, "index segment"),
            count(report.chunks, "chunk")
        ))?;
    }
    out.done()?;
    Ok(Outcome::Done)
}
