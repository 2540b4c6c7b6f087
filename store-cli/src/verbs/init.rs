use std::fs;
use std::path::PathBuf;

use store_core::monitor::Warning;
use store_core::ops::init::init;

use super::{Context, probe};
use crate::args::Init;
use crate::exit::{Outcome, Result, chain};
use crate::output::human::printable;
use crate::output::json::Message;
use crate::{locate, secrets};

pub(super) fn run(context: &Context, args: &Init) -> Result {
    context.refuse_dry_run("init")?;
    let options = context.options(locate::new(&context.settings.access)?);
    let mut made: Option<PathBuf> = None;
    let secrets = secrets::first(&context.settings.access, |path| made = Some(path.to_owned()))?;
    let report = init(&options, &context.settings.transport, &secrets, &args.label).inspect_err(|_| {
        // A key to nothing would only confuse.
        if let Some(path) = &made {
            drop(fs::remove_file(path));
        }
    })?;
    if let Some(path) = &made {
        context.ui.note(&format!("made the key file {}: keep a copy elsewhere, because without it nothing can be read", path.display()));
    }
    match &report.probe {
        Some(Ok(failures)) => probe::warn(context.ui, &options.location, failures),
        Some(Err(error)) => context.ui.warning(&Warning {
            item: options.location.clone(),
            message: format!(
                "the store could not be put to the test, so nothing is deleted there until `snap check --probe`: {}",
                chain(error)
            ),
        }),
        None => {}
    }
    if context.ui.verbose >= 2 {
        context.ui.requests(&options.location, &report.requests);
    }
    let mut out = context.ui.out();
    if context.ui.json {
        let (id, key) = (report.repo.to_string(), report.slot.to_string());
        out.json(&Message::Initialized { id, repository: &options.location, key })?;
    } else if context.ui.quiet {
        out.line(report.repo)?;
    } else {
        out.line(format_args!("{}  repository at {}", report.repo.short(), printable(options.location.as_bytes())))?;
    }
    out.done()?;
    Ok(Outcome::Done)
}
