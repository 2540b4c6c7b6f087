//! Tries a request until it is done, or trying makes no sense any more (`spec/BUCKETS.md`, section 2). Every attempt is counted, has an end, and
//! waits for its turn where many are under way.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use object_store::client::HttpErrorKind;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};

use super::answer::{ANSWER, Answer, Trouble};
use super::connection::Connector;
use super::patience;
use crate::backend::{Asked, Folder, RequestCount, Requests, Transport};

/// Requests under way at a time, at the most.
const IN_FLIGHT: usize = 32;
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// Whoever waits so long for the next attempt is told why: the ones before took a few seconds.
const TELL_FROM: Duration = Duration::from_millis(1600);
/// How long requests are tried again that come after one that was given up, so that a command of thousands of them ends.
const RETRY_AWAY: Duration = Duration::from_secs(2);

/// How requests are tried, and how many were.
pub(super) struct Attempts {
    requests: Requests,
    turns: Semaphore,
    limits: Connector,
    /// How long an attempt without bytes may take.
    patience: Duration,
    /// How long it is tried again.
    retry_for: Duration,
    given_up: AtomicU64,
    /// Whether the store could not be reached, and has answered nothing since.
    is_away: AtomicBool,
    waiting: fn(&str),
    has_told: AtomicBool,
}

impl Attempts {
    pub(super) fn new(transport: &Transport, limits: &Connector) -> Self {
        let Transport { patience, retry_for, waiting, .. } = *transport;
        Self {
            requests: Requests::default(),
            turns: Semaphore::new(IN_FLIGHT),
            limits: limits.clone(),
            patience,
            retry_for,
            given_up: AtomicU64::new(0),
            is_away: AtomicBool::new(false),
            waiting,
            has_told: AtomicBool::new(false),
        }
    }

    pub(super) fn requests(&self) -> Vec<RequestCount> {
        self.requests.counts()
    }

    /// Counts a request that nobody waits for any longer.
    pub(super) fn give_up(&self) {
        self.given_up.fetch_add(1, Ordering::Relaxed);
    }

    /// How often trying was given up.
    pub(super) fn given_up(&self) -> u64 {
        self.given_up.load(Ordering::Relaxed)
    }

    /// Tries `once` until it is done. It carries about `len` bytes.
    pub(super) async fn until<T, F, A>(&self, folder: Option<Folder>, asked: Asked, len: u64, once: F) -> Result<T, Trouble>
    where
        F: Fn() -> A + Sync,
        A: Future<Output = object_store::Result<T>> + Send,
    {
        self.unsure(folder, asked, len, once).await.0
    }

    /// The same, and whether any attempt but the last may have done what was asked for.
    pub(super) async fn unsure<T, F, A>(&self, folder: Option<Folder>, asked: Asked, len: u64, once: F) -> (Result<T, Trouble>, bool)
    where
        F: Fn() -> A + Sync,
        A: Future<Output = object_store::Result<T>> + Send,
    {
        // Counted from the first failure: on a slow link an attempt alone may take as long as trying again may.
        let mut failing_since = None;
        let (mut wait, mut is_unsure) = (FIRST_WAIT, false);
        loop {
            let trouble = match self.attempt(folder, asked, len, &once).await {
                Ok(done) => {
                    self.is_away.store(false, Ordering::Relaxed);
                    return (Ok(done), is_unsure);
                }
                Err(trouble) => trouble,
            };
            let Trouble::Transient { unsure, .. } = &trouble else {
                self.is_away.store(false, Ordering::Relaxed);
                return (Err(trouble), is_unsure);
            };
            is_unsure |= unsure;
            let is_away = self.is_away.load(Ordering::Relaxed);
            let retry_for = if is_away { self.retry_for.min(RETRY_AWAY) } else { self.retry_for };
            if failing_since.get_or_insert_with(Instant::now).elapsed() + wait > retry_for {
                self.is_away.store(true, Ordering::Relaxed);
                self.give_up();
                return (Err(trouble), is_unsure);
            }
            if wait >= TELL_FROM
                && !self.has_told.swap(true, Ordering::Relaxed)
                && let Trouble::Transient { why, .. } = &trouble
            {
                (self.waiting)(&format!("{why}: it is tried again for up to {} s", self.retry_for.as_secs()));
            }
            sleep(shortened(wait)).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    async fn attempt<T, F, A>(&self, folder: Option<Folder>, asked: Asked, len: u64, once: &F) -> Result<T, Trouble>
    where
        F: Fn() -> A + Sync,
        A: Future<Output = object_store::Result<T>> + Send,
    {
        let _turn = self.turns.acquire().await.expect("nobody closes it");
        self.requests.add(folder, asked);
        let pace = if asked == Asked::Put { &self.limits.upload } else { &self.limits.download };
        let slowed = pace.as_ref().map_or(Duration::ZERO, |pace| pace.time_for(len.saturating_mul(IN_FLIGHT as u64)));
        let answer = Arc::new(Mutex::new(Answer::default()));
        let work = ANSWER.scope(Arc::clone(&answer), once());
        let done = timeout(patience(self.patience, len) + slowed, work).await;
        let mut answer = answer.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match done {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(error)) => Err(Trouble::of(&answer, &error)),
            Err(_) => {
                answer.broken = Some(HttpErrorKind::Timeout);
                Err(Trouble::of(&answer, &object_store::Error::Generic { store: "bucket", source: "it took too long".into() }))
            }
        }
    }
}

/// Between half of `wait` and all of it, so that those who failed together do not come back together.
fn shortened(wait: Duration) -> Duration {
    // Without randomness it is all of it.
    let share = getrandom::u32().map_or(1.0, |random| 0.5 + f64::from(random) / f64::from(u32::MAX) / 2.0);
    wait.mul_f64(share)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use super::*;

    #[test]
    fn an_attempt_that_takes_long_before_it_fails_is_tried_again() {
        let transport = Transport { patience: Duration::from_secs(1), retry_for: Duration::from_millis(900), ..Transport::default() };
        let attempts = Attempts::new(&transport, &Connector { upload: None, download: None, patience: transport.patience });
        let tried = AtomicU32::new(0);
        let once = || async {
            if tried.fetch_add(1, Ordering::Relaxed) == 0 {
                std::future::pending::<()>().await;
            }
            Ok(())
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let done = runtime.block_on(attempts.until(None, Asked::Put, 0, once));
        assert!(done.is_ok() && tried.into_inner() == 2);
        assert_eq!(attempts.given_up(), 0);
    }
}
