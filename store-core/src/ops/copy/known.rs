//! Which snapshots of two repositories are copies of each other, and what a copy is compared with.

use std::collections::HashMap;

use crate::backend::ObjectPath;
use crate::base::ids::{RepoId, SnapshotId, WriterId};
use crate::error::Error;
use crate::format::copied::{COPIED, Origin, decode_origins};
use crate::notes::StoredSnapshot;
use crate::repo::{Repo, Standings};

/// A snapshot of `repo` as an origin, and those that it is a copy of itself: the nearest first. Two snapshots that share one are the same.
pub(in crate::ops) fn origins(repo: RepoId, stored: &StoredSnapshot) -> Vec<Origin> {
    let older = stored.snapshot.extra.get(COPIED).map(|bytes| decode_origins(bytes)).unwrap_or_default();
    std::iter::once((repo, stored.id)).chain(older).collect()
}

/// The snapshots of both repositories.
pub(super) struct Known {
    from: RepoId,
    to: RepoId,
    /// The source's, forgotten ones too, and where each origin is among them.
    sources: Vec<StoredSnapshot>,
    by_origin: HashMap<Origin, usize>,
    /// The target's when the copy began, with what was copied since.
    pub(super) standings: Standings,
    /// Where the target has each origin for sure, be it in the trash: not what the next prune drops.
    copies: HashMap<Origin, SnapshotId>,
}

impl Known {
    pub(super) fn new(from: &Repo, to: &Repo) -> Result<Self, Error> {
        let Standings { snapshots, forgotten, .. } = from.shown_standing()?;
        let sources: Vec<StoredSnapshot> = snapshots.into_iter().chain(forgotten).collect();
        let by_origin =
            sources.iter().enumerate().flat_map(|(at, stored)| origins(from.id(), stored).into_iter().map(move |origin| (origin, at)));
        let (by_origin, standings) = (by_origin.collect(), to.standing()?);
        let now = to.now();
        let in_trash = |stored: &&StoredSnapshot| stored.standing.forgotten.as_ref().is_some_and(|forgotten| forgotten.in_trash(now));
        let all = standings.forgotten.iter().filter(in_trash).chain(&standings.snapshots);
        let copies = all.flat_map(|stored| origins(to.id(), stored).into_iter().map(|origin| (origin, stored.id))).collect();
        Ok(Self { from: from.id(), to: to.id(), sources, by_origin, standings, copies })
    }

    /// The target's copy of a snapshot of the source, in the trash or not forgotten.
    pub(super) fn copy_of(&self, source: &StoredSnapshot) -> Option<&StoredSnapshot> {
        let id = origins(self.from, source).iter().find_map(|origin| self.copies.get(origin))?;
        self.standings.find(id)
    }

    /// What the source has of a snapshot of the target.
    pub(super) fn source_of(&self, copy: &StoredSnapshot) -> Option<&StoredSnapshot> {
        let at = origins(self.to, copy).iter().find_map(|origin| self.by_origin.get(origin))?;
        self.sources.get(*at)
    }

    /// The snapshot of the target that a copy of `source` is compared with: the copy of that one's parent; else the last one before it of the
    /// same line of versions; else the first one after it.
    pub(super) fn parent_of(&self, source: &StoredSnapshot) -> Option<&StoredSnapshot> {
        let there = &self.standings.snapshots;
        let parent = source.snapshot.parent.and_then(|parent| self.sources.iter().find(|stored| stored.id == parent));
        let copied = parent.and_then(|parent| self.copy_of(parent)).filter(|copy| there.iter().any(|stored| stored.id == copy.id));
        let line = || there.iter().filter(|stored| stored.snapshot.line() == source.snapshot.line());
        let is_before = |stored: &&StoredSnapshot| stored.snapshot.time <= source.snapshot.time;
        copied
            .or_else(|| line().filter(is_before).max_by_key(|stored| (stored.snapshot.time, stored.id)))
            .or_else(|| line().min_by_key(|stored| (stored.snapshot.time, stored.id)))
    }

    /// Whether the target has a ref of this name, or had one.
    pub(super) fn has_ref(&self, name: &str) -> bool {
        self.standings.fold.refs.contains_key(name)
    }

    /// The last snapshot of a writer in the target.
    pub(super) fn last_of(&self, writer: &WriterId) -> Option<SnapshotId> {
        self.standings.snapshots.iter().rev().find(|stored| stored.snapshot.writer == *writer).map(|stored| stored.id)
    }

    /// The same, if it is there still: a prune may have dropped it since this began.
    pub(super) fn copy_there(&mut self, to: &Repo, source: &StoredSnapshot) -> Result<Option<StoredSnapshot>, Error> {
        while let Some(copy) = self.copy_of(source) {
            match to.backend.len(&ObjectPath::Outcome(copy.id)) {
                Ok(_) => return Ok(Some(copy.clone())),
                Err(error) if error.is_not_found() => {
                    let gone = copy.id;
                    self.lose(gone);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(None)
    }

    fn lose(&mut self, gone: SnapshotId) {
        self.copies.retain(|_, id| *id != gone);
        let Standings { snapshots, forgotten, .. } = &mut self.standings;
        [snapshots, forgotten].into_iter().for_each(|list| list.retain(|stored| stored.id != gone));
    }

    /// Takes in a snapshot that was copied.
    pub(super) fn add(&mut self, copy: StoredSnapshot) {
        self.copies.extend(origins(self.to, &copy).into_iter().map(|origin| (origin, copy.id)));
        self.standings.snapshots.push(copy);
    }
}
