use store_core::base::ids::SnapshotId;
use store_core::ops;
use store_core::ops::list::{Filter, list, parse_until, resolve};
use store_core::ops::tag::{self, Hold, Options, Report};

use super::{Context, filter, words};
use crate::args::Tag;
use crate::exit::{Failure, Outcome, Result};
use crate::output::human::{count, printable};
use crate::output::json::Message;

pub(super) fn run(context: &Context, args: &Tag) -> Result {
    let options = options(args, context.global.dry_run)?;
    let filter = filter(&args.filters)?;
    let repo = context.open()?;
    let ids: Vec<SnapshotId> = if !args.snaps.is_empty() {
        let found: Result<Vec<_>, ops::Error> = args.snaps.iter().map(|snap| resolve(&repo, snap, &filter)).collect();
        found?.into_iter().map(|item| item.id).collect()
    } else if filter != Filter::default() {
        list(&repo, &filter)?.into_iter().map(|item| item.id).collect()
    } else if !options.unrefs.is_empty() {
        Vec::new()
    } else {
        return Err(Failure::usage("no snapshot is named: give SNAP, or filters for several"));
    };
    let report = tag::tag(&repo, &ids, &options)?;
    let mut out = context.ui.out();
    if context.ui.json {
        let changed = report.changed.iter().map(SnapshotId::to_string).collect();
        out.json(&Message::Tagged { changed, unchanged: report.unchanged, unrefs: &report.unrefs, dry_run: options.dry_run })?;
    } else if context.ui.quiet {
        report.changed.iter().try_for_each(|id| out.line(id))?;
    } else {
        out.line(line(&report, options.dry_run))?;
    }
    out.done()?;
    Ok(Outcome::Done)
}

fn line(report: &Report, dry_run: bool) -> String {
    let mut parts = Vec::new();
    match &report.changed[..] {
        [] => {}
        [only] => parts.push(format!("{}  changed", only.short())),
        all => parts.push(format!("{} changed", count(all.len() as u64, "snapshot"))),
    }
    if report.unchanged > 0 {
        parts.push(format!("{} as they were", report.unchanged));
    }
    parts.extend(report.unrefs.iter().map(|name| format!("{} points nowhere", printable(name.as_bytes()))));
    if parts.is_empty() {
        parts.push("no snapshot".to_owned());
    }
    if dry_run {
        parts.insert(0, "dry run".to_owned());
    }
    parts.join("  ")
}

fn options(args: &Tag, dry_run: bool) -> Result<Options> {
    let labels = |lists: &[String]| lists.iter().flat_map(|list| words(list)).collect::<Vec<_>>();
    let until =
        args.hold.as_deref().map(parse_until).transpose().map_err(|error| Failure::with(ops::ErrorKind::Usage, "--hold", &error))?;
    let pin = (args.pin || args.hold.is_some()).then(|| Hold { reason: args.reason.clone(), until });
    if args.reason.is_some() && pin.is_none() {
        return Err(Failure::usage("--reason says why something is pinned or held: give --pin or --hold"));
    }
    let mut meta = Vec::new();
    for pair in &args.meta {
        match pair.split_once('=') {
            Some((key, value)) if !key.is_empty() => meta.push((key.to_owned(), Some(value.to_owned()))),
            _ => return Err(Failure::usage(format!("--meta: '{pair}' is not KEY=VALUE"))),
        }
    }
    meta.extend(args.unset_meta.iter().map(|key| (key.clone(), None)));
    let options = Options {
        add: labels(&args.add),
        remove: labels(&args.remove),
        set: (!args.set.is_empty()).then(|| labels(&args.set)),
        refs: args.refs.clone(),
        unrefs: args.unrefs.clone(),
        pin,
        unpin: args.unpin,
        meta,
        description: args.description.clone(),
        dry_run: false,
    };
    if options == Options::default() {
        return Err(Failure::usage(
            "nothing is said: give --add, --remove, --set, --ref, --unref, --pin, --hold, --unpin, --meta or --description",
        ));
    }
    Ok(Options { dry_run, ..options })
}
