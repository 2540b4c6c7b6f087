//! `SNAP[:PATH][#TENSOR-GLOB]`.

use std::str::FromStr;

use super::resolve::is_time;
use crate::error::{Error, ErrorKind};

/// A snapshot, a path within it, and some of the tensors there.
///
/// The last `#` begins the glob; to name a path that has a `#` where a glob could be meant, end with one more. The path begins behind the first
/// `:`, but for those that belong to a time: `@2026-01-31 12:00:dir` is the path `dir`. Paths are bytes; all else is UTF-8.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapPath {
    /// Which snapshot, for [`resolve`](super::resolve()).
    pub snap: String,
    /// The path within it; empty for all of it.
    pub path: Vec<u8>,
    /// Which tensors of that file.
    pub tensor: Option<String>,
}

impl SnapPath {
    /// Reads what somebody typed.
    ///
    /// # Errors
    /// Of kind [`ErrorKind::Usage`] when no snapshot is named, or what is no path is not UTF-8.
    pub fn parse(text: &[u8]) -> Result<Self, Error> {
        let refuse = |why: &str| Error::new(ErrorKind::Usage, format!("'{}' {why}", String::from_utf8_lossy(text)));
        let (rest, tensor) = match text.iter().rposition(|byte| *byte == b'#') {
            Some(at) => (&text[..at], std::str::from_utf8(&text[at + 1..]).map_err(|_| refuse("chooses tensors by what is not UTF-8"))?),
            None => (text, ""),
        };
        let (snap, path) = split(rest);
        let snap = std::str::from_utf8(snap).map_err(|_| refuse("names a snapshot by what is not UTF-8"))?;
        if snap.is_empty() {
            return Err(refuse("names no snapshot: write SNAP:PATH, as in latest:config.json"));
        }
        let tensor = Some(tensor.to_owned()).filter(|glob| !glob.is_empty());
        Ok(Self { snap: snap.to_owned(), path: path.to_vec(), tensor })
    }

    /// The same text as a path that has a `#` in it and no glob behind it; `None` if it cannot be one.
    pub fn whole(text: &[u8]) -> Option<Self> {
        let (snap, path) = split(text);
        let snap = std::str::from_utf8(snap).ok().filter(|snap| !snap.is_empty())?;
        path.contains(&b'#').then(|| Self { snap: snap.to_owned(), path: path.to_vec(), tensor: None })
    }
}

impl FromStr for SnapPath {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::parse(text.as_bytes())
    }
}

fn split(text: &[u8]) -> (&[u8], &[u8]) {
    let is_time = |text: &[u8]| std::str::from_utf8(text).is_ok_and(is_time);
    let colons = || (0..text.len()).filter(|at| text[*at] == b':').map(|at| (&text[..at], &text[at + 1..]));
    if is_time(text) {
        return (text, b"");
    }
    if text.starts_with(b"@")
        && let Some(split) = colons().collect::<Vec<_>>().into_iter().rev().find(|(snap, _)| is_time(snap))
    {
        return split;
    }
    colons().next().unwrap_or((text, b""))
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
        let odd = SnapPath::parse(b"latest:a/\xff#*.weight").unwrap();
        assert_eq!((odd.path.as_slice(), odd.tensor.as_deref()), (&b"a/\xff"[..], Some("*.weight")));
        assert!(SnapPath::parse(b"\xff:a").is_err() && SnapPath::parse(b"latest:a#\xff").is_err());
        let whole = |text: &[u8]| SnapPath::whole(text).map(|found| (found.snap, found.path));
        assert_eq!(whole(b"latest:a#b"), Some(("latest".into(), b"a#b".to_vec())));
        assert_eq!(whole(b"@3d:a#\xff"), Some(("@3d".into(), b"a#\xff".to_vec())));
        assert_eq!((whole(b"latest#b"), whole(b"latest:b"), whole(b":a#b")), (None, None, None));
        assert!(":path".parse::<SnapPath>().is_err());
        assert!("".parse::<SnapPath>().is_err());
    }
}
