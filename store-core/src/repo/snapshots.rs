//! Reading snapshots. They are small and immutable.

use std::collections::BTreeSet;

use super::Repo;
use super::kept::{self, KeptRecords};
use crate::backend::{Folder, ObjectPath};
use crate::base::ids::SnapshotId;
use crate::base::limits;
use crate::base::wire;
use crate::error::{Error, ErrorKind};
use crate::format::envelope::{ObjectError, ObjectKind, Place, Sealed};
use crate::format::snapshot::Outcome;
use crate::notes::{Standing, StoredSnapshot};

/// All commits.
pub(super) struct Commits {
    /// Those that can be read, oldest first.
    pub(super) found: Vec<StoredSnapshot>,
    /// Those that cannot.
    pub(super) unread: BTreeSet<SnapshotId>,
    /// Whether there was any prune record when they were listed.
    pub(super) has_pruned: bool,
}

impl Repo {
    /// The names of all sessions that ended, with a snapshot or without, but for snapshots that a prune drops.
    pub(crate) fn outcome_ids(&self) -> Result<Vec<SnapshotId>, Error> {
        self.outcomes_and_prunes().map(|(ids, _)| ids)
    }

    /// The same, and whether there is any prune record.
    fn outcomes_and_prunes(&self) -> Result<(Vec<SnapshotId>, bool), Error> {
        let mut ids: Vec<SnapshotId> = self.backend.list(Folder::Outcomes)?.iter().filter_map(|listed| listed.name.parse().ok()).collect();
        let (dropped, has_pruned) = self.dropped()?;
        ids.retain(|id| !dropped.contains(id));
        ids.sort_unstable();
        Ok((ids, has_pruned))
    }

    /// How session `id` ended; `None` when that is not there, since a prune may have dropped it since it was listed, or cannot be read and was
    /// given up.
    pub(crate) fn outcome(&self, id: &SnapshotId) -> Result<Option<Outcome>, Error> {
        match self.read_outcome(id) {
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) if error.kind() == ErrorKind::Damage && self.is_given_up(id).unwrap_or(false) => Ok(None),
            outcome => outcome.map(Some),
        }
    }

    /// How session `id` ended.
    pub(crate) fn read_outcome(&self, id: &SnapshotId) -> Result<Outcome, Error> {
        self.known_outcome(id, None)
    }

    fn known_outcome(&self, id: &SnapshotId, kept: Option<&KeptRecords<'_>>) -> Result<Outcome, Error> {
        let path = ObjectPath::Outcome(*id);
        let read = || match self.backend.read(&path, limits::RECORD_LEN) {
            // One that is too long, or on a spoilt place of the disk, is lost; the others can still be read.
            Err(error) if error.is_damage() => Err(Error::with(ErrorKind::Damage, format!("cannot read {path}"), error)),
            object => Ok(object?),
        };
        kept::open(kept, &*self.backend, &path, read, |object| {
            self.open_outcome(object, &path).map_err(|error| {
                let kind = if matches!(error, ObjectError::Unknown { .. }) { ErrorKind::Failed } else { ErrorKind::Damage };
                Error::with(kind, format!("cannot read {path}"), error)
            })
        })
    }

    fn open_outcome(&self, object: &[u8], path: &ObjectPath) -> Result<Outcome, ObjectError> {
        let sealed = Sealed::parse(object, ObjectKind::Outcome)?;
        let key = self.keys.object(ObjectKind::Outcome as u8, sealed.header.epoch, &sealed.header.salt);
        let outcome = wire::decode(&sealed.open(&key, Place::Path(&path.to_string()))?)?;
        if let Outcome::Commit(snapshot) = &outcome {
            snapshot.check_readable()?;
        }
        Ok(outcome)
    }

    /// The snapshots that there are and are not forgotten, oldest first, with what notes say of them. A record that cannot be read is a
    /// [warning](Repo::take_warnings).
    pub fn snapshots(&self) -> Result<Vec<StoredSnapshot>, Error> {
        Ok(self.shown_standing()?.snapshots)
    }

    /// All commits as they are stored.
    pub(super) fn commits(&self, kept: Option<&KeptRecords<'_>>) -> Result<Commits, Error> {
        let (mut found, mut unread) = (Vec::new(), BTreeSet::new());
        let (ids, has_pruned) = self.outcomes_and_prunes()?;
        for id in ids {
            match self.known_outcome(&id, kept) {
                Ok(Outcome::Commit(snapshot)) => found.push(StoredSnapshot { id, snapshot, standing: Standing::default() }),
                Ok(Outcome::Abort { .. }) => {}
                Err(error) if error.kind() == ErrorKind::Damage => {
                    unread.insert(id);
                }
                // Whoever dropped it deleted it since the listing.
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error),
            }
        }
        found.sort_by_key(|stored| (stored.snapshot.time, stored.id));
        Ok(Commits { found, unread, has_pruned })
    }
}
