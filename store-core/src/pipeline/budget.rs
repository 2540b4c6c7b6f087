//! Memory as a count of bytes that threads wait for.

use std::sync::{Arc, Condvar, Mutex, PoisonError};

/// A number of bytes shared among threads.
#[derive(Debug, Clone)]
pub(super) struct Budget(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    total: usize,
    free: Mutex<usize>,
    freed: Condvar,
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
        Self(Arc::new(Inner { total, free: Mutex::new(total), freed: Condvar::new() }))
    }

    /// Waits until `bytes` are free and takes them. More than the total counts as the total, so that nothing waits for ever.
    pub(super) fn take(&self, bytes: usize) -> Permit {
        let bytes = bytes.min(self.0.total);
        let free = self.0.free.lock().unwrap_or_else(PoisonError::into_inner);
        let mut free = self.0.freed.wait_while(free, |free| *free < bytes).unwrap_or_else(PoisonError::into_inner);
        *free -= bytes;
        Permit { inner: Arc::clone(&self.0), bytes }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        *self.inner.free.lock().unwrap_or_else(PoisonError::into_inner) += self.bytes;
        self.inner.freed.notify_all();
    }
}
