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

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};
use std::sync::Arc;

use store_core::backend::{Backend, Location};
use store_core::ops::list::{Edge, Filter, Item, SnapPath, parse_time, resolve};
use store_core::ops::{self, ErrorKind};
use store_core::repo::{OpenOptions, Repo, Secrets};
use store_core::source::{Case, ExcludeBuilder, ExcludeError};

use crate::args::{Cli, Filters, Global, Verb};
use crate::exit::{Failure, Result};
use crate::output::Ui;
use crate::secrets::Offered;
use crate::settings::{Access, Settings};
use crate::{allocator, locate, secrets};

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
    allocator::share_heaps(settings.memory);
    let ui = Ui::new(&cli.global, settings.no_progress).settle();
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
        let Settings { threads, memory, compression, cache_size: kept, .. } = self.settings;
        OpenOptions { location, cache_dir: self.settings.cache_dir.clone(), threads, memory, compression, kept }
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
        let backend = self.backend(&options.location)?;
        self.unlock(backend, access, options, None)
    }

    /// What is at this location, without a look whether it is a repository.
    fn backend(&self, location: &str) -> Result<Arc<dyn Backend>> {
        let place = Location::parse(location)?;
        if matches!(&place, Location::Folder(folder) if !folder.exists()) {
            return Err(Failure::new(ErrorKind::NoRepository, format!("there is no repository at {location}")));
        }
        Ok(place.open(&self.settings.transport)?)
    }

    /// Opens the repository there with what was `offered`, else with what `access` offers.
    fn unlock(
        &self,
        backend: Arc<dyn Backend>,
        access: &Access,
        options: &OpenOptions,
        offered: Option<Offered>,
    ) -> Result<(Opened, Secrets)> {
        let (mut attempt, mut first) = (1, offered);
        loop {
            let offered = first.take().map_or_else(|| secrets::existing(access), Ok)?;
            match Repo::open_on(Arc::clone(&backend), options, &offered.secrets) {
                Ok(repo) => return Ok((Opened { repo, ui: self.ui }, offered.secrets)),
                Err(error) if error.kind() == ErrorKind::WrongKey && offered.typed && attempt < ATTEMPTS => {
                    attempt += 1;
                    self.ui.note("That is not the password.");
                }
                // What cannot be opened cannot be checked.
                Err(error) if error.kind() == ErrorKind::Damage => {
                    return Err(Failure::from(error).hint("put it back from a copy of the repository, such as a backup of its files"));
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Opens the first repository, and a second one at this location, each with half of the memory. `named_by` says how that one is named.
    fn open_two(&self, second: &Access, location: String, named_by: &str) -> Result<(Opened, Opened)> {
        let first = self.open_first_of_two()?;
        Ok((first, self.open_second(second, location, named_by)?))
    }

    fn open_first_of_two(&self) -> Result<Opened> {
        let options = self.half(locate::existing(&self.settings.access)?);
        self.open_at(&self.settings.access, &options).map(|(repo, _)| repo)
    }

    fn open_second(&self, second: &Access, location: String, named_by: &str) -> Result<Opened> {
        self.unlock_second(second, location, named_by, None)
    }

    /// The same with what was `offered` before.
    fn unlock_second(&self, second: &Access, location: String, named_by: &str, offered: Option<Offered>) -> Result<Opened> {
        let unlock = || self.unlock(self.backend(&location)?, second, &self.half(location.clone()), offered);
        let opened = unlock().map_err(|failure| match failure.kind() {
            ErrorKind::WrongKey => failure.hint(second.hint),
            ErrorKind::NoRepository => failure.hint(format!("make one there with `snap init -r REPO`, or name another with {named_by}")),
            _ => failure,
        });
        opened.map(|(repo, _)| repo)
    }

    /// With half of the memory.
    fn half(&self, location: String) -> OpenOptions {
        let options = self.options(location);
        OpenOptions { memory: options.memory / 2, ..options }
    }

    /// Opens the repository, and the one that what is lost is read from, if one is named.
    fn open_with_spare(&self, spare: &Access) -> Result<(Opened, Option<Opened>)> {
        match locate::named(spare)? {
            Some(location) => self.open_two(spare, location, "--from").map(|(repo, second)| (repo, Some(second))),
            None => Ok((self.open()?, None)),
        }
    }

    /// Leaves out the folders of these repositories and the cache, should they lie in what is read: what a push writes is none of what it keeps.
    fn leave_out_own(&self, repositories: &[&str], builder: &mut ExcludeBuilder) -> Result<(), ExcludeError> {
        for own in repositories.iter().map(Path::new).chain([self.settings.cache_dir.as_path()]) {
            // As the system spells it, and as it was typed, unless that has a `..` of which the meaning depends on links.
            let typed = Some(absolute(own)).filter(|path| path.components().all(|part| part != Component::ParentDir));
            for path in [typed, own.canonicalize().ok()].into_iter().flatten() {
                if let Some(text) = path.to_str() {
                    builder.glob(&escaped(text), Case::Sensitive, "the repository's own folder")?;
                }
            }
        }
        Ok(())
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
            self.ui.requests(&self.repo.location(), &self.repo.requests());
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
fn place(repo: &Repo, text: &OsStr, filter: &Filter) -> Result<(Item, SnapPath)> {
    let place = SnapPath::parse(text.as_bytes())?;
    // A file may have a `#` in its name, and then it is meant.
    if let Some(whole) = SnapPath::whole(text.as_bytes())
        && let Ok(item) = resolve(repo, &whole.snap, filter)
        && repo.find(&item, &whole.path).is_ok()
    {
        return Ok((item, whole));
    }
    Ok((resolve(repo, &place.snap, filter)?, place))
}

/// A place that has no tensors to choose.
fn place_of_files(repo: &Repo, text: &OsStr, filter: &Filter) -> Result<(Item, Vec<u8>)> {
    match place(repo, text, filter)? {
        (item, SnapPath { path, tensor: None, .. }) => Ok((item, path)),
        _ => Err({
            let text = text.display();
            Failure::usage(format!(
                "{text}: no file has this name, and `#` chooses tensors, which only `ls --tensors` and `diff --tensors` do"
            ))
        }),
    }
}

fn words(list: &str) -> Vec<String> {
    list.split(',').map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// A path as a pattern that matches it alone.
fn escaped(path: &str) -> String {
    path.chars().flat_map(|c| ['*', '?', '[', ']', '{', '}', '\\', '!'].contains(&c).then_some('\\').into_iter().chain([c])).collect()
}

fn absolute(path: &Path) -> std::path::PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).components().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_as_a_pattern_means_itself() {
        assert_eq!(escaped("/a[1]/*b"), "/a\\[1\\]/\\*b");
    }
}
