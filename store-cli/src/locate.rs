//! Which repository is meant.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use store_core::backend::Location;
use store_core::ops::ErrorKind;

use crate::exit::{Failure, Result};
use crate::settings::{Access, Place, Value};

/// Folder that makes a folder and all below it use the repository inside.
pub(crate) const FOLDER: &str = ".snap";

/// The repository that is named, or the nearest `.snap` in the current folder and above it.
pub(crate) fn existing(access: &Access) -> Result<String> {
    if let Some(named) = named(access)? {
        return Ok(named);
    }
    let here = here()?;
    match nearest(&here) {
        Some(folder) => text(folder),
        None => Err(Failure::new(
            ErrorKind::NoRepository,
            format!("no repository is named, and there is no {FOLDER} folder in {} or above it", here.display()),
        )
        .hint("make one here with `snap init`, or name one with -r or SNAP_REPOSITORY")),
    }
}

/// The repository that is named, or `.snap` in the current folder, to be made.
pub(crate) fn new(access: &Access) -> Result<String> {
    match named(access)? {
        Some(named) => Ok(named),
        None => text(here()?.join(FOLDER)),
    }
}

/// The repository that snapshots are copied to, which is always named.
pub(crate) fn second(access: &Access) -> Result<String> {
    named(access)?.ok_or_else(|| Failure::usage("no repository is named to copy to").hint("name one with --to or SNAP_TO_REPOSITORY"))
}

/// The repository that is named, if one is.
pub(crate) fn named(access: &Access) -> Result<Option<String>> {
    let Some(Value { value, origin }) = &access.repository else { return Ok(None) };
    let place = match value {
        Place::At(place) => PathBuf::from(place),
        Place::NamedIn(file) => {
            let fail = |error| Failure::with(ErrorKind::Usage, format_args!("{origin}: {} cannot be read", file.display()), &error);
            let line = fs::read_to_string(file).map_err(fail)?;
            PathBuf::from(line.trim())
        }
    };
    if place.as_os_str().is_empty() {
        return Err(Failure::usage(format!("{origin}: no repository is named there")));
    }
    let place = text(place)?;
    if let Err(error) = Location::parse(&place) {
        return Err(Failure::with(error.kind(), origin, &error));
    }
    Ok(Some(place))
}

fn nearest(folder: &Path) -> Option<PathBuf> {
    folder.ancestors().map(|folder| folder.join(FOLDER)).find(|folder| folder.is_dir())
}

fn here() -> Result<PathBuf> {
    env::current_dir().map_err(|error| Failure::with(ErrorKind::Failed, "the current folder is not there", &error))
}

fn text(path: PathBuf) -> Result<String> {
    path.into_os_string()
        .into_string()
        .map_err(|path| Failure::usage(format!("{} is not UTF-8, which a repository's path must be", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_folder_upward_counts() {
        let top = tempfile::tempdir().unwrap();
        let deep = top.path().join("a/b/c");
        fs::create_dir_all(&deep).unwrap();
        fs::create_dir(top.path().join(FOLDER)).unwrap();
        assert_eq!(nearest(&deep).unwrap(), top.path().join(FOLDER));
        fs::create_dir(top.path().join("a/b").join(FOLDER)).unwrap();
        assert_eq!(nearest(&deep).unwrap(), top.path().join("a/b").join(FOLDER));
        fs::write(deep.join(FOLDER), "a file is no repository").unwrap();
        assert_eq!(nearest(&deep).unwrap(), top.path().join("a/b").join(FOLDER));
    }
}
