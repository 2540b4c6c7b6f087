//! A look ahead at what a tree holds, beside the push that reads it, so that who waits knows how much is left.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::format::snapshot::Totals;
use crate::source::{Event, Walk, What};

/// What was found so far. It is a guess: files come and go while both walk.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    files: AtomicU64,
    bytes: AtomicU64,
    is_whole: AtomicBool,
    is_over: AtomicBool,
}

impl Ahead {
    /// Counts what `walk` meets, until it ends or nobody asks any more.
    pub(super) fn look(&self, walk: Walk) {
        for event in walk {
            if self.is_over.load(Ordering::Relaxed) {
                return;
            }
            if let Event::Entry(found) = event
                && let What::File { size, .. } = found.what
            {
                self.files.fetch_add(1, Ordering::Relaxed);
                self.bytes.fetch_add(size, Ordering::Relaxed);
            }
        }
        self.is_whole.store(true, Ordering::Relaxed);
    }

    /// Nobody asks any more.
    pub(super) fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    /// Files and bytes that there are, as far as is known: `guess` counts until all was seen.
    pub(super) fn totals(&self, guess: &Totals) -> (u64, u64) {
        let whole = self.is_whole.load(Ordering::Relaxed);
        let (files, bytes) = (self.files.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed));
        if whole { (files, bytes) } else { (files.max(guess.files), bytes.max(guess.bytes)) }
    }
}
