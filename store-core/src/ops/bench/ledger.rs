//! What is written down while versions are pushed.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::estimate::{Estimate, Seen};
use crate::blob;
use crate::monitor::{BaseWays, Decision, Monitor, Notice, Progress, Warning};
use crate::repo::Taken;

/// What one codec was given and what it made of it, in one version.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Use {
    pub(super) blobs: u64,
    pub(super) plain: u64,
    pub(super) stored: u64,
    pub(super) coding: Duration,
}

/// Blobs of one kind of data.
#[derive(Debug, Clone, Default)]
struct OfKind {
    seen: Seen,
    /// For each unit that was drawn of tensors its new bytes and what they became.
    units: BTreeMap<u64, (u64, u64)>,
    left_out: u64,
}

/// All decisions of one version.
#[derive(Debug, Clone, Default)]
pub(super) struct Page {
    kinds: BTreeMap<&'static str, OfKind>,
    pub(super) uses: BTreeMap<(&'static str, &'static str), Use>,
    pub(super) ways: BaseWays,
    /// Sealed bytes of blobs of data, those that were left out included.
    pub(super) sealed: u64,
}

/// Listens to pushes, and passes on what is for the user.
pub(super) struct Ledger<'m> {
    monitor: &'m dyn Monitor,
    page: Mutex<Page>,
    /// Bytes done before this version, bytes there are.
    done: Mutex<(u64, u64)>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<'m> Ledger<'m> {
    pub(super) fn new(monitor: &'m dyn Monitor, total: u64) -> Self {
        Self { monitor, page: Mutex::default(), done: Mutex::new((0, total)) }
    }

    /// Ends the page of this version, which had `bytes`.
    pub(super) fn turn(&self, bytes: u64) -> Page {
        lock(&self.done).0 += bytes;
        std::mem::take(&mut *lock(&self.page))
    }

    /// Tells of bytes that were worked through besides.
    pub(super) fn advance(&self, bytes: u64) {
        let (done, total) = {
            let mut done = lock(&self.done);
            done.0 += bytes;
            *done
        };
        self.monitor.progress(&Progress { bytes_done: done, bytes_total: total, ..Progress::default() });
    }
}

impl Page {
    /// What data takes in the repository and how much of it is new, by kind, where `tensors` says what there was of each kind, and of which
    /// `share` was drawn.
    pub(super) fn settle(&self, tensors: &BTreeMap<&'static str, Taken>, share: f64) -> BTreeMap<&'static str, (Estimate, Estimate)> {
        let mut found = BTreeMap::new();
        for (what, kind) in self.kinds.iter().filter(|(what, _)| !tensors.contains_key(*what)) {
            let plain = kind.seen.plain() + kind.left_out as f64;
            found.insert(*what, (kind.seen.whole(plain), Estimate::exact(plain)));
        }
        for (what, taken) in tensors {
            let (mut stored, mut new) = (Seen::default(), Seen::default());
            let units = self.kinds.get(what).map(|kind| &kind.units);
            for (unit, len) in &taken.units {
                // What was held already is part of the sample, and costs nothing.
                let (of_new, became) = units.and_then(|units| units.get(unit)).copied().unwrap_or_default();
                stored.add(*unit, share, *len as f64, became as f64);
                new.add(*unit, share, *len as f64, of_new as f64);
            }
            found.insert(what, (stored.whole(taken.all as f64), new.whole(taken.all as f64)));
        }
        found
    }
}

impl Monitor for Ledger<'_> {
    fn progress(&self, progress: &Progress) {
        let (before, total) = *lock(&self.done);
        let bytes_done = before + progress.bytes_done;
        self.monitor.progress(&Progress { bytes_done, bytes_total: total.max(bytes_done), ..*progress });
    }

    fn warning(&self, warning: &Warning) {
        self.monitor.warning(warning);
    }

    fn notice(&self, notice: &Notice) {
        // The first version says it all.
        if lock(&self.done).0 == 0 {
            self.monitor.notice(notice);
        }
    }

    fn wants_decisions(&self) -> bool {
        true
    }

    fn decision(&self, decision: &Decision) {
        if self.monitor.wants_decisions() {
            self.monitor.decision(decision);
        }
        if decision.what == "nodes" {
            return;
        }
        let page = &mut *lock(&self.page);
        page.ways += decision.bases;
        let kind = page.kinds.entry(decision.what).or_default();
        let Some(codec) = decision.codec else {
            kind.left_out += decision.plain;
            page.sealed += blob::LEFT_OUT_LEN as u64;
            return;
        };
        kind.seen.add(decision.unit, decision.share, decision.plain as f64, decision.stored as f64);
        let unit = kind.units.entry(decision.unit).or_default();
        *unit = (unit.0 + decision.plain, unit.1 + decision.stored);
        page.sealed += decision.stored;
        let used = page.uses.entry((decision.what, codec)).or_default();
        used.blobs += 1;
        used.plain += decision.plain;
        used.stored += decision.stored;
        used.coding += decision.coding;
    }

    fn detail(&self, message: &dyn std::fmt::Display) {
        self.monitor.detail(message);
    }

    fn interrupted(&self) -> bool {
        self.monitor.interrupted()
    }
}
