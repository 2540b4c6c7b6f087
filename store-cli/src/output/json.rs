//! What `--json` prints, one object a line: the running counts and the result on standard output, warnings and the error that ends the
//! program on standard error. Names are restic's where it has the thing. Fields are only ever added.

mod decision;
mod prune;
mod repair;
mod ways;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

pub(crate) use decision::Decision;
pub(crate) use prune::{Forgotten, PackFate, Pruned, Retention};
pub(crate) use repair::{BrokenSnapshot, DamagedPack, Lost, PacksRepaired, Repaired, SnapshotsRepaired};
pub(crate) use ways::BaseWays;

/// One line.
#[derive(Debug, Serialize)]
#[serde(tag = "message_type", rename_all = "snake_case")]
pub(crate) enum Message<'a> {
    Status(Status),
    Warning {
        item: &'a str,
        message: &'a str,
    },
    Notice {
        item: &'a str,
        message: &'a str,
        hint: &'a str,
        kind: &'a str,
        files: u64,
        bytes: u64,
    },
    Decision(Decision<'a>),
    ExitError {
        code: u8,
        message: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        hint: Option<&'a str>,
    },
    Requests {
        repository: &'a str,
        requests: Vec<Request>,
    },
    Probed {
        rounds: usize,
        writers: usize,
        failures: &'a [String],
        recorded: bool,
        total_duration: f64,
    },
    Initialized {
        id: String,
        repository: &'a str,
        key: String,
    },
    Snapshot(Box<Snapshot<'a>>),
    Node(Node<'a>),
    Tensor {
        name: &'a str,
        dtype: String,
        shape: &'a [u64],
        offset: u64,
        size: u64,
    },
    Change(Change<'a>),
    TensorChange(TensorChange<'a>),
    Finding(Finding<'a>),
    Note(Finding<'a>),
    Key {
        id: String,
        label: &'a str,
        #[serde(rename = "hostName")]
        host: &'a str,
        created: String,
        kind: &'static str,
        current: bool,
    },
    KeyAdded {
        id: String,
    },
    KeyRemoved {
        id: String,
    },
    Ref(RefMove<'a>),
    Retention(Retention<'a>),
    Tagged {
        changed: Vec<String>,
        unchanged: u64,
        unrefs: &'a [String],
        dry_run: bool,
    },
    Undone {
        restored: Vec<String>,
        gone: Vec<String>,
        dry_run: bool,
    },
    Policy {
        toml: &'a str,
        time: String,
        author: &'a str,
    },
    PolicySet {
        rules: u64,
    },
    LostNote {
        note: &'a str,
        given_up: bool,
    },
    DamagedPack(DamagedPack<'a>),
    BrokenSnapshot(BrokenSnapshot<'a>),
    #[serde(rename = "summary")]
    PacksRepaired(PacksRepaired),
    #[serde(rename = "summary")]
    SnapshotsRepaired(SnapshotsRepaired),
    #[serde(rename = "summary")]
    Pushed(Box<Pushed>),
    #[serde(rename = "copied")]
    CopyOf(Box<CopyOf>),
    #[serde(rename = "summary")]
    Copied(Copied),
    #[serde(rename = "summary")]
    Restored(Restored),
    #[serde(rename = "summary")]
    Compared(Compared),
    #[serde(rename = "summary")]
    Checked(Checked),
    #[serde(rename = "summary")]
    Counted(Counted),
    #[serde(rename = "summary")]
    Repaired(Repaired),
    #[serde(rename = "pack")]
    Pack(PackFate<'a>),
    #[serde(rename = "summary")]
    Pruned(Box<Pruned>),
    #[serde(rename = "summary")]
    Forgotten(Forgotten),
    #[serde(rename = "summary")]
    Measured(Box<super::measured::Measured>),
}

/// How often a bucket was asked something.
#[derive(Debug, Serialize)]
pub(crate) struct Request {
    pub(crate) kind: &'static str,
    pub(crate) asked: &'static str,
    pub(crate) count: u64,
}

/// Running counts.
#[derive(Debug, Serialize)]
pub(crate) struct Status {
    pub(crate) seconds_elapsed: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) seconds_remaining: Option<u64>,
    pub(crate) percent_done: f64,
    pub(crate) total_files: u64,
    pub(crate) files_done: u64,
    pub(crate) total_bytes: u64,
    pub(crate) bytes_done: u64,
    pub(crate) data_added: u64,
    pub(crate) data_added_packed: u64,
    pub(crate) error_count: u64,
}

/// One snapshot of `list`.
#[derive(Debug, Serialize)]
pub(crate) struct Snapshot<'a> {
    pub(crate) id: String,
    pub(crate) short_id: String,
    pub(crate) time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) parent: Option<String>,
    pub(crate) tree: String,
    pub(crate) paths: Vec<String>,
    pub(crate) hostname: &'a str,
    pub(crate) username: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) series: Option<&'a str>,
    pub(crate) tags: &'a BTreeSet<String>,
    pub(crate) refs: &'a BTreeSet<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<&'a str>,
    pub(crate) meta: &'a BTreeMap<String, String>,
    pub(crate) program_version: &'a str,
    pub(crate) summary: SnapshotSummary,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) pins: Vec<Pin<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) forgotten: Option<Trash<'a>>,
}

/// Why a snapshot stays whatever a policy says.
#[derive(Debug, Serialize)]
pub(crate) struct Pin<'a> {
    pub(crate) author: &'a str,
    pub(crate) time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) until: Option<String>,
}

/// That a snapshot is forgotten.
#[derive(Debug, Serialize)]
pub(crate) struct Trash<'a> {
    pub(crate) author: &'a str,
    pub(crate) time: String,
    pub(crate) reason: &'a str,
    /// None: a prune may drop it at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) until: Option<String>,
}

/// A move of a ref.
#[derive(Debug, Serialize)]
pub(crate) struct RefMove<'a> {
    pub(crate) name: &'a str,
    /// 0 is where it points now.
    pub(crate) back: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) snapshot_id: Option<String>,
    pub(crate) time: String,
    pub(crate) author: &'a str,
}

