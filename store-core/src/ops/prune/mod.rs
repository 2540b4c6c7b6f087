//! `prune`: deletes what no snapshot that counts as live needs, beside pushes that go on (`spec/PROTOCOL.md`, section 5).
//!
//! `survey` finds out what is needed and decides, `repack` writes what is needed of packs that are mostly unused to others, `finish` waits for
//! those who could rely on what is condemned, marks again and says what is deleted, `delete` deletes it. Any of these may be done by another
//! prune than the one that began. The decisions are pure: `plan/gc`.

mod contents;
mod delete;
mod excess;
mod finish;
#[cfg(test)]
mod large;
mod remove;
mod repack;
mod room;
mod survey;
mod told;
mod turn;
mod twins;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::base::ids::{PackId, SessionId, SnapshotId};
use crate::base::limits;
use crate::clock;
use crate::error::{Error, ErrorKind, chain};
use crate::format::gc::Plan;
use crate::format::record::Extra;
use crate::monitor::{Monitor, Warning};
use crate::plan::gc::{Decision, Fate, PackUse, Policy};
use crate::repo::{GcState, OpenPlan, Repo};
pub(crate) use remove::{finish_decided, open_sessions, remove};
use survey::Survey;
pub use told::check_told;
pub(crate) use turn::Turn;
use twins::TwinsRead;

/// How a prune is done.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Does it. Otherwise nothing is written, and the report says what would be done.
    pub execute: bool,
    /// Which share of all bytes may stay unused, from 0 to 1.
    pub max_unused: f64,
    /// Bytes of packs that are rewritten, at the most; `None` for any.
    pub max_repack: Option<u64>,
    /// How long it may go on before it stops where it is; the next prune goes on from there. However little it is, unless it is zero, something
    /// is done that the next prune need not do.
    pub budget: Option<Duration>,
    /// How old a session without an outcome is when it is ended.
    pub fence_after: Duration,
    /// How long sessions that are younger are waited for.
    pub wait: Duration,
    /// Sessions whose processes are gone, by the word of whoever asks. It is taken where a store cannot decide between two who create one name
    /// (`spec/BUCKETS.md`, section 5), and only there: elsewhere a session is fenced, which needs nobody's word.
    pub ended: BTreeSet<SessionId>,
    /// How long what was asked for by a process that is gone may still be under way there (S6).
    pub late: Duration,
    /// Snapshots that do not count as live, besides those that notes forget and whose trash time is over.
    pub forgotten: BTreeSet<SnapshotId>,
    /// Takes this host's clock for right although it was set while the host was up: what is in the trash goes by it.
    pub trust_clock: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            execute: false,
            max_unused: 0.05,
            max_repack: None,
            budget: None,
            fence_after: Duration::from_secs(24 * 3600),
            wait: Duration::from_secs(600),
            ended: BTreeSet::new(),
            late: Duration::from_secs(60),
            forgotten: BTreeSet::new(),
            trust_clock: false,
        }
    }
}

/// Why a prune stopped before all was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// Its time was over.
    Budget,
    /// Sessions that may rely on what is condemned have not ended.
    Busy {
        /// How many.
        sessions: u64,
    },
}

/// What was done, or would be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// What becomes of each pack, as it was decided. Empty when another prune's plan was gone on with and nothing was left to decide.
    pub decision: Decision,
    /// Whether the plan of another prune was gone on with; without `execute`, whether one is open.
    pub resumed: bool,
    /// Snapshots that count as live.
    pub live_snapshots: u64,
    /// Snapshots that were dropped for good, or would be.
    pub dropped_snapshots: u64,
    /// Packs that were deleted.
    pub deleted_packs: u64,
    /// Their bytes.
    pub deleted_bytes: u64,
    /// Packs that were rewritten.
    pub repacked_packs: u64,
    /// Bytes that this wrote.
    pub written_bytes: u64,
    /// Chunks of chains that were coded anew.
    pub recoded_chunks: u64,
    /// Their plain bytes.
    pub recoded_bytes: u64,
    /// Bytes that were read to try what is kept alone, of packs that were rewritten, and to code chains anew.
    pub read_bytes: u64,
    /// Condemned packs that turned out to be needed.
    pub rescued_packs: u64,
    /// Index segments that were written in place of others.
    pub segments_written: u64,
    /// Index segments that were deleted.
    pub segments_deleted: u64,
    /// Sessions that were ended for processes that are gone.
    pub sessions_ended: u64,
    /// Sessions that were ended because they were old, or their processes gone, while this prune waited for them.
    pub sessions_fenced: u64,
    /// Bytes of memory that marking took, besides the index and a few nodes.
    pub mark_memory: u64,
    /// Why it stopped, if it did.
    pub stopped: Option<Stopped>,
    /// How long it took.
    pub duration: Duration,
}

impl Report {
    /// Bytes that go, or would, less those that repacking writes; of chains that are coded anew, as estimated.
    pub fn freed_bytes(&self) -> u64 {
        let goes = self.decision.totals(Fate::goes);
        let written = self.decision.totals(|fate| fate == Fate::Repacked).needed;
        goes.bytes.saturating_sub(written + self.decision.chains.comes)
    }
}

