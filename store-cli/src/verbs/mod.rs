//! What each verb does: settle its options, let the library do the work, print what came of it.

mod bench;
mod check;
mod copy;
mod diff;
mod dump;
mod forget;
mod init;
mod key;
mod list;
mod ls;
mod probe;
mod prune;
mod push;
mod repair;
mod restore;
mod shell;
mod stats;
mod tag;

use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use store_core::backend::Location;
use store_core::ops::list::{Edge, Filter, Item, SnapPath, parse_time, resolve};
use store_core::ops::{self, ErrorKind};
use store_core::repo::{OpenOptions, Repo, Secrets};

use crate::args::{Cli, Filters, Global, Verb};
use crate::exit::{Failure, Result};
use crate::output::Ui;
use crate::settings::{Access, Settings};
use crate::{locate, secrets};

/// How often a password may be typed.
const ATTEMPTS: u32 = 3;

/// What verbs work with.
struct Context {
    global: Global,
    settings: Settings,
    ui: Ui,
}

/// Does what was typed.
pub(crate) fn run(cli: Cli) -> Result {
    let verb = match cli.verb {
        Verb::Completion(args) => return shell::completion(&args),
        Verb::Man(args) => return shell::man(&args),
        verb => verb,
    };
    let settings = Settings::load(&cli.global)?;
    let ui = Ui::new(&cli.global, settings.no_progress);
    let context = Context { global: cli.global, settings, ui };
    match verb {
        Verb::Init(args) => init::run(&context, &args),
        Verb::Push(args) => push::run(&context, *args),
        Verb::List(args) => list::run(&context, &args),
        Verb::Ls(args) => ls::run(&context, &args),
        Verb::Restore(args) => restore::run(&context, *args),
        Verb::Dump(args) => dump::run(&context, &args),
        Verb::Diff(args) => diff::run(&context, &args),
        Verb::Tag(args) => tag::run(&context, &args),
        Verb::Forget(args) => forget::run(&context, &args),
        Verb::Check(args) => check::run(&context, &args),
        Verb::Copy(args) => copy::run(&context, &args),
        Verb::Prune(args) => prune::run(&context, &args),
        Verb::Stats(args) => stats::run(&context, &args),
        Verb::Bench(args) => bench::run(&context, &args),
        Verb::Key(args) => key::run(&context, args),
        Verb::Repair(args) => repair::run(&context, &args),
        Verb::Completion(_) | Verb::Man(_) => unreachable!("handled above"),
    }
}

impl Context {
    fn options(&self, location: String) -> OpenOptions {
        let Settings { threads, memory, compression, .. } = self.settings;
        OpenOptions { location, cache_dir: self.settings.cache_dir.clone(), threads, memory, compression }
    }

    fn open(&self) -> Result<Opened> {
        self.open_with().map(|(repo, _)| repo)
    }

    /// Opens the repository; a password that was mistyped may be typed again.
    fn open_with(&self) -> Result<(Opened, Secrets)> {
        self.open_at(&self.settings.access, &self.options(locate::existing(&self.settings.access)?))
    }

    /// Opens the repository at this location with what `access` offers.
    fn open_at(&self, access: &Access, options: &OpenOptions) -> Result<(Opened, Secrets)> {
        // Whether there is a repository is worth knowing before a password is asked for.
        let location = Location::parse(&options.location)?;
        if matches!(&location, Location::Folder(folder) if !folder.exists()) {
            return Err(Failure::new(ErrorKind::NoRepository, format!("there is no repository at {}", options.location)));
        }
        let backend = location.open(&self.settings.transport)?;
        let mut attempt = 1;
        loop {
            let offered = secrets::existing(access)?;
            match Repo::open_on(Arc::clone(&backend), options, &offered.secrets) {
                Ok(repo) => return Ok((Opened { repo, ui: self.ui }, offered.secrets)),
                Err(error) if error.kind() == ErrorKind::WrongKey && offered.typed && attempt < ATTEMPTS => {
                    attempt += 1;
                    self.ui.note("That is not the password.");
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Opens the first repository, and a second one at this location, each with half of the memory. `named_by` says how that one is named.
    fn open_two(&self, second: &Access, location: String, named_by: &str) -> Result<(Opened, Opened)> {
        let half = |location| {
            let options = self.options(location);
            OpenOptions { memory: options.memory / 2, ..options }
        };
        let (first, _) = self.open_at(&self.settings.access, &half(locate::existing(&self.settings.access)?))?;
        let opened = self.open_at(second, &half(location)).map_err(|failure| match failure.kind() {
            ErrorKind::WrongKey => failure.hint(second.hint),
            ErrorKind::NoRepository => failure.hint(format!("make one there with `snap init -r REPO`, or name another with {named_by}")),
            _ => failure,
        });
        Ok((first, opened?.0))
    }

    /// A verb that changes something at once has no dry run, and must not act as if it had.
    fn refuse_dry_run(&self, verb: &str) -> Result<()> {
        if self.global.dry_run { Err(Failure::usage(format!("`snap {verb}` has no --dry-run"))) } else { Ok(()) }
    }
}

/// An open repository. When the verb ends, well or not, it says what damage was gone on without, and to whom it matters which requests it took.
struct Opened {
    repo: Repo,
    ui: Ui,
}

impl std::ops::Deref for Opened {
    type Target = Repo;

    fn deref(&self) -> &Repo {
        &self.repo
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.repo.take_warnings().iter().for_each(|warning| self.ui.warning(warning));
        if self.ui.verbose >= 2 {
            self.ui.requests(&self.repo.requests());
        }
    }
}

/// The library's filter for what was typed.
fn filter(args: &Filters) -> Result<Filter> {
    let moment = |option: &str, text: &Option<String>, edge| {
        text.as_ref().map(|text| parse_time(text, edge).map_err(|error| Failure::with(ErrorKind::Usage, option, &error))).transpose()
    };
    Ok(Filter {
        series: args.series.clone(),
        tags: args.tag.iter().map(|tags| words(tags)).collect(),
        host: args.host.clone(),
        path: args.path.as_ref().map(|path| absolute(path).as_os_str().as_bytes().to_vec()),
        since: moment("--since", &args.since, Edge::Start)?,
        until: moment("--until", &args.until, Edge::End)?,
        conditions: args.conditions.iter().map(|text| text.parse().map_err(ops::Error::from)).collect::<Result<_, ops::Error>>()?,
    })
}

/// A snapshot, and what of it is meant.
fn place(repo: &Repo, text: &str, filter: &Filter) -> Result<(Item, SnapPath)> {
    let place: SnapPath = text.parse().map_err(Failure::from)?;
    Ok((resolve(repo, &place.snap, filter)?, place))
}

/// A place that has no tensors to choose.
fn place_of_files(repo: &Repo, text: &str, filter: &Filter) -> Result<(Item, Vec<u8>)> {
    match place(repo, text, filter)? {
        (item, SnapPath { path, tensor: None, .. }) => Ok((item, path)),
        _ => Err(Failure::usage(format!("{text}: `#` chooses tensors, which only `ls --tensors` and `diff --tensors` do"))),
    }
}

fn words(list: &str) -> Vec<String> {
    list.split(',').map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

fn absolute(path: &Path) -> std::path::PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).components().collect()
}