/// What was counted when a snapshot was made.
#[derive(Debug, Serialize)]
pub(crate) struct SnapshotSummary {
    pub(crate) total_files_processed: u64,
    pub(crate) total_bytes_processed: u64,
    pub(crate) dirs: u64,
    pub(crate) others: u64,
    pub(crate) data_added: u64,
    pub(crate) data_added_packed: u64,
    pub(crate) unreadable: u64,
}

/// One entry of `ls`.
#[derive(Debug, Serialize)]
pub(crate) struct Node<'a> {
    pub(crate) name: &'a str,
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    pub(crate) path: &'a str,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) size: Option<u64>,
    pub(crate) mode: u32,
    pub(crate) permissions: String,
    pub(crate) mtime: String,
    pub(crate) ctime: String,
    pub(crate) inode: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) linktarget: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sha256: Option<String>,
}

/// One difference.
#[derive(Debug, Serialize)]
pub(crate) struct Change<'a> {
    pub(crate) path: &'a str,
    pub(crate) modifier: char,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) old_size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) new_size: Option<u64>,
}

/// One tensor that differs.
#[derive(Debug, Serialize)]
pub(crate) struct TensorChange<'a> {
    pub(crate) file: &'a str,
    pub(crate) name: &'a str,
    pub(crate) modifier: char,
    pub(crate) dtype: String,
    pub(crate) shape: &'a [u64],
    pub(crate) elements: u64,
    pub(crate) changed_elements: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_abs_diff: Option<f64>,
}

/// One defect.
#[derive(Debug, Serialize)]
pub(crate) struct Finding<'a> {
    pub(crate) object: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) range: Option<[u64; 2]>,
    pub(crate) message: &'a str,
    pub(crate) hits: Vec<Hit<'a>>,
    pub(crate) more_hits: u64,
}

/// A file of a snapshot that a defect hits.
#[derive(Debug, Serialize)]
pub(crate) struct Hit<'a> {
    pub(crate) snapshot_id: String,
    pub(crate) path: &'a str,
}

/// The result of `push`.
#[derive(Debug, Serialize)]
pub(crate) struct Pushed {
    pub(crate) files_new: u64,
    pub(crate) files_changed: u64,
    pub(crate) files_unmodified: u64,
    pub(crate) dirs: u64,
    pub(crate) others: u64,
    pub(crate) data_added: u64,
    pub(crate) data_added_packed: u64,
    pub(crate) chunks_new: u64,
    pub(crate) chunks_known: u64,
    pub(crate) total_files_processed: u64,
    pub(crate) total_bytes_processed: u64,
    pub(crate) bytes_read: u64,
    pub(crate) unreadable: u64,
    pub(crate) total_duration: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) snapshot_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) parent: Option<String>,
    pub(crate) skipped: bool,
    pub(crate) dry_run: bool,
}

