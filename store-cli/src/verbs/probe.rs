//! `check --probe`: whether a store keeps what the order of writes rests on.

use store_core::backend::Effort;
use store_core::monitor::Warning;
use store_core::ops::ErrorKind;
use store_core::ops::probe::{Report, probe};

use super::Context;
use crate::exit::{Failure, Outcome, Result, read_or_not};
use crate::output::Ui;
use crate::output::human::count;
use crate::output::json::Message;

pub(super) fn run(context: &Context) -> Result {
    let repo = context.open()?;
    let Report { failures, recorded, effort, duration } = probe(&repo, Effort::default())?;
    let printed = || -> Result<()> {
        let mut out = context.ui.out();
        if context.ui.json {
            let (failures, total_duration) = (&failures, duration.as_secs_f64());
            out.json(&Message::Probed { rounds: effort.rounds, writers: effort.writers, failures, recorded, total_duration })?;
        } else if failures.is_empty() && !context.ui.quiet {
            let (rounds, writers, seconds) = (count(effort.rounds as u64, "name"), effort.writers, duration.as_secs_f64());
            out.line(format_args!("the store keeps what it must: {rounds}, {writers} writers each  {seconds:.1} s"))?;
        }
        out.done()
    };
    read_or_not(printed())?;
    if failures.is_empty() {
        return Ok(Outcome::Done);
    }
    Err(Failure::new(ErrorKind::Refused, format!("the store does not keep what it must: {}", failures.join("; "))).hint(ADVICE))
}

const ADVICE: &str =
    "pushes and restores are safe there, but nothing may be deleted: to reclaim space, prune a copy in a folder or in another store";

/// Says what a test found that was made in passing.
pub(super) fn warn(ui: Ui, location: &str, failures: &[String]) {
    if !failures.is_empty() {
        let message = format!("the store does not keep what it must: {}; {ADVICE}", failures.join("; "));
        ui.warning(&Warning { item: location.to_owned(), message });
    }
}
