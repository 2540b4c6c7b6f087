//! What a repaired snapshot lacks of what is restored: said, so that nobody takes what comes back for all there was.

use std::path::Path;

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

/// Whether something that is lost would have been restored.
fn is_wanted(loss: &Loss, options: &Options) -> bool {
    let wanted = clean(&options.path);
    let path = loss.path();
    let is_below = |path: &[u8], above: &[u8]| {
        above.is_empty() || path == above || path.strip_prefix(above).is_some_and(|rest| rest.first() == Some(&b'/'))
    };
    if !is_below(path, &wanted) {
        // Nobody knows whether what is asked for is among the entries of a directory that are lost.
        return matches!(loss, Loss::Entries { .. }) && is_below(&wanted, path);
    }
    let from_start = path.strip_prefix(&wanted[..]).unwrap_or(path);
    let relative = Path::new("/").join(as_path(from_start.strip_prefix(b"/").unwrap_or(from_start)));
    let matches = |excludes: &crate::source::Excludes| relative.ancestors().any(|above| excludes.matches(above));
    !options.exclude.as_ref().is_some_and(matches) && (options.include.as_ref().is_none_or(matches) || matches!(loss, Loss::Entries { .. }))
}

fn shown(path: &[u8]) -> String {
    format!("/{}", String::from_utf8_lossy(path))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
