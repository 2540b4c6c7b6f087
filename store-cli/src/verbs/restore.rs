use store_core::ops::ErrorKind;
use store_core::ops::list::Item;
use store_core::ops::restore::{Options, Overwrite, Report, restore_with};
use store_core::source::{Case, ExcludeBuilder, Excludes};

use std::path::PathBuf;

use super::{Context, filter, place_of_files};
use crate::args::{self, Restore};
use crate::exit::{Failure, Outcome, Result, chain, read_or_not};
use crate::interrupt;
use crate::output::human::{count, duration, size};
use crate::output::json::{Message, Restored};
use crate::output::progress::Watch;
use crate::settings::{Access, Password};

pub(super) fn run(context: &Context, args: Restore) -> Result {
    interrupt::listen()?;
    let Some(target) = args.target else {
        return Err(Failure::usage("no target is given: nothing is ever restored in place").hint("name a folder to write into with -t"));
    };
    let filter = filter(&args.filters)?;
    let spare = context.settings.spare((&args.from).into())?;
    let (repo, second) = context.open_with_spare(&spare)?;
    let (item, path) = place_of_files(&repo, &args.place, &filter)?;
    let dry_run = context.global.dry_run || args.plan;
    let options = Options {
        target,
        path,
        include: patterns(&[args.patterns, args.include].concat(), "--include")?,
        exclude: patterns(&args.exclude, "--exclude")?,
        overwrite: match args.overwrite {
            args::Overwrite::Always => Overwrite::Always,
            args::Overwrite::IfChanged => Overwrite::IfChanged,
            args::Overwrite::IfNewer => Overwrite::IfNewer,
            args::Overwrite::Never => Overwrite::Never,
        },
        delete: args.delete,
        keep: kept(context, &spare),
        verify: args.verify,
        sparse: args.sparse,
        dry_run,
    };
    let watch = Watch::new(context.ui);
    let report = restore_with(&repo, &item, second.as_deref(), &options, &watch);
    watch.finish();
    let report = report.map_err(|error| {
        let failure = Failure::from(error);
        if failure.kind() == ErrorKind::Interrupted {
            return failure.hint("the same command goes on from here: what was written already is not written again");
        }
        failure
    })?;
    read_or_not(print(context, &item, &report, dry_run, args.plan))?;
    let nothing = report.files + report.directories + report.others + report.failed + report.lost == 0;
    if nothing && options.include.is_some() {
        let message = format!("nothing in {} matches what was asked for, so nothing is restored", item.id.short());
        return Err(Failure::new(ErrorKind::Failed, message)
            .hint(format!("`snap ls -R {}` shows the paths: a pattern without a / matches a name in any folder", item.id.short())));
    }
    Ok(match (report.failed, report.lost) {
        (0, 0) => Outcome::Done,
        (0, _) => Outcome::Partial,
        _ => Outcome::Incomplete(report.gravest.unwrap_or(ErrorKind::Failed)),
    })
}

fn print(context: &Context, item: &Item, report: &Report, dry_run: bool, plan: bool) -> Result<()> {
    let mut out = context.ui.out();
    if context.ui.json {
        out.json(&Message::Restored(summary(item, report, dry_run)))?;
    } else if !context.ui.quiet {
        out.line(line(item, report, dry_run))?;
        if plan {
            out.line(format_args!("reads {} in {}", size(report.read_bytes), count(report.blobs, "blob")))?;
        } else if context.ui.verbose > 0 && !dry_run {
            let (read, blobs) = (size(report.read_bytes), count(report.blobs, "blob"));
            out.line(format_args!("read {read} in {blobs}, decoded {} times", report.decoded))?;
        }
    }
    out.done()
}

/// What --delete leaves alone besides the repositories: what a push leaves out, and what opens them.
fn kept(context: &Context, spare: &Access) -> Vec<PathBuf> {
    let opening = |access: &Access| {
        let password = access.password.as_ref().and_then(|password| match &password.value {
            Password::File(path) => Some(path.clone()),
            Password::Command(_) | Password::Variable(_) => None,
        });
        [password, access.key_file.as_ref().map(|file| file.value.clone())]
    };
    let opening = [&context.settings.access, spare].into_iter().flat_map(opening).flatten();
    opening.chain([context.settings.cache_dir.clone()]).collect()
}

/// Compiles patterns; none at all is nothing to match.
fn patterns(list: &[String], option: &str) -> Result<Option<Excludes>> {
    if list.is_empty() {
        return Ok(None);
    }
    let mut builder = ExcludeBuilder::new();
    let compiled = list.iter().try_for_each(|pattern| builder.glob(pattern, Case::Sensitive, option)).and_then(|()| builder.build());
    compiled.map(Some).map_err(|error| Failure::usage(chain(&error)))
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
    if report.spared_bytes > 0 {
        parts.push(format!("from the second repository {}", size(report.spared_bytes)));
    }
    if report.skipped > 0 {
        parts.push(format!("left as it was {}", report.skipped));
    }
    if report.deleted > 0 {
        parts.push(format!("{} {}", if dry_run { "would delete" } else { "deleted" }, report.deleted));
    }
    parts.push(duration(report.duration));
    if report.failed > 0 {
        parts.push(format!("{} failed", report.failed));
    }
    if report.lost > 0 {
        parts.push(format!("{} lost before", report.lost));
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
        bytes_from_second: report.spared_bytes,
        files_skipped: report.skipped,
        files_deleted: report.deleted,
        files_failed: report.failed,
        files_lost: report.lost,
        blobs_read: report.blobs,
        blobs_decoded: report.decoded,
        bytes_read: report.read_bytes,
        total_duration: report.duration.as_secs_f64(),
        dry_run,
    }
}
