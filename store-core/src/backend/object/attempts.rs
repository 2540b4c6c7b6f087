//! Tries a request until it is done, or trying makes no sense any more (`spec/BUCKETS.md`, section 2). Every attempt is counted, has an end, and
//! waits for its turn where many are under way.

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

/// How requests are tried, and how many were.
pub(super) struct Attempts {
    requests: Requests,
    turns: Semaphore,
    limits: Connector,
    /// How long an attempt without bytes may take.
    patience: Duration,
    /// How long it is tried again.
    retry_for: Duration,
}

impl Attempts {
    pub(super) fn new(transport: &Transport, limits: &Connector) -> Self {
        let Transport { patience, retry_for, .. } = *transport;
        Self { requests: Requests::default(), turns: Semaphore::new(IN_FLIGHT), limits: limits.clone(), patience, retry_for }
    }

    pub(super) fn requests(&self) -> Vec<RequestCount> {
        self.requests.counts()
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
        let started = Instant::now();
        let (mut wait, mut is_unsure) = (FIRST_WAIT, false);
        loop {
            let trouble = match self.attempt(folder, asked, len, &once).await {
                Ok(done) => return (Ok(done), is_unsure),
                Err(trouble) => trouble,
            };
            let Trouble::Transient { unsure, .. } = &trouble else { return (Err(trouble), is_unsure) };
            is_unsure |= unsure;
            if started.elapsed() + wait > self.retry_for {
                return (Err(trouble), is_unsure);
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
