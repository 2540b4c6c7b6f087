//! What `forget` and `prune` print.

use std::collections::BTreeSet;

use serde::Serialize;

/// What becomes of one snapshot.
#[derive(Debug, Serialize)]
pub(crate) struct Retention<'a> {
    pub(crate) id: String,
    pub(crate) short_id: String,
    pub(crate) time: String,
    pub(crate) action: &'static str,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) refs: &'a BTreeSet<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rule: Option<&'a str>,
    pub(crate) reasons: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) gives_back: Option<u64>,
}

/// The result of `forget`.
#[derive(Debug, Serialize)]
pub(crate) struct Forgotten {
    pub(crate) keep: u64,
    pub(crate) remove: u64,
    pub(crate) executed: bool,
    pub(crate) trash_seconds: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) gives_back: Option<u64>,
}

/// What becomes of one pack.
#[derive(Debug, Serialize)]
pub(crate) struct PackFate<'a> {
    pub(crate) id: &'a str,
    pub(crate) size: u64,
    pub(crate) needed: u64,
    pub(crate) goes: bool,
    pub(crate) reason: &'a str,
}

/// The result of `prune`: what was decided, then what was done.
#[derive(Debug, Serialize)]
pub(crate) struct Pruned {
    pub(crate) packs: u64,
    pub(crate) bytes: u64,
    pub(crate) packs_unused: u64,
    pub(crate) packs_unnamed: u64,
    pub(crate) packs_to_repack: u64,
    pub(crate) packs_kept: u64,
    pub(crate) bytes_unused_kept: u64,
    pub(crate) bytes_to_free: u64,
    pub(crate) snapshots: u64,
    pub(crate) snapshots_dropped: u64,
    pub(crate) snapshots_in_trash: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) trash_first_over: Option<String>,
    pub(crate) packs_deleted: u64,
    pub(crate) bytes_deleted: u64,
    pub(crate) packs_repacked: u64,
    pub(crate) bytes_written: u64,
    pub(crate) bytes_read: u64,
    pub(crate) blobs_to_recode: u64,
    pub(crate) chains_bytes_going_estimate: u64,
    pub(crate) chains_bytes_coming_estimate: u64,
    pub(crate) chunks_recoded: u64,
    pub(crate) bytes_recoded: u64,
    pub(crate) packs_rescued: u64,
    pub(crate) segments_written: u64,
    pub(crate) segments_deleted: u64,
    pub(crate) sessions_fenced: u64,
    pub(crate) mark_memory: u64,
    pub(crate) resumed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stopped: Option<&'static str>,
    pub(crate) total_duration: f64,
    pub(crate) dry_run: bool,
}
