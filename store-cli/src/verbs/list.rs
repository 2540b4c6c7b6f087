use std::collections::BTreeSet;

use store_core::base::ids::SnapshotId;
use store_core::format::snapshot::Snapshot;
use store_core::ops::list::{Item, list};

use super::{Context, filter};
use crate::args::List;
use crate::exit::{Outcome, Result};
use crate::output::human::{local_time, printable, rfc3339, size};
use crate::output::json::{self, Message};
use crate::output::table::{Column, layout};

pub(super) fn run(context: &Context, args: &List) -> Result {
    let filter = filter(&args.filters)?;
    let repo = context.open()?;
    let items = list(&repo, &filter)?;
    let mut out = context.ui.out();
    if context.ui.json {
        for item in &items {
            out.json(&Message::Snapshot(Box::new(object(item))))?;
        }
    } else if context.ui.quiet {
        for item in &items {
            out.line(item.id)?;
        }
    } else {
        std::io::Write::write_all(&mut out, table(&items, context.ui.verbose > 0).as_bytes())?;
        if items.is_empty() {
            context.ui.note("no snapshots");
        }
    }
    out.done()?;
    Ok(Outcome::Done)
}

fn table(items: &[Item], more: bool) -> String {
    use Column::{Left, Right};
    let mut columns = vec![
        Left("id"),
        Left("time"),
        Left("series"),
        Left("host"),
        Left("tags"),
        Left("refs"),
        Right("files"),
        Right("size"),
        Right("new"),
        Right("stored"),
    ];
    if more {
        columns.extend([Left("metadata"), Left("description"), Left("paths")]);
    }
    let text = |text: &str| printable(text.as_bytes());
    let rows = items.iter().map(|Item { id, snapshot, .. }| {
        let totals = &snapshot.totals;
        let mut row = vec![
            id.short(),
            local_time(snapshot.time),
            text(snapshot.series.as_deref().unwrap_or_default()),
            text(&snapshot.host),
            text(&joined(&snapshot.tags)),
            text(&joined(&snapshot.refs)),
            totals.files.to_string(),
            size(totals.bytes),
            size(totals.new_bytes),
            size(totals.stored_bytes),
        ];
        if more {
            let meta: Vec<_> = snapshot.meta.iter().map(|(key, value)| format!("{key}={value}")).collect();
            row.extend([
                text(&meta.join(" ")),
                text(snapshot.description.as_deref().unwrap_or_default()),
                text(&paths(snapshot).join(" ")),
            ]);
        }
        row
    });
    layout(&columns, rows)
}

fn joined(names: &BTreeSet<String>) -> String {
    names.iter().map(String::as_str).collect::<Vec<_>>().join(",")
}

fn object(item: &Item) -> json::Snapshot<'_> {
    let Item { id, snapshot, .. } = item;
    let totals = &snapshot.totals;
    json::Snapshot {
        id: id.to_string(),
        short_id: id.short(),
        time: rfc3339(snapshot.time, snapshot.zone),
        parent: snapshot.parent.as_ref().map(SnapshotId::to_string),
        tree: snapshot.root.to_string(),
        paths: paths(snapshot),
        hostname: &snapshot.host,
        username: &snapshot.user,
        series: snapshot.series.as_deref(),
        tags: &snapshot.tags,
        refs: &snapshot.refs,
        description: snapshot.description.as_deref(),
        meta: &snapshot.meta,
        program_version: &snapshot.program,
        summary: json::SnapshotSummary {
            total_files_processed: totals.files,
            total_bytes_processed: totals.bytes,
            dirs: totals.directories,
            others: totals.others,
            data_added: totals.new_bytes,
            data_added_packed: totals.stored_bytes,
            unreadable: totals.unreadable,
        },
    }
}

fn paths(snapshot: &Snapshot) -> Vec<String> {
    snapshot.paths.iter().map(|path| String::from_utf8_lossy(path).into_owned()).collect()
}
