//! Values of golden vectors, from JSON.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use store_core::base::ids::{ChunkId, NodeId, NoteId, PackId, ProbeId, RepoId, SegmentId, SnapshotId, WriterId};
use store_core::format::blob::{BlobKind, Frame, Step};
use store_core::format::config::{Config, Identity};
use store_core::format::entry::{Content, Entry, Extent, Kind, Metadata, Timestamp};
use store_core::format::gc::{Done, Final, Plan};
use store_core::format::keyslot::{Kdf, SlotInfo};
use store_core::format::lost::{Loss, Lost};
use store_core::format::node::{EntriesChild, ExtentsChild, Node};
use store_core::format::note::{Note, Statement};
use store_core::format::pack::{BlobEntry, PackContents};
use store_core::format::probe::Probe;
use store_core::format::record::{Extra, Time};
use store_core::format::segment::{PackEntry, Segment};
use store_core::format::session::{Purpose, Session};
use store_core::format::snapshot::{Outcome, Snapshot, Totals};
use store_core::notes::{Fold, Pin, Policy, SEEN, Standing, StoredNote, StoredSnapshot};

use super::{array, hex, list, number, text};

fn small(value: &Value) -> u32 {
    number(value).try_into().unwrap()
}

fn string(value: &Value) -> String {
    text(value).to_owned()
}

fn option<T>(value: &Value, read: impl FnOnce(&Value) -> T) -> Option<T> {
    (!value.is_null()).then(|| read(value))
}

fn all<T>(value: &Value, read: impl FnMut(&Value) -> T) -> Vec<T> {
    list(value).iter().map(read).collect()
}

fn time(value: &Value) -> Time {
    Time { seconds: value[0].as_i64().unwrap(), nanos: small(&value[1]) }
}

fn timestamp(value: &Value) -> Timestamp {
    let Time { seconds, nanos } = time(value);
    Timestamp { seconds, nanos }
}

fn extra(value: &Value) -> Extra {
    value.as_object().unwrap().iter().map(|(key, value)| (key.clone(), hex(value))).collect()
}

fn snapshot_id(value: &Value) -> SnapshotId {
    SnapshotId::from_bytes(array(value))
}

/// What a repaired snapshot lacks.
pub(crate) fn lost(value: &Value) -> Lost {
    let loss = |value: &Value| {
        let path = hex(&value["path"]);
        match number(&value["tag"]) {
            1 => Loss::File {
                path,
                size: number(&value["size"]),
                ranges: all(&value["ranges"], |range| (number(&range[0]), number(&range[1]))),
                more_bytes: number(&value["more"]),
            },
            2 => Loss::Entries { path, entries: number(&value["entries"]) },
            unknown => panic!("a loss of tag {unknown}"),
        }
    };
    Lost { losses: all(&value["losses"], loss), more: number(&value["more"]) }
}

fn extent(value: &Value) -> Extent {
    match option(&value["chunk"], array) {
        Some(id) => Extent::Chunk { id: ChunkId::from_bytes(id), len: small(&value["length"]) },
        None => Extent::Hole { len: number(&value["length"]) },
    }
}

fn entry(value: &Value) -> Entry {
    let root = |value: &Value| NodeId::from_bytes(array(value));
    let kind = match number(&value["tag"]) {
        1 => Kind::File { size: number(&value["size"]), content: Content::Inline(all(&value["extents"], extent)) },
        2 => Kind::File { size: number(&value["size"]), content: Content::List(root(&value["root"])) },
        3 => Kind::Directory { entries: option(&value["root"], root) },
        4 => Kind::Symlink { target: hex(&value["target"]) },
        5 => Kind::Fifo,
        6 => Kind::CharDevice { rdev: number(&value["rdev"]) },
        7 => Kind::BlockDevice { rdev: number(&value["rdev"]) },
        8 => Kind::Socket,
        tag => panic!("tag {tag}"),
    };
    let meta = Metadata {
        mode: small(&value["mode"]),
        uid: small(&value["uid"]),
        gid: small(&value["gid"]),
        mtime: timestamp(&value["mtime"]),
        ctime: timestamp(&value["ctime"]),
        inode: number(&value["inode"]),
        device: number(&value["device"]),
        links: number(&value["links"]),
        xattrs: all(&value["xattrs"], |pair| (hex(&pair[0]), hex(&pair[1]))),
    };
    Entry { name: hex(&value["name"]), kind, meta }
}

