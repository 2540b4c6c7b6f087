//! What repairs print.

use serde::Serialize;

/// The result of `repair index`.
#[derive(Debug, Serialize)]
pub(crate) struct Repaired {
    pub(crate) packs: u64,
    pub(crate) packs_added: u64,
    pub(crate) chunks_added: u64,
    pub(crate) segments_written: u64,
    pub(crate) segments_damaged: u64,
    pub(crate) packs_unreadable: u64,
    pub(crate) chunks_sketched: u64,
    pub(crate) read_bytes: u64,
    pub(crate) dry_run: bool,
}

/// What was found of a damaged pack, and what becomes of it.
#[derive(Debug, Serialize)]
pub(crate) struct DamagedPack<'a> {
    pub(crate) id: &'a str,
    pub(crate) size: u64,
    pub(crate) goes: bool,
    pub(crate) reason: &'a str,
    pub(crate) blobs_copied: u64,
    pub(crate) blobs_held: u64,
    pub(crate) blobs_waiting: u64,
    pub(crate) blobs_elsewhere: u64,
    pub(crate) blobs_lost: u64,
    pub(crate) bytes_lost: u64,
    pub(crate) blobs_withheld: u64,
}

/// A snapshot of which something is lost.
#[derive(Debug, Serialize)]
pub(crate) struct BrokenSnapshot<'a> {
    pub(crate) snapshot_id: String,
    pub(crate) fate: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) repaired_id: Option<String>,
    pub(crate) lost: Vec<Lost>,
    pub(crate) more_lost: u64,
}

/// Something that is lost of a snapshot: a file with byte ranges, as starts and lengths, or entries of a directory.
#[derive(Debug, Serialize)]
pub(crate) struct Lost {
    pub(crate) path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) size: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) ranges: Vec<(u64, u64)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) entries: Option<u64>,
}

/// What `repair packs` did, or would.
#[derive(Debug, Serialize)]
pub(crate) struct PacksRepaired {
    pub(crate) packs: u64,
    pub(crate) packs_removed: u64,
    pub(crate) blobs_copied: u64,
    pub(crate) blobs_lost: u64,
    /// What came from the second repository, or would.
    pub(crate) chunks_healed: u64,
    pub(crate) nodes_healed: u64,
    pub(crate) bytes_healed: u64,
    /// What was found damaged; with a second repository, of what is there once it is done.
    pub(crate) findings_left: u64,
    pub(crate) bytes_written: u64,
    pub(crate) dry_run: bool,
}

/// What `repair snapshots` did, or would.
#[derive(Debug, Serialize)]
pub(crate) struct SnapshotsRepaired {
    pub(crate) snapshots_whole: u64,
    pub(crate) snapshots_broken: u64,
    pub(crate) snapshots_repaired: u64,
    /// Those whose records cannot be read, once they are given up.
    pub(crate) snapshots_given_up: u64,
    pub(crate) dry_run: bool,
}
