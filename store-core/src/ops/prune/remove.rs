//! Removing damaged packs for a repair (`spec/PROTOCOL.md`, section 6): a plan that condemns them, a look whether all that could be read of them
//! is elsewhere, a final. Nobody is waited for, and nothing is marked: what is lost is needed in vain.

use std::collections::BTreeSet;

use super::{Options, ROUNDS, Run};
use crate::backend::{Created, GcStage, ObjectPath};
use crate::base::ids::{PackId, PlanNumber, SessionId};
use crate::base::limits;
use crate::clock;
use crate::error::{Error, ErrorKind};
use crate::format::gc::{Done, Final, Plan};
use crate::format::record::Extra;
use crate::monitor::Monitor;
use crate::repo::{OpenPlan, Repo};

/// Sessions without an outcome.
pub(crate) fn open_sessions(repo: &Repo) -> Result<Vec<SessionId>, Error> {
    Ok(super::survey::sessions(repo, None)?.open)
}

/// Deletes these packs, and takes them out of the index, if `may_go` says so once the plan is durable. Returns how many went: none where it
/// says no, or another prune has decided about the plan.
pub(crate) fn remove(
    repo: &Repo,
    packs: &BTreeSet<PackId>,
    may_go: &mut dyn FnMut() -> Result<bool, Error>,
    monitor: &dyn Monitor,
) -> Result<u64, Error> {
    let options = Options { execute: true, ..Options::default() };
    let mut run = Run::new(repo, &options, monitor);
    let condemned: BTreeSet<PackId> = packs.iter().take(limits::GC_PACKS).copied().collect();
    for _ in 0..ROUNDS {
        while let Some(open) = repo.gc_state()?.open.into_iter().next() {
            run.close(open)?;
        }
        let number = repo.gc_state()?.next.ok_or_else(|| Error::new(ErrorKind::Failed, "numbers of prunes have run out"))?;
        let plan = Plan {
            time: repo.now(),
            host: clock::host(),
            program: clock::PROGRAM.into(),
            condemned: condemned.clone(),
            dropped: BTreeSet::new(),
            extra: Extra::new(),
        };
        if repo.create_plan(number, &plan)? == Created::Exists {
            continue;
        }
        let may_go = may_go()?;
        // What cannot be read may be the reader's fault: one that reads what was just written is trusted.
        let reads = repo.read_plan(number)?.is_some_and(|read| read == plan);
        let deleted = if may_go && reads { condemned.clone() } else { BTreeSet::new() };
        return run.end(number, deleted);
    }
    Err(Error::new(ErrorKind::Busy, "prunes were quicker each time: try again; what could be read is copied"))
}

/// Does what finals of open plans say: what they delete is as good as gone.
pub(crate) fn finish_decided(repo: &Repo, monitor: &dyn Monitor) -> Result<(), Error> {
    let options = Options { execute: true, ..Options::default() };
    let mut run = Run::new(repo, &options, monitor);
    for open in repo.gc_state()?.open {
        if let Ok(Some(last)) = open.last {
            repo.backend.settle(&ObjectPath::Gc(open.number, GcStage::Final))?;
            run.carry_out(open.number, &last)?;
        }
    }
    Ok(())
}

impl Run<'_> {
    /// Brings an open plan to its end: does what its final says; where there is none, one is made that deletes nothing (I32).
    fn close(&mut self, open: OpenPlan) -> Result<(), Error> {
        self.repo.backend.settle(&ObjectPath::Gc(open.number, GcStage::Plan))?;
        match open.last? {
            Some(last) => self.carry_out(open.number, &last),
            None => self.end(open.number, BTreeSet::new()).map(drop),
        }
    }

    /// Creates a final, unless there is one, and does what the one that counts says. Returns how many packs that deletes.
    fn end(&mut self, number: PlanNumber, deleted: BTreeSet<PackId>) -> Result<u64, Error> {
        let (time, host, program) = (self.repo.now(), clock::host(), clock::PROGRAM.into());
        let mut last = Final { time, host, program, deleted, dropped: BTreeSet::new(), extra: Extra::new() };
        if self.repo.create_final(number, &last)? == Created::Exists {
            let counts = self.repo.read_final(number)?;
            last = counts.ok_or_else(|| Error::new(ErrorKind::Failed, format!("gc/{number}.final vanished while it was acted on")))?;
        }
        self.carry_out(number, &last)?;
        Ok(last.deleted.len() as u64)
    }

    fn carry_out(&mut self, number: PlanNumber, last: &Final) -> Result<(), Error> {
        self.delete(last)?;
        let done = Done { time: self.repo.now(), host: clock::host(), program: clock::PROGRAM.into(), extra: Extra::new() };
        // Another one may have been quicker, and says the same.
        let _ = self.repo.create_done(number, &done)?;
        self.repo.refresh()
    }
}
