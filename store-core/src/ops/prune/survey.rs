//! What is needed, and what becomes of each pack. Reads only.

use std::collections::BTreeSet;

use super::Run;
use crate::backend::{Folder, ObjectPath};
use crate::base::ids::{SessionId, SnapshotId};
use crate::blob;
use crate::clock;
use crate::error::{Error, ErrorKind};
use crate::format::blob::Frame;
use crate::index::{ChunkIndex, IndexError};
use crate::monitor::Monitor;
use crate::plan::gc::{Decision, Fate, LineageFinder, Lineages, PackUse, Policy, Rewriting, Standing, decide_with_chains};
use crate::repo::{IndexPlaces, LiveSnapshots, Marked, PackLens, Repo, Root, StoredSnapshot};

/// Bytes of memory for a blob of a chain that might be coded anew: for so many of them there is room that decoded blobs take later.
const MEMBER: usize = 128;

/// What was found.
pub(super) struct Survey {
    pub(super) marked: Marked,
    pub(super) decision: Decision,
    /// Which blobs are coded anew or lose their supports.
    pub(super) rewriting: Rewriting,
    /// The snapshots that count as live, in the order of their times.
    pub(super) live: Vec<StoredSnapshot>,
    /// Those that do not.
    pub(super) dropped: BTreeSet<SnapshotId>,
}

/// Sessions that have an outcome, and those that have none.
pub(super) struct Sessions {
    pub(super) ended: Vec<SessionId>,
    pub(super) open: Vec<SessionId>,
}

/// Where a mark starts.
pub(super) struct Live {
    /// The snapshots that count as live, in the order of their times.
    pub(super) kept: Vec<StoredSnapshot>,
    /// The snapshots that do not.
    pub(super) dropped: BTreeSet<SnapshotId>,
}

/// Which snapshots count as live now: all but those that are forgotten and whose trash time is over, and those in `forgotten`; with a plan, of
/// these only what the plan lists.
pub(super) fn live(repo: &Repo, forgotten: &BTreeSet<SnapshotId>, listed: Option<&BTreeSet<SnapshotId>>) -> Result<Live, Error> {
    let LiveSnapshots { live, dropped } = repo.live_snapshots(clock::now())?;
    let is_over: BTreeSet<SnapshotId> = dropped.iter().map(|stored| stored.id).collect();
    let mut found = Live { kept: Vec::new(), dropped: BTreeSet::new() };
    for stored in live.into_iter().chain(dropped) {
        let goes = is_over.contains(&stored.id) || forgotten.contains(&stored.id);
        if goes && listed.is_none_or(|listed| listed.contains(&stored.id)) {
            found.dropped.insert(stored.id);
        } else {
            found.kept.push(stored);
        }
    }
    found.kept.sort_by_key(|stored| (stored.snapshot.time, stored.id));
    Ok(found)
}

impl Live {
    /// Their roots.
    pub(super) fn roots(&self) -> Vec<Root> {
        self.kept.iter().map(|stored| Root { of: format!("snapshot {}", stored.id), node: stored.snapshot.root }).collect()
    }
}

/// Which sessions there are. Outcomes are listed later, so what ends meanwhile has ended.
pub(super) fn sessions(repo: &Repo) -> Result<Sessions, Error> {
    let names = |folder| -> Result<BTreeSet<SessionId>, Error> {
        Ok(repo.backend.list(folder)?.iter().filter_map(|listed| listed.name.parse().ok()).collect())
    };
    let announced = names(Folder::Sessions)?;
    let outcomes = names(Folder::Outcomes)?;
    let (ended, open) = announced.into_iter().partition(|id| outcomes.contains(id));
    Ok(Sessions { ended, open })
}

/// Marks what live snapshots need, and decides. The policy's question who is active is answered here.
pub(super) fn survey(repo: &Repo, forgotten: &BTreeSet<SnapshotId>, policy: Policy, monitor: &dyn Monitor) -> Result<Survey, Error> {
    // In this order: a pack that is listed now was written by a session that is still announced, or has ended and named it (I19).
    let before = repo.listed_packs()?;
    let is_somebody_active = !sessions(repo)?.open.is_empty();
    let live = live(repo, forgotten, None)?;
    repo.refresh()?;
    // And what those snapshots need was there before they were.
    let packs = repo.listed_packs()?;
    let marked = repo.mark(&live.roots(), &packs, |_| Standing::Stays, monitor)?;
    whole_index(repo)?;
    let mut uses = uses(&marked, &packs)?;
    uses.retain(|pack| pack.is_named || before.contains_key(&pack.id));
    let lineages = lineages(&marked, repo.memory.blobs / MEMBER)?;
    let (decision, chosen) = decide_with_chains(&uses, &lineages, &Policy { is_somebody_active, ..policy });
    let rewriting = with_what_rests(&marked, &decision, lineages.rewriting(&chosen))?;
    let Live { kept, dropped } = live;
    Ok(Survey { marked, decision, rewriting, live: kept, dropped })
}

