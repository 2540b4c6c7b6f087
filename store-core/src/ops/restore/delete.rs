//! Deleting what is in the target and not in the snapshot: a walk of its own, when all else is there.

use std::collections::HashSet;
use std::path::Path;

use super::lost::Precious;
use super::walk::{Visit, as_path};
use super::{Here, Options};
use crate::error::{Error, ErrorKind, chain};
use crate::format::entry::Entry;
use crate::pipeline::RestoreContext;
use crate::sink::{Kept, Target};

/// Deletes in the folders that a walk meets what the snapshot does not have in them; a dry run counts and tells.
pub(super) struct Deleter<'c, 'r> {
    pub(super) context: &'c RestoreContext<'r>,
    pub(super) options: &'c Options,
    pub(super) target: &'c Target,
    pub(super) precious: Precious,
    pub(super) deleted: u64,
}

impl Deleter<'_, '_> {
    fn delete_others(&mut self, names: &HashSet<Vec<u8>>, here: &Here) {
        let listed = match self.target.list(&here.target) {
            Ok(listed) => listed,
            // It is not there yet, or something else is, of which nothing is left by then.
            Err(_) if self.options.dry_run => return,
            Err(error) => return self.context.fail(here.target.as_path().display(), chain(&error)),
        };
        // What the snapshot has may be listed by another name, where the file system stores names otherwise than it is told.
        let is_listed = |name: &[u8]| listed.binary_search_by(|listed| listed.name.as_slice().cmp(name)).is_ok();
        let told = |name: &Vec<u8>| here.target.child(name).and_then(|path| self.target.look(&path)).err();
        if let Some(error) = names.iter().filter(|name| !is_listed(name)).find_map(told) {
            return self.context.fail(here.shown.display(), format!("nothing is deleted in it: {}", chain(&error)));
        }
        for other in listed.into_iter().filter(|listed| !names.contains(&listed.name)) {
            let shown = here.shown.join(as_path(&other.name));
            if self.options.exclude.as_ref().is_some_and(|exclude| exclude.matches(&shown)) {
                continue;
            }
            if self.precious.has(&shown) {
                self.context.warn(shown.display(), "stays: it may be what the snapshot lost");
                continue;
            }
            let path = here.target.child(&other.name);
            let deleted = path.and_then(|path| match self.target.keeps(&path)? {
                Some(Kept::Above) => {
                    self.context.warn(shown.display(), "stays: it holds the repository, its cache or a key in use");
                    Ok(false)
                }
                // As a push leaves it out.
                Some(Kept::Itself | Kept::Closed) => Ok(false),
                None if self.options.dry_run => Ok(true),
                None => self.target.remove(&path),
            });
            match deleted {
                Ok(true) => {
                    self.deleted += 1;
                    self.context.monitor.file(&shown.to_string_lossy(), "deleted", 0);
                }
                Ok(false) => {}
                Err(error) => self.context.fail(shown.display(), chain(&error)),
            }
        }
    }
}

impl Visit for Deleter<'_, '_> {
    /// Not into a repository, of which nothing was restored either: a dry run comes here.
    fn enter(&mut self, _: &Entry, here: &Here) -> Result<bool, Error> {
        Ok(here.target.is_root() || !matches!(self.target.keeps(&here.target), Ok(Some(Kept::Closed))))
    }

    fn entry(&mut self, _: &Entry, _: &Here, _: &Here) -> Result<(), Error> {
        Ok(())
    }

    fn leave(&mut self, here: &Here, names: &HashSet<Vec<u8>>) -> Result<(), Error> {
        if self.context.monitor.interrupted() {
            return Err(Error::new(
                ErrorKind::Interrupted,
                "interrupted: all is restored, and not all deleted that the snapshot does not have",
            ));
        }
        if here.wanted {
            self.delete_others(names, here);
        }
        Ok(())
    }

    fn lost(&mut self, shown: &Path, kind: ErrorKind, why: String) {
        self.context.fail_as(kind, shown.display(), why);
    }
}
