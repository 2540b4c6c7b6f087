use std::collections::BTreeSet;

use store_core::base::ids::SnapshotId;
use store_core::format::snapshot::Snapshot;
use store_core::notes::Pin;
use store_core::ops::list::{self, Filter, Item, listing};
use store_core::repo::Repo;

use super::{Context, filter};
use crate::args::List;
use crate::exit::{Outcome, Result};
use crate::output::human::{local_time, printable, rfc3339, size};
use crate::output::json::{self, Message};
use crate::output::table::{Column, layout};

pub(super) fn run(context: &Context, args: &List) -> Result {
    let filter = filter(&args.filters)?;
    let repo = context.open()?;
    if args.refs {
        return refs(context, &repo, &filter);
    }
    let listing = listing(&repo, &filter)?;
    let items = if args.forgotten { listing.forgotten } else { listing.items };
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
        let text = if args.forgotten { table_of_forgotten(&items) } else { table(&items, context.ui.verbose > 0) };
        std::io::Write::write_all(&mut out, text.as_bytes())?;
        if items.is_empty() {
            context.ui.note(if args.forgotten { "nothing is forgotten" } else { "no snapshots" });
        }
    }
    out.done()?;
    // What cannot be read is not listed: that is told at the end.
    Ok(if listing.unread > 0 { Outcome::Damage } else { Outcome::Done })
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
    let partial = items.iter().any(|item| item.snapshot.totals.unreadable > 0);
    columns.extend(partial.then_some(Right("unreadable")));
    if more {
        columns.extend([Left("pinned"), Left("metadata"), Left("description"), Left("paths")]);
    }
    let text = |text: &str| printable(text.as_bytes());
    let rows = items.iter().map(|Item { id, snapshot, standing }| {
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
        row.extend(partial.then(|| if totals.unreadable > 0 { totals.unreadable.to_string() } else { String::new() }));
        if more {
            let meta: Vec<_> = snapshot.meta.iter().map(|(key, value)| format!("{key}={value}")).collect();
            row.extend([
                text(&standing.pins.iter().map(pin).collect::<Vec<_>>().join("; ")),
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
    let Item { id, snapshot, standing } = item;
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
        pins: standing.pins.iter().map(json_pin).collect(),
        forgotten: standing.forgotten.as_ref().map(|forgotten| json::Trash {
            author: &forgotten.by,
            time: rfc3339(forgotten.time, 0),
            reason: &forgotten.reason,
            until: forgotten.until.map(|until| rfc3339(until, 0)),
        }),
    }
}

fn json_pin(pin: &Pin) -> json::Pin<'_> {
    json::Pin {
        author: &pin.by,
        time: rfc3339(pin.time, 0),
        reason: pin.reason.as_deref(),
        until: pin.until.map(|until| rfc3339(until, 0)),
    }
}

/// A pin as one line: `audit until 2026-12-31 00:00:00`.
fn pin(pin: &Pin) -> String {
    let until = pin.until.map(|until| format!("until {}", local_time(until)));
    let parts: Vec<String> = pin.reason.clone().into_iter().chain(until).collect();
    if parts.is_empty() { "yes".to_owned() } else { parts.join(" ") }
}

fn table_of_forgotten(items: &[Item]) -> String {
    use Column::Left;
    let columns = ["id", "time", "series", "tags", "forgotten", "can come back until", "by", "reason"].map(Left);
    let rows = items.iter().filter_map(|item| {
        let forgotten = item.standing.forgotten.as_ref()?;
        let text = |text: &str| printable(text.as_bytes());
        Some(vec![
            item.id.short(),
            local_time(item.snapshot.time),
            text(item.snapshot.series.as_deref().unwrap_or_default()),
            text(&joined(&item.snapshot.tags)),
            local_time(forgotten.time),
            forgotten.until.map_or_else(|| "the next prune".to_owned(), local_time),
            text(&forgotten.by),
            text(&forgotten.reason),
        ])
    });
    layout(&columns, rows)
}

fn refs(context: &Context, repo: &Repo, filter: &Filter) -> Result {
    use Column::{Left, Right};
    let moves = list::refs(repo, filter)?;
    let mut out = context.ui.out();
    if context.ui.json {
        for list::RefMove { name, back, to } in &moves {
            let snapshot_id = to.to.as_ref().map(SnapshotId::to_string);
            out.json(&Message::Ref(json::RefMove { name, back: *back, snapshot_id, time: rfc3339(to.time, 0), author: &to.by }))?;
        }
    } else {
        let rows = moves.iter().map(|list::RefMove { name, back, to }| {
            let to_whom = to.to.map_or_else(|| "nowhere".to_owned(), |id| id.short());
            vec![printable(name.as_bytes()), format!("@{{{back}}}"), to_whom, local_time(to.time), printable(to.by.as_bytes())]
        });
        let text = layout(&[Left("ref"), Right("back"), Left("snapshot"), Left("moved"), Left("by")], rows);
        std::io::Write::write_all(&mut out, text.as_bytes())?;
        if moves.is_empty() {
            context.ui.note("no refs");
        }
    }
    out.done()?;
    Ok(Outcome::Done)
}

fn paths(snapshot: &Snapshot) -> Vec<String> {
    snapshot.paths.iter().map(|path| String::from_utf8_lossy(path).into_owned()).collect()
}
