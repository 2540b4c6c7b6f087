//! One prune at a time, where the store cannot decide between two who create one name (`spec/BUCKETS.md`, section 5): whoever wants to delete
//! announces that, looks who else does, and steps back before anybody else.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::survey::sessions;
use super::{Options, Run};
use crate::backend::ObjectPath;
use crate::base::ids::SessionId;
use crate::clock;
use crate::error::{Error, ErrorKind};
use crate::format::session::{Purpose, Session};
use crate::plan::gc::{SessionView, has_turn, may_take_away};
use crate::process;
use crate::repo::{Repo, SessionHandle, StoreStanding};

/// The turn to delete. It ends when this is dropped.
pub(crate) struct Turn<'r> {
    repo: &'r Repo,
    session: SessionHandle,
    /// How many requests had been given up when it began.
    given_up: u64,
}

impl<'r> Turn<'r> {
    /// Waits for the turn, where one is needed; `None` where the store decides by itself. `go_on` is asked between looks.
    ///
    /// # Errors
    /// Of kind [`ErrorKind::Refused`] where nothing may be deleted, [`ErrorKind::Busy`] when others were at it for too long; those of `go_on`.
    pub(crate) fn take(repo: &'r Repo, options: &Options, go_on: &mut dyn FnMut() -> Result<(), Error>) -> Result<Option<Self>, Error> {
        repo.check_store("deleting")?;
        if repo.store_standing()? == StoreStanding::Sound {
            return Ok(None);
        }
        let since = Instant::now();
        loop {
            let others = turns(repo)?;
            if others.is_empty() {
                let turn = Self::announce(repo)?;
                if has_turn(&turn.id(), turns(repo)?) {
                    return Ok(Some(turn));
                }
            }
            for other in &others {
                let has_ended = is_gone(repo, other, &options.ended);
                if may_take_away(&SessionView { has_ended, age: None, waited: since.elapsed() }, options.late) {
                    repo.backend.delete(&ObjectPath::Session(*other))?;
                }
            }
            if since.elapsed() >= options.wait {
                let whose =
                    others.first().map(|other| format!(": if its process runs no more, `prune --execute --end-session {other}` says so"));
                let message = format!("another prune is under way at {}, where one at a time may delete", repo.location());
                return Err(Error::new(ErrorKind::Busy, message + &whose.unwrap_or_default()));
            }
            go_on()?;
            std::thread::sleep(a_while());
        }
    }

    fn announce(repo: &'r Repo) -> Result<Self, Error> {
        let given_up = repo.backend.given_up();
        let session = repo.begin_turn()?;
        Ok(Self { repo, session, given_up })
    }

    /// The session that announces it.
    pub(crate) fn id(&self) -> SessionId {
        self.session.id()
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        // What was given up may still come through: then it is for the next prune to find out that this process is gone.
        if self.repo.backend.given_up() == self.given_up {
            self.repo.end_session(&self.session);
        }
    }
}

/// Turns that are announced, and sessions that cannot be read: those may be turns.
fn turns(repo: &Repo) -> Result<Vec<SessionId>, Error> {
    let may_be = |id: &SessionId| repo.read_session(id).is_none_or(|session| session.purpose == Purpose::Repack && session.is_turn());
    Ok(sessions(repo, None)?.open.into_iter().filter(may_be).collect())
}

/// Whether the process of a session is gone: surely so, or by the word of whoever runs the prune.
pub(super) fn is_gone(repo: &Repo, id: &SessionId, told: &BTreeSet<SessionId>) -> bool {
    told.contains(id) || repo.read_session(id).is_some_and(|session| has_surely_ended(repo, &session))
}

/// Whether a session's process has surely ended: only of this installation's is that known.
pub(super) fn has_surely_ended(repo: &Repo, session: &Session) -> bool {
    let is_own = session.host == clock::host() && repo.writer().is_ok_and(|writer| writer == session.writer);
    is_own && process::has_ended(session.pid, &session.extra)
}

/// So that two who stepped back before each other do not come back together.
fn a_while() -> Duration {
    Duration::from_millis(50 + u64::from(getrandom::u32().unwrap_or(0) % 400))
}

impl Run<'_> {
    /// Takes away what announces sessions whose processes are gone, once nothing that they asked for can still be under way.
    pub(super) fn take_away_gone(&mut self) -> Result<(), Error> {
        let gone = |run: &Self| -> Result<BTreeSet<SessionId>, Error> {
            let open = sessions(run.repo, run.own())?.open.into_iter();
            Ok(open.filter(|id| is_gone(run.repo, id, &run.options.ended)).collect())
        };
        let found = gone(self)?;
        if found.is_empty() {
            return Ok(());
        }
        let since = Instant::now();
        while since.elapsed() < self.options.late {
            self.stop_if_over()?;
            std::thread::sleep(Duration::from_millis(100));
        }
        // Outcomes are listed again: what came meanwhile counts.
        for id in gone(self)?.intersection(&found) {
            self.repo.backend.delete(&ObjectPath::Session(*id))?;
            self.report.sessions_ended += 1;
        }
        Ok(())
    }
}
