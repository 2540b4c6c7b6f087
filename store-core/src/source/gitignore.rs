//! `.gitignore` files, with git's rules as the `ignore` crate knows them.

use std::os::fd::AsFd;
use std::path::Path;

use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};

use super::error::SourceError;
use crate::linux::read_small;

const NAME: &[u8] = b".gitignore";
/// Bytes of an ignore file beyond which it is not read.
const MOST: u64 = 4 << 20;

/// Reads the rules of one opened folder, whose absolute path is `folder_path`; `None` when it has none. A link is not followed, as in
/// git. Errors are added to `problems`; the other lines hold.
pub(super) fn read(folder: impl AsFd, folder_path: &Path, problems: &mut Vec<SourceError>) -> Option<Gitignore> {
    let path = || folder_path.join(".gitignore");
    let bytes = match read_small(folder, NAME, MOST + 1) {
        Ok(bytes) => bytes?,
        Err(error) => {
            problems.push(SourceError::at("read", &path(), error));
            return None;
        }
    };
    if bytes.len() as u64 > MOST {
        problems.push(SourceError::IgnoreFile { path: path(), line: 0, reason: "larger than 4 MiB, not used".to_string() });
        return None;
    }
    let mut builder = GitignoreBuilder::new(folder_path);
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    for (index, line) in bytes.split(|&byte| byte == b'\n').enumerate() {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let added = match std::str::from_utf8(line) {
            Ok(line) => builder.add_line(None, line).map(|_| ()).map_err(|error| error.to_string()),
            Err(_) => Err("not UTF-8".to_string()),
        };
        if let Err(reason) = added {
            problems.push(SourceError::IgnoreFile { path: path(), line: index + 1, reason });
        }
    }
    match builder.build() {
        Ok(rules) => Some(rules).filter(|rules| !rules.is_empty()),
        Err(error) => {
            problems.push(SourceError::IgnoreFile { path: path(), line: 0, reason: error.to_string() });
            None
        }
    }
}

/// The rules that hold for `folder_path` from above it: those of the folders up to the one that holds `.git`, nearest first. Empty
/// when no folder above does, or the folder itself does.
pub(super) fn above(folder_path: &Path, problems: &mut Vec<SourceError>) -> Vec<Gitignore> {
    let mut rules = Vec::new();
    for (index, folder) in folder_path.ancestors().enumerate() {
        if index > 0
            && let Ok(opened) = std::fs::File::open(folder)
        {
            rules.extend(read(opened, folder, problems));
        }
        if folder.join(".git").symlink_metadata().is_ok() {
            return rules;
        }
    }
    // What lies in no repository obeys no file outside of what was named.
    problems.retain(|problem| problem.path().starts_with(folder_path));
    Vec::new()
}

/// Whether the rules, nearest first, ignore the entry at this absolute path.
pub(super) fn ignored<'a>(rules: impl Iterator<Item = &'a Gitignore>, absolute: &Path, is_directory: bool) -> bool {
    for rules in rules {
        match rules.matched(absolute, is_directory) {
            Match::Ignore(_) => return true,
            Match::Whitelist(_) => return false,
            Match::None => {}
        }
    }
    false
}
