//! What a repaired snapshot lacks of what is restored: said, so that nobody takes what comes back for all there was, and not deleted where the
//! target still has it.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::Options;
use super::walk::as_path;
use crate::format::lost::{LOST, Loss, Lost, REPAIRS};
use crate::monitor::Warning;
use crate::repo::{StoredSnapshot, clean};

/// What a snapshot lacks of what `options` ask for: nothing, unless a repair made it.
pub fn missing(stored: &StoredSnapshot, options: &Options) -> Vec<Warning> {
    let Some(bytes) = stored.snapshot.extra.get(LOST) else { return Vec::new() };
    // A copy of a repaired snapshot does not name what that one stands for: it is in another repository.
    let whose = stored.snapshot.extra.get(REPAIRS).and_then(|id| id.get(..4)).map(hex);
    let next = match whose {
        Some(whose) => format!("push the same data again, and snapshot {whose} has it once more"),
        None => "push the same data again".to_owned(),
    };
    let Ok(lost) = Lost::decode(bytes) else {
        return vec![Warning { item: "/".into(), message: "lacks something that was lost, and what cannot be read".into() }];
    };
    let mut warnings = Vec::new();
    for loss in lost.losses.iter().filter(|loss| is_wanted(loss, options)) {
        let what = match loss {
            Loss::File { size, ranges, more_bytes, .. } => {
                let bytes: u64 = ranges.iter().map(|(_, len)| len).sum::<u64>().saturating_add(*more_bytes);
                format!("is left out: {bytes} of its {size} bytes are lost")
            }
            Loss::Entries { entries: 0, .. } => "lacks entries that are lost, nobody knows how many".into(),
            Loss::Entries { entries, .. } => format!("lacks {entries} entries that are lost"),
        };
        let message = format!("{what}; {next}");
        warnings.push(Warning { item: shown(loss.path()), message });
    }
    if lost.more > 0 {
        warnings.push(Warning { item: "/".into(), message: format!("lacks {} more files that were lost and are not listed", lost.more) });
    }
    warnings
}

/// What may stand in the target in the place of something that was lost, and so is not deleted though the snapshot does not have it.
#[derive(Debug, Default)]
pub(super) struct Precious {
    /// Nobody knows what was lost.
    all: bool,
    /// What was lost, and the folders above.
    paths: HashSet<PathBuf>,
    /// Folders of which nobody knows which entries were lost.
    folders: HashSet<PathBuf>,
}

impl Precious {
    /// By what a snapshot says that it lacks, where what is at `path` of it is restored.
    pub(super) fn of(lost: Option<&[u8]>, path: &[u8]) -> Self {
        let Some(bytes) = lost else { return Self::default() };
        let Ok(lost) = Lost::decode(bytes) else { return Self { all: true, ..Self::default() } };
        let mut precious = Self { all: lost.more > 0, ..Self::default() };
        for loss in &lost.losses {
            let Some(place) = restored_at(loss.path(), &clean(path)) else { continue };
            precious.paths.extend(place.ancestors().map(Path::to_path_buf));
            if let Loss::Entries { .. } = loss {
                precious.folders.insert(place);
            }
        }
        precious
    }

    /// Whether all may be.
    pub(super) fn is_everything(&self) -> bool {
        self.all
    }

    /// Whether what is at `shown` in the target may be it, or hold it.
    pub(super) fn has(&self, shown: &Path) -> bool {
        self.all || self.paths.contains(shown) || shown.parent().is_some_and(|folder| self.folders.contains(folder))
    }
}

/// Where something of the snapshot is restored, from the target on, if it is below what is wanted.
fn restored_at(path: &[u8], wanted: &[u8]) -> Option<PathBuf> {
    let rest = match path.strip_prefix(wanted)? {
        rest if wanted.is_empty() || rest.is_empty() => rest,
        rest => rest.strip_prefix(b"/")?,
    };
    Some(Path::new("/").join(as_path(rest)))
}

/// Whether something that is lost would have been restored.
fn is_wanted(loss: &Loss, options: &Options) -> bool {
    let wanted = clean(&options.path);
    let path = loss.path();
    let is_below = |path: &[u8], above: &[u8]| {
        above.is_empty() || path == above || path.strip_prefix(above).is_some_and(|rest| rest.first() == Some(&b'/'))
    };
    let Some(relative) = restored_at(path, &wanted) else {
        // Nobody knows whether what is asked for is among the entries of a directory that are lost.
        return matches!(loss, Loss::Entries { .. }) && is_below(&wanted, path);
    };
    let matches = |excludes: &crate::source::Excludes| relative.ancestors().any(|above| excludes.matches(above));
    !options.exclude.as_ref().is_some_and(matches) && (options.include.as_ref().is_none_or(matches) || matches!(loss, Loss::Entries { .. }))
}

fn shown(path: &[u8]) -> String {
    format!("/{}", String::from_utf8_lossy(path))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn precious(lost: &[u8], path: &str) -> Precious {
        Precious::of(Some(lost), path.as_bytes())
    }

    fn lost(more: u64) -> Vec<u8> {
        let losses = vec![Loss::file(b"a/b/c".to_vec(), 3, [(0, 3)]), Loss::Entries { path: b"a/d".to_vec(), entries: 0 }];
        Lost { losses, more }.encode()
    }

    #[track_caller]
    fn assert_has(precious: &Precious, cases: &[(&str, bool)]) {
        cases.iter().for_each(|(shown, has)| assert_eq!(precious.has(Path::new(shown)), *has, "{shown}"));
    }

    #[test]
    fn what_was_lost_is_precious_with_the_folders_above() {
        let all = [("/a", true), ("/a/b", true), ("/a/b/c", true), ("/a/b/x", false), ("/a/d", true), ("/a/d/x", true), ("/a/x", false)];
        assert_has(&precious(&lost(0), ""), &all);
        assert_has(&precious(&lost(0), "a"), &[("/b", true), ("/b/c", true), ("/d/x", true), ("/c", false), ("/a", false)]);
        assert_has(&precious(&lost(0), "/a/d/"), &[("/x", true), ("/b", true), ("/x/y", false)]);
        assert_has(&precious(&lost(0), "a/b"), &[("/c", true), ("/d", false), ("/x", false)]);
        assert_has(&precious(&lost(0), "a/"), &[("/b", true)]);
        assert_has(&precious(&lost(0), "z"), &[("/a", false), ("/b", false)]);
    }

    #[test]
    fn all_is_precious_where_nobody_knows_what_was_lost() {
        for bytes in [lost(1), b"odd".to_vec()] {
            assert!(precious(&bytes, "").is_everything() && precious(&bytes, "").has(Path::new("/x")));
        }
        assert!(!precious(&lost(0), "").is_everything());
    }
}
