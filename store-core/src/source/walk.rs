//! Visits a selection depth first, each folder's entries in the order of their names' bytes: so that equal trees give equal events,
//! and a directory's list is complete when its [`Event::Leave`] comes.
//!
//! Memory is bounded by the names of the folders on one path, open files by a constant. Nothing is opened but folders, ignore files
//! and tags; nothing is followed. Paths may be longer than the system's limit: each entry is reached from the folder that holds it.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;

use ignore::gitignore::Gitignore;
use rustix::fs::{CWD, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::error::SourceError;
use super::exclude::Excludes;
use super::file::OpenFile;
use super::gitignore;
use super::selection::Root;
use super::stat::{self, What};
use crate::base::limits;
use crate::format::entry::{Entry, Metadata, Timestamp};
use crate::linux::names::Names;
use crate::linux::{FOLDER, Inode, climb};

/// Folders of one path that stay open; those above are reopened from below.
const OPEN: usize = 64;

/// What a walk meets.
#[derive(Debug)]
pub enum Event {
    /// A folder begins. What follows up to its [`Event::Leave`] is in it. The first one is the snapshot's root.
    Enter(Found),
    /// Anything but a folder.
    Entry(Found),
    /// The folder that was entered last ends.
    Leave,
    /// Something could not be read. What it is about is missing or incomplete; the walk goes on.
    Problem(SourceError),
}

/// An entry that was found.
#[derive(Debug)]
pub struct Found {
    /// Where, as the selection spelled it; empty for a root that no folder stands behind.
    pub path: PathBuf,
    /// Its name in the snapshot; empty for the root.
    pub name: Vec<u8>,
    /// What it is.
    pub what: What,
    /// What the file system says of it.
    pub meta: Metadata,
    folder: Option<(Arc<OwnedFd>, Vec<u8>)>,
}

impl Found {
    /// Opens a regular file that a walk found, if it is still the same.
    pub fn open(&self) -> Result<OpenFile, SourceError> {
        let replaced = || SourceError::Replaced { path: self.path.clone() };
        let (folder, name) = self.folder.as_ref().ok_or_else(replaced)?;
        // A pipe or a device is not even opened: that could have effects.
        let now = stat::stat_at(folder, name).map_err(|error| SourceError::at("look at", &self.path, error))?;
        let metadata = stat::metadata(&now, Vec::new());
        let same = (metadata.inode, metadata.device) == (self.meta.inode, self.meta.device);
        if !same || !matches!(stat::what(folder, name, &self.path, &now)?, What::File { .. }) {
            return Err(replaced());
        }
        let file = OpenFile::open_at(folder, name, &self.path)?;
        if file.is(Inode::of(&now)) { Ok(file) } else { Err(replaced()) }
    }

    /// Whether this is the root of a snapshot of several paths: no folder, with no times or owner to restore.
    pub fn is_virtual(&self) -> bool {
        self.path.as_os_str().is_empty()
    }
}

/// A folder that was entered.
#[derive(Debug)]
struct Level {
    /// `None` while it is one of those that are not kept open.
    folder: Option<Arc<OwnedFd>>,
    inode: Inode,
    name: Vec<u8>,
    names: Names,
    next: usize,
    rules: Option<Gitignore>,
}

/// The root of a snapshot of several paths.
#[derive(Debug, PartialEq, Eq)]
enum Around {
    Before,
    Inside,
    /// Or never there.
    Done,
}

/// An iterator over what a [`Selection`](super::Selection) names.
#[derive(Debug)]
pub struct Walk {
    roots: std::vec::IntoIter<Root>,
    around: Around,
    excludes: Excludes,
    one_file_system: bool,
    /// Whether extended attributes are left out.
    is_bare: bool,
    /// The device of the root that is being walked.
    device: Option<u64>,
    /// Ignore rules from above that root.
    above: Vec<Gitignore>,
    levels: Vec<Level>,
    /// The entry that is being visited, as spelled and absolute.
    path: PathBuf,
    absolute: PathBuf,
    events: VecDeque<Event>,
}

impl Walk {
    /// `alone` says that the one root is the snapshot's root itself.
    pub(super) fn new(roots: Vec<Root>, alone: bool, excludes: Excludes, one_file_system: bool) -> Self {
        Self {
            roots: roots.into_iter(),
            around: if alone { Around::Done } else { Around::Before },
            excludes,
            one_file_system,
            is_bare: false,
            device: None,
            above: Vec::new(),
            levels: Vec::new(),
            path: PathBuf::new(),
            absolute: PathBuf::new(),
            events: VecDeque::new(),
        }
    }

    /// The same walk, for who counts what it meets: no extended attributes are read.
    pub fn without_attributes(mut self) -> Self {
        self.is_bare = true;
        self
    }

    fn problem(&mut self, error: SourceError) {
        self.events.push_back(Event::Problem(error));
    }

    fn failed(&mut self, action: &'static str, error: impl Into<std::io::Error>) {
        let error = SourceError::at(action, &self.path, error);
        self.problem(error);
    }

    fn begin(&mut self, root: Root) {
        self.path = root.path;
        self.absolute = root.absolute;
        self.device = None;
        self.above.clear();
        if root.listed && self.excludes.matches(&self.absolute) {
            return;
        }
        let is_pattern = root.listed && self.path.as_os_str().as_bytes().iter().any(|byte| b"*?[".contains(byte));
        if is_pattern && self.absolute.symlink_metadata().is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound) {
            let path = self.path.clone();
            return self.problem(SourceError::NoMatch { path });
        }
        if self.excludes.git_ignore {
            let mut problems = Vec::new();
            self.above = gitignore::above(&self.absolute, &mut problems);
            self.events.extend(problems.into_iter().map(Event::Problem));
        }
        let name = if self.around == Around::Done { Vec::new() } else { root.name.clone().unwrap_or_default() };
        let (Some(parent), Some(entry), false) = (self.absolute.parent(), root.name, root.follow) else {
            match rustix::fs::open(&self.absolute, FOLDER.difference(OFlags::NOFOLLOW), Mode::empty()) {
                Ok(folder) => self.enter(name, folder),
                Err(error) => self.failed("open", error),
            }
            return;
        };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match rustix::fs::openat(CWD, parent, flags, Mode::empty()) {
            Ok(parent) => self.visit(&Arc::new(parent), &entry, name),
            Err(error) => self.failed("open the folder of", error),
        }
    }

    /// Goes on in the innermost folder.
    fn step(&mut self) {
        let Some(level) = self.levels.last_mut() else { return };
        let (Some(name), Some(folder)) = (level.names.get(level.next).map(<[u8]>::to_vec), level.folder.clone()) else {
            self.leave();
            return;
        };
        level.next += 1;
        self.path.push(OsStr::from_bytes(&name));
        self.absolute.push(OsStr::from_bytes(&name));
        let depth = self.levels.len();
        if !Entry::is_name(&name) {
            let path = self.path.clone();
            self.problem(SourceError::TooLarge { what: "its name is longer", path });
        } else if !self.excludes.matches(&self.absolute) {
            self.visit(&folder, &name, name.clone());
        }
        if self.levels.len() == depth {
            self.path.pop();
            self.absolute.pop();
        }
    }

    fn leave(&mut self) {
        let left = self.levels.pop();
        self.events.push_back(Event::Leave);
        if self.levels.is_empty() {
            return;
        }
        self.path.pop();
        self.absolute.pop();
        let Some(level) = self.levels.last() else { return };
        if level.folder.is_none() {
            let below = left.and_then(|left| left.folder);
            let opened = below.and_then(|below| climb(below, level.inode).ok()).map_or_else(|| self.descend(), Ok);
            match opened {
                Ok(folder) => {
                    if let Some(level) = self.levels.last_mut() {
                        level.folder = Some(Arc::new(folder));
                    }
                }
                // Its other names are passed over.
                Err(error) => self.failed("go on reading", error),
            }
        }
    }

    /// Opens the innermost folder from above, for when a folder below it was moved away and does not lead back.
    fn descend(&self) -> std::io::Result<OwnedFd> {
        let missing = || std::io::Error::from(std::io::ErrorKind::NotFound);
        let start = self.levels.iter().rposition(|level| level.folder.is_some()).ok_or_else(missing)?;
        let mut folder: Option<OwnedFd> = None;
        for level in &self.levels[start + 1..] {
            let from = folder.as_ref().or(self.levels[start].folder.as_deref()).ok_or_else(missing)?;
            let opened = rustix::fs::openat(from, &level.name, FOLDER, Mode::empty())?;
            if Inode::of(&rustix::fs::fstat(&opened)?) != level.inode {
                return Err(missing());
            }
            folder = Some(opened);
        }
        folder.ok_or_else(missing)
    }

    /// Looks at the entry `entry` of a folder, which has `name` in the snapshot.
    fn visit(&mut self, folder: &Arc<OwnedFd>, entry: &[u8], name: Vec<u8>) {
        let stat = match stat::stat_at(folder, entry) {
            Ok(stat) => stat,
            Err(error) => return self.failed("look at", error),
        };
        let what = match stat::what(folder, entry, &self.path, &stat) {
            Ok(what) => what,
            Err(error) => return self.problem(error),
        };
        let is_directory = what == What::Directory;
        let rules = self.levels.iter().rev().filter_map(|level| level.rules.as_ref()).chain(&self.above);
        if !self.levels.is_empty() && self.excludes.git_ignore && gitignore::ignored(rules, &self.absolute, is_directory) {
            return;
        }
        match what {
            What::Directory => match open_folder(folder, entry) {
                Ok(opened) => self.enter(name, opened),
                Err(Errno::NOTDIR | Errno::LOOP) => {
                    let path = self.path.clone();
                    self.problem(SourceError::Replaced { path });
                }
                Err(error) => {
                    let (xattrs, _) = stat::attributes(folder.as_fd(), Some(entry), &self.path);
                    self.bare(name, stat::metadata(&stat, xattrs));
                    self.failed("open", error);
                    self.events.push_back(Event::Leave);
                }
            },
            What::File { size, .. } if !self.levels.is_empty() && self.excludes.too_large(size) => {}
            what => {
                let attributes = || stat::attributes(folder.as_fd(), Some(entry), &self.path);
                let (xattrs, problem) = if self.is_bare { (Vec::new(), None) } else { attributes() };
                self.events.extend(problem.map(Event::Problem));
                let meta = stat::metadata(&stat, xattrs);
                let folder = Some((Arc::clone(folder), entry.to_vec()));
                self.events.push_back(Event::Entry(Found { path: self.path.clone(), name, what, meta, folder }));
            }
        }
    }

    /// Announces the folder at hand.
    fn bare(&mut self, name: Vec<u8>, meta: Metadata) {
        self.events.push_back(Event::Enter(Found { path: self.path.clone(), name, what: What::Directory, meta, folder: None }));
    }

    /// Enters an opened folder. Its own state is what the snapshot keeps: it may be another than was looked at from above, which is
    /// no harm, since it is a folder all the same.
    fn enter(&mut self, name: Vec<u8>, folder: OwnedFd) {
        let stat: Stat = match rustix::fs::fstat(&folder) {
            Ok(stat) => stat,
            Err(error) => return self.failed("look at", error),
        };
        let attributes = || stat::attributes(folder.as_fd(), None, &self.path);
        let (xattrs, problem) = if self.is_bare { (Vec::new(), None) } else { attributes() };
        self.events.extend(problem.map(Event::Problem));
        let meta = stat::metadata(&stat, xattrs);
        let device = meta.device;
        self.bare(name.clone(), meta);
        if self.one_file_system && *self.device.get_or_insert(device) != device {
            self.events.push_back(Event::Leave);
            return;
        }
        if self.levels.len() >= limits::TREE_DEPTH - 1 {
            let path = self.path.clone();
            self.problem(SourceError::TooLarge { what: "it lies in more folders", path });
            self.events.push_back(Event::Leave);
            return;
        }
        let (names, rules) = self.list(&folder);
        // The first one stays open: from it all others can be found again.
        if let Some(above) = self.levels.len().checked_sub(OPEN)
            && above > 0
        {
            self.levels[above].folder = None;
        }
        self.levels.push(Level { folder: Some(Arc::new(folder)), inode: Inode::of(&stat), name, names, next: 0, rules });
    }

    /// The names to visit in an opened folder, and the ignore rules it holds.
    fn list(&mut self, folder: &OwnedFd) -> (Names, Option<Gitignore>) {
        let tagged = match self.excludes.tagged(folder) {
            Ok(kept) => kept,
            Err(error) => {
                let error = SourceError::at("look for tags in", &self.path, error);
                self.events.push_back(Event::Problem(error));
                None
            }
        };
        let (mut names, error) = Names::read(folder);
        names.sort();
        if let Some(kept) = tagged {
            names.retain(|name| kept.contains(&name));
        }
        if let Some(error) = error {
            self.failed("read all names in", error);
        }
        let mut problems = Vec::new();
        let rules = if self.excludes.git_ignore { gitignore::read(folder, &self.absolute, &mut problems) } else { None };
        self.events.extend(problems.into_iter().map(Event::Problem));
        (names, rules)
    }
}

