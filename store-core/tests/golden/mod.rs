//! Reading the files of golden vectors, and objects as a reader would.

pub(crate) mod value;

use std::path::Path;

use serde_json::Value;
use store_core::base::ids::{ChunkId, RepoId, SegmentId};
use store_core::base::wire;
use store_core::blob;
use store_core::crypto::{RepoKeys, Secret};
use store_core::format::blob::BlobKind;
use store_core::format::config::{CONFIG_PATH, Config, Identity};
use store_core::format::envelope::{HEADER_LEN, ObjectKind, Place, Sealed};
use store_core::format::gc::{Done, Final, Plan};
use store_core::format::note::Note;
use store_core::format::pack::{PackOpener, pack_id, read_contents};
use store_core::format::probe::Probe;
use store_core::format::segment::Segment;
use store_core::format::session::Session;
use store_core::format::snapshot::Outcome;

/// Why an object is refused.
pub(crate) type Refusal = Box<dyn std::error::Error>;

/// One file of vectors.
pub(crate) fn load(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../spec/vectors").join(name).with_extension("json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// The bytes that hexadecimal digits stand for.
pub(crate) fn hex(value: &Value) -> Vec<u8> {
    text(value).as_bytes().chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// As many bytes as are asked for.
pub(crate) fn array<const N: usize>(value: &Value) -> [u8; N] {
    hex(value).try_into().unwrap()
}

/// A text.
pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

/// A number that is not negative.
pub(crate) fn number(value: &Value) -> u64 {
    value.as_u64().unwrap()
}

/// The elements of a list.
pub(crate) fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}

/// The keys that all vectors are made with.
pub(crate) fn keys(crypto: &Value) -> RepoKeys {
    RepoKeys::new(Secret::take(&mut array(&crypto["master"])), RepoId::from_bytes(array(&crypto["repository"])))
}

/// The last part of an object's path.
pub(crate) fn object_id(path: &str) -> &str {
    path.rsplit('/').next().unwrap()
}

/// Does with an object at `path` all that a reader does.
pub(crate) fn open_object(keys: &RepoKeys, path: &str, object: &[u8]) -> Result<(), Refusal> {
    let record = |kind: ObjectKind| -> Result<Vec<u8>, Refusal> {
        let sealed = Sealed::parse(object, kind)?;
        let key = keys.object(kind as u8, sealed.header.epoch, &sealed.header.salt);
        Ok(sealed.open(&key, Place::Path(path))?)
    };
    match path.split('/').next().unwrap() {
        CONFIG_PATH => {
            Identity::decode(object)?;
            Config::open(object, keys)?;
        }
        "sessions" => drop(wire::decode::<Session>(&record(ObjectKind::Session)?)?),
        "notes" => drop(wire::decode::<Note>(&record(ObjectKind::Note)?)?),
        "probes" => drop(wire::decode::<Probe>(&record(ObjectKind::Probe)?)?),
        "gc" => {
            let body = record(ObjectKind::Gc)?;
            match path.rsplit('.').next().unwrap() {
                "plan" => wire::decode::<Plan>(&body)?.check()?,
                "final" => wire::decode::<Final>(&body)?.check()?,
                _ => drop(wire::decode::<Done>(&body)?),
            }
        }
        "snapshots" => {
            if let Outcome::Commit(snapshot) = wire::decode(&record(ObjectKind::Outcome)?)? {
                snapshot.check_readable()?;
            }
        }
        "index" => drop(Segment::open(object, &object_id(path).parse::<SegmentId>()?, keys)?),
        "packs" => {
            if pack_id(object).to_string() != object_id(path) {
                return Err("not the hash that its name says".into());
            }
            read_blobs(keys, object)?;
        }
        unknown => panic!("{unknown} holds no objects"),
    }
    Ok(())
}

/// The plain bytes of all blobs of a pack, none of which has bases.
pub(crate) fn read_blobs(keys: &RepoKeys, pack: &[u8]) -> Result<Vec<Vec<u8>>, Refusal> {
    let contents = read_contents(keys, pack)?;
    let opener = PackOpener::new(keys, &pack[..HEADER_LEN])?;
    let mut blobs = Vec::new();
    for ((n, blob), start) in contents.blobs.iter().enumerate().zip(contents.offsets()) {
        let start = start as usize;
        let mut sealed = pack[start..start + blob.frame.sealed_len as usize].to_vec();
        opener.open_blob(n as u32, &blob.frame, &mut sealed)?;
        let plain = blob::decode(&blob.frame, sealed, &[])?;
        let mut rest = &plain[..];
        for (id, len) in blob.ids.iter().zip(&blob.frame.chunk_lens) {
            let chunk = rest.split_off(..*len as usize).unwrap();
            let found = match blob.frame.kind {
                BlobKind::Data => keys.chunk_id(chunk),
                BlobKind::Nodes => ChunkId::from_bytes(*keys.node_id(chunk).as_bytes()),
            };
            if found != *id {
                return Err("not the chunk that its id says".into());
            }
        }
        blobs.push(plain);
    }
    Ok(blobs)
}
