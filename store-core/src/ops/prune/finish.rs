//! From a plan to its end: wait for those who could rely on what it condemns, mark again, say what is deleted, delete it.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::survey::{live, sessions, whole_index};
use super::turn::has_surely_ended;
use super::{Run, Stopped};
use crate::backend::{Created, Folder, GcStage, ObjectPath};
use crate::base::ids::{PlanNumber, SessionId};
use crate::base::wire;
use crate::clock;
use crate::error::{Error, ErrorKind};
use crate::format::envelope::ObjectKind;
use crate::format::gc::{Done, Final, Plan};
use crate::format::record::Extra;
use crate::format::session::Session;
use crate::format::snapshot::Outcome;
use crate::monitor::Warning;
use crate::plan::gc::{Fencing, SessionView, Standing, Step, deleted, fence, may_take_away, next_step};
use crate::repo::OpenPlan;

/// How often sessions are looked at.
const POLL: Duration = Duration::from_millis(200);

impl Run<'_> {
    /// Carries an open plan to its end, whoever made it.
    pub(super) fn finish(&mut self, open: OpenPlan) -> Result<(), Error> {
        let OpenPlan { number, plan, mut last } = open;
        // Whoever made the records may not have got so far.
        self.repo.backend.settle(&ObjectPath::Gc(number, GcStage::Plan))?;
        if next_step(true, !matches!(last, Ok(None)), false) == Step::Finish {
            last = match self.decide_final(number, plan) {
                Ok(made) if self.with_room(|| self.repo.create_final(number, &made))? == Created::New => Ok(Some(made)),
                Ok(_) => {
                    // What could not be read may be what that one deleted.
                    self.unread = None;
                    self.repo.read_final(number)
                }
                // What is missing may be what another prune deletes, which was quicker.
                Err(error) if self.report.stopped.is_none() => self.repo.read_final(number)?.map(Some).ok_or(error),
                Err(error) => Err(error),
            };
        }
        let last = last?.ok_or_else(|| Error::new(ErrorKind::Failed, format!("gc/{number}.final vanished while it was acted on")))?;
        self.report.dropped_snapshots = last.dropped.len() as u64;
        self.delete(&last)?;
        let done = Done { time: self.repo.now(), host: clock::host(), program: clock::PROGRAM.into(), extra: Extra::new() };
        // Another prune may have been quicker, and says the same.
        let _ = self.with_room(|| self.repo.create_done(number, &done))?;
        self.has_got_on = true;
        self.repo.refresh()?;
        self.unread.take().map_or(Ok(()), Err)
    }

    /// What is deleted, once nobody is left who could rely on it.
    fn decide_final(&mut self, number: PlanNumber, plan: Result<Option<Plan>, Error>) -> Result<Final, Error> {
        let nothing = Final {
            time: self.repo.now(),
            host: clock::host(),
            program: clock::PROGRAM.into(),
            deleted: BTreeSet::new(),
            dropped: BTreeSet::new(),
            extra: Extra::new(),
        };
        let plan = match plan {
            Ok(plan) => plan.ok_or_else(|| Error::new(ErrorKind::Failed, format!("gc/{number}.plan vanished while it was acted on")))?,
            Err(error) if error.kind() == ErrorKind::Damage => {
                let item = ObjectPath::Gc(number, GcStage::Plan).to_string();
                self.monitor.warning(&Warning { item, message: "is damaged: it is closed, and nothing is deleted for it".into() });
                return Ok(nothing);
            }
            Err(error) => return Err(error),
        };
        self.wait_for_sessions()?;
        self.stop_if_over()?;
        let live = live(self.repo, &self.options.forgotten, Some(&plan.dropped))?;
        let packs = self.repo.current_packs()?;
        let standing = |pack: &_| if plan.condemned.contains(pack) { Standing::Condemned } else { Standing::Stays };
        let marked = self.repo.mark(&live.roots(), &packs, standing, self.monitor)?;
        whole_index(self.repo)?;
        let mut needed = BTreeSet::new();
        for pack in &plan.condemned {
            let number = marked.index.number(pack)?;
            needed.extend(number.filter(|number| marked.marks.is_needed(*number)).map(|_| *pack));
        }
        let goes = deleted(plan.condemned.iter().copied(), |pack| needed.contains(pack));
        let twins = self.twins.take();
        match self.read_twins_again(&goes, &marked, twins.as_ref()) {
            Ok(()) => {}
            // The plan is closed, or each prune to come would meet the same.
            Err(error) if error.kind() == ErrorKind::Damage => {
                self.unread = Some(error);
                return Ok(nothing);
            }
            Err(error) => return Err(error),
        }
        self.report.rescued_packs += needed.len() as u64;
        // Forgotten by a program that did not tell of their refs: the histories of these are to outlast the records (`spec/NOTES.md`, N6).
        self.repo.write_notes(live.untold, &live.heads)?;
        Ok(Final { deleted: goes, dropped: live.dropped, ..nothing })
    }

    /// Waits until every session that is announced now has an outcome or is given up; ends those that are old or whose processes are gone.
    /// Sessions that come later have read the plan. Where the store could not decide between a fence and a commit nobody is fenced.
    fn wait_for_sessions(&mut self) -> Result<(), Error> {
        let since = Instant::now();
        let mut waiting: BTreeSet<SessionId> = sessions(self.repo, self.own())?.open.into_iter().collect();
        loop {
            for id in waiting.clone() {
                let session = self.look_at(&id, since.elapsed())?;
                if self.turn.is_some() {
                    if may_take_away(&session, self.options.late) {
                        self.take_away(&id)?;
                        waiting.remove(&id);
                    }
                } else if fence(&session, self.options.fence_after) == Fencing::Fence {
                    self.end_session(&id)?;
                    waiting.remove(&id);
                }
            }
            if waiting.is_empty() {
                return self.settle_outcomes();
            }
            if since.elapsed() >= self.options.wait {
                self.name(&waiting);
                return Err(self.stop(Stopped::Busy { sessions: waiting.len() as u64 }));
            }
            // Where announcements are taken away that takes a while, and nobody else does it.
            if self.turn.is_some() { self.stop_if_over() } else { self.stop_if_late() }?;
            std::thread::sleep(POLL);
            let open: BTreeSet<SessionId> = sessions(self.repo, self.own())?.open.into_iter().collect();
            waiting.retain(|id| open.contains(id));
        }
    }

    /// Says who is waited for, where it takes somebody's word to end it.
    fn name(&self, waiting: &BTreeSet<SessionId>) {
        for id in waiting.iter().filter(|_| self.turn.is_some()) {
            let message = match self.repo.read_session(id) {
                Some(Session { host, pid, .. }) => {
                    format!("process {pid} of {host} has not ended it: if it runs no more, `--end-session {id}` says so")
                }
                None => format!("cannot be read: if no push runs that began long ago, `--end-session {id}` says so"),
            };
            self.monitor.warning(&Warning { item: ObjectPath::Session(*id).to_string(), message });
        }
    }

    fn look_at(&self, id: &SessionId, waited: Duration) -> Result<SessionView, Error> {
        let told = self.turn.is_some() && self.options.ended.contains(id);
        let Some(session) = self.repo.read_session(id) else { return Ok(SessionView { has_ended: told, age: None, waited }) };
        let age = self.repo.now().seconds.checked_sub(session.started.seconds).and_then(|age| age.try_into().ok());
        let has_ended = told || has_surely_ended(self.repo, &session);
        Ok(SessionView { has_ended, age: age.map(Duration::from_secs), waited })
    }

    /// Takes the announcement of a session away whose process is gone, unless it has an outcome by now.
    fn take_away(&mut self, id: &SessionId) -> Result<(), Error> {
        if sessions(self.repo, self.own())?.open.contains(id) {
            self.repo.backend.delete(&ObjectPath::Session(*id))?;
            self.report.sessions_ended += 1;
        }
        Ok(())
    }

    /// Creates an abort, unless there is an outcome: I1 decides.
    fn end_session(&mut self, id: &SessionId) -> Result<(), Error> {
        let abort = Outcome::Abort {
            time: self.repo.now(),
            by: format!("{}, process {} of {}", clock::PROGRAM, std::process::id(), clock::host()),
            reason: "a prune took it for dead".into(),
        };
        let body = wire::encode(&abort);
        let created = self.with_room(|| self.repo.create_record(&ObjectPath::Outcome(*id), ObjectKind::Outcome, body.clone()))?;
        self.report.sessions_fenced += u64::from(created == Created::New);
        Ok(())
    }

    /// Outcomes that others created are about to be relied on.
    fn settle_outcomes(&self) -> Result<(), Error> {
        let listed = self.repo.backend.list(Folder::Outcomes)?;
        match listed.iter().find_map(|listed| listed.name.parse().ok()) {
            Some(id) => Ok(self.repo.backend.settle(&ObjectPath::Outcome(id))?),
            None => Ok(()),
        }
    }
}
