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
    must_differ(repo, second)?;
    second.refresh()?;
    let candidates = candidates(repo, stored, second, &second.snapshots()?).into_iter().map(|(stored, _)| stored).collect();
    let mut base = clean(&options.path);
    if !matches!(start.kind, Kind::Directory { .. }) {
        // A file alone is restored under its name.
        base.truncate(base.iter().rposition(|byte| *byte == b'/').unwrap_or(0));
    }
    Ok(Spare { repo: second, candidates, base, keys: &repo.keys })
}

/// Refuses a repository as a second one of itself.
pub(in crate::ops) fn must_differ(repo: &Repo, second: &Repo) -> Result<(), Error> {
    if repo.id() != second.id() {
        return Ok(());
    }
    let message = "the second repository is the first one, or a copy of its files: put lost objects back from there";
    Err(Error::new(ErrorKind::Usage, message))
}

/// Those of `all`, the snapshots of `second`, that may have what `stored` has, the likeliest first, and whether each is the same as it.
pub(in crate::ops) fn candidates(
    repo: &Repo,
    stored: &StoredSnapshot,
    second: &Repo,
    all: &[StoredSnapshot],
) -> Vec<(StoredSnapshot, bool)> {
    let own = origins(repo.id(), stored);
    let is_same = |other: &StoredSnapshot| origins(second.id(), other).iter().any(|origin| own.contains(origin));
    let mut found: Vec<(&StoredSnapshot, bool)> = all.iter().map(|other| (other, is_same(other))).collect();
    found.retain(|(other, is_same)| *is_same || other.snapshot.line() == stored.snapshot.line());
    let apart = |other: &StoredSnapshot| other.snapshot.time.seconds.abs_diff(stored.snapshot.time.seconds);
    found.sort_by_key(|(other, is_same)| (!is_same, apart(other)));
    found.into_iter().take(CANDIDATES).map(|(other, is_same)| (other.clone(), is_same)).collect()
}