/// Deletes what is not needed, or says what would be deleted.
///
/// # Errors
/// Of kind [`ErrorKind::Damage`] when anything that a live snapshot needs is unreadable or has no place: then nothing is deleted.
/// When the repository cannot be read or written. A prune that fails leaves a repository that works, and the next one goes on.
pub fn prune(repo: &Repo, options: &Options, monitor: &dyn Monitor) -> Result<Report, Error> {
    if options.execute {
        repo.need_clock(options.trust_clock)?;
    }
    let (started, _past) = (Instant::now(), repo.past_cache());
    let mut run = Run::new(repo, options, monitor);
    run.deadline = options.budget.map(|budget| started + budget);
    let done = if options.execute { run.execute() } else { run.preview() };
    repo.reader.keep_sealed(0);
    if options.execute {
        repo.backend.keep_reserve();
    }
    if run.report.stopped.is_none() {
        done?;
    }
    run.report.duration = started.elapsed();
    Ok(run.report)
}

/// One prune under way.
struct Run<'r> {
    repo: &'r Repo,
    options: &'r Options,
    monitor: &'r dyn Monitor,
    deadline: Option<Instant>,
    /// Where one at a time may delete.
    turn: Option<Turn<'r>>,
    /// Whether something was done that the next prune need not do.
    has_got_on: bool,
    /// What was read of packs that stay, by the marks that this prune decided by.
    twins: Option<TwinsRead>,
    /// Why the plan that is being finished deletes nothing.
    unread: Option<Error>,
    report: Report,
}

/// How often a prune helps others before it gives up getting a plan of its own.
const ROUNDS: usize = 8;
const QUICKER: &str = "other prunes were quicker each time: try again";

impl<'r> Run<'r> {
    /// Without a deadline.
    fn new(repo: &'r Repo, options: &'r Options, monitor: &'r dyn Monitor) -> Self {
        Self { repo, options, monitor, deadline: None, turn: None, has_got_on: false, twins: None, unread: None, report: Report::default() }
    }
}