/// Finds what is needed only since something else is coded against it.
fn lineages(marked: &Marked, most: usize) -> Result<Lineages, Error> {
    let Marked { marks, index } = marked;
    let mut finder = LineageFinder::new(most);
    let is_numbers = |frame: &Frame| blob::dtype_of(frame).is_some();
    index.for_each_blob(&mut |pack, ordinal, place| finder.show(marks, pack, ordinal, &place.frame, is_numbers(&place.frame)))?;
    if finder.is_empty() {
        return Ok(Lineages::default());
    }
    let mut places = IndexPlaces::new(std::sync::Arc::clone(index));
    for_each_blob(index.as_ref(), &mut |key, frame| finder.show_again(marks, &mut places, key, frame, is_numbers(frame)))?;
    Ok(finder.finish())
}

/// Adds what rests on what is coded anew, in packs that are rewritten.
fn with_what_rests(marked: &Marked, decision: &Decision, mut rewriting: Rewriting) -> Result<Rewriting, Error> {
    if rewriting.is_empty() {
        return Ok(rewriting);
    }
    let is_rewritten: BTreeSet<u32> =
        decision.packs.iter().filter(|(_, fate)| *fate == Fate::Repacked).filter_map(|(pack, _)| pack.number).collect();
    let mut coded = Vec::new();
    marked.index.for_each_blob(&mut |pack, ordinal, place| {
        if place.frame.depth > 0 && is_rewritten.contains(&pack) && rewriting.leaves(&marked.marks, pack, ordinal) {
            coded.push((place.frame.depth, pack, ordinal));
        }
    })?;
    coded.sort_unstable();
    rewriting.extend(&marked.marks, &mut IndexPlaces::new(std::sync::Arc::clone(&marked.index)), &coded)?;
    Ok(rewriting)
}

/// What is done with a blob, by its pack and ordinal.
type Look<'l> = dyn FnMut((u32, u32), &Frame) -> Result<(), IndexError> + 'l;

/// Looks at each blob, until that fails.
fn for_each_blob(index: &dyn ChunkIndex, look: &mut Look<'_>) -> Result<(), Error> {
    let mut looked = Ok(());
    index.for_each_blob(&mut |pack, ordinal, place| {
        if looked.is_ok() {
            looked = look((pack, ordinal), &place.frame);
        }
    })?;
    Ok(looked?)
}

/// Fails while an index segment cannot be read: packs that it names look as if nobody named them.
pub(super) fn whole_index(repo: &Repo) -> Result<(), Error> {
    if repo.index.has_unreadable() {
        return Err(Error::new(
            ErrorKind::Damage,
            "an index segment cannot be read, so nothing may be deleted: `snap repair index` makes it anew",
        ));
    }
    Ok(())
}

/// How much of each pack is needed.
fn uses(marked: &Marked, packs: &PackLens) -> Result<Vec<PackUse>, Error> {
    let Marked { marks, index } = marked;
    let mut unused: Vec<u64> = Vec::new();
    index.for_each_blob(&mut |pack, ordinal, place| {
        let pack = pack as usize;
        if unused.len() <= pack {
            unused.resize(pack + 1, 0);
        }
        let chunks = marks.chunks(pack as u32, ordinal);
        let plain: u64 =
            chunks.iter().zip(&place.frame.chunk_lens).filter(|(is_needed, _)| **is_needed).map(|(_, len)| u64::from(*len)).sum();
        let of = place.frame.plain_len().max(1) as u64;
        let sealed = u64::from(place.frame.sealed_len);
        unused[pack] += sealed - (sealed * plain).div_ceil(of);
    })?;
    let mut uses = Vec::with_capacity(packs.len());
    for (id, len) in packs {
        let number = index.number(id)?;
        let is_needed = number.is_some_and(|number| marks.is_needed(number));
        let unused = number.and_then(|number| unused.get(number as usize).copied()).unwrap_or(0);
        uses.push(PackUse {
            id: *id,
            len: *len,
            needed: if is_needed { len.saturating_sub(unused) } else { 0 },
            is_needed,
            is_named: number.is_some(),
            number,
            freed: 0,
        });
    }
    Ok(uses)
}

impl Run<'_> {
    /// Ends sessions of processes that have surely ended, and takes announcements away that say no more.
    pub(super) fn tidy_sessions(&mut self) -> Result<(), Error> {
        self.report.sessions_ended += self.repo.end_dead_sessions(None)?;
        let sessions = sessions(self.repo)?;
        let Some(any) = sessions.ended.first() else { return Ok(()) };
        // Their outcomes are to outlast them.
        self.repo.backend.settle(&ObjectPath::Outcome(*any))?;
        for id in &sessions.ended {
            self.repo.backend.delete(&ObjectPath::Session(*id))?;
        }
        Ok(())
    }
}