impl Iterator for Walk {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Some(event);
            }
            if !self.levels.is_empty() {
                self.step();
            } else if self.around == Around::Before {
                self.around = Around::Inside;
                let (path, name) = (PathBuf::new(), Vec::new());
                return Some(Event::Enter(Found { path, name, what: What::Directory, meta: nobody(), folder: None }));
            } else if let Some(root) = self.roots.next() {
                self.begin(root);
            } else if self.around == Around::Inside {
                self.around = Around::Done;
                return Some(Event::Leave);
            } else {
                return None;
            }
        }
    }
}

/// The metadata of a root that no folder stands behind: the same at every push, so that it adds nothing to a repository.
fn nobody() -> Metadata {
    let never = Timestamp { seconds: 0, nanos: 0 };
    Metadata { mode: 0o755, uid: 0, gid: 0, mtime: never, ctime: never, inode: 0, device: 0, links: 0, xattrs: Vec::new() }
}

fn open_folder(parent: &Arc<OwnedFd>, name: &[u8]) -> rustix::io::Result<OwnedFd> {
    match rustix::fs::openat(parent, name, FOLDER | OFlags::NOATIME, Mode::empty()) {
        // Only the owner may leave the access time alone.
        Err(Errno::PERM) => rustix::fs::openat(parent, name, FOLDER, Mode::empty()),
        opened => opened,
    }
}

#[cfg(test)]
#[path = "walk_tests.rs"]
mod tests;
