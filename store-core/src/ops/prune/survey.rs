//! What is needed, and what becomes of each pack. Reads only.

use std::collections::BTreeSet;

use super::Run;
use super::excess::{Anew, excess};
use crate::backend::{Folder, ObjectPath};
use crate::base::ids::{NoteId, SessionId, SnapshotId};
use crate::blob;
use crate::error::{Error, ErrorKind};
use crate::format::blob::BlobKind;
use crate::format::note::Statement;
use crate::monitor::Monitor;
use crate::notes::telling;
use crate::pipeline::Tried;
use crate::plan::gc::{Decision, PackUse, Policy, Rewriting, Standing, Whole, decide, is_tolerated};
use crate::repo::{LiveSnapshots, Marked, PackLens, Repo, Root, StoredSnapshot};

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
    /// What was coded to try what they would take alone; `None` where nothing of it is wanted.
    pub(super) tried: Option<Tried>,
    /// Sealed bytes that were read to try what they would take alone.
    pub(super) tried_bytes: u64,
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
    /// What no note tells yet of the refs of these.
    pub(super) untold: Vec<Statement>,
    /// The notes that no other one has seen.
    pub(super) heads: BTreeSet<NoteId>,
}

/// Which snapshots count as live now: all but those that are forgotten and whose trash time is over, and those in `forgotten`; with a plan, of
/// these only what the plan lists.
pub(super) fn live(repo: &Repo, forgotten: &BTreeSet<SnapshotId>, listed: Option<&BTreeSet<SnapshotId>>) -> Result<Live, Error> {
    let LiveSnapshots { live, dropped, heads } = repo.live_snapshots(repo.now())?;
    let is_over: BTreeSet<SnapshotId> = dropped.iter().map(|stored| stored.id).collect();
    let mut found = Live { kept: Vec::new(), dropped: BTreeSet::new(), untold: Vec::new(), heads };
    for stored in live.into_iter().chain(dropped) {
        let goes = is_over.contains(&stored.id) || forgotten.contains(&stored.id);
        if goes && listed.is_none_or(|listed| listed.contains(&stored.id)) {
            found.dropped.insert(stored.id);
            found.untold.extend(telling(&stored));
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

/// Which sessions there are besides `own`. Outcomes are listed later, so what ends meanwhile has ended.
pub(super) fn sessions(repo: &Repo, own: Option<SessionId>) -> Result<Sessions, Error> {
    let names = |folder| -> Result<BTreeSet<SessionId>, Error> {
        Ok(repo.backend.list(folder)?.iter().filter_map(|listed| listed.name.parse().ok()).collect())
    };
    let mut announced = names(Folder::Sessions)?;
    own.iter().for_each(|own| _ = announced.remove(own));
    let outcomes = names(Folder::Outcomes)?;
    let (ended, open) = announced.into_iter().partition(|id| outcomes.contains(id));
    Ok(Sessions { ended, open })
}

/// Marks what live snapshots need, and decides. The policy's question who is active is answered here.
/// `own` is this prune's turn, if it has one.
pub(super) fn survey(
    repo: &Repo,
    own: Option<SessionId>,
    forgotten: &BTreeSet<SnapshotId>,
    policy: Policy,
    monitor: &dyn Monitor,
) -> Result<Survey, Error> {
    // In this order: a pack that is listed now was written by a session that is still announced, or has ended and named it (I19).
    let before = repo.listed_packs()?;
    let is_somebody_active = !sessions(repo, own)?.open.is_empty();
    let live = live(repo, forgotten, None)?;
    // What those snapshots need was there before they were.
    let packs = repo.current_packs()?;
    let marked = repo.mark(&live.roots(), &packs, |_| Standing::Stays, monitor)?;
    whole_index(repo)?;
    let Uses { mut packs, wholes } = uses(&marked, &packs)?;
    packs.retain(|pack| pack.is_named || before.contains_key(&pack.id));
    let Live { kept, dropped, .. } = live;
    let rests = wholes.iter().any(|whole| whole.supports > 0);
    let before = repo.reader.read_bytes();
    // From here on chains are followed again and again, until all is written.
    repo.reader.keep_sealed(repo.memory.sealed());
    let (found, tried) = if dropped.is_empty() && !rests {
        (Vec::new(), None)
    } else {
        let (found, tried) = excess(repo, &marked, &kept, wholes, monitor)?;
        (found, Some(tried))
    };
    let tried_bytes = repo.reader.read_bytes() - before;
    // What chains take beyond what they would alone counts as unused.
    let policy = Policy { is_somebody_active, excess: found.iter().map(|excess| excess.gain).sum(), ..policy };
    let anew = Anew { repo, marked: &marked, kept: &kept, monitor };
    let anew = if is_tolerated(&packs, &policy) { None } else { anew.decide(&packs, found, &policy)? };
    let (decision, rewriting) = anew.unwrap_or_else(|| (decide(packs, &policy), Rewriting::default()));
    let tried = tried.filter(|_| !rewriting.is_empty());
    Ok(Survey { marked, decision, rewriting, live: kept, dropped, tried, tried_bytes })
}

/// Fails while an index segment cannot be read: packs that it names look as if nobody named them.
pub(super) fn whole_index(repo: &Repo) -> Result<(), Error> {
    if repo.index.has_unreadable() {
        return Err(Error::new(
            ErrorKind::Damage,
            "an index segment cannot be read, so nothing may be deleted: `snap repair index --execute` makes it anew",
        ));
    }
    Ok(())
}

/// How much is needed.
struct Uses {
    /// Of each pack.
    packs: Vec<PackUse>,
    /// Of plain bytes, and of numbers.
    wholes: [Whole; 2],
}

fn uses(marked: &Marked, packs: &PackLens) -> Result<Uses, Error> {
    let Marked { marks, index } = marked;
    let (mut unused, mut wholes): (Vec<u64>, _) = (Vec::new(), [Whole::default(); 2]);
    index.for_each_blob(&mut |pack, ordinal, place| {
        let frame = &place.frame;
        let (needed, supports) = (marks.chunks(pack, ordinal), marks.supports(pack, ordinal));
        let plain = |which: &[bool]| -> u64 {
            which.iter().zip(&frame.chunk_lens).filter(|(is_one, _)| **is_one).map(|(_, len)| u64::from(*len)).sum()
        };
        let count = |which: &[bool]| which.iter().filter(|is_one| **is_one).count();
        let (listed, listed_needed) = (blob::listed_len(frame, frame.chunk_lens.len()), blob::listed_len(frame, count(&needed)));
        if frame.kind == BlobKind::Data {
            let whole = &mut wholes[usize::from(blob::dtype_of(frame).is_some())];
            let asked = marks.asked(pack, ordinal);
            whole.plain += plain(&asked);
            whole.stored += frame.stored_len(plain(&asked));
            whole.supports += frame.stored_len(plain(&supports)) + listed_needed - blob::listed_len(frame, count(&asked));
        }
        let number = pack as usize;
        if unused.len() <= number {
            unused.resize(number + 1, 0);
        }
        unused[number] += frame.stored_len(frame.plain_len() as u64 - plain(&needed)) + listed - listed_needed;
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
    Ok(Uses { packs: uses, wholes })
}

impl Run<'_> {
    /// Ends sessions of processes that have surely ended, and takes announcements away that say no more.
    pub(super) fn tidy_sessions(&mut self) -> Result<(), Error> {
        if self.turn.is_some() {
            self.take_away_gone()?;
        } else {
            self.report.sessions_ended += self.with_room(|| self.repo.end_dead_sessions(None))?;
        }
        let sessions = sessions(self.repo, self.own())?;
        let Some(any) = sessions.ended.first() else { return Ok(()) };
        // Their outcomes are to outlast them.
        self.repo.backend.settle(&ObjectPath::Outcome(*any))?;
        for id in &sessions.ended {
            self.repo.backend.delete(&ObjectPath::Session(*id))?;
        }
        Ok(())
    }
}
