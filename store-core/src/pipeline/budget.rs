//! Memory as a count of bytes that threads wait for.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// A number of bytes shared among threads.
#[derive(Debug, Clone)]
pub(super) struct Budget(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    total: usize,
    state: Mutex<State>,
    freed: Condvar,
}

#[derive(Debug)]
struct State {
    free: usize,
    /// Whether nobody waits any longer.
    is_open_to_all: bool,
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bytes taken from a budget; given back when dropped.
#[derive(Debug)]
pub(super) struct Permit {
    inner: Arc<Inner>,
    bytes: usize,
}

impl Budget {
    /// A budget of `total` bytes.
    pub(super) fn new(total: usize) -> Self {
        Self(Arc::new(Inner { total, state: Mutex::new(State { free: total, is_open_to_all: false }), freed: Condvar::new() }))
    }

    /// Waits until `bytes` are free and takes them. More than the total counts as the total, so that nothing waits for ever.
    pub(super) fn take(&self, bytes: usize) -> Permit {
        let bytes = bytes.min(self.0.total);
        let is_waiting = |state: &mut State| state.free < bytes && !state.is_open_to_all;
        let mut state = self.0.freed.wait_while(self.0.state(), is_waiting).unwrap_or_else(PoisonError::into_inner);
        let bytes = if state.is_open_to_all { 0 } else { bytes };
        state.free -= bytes;
        Permit { inner: Arc::clone(&self.0), bytes }
    }

    /// Lets everybody go on who waits or will: what they take is for nothing any more, and nobody may give back what they wait for.
    pub(super) fn open_to_all(&self) {
        self.0.state().is_open_to_all = true;
        self.0.freed.notify_all();
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.inner.state().free += self.bytes;
        self.inner.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_gets_what_is_given_back() {
        let budget = Budget::new(10);
        let first = budget.take(1000);
        std::thread::scope(|threads| {
            let second = threads.spawn(|| budget.take(4).bytes);
            drop(first);
            assert_eq!(second.join().unwrap(), 4);
        });
        assert_eq!(budget.0.state().free, 10);
    }

    #[test]
    fn once_it_is_open_to_all_nobody_waits() {
        let budget = Budget::new(10);
        let held = budget.take(10);
        std::thread::scope(|threads| {
            let waiting = threads.spawn(|| budget.take(4).bytes);
            budget.open_to_all();
            assert_eq!((waiting.join().unwrap(), budget.take(20).bytes), (0, 0));
        });
        drop(held);
        assert_eq!(budget.0.state().free, 10);
    }
}
