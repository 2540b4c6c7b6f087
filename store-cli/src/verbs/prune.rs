use std::collections::BTreeSet;

use store_core::base::ids::SnapshotId;
use store_core::ops::forget::Trash;
use store_core::ops::prune::{Options, Report, Stopped, check_told, prune};
use store_core::ops::{ErrorKind, forget};
use store_core::plan::gc::Fate;
use store_core::repo::Repo;

use super::{Context, forget as forget_verb};
use crate::args::Prune;
use crate::exit::{Failure, Outcome, Result, read_or_not};
use crate::interrupt;
use crate::output::human::{count, local_time, rfc3339, size};
use crate::output::json::{self, Message};
use crate::output::progress::Watch;
use crate::output::table::{Column, layout};

pub(super) fn run(context: &Context, args: &Prune) -> Result {
    interrupt::listen()?;
    let execute = args.execute && !context.global.dry_run;
    let repo = context.open()?;
    let ended = args.end_session.iter().copied().collect();
    // Before anything is forgotten.
    check_told(&repo, &ended)?;
    let forgotten = if args.no_forget { BTreeSet::new() } else { apply_policy(context, args, &repo, execute)? };
    let options = Options {
        execute,
        max_unused: args.max_unused.0,
        max_repack: args.max_repack_size,
        budget: args.budget,
        fence_after: args.fence_after,
        wait: args.wait,
        ended,
        forgotten,
        trust_clock: args.trust_clock,
        ..Options::default()
    };
    let trash = forget::trash(&repo)?;
    let watch = Watch::new(context.ui);
    let report = prune(&repo, &options, &watch);
    watch.finish();
    let report = report?;
    read_or_not(print(context, args, &report, &trash, execute))?;
    match report.stopped {
        Some(Stopped::Busy { sessions }) => {
            let who = if sessions == 1 {
                "a push that has not ended may need".into()
            } else {
                format!("{sessions} pushes that have not ended may need")
            };
            let failure = Failure::new(ErrorKind::Busy, format!("{who} what is to be deleted"));
            let hint = "prune again later, and it goes on; pushes older than --fence-after are ended";
            let none_is = "prune again later, and it goes on; at this store no push is ended, but by --end-session";
            Err(failure.hint(if repo.store_standing()?.reservation().is_some() { none_is } else { hint }))
        }
        Some(Stopped::Budget) | None => Ok(Outcome::Done),
    }
}

fn print(context: &Context, args: &Prune, report: &Report, trash: &Trash, execute: bool) -> Result<()> {
    let mut out = context.ui.out();
    if args.explain {
        for (pack, fate) in &report.decision.packs {
            let (id, reason) = (pack.id.to_string(), fate.to_string());
            if context.ui.json {
                let decided = json::PackFate { id: &id, size: pack.len, needed: pack.needed, goes: fate.goes(), reason: &reason };
                out.json(&Message::Pack(decided))?;
            } else {
                out.line(format_args!("pack {}  {}, {} needed  {reason}", pack.id.short(), size(pack.len), size(pack.needed)))?;
            }
        }
    }
    if context.ui.json {
        out.json(&Message::Pruned(Box::new(summary(report, trash, execute))))?;
    } else if !context.ui.quiet {
        out.line(text(report, trash, execute))?;
    }
    out.done()
}

/// Forgets what the stored policy drops, if there is one. Gives the snapshots that would be gone at once if that were carried out, where it is not.
fn apply_policy(context: &Context, args: &Prune, repo: &Repo, execute: bool) -> Result<BTreeSet<SnapshotId>> {
    if !forget::has_policy(&repo.standing()?) {
        return Ok(BTreeSet::new());
    }
    let mut plan = forget::by_policy(repo, &forget::Options { trust_clock: args.trust_clock, ..forget::Options::default() })?;
    if args.explain {
        forget::explain(repo, &mut plan)?;
    }
    let refused = plan.allowed(args.force);
    let execute = execute && refused.is_ok();
    if execute {
        forget::carry_out(repo, &plan)?;
    }
    if !context.ui.quiet {
        read_or_not(forget_verb::print(context, &plan, args.explain, execute))?;
    }
    plan.dropped().for_each(|line| forget_verb::name_refs(context, &line.item.id, &line.item.snapshot.refs, execute));
    refused?;
    let at_once = !execute && plan.trash == 0;
    Ok(plan.dropped().filter(|_| at_once).map(|line| line.item.id).collect())
}