impl Run<'_> {
    fn preview(&mut self) -> Result<(), Error> {
        let standing = self.repo.store_standing()?;
        if let Some(message) = standing.reservation() {
            self.monitor.warning(&Warning { item: self.repo.location(), message });
        }
        if let Some(why) = standing.objection() {
            let message = format!("what could be freed here would not be deleted, because {why}");
            self.monitor.warning(&Warning { item: self.repo.location(), message });
        }
        for _ in 0..ROUNDS {
            let GcState { open, names, .. } = self.repo.gc_state()?;
            self.report.resumed = !open.is_empty();
            match self.survey(&names) {
                Ok(Some(survey)) => {
                    self.note(survey.decision, survey.live.len(), survey.dropped.len());
                    return Ok(());
                }
                Ok(None) => {}
                Err(error) if error.kind() == ErrorKind::Damage && !open.is_empty() => {
                    let message = "a prune that has not ended may delete what this asks for: try again, or go on with it with --execute";
                    return Err(Error::with(ErrorKind::Busy, message, error));
                }
                Err(error) => return Err(error),
            }
        }
        Err(Error::new(ErrorKind::Busy, QUICKER))
    }

    fn note(&mut self, decision: Decision, live: usize, dropped: usize) {
        self.report.decision = decision;
        self.report.live_snapshots = live as u64;
        self.report.dropped_snapshots = dropped as u64;
    }

    fn execute(&mut self) -> Result<(), Error> {
        self.repo.check_writable()?;
        let (repo, options) = (self.repo, self.options);
        self.turn = Turn::take(repo, options, &mut || self.stop_if_late())?;
        for _ in 0..ROUNDS {
            // All that there was when no plan was open: whoever deletes from here on adds to it.
            let before = loop {
                let GcState { open, names, .. } = self.repo.gc_state()?;
                let Some(open) = open.into_iter().next() else { break names };
                self.report.resumed = true;
                self.twins = None;
                self.finish(open)?;
            };
            self.stop_if_over()?;
            self.tidy_sessions()?;
            let Some(mut survey) = self.survey(&before)? else { continue };
            if survey.decision.condemned().is_empty() && survey.dropped.is_empty() {
                self.note(survey.decision, survey.live.len(), 0);
                return Ok(());
            }
            let read = self.read_twins(&survey.decision.condemned(), &survey.marked);
            let read = read.map(|read| self.twins = Some(read));
            let (copied, no_room) = match read.and_then(|()| self.repack(&survey)) {
                // Another prune has deleted what was to be copied.
                Err(error) if error.kind() == ErrorKind::Damage && self.repo.gc_names()? != before => continue,
                copied => copied?,
            };
            self.repo.reader.keep_sealed(0);
            survey.tried = None;
            match self.plan(survey, &copied)? {
                Planned::Done => return Ok(()),
                Planned::Quicker => {}
                Planned::Nothing if no_room.is_some() || self.is_late() => {
                    return Err(no_room.unwrap_or_else(|| self.stop(Stopped::Budget)));
                }
                // Another prune is through with what was to be rewritten.
                Planned::Nothing => {}
            }
        }
        Err(Error::new(ErrorKind::Busy, QUICKER))
    }

    /// Makes a plan of what was decided, and carries it out.
    fn plan(&mut self, survey: Survey, copied: &BTreeSet<PackId>) -> Result<Planned, Error> {
        let state = self.repo.gc_state()?;
        if !state.open.is_empty() {
            return Ok(Planned::Quicker);
        }
        let number = state.next.ok_or_else(|| Error::new(ErrorKind::Failed, "numbers of prunes have run out"))?;
        let goes = |(pack, fate): &(PackUse, Fate)| fate.goes() && (*fate != Fate::Repacked || copied.contains(&pack.id));
        let goes: Vec<PackUse> = survey.decision.packs.iter().filter(|pack| goes(pack)).map(|(pack, _)| *pack).collect();
        let condemned = goes.iter().map(|pack| pack.id).collect();
        let dropped: BTreeSet<SnapshotId> = survey.dropped.iter().take(limits::GC_SNAPSHOTS).copied().collect();
        let plan =
            Plan { time: self.repo.now(), host: clock::host(), program: clock::PROGRAM.into(), condemned, dropped, extra: Extra::new() };
        self.note(survey.decision, survey.live.len(), plan.dropped.len());
        if plan.condemned.is_empty() && plan.dropped.is_empty() {
            return Ok(Planned::Nothing);
        }
        let Some(plan) = self.create_plan(number, plan, goes)? else { return Ok(Planned::Quicker) };
        self.finish(OpenPlan { number, plan: Ok(Some(plan)), last: Ok(None) })?;
        Ok(Planned::Done)
    }

    /// Writes what is needed of packs that are mostly unused to others. Says which packs may go then, and why not all, if there was no room.
    fn repack(&mut self, survey: &Survey) -> Result<(BTreeSet<PackId>, Option<Error>), Error> {
        match repack::repack(self, survey) {
            // What is wholly unused can go all the same, and makes room.
            Err(error) if error.kind() == ErrorKind::NoSpace => {
                let message = format!("no packs are rewritten, which the next prune may find room for: {}", chain(&error));
                self.monitor.warning(&Warning { item: self.repo.location(), message });
                let message = "packs that are needed in part would have to be rewritten, for which there is no room, and nothing else can go: \
                               make room at the repository, or forget more snapshots, and prune again";
                Ok((BTreeSet::new(), Some(Error::with(ErrorKind::NoSpace, message, error))))
            }
            copied => Ok((copied?, None)),
        }
    }

    /// Surveys; `None` when that failed and other prunes have got on since there were these records: what is missing may be what they deleted.
    fn survey(&mut self, before: &BTreeSet<String>) -> Result<Option<Survey>, Error> {
        let Options { max_unused, max_repack, .. } = *self.options;
        let policy = Policy { max_unused, max_repack, excess: 0, is_somebody_active: false };
        match survey::survey(self.repo, self.own(), &self.options.forgotten, policy, self.monitor) {
            Ok(survey) => {
                self.report.read_bytes += survey.tried_bytes;
                self.report.mark_memory = survey.marked.marks.memory() as u64;
                Ok(Some(survey))
            }
            Err(error) if error.kind() != ErrorKind::Interrupted && self.repo.gc_names()? != *before => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The session that announces its turn.
    fn own(&self) -> Option<SessionId> {
        self.turn.as_ref().map(Turn::id)
    }

    /// Stops when the user wants that, or the time is over and something was done.
    fn stop_if_over(&mut self) -> Result<(), Error> {
        self.stop_if_interrupted()?;
        if self.is_over() { Err(self.stop(Stopped::Budget)) } else { Ok(()) }
    }

    /// The same where nothing is done but waiting for others: that can be left to the next prune whatever was done.
    fn stop_if_late(&mut self) -> Result<(), Error> {
        self.stop_if_interrupted()?;
        if self.is_late() { Err(self.stop(Stopped::Budget)) } else { Ok(()) }
    }

    fn stop_if_interrupted(&self) -> Result<(), Error> {
        if self.monitor.interrupted() {
            return Err(Error::new(ErrorKind::Interrupted, "interrupted: the next prune goes on from here"));
        }
        Ok(())
    }

    fn is_late(&self) -> bool {
        self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }

    /// Whether it may stop for want of time. It may take longer to find out what there is to do than there is time: if prunes stopped then, none
    /// would ever do anything.
    fn is_over(&self) -> bool {
        self.is_late() && (self.has_got_on || self.options.budget == Some(Duration::ZERO))
    }

    /// Ends the run where it is. The error carries it out and is told to nobody.
    fn stop(&mut self, why: Stopped) -> Error {
        self.report.stopped = Some(why);
        Error::new(ErrorKind::Busy, "stopped")
    }
}

/// What became of a plan.
enum Planned {
    /// It was carried out.
    Done,
    /// Another prune was quicker.
    Quicker,
    /// There was none: nothing can go yet.
    Nothing,
}
