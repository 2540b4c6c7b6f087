//! The golden vectors of `spec/vectors`, which another program made from `spec/FORMAT.md`: what is good encodes to the same bytes and
//! back, and what is spoilt is refused. Vectors are only ever added, so every version of the program reads what the first one wrote.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod golden;

use golden::value::{
    abort, config, contents, done, frame, gc_final, gc_plan, identity, lost, node, note, probe, segment, session, slot, snapshot,
};
use golden::{array, hex, keys, list, load, number, object_id, read_blobs, text};
use serde_json::Value;
use store_core::base::ids::{ChunkId, NodeId, NoteId};
use store_core::base::wire::{self, Reader, put_varint};
use store_core::crypto::{ObjectKey, RepoKeys, Secret, kek_from_key_file, kek_from_passphrase, parse_key_file};
use store_core::format::blob::Frame;
use store_core::format::config::{Config, Identity};
use store_core::format::envelope::{ObjectKind, Place, seal_object};
use store_core::format::gc::{Done, Final, Plan};
use store_core::format::keyslot::{Kdf, SlotInfo};
use store_core::format::lost::Lost;
use store_core::format::node::Node;
use store_core::format::note::Note;
use store_core::format::pack::{PackContents, read_contents};
use store_core::format::probe::Probe;
use store_core::format::segment::Segment;
use store_core::format::session::Session;
use store_core::format::snapshot::Outcome;
use store_core::notes::fold;

#[test]
fn keys_and_names_are_derived_as_written() {
    let crypto = load("crypto");
    let keys = keys(&crypto);
    for case in list(&crypto["object_keys"]) {
        let root = Secret::take(&mut array(&case["root"]));
        let key = ObjectKey::derive(&root, number(&case["kind"]) as u8, &keys.repo(), number(&case["epoch"]) as u32, &array(&case["salt"]));
        assert_eq!(key.commitment(), array(&case["commitment"]));
        for part in list(&case["parts"]) {
            let mut bytes = hex(&part["plain"]);
            key.seal(number(&part["ordinal"]) as u32, &hex(&part["bound"]), &mut bytes);
            assert_eq!(bytes, hex(&part["sealed"]));
            key.open(number(&part["ordinal"]) as u32, &hex(&part["bound"]), &mut bytes).unwrap();
            assert_eq!(bytes, hex(&part["plain"]));
        }
    }
    for case in list(&crypto["ids"]) {
        let bytes = hex(&case["bytes"]);
        assert_eq!(keys.chunk_id(&bytes), ChunkId::from_bytes(array(&case["chunk"])));
        assert_eq!(keys.node_id(&bytes), NodeId::from_bytes(array(&case["node"])));
    }
    let gear: Vec<u8> = keys.gear().iter().flat_map(|word| word.to_le_bytes()).collect();
    assert_eq!(keys.gear()[..8], list(&crypto["gear_head"]).iter().map(number).collect::<Vec<_>>());
    assert_eq!(keys.gear().last().copied(), Some(number(&crypto["gear_last"])));
    assert_eq!(*blake3::hash(&gear).as_bytes(), array(&crypto["gear_hash"]));
    assert_eq!(keys.sketch(), list(&crypto["sketch"]).iter().map(number).collect::<Vec<_>>());
    for case in list(&crypto["boundaries"]) {
        assert_eq!(u64::from(keys.name_boundary(&hex(&case["name"]))), number(&case["value"]));
    }
}

#[test]
fn passphrases_and_key_files_give_the_keys_written() {
    let crypto = load("crypto");
    let kdf = golden::value::kdf(&crypto["argon2id"]);
    let key = kek_from_passphrase(&kdf, text(&crypto["argon2id"]["passphrase"]).as_bytes()).unwrap();
    assert_eq!(*key.expose(), array(&crypto["argon2id"]["key"]));
    let file = &crypto["key_file"];
    let secret = parse_key_file(text(&file["text"]).as_bytes()).unwrap();
    assert_eq!(*secret.expose(), array(&file["secret"]));
    assert_eq!(*kek_from_key_file(&Kdf::KeyFile, &secret).unwrap().expose(), array(&file["key"]));
}

