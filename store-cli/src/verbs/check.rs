use std::fmt::Write as _;

use store_core::ops::check::{Finding, Options, Read, Report, check};

use super::{Context, probe};
use crate::args::{Check, Subset};
use crate::exit::{Outcome, Result, read_or_not};
use crate::interrupt;
use crate::output::human::{count, printable, size};
use crate::output::json::{self, Message};
use crate::output::progress::Watch;

pub(super) fn run(context: &Context, args: &Check) -> Result {
    if args.probe {
        return probe::run(context);
    }
    interrupt::listen()?;
    let read = match args.read_data_subset {
        _ if args.read_data => Read::All,
        None => Read::None,
        Some(Subset::Percent(share)) => Read::Percent(share),
        Some(Subset::Part { n, of }) => Read::Part { n, of },
        Some(Subset::Bytes(bytes)) => Read::Bytes(bytes),
    };
    let repo = context.open()?;
    let watch = Watch::new(context.ui);
    let report = check(&repo, &Options { read }, &watch);
    watch.finish();
    let report = report?;
    read_or_not(print(context, &report))?;
    Ok(if report.findings.is_empty() { Outcome::Done } else { Outcome::Damage })
}

fn print(context: &Context, report: &Report) -> Result<()> {
    let mut out = context.ui.out();
    for finding in &report.findings {
        if context.ui.json {
            out.json(&Message::Finding(object(finding)))?;
        } else {
            out.line(line(finding))?;
        }
    }
    for note in &report.notes {
        if context.ui.json {
            out.json(&Message::Note(object(note)))?;
        } else if !context.ui.quiet {
            out.line(format_args!("note: {}; no snapshot needs what is lost there, or another pack has it", line(note)))?;
        }
    }
    if context.ui.json {
        out.json(&Message::Checked(summary(report)))?;
    } else if !context.ui.quiet {
        let read = if report.read_bytes > 0 { format!("  read {}", size(report.read_bytes)) } else { String::new() };
        let verdict = match report.findings.len() as u64 {
            0 => "no damage".to_owned(),
            n => count(n, "finding"),
        };
        out.line(format_args!(
            "{verdict}  {}  {}  {}  {}{read}",
            count(report.snapshots, "snapshot"),
            count(report.packs, "pack"),
            count(report.blobs, "blob"),
            count(report.chunks, "chunk"),
        ))?;
    }
    out.done()
}

pub(super) fn line(finding: &Finding) -> String {
    let mut text = printable(finding.object.as_bytes());
    if let Some(range) = &finding.range {
        let _ = write!(text, ", bytes {} to {}", range.start, range.end);
    }
    let _ = write!(text, ": {}", printable(finding.problem.as_bytes()));
    if !finding.hits.is_empty() {
        let hits: Vec<_> = finding.hits.iter().map(|hit| format!("{}:{}", hit.snapshot.short(), printable(hit.path.as_bytes()))).collect();
        let _ = write!(text, "; hits {}", hits.join(", "));
        if finding.more_hits > 0 {
            let _ = write!(text, " and {} more", finding.more_hits);
        }
    }
    text
}

pub(super) fn object(finding: &Finding) -> json::Finding<'_> {
    json::Finding {
        object: &finding.object,
        range: finding.range.as_ref().map(|range| [range.start, range.end]),
        message: &finding.problem,
        hits: finding.hits.iter().map(|hit| json::Hit { snapshot_id: hit.snapshot.to_string(), path: &hit.path }).collect(),
        more_hits: finding.more_hits,
    }
}

fn summary(report: &Report) -> json::Checked {
    json::Checked {
        num_errors: report.findings.len() as u64,
        num_notes: report.notes.len() as u64,
        snapshots: report.snapshots,
        packs: report.packs,
        packs_unlisted: report.unlisted_packs,
        blobs: report.blobs,
        chunks: report.chunks,
        nodes: report.nodes,
        bytes_read: report.read_bytes,
    }
}