pub(crate) fn node(value: &Value) -> Node {
    let (level, items) = (number(&value["level"]) as u8, &value["items"]);
    let id = |child: &Value| NodeId::from_bytes(array(&child["node"]));
    match number(&value["form"]) {
        1 => Node::Entries(all(items, entry)),
        2 => Node::Extents(all(items, extent)),
        3 => {
            let child = |child: &Value| EntriesChild { id: id(child), entries: number(&child["below"]), last: hex(&child["last"]) };
            Node::EntriesInner { level, children: all(items, child) }
        }
        4 => Node::ExtentsInner { level, children: all(items, |child| ExtentsChild { id: id(child), bytes: number(&child["below"]) }) },
        form => panic!("form {form}"),
    }
}

pub(crate) fn frame(value: &Value) -> Frame {
    let step =
        |step: &Value| Step { code: number(&step["code"]) as u8, input_len: small(&step["input"]), parameters: hex(&step["parameters"]) };
    Frame {
        kind: if number(&value["kind"]) == 1 { BlobKind::Data } else { BlobKind::Nodes },
        depth: number(&value["depth"]) as u8,
        sealed_len: small(&value["sealed"]),
        steps: all(&value["steps"], step),
        chunk_lens: all(&value["lengths"], small),
        bases: all(&value["bases"], |id| ChunkId::from_bytes(array(id))),
    }
}

pub(crate) fn contents(value: &Value) -> PackContents {
    let sketch = |sketch: &Value| all(sketch, small).try_into().unwrap();
    let blob = |blob: &Value| BlobEntry {
        frame: frame(&blob["frame"]),
        ids: all(&blob["ids"], |id| ChunkId::from_bytes(array(id))),
        sketches: all(&blob["sketches"], sketch),
    };
    PackContents { padding: small(&value["padding"]), blobs: all(&value["blobs"], blob) }
}

pub(crate) fn segment(value: &Value) -> Segment {
    let pack = |pack: &Value| PackEntry {
        id: PackId::from_bytes(array(&pack["id"])),
        len: number(&pack["length"]),
        contents: contents(&pack["contents"]),
    };
    Segment { supersedes: all(&value["supersedes"], |id| SegmentId::from_bytes(array(id))), packs: all(&value["packs"], pack) }
}

pub(crate) fn identity(value: &Value) -> Identity {
    Identity {
        repo: RepoId::from_bytes(array(&value["repository"])),
        compatible: number(&value["compatible"]),
        read_only: number(&value["read_only"]),
        incompatible: number(&value["incompatible"]),
    }
}

pub(crate) fn config(value: &Value) -> Config {
    Config {
        created: time(&value["created"]),
        chunk_min: small(&value["chunk_min"]),
        chunk_avg: small(&value["chunk_avg"]),
        chunk_max: small(&value["chunk_max"]),
        segment_len: small(&value["segment_len"]),
        blob_len: small(&value["blob_len"]),
        pack_len: small(&value["pack_len"]),
        pad: value["pad"].as_bool().unwrap(),
        extra: extra(&value["extra"]),
    }
}

pub(crate) fn kdf(value: &Value) -> Kdf {
    if value.is_null() {
        return Kdf::KeyFile;
    }
    Kdf::Argon2id {
        memory_kib: small(&value["memory_kib"]),
        passes: small(&value["passes"]),
        lanes: small(&value["lanes"]),
        salt: array(&value["salt"]),
    }
}

