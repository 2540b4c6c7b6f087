use store_core::ops::copy::{Fate, Options, Report, copy};
use store_core::ops::list::{Item, listing, resolve};
use store_core::ops::{self, ErrorKind};
use store_core::repo::Repo;
use store_core::retention::{Calendar, GroupBy, newest_of_periods};

use super::{Context, filter, push};
use crate::args::Copy;
use crate::exit::{Failure, Outcome, Result, read_or_not};
use crate::output::human::{count, duration, ratio, size};
use crate::output::json::{Copied, CopyOf, Message};
use crate::output::progress::Watch;
use crate::{interrupt, locate};

pub(super) fn run(context: &Context, args: &Copy) -> Result {
    interrupt::listen()?;
    let filter = filter(&args.filters)?;
    let second = context.settings.second((&args.to).into())?;
    let (from, to) = context.open_two(&second, locate::second(&second)?, "--to")?;
    let (mut chosen, unread) = match &args.snaps[..] {
        [] => listing(&from, &filter).map(|listing| (listing.items, listing.unread))?,
        snaps => (snaps.iter().map(|snap| resolve(&from, snap, &filter)).collect::<Result<Vec<_>, ops::Error>>()?, 0),
    };
    if let Some(period) = args.select {
        let last = newest_of_periods(&chosen, GroupBy::Line, period, &Calendar::Recorded);
        chosen.retain(|item| last.contains(&item.id));
    }
    if chosen.is_empty() && unread == 0 {
        context.ui.note("there is no snapshot to copy, or the filters let none through: `snap list` shows all");
    }
    let options = Options { verify: args.verify, no_delta: args.no_delta, dry_run: context.global.dry_run };
    let mut report = copy_and_tell(context, &from, &to, &chosen, &options)?;
    // Among all that are to be copied are those of which nothing but the name can be read.
    report.failed += unread;
    read_or_not(print(context, &report, options.dry_run))?;
    Ok(if report.failed > 0 { Outcome::Damage } else { Outcome::Done })
}

/// Copies, and prints what became of each snapshot as soon as it is known, as long as anybody reads that.
fn copy_and_tell(context: &Context, from: &Repo, to: &Repo, chosen: &[Item], options: &Options) -> Result<Report> {
    let watch = Watch::new(context.ui);
    let mut unprinted = None;
    let report = copy(from, to, chosen, options, &watch, &mut |item, fate| {
        let mut printed = Ok(());
        watch.aside(|| printed = read_or_not(tell(context, item, fate, options.dry_run)));
        printed.map_err(|failure| {
            let error = ops::Error::new(ErrorKind::Failed, failure.to_string());
            unprinted = Some(failure);
            error
        })
    });
    watch.finish();
    if let Some(failure) = unprinted {
        return Err(failure);
    }
    report.map_err(|error| {
        let failure = Failure::from(error);
        if failure.kind() == ErrorKind::Interrupted || interrupt::requested() {
            return failure.of_kind(ErrorKind::Interrupted).hint("the same command goes on from here: what was written is taken up");
        }
        failure
    })
}

pub(super) fn tell(context: &Context, item: &Item, fate: &Fate, dry_run: bool) -> Result<()> {
    let mut out = context.ui.out();
    if context.ui.json {
        let (action, copy) = match fate {
            Fate::Copied(report) => ("copied", report.snapshot),
            Fate::Present(id) => ("present", Some(*id)),
            Fate::Failed => ("failed", None),
        };
        let push = if let Fate::Copied(report) = fate { Some(push::summary(report, dry_run)) } else { None };
        let copy_id = copy.map(|id| id.to_string());
        out.json(&Message::CopyOf(Box::new(CopyOf { source_snapshot_id: item.id.to_string(), action, copy_id, push })))?;
        return out.done();
    }
    match fate {
        Fate::Copied(report) if context.ui.quiet => report.snapshot.iter().try_for_each(|id| out.line(id))?,
        Fate::Copied(report) => out.line(format_args!("{} -> {}", item.id.short(), push::line(report, dry_run)))?,
        Fate::Present(id) if context.ui.verbose > 0 => out.line(format_args!("{} -> {}  is there", item.id.short(), id.short()))?,
        Fate::Present(_) | Fate::Failed => {}
    }
    out.done()
}

fn print(context: &Context, report: &Report, dry_run: bool) -> Result<()> {
    let mut out = context.ui.out();
    if context.ui.json {
        out.json(&Message::Copied(Copied {
            snapshots_copied: report.copied,
            snapshots_present: report.present,
            snapshots_failed: report.failed,
            total_files_processed: report.files,
            total_bytes_processed: report.bytes,
            bytes_read: report.bytes_read,
            data_added: report.new_bytes,
            data_added_packed: report.stored_bytes,
            total_duration: report.duration.as_secs_f64(),
            dry_run,
        }))?;
    } else if !context.ui.quiet {
        out.line(line(report, dry_run))?;
    }
    out.done()
}

fn line(report: &Report, dry_run: bool) -> String {
    let done = if dry_run { "would copy" } else { "copied" };
    let mut parts = vec![format!("{done} {}", count(report.copied, "snapshot"))];
    if report.present > 0 {
        parts.push(format!("{} there already", report.present));
    }
    if report.failed > 0 {
        parts.push(format!("{} damaged", report.failed));
    }
    if report.copied > 0 {
        let stored = if dry_run { "stored at most" } else { "stored" };
        parts.extend([size(report.bytes), format!("new {}", size(report.new_bytes)), format!("{stored} {}", size(report.stored_bytes))]);
        parts.extend(ratio(report.bytes, report.stored_bytes).map(|ratio| format!("({ratio})")));
    }
    parts.push(duration(report.duration));
    parts.join("  ")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_summary_is_one_line() {
        let report = Report {
            copied: 3,
            present: 2,
            bytes: 14_000_000_000,
            new_bytes: 590_000_000,
            stored_bytes: 571_000_000,
            duration: Duration::from_millis(9_800),
            ..Report::default()
        };
        assert_eq!(line(&report, false), "copied 3 snapshots  2 there already  14.0 GB  new 590 MB  stored 571 MB  (24.5x)  9.8 s");
        let nothing = Report { copied: 0, failed: 1, ..report };
        assert_eq!(line(&nothing, true), "would copy 0 snapshots  2 there already  1 damaged  9.8 s");
    }
}
