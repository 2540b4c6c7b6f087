//! What a push is asked to read, and how the paths it was given become the entries of one root.

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use super::exclude::Excludes;
use super::walk::Walk;
use crate::base::units::KIB;
use crate::format::entry::Entry;

/// What to read.
///
/// When the selection is one path to a folder, that folder is the snapshot's root, so that its content is restored right below the
/// target. Otherwise the root is a folder that exists in the snapshot alone, and each path is an entry of it, under the last
/// component of its name. `.` and what ends in `..` have the name of the folder they stand for. A path to a symbolic link stands for
/// the link; with a trailing slash, for the folder it leads to.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Paths that were named: they must exist, and are taken whatever the excludes say.
    pub paths: Vec<PathBuf>,
    /// Paths from lists made by other programs: excludes apply, and one that is gone is a problem, not an error.
    pub listed: Vec<PathBuf>,
    /// What the lists say, patterns as they are, by which versions of one list are told from those of another; without it `listed` is.
    pub lists: Vec<PathBuf>,
    /// What is left out.
    pub excludes: Excludes,
    /// Whether folders on other file systems than the path that led there are left empty. Files are taken wherever they lie: overlay
    /// file systems tell other devices for them.
    pub one_file_system: bool,
}

/// A selection that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SelectionError {
    /// Nothing was named.
    #[error("nothing to push: name a file or a folder")]
    Nothing,
    /// A named path is not there, or cannot be looked at.
    #[error("cannot read {path:?}")]
    Path {
        /// Which path.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Two paths would be the same entry.
    #[error("{first:?} and {second:?} would both be {name:?} in the snapshot; push them apart, or a folder that holds both")]
    SameName {
        /// The one.
        first: PathBuf,
        /// The other.
        second: PathBuf,
        /// The name they share.
        name: PathBuf,
    },
    /// A path that has no name stands beside others.
    #[error("{0:?} has no name that it could have beside other paths; push it alone")]
    NoName(PathBuf),
}

/// One path of a selection, made ready.
#[derive(Debug, Clone)]
pub(super) struct Root {
    /// The path, for messages.
    pub(super) path: PathBuf,
    /// The same, absolute, for patterns and for opening.
    pub(super) absolute: PathBuf,
    /// Its name in the snapshot; `None` for the file system's root.
    pub(super) name: Option<Vec<u8>>,
    /// Whether a symbolic link is followed.
    pub(super) follow: bool,
    /// Whether it comes from a list.
    pub(super) listed: bool,
}

/// Most paths that a snapshot records, and their bytes: `spec/FORMAT.md`, section 10.
const RECORDED: usize = 1024;
const RECORDED_LEN: usize = 64 * KIB;

impl Selection {
    /// The paths as a snapshot records them: absolute, ascending, those of lists among them; those of a long list as one, which tells it from
    /// other lists.
    pub fn recorded(&self) -> Vec<Vec<u8>> {
        let absolute = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone()).into_os_string().into_vec();
        let sorted = |paths: &[PathBuf]| paths.iter().map(absolute).collect::<BTreeSet<Vec<u8>>>();
        let mut named: Vec<Vec<u8>> = self.paths.iter().map(absolute).collect();
        let mut lists = sorted(if self.lists.is_empty() { &self.listed } else { &self.lists });
        if lists.len() > RECORDED || lists.iter().map(Vec::len).sum::<usize>() > RECORDED_LEN {
            let mut hasher = blake3::Hasher::new();
            lists.iter().for_each(|path| _ = hasher.update(path).update(b"\0"));
            lists = [format!("files-from:{}", hasher.finalize().to_hex()).into_bytes()].into();
        }
        named.extend(lists);
        named.sort_unstable();
        named
    }

    /// Starts to read.
    ///
    /// # Errors
    /// When there is nothing to read, a named path is not there, or two would have one name. What fails later is an event of the walk.
    pub fn walk(self) -> Result<Walk, SelectionError> {
        let mut roots = Vec::new();
        for (path, listed) in self.paths.iter().map(|path| (path, false)).chain(self.listed.iter().map(|path| (path, true))) {
            let failed = |source| SelectionError::Path { path: path.clone(), source };
            match resolve(path, listed) {
                Ok(root) => {
                    if !listed {
                        look(&root).map_err(failed)?;
                    }
                    roots.push(root);
                }
                // The walk meets it again, and reports it.
                Err(_) if listed => {
                    let (absolute, name) = (path.clone(), path.file_name().map(|name| name.as_bytes().to_vec()));
                    roots.push(Root { path: path.clone(), absolute, name, follow: false, listed });
                }
                Err(source) => return Err(failed(source)),
            }
        }
        let alone = match &roots[..] {
            [] => return Err(SelectionError::Nothing),
            [only] => look(only).is_ok_and(|meta| meta.is_dir()),
            _ => false,
        };
        if !alone {
            distinct(&roots)?;
            roots.sort_by(|a, b| a.name.cmp(&b.name));
        }
        Ok(Walk::new(roots, alone, self.excludes, self.one_file_system))
    }
}

/// The paths of a list: separated by line feeds, blank lines and lines that start with `#` aside; or, with `nul`, by NUL bytes, each
/// taken as it is. Nothing in them is a pattern.
pub fn parse_list(bytes: &[u8], nul: bool) -> Vec<PathBuf> {
    let path = |bytes: &[u8]| PathBuf::from(OsStr::from_bytes(bytes));
    if nul {
        return bytes.split(|&byte| byte == 0).filter(|name| !name.is_empty()).map(path).collect();
    }
    let lines = bytes.split(|&byte| byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    lines.filter(|line| !line.trim_ascii().is_empty() && !line.starts_with(b"#")).map(path).collect()
}

fn look(root: &Root) -> io::Result<std::fs::Metadata> {
    let meta = if root.follow { std::fs::metadata(&root.absolute)? } else { std::fs::symlink_metadata(&root.absolute)? };
    if root.follow && !meta.is_dir() { Err(io::ErrorKind::NotADirectory.into()) } else { Ok(meta) }
}

fn resolve(path: &Path, listed: bool) -> io::Result<Root> {
    let bytes = path.as_os_str().as_bytes();
    let mut follow = bytes.ends_with(b"/") || bytes.ends_with(b"/.");
    let shown = match (path.file_name(), path.parent()) {
        (Some(name), Some(parent)) if path.components().any(|part| part == Component::ParentDir) => parent.canonicalize()?.join(name),
        (Some(_), _) => path.components().collect(),
        (None, _) => {
            follow = true;
            path.canonicalize()?
        }
    };
    let absolute: PathBuf = std::path::absolute(&shown)?.components().collect();
    let name = absolute.file_name().map(|name| name.as_bytes().to_vec());
    Ok(Root { path: shown, absolute, name, follow, listed })
}

fn distinct(roots: &[Root]) -> Result<(), SelectionError> {
    let mut names: HashMap<&[u8], &Path> = HashMap::new();
    for root in roots {
        let name = root.name.as_deref().filter(|name| Entry::is_name(name)).ok_or_else(|| SelectionError::NoName(root.path.clone()))?;
        if let Some(first) = names.insert(name, &root.path) {
            let (first, second) = (first.to_path_buf(), root.path.clone());
            return Err(SelectionError::SameName { first, second, name: PathBuf::from(OsStr::from_bytes(name)) });
        }
    }
    Ok(())
}
