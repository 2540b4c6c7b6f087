//! Which entries of a folder are versions of one thing.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

/// Folders of one shape that are told apart by numbers or dates in their names (`v01`, `step-500`, `2026-01-31`), in the order of these
/// numbers; else files whose names carry a date or a version. `None` where there are fewer than two, or where other folders stand beside them.
///
/// Shards (`model-00001-of-00003`) are parts, not versions.
pub fn versions_in(folder: &Path) -> Option<Vec<PathBuf>> {
    let (mut folders, mut files) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(folder).ok()?.flatten() {
        let name = entry.file_name();
        let Ok(kind) = entry.file_type() else { continue };
        if name.as_encoded_bytes().starts_with(b".") {
            continue;
        }
        if kind.is_dir() {
            folders.push(name);
        } else if kind.is_file() {
            files.push(name);
        }
    }
    let found = if folders.is_empty() { dated(files)? } else { numbered(folder, folders)? };
    Some(found.into_iter().map(|name| folder.join(name)).collect())
}

fn numbered(folder: &Path, names: Vec<OsString>) -> Option<Vec<OsString>> {
    let names = one_mask(names)?;
    let shapes: Vec<_> = names.iter().map(|name| shape(&folder.join(name))).collect();
    let alike = |shape: &BTreeSet<String>| shape.intersection(&shapes[0]).count() * 2 >= shape.len().max(shapes[0].len());
    (!shapes[0].is_empty() && shapes.iter().all(alike)).then_some(names)
}

fn dated(names: Vec<OsString>) -> Option<Vec<OsString>> {
    let names = one_mask(names)?;
    let is_version = |name: &OsString| {
        let name = name.to_string_lossy();
        let digits = name.bytes().filter(u8::is_ascii_digit).count();
        let numbered = name.match_indices('v').any(|(at, _)| name[at + 1..].starts_with(|c: char| c.is_ascii_digit()));
        !name.contains("-of-") && (numbered || digits >= 6 && (name.contains("19") || name.contains("20")))
    };
    names.iter().all(is_version).then_some(names)
}

/// The names in the order of the numbers in them, if they differ in numbers alone.
fn one_mask(mut names: Vec<OsString>) -> Option<Vec<OsString>> {
    let mask = |name: &OsString| -> Vec<Option<u8>> {
        let mut masked: Vec<_> = name.as_encoded_bytes().iter().map(|b| if b.is_ascii_digit() { None } else { Some(*b) }).collect();
        masked.dedup_by(|a, b| a.is_none() && b.is_none());
        masked
    };
    let first = mask(names.first()?);
    if names.len() < 2 || !first.contains(&None) || !names.iter().all(|name| mask(name) == first) {
        return None;
    }
    names.sort_by_cached_key(|name| (numbers(&name.to_string_lossy()), name.clone()));
    Some(names)
}

fn numbers(name: &str) -> Vec<(usize, String)> {
    let runs = name.split(|c: char| !c.is_ascii_digit()).filter(|run| !run.is_empty());
    // By value, however long: fewer digits first, then digit by digit.
    runs.map(|run| run.trim_start_matches('0')).map(|run| (run.len(), run.to_owned())).collect()
}

/// The names in a folder without their numbers.
fn shape(folder: &Path) -> BTreeSet<String> {
    let names = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.file_name());
    names.map(|name| name.to_string_lossy().chars().filter(|c| !c.is_ascii_digit()).collect()).collect()
}

/// Short names for paths: what tells them apart.
pub(super) fn labels(paths: &[PathBuf]) -> Vec<String> {
    let last = |path: &PathBuf| path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned());
    let mut times = BTreeMap::<String, u32>::new();
    paths.iter().for_each(|path| *times.entry(last(path)).or_default() += 1);
    paths.iter().map(|path| if times[&last(path)] > 1 { path.display().to_string() } else { last(path) }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(entries: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for entry in entries {
            let path = folder.path().join(entry);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, b"x").unwrap();
        }
        folder
    }

    fn names(entries: &[&str]) -> Option<Vec<String>> {
        let folder = folder(entries);
        let found = versions_in(folder.path())?;
        Some(found.iter().map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect())
    }

    #[test]
    fn numbered_folders_of_one_shape_are_versions_in_the_order_of_their_numbers() {
        assert_eq!(names(&["step-1000/m", "step-50/m", "step-500/m", "LICENSE"]).unwrap(), ["step-50", "step-500", "step-1000"]);
        assert_eq!(names(&["2026-01-31/a.sql", "2025-12-01/a.sql"]).unwrap(), ["2025-12-01", "2026-01-31"]);
    }

    #[test]
    fn folders_that_differ_in_shape_or_name_are_no_versions() {
        assert_eq!(names(&["v1/a", "v2/b"]), None);
        assert_eq!(names(&["src/a", "doc/a"]), None);
        assert_eq!(names(&["v1/a"]), None);
        assert_eq!(names(&[]), None);
    }

    #[test]
    fn dated_files_are_versions_and_shards_are_not() {
        assert_eq!(names(&["app-20260102.sql", "app-20260101.sql"]).unwrap(), ["app-20260101.sql", "app-20260102.sql"]);
        assert_eq!(names(&["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]), None);
        assert_eq!(names(&["part1.csv", "part2.csv"]), None);
    }
}
