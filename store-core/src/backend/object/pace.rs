//! A limit on bytes per second, shared by all that go the same way.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Bytes that are let through at a time.
pub(super) const PIECE: usize = 16 << 10;

/// Lets bytes through, so many a second.
#[derive(Debug)]
pub(super) struct Pace {
    per_second: f64,
    free_at: Mutex<Option<Instant>>,
}

impl Pace {
    /// `per_second` is at least 1.
    pub(super) fn new(per_second: u64) -> Self {
        Self { per_second: per_second.max(1) as f64, free_at: Mutex::new(None) }
    }

    /// How long so many bytes take by themselves.
    pub(super) fn time_for(&self, bytes: u64) -> Duration {
        Duration::from_secs_f64(bytes as f64 / self.per_second)
    }

    /// Waits until what was let through before has had its time.
    pub(super) async fn pass(&self, bytes: usize) {
        let start = {
            let mut free_at = self.free_at.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            let start = free_at.map_or(now, |at| at.max(now));
            *free_at = Some(start + self.time_for(bytes as u64));
            start
        };
        sleep_until(start).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_pass_no_faster_than_they_may() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap();
        let pace = Pace::new(1 << 20);
        let started = std::time::Instant::now();
        runtime.block_on(async {
            for _ in 0..16 {
                pace.pass(PIECE).await;
            }
            pace.pass(1).await;
        });
        // A quarter of a second's worth, before the last byte.
        assert!(started.elapsed() >= Duration::from_millis(240), "{:?}", started.elapsed());
        assert_eq!(pace.time_for(3 << 20), Duration::from_secs(3));
    }
}
