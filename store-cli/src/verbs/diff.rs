use std::ffi::OsStr;
use std::io::Write;
use std::path::Path;

use store_core::ops::ErrorKind;
use store_core::ops::diff::{self, Change, Options, Side, Totals, What};
use store_core::ops::list::Filter;
use store_core::repo::Repo;

use super::{Context, filter, ls, place, push};
use crate::args::{Diff, Push};
use crate::exit::{Failure, Outcome, Result};
use crate::output::Out;
use crate::output::human::{count, printable, size};
use crate::output::json::{self, Message};
use crate::output::table::{Column, layout};

pub(super) fn run(context: &Context, args: &Diff) -> Result {
    let filter = filter(&args.filters)?;
    let repo = context.open()?;
    let (from, to) = sides(&repo, args, &filter)?;
    // What a push would leave out was never there to be compared.
    let options = Options { metadata: args.metadata, excludes: push::excludes(context, &Push::default(), &[&repo.location()])? };
    let mut out = context.ui.out();
    if args.tensors {
        tensors(context, &repo, (&from, &to), &options, &mut out)?;
    } else {
        files(context, args, &repo, (&from, &to), &options, &mut out)?;
    }
    out.done()?;
    Ok(Outcome::Done)
}

fn sides(repo: &Repo, args: &Diff, filter: &Filter) -> Result<(Side, Side)> {
    let side = |text: &OsStr| place(repo, text, filter).map(|(item, place)| Side::Snapshot(item, place.path));
    match &args.to {
        Some(to) if is_folder(to) => Ok((side(&args.from)?, Side::Folder(to.into()))),
        // No snapshot is named like this, and to say that there is none would help nobody.
        Some(to) if is_path(to) => {
            let path = Path::new(to);
            path.symlink_metadata()
                .map_err(|error| Failure::with(ErrorKind::Usage, format_args!("cannot compare with {}", path.display()), &error))?;
            Ok((side(&args.from)?, Side::Folder(to.into())))
        }
        Some(to) => Ok((side(&args.from)?, side(to)?)),
        None => {
            let (item, place) = place(repo, &args.from, filter)?;
            let Some(parent) = item.snapshot.parent else {
                return Err(Failure::usage(format!("{} has no parent to compare it with", args.from.display()))
                    .hint("name a second snapshot or a folder"));
            };
            let parent = store_core::ops::list::resolve(repo, &parent.to_string(), &Filter::default())?;
            Ok((Side::Snapshot(parent, place.path.clone()), Side::Snapshot(item, place.path)))
        }
    }
}

/// Whether the second side is a folder: `.`, `..`, or something with a `/` and no `:` that is a directory. The rest is a snapshot, so
/// that a folder that happens to be called `latest` hides none.
fn is_folder(text: &OsStr) -> bool {
    let bytes = text.as_encoded_bytes();
    bytes == b"." || bytes == b".." || (bytes.contains(&b'/') && !bytes.contains(&b':') && Path::new(text).is_dir())
}

/// Whether it is spelled as a path and as nothing else.
fn is_path(text: &OsStr) -> bool {
    [&b"./"[..], b"../", b"/"].iter().any(|start| text.as_encoded_bytes().starts_with(start))
}

fn files(context: &Context, args: &Diff, repo: &Repo, (from, to): (&Side, &Side), options: &Options, out: &mut Out) -> Result<()> {
    let list = !args.stat && !context.ui.quiet;
    let mut broken = None;
    let totals = diff::diff(repo, from, to, options, &mut |change| {
        let shown = if list { print(context, out, &change) } else { Ok(()) };
        shown.map_err(|failure| {
            let error = store_core::ops::Error::new(failure.kind(), failure.to_string());
            broken = Some(failure);
            error
        })
    });
    let totals = match (totals, broken) {
        (_, Some(failure)) => return Err(failure),
        (totals, None) => totals?,
    };
    if context.ui.json {
        return out.json(&Message::Compared(summary(&totals)));
    }
    if !list && !args.stat {
        return Ok(());
    }
    let Totals { added, removed, changed, added_bytes, removed_bytes, .. } = totals;
    out.line(format_args!(
        "{} added, {removed} removed, {changed} changed  +{}  -{}",
        count(added, "file"),
        size(added_bytes),
        size(removed_bytes)
    ))
}

fn print(context: &Context, out: &mut Out, change: &Change) -> Result<()> {
    let modifier = sign(change.what);
    if context.ui.json {
        let (added, removed) = (change.what == What::Added, change.what == What::Removed);
        return out.json(&Message::Change(json::Change {
            path: &String::from_utf8_lossy(&change.path),
            modifier,
            old_size: (!added).then_some(change.old_size),
            new_size: (!removed).then_some(change.new_size),
        }));
    }
    out.write_all(format!("{modifier}  ").as_bytes())?;
    out.name(&change.path)
}

fn summary(totals: &Totals) -> json::Compared {
    json::Compared {
        added_files: totals.added,
        removed_files: totals.removed,
        changed_files: totals.changed,
        added_bytes: totals.added_bytes,
        removed_bytes: totals.removed_bytes,
    }
}

fn tensors(context: &Context, repo: &Repo, (from, to): (&Side, &Side), options: &Options, out: &mut Out) -> Result<()> {
    let changes = diff::tensors(repo, from, to, options)?;
    if context.ui.json {
        for change in &changes {
            out.json(&Message::TensorChange(json::TensorChange {
                file: &String::from_utf8_lossy(&change.file),
                name: &change.name,
                modifier: sign(change.what),
                dtype: change.dtype.to_string(),
                shape: &change.shape,
                elements: change.elements,
                changed_elements: change.changed_elements,
                max_abs_diff: change.max_abs_diff,
            }))?;
        }
        return Ok(());
    }
    // Of two files that were named there is nothing to tell apart.
    let named = changes.iter().any(|change| !change.file.is_empty());
    let mut columns = vec![Column::Left("")];
    columns.extend(named.then_some(Column::Left("file")));
    columns.extend([
        Column::Left("tensor"),
        Column::Left("type"),
        Column::Left("shape"),
        Column::Right("elements"),
        Column::Right("changed"),
        Column::Right("largest step"),
    ]);
    let rows = changes.iter().map(|change| {
        let mut row = vec![sign(change.what).to_string()];
        row.extend(named.then(|| printable(&change.file)));
        row.extend([
            printable(change.name.as_bytes()),
            change.dtype.to_string(),
            ls::shape(&change.shape),
            change.elements.to_string(),
            share(change.changed_elements, change.elements),
            change.max_abs_diff.map_or_else(String::new, |step| format!("{step:.3e}")),
        ]);
        row
    });
    Ok(out.write_all(layout(&columns, rows).as_bytes())?)
}

fn share(part: u64, of: u64) -> String {
    if of == 0 { String::new() } else { format!("{:.1}%", part as f64 * 100.0 / of as f64) }
}

fn sign(what: What) -> char {
    match what {
        What::Added => '+',
        What::Removed => '-',
        What::Modified => 'M',
        What::TypeChanged => 'T',
        What::Metadata => 'U',
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_told_from_a_snapshot() {
        let folder = tempfile::tempdir().unwrap();
        assert!(is_folder(OsStr::new(".")) && is_folder(OsStr::new("..")) && is_folder(folder.path().as_os_str()));
        for snapshot in ["latest", "src", "latest:a/b", "no/such/folder", "a/b:c"] {
            assert!(!is_folder(OsStr::new(snapshot)), "{snapshot}");
        }
    }
}