fn text(report: &Report, trash: &Trash, execute: bool) -> String {
    let decision = &report.decision;
    let row = |what: &str, totals: store_core::plan::gc::Totals, note: String| {
        vec![what.to_owned(), totals.packs.to_string(), size(totals.bytes), note]
    };
    let all = decision.totals(|_| true);
    let mut rows = Vec::new();
    if all.packs > 0 {
        let (repacked, stays) = (decision.totals(|fate| fate == Fate::Repacked), decision.totals(|fate| !fate.goes()));
        rows.push(row("all packs", all, String::new()));
        rows.push(row("unused", decision.totals(|fate| fate == Fate::Unused), "nothing of them is needed".into()));
        rows.push(row("left by nobody", decision.totals(|fate| fate == Fate::Unnamed), "no index segment names them".into()));
        rows.push(row("written anew", repacked, format!("{} of them are needed", size(repacked.needed))));
        rows.push(row("stay", stays, format!("{} of them are unused", size(stays.bytes - stays.needed))));
    }
    let chains = &decision.chains;
    if chains.blobs > 0 {
        let note = format!("estimated: {} go, {} come", size(chains.goes), size(chains.comes));
        rows.push(vec!["blobs coded anew".into(), chains.blobs.to_string(), size(chains.goes.saturating_sub(chains.comes)), note]);
    }
    let columns = [Column::Left(""), Column::Right("Packs"), Column::Right("Size"), Column::Left("")];
    let mut text = if rows.is_empty() { String::new() } else { layout(&columns, rows) };
    let snapshots = count(report.live_snapshots, "snapshot");
    let mut parts = Vec::new();
    if execute {
        parts.push(match report.stopped {
            Some(Stopped::Budget) => "stopped in time; the next prune goes on".to_owned(),
            Some(Stopped::Busy { .. }) => "waiting; the next prune goes on".to_owned(),
            None => "pruned".to_owned(),
        });
        parts.push(format!("{} deleted, {}", count(report.deleted_packs, "pack"), size(report.deleted_bytes)));
        if report.written_bytes > 0 {
            parts.push(format!("{} written anew", size(report.written_bytes)));
        }
        if report.recoded_chunks > 0 {
            parts.push(format!("{} coded anew, {} of plain bytes", count(report.recoded_chunks, "chunk"), size(report.recoded_bytes)));
        }
        if report.sessions_fenced > 0 {
            parts.push(format!("{} ended", count(report.sessions_fenced, "push")));
        }
    } else {
        parts.push(format!("{} would be freed", size(report.freed_bytes())));
        parts.push("nothing was deleted: --execute does it".to_owned());
        if report.resumed {
            parts.push("a prune is open: --execute goes on with it first".to_owned());
        }
    }
    parts.push(format!("{snapshots} kept"));
    if let Some(first) = trash.first_over {
        parts.push(format!("{} of them in the trash, the first until {}", trash.snapshots, local_time(first)));
    }
    text.push_str(&parts.join("  "));
    text
}

fn summary(report: &Report, trash: &Trash, execute: bool) -> json::Pruned {
    let decision = &report.decision;
    let totals = |fate: fn(Fate) -> bool| decision.totals(fate);
    let (all, stays) = (totals(|_| true), totals(|fate| !fate.goes()));
    json::Pruned {
        packs: all.packs,
        bytes: all.bytes,
        packs_unused: totals(|fate| fate == Fate::Unused).packs,
        packs_unnamed: totals(|fate| fate == Fate::Unnamed).packs,
        packs_to_repack: totals(|fate| fate == Fate::Repacked).packs,
        packs_kept: stays.packs,
        bytes_unused_kept: stays.bytes - stays.needed,
        bytes_to_free: report.freed_bytes(),
        snapshots: report.live_snapshots,
        snapshots_dropped: report.dropped_snapshots,
        snapshots_in_trash: trash.snapshots,
        trash_first_over: trash.first_over.map(|time| rfc3339(time, 0)),
        packs_deleted: report.deleted_packs,
        bytes_deleted: report.deleted_bytes,
        packs_repacked: report.repacked_packs,
        bytes_written: report.written_bytes,
        bytes_read: report.read_bytes,
        blobs_to_recode: decision.chains.blobs,
        chains_bytes_going_estimate: decision.chains.goes,
        chains_bytes_coming_estimate: decision.chains.comes,
        chunks_recoded: report.recoded_chunks,
        bytes_recoded: report.recoded_bytes,
        packs_rescued: report.rescued_packs,
        segments_written: report.segments_written,
        segments_deleted: report.segments_deleted,
        sessions_fenced: report.sessions_fenced,
        mark_memory: report.mark_memory,
        resumed: report.resumed,
        stopped: match report.stopped {
            None => None,
            Some(Stopped::Budget) => Some("budget"),
            Some(Stopped::Busy { .. }) => Some("busy"),
        },
        total_duration: report.duration.as_secs_f64(),
        dry_run: !execute,
    }
}
