use store_core::ops::ErrorKind;
use store_core::ops::list::Item;
use store_core::ops::restore::{Options, Overwrite, Report, restore};

use super::{Context, filter, place_of_files};
use crate::args::{self, Restore};
use crate::exit::{Failure, Outcome, Result};
use crate::interrupt;
use crate::output::human::{count, duration, size};
use crate::output::json::{Message, Restored};
use crate::output::progress::Watch;

pub(super) fn run(context: &Context, args: Restore) -> Result {
    interrupt::listen()?;
    let Some(target) = args.target else {
        return Err(Failure::usage("no target is given: nothing is ever restored in place").hint("name a folder to write into with -t"));
    };
    let filter = filter(&args.filters)?;
    let repo = context.open()?;
    let (item, path) = place_of_files(&repo, &args.place, &filter)?;
    let dry_run = context.global.dry_run || args.plan;
    let options = Options {
        target,
        path,
        include: [args.patterns, args.include].concat(),
        exclude: args.exclude,
        overwrite: match args.overwrite {
            args::Overwrite::Always => Overwrite::Always,
            args::Overwrite::IfChanged => Overwrite::IfChanged,
            args::Overwrite::IfNewer => Overwrite::IfNewer,
            args::Overwrite::Never => Overwrite::Never,
        },
        delete: args.delete,
        verify: args.verify,
        sparse: args.sparse,
        dry_run,
    };
    let watch = Watch::new(context.ui);
    let report = restore(&repo, &item, &options, &watch);
    watch.finish();
    let report = report.map_err(|error| {
        let failure = Failure::from(error);
        if failure.kind() == ErrorKind::Interrupted {
            return failure.hint("the same command goes on from here: what was written already is not written again");
        }
        failure
    })?;
    let mut out = context.ui.out();
    if context.ui.json {
        out.json(&Message::Restored(summary(&item, &report, dry_run)))?;
    } else if !context.ui.quiet {
        out.line(line(&item, &report, dry_run))?;
        if args.plan {
            let plan = &report.plan;
            out.line(format_args!("reads {} from {} and {}", size(plan.read_bytes), count(plan.packs, "pack"), count(plan.blobs, "blob")))?;
        }
    }
    out.done()?;
    Ok(if report.failed > 0 { Outcome::Incomplete } else { Outcome::Done })
}

fn line(item: &Item, report: &Report, dry_run: bool) -> String {
    let mut parts = vec![
        if dry_run { format!("dry run of {}", item.id.short()) } else { item.id.short() },
        count(report.files, "file"),
        size(report.bytes),
        format!("written {}", size(report.written_bytes)),
    ];
    if report.kept_bytes > 0 {
        parts.push(format!("right already {}", size(report.kept_bytes)));
    }
    if report.deleted > 0 {
        parts.push(format!("deleted {}", report.deleted));
    }
    parts.push(duration(report.duration));
    if report.failed > 0 {
        parts.push(format!("{} failed", report.failed));
    }
    parts.join("  ")
}

fn summary(item: &Item, report: &Report, dry_run: bool) -> Restored {
    Restored {
        snapshot_id: item.id.to_string(),
        total_files: report.files,
        dirs: report.directories,
        others: report.others,
        total_bytes: report.bytes,
        bytes_restored: report.written_bytes,
        bytes_skipped: report.kept_bytes,
        files_deleted: report.deleted,
        files_failed: report.failed,
        packs_read: report.plan.packs,
        blobs_read: report.plan.blobs,
        bytes_read: report.plan.read_bytes,
        total_duration: report.duration.as_secs_f64(),
        dry_run,
    }
}
