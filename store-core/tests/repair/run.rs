//! What the trials share: ways to spoil a pack, and repairs that read all, by a plan or in earnest.

use crate::damaged::Harm;
use store_core::monitor::Silent;
use store_core::ops::repair::{PacksOptions, PacksReport, SnapshotsOptions, SnapshotsReport, packs, snapshots};
use store_core::repo::Repo;

pub(crate) fn repair_packs(repo: &Repo, execute: bool) -> PacksReport {
    packs(repo, &PacksOptions { read_data: true, execute, ..PacksOptions::default() }, &Silent).unwrap()
}

pub(crate) fn repair_snapshots(repo: &Repo, execute: bool) -> SnapshotsReport {
    snapshots(repo, &SnapshotsOptions { read_data: true, execute, ..SnapshotsOptions::default() }, &Silent).unwrap()
}

/// Ways in which a pack may be spoilt: everywhere in it, header and footer too.
pub(crate) fn harms(len: usize, step: usize) -> Vec<Harm> {
    let flips = [5, 30, 60, -1, -6, -12, -40].into_iter().map(Harm::Flip);
    let inside = (88..len as i64).step_by(step).map(Harm::Flip);
    let cuts = [0, 40, 88, 200, len as i64 / 2, -1, -60].into_iter().map(Harm::Cut);
    flips.chain(inside).chain(cuts).chain([Harm::Gone]).collect()
}
