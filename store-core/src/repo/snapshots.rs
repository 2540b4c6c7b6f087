//! Reading snapshots. They are small and immutable.

use std::collections::BTreeSet;

use super::{Repo, Root};
use crate::backend::{Folder, ObjectPath};
use crate::base::ids::SnapshotId;
use crate::base::limits;
use crate::base::wire;
use crate::error::{Error, ErrorKind};
use crate::format::envelope::{ObjectError, ObjectKind, Place, Sealed};
use crate::format::snapshot::{Outcome, Snapshot};

/// A snapshot with its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSnapshot {
    /// Its name.
    pub id: SnapshotId,
    /// What it says.
    pub snapshot: Snapshot,
}

/// What a prune marks from.
#[derive(Debug, Default)]
pub(crate) struct LiveSnapshots {
    /// Those that count as live, with their roots.
    pub(crate) roots: Vec<Root>,
    /// The others.
    pub(crate) dropped: BTreeSet<SnapshotId>,
}

impl Repo {
    /// The names of all sessions that ended, with a snapshot or without, but for snapshots that a prune drops.
    pub(crate) fn outcome_ids(&self) -> Result<Vec<SnapshotId>, Error> {
        let mut ids: Vec<SnapshotId> = self.backend.list(Folder::Outcomes)?.iter().filter_map(|listed| listed.name.parse().ok()).collect();
        let dropped = self.dropped()?;
        ids.retain(|id| !dropped.contains(id));
        ids.sort_unstable();
        Ok(ids)
    }

    /// How session `id` ended; `None` when that is not there: a prune may have dropped it since it was listed.
    pub(crate) fn outcome(&self, id: &SnapshotId) -> Result<Option<Outcome>, Error> {
        match self.read_outcome(id) {
            Err(error) if error.is_not_found() => Ok(None),
            outcome => outcome.map(Some),
        }
    }

    /// How session `id` ended.
    pub(crate) fn read_outcome(&self, id: &SnapshotId) -> Result<Outcome, Error> {
        let path = ObjectPath::Outcome(*id);
        let object = self.backend.read(&path, limits::RECORD_LEN)?;
        self.open_outcome(&object, &path).map_err(|error| {
            let kind = if matches!(error, ObjectError::Unknown { .. }) { ErrorKind::Failed } else { ErrorKind::Damage };
            Error::with(kind, format!("cannot read {path}"), error)
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

    /// Which snapshots count as live and which do not: all do but those in `forgotten`.
    ///
    /// # Errors
    /// When any outcome cannot be read: nobody knows, then, what is needed.
    pub(crate) fn live_snapshots(&self, forgotten: &BTreeSet<SnapshotId>) -> Result<LiveSnapshots, Error> {
        let mut live = LiveSnapshots::default();
        for id in self.outcome_ids()? {
            match self.outcome(&id)? {
                Some(Outcome::Commit(_)) if forgotten.contains(&id) => _ = live.dropped.insert(id),
                Some(Outcome::Commit(snapshot)) => live.roots.push(Root { of: format!("snapshot {id}"), node: snapshot.root }),
                Some(Outcome::Abort { .. }) | None => {}
            }
        }
        Ok(live)
    }

    /// All snapshots that can be read, oldest first. One that cannot is a [warning](Repo::take_warnings).
    pub fn snapshots(&self) -> Result<Vec<StoredSnapshot>, Error> {
        let mut found = Vec::new();
        for id in self.outcome_ids()? {
            match self.outcome(&id) {
                Ok(Some(Outcome::Commit(snapshot))) => found.push(StoredSnapshot { id, snapshot }),
                Ok(Some(Outcome::Abort { .. }) | None) => {}
                Err(error) if error.kind() == ErrorKind::Damage => {
                    self.warn(&ObjectPath::Outcome(id), "is damaged: put it back from a copy of the repository");
                }
                Err(error) => return Err(error),
            }
        }
        found.sort_by_key(|stored| (stored.snapshot.time, stored.id));
        Ok(found)
    }
}