pub(crate) fn slot(value: &Value) -> SlotInfo {
    SlotInfo {
        repo: RepoId::from_bytes(array(&value["repository"])),
        created: time(&value["created"]),
        label: string(&value["label"]),
        host: string(&value["host"]),
        kdf: kdf(&value["kdf"]),
    }
}

pub(crate) fn session(value: &Value) -> Session {
    Session {
        writer: WriterId::from_bytes(array(&value["writer"])),
        started: time(&value["started"]),
        host: string(&value["host"]),
        pid: small(&value["pid"]),
        program: string(&value["program"]),
        purpose: [Purpose::Push, Purpose::Repack, Purpose::Repair][number(&value["purpose"]) as usize],
        extra: extra(&value["extra"]),
    }
}

pub(crate) fn snapshot(value: &Value) -> Snapshot {
    let count = |name: &str| number(&value["totals"][name]);
    let totals = Totals {
        files: count("files"),
        directories: count("directories"),
        others: count("others"),
        bytes: count("bytes"),
        new_bytes: count("new_bytes"),
        stored_bytes: count("stored_bytes"),
        unreadable: count("unreadable"),
    };
    Snapshot {
        root: NodeId::from_bytes(array(&value["root"])),
        time: time(&value["time"]),
        zone: value["zone"].as_i64().unwrap() as i32,
        host: string(&value["host"]),
        user: string(&value["user"]),
        writer: WriterId::from_bytes(array(&value["writer"])),
        previous: option(&value["previous"], snapshot_id),
        parent: option(&value["parent"], snapshot_id),
        series: option(&value["series"], string),
        tags: all(&value["tags"], string).into_iter().collect(),
        refs: all(&value["refs"], string).into_iter().collect(),
        description: option(&value["description"], string),
        meta: value["meta"].as_object().unwrap().iter().map(|(key, value)| (key.clone(), string(value))).collect(),
        paths: all(&value["paths"], hex),
        incompatible: number(&value["incompatible"]),
        totals,
        program: string(&value["program"]),
        extra: extra(&value["extra"]),
    }
}

pub(crate) fn abort(value: &Value) -> Outcome {
    Outcome::Abort { time: time(&value["time"]), by: string(&value["by"]), reason: string(&value["reason"]) }
}

pub(crate) fn gc_plan(value: &Value) -> Plan {
    let Done { time, host, program, extra } = done(value);
    let condemned = all(&value["condemned"], |id| PackId::from_bytes(array(id))).into_iter().collect();
    Plan { time, host, program, condemned, dropped: all(&value["dropped"], snapshot_id).into_iter().collect(), extra }
}

pub(crate) fn gc_final(value: &Value) -> Final {
    let Done { time, host, program, extra } = done(value);
    let deleted = all(&value["deleted"], |id| PackId::from_bytes(array(id))).into_iter().collect();
    Final { time, host, program, deleted, dropped: all(&value["dropped"], snapshot_id).into_iter().collect(), extra }
}

pub(crate) fn probe(value: &Value) -> Probe {
    let Done { time, host, program, extra } = done(value);
    let seen = all(&value["seen"], |id| ProbeId::from_bytes(array(id))).into_iter().collect();
    Probe { time, host, program, store: string(&value["store"]), seen, failures: all(&value["failures"], string), extra }
}

pub(crate) fn done(value: &Value) -> Done {
    Done { time: time(&value["time"]), host: string(&value["host"]), program: string(&value["program"]), extra: extra(&value["extra"]) }
}

pub(crate) fn note(value: &Value) -> Note {
    Note {
        author: string(&value["author"]),
        time: time(&value["time"]),
        seen: all(&value["seen"], |id| NoteId::from_bytes(array(id))).into_iter().collect(),
        statements: all(&value["statements"], statement),
    }
}

