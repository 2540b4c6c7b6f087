//! Which snapshots of a second repository may hold what is lost of one that is restored.

use super::Options;
use crate::error::{Error, ErrorKind};
use crate::format::entry::{Entry, Kind};
use crate::ops::copy::known::origins;
use crate::pipeline::Spare;
use crate::repo::{Repo, StoredSnapshot, clean};

/// Snapshots that are asked, at the most.
const CANDIDATES: usize = 8;

/// The snapshots of `second` that are the same as `stored`, whichever was copied; then those of the same line of versions, the nearest in time first.
/// `start` is what is restored.
pub(super) fn of<'r>(
    repo: &'r Repo,
    stored: &StoredSnapshot,
    start: &Entry,
    options: &Options,
    second: &'r Repo,
) -> Result<Spare<'r>, Error> {
    if repo.id() == second.id() {
        let message = "the second repository is the first one, or a copy of its files: put lost objects back from there";
        return Err(Error::new(ErrorKind::Usage, message));
    }
    second.refresh()?;
    let own = origins(repo.id(), stored);
    let mut candidates = second.snapshots()?;
    let is_same = |other: &StoredSnapshot| origins(second.id(), other).iter().any(|origin| own.contains(origin));
    candidates.retain(|other| is_same(other) || other.snapshot.line() == stored.snapshot.line());
    let apart = |other: &StoredSnapshot| other.snapshot.time.seconds.abs_diff(stored.snapshot.time.seconds);
    candidates.sort_by_key(|other| (!is_same(other), apart(other)));
    candidates.truncate(CANDIDATES);
    let mut base = clean(&options.path);
    if !matches!(start.kind, Kind::Directory { .. }) {
        // A file alone is restored under its name.
        base.truncate(base.iter().rposition(|byte| *byte == b'/').unwrap_or(0));
    }
    Ok(Spare { repo: second, candidates, base, keys: &repo.keys })
}
