use std::io::Write;
use std::path::PathBuf;

use store_core::ops::ErrorKind;
use store_core::ops::bench::{Options, SAMPLE, bench, versions_in};

use super::Context;
use crate::args::Bench;
use crate::exit::{Failure, Outcome, Result, read_or_not};
use crate::interrupt;
use crate::output::human::parse_size;
use crate::output::json::Message;
use crate::output::measured::Measured;
use crate::output::progress::Watch;

pub(super) fn run(context: &Context, args: &Bench) -> Result {
    interrupt::listen()?;
    let sample = match &args.sample {
        _ if args.full => None,
        Some(text) => Some(parse_size(text).map_err(|why| Failure::usage(format!("--sample: {why}")))?),
        None => Some(SAMPLE),
    };
    let versions = versions(context, args);
    let options = Options { versions, sample, seed: args.seed, open: context.options(String::new()) };
    let watch = Watch::new(context.ui);
    let report = bench(&options, &watch);
    watch.finish();
    let report = report.map_err(|error| {
        let failure = Failure::from(error);
        if failure.kind() == ErrorKind::Interrupted || interrupt::requested() {
            return failure.of_kind(ErrorKind::Interrupted).hint("nothing was measured to its end, and nothing is left behind");
        }
        failure
    })?;
    read_or_not(print(context, Measured::from(&report), args.csv))?;
    Ok(if report.unreadable > 0 { Outcome::Partial } else { Outcome::Done })
}

fn print(context: &Context, measured: Measured, csv: bool) -> Result<()> {
    let mut out = context.ui.out();
    if csv {
        out.write_all(measured.csv().as_bytes())?;
    } else if context.ui.json {
        out.json(&Message::Measured(Box::new(measured)))?;
    } else {
        out.write_all(measured.text().as_bytes())?;
    }
    out.done()
}

/// The paths that were given, or what the one that was given holds.
fn versions(context: &Context, args: &Bench) -> Vec<PathBuf> {
    if let [folder] = &args.paths[..]
        && !args.single
        && let Some(found) = versions_in(folder)
    {
        let name = |path: &PathBuf| path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let names: Vec<_> = found.iter().map(name).collect();
        let shown = if let [first, .., last] = &names[..]
            && names.len() > 4
        {
            format!("{first} … {last}")
        } else {
            names.join(", ")
        };
        context.ui.note(&format!("{} holds {} versions: {shown}. With --single it is measured as one.", folder.display(), names.len()));
        return found;
    }
    args.paths.clone()
}
