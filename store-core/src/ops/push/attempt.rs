//! From a session to a snapshot, from the beginning again where a prune took the session for dead.

use super::{Report, fenced};
use crate::base::ids::NodeId;
use crate::error::{Error, ErrorKind};
use crate::format::session::Purpose;
use crate::format::snapshot::{Outcome, Snapshot};
use crate::monitor::Monitor;
use crate::repo::{Adopted, Committed, Grounds, Repo, SessionHandle};

/// How often it begins again. Each time it was asleep for longer than a prune waits, or so it seemed by somebody's clock: of 585,000 pushes among four
/// prunes half of whose clocks are wrong by years, three were fenced six times in a row.
const RETRIES: u32 = 15;
const FENCED: &str = "this push was taken for dead and fenced by a prune: push again, what was written and is still there is taken up";

/// A session, none in a dry run, with what may be relied on in it.
pub(in crate::ops) struct Begun {
    handle: Option<SessionHandle>,
    pub(in crate::ops) grounds: Grounds,
}

/// What came of one try.
pub(in crate::ops) struct Made {
    /// What it did.
    pub(in crate::ops) report: Report,
    /// What is to be committed; `None` after a dry run, and when nothing had changed and none was wanted.
    pub(in crate::ops) snapshot: Option<Snapshot>,
    /// The root that it continues.
    pub(in crate::ops) before: Option<NodeId>,
}

/// Writes all that a snapshot needs.
pub(in crate::ops) trait Maker {
    /// Writes it, relying on nothing but what `session` may.
    fn make(&mut self, session: &Begun) -> Result<Made, Error>;

    /// Whether what is pushed can be read once more.
    fn can_begin_again(&self) -> bool;
}

impl Begun {
    /// Announces a session, and learns what may be relied on from then on (I5).
    fn new(repo: &Repo, dry_run: bool) -> Result<Self, Error> {
        // From here on a prune sees this session and leaves alone what it may rely on: the parent, for a start.
        let handle = if dry_run { None } else { Some(repo.begin_session(Purpose::Push)?) };
        let mut begun = Self { handle, grounds: Grounds::default() };
        begun.grounds = repo.grounds().map_err(|error| begun.ended(repo, error))?;
        Ok(begun)
    }

    /// Takes up what killed pushes left.
    pub(in crate::ops) fn take_up(&self, repo: &Repo, monitor: &dyn Monitor) -> Result<(), Error> {
        let Some(handle) = &self.handle else { return Ok(()) };
        let adopted = repo.adopt(handle, &self.grounds)?;
        if adopted != Adopted::default() {
            let Adopted { packs, bytes, sessions } = adopted;
            monitor
                .detail(&format_args!("took up {packs} packs of {bytes} bytes and ended {sessions} sessions of pushes that were cut off"));
        }
        Ok(())
    }

    /// Whether somebody ended the session.
    fn was_fenced(&self, repo: &Repo) -> bool {
        let is_abort = |session: &SessionHandle| matches!(repo.outcome(&session.id()), Ok(Some(Outcome::Abort { .. })));
        self.handle.as_ref().is_some_and(|session| !session.was_given_up() && is_abort(session))
    }

    /// Ends the session of a push that fails.
    fn ended(&self, repo: &Repo, error: Error) -> Error {
        self.handle.iter().for_each(|session| repo.end_session(session));
        error
    }
}

/// Has `maker` write a snapshot and commits it. When the report names it, it survives a power failure.
pub(in crate::ops) fn attempt(repo: &Repo, dry_run: bool, maker: &mut dyn Maker, monitor: &dyn Monitor) -> Result<Made, Error> {
    let mut fences = 0;
    let mut session = Begun::new(repo, dry_run)?;
    let mut made = loop {
        match maker.make(&session).map_err(|error| session.ended(repo, error)) {
            Ok(made) => break made,
            // What it relied on may be gone.
            Err(error) if session.was_fenced(repo) && error.kind() != ErrorKind::Interrupted && fences < RETRIES => {
                if !maker.can_begin_again() {
                    return Err(Error::with(ErrorKind::Busy, FENCED, error));
                }
                fences += 1;
                session = Begun::new(repo, dry_run)?;
            }
            Err(error) => return Err(error),
        }
    };
    for fenced in fences.. {
        let (Some(current), Some(snapshot)) = (&session.handle, &made.snapshot) else { break };
        match repo.commit(current, snapshot) {
            Ok(Committed::Snapshot(id)) => {
                made.report.snapshot = Some(id);
                if let Ok(index) = repo.index() {
                    // Losing this costs the next push of these files a look at each of their chunks.
                    let _ = index.note_whole(&snapshot.root, made.before.as_ref());
                }
                break;
            }
            Ok(Committed::Fenced) if fenced < RETRIES => {}
            Ok(Committed::Fenced) => return Err(Error::new(ErrorKind::Busy, FENCED)),
            // It may have come through all the same: the announcement stays, for a prune to find out.
            Err(error) => return Err(error),
        }
        monitor.detail(&format_args!("a prune took this push for dead: it begins again"));
        session = Begun::new(repo, dry_run)?;
        if fenced::is_all_there(repo, snapshot.root, &session.grounds, monitor).map_err(|error| session.ended(repo, error))? {
            continue;
        }
        if !maker.can_begin_again() {
            return Err(session.ended(repo, Error::new(ErrorKind::Busy, FENCED)));
        }
        made = maker.make(&session).map_err(|error| session.ended(repo, error))?;
    }
    if made.snapshot.is_none() {
        session.handle.iter().for_each(|session| repo.end_session(session));
    }
    if let Ok(index) = repo.index() {
        // Losing this costs the next command a moment: it takes the segments in again.
        let _ = index.flush();
    }
    Ok(made)
}
