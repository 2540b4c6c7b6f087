//! `stage` lists the stages; `stage NAME` runs one of them, for whoever counts its instructions (`benches/regress`).

#![expect(clippy::print_stdout, reason = "what it prints is its result")]

use std::process::ExitCode;

use benches::stages::STAGES;

/// What is counted: nothing before and behind it.
#[inline(never)]
fn counted(run: &mut dyn FnMut()) {
    run();
}

fn main() -> ExitCode {
    let Some(wanted) = std::env::args().nth(1) else {
        STAGES.iter().for_each(|(name, _)| println!("{name}"));
        return ExitCode::SUCCESS;
    };
    let Some((_, ready)) = STAGES.iter().find(|(name, _)| *name == wanted) else {
        eprintln!("no stage is called '{wanted}'; without a name, all are listed");
        return ExitCode::from(2);
    };
    let mut ready = ready();
    // The first run sets up what later ones find.
    (ready.run)();
    counted(&mut *ready.run);
    ExitCode::SUCCESS
}
