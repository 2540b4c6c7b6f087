//! Placing entries in the target: folders, links, pipes, devices here, regular files in `file`.

use std::collections::hash_map::Entry as Place;
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use super::guard::Verdict;
use super::walk::Visit;
use super::{Here, Options, Overwrite, Report};
use crate::base::ids::SnapshotId;
use crate::error::{Error, ErrorKind, chain};
use crate::format::entry::{Entry, Kind, Metadata};
use crate::pipeline::{RestoreBatch, RestoreContext};
use crate::sink::{Existing, Form, TargetPath};

/// Restores what a walk meets.
pub(super) struct Restorer<'c, 'r> {
    pub(super) context: &'c RestoreContext<'r>,
    /// Which one is restored.
    pub(super) snapshot: SnapshotId,
    pub(super) options: &'c Options,
    pub(super) batch: RestoreBatch,
    pub(super) report: Report,
    target_was_there: bool,
    /// Folders that get their metadata in the end.
    directories: Vec<(TargetPath, Metadata)>,
    /// Folders that keep theirs, with the permission bits that they get back in the end.
    kept_directories: Vec<(TargetPath, u32)>,
    /// Folders made, or found to be there.
    made: HashSet<TargetPath>,
    /// The first name of each file with several, by device and inode.
    links: HashMap<(u64, u64), (TargetPath, Entry)>,
    pending_links: Vec<(TargetPath, TargetPath)>,
}

impl<'c, 'r> Restorer<'c, 'r> {
    pub(super) fn new(context: &'c RestoreContext<'r>, snapshot: SnapshotId, options: &'c Options, target_was_there: bool) -> Self {
        Self {
            context,
            snapshot,
            options,
            batch: RestoreBatch::default(),
            report: Report::default(),
            target_was_there,
            directories: Vec::new(),
            kept_directories: Vec::new(),
            made: HashSet::new(),
            links: HashMap::new(),
            pending_links: Vec::new(),
        }
    }

    /// What is to happen at `path`, and whether a folder stands there. `None` when nobody can tell, which is reported.
    pub(super) fn verdict(&mut self, entry: &Entry, path: &TargetPath) -> Option<(Verdict, Option<u32>)> {
        // Without a guard nothing needs to be looked at.
        let Some(target) = self.context.target.filter(|_| self.options.overwrite != Overwrite::Always) else {
            return Some((Verdict::Write, None));
        };
        match target.look(path) {
            Ok(there) => {
                let folder = there.as_ref().filter(|there| there.form == Form::Directory).map(|there| there.mode);
                Some((self.options.overwrite.verdict(there.as_ref(), entry), folder))
            }
            Err(error) => {
                self.context.fail_at(path, error.kind(), chain(&error));
                None
            }
        }
    }

    /// Counts an entry that stays as it is.
    pub(super) fn skip(&mut self, path: &TargetPath) {
        self.report.skipped += 1;
        if self.options.verify {
            self.context.is_other(path);
        }
    }

    fn enter_root(&mut self, meta: &Metadata) -> Result<bool, Error> {
        let guarded = match (self.options.overwrite, self.context.target) {
            (Overwrite::Never, _) => self.target_was_there,
            (Overwrite::IfNewer, Some(target)) if self.target_was_there => {
                target.look(&TargetPath::root())?.is_some_and(|there| there.mtime >= meta.mtime)
            }
            _ => false,
        };
        // The root of several paths, or of a stream, has nothing to say of the target folder itself.
        if !guarded && meta.inode != 0 {
            self.directories.push((TargetPath::root(), meta.clone()));
        }
        Ok(true)
    }

    /// Makes the folder at `path` and those above it, once. Those above must be let through by the guard one by one, or not be there.
    fn make_above(&mut self, path: &TargetPath) -> bool {
        let Some(target) = self.context.target else { return true };
        if path.is_root() || self.made.contains(path) {
            return true;
        }
        let existing = match self.options.overwrite {
            Overwrite::Always | Overwrite::IfChanged => Existing::ReplaceAll,
            Overwrite::IfNewer | Overwrite::Never => Existing::Refuse,
        };
        self.make(target.make_dirs(path, existing), path)
    }

    fn make(&mut self, made: Result<(), crate::sink::SinkError>, path: &TargetPath) -> bool {
        if let Err(error) = made {
            self.context.fail_at(path, error.kind(), chain(&error));
            return false;
        }
        self.made.insert(path.clone());
        true
    }

    fn other(&mut self, entry: &Entry, here: &Here) {
        self.report.others += 1;
        let path = &here.target;
        let Some((verdict, _)) = self.verdict(entry, path) else { return };
        let Some(target) = self.context.target else { return };
        if verdict == Verdict::Stay {
            return self.skip(path);
        }
        if let Some(original) = self.other_name(entry, here) {
            self.pending_links.push((original, path.clone()));
            return;
        }
        let made = match &entry.kind {
            Kind::Symlink { target: to } => target.symlink(path, to, Existing::ReplaceAll),
            Kind::Fifo => target.make_fifo(path, Existing::ReplaceAll),
            Kind::CharDevice { rdev } | Kind::BlockDevice { rdev } => {
                match target.make_device(path, matches!(entry.kind, Kind::BlockDevice { .. }), *rdev, Existing::ReplaceAll) {
                    Ok(Some(warning)) => return self.context.warn(here.shown.display(), chain(&warning)),
                    made => made.map(|_| ()),
                }
            }
            Kind::Socket => {
                return self.context.warn(here.shown.display(), "a socket is not restored: the program that listens on it makes it again");
            }
            _ => return,
        };
        match made.and_then(|()| target.set_metadata(path, &entry.meta)) {
            Ok(warnings) => {
                self.context.is_finished(path, &entry.meta);
                warnings.iter().for_each(|warning| self.context.warn(here.shown.display(), chain(warning)));
            }
            Err(error) => self.context.fail_as(error.kind(), here.shown.display(), chain(&error)),
        }
    }

