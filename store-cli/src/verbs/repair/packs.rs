use store_core::ops::repair::{Healed, PackLine, PacksOptions, PacksReport, find_pack, packs_with};
use store_core::plan::repair::PackFate;

use super::super::Context;
use super::super::check;
use crate::args::RepairPacks;
use crate::exit::{Outcome, Result, read_or_not};
use crate::output::human::{count, size};
use crate::output::json::{self, Message};
use crate::output::progress::Watch;

pub(super) fn run(context: &Context, args: &RepairPacks) -> Result {
    let execute = args.execute && !context.global.dry_run;
    let (repo, second) = context.open_with_spare(&context.settings.spare((&args.from).into())?)?;
    let named = args.packs.iter().map(|text| find_pack(&repo, text)).collect::<std::result::Result<_, _>>()?;
    let options = PacksOptions { packs: named, read_data: args.read_data, execute };
    let watch = Watch::new(context.ui);
    let report = packs_with(&repo, second.as_deref(), &options, &watch);
    watch.finish();
    let report = report?;
    read_or_not(print(context, &report, execute))?;
    let is_damaged = report.packs.iter().any(|line| line.fate != PackFate::Sound);
    let left = match &second {
        _ if !execute => is_damaged || second.is_some() && !report.findings.is_empty(),
        // Looked at again: what nothing needs that is there is not missed.
        Some(_) => !report.findings.is_empty() || report.packs.iter().any(stays),
        None => report.has_lost() || report.packs.iter().any(stays),
    };
    if left && execute {
        context.ui.note("push the same data again to heal what is lost; for what cannot be pushed again, `snap repair snapshots`");
    }
    Ok(if left { Outcome::Damage } else { Outcome::Done })
}

fn print(context: &Context, report: &PacksReport, execute: bool) -> Result<()> {
    let mut out = context.ui.out();
    for line in &report.packs {
        let (id, reason) = (line.pack.to_string(), line.fate.to_string());
        if context.ui.json {
            out.json(&Message::DamagedPack(object(line, &id, &reason)))?;
        } else {
            out.line(format_args!("packs/{}/{id}: {}; {reason}", &id[..2], state(line)))?;
        }
    }
    // What is lost is named with the files that it hits.
    for finding in report.findings.iter().filter(|finding| !finding.hits.is_empty()) {
        if context.ui.json {
            out.json(&Message::Finding(check::object(finding)))?;
        } else {
            out.line(format_args!("lost: {}", check::line(finding)))?;
        }
    }
    if context.ui.json {
        out.json(&Message::PacksRepaired(summary(report, execute)))?;
    } else if !context.ui.quiet {
        out.line(text(report, execute))?;
    }
    out.done()
}

/// Whether a damaged pack is still there.
fn stays(line: &PackLine) -> bool {
    line.fate != PackFate::Sound && !line.fate.goes()
}

fn state(line: &PackLine) -> String {
    let mut parts = Vec::new();
    let mut add = |n: u64, what: &str| {
        if n > 0 {
            parts.push(format!("{} {what}", count(n, "blob")));
        }
    };
    add(line.copied, "to copy");
    add(line.held, "in other packs, too");
    add(line.waiting, "of these of no use until what they are coded against is pushed again");
    add(line.elsewhere, "lost here and in other packs");
    add(line.withheld, "that cannot be read now");
    add(line.lost, "lost");
    if parts.is_empty() { "nothing to copy".to_owned() } else { parts.join(", ") }
}

fn text(report: &PacksReport, execute: bool) -> String {
    let damaged = report.packs.iter().filter(|line| line.fate != PackFate::Sound).count() as u64;
    let Healed { chunks, nodes, bytes, written_bytes } = report.healed;
    if damaged == 0 && chunks + nodes == 0 {
        return "no damaged pack is known: `snap check --read-data` looks at all, or give --read-data".to_owned();
    }
    let sum = |of: fn(&PackLine) -> u64| report.packs.iter().map(of).sum::<u64>();
    let mut parts = vec![count(damaged, "damaged pack"), format!("{} can be saved", count(sum(|line| line.copied), "blob"))];
    let lost = sum(|line| line.lost);
    if lost > 0 {
        parts.push(format!("{} lost, {}", count(lost, "blob"), size(sum(|line| line.lost_bytes))));
    }
    if chunks + nodes > 0 {
        let (chunks, nodes) = (count(chunks, "chunk"), count(nodes, "list node"));
        parts.push(format!(
            "{chunks} and {nodes}, {}, {} the second repository",
            size(bytes),
            if execute { "from" } else { "can come from" }
        ));
    }
    if execute {
        parts.push(format!("{} written", size(report.written_bytes + written_bytes)));
        parts.push(format!("{} removed", report.removed));
    } else {
        parts.push("nothing was written: --execute does it".to_owned());
    }
    parts.join("  ")
}

fn object<'a>(line: &PackLine, id: &'a str, reason: &'a str) -> json::DamagedPack<'a> {
    json::DamagedPack {
        id,
        size: line.len,
        goes: line.fate.goes(),
        reason,
        blobs_copied: line.copied,
        blobs_held: line.held,
        blobs_waiting: line.waiting,
        blobs_elsewhere: line.elsewhere,
        blobs_lost: line.lost,
        bytes_lost: line.lost_bytes,
        blobs_withheld: line.withheld,
    }
}

fn summary(report: &PacksReport, execute: bool) -> json::PacksRepaired {
    json::PacksRepaired {
        packs: report.packs.iter().filter(|line| line.fate != PackFate::Sound).count() as u64,
        packs_removed: report.removed,
        blobs_copied: report.packs.iter().map(|line| line.copied).sum(),
        blobs_lost: report.packs.iter().map(|line| line.lost).sum(),
        chunks_healed: report.healed.chunks,
        nodes_healed: report.healed.nodes,
        bytes_healed: report.healed.bytes,
        findings_left: report.findings.len() as u64,
        bytes_written: report.written_bytes + report.healed.written_bytes,
        dry_run: !execute,
    }
}
