use std::fs;
use std::io;

use clap::CommandFactory;
use store_core::ops::ErrorKind;

use crate::args::{Cli, Completion, Man};
use crate::exit::{Failure, Outcome, Result};

pub(super) fn completion(args: &Completion) -> Result {
    // The generator panics where it cannot write, and memory can always be written.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "snap", &mut script);
    io::Write::write_all(&mut io::stdout().lock(), &script)?;
    Ok(Outcome::Done)
}

pub(super) fn man(args: &Man) -> Result {
    let fail =
        |error: io::Error| Failure::with(ErrorKind::Failed, format_args!("cannot write man pages into {}", args.folder.display()), &error);
    fs::create_dir_all(&args.folder).map_err(fail)?;
    clap_mangen::generate_to(Cli::command(), &args.folder).map_err(fail)?;
    Ok(Outcome::Done)
}