/// What `copy` did with one snapshot.
#[derive(Debug, Serialize)]
pub(crate) struct CopyOf {
    pub(crate) source_snapshot_id: String,
    /// `copied`, `present` or `failed`.
    pub(crate) action: &'static str,
    /// The copy, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) copy_id: Option<String>,
    /// What its push did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) push: Option<Pushed>,
}

/// The result of `copy`.
#[derive(Debug, Serialize)]
pub(crate) struct Copied {
    pub(crate) snapshots_copied: u64,
    pub(crate) snapshots_present: u64,
    pub(crate) snapshots_failed: u64,
    pub(crate) total_files_processed: u64,
    pub(crate) total_bytes_processed: u64,
    pub(crate) bytes_read: u64,
    pub(crate) data_added: u64,
    pub(crate) data_added_packed: u64,
    pub(crate) total_duration: f64,
    pub(crate) dry_run: bool,
}

/// The result of `restore`.
#[derive(Debug, Serialize)]
pub(crate) struct Restored {
    pub(crate) snapshot_id: String,
    pub(crate) total_files: u64,
    pub(crate) dirs: u64,
    pub(crate) others: u64,
    pub(crate) total_bytes: u64,
    pub(crate) bytes_from_second: u64,
    pub(crate) bytes_restored: u64,
    pub(crate) bytes_skipped: u64,
    pub(crate) files_skipped: u64,
    pub(crate) files_deleted: u64,
    pub(crate) files_failed: u64,
    pub(crate) files_lost: u64,
    pub(crate) blobs_read: u64,
    pub(crate) blobs_decoded: u64,
    pub(crate) bytes_read: u64,
    pub(crate) total_duration: f64,
    pub(crate) dry_run: bool,
}

/// The result of `diff`.
#[derive(Debug, Serialize)]
pub(crate) struct Compared {
    pub(crate) added_files: u64,
    pub(crate) removed_files: u64,
    pub(crate) changed_files: u64,
    pub(crate) added_bytes: u64,
    pub(crate) removed_bytes: u64,
}

/// The result of `check`.
#[derive(Debug, Serialize)]
pub(crate) struct Checked {
    pub(crate) num_errors: u64,
    pub(crate) num_notes: u64,
    pub(crate) snapshots: u64,
    pub(crate) packs: u64,
    pub(crate) packs_unlisted: u64,
    pub(crate) blobs: u64,
    pub(crate) chunks: u64,
    pub(crate) nodes: u64,
    pub(crate) bytes_read: u64,
}

/// The result of `stats`.
#[derive(Debug, Serialize)]
pub(crate) struct Counted {
    pub(crate) snapshots_count: u64,
    pub(crate) total_uncompressed_size: u64,
    pub(crate) unique_size: u64,
    pub(crate) total_size: u64,
    pub(crate) repository_size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) compression_ratio: Option<f64>,
    pub(crate) by_codec: Vec<Share>,
    pub(crate) by_depth: Vec<Share>,
    pub(crate) by_kind: Vec<Share>,
    pub(crate) snapshots: Vec<Own>,
}

/// What one codec, or one kind of data, takes.
#[derive(Debug, Serialize)]
pub(crate) struct Share {
    pub(crate) name: String,
    pub(crate) blobs: u64,
    pub(crate) plain: u64,
    pub(crate) stored: u64,
}

/// What one snapshot holds, and what it alone holds.
#[derive(Debug, Serialize)]
pub(crate) struct Own {
    pub(crate) id: String,
    pub(crate) size: u64,
    pub(crate) data_added: u64,
    pub(crate) exclusive_size: u64,
    pub(crate) exclusive_stored: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_first_what_it_is() {
        let text = serde_json::to_string(&Message::ExitError { code: 12, message: "no key slot opens", hint: None }).unwrap();
        assert_eq!(text, r#"{"message_type":"exit_error","code":12,"message":"no key slot opens"}"#);
        let summary = Message::Compared(Compared { added_files: 1, removed_files: 0, changed_files: 0, added_bytes: 5, removed_bytes: 0 });
        assert!(serde_json::to_string(&summary).unwrap().starts_with(r#"{"message_type":"summary","added_files":1,"#));
    }
}
