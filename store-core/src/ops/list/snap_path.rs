//! `SNAP[:PATH][#TENSOR-GLOB]`.

use std::str::FromStr;

use super::resolve::is_time;
use crate::error::{Error, ErrorKind};

/// A snapshot, a path within it, and some of the tensors there.
///
/// The last `#` begins the glob; to name a path that has a `#`, end with one more. The path begins behind the first `:`, but for those that
/// belong to a time: `@2026-01-31 12:00:dir` is the path `dir`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapPath {
    /// Which snapshot, for [`resolve`](super::resolve()).
    pub snap: String,
    /// The path within it; empty for all of it.
    pub path: Vec<u8>,
    /// Which tensors of that file.
    pub tensor: Option<String>,
}

impl FromStr for SnapPath {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let (rest, tensor) = match text.rsplit_once('#') {
            Some((rest, glob)) => (rest, Some(glob.to_owned()).filter(|glob| !glob.is_empty())),
            None => (text, None),
        };
        let (snap, path) = split(rest);
        if snap.is_empty() {
            return Err(Error::new(ErrorKind::Usage, format!("'{text}' names no snapshot: write SNAP:PATH, as in latest:config.json")));
        }
        Ok(Self { snap: snap.to_owned(), path: path.as_bytes().to_vec(), tensor })
    }
}

fn split(text: &str) -> (&str, &str) {
    if text.starts_with('@') && !is_time(text) {
        let colons = text.rmatch_indices(':').map(|(at, _)| at);
        let split = colons.map(|at| (&text[..at], &text[at + 1..])).find(|(snap, _)| is_time(snap));
        if let Some(split) = split {
            return split;
        }
    }
    if is_time(text) { (text, "") } else { text.split_once(':').unwrap_or((text, "")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snapshot_path_and_glob_are_told_apart() {
        for (text, snap, path, tensor) in [
            ("latest", "latest", "", None),
            ("latest:", "latest", "", None),
            ("latest~2:a/b", "latest~2", "a/b", None),
            ("5f3a9c12:model.safetensors#*.weight", "5f3a9c12", "model.safetensors", Some("*.weight")),
            ("latest#embed*", "latest", "", Some("embed*")),
            ("latest:a#b#", "latest", "a#b", None),
            ("latest:a:b", "latest", "a:b", None),
            ("production@{1}:x", "production@{1}", "x", None),
            ("@2026-01-31 12:00", "@2026-01-31 12:00", "", None),
            ("@2026-01-31 12:00~1:dir:x", "@2026-01-31 12:00~1", "dir:x", None),
            ("@2026-01-31T12:00:00Z:dir", "@2026-01-31T12:00:00Z", "dir", None),
            ("@3d:12:00", "@3d", "12:00", None),
        ] {
            let parsed: SnapPath = text.parse().unwrap();
            assert_eq!((parsed.snap.as_str(), parsed.path.as_slice(), parsed.tensor.as_deref()), (snap, path.as_bytes(), tensor), "{text}");
        }
        assert!(":path".parse::<SnapPath>().is_err());
        assert!("".parse::<SnapPath>().is_err());
    }
}
