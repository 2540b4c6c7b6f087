use std::io::Write;

use store_core::ops;
use store_core::ops::list::{list, resolve};
use store_core::ops::stats::{self, Report};

use super::{Context, filter};
use crate::args::Stats;
use crate::exit::{Outcome, Result};
use crate::output::human::{ratio, size};
use crate::output::json::{self, Message};
use crate::output::table::{Column, layout};

pub(super) fn run(context: &Context, args: &Stats) -> Result {
    let filter = filter(&args.filters)?;
    let repo = context.open()?;
    let items = if args.snaps.is_empty() {
        list(&repo, &filter)?
    } else {
        args.snaps.iter().map(|snap| resolve(&repo, snap, &filter)).collect::<Result<_, ops::Error>>()?
    };
    let report = stats::stats(&repo, &items)?;
    let mut out = context.ui.out();
    if context.ui.json {
        out.json(&Message::Counted(object(&report)))?;
    } else {
        out.write_all(text(&report).as_bytes())?;
    }
    out.done()?;
    Ok(Outcome::Done)
}

fn text(report: &Report) -> String {
    use Column::{Left, Right};
    let times = |plain: u64, stored: u64| ratio(plain, stored).unwrap_or_default();
    let totals = [
        vec!["snapshots".to_owned(), report.snapshots.to_string(), String::new()],
        vec!["logical".to_owned(), size(report.logical_bytes), String::new()],
        vec!["unique".to_owned(), size(report.unique_bytes), times(report.logical_bytes, report.unique_bytes)],
        vec!["stored".to_owned(), size(report.stored_bytes), times(report.logical_bytes, report.stored_bytes)],
        vec!["repository".to_owned(), size(report.repository_bytes), times(report.logical_bytes, report.repository_bytes)],
    ];
    let mut tables = vec![layout(&[Left("what"), Right("size"), Right("ratio")], totals)];
    for (name, shares) in [("codec", &report.by_codec), ("chain", &report.by_depth), ("kind", &report.by_kind)] {
        let rows = shares.iter().map(|share| {
            vec![share.name.to_string(), share.blobs.to_string(), size(share.plain), size(share.stored), times(share.plain, share.stored)]
        });
        tables.push(layout(&[Left(name), Right("blobs"), Right("plain"), Right("stored"), Right("ratio")], rows));
    }
    let rows = report
        .per_snapshot
        .iter()
        .map(|own| vec![own.id.short(), size(own.logical), size(own.new_bytes), size(own.exclusive_plain), size(own.exclusive_stored)]);
    tables.push(layout(&[Left("snapshot"), Right("size"), Right("new"), Right("its own"), Right("its own, stored")], rows));
    tables.retain(|table| !table.is_empty());
    tables.join("\n")
}

fn object(report: &Report) -> json::Counted {
    let shares = |shares: &[stats::Share]| -> Vec<json::Share> {
        shares
            .iter()
            .map(|share| json::Share { name: share.name.to_string(), blobs: share.blobs, plain: share.plain, stored: share.stored })
            .collect()
    };
    json::Counted {
        snapshots_count: report.snapshots,
        total_uncompressed_size: report.logical_bytes,
        unique_size: report.unique_bytes,
        total_size: report.stored_bytes,
        repository_size: report.repository_bytes,
        compression_ratio: (report.stored_bytes > 0).then(|| report.logical_bytes as f64 / report.stored_bytes as f64),
        by_codec: shares(&report.by_codec),
        by_depth: shares(&report.by_depth),
        by_kind: shares(&report.by_kind),
        snapshots: report
            .per_snapshot
            .iter()
            .map(|own| json::Own {
                id: own.id.to_string(),
                size: own.logical,
                data_added: own.new_bytes,
                exclusive_size: own.exclusive_plain,
                exclusive_stored: own.exclusive_stored,
            })
            .collect(),
    }
}
