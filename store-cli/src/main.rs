//! `snap`: the terminal's side of a repository: arguments, settings, passwords, progress, output, exit codes. What is true about a
//! repository itself is in `store-core`.

mod allocator;
mod args;
mod config;
mod exit;
mod interrupt;
mod locate;
mod output;
mod secrets;
mod settings;
mod verbs;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind as ClapError;

use args::{Cli, Global};
use exit::Failure;
use output::Ui;
use store_core::ops::ErrorKind;

fn main() -> ExitCode {
    allocator::warm_up();
    let words: Vec<OsString> = std::env::args_os().collect();
    let cli = match Cli::try_parse_from(&words) {
        Ok(cli) => cli,
        Err(error) => return refused(&error, words.iter().any(|word| word == "--json")),
    };
    let ui = Ui::new(&cli.global, false);
    match verbs::run(cli) {
        Ok(outcome) => ExitCode::from(outcome.code()),
        Err(failure) if failure.is_unread_output() => ExitCode::SUCCESS,
        Err(failure) => {
            let failure = if interrupt::requested() { failure.of_kind(ErrorKind::Interrupted) } else { failure };
            ui.failure(&failure);
            ExitCode::from(failure.code())
        }
    }
}

/// Help that was asked for, or arguments that make no sense.
fn refused(error: &clap::Error, json: bool) -> ExitCode {
    if json && error.use_stderr() && error.kind() != ClapError::DisplayHelpOnMissingArgumentOrSubcommand {
        let text = error.render().to_string();
        let line = text.lines().next().unwrap_or_default();
        let failure = Failure::usage(line.strip_prefix("error: ").unwrap_or(line));
        Ui::new(&Global { json, ..Global::default() }, false).failure(&failure);
    } else {
        // Nobody may be there to read it.
        drop(error.print());
    }
    ExitCode::from(if error.use_stderr() { 2 } else { 0 })
}