    /// The name under which this file was restored before, if this is another one. A name that stays as it is never comes here: what it
    /// names may be another file.
    fn other_name(&mut self, entry: &Entry, here: &Here) -> Option<TargetPath> {
        if entry.meta.links < 2 || entry.meta.inode == 0 {
            return None;
        }
        match self.links.entry((entry.meta.device, entry.meta.inode)) {
            Place::Occupied(first) => {
                let (path, first) = first.get();
                if first.is_same_file(entry) {
                    return Some(path.clone());
                }
                let message = format!(
                    "was another name of {}, which changed while it was pushed: it becomes a file of its own",
                    path.as_path().display()
                );
                self.context.warn(here.shown.display(), message);
                None
            }
            Place::Vacant(slot) => {
                slot.insert((here.target.clone(), entry.clone()));
                None
            }
        }
    }

    /// Whether this is another name of a file restored before, which it gets in the end.
    pub(super) fn is_other_name(&mut self, entry: &Entry, here: &Here) -> bool {
        let original = self.other_name(entry, here);
        let is_other = original.is_some();
        self.pending_links.extend(original.map(|original| (original, here.target.clone())));
        is_other
    }

    /// Writes what is left, then links.
    pub(super) fn write_rest(&mut self) -> Result<(), Error> {
        self.batch.run(self.context)?;
        let Some(target) = self.context.target else { return Ok(()) };
        let finished = self.context.finished.lock().unwrap_or_else(PoisonError::into_inner);
        for (original, path) in &self.pending_links {
            // What stands there under the first name is half of it, or another file: what is at the second one may be better.
            if !finished.contains(original) {
                let message = format!("is another name of {}, which was not restored", original.as_path().display());
                self.context.fail_at(path, ErrorKind::Failed, message);
                continue;
            }
            match target.hard_link(original, path, Existing::ReplaceAll) {
                Ok(()) => _ = self.context.counts.files_done.fetch_add(1, Ordering::Relaxed),
                Err(error) => self.context.fail_at(path, error.kind(), chain(&error)),
            }
        }
        Ok(())
    }

    /// Gives folders their metadata, when nothing is made or deleted in them any more.
    pub(super) fn finish(self) -> Report {
        let Some(target) = self.context.target else { return self.report };
        let is_described = self.directories.iter().any(|(path, _)| path.is_root());
        let (warnings, errors) = target.finish_directories(self.directories);
        warnings.iter().for_each(|warning| self.context.warn(warning.path.display(), chain(warning)));
        errors.iter().for_each(|error| self.context.fail("a directory", chain(error)));
        for (path, mode) in self.kept_directories.iter().rev() {
            if let Err(error) = target.set_folder_mode(path, *mode) {
                self.context.fail(path.as_path().display(), chain(&error));
            }
        }
        // A target that was made, and of which the snapshot says nothing, becomes a folder like others.
        if let Err(error) = target.open_made(!is_described) {
            self.context.warn("/", chain(&error));
        }
        self.report
    }
}

impl Visit for Restorer<'_, '_> {
    fn enter(&mut self, entry: &Entry, here: &Here) -> Result<bool, Error> {
        if !here.wanted {
            return Ok(true);
        }
        if here.target.is_root() {
            return self.enter_root(&entry.meta);
        }
        self.report.directories += 1;
        let Some((verdict, standing)) = self.verdict(entry, &here.target) else { return Ok(false) };
        let Some(target) = self.context.target else { return Ok(true) };
        match (verdict, standing) {
            (Verdict::Stay, None) => {
                self.skip(&here.target);
                let message = "something that is no folder stays here, so what the snapshot has below is not restored";
                self.context.fail(here.shown.display(), message);
                return Ok(false);
            }
            // What is beneath may be restored, and compared.
            (Verdict::Stay, Some(_)) => self.report.skipped += 1,
            (Verdict::Write, _) => {}
        }
        let above = here.target.split().map(|(above, _)| above);
        if !above.is_none_or(|above| self.make_above(&above))
            || !self.make(target.make_dir(&here.target, Existing::ReplaceAll), &here.target)
        {
            return Ok(false);
        }
        match (verdict, standing) {
            (Verdict::Write, _) => self.directories.push((here.target.clone(), entry.meta.clone())),
            (Verdict::Stay, Some(mode)) if mode & 0o700 != 0o700 => self.kept_directories.push((here.target.clone(), mode)),
            (Verdict::Stay, _) => {}
        }
        Ok(true)
    }

    fn entry(&mut self, entry: &Entry, here: &Here, above: &Here) -> Result<(), Error> {
        if !self.make_above(&above.target) {
            return Ok(());
        }
        match &entry.kind {
            Kind::File { size, .. } => self.file(entry, *size, here),
            _ => {
                self.other(entry, here);
                Ok(())
            }
        }
    }

    fn leave(&mut self, _: &Here, _: &HashSet<Vec<u8>>) -> Result<(), Error> {
        Ok(())
    }

    fn lost(&mut self, shown: &Path, kind: ErrorKind, why: String) {
        self.context.fail_as(kind, shown.display(), why);
    }
}