#[test]
fn fields_have_the_bytes_written() {
    let fields = load("fields");
    for case in list(&fields["varints"]) {
        let (value, bytes, mut out) = (number(&case["value"]), hex(&case["bytes"]), Vec::new());
        put_varint(&mut out, value);
        assert_eq!(out, bytes);
        assert_eq!(Reader::new(&bytes).varint(), Ok(value));
    }
    for case in list(&fields["nodes"]) {
        let (value, bytes) = (node(&case["value"]), hex(&case["bytes"]));
        assert_eq!(value.encode(), bytes);
        assert_eq!(Node::decode(&bytes), Ok(value));
    }
    for case in list(&fields["frames"]) {
        let (value, bytes, mut out) = (frame(&case["value"]), hex(&case["bytes"]), Vec::new());
        value.encode(&mut out);
        assert_eq!(out, bytes);
        assert_eq!(Frame::decode(&mut Reader::new(&bytes)), Ok(value));
    }
    for case in list(&fields["contents"]) {
        let (value, bytes, mut out) = (contents(&case["value"]), hex(&case["bytes"]), Vec::new());
        value.encode(&mut out, true);
        assert_eq!(out, bytes);
        assert_eq!(PackContents::decode(&mut Reader::new(&bytes)), Ok(value));
    }
    for case in list(&fields["lost"]) {
        let (value, bytes) = (lost(&case["value"]), hex(&case["bytes"]));
        assert_eq!(value.encode(), bytes);
        assert_eq!(Lost::decode(&bytes), Ok(value));
    }
}

#[test]
fn a_config_and_key_slots_are_sealed_as_written() {
    let (crypto, objects) = (load("crypto"), load("objects"));
    let keys = keys(&crypto);
    let case = &objects["config"];
    let (who, what, object) = (identity(&case["value"]["identity"]), config(&case["value"]["config"]), hex(&case["object"]));
    assert_eq!(what.seal(&who, &keys, array(&case["salt"])), object);
    assert_eq!(Identity::decode(&object).unwrap(), who);
    assert_eq!(Config::open(&object, &keys).unwrap(), what);
    for case in list(&objects["slots"]) {
        let (info, object, path) = (slot(&case["value"]), hex(&case["object"]), text(&case["path"]));
        let kek = match info.kdf {
            Kdf::KeyFile => array(&crypto["key_file"]["key"]),
            Kdf::Argon2id { .. } => array(&crypto["argon2id"]["key"]),
        };
        let kek = Secret::take(&mut { kek });
        assert_eq!(info.seal(keys.master(), &kek, array(&case["salt"]), path), object);
        assert_eq!(SlotInfo::decode(&object).unwrap(), info);
        assert_eq!(info.open(&object, &kek, path).unwrap().expose(), keys.master().expose());
    }
}

#[test]
fn sessions_snapshots_notes_and_prune_records_are_sealed_as_written() {
    let (crypto, objects) = (load("crypto"), load("objects"));
    let keys = keys(&crypto);
    let check = |name: &str, kind: ObjectKind, record: Vec<u8>| {
        let case = &objects[name];
        let (salt, path) = (array(&case["salt"]), text(&case["path"]));
        assert_eq!(record, hex(&case["plain"]), "{name}");
        let key = keys.object(kind as u8, 0, &salt);
        assert_eq!(seal_object(kind, salt, &key, &[], Place::Path(path), record), hex(&case["object"]), "{name}");
        golden::open_object(&keys, path, &hex(&case["object"])).unwrap();
    };
    check("session", ObjectKind::Session, wire::encode(&session(&objects["session"]["value"])));
    check("commit", ObjectKind::Outcome, wire::encode(&Outcome::Commit(snapshot(&objects["commit"]["value"]))));
    check("abort", ObjectKind::Outcome, wire::encode(&abort(&objects["abort"]["value"])));
    check("note", ObjectKind::Note, wire::encode(&note(&objects["note"]["value"])));
    check("plan", ObjectKind::Gc, wire::encode(&gc_plan(&objects["plan"]["value"])));
    check("final", ObjectKind::Gc, wire::encode(&gc_final(&objects["final"]["value"])));
    check("probe", ObjectKind::Probe, wire::encode(&probe(&objects["probe"]["value"])));
    check("done", ObjectKind::Gc, wire::encode(&done(&objects["done"]["value"])));
}

