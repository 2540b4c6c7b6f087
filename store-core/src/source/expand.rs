//! Patterns in lists of paths, expanded to what is there when a push begins.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use globset::{Candidate, GlobBuilder, GlobMatcher};

/// The paths that `pattern` matches, in the order of their names: `*`, `?` and `[a-z]` stand for characters of a name, `\` takes the meaning
/// from what follows it, and a name that starts with a dot is only matched by a dot. A path that has no such character, is there as it is
/// written, or matches nothing, stands for itself: that it is not there is said when it is to be read.
///
/// Nothing is followed but what the pattern spells out, and a folder that cannot be listed matches nothing.
pub fn expand(pattern: &Path) -> Vec<PathBuf> {
    let bytes = pattern.as_os_str().as_bytes();
    if !bytes.iter().any(|byte| b"*?[".contains(byte)) || pattern.symlink_metadata().is_ok() {
        return vec![pattern.to_path_buf()];
    }
    let mut found = VecDeque::from([PathBuf::new()]);
    for component in pattern.components() {
        let matcher = match component {
            Component::Normal(name) => matcher(name),
            _ => None,
        };
        for _ in 0..found.len() {
            let Some(above) = found.pop_front() else { break };
            match &matcher {
                Some((matcher, hidden)) => found.extend(matching(&above, matcher, *hidden)),
                None => found.extend(Some(above.join(component)).filter(|path| path.symlink_metadata().is_ok())),
            }
        }
    }
    if found.is_empty() { vec![pattern.to_path_buf()] } else { found.into() }
}

/// How a name is matched, and whether it may start with a dot; `None` for one that is no pattern.
fn matcher(name: &OsStr) -> Option<(GlobMatcher, bool)> {
    let text = name.to_str().filter(|text| text.contains(['*', '?', '[']))?;
    // Braces mean themselves.
    let text = text.replace('{', "\\{").replace('}', "\\}");
    let glob = GlobBuilder::new(&text).literal_separator(true).backslash_escape(true).build().ok()?;
    Some((glob.compile_matcher(), text.starts_with('.')))
}

fn matching(folder: &Path, matcher: &GlobMatcher, hidden: bool) -> Vec<PathBuf> {
    let listed = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let Ok(entries) = std::fs::read_dir(listed) else { return Vec::new() };
    let names = entries.flatten().map(|entry| entry.file_name());
    let fits = |name: &std::ffi::OsString| {
        (hidden || !name.as_bytes().starts_with(b".")) && matcher.is_match_candidate(&Candidate::new(Path::new(name)))
    };
    let mut names: Vec<_> = names.filter(fits).collect();
    names.sort_unstable_by(|a, b| a.as_bytes().cmp(b.as_bytes()));
    names.into_iter().map(|name| folder.join(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_become_what_is_there() {
        let top = tempfile::tempdir().unwrap();
        for path in ["a/one.txt", "a/two.txt", "a/x.bin", "b/one.txt", "b/.hidden.txt", "b/[odd]", "b/{x}.txt"] {
            let path = top.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let found = |pattern: &str| -> Vec<String> {
            let all = expand(&top.path().join(pattern)).into_iter();
            all.map(|path| path.strip_prefix(top.path()).unwrap().to_str().unwrap().to_owned()).collect()
        };
        assert_eq!(found("*/one.txt"), ["a/one.txt", "b/one.txt"]);
        assert_eq!(found("a/*.txt"), ["a/one.txt", "a/two.txt"]);
        assert_eq!(found("b/*.txt"), ["b/one.txt", "b/{x}.txt"]);
        assert_eq!(found("b/.*"), ["b/.hidden.txt"]);
        assert_eq!(found("?/[ox]*"), ["a/one.txt", "a/x.bin", "b/one.txt"]);
        assert_eq!(found("*/{x}.t?t"), ["b/{x}.txt"]);
        for itself in ["b/[odd]", "a/none", "a/*.none", "none/*", "a/["] {
            assert_eq!(found(itself), [itself]);
        }
    }
}
