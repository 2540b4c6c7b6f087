//! What is written down while versions are pushed.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::estimate::{Estimate, Units};
use crate::blob;
use crate::monitor::{BaseWays, Decision, Monitor, Notice, Progress, Warning};
use crate::repo::Taken;

/// What one codec was given and what it made of it, in one version.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Use {
    pub(super) units: Units,
    pub(super) blobs: u64,
    pub(super) plain: u64,
    pub(super) stored: u64,
    pub(super) coding: Duration,
}

/// Blobs of one kind of data that were sampled at one share.
#[derive(Debug, Clone, Copy, Default)]
struct Stratum {
    units: Units,
    left_out: u64,
}

/// All decisions of one version.
#[derive(Debug, Clone, Default)]
pub(super) struct Page {
    /// By kind of data and how often halved the share was.
    strata: BTreeMap<(&'static str, u64), Stratum>,
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
    /// What data takes in the repository and how much of it is new, by kind, where `tensors` says how much of each kind there was.
    pub(super) fn settle(&self, tensors: &BTreeMap<&'static str, Taken>, unit: f64) -> BTreeMap<&'static str, (Estimate, Estimate)> {
        let mut found = BTreeMap::<_, (Estimate, Estimate)>::new();
        let mut of_kind = BTreeMap::<&'static str, Units>::new();
        for ((what, _), stratum) in &self.strata {
            let units = of_kind.entry(what).or_default();
            *units = units.and(&stratum.units);
        }
        let mut of_tensors = BTreeMap::<&'static str, Units>::new();
        for ((what, _), stratum) in &self.strata {
            if tensors.contains_key(what) {
                of_tensors.insert(what, stratum.units);
                continue;
            }
            let plain = stratum.units.plain() + stratum.left_out as f64;
            let entry = found.entry(*what).or_default();
            // The last share may have begun so late that nothing was taken at it: then it is as those before.
            entry.0 = entry.0
                + if stratum.left_out == 0 || stratum.units.suffice() {
                    stratum.units.scaled_to(plain)
                } else {
                    Estimate::exact(stratum.units.coded()) + of_kind[what].extended_to(stratum.left_out as f64)
                };
            entry.1 = entry.1 + Estimate::exact(plain);
        }
        for (what, taken) in tensors {
            let (all, taken) = (taken.all as f64, taken.taken as f64);
            let coded = of_tensors.remove(what).unwrap_or_default();
            let known = (taken - coded.plain()).max(0.0);
            // Segments that were held already are part of the sample, and cost nothing.
            let (mut units, mut new) = (coded, coded.as_new());
            units.add_many(known / unit, unit, 0.0);
            new.add_many(known / unit, unit, 0.0);
            found.insert(what, (units.scaled_to(all), new.scaled_to(all)));
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
        let ways = &decision.bases;
        page.ways.parent += ways.parent;
        page.ways.votes += ways.votes;
        page.ways.locality += ways.locality;
        page.ways.none += ways.none;
        let stratum = page.strata.entry((decision.what, (1.0 / decision.share) as u64)).or_default();
        let Some(codec) = decision.codec else {
            stratum.left_out += decision.plain;
            page.sealed += blob::LEFT_OUT_LEN as u64;
            return;
        };
        stratum.units.add(decision.plain as f64, decision.stored as f64);
        page.sealed += decision.stored;
        let used = page.uses.entry((decision.what, codec)).or_default();
        used.units.add(decision.plain as f64, decision.stored as f64);
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