#[test]
fn notes_fold_to_the_states_written() {
    let commit = &load("objects")["commit"]["value"];
    for case in list(&load("notes")) {
        let (notes, mut snapshots) = golden::value::notes(case, &snapshot(commit));
        let unread = list(&case["unread"]).iter().map(|id| NoteId::from_bytes(array(id))).collect();
        let fold = fold(&notes, &unread, &mut snapshots);
        assert_eq!(golden::value::state(&fold, &snapshots), case["state"], "{}", case["what"]);
    }
}

#[test]
fn packs_and_index_segments_hold_what_is_written() {
    let (crypto, objects) = (load("crypto"), load("objects"));
    let keys = keys(&crypto);
    let case = &objects["pack"];
    let pack = hex(&case["object"]);
    let found = read_contents(&keys, &pack).unwrap();
    assert_eq!(found, contents(&case["value"]));
    let blobs = read_blobs(&keys, &pack).unwrap();
    assert_eq!(blobs, list(&case["chunks"]).iter().map(|chunks| list(chunks).iter().flat_map(hex).collect()).collect::<Vec<Vec<u8>>>());
    for case in list(&objects["segments"]) {
        let opened = Segment::open(&hex(&case["object"]), &object_id(text(&case["path"])).parse().unwrap(), &keys).unwrap();
        assert_eq!(opened, segment(&case["value"]));
    }
}

#[test]
fn what_is_spoilt_is_refused() {
    let keys = keys(&load("crypto"));
    let cases = load("reject");
    assert!(list(&cases).len() >= 287);
    let taken: Vec<_> =
        list(&cases).iter().filter(|case| accepts(&keys, case)).map(|case| (text(&case["what"]), text(&case["why"]))).collect();
    assert!(taken.is_empty(), "not refused: {taken:#?}");
}

/// Whether the library takes the bytes of a case of `reject.json`.
fn accepts(keys: &RepoKeys, case: &Value) -> bool {
    let bytes = hex(&case["bytes"]);
    let mut reader = Reader::new(&bytes);
    match text(&case["what"]) {
        "varint" => reader.varint().is_ok() && reader.finish().is_ok(),
        "node" => Node::decode(&bytes).is_ok(),
        "frame" => Frame::decode(&mut reader).is_ok() && reader.finish().is_ok(),
        "contents" => PackContents::decode(&mut reader).is_ok() && reader.finish().is_ok(),
        "lost" => Lost::decode(&bytes).is_ok(),
        "identity" => wire::decode::<Identity>(&bytes).is_ok(),
        "config" => wire::decode::<Config>(&bytes).is_ok(),
        "slot" => wire::decode::<SlotInfo>(&bytes).is_ok(),
        "session" => wire::decode::<Session>(&bytes).is_ok(),
        "outcome" => wire::decode::<Outcome>(&bytes).is_ok(),
        "note" => wire::decode::<Note>(&bytes).is_ok(),
        "plan" => wire::decode::<Plan>(&bytes).is_ok(),
        "final" => wire::decode::<Final>(&bytes).is_ok(),
        "probe" => wire::decode::<Probe>(&bytes).is_ok(),
        "done" => wire::decode::<Done>(&bytes).is_ok(),
        "cost" => kek_from_passphrase(&wire::decode::<SlotInfo>(&bytes).unwrap().kdf, b"passphrase").is_ok(),
        "key file" => parse_key_file(&bytes).is_ok(),
        "object" => golden::open_object(keys, text(&case["path"]), &bytes).is_ok(),
        unknown => panic!("reject.json has a case of unknown kind {unknown}"),
    }
}
