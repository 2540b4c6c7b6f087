//! `push --copy-to`: once a push was reported, its snapshot is copied to a second repository. Whatever fails there, the push is done.

use store_core::backend::Location;
use store_core::ops::copy::{self, Fate, copy};
use store_core::ops::list::{Filter, resolve};
use store_core::ops::push::Report;
use store_core::ops::{self, ErrorKind};
use store_core::repo::Repo;

use super::super::copy::tell;
use super::super::{Context, Opened};
use crate::args::Push;
use crate::exit::{Failure, Result, read_or_not};
use crate::output::json::{CopyOf, Message};
use crate::output::progress::Watch;
use crate::secrets::{self, Offered};
use crate::settings::Access;
use crate::{interrupt, locate};

/// Where the copy goes.
pub(super) struct Second {
    access: Access,
    location: String,
}

/// The same with what opens it, for after the push.
pub(super) struct Copying<'s> {
    /// Or why it cannot be had.
    offered: Result<Offered>,
    second: &'s Second,
}

impl Second {
    /// Which repository it is, if a copy is wanted.
    pub(super) fn of(context: &Context, args: &Push) -> Result<Option<Self>> {
        if args.copy_to.copy_to.is_none() {
            return Ok(None);
        }
        let access = context.settings.copied((&args.copy_to).into())?;
        let location = locate::second(&access)?;
        Ok(Some(Self { access, location }))
    }

    pub(super) fn location(&self) -> &str {
        &self.location
    }

    /// Opens the first repository and refuses what makes no sense as a second one; a password is asked for before anything is read. Nothing here waits
    /// for a store that does not answer, and whatever else keeps the second one from being opened keeps nobody from pushing.
    pub(super) fn prepare(&self, context: &Context) -> Result<(Opened, Copying<'_>)> {
        let first = context.open_first_of_two()?;
        if self.is_same_as(&first, context)? {
            return Err(Failure::usage(SAME));
        }
        let offered = match secrets::existing(&self.access) {
            Err(failure) if failure.kind() == ErrorKind::Usage => return Err(failure),
            offered => offered,
        };
        Ok((first, Copying { offered, second: self }))
    }

    /// Whether it is the repository that is pushed to, as far as that shows without a network: a folder that holds a copy of its files counts.
    fn is_same_as(&self, first: &Repo, context: &Context) -> Result<bool> {
        match (Location::parse(&first.location())?, Location::parse(&self.location)?) {
            (Location::Folder(one), Location::Folder(other)) if one.canonicalize().ok() == other.canonicalize().ok() => Ok(true),
            (one, other) if one == other => Ok(true),
            (_, Location::Folder(_)) => Ok(context.backend(&self.location).is_ok_and(|backend| Repo::id_on(&*backend) == Some(first.id()))),
            // Which fails where what the environment says of it makes no sense.
            _ => context.backend(&self.location).map(|_| false),
        }
    }
}

/// Why nothing is copied where it came from.
const SAME: &str = "--copy-to names the repository that is pushed to, or a copy of its files: there is nothing to copy";

impl Copying<'_> {
    /// Copies what was pushed, as `snap copy` does; of what had not changed, the snapshot that it is the same as. One that is there is passed over.
    /// After a dry run there is nothing to copy.
    pub(super) fn run(self, context: &Context, from: &Repo, report: &Report, args: &Push) -> Result<()> {
        let Some(id) = report.snapshot.or(report.parent.filter(|_| report.skipped)).filter(|_| !context.global.dry_run) else {
            return Ok(());
        };
        let Second { access, location } = self.second;
        let opened = self.offered.and_then(|offered| context.unlock_second(access, location.clone(), "--copy-to", Some(offered)));
        let copied = opened.and_then(|to| {
            if to.id() == from.id() {
                return Err(Failure::usage(SAME).hint("name another one"));
            }
            let item = resolve(from, &id.to_string(), &Filter::default())?;
            let options = copy::Options { verify: args.verify, no_delta: args.no_delta, dry_run: false };
            let watch = Watch::new(context.ui);
            let report = copy(from, &to, &[item], &options, &watch, &mut |item, fate| {
                let mut printed = Ok(());
                // A quiet push prints its own id and nothing else; that of a copy that failed is told below.
                if !context.ui.quiet && *fate != Fate::Failed {
                    watch.aside(|| printed = read_or_not(tell(context, item, fate, false)));
                }
                printed.map_err(|failure| ops::Error::new(ErrorKind::Failed, failure.to_string()))
            });
            watch.finish();
            match report?.failed {
                0 => Ok(()),
                _ => Err(Failure::new(ErrorKind::Damage, "it cannot be read whole")),
            }
        });
        let Err(failure) = copied else { return Ok(()) };
        if context.ui.json {
            let failed = CopyOf { source_snapshot_id: id.to_string(), action: "failed", copy_id: None, push: None };
            let mut out = context.ui.out();
            read_or_not(out.json(&Message::CopyOf(Box::new(failed))).and_then(|()| out.done()))?;
        }
        let kind = if interrupt::requested() { ErrorKind::Interrupted } else { failure.kind() };
        let next = match failure.next_step() {
            Some(next) => format!("{next}; then `snap copy {} --to {location}` copies it", id.short()),
            None => format!("`snap copy {} --to {location}` copies it once that is mended", id.short()),
        };
        Err(failure.of_kind(kind).after_push(format!("{} was pushed, and is not copied to {location}", id.short())).hint(next))
    }
}