fn statement(value: &Value) -> Statement {
    let snapshot = || snapshot_id(&value["snapshot"]);
    match text(&value["statement"]) {
        "tags" => Statement::Tags { snapshot: snapshot(), add: all(&value["add"], string), remove: all(&value["remove"], string) },
        "ref" => Statement::Ref { name: string(&value["name"]), snapshot: option(&value["snapshot"], snapshot_id) },
        "pin" => Statement::Pin { snapshot: snapshot(), reason: option(&value["reason"], string) },
        "unpin" => Statement::Unpin { snapshot: snapshot() },
        "meta" => Statement::Meta { snapshot: snapshot(), key: string(&value["key"]), value: option(&value["value"], string) },
        "forget" => Statement::Forget { snapshot: snapshot(), reason: string(&value["reason"]) },
        "unforget" => Statement::Unforget { snapshot: snapshot() },
        "policy" => Statement::Policy { toml: string(&value["toml"]) },
        "describe" => Statement::Describe { snapshot: snapshot(), text: option(&value["text"], string) },
        unknown => panic!("statement {unknown}"),
    }
}

/// The notes and snapshots of a case of `notes.json`; what it does not say of a snapshot is that of `like`.
pub(crate) fn notes(case: &Value, like: &Snapshot) -> (Vec<StoredNote>, Vec<StoredSnapshot>) {
    let snapshot = |value: &Value| {
        let mut snapshot = like.clone();
        snapshot.time = time(&value["time"]);
        snapshot.tags = all(&value["tags"], string).into_iter().collect();
        snapshot.refs = all(&value["refs"], string).into_iter().collect();
        snapshot.description = option(&value["description"], string);
        snapshot.meta = value["meta"].as_object().unwrap().iter().map(|(key, value)| (key.clone(), string(value))).collect();
        snapshot.extra.insert(SEEN.to_owned(), all(&value["seen"], hex).concat());
        StoredSnapshot { id: snapshot_id(&value["id"]), snapshot, standing: Standing::default() }
    };
    let notes = all(&case["notes"], |value| StoredNote { id: NoteId::from_bytes(array(&value["id"])), note: note(value) });
    (notes, all(&case["snapshots"], snapshot))
}

/// A state as `notes.json` has it.
pub(crate) fn state(fold: &Fold, snapshots: &[StoredSnapshot]) -> Value {
    let time = |time: &Time| json!([time.seconds, time.nanos]);
    let texts = |ids: &BTreeSet<NoteId>| ids.iter().map(ToString::to_string).collect::<Vec<_>>();
    let policies: BTreeSet<&str> = match &fold.policy {
        Policy::None => BTreeSet::new(),
        Policy::One(told) => [told.text.as_str()].into(),
        Policy::Several(told) => told.iter().map(|told| told.text.as_str()).collect(),
    };
    let refs: BTreeMap<&String, Vec<Option<String>>> =
        fold.refs.iter().map(|(name, history)| (name, history.iter().map(|to| to.to.map(|id| id.to_string())).collect())).collect();
    let one = |stored: &StoredSnapshot| {
        let (snapshot, standing) = (&stored.snapshot, &stored.standing);
        let left: BTreeMap<&String, Value> = standing.left.iter().map(|(name, at)| (name, time(at))).collect();
        let pin = |pin: &Pin| json!({"reason": pin.reason, "until": pin.until.map(|until| until.seconds)});
        let forgotten =
            standing.forgotten.as_ref().map(|forgotten| json!({"reason": forgotten.reason, "until": forgotten.until.as_ref().map(time)}));
        json!({
            "id": stored.id.to_string(), "tags": snapshot.tags, "meta": snapshot.meta, "description": snapshot.description,
            "pins": standing.pins.iter().map(pin).collect::<Vec<_>>(), "forgotten": forgotten, "refs": snapshot.refs, "left": left,
        })
    };
    json!({
        "heads": texts(&fold.heads), "lost": texts(&fold.lost), "policy": policies, "refs": refs,
        "snapshots": snapshots.iter().map(one).collect::<Vec<_>>(),
    })
}
