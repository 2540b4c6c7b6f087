//! Writes small well-formed inputs for each fuzz target below the folder that is given: `scripts/fuzz` starts from them.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a helper for people")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use store_core::base::ids::{ChunkId, NodeId, NoteId, PackId, RepoId, SessionId, WriterId};
use store_core::base::wire::{encode, put_string, put_varint};
use store_core::blob::{self, Bases, Plain};
use store_core::codec::{Compression, Element, edits, float_diff, planes};
use store_core::crypto::{ObjectKey, RepoKeys, Secret};
use store_core::format::blob::{BlobKind, Frame};
use store_core::format::config::{Config, Identity};
use store_core::format::entry::{Content, Entry, Extent, Kind, Metadata, Timestamp};
use store_core::format::envelope::{ObjectKind, Place, seal_object};
use store_core::format::gc::{Done, Final, Plan};
use store_core::format::keyslot::{Kdf, SlotInfo};
use store_core::format::lost::{Loss, Lost};
use store_core::format::node::{EntriesChild, ExtentsChild, Node};
use store_core::format::note::{Note, Statement};
use store_core::format::pack::{BlobEntry, PackBuilder, PackContents};
use store_core::format::record::{Extra, Time};
use store_core::format::segment::{PackEntry, Segment};
use store_core::format::session::{Purpose, Session};
use store_core::format::snapshot::{Outcome, Snapshot, Totals};
use store_core::tensor::Dtype;

#[path = "../src/tensor/samples.rs"]
mod samples;

const SALT: [u8; 32] = [3; 32];
const TIME: Time = Time { seconds: 1_700_000_000, nanos: 5 };

struct Seeds {
    root: PathBuf,
    count: usize,
}

impl Seeds {
    fn put(&mut self, target: &str, bytes: impl AsRef<[u8]>) {
        let folder = self.root.join(target);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(format!("seed-{:03}", self.count)), bytes).unwrap();
        self.count += 1;
    }
}

fn keys() -> RepoKeys {
    RepoKeys::new(Secret::take(&mut [1; 32]), RepoId::from_bytes([2; 32]))
}

fn noise(len: usize) -> Vec<u8> {
    (0..len as u32).map(|i| (u64::from(i).wrapping_add(7).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as u8).collect()
}

fn frame_bytes(frame: &Frame) -> Vec<u8> {
    let mut out = Vec::new();
    frame.encode(&mut out);
    out
}

fn with_form(form: u8, body: &[u8]) -> Vec<u8> {
    [&[form], body].concat()
}

fn records(seeds: &mut Seeds) {
    let keys = keys();
    let identity = Identity { repo: keys.repo(), compatible: 0, read_only: 0, incompatible: 0 };
    let config = Config::new(TIME);
    let argon = Kdf::Argon2id { memory_kib: 16, passes: 1, lanes: 1, salt: SALT };
    let slot = |kdf: &Kdf| SlotInfo { repo: keys.repo(), created: TIME, label: "a".into(), host: "b".into(), kdf: kdf.clone() };
    let writer = WriterId::from_bytes([4; 16]);
    let session = Session {
        writer,
        started: TIME,
        host: "h".into(),
        pid: 7,
        program: "snap".into(),
        purpose: Purpose::Repack,
        extra: Extra::from([("x".into(), vec![1, 2])]),
    };
    let snapshot = Snapshot {
        root: NodeId::from_bytes([5; 32]),
        time: TIME,
        zone: 3600,
        host: "h".into(),
        user: "u".into(),
        writer,
        previous: Some(SessionId::from_bytes([6; 32])),
        parent: None,
        series: Some("s".into()),
        tags: ["a".into(), "b".into()].into(),
        refs: ["r".into()].into(),
        description: None,
        meta: BTreeMap::from([("loss".into(), "0.4".into())]),
        paths: vec![b"/data".to_vec()],
        incompatible: 0,
        totals: Totals::default(),
        program: "snap".into(),
        extra: Extra::new(),
    };
    let id = SessionId::from_bytes([8; 32]);
    let statements = vec![
        Statement::Tags { snapshot: id, add: vec!["x".into()], remove: Vec::new() },
        Statement::Ref { name: "r".into(), snapshot: Some(id) },
        Statement::Pin { snapshot: id, reason: None },
        Statement::Meta { snapshot: id, key: "k".into(), value: None },
        Statement::Forget { snapshot: id, reason: "old".into() },
        Statement::Policy { toml: "keep = 1".into() },
        Statement::Describe { snapshot: id, text: Some("t".into()) },
    ];
    let note = Note { author: "a".into(), time: TIME, seen: [NoteId::from_bytes([9; 32])].into(), statements };
    let abort = Outcome::Abort { time: TIME, by: "p".into(), reason: "gone".into() };
    let (host, program) = (String::from("h"), String::from("snap"));
    let packs = BTreeSet::from([PackId::from_bytes([10; 32]), PackId::from_bytes([11; 32])]);
    let (dropped, extra) = (BTreeSet::from([id]), Extra::new());
    let plan = Plan { time: TIME, host, program, condemned: packs.clone(), dropped: dropped.clone(), extra: extra.clone() };
    let (host, program) = (plan.host.clone(), plan.program.clone());
    let last = Final { time: TIME, host: host.clone(), program: program.clone(), deleted: packs, dropped, extra: extra.clone() };
    let done = Done { time: TIME, host, program, extra };
    let object = config.seal(&identity, &keys, SALT);
    let left_out = Loss::file(b"a/b".to_vec(), 300, [(0, 10), (200, 100)]);
    let lost = Lost { losses: vec![left_out, Loss::Entries { path: Vec::new(), entries: 7 }], more: 2 };
    let bodies = [
        encode(&identity),
        encode(&config),
        encode(&slot(&argon)),
        encode(&Kdf::KeyFile),
        encode(&session),
        encode(&Outcome::Commit(snapshot)),
        encode(&note),
        encode(&plan),
        encode(&last),
        encode(&done),
        object,
        lost.encode(),
    ];
    for (form, body) in bodies.iter().enumerate() {
        seeds.put("records", with_form(form as u8, body));
    }
    seeds.put("records", with_form(5, &encode(&abort)));
    for kdf in [argon, Kdf::KeyFile] {
        let clear = encode(&slot(&kdf));
        let split = clear.len().div_ceil(2);
        let mut clear = slot(&kdf);
        // The target splits at an even place.
        clear.label = if encode(&clear).len().is_multiple_of(2) { "a" } else { "ab" }.into();
        let clear = encode(&clear);
        seeds.put("keyslot", [&[split as u8][..], &clear, &[7; 32]].concat());
        let key = ObjectKey::derive(&Secret::take(&mut [9; 32]), ObjectKind::KeySlot as u8, &keys.repo(), 0, &SALT);
        seeds.put("keyslot", seal_object(ObjectKind::KeySlot, SALT, &key, &clear, Place::Path("keys/x"), vec![7; 32]));
    }
    seeds.put("key_file", store_core::crypto::write_key_file(&Secret::take(&mut [0x5a; 32])).as_bytes());
}

fn blobs(seeds: &mut Seeds) -> PackContents {
    let plain = [b"some text, some text, some text".repeat(20), noise(100)].concat();
    let lens = |len: usize| vec![len as u32 / 2, (len - len / 2) as u32];
    let mut blobs = Vec::new();
    for (kind, bytes) in [(BlobKind::Data, plain.clone()), (BlobKind::Nodes, noise(64))] {
        let coded = blob::encode(Plain { kind, bytes: &bytes, dtype: None }, lens(bytes.len()), None, Compression::Auto);
        let frame = frame_bytes(&coded.frame);
        seeds.put("pack_frame", &frame);
        seeds.put("blob_decode", [&frame[..], &[0], &coded.bytes].concat());
        blobs.push(BlobEntry {
            frame: coded.frame,
            ids: vec![ChunkId::from_bytes([1; 32]), ChunkId::from_bytes([2; 32])],
            sketches: Vec::new(),
        });
    }
    // Against a base: text with a prefix, and numbers of each kind that has a codec of its own.
    let old = noise(4096);
    let new: Vec<u8> = old.iter().enumerate().map(|(i, byte)| if i % 37 == 0 { byte ^ 1 } else { *byte }).collect();
    for dtype in [None, Some(Dtype::F32), Some(Dtype::BF16), Some(Dtype::I64)] {
        for depth in [0, 7, 8] {
            let bases = Bases { ids: vec![ChunkId::from_bytes([3; 32])], bytes: old.clone(), depth, aligned: true, ..Bases::default() };
            let coded = blob::encode(Plain { kind: BlobKind::Data, bytes: &new, dtype }, lens(new.len()), Some(&bases), Compression::Auto);
            let frame = frame_bytes(&coded.frame);
            let mut bases_len = Vec::new();
            put_varint(&mut bases_len, old.len() as u64);
            seeds.put("pack_frame", &frame);
            seeds.put("blob_decode", [&frame[..], &bases_len, &old, &coded.bytes].concat());
        }
    }
    seeds.put("blob_roundtrip", [&[4, 100, 3, 0, 0, 0][..], &plain].concat());
    seeds.put("blob_roundtrip", [&[0, 10, 0, 0, 0, 0][..], &noise(200)].concat());
    seeds.put("blob_roundtrip", [&[4, 0, 0, 3, 1, 0][..], &old[..600], &new[..600]].concat());
    seeds.put("blob_roundtrip", [&[4, 0, 1, 1, 3, 2][..], &old[..600], &new[..600]].concat());
    seeds.put("blob_roundtrip", [&[4 | 16 | 32, 0, 0, 3, 1, 0][..], &old[..600], &new[..600]].concat());
    blobs[0].sketches = vec![[1, 2, 3, 4, 5, 6, 7, 8]; 2];
    PackContents { padding: 0, blobs }
}

fn catalogues(seeds: &mut Seeds, contents: &PackContents) {
    let keys = keys();
    let mut plain = Vec::new();
    contents.encode(&mut plain, true);
    seeds.put("pack_footer", with_form(0, &plain));
    let empty = [0, 0];
    seeds.put("pack_footer", with_form(1, &with_form(0, &empty)));
    let mut builder = PackBuilder::new(&keys, SALT, Vec::new());
    for blob in &contents.blobs {
        let mut bytes = vec![5; blob.frame.sealed_len as usize - 16];
        let reserved = builder.reserve(blob.clone(), bytes.len());
        reserved.seal(&mut bytes);
        builder.place(&reserved, bytes);
    }
    let pack = builder.finish(9);
    seeds.put("pack_footer", with_form(2, &pack.bytes));
    let segment = Segment {
        supersedes: vec![store_core::base::ids::SegmentId::from_bytes([7; 32])],
        packs: vec![PackEntry { id: pack.id, len: pack.bytes.len() as u64, contents: contents.clone() }; 3],
    };
    let key = keys.object(ObjectKind::IndexSegment as u8, 0, &SALT);
    let (id, object) = segment.seal(&keys, SALT);
    assert!(Segment::open(&object, &id, &keys).is_ok());
    let sealed = store_core::format::envelope::Sealed::parse(&object, ObjectKind::IndexSegment).unwrap();
    seeds.put("index_segment", sealed.open(&key, Place::Hash).unwrap());
    let mut bare = vec![0, 0];
    put_varint(&mut bare, 1);
    bare.extend_from_slice(pack.id.as_bytes());
    put_varint(&mut bare, pack.bytes.len() as u64);
    bare.extend_from_slice(&plain);
    seeds.put("index_segment", bare);
}

fn lists(seeds: &mut Seeds) {
    let time = Timestamp { seconds: 1, nanos: 2 };
    let xattrs = vec![(b"user.a".to_vec(), b"1".to_vec())];
    let meta = Metadata { mode: 0o644, uid: 1, gid: 2, mtime: time, ctime: time, inode: 3, device: 4, links: 1, xattrs };
    let chunk = Extent::Chunk { id: ChunkId::from_bytes([1; 32]), len: 300 };
    let list = NodeId::from_bytes([2; 32]);
    let kinds = [
        Kind::File { size: 1300, content: Content::Inline(vec![chunk, Extent::Hole { len: 1000 }]) },
        Kind::File { size: 9, content: Content::List(list) },
        Kind::Directory { entries: Some(list) },
        Kind::Symlink { target: b"x".to_vec() },
        Kind::CharDevice { rdev: 5 },
        Kind::Socket,
    ];
    let mut entries = Vec::new();
    for (number, kind) in kinds.into_iter().enumerate() {
        let entry = Entry { name: vec![b'a' + number as u8], kind, meta: meta.clone() };
        seeds.put("entry", &Node::Entries(vec![entry.clone()]).encode()[3..]);
        entries.push(entry);
    }
    seeds.put("node", Node::Entries(entries).encode());
    seeds.put("node", Node::Extents(vec![chunk, Extent::Hole { len: 9 }]).encode());
    let child = EntriesChild { id: list, entries: 3, last: b"c".to_vec() };
    seeds.put("node", Node::EntriesInner { level: 1, children: vec![child] }.encode());
    let child = ExtentsChild { id: list, bytes: 3 };
    seeds.put("node", Node::ExtentsInner { level: 2, children: vec![child.clone(), child] }.encode());

    // Nodes as the cursor's target writes them: form, level, count, items. 0 is over 1 and 2; 3 is like 1.
    let leaf = |names: [&str; 2]| {
        let mut out = vec![0, 0, 2];
        for name in names {
            put_string(&mut out, name.as_bytes());
            out.push(1);
        }
        out
    };
    let inner = |children: [(u8, &str); 2]| {
        let mut out = vec![2, 1, 2];
        for (id, last) in children {
            out.extend([id, 2]);
            put_string(&mut out, last.as_bytes());
        }
        out
    };
    let tree = [inner([(2, "bb"), (3, "d")]), inner([(2, "bb"), (4, "d")]), leaf(["a", "bb"]), leaf(["c", "d"]), leaf(["ca", "d"])];
    seeds.put("merkle_cursor", tree.concat());
    let extents = [vec![3, 2, 2, 1, 9, 1, 9], vec![3, 1, 2, 2, 9, 2, 9], vec![1, 0, 3, 0, 9, 5, 6]];
    seeds.put("merkle_cursor", extents.concat());
}

fn data(seeds: &mut Seeds) {
    seeds.put("chunker", [&[3, 0, 200, 4][..], &noise(3000)].concat());
    seeds.put("chunker", [&[0, 255, 0, 7][..], &[0; 300]].concat());
    let mut regions = Vec::new();
    [1000u64, 10].into_iter().for_each(|value| put_varint(&mut regions, value));
    regions.extend(4u16.to_le_bytes());
    [0u64, 100, 100, 5, 200, 300, 900, 101].into_iter().for_each(|value| put_varint(&mut regions, value));
    seeds.put("regions", regions);
    let tensors: [(&str, &str, &[u64], usize); 2] = [("a", "F32", &[2, 3], 24), ("b", "BF16", &[4], 8)];
    seeds.put("tensor_header", samples::safetensors(&tensors));
    let mut gguf = samples::GgufFile::new(3);
    gguf.alignment(32);
    gguf.pair("words", 9, &[&8_u32.to_le_bytes()[..], &1_u64.to_le_bytes(), &samples::gguf_string("a")].concat());
    gguf.tensor("a", 0, &[8, 2], 0);
    gguf.tensor("b", 8, &[32, 2], 64);
    seeds.put("tensor_header", gguf.bytes(132));
    seeds.put("tensor_header", samples::npy("<f4", "(2, 3)", 24));
    let mut pickle = samples::Pickle::new();
    pickle.open_dict();
    pickle.text("layer.0");
    pickle.tensor("FloatStorage", "0", 6, &[2, 3]);
    pickle.close_dict();
    for zip64 in [false, true] {
        let mut zip = samples::Zip::default();
        zip.aligned_member("m/data.pkl", &pickle.bytes());
        zip.aligned_member("m/byteorder", b"little");
        zip.aligned_member("m/data/0", &[5; 24]);
        seeds.put("tensor_header", zip.bytes(zip64));
        let mut npz = samples::Zip::default();
        npz.member("x.npy", &samples::npy("<f4", "(2, 3)", 24));
        seeds.put("tensor_header", npz.bytes(zip64));
    }
    for code in 0..=255 {
        let Some(element) = Element::from_code(code) else { continue };
        let old = noise(element.size() * 64);
        let new: Vec<u8> = old.iter().enumerate().map(|(i, byte)| if i % 37 == 0 { byte ^ 1 } else { *byte }).collect();
        let len = (old.len() as u16).to_le_bytes();
        seeds.put("codec_planes", [&[code][..], &len, &[0], &planes::encode(element, &old)].concat());
        let coded = float_diff::encode(element, &new, &old);
        // The target splits in the middle: a base, then what is coded against it.
        let base = &old[..coded.len().min(old.len())];
        seeds.put("codec_float_diff", [&[code][..], base, &coded].concat());
        // It splits in thirds as well: two bases, and what is coded against them.
        let older: Vec<u8> = old.iter().map(|byte| byte.wrapping_sub(1)).collect();
        let coded = float_diff::encode_trend(element, &new, &old, &older);
        let part = coded.len().min(old.len());
        seeds.put("codec_float_diff", [&[code][..], &old[..part], &older[..part], &coded].concat());
    }
    // Noise is stored: what is coded in planes of every kind is in the golden vectors.
    let planes = include_str!("../src/codec/vectors.txt").lines().filter_map(|line| line.strip_prefix("planes "));
    for line in planes {
        let [code, plain, coded] = <[&str; 3]>::try_from(line.split(' ').collect::<Vec<_>>()).unwrap();
        let [low, high] = (unhex(plain).len() as u16).to_le_bytes();
        seeds.put("codec_planes", [&[code.parse().unwrap(), low, high, 0][..], &unhex(coded)].concat());
    }
    for len in [200, 300, 1000] {
        let base = noise(len);
        let plain = [&base[100..], b"new", &base[..90]].concat();
        let coded = edits::encode(&plain, &base, 0, 3).unwrap();
        // Where the target is to split, it is told in parts of 256.
        let total = base.len() + coded.len();
        let Some(share) = (0..=255).find(|share| total * usize::from(*share) / 256 == base.len()) else { continue };
        let [low, high] = (plain.len() as u16).to_le_bytes();
        seeds.put("codec_edits", [&[share, low, high, 0][..], &base, &coded].concat());
    }
}

/// Bytes in hexadecimal; none are a dash.
fn unhex(digits: &str) -> Vec<u8> {
    let pairs = digits.as_bytes().as_chunks::<2>().0.iter();
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn said(seeds: &mut Seeds) {
    let page = include_str!("../../spec/RETENTION.md");
    let policy = page.split_once("```toml\n").and_then(|(_, rest)| rest.split_once("```")).unwrap().0;
    seeds.put("policy", policy);
    seeds.put(
        "policy",
        "zone = 'UTC'\ngroup-by = 'host,paths'\n[[retention]]\nmatch = 'not (tag = odd) or meta.loss < 3'\nkeep-daily = 2\nmin-keep = 1\n",
    );
    seeds.put("policy", "meta.loss <= 0.5 and (series ~ 's*' or was-ref != \"x\")");
    // A forgetting, an unforget that has seen it, a pin, a ref, and one that has seen both.
    seeds.put("notes", [1, 255, 255, 1, 5, 1, 2, 0, 255, 1, 6, 1, 3, 255, 255, 2, 2, 6, 1, 3, 4, 1, 2, 3, 0, 9, 5, 2, 7, 64]);
}

fn main() {
    let root = std::env::args_os().nth(1).unwrap_or_else(|| "fuzz/corpus".into());
    let mut seeds = Seeds { root: Path::new(&root).to_path_buf(), count: 0 };
    records(&mut seeds);
    let contents = blobs(&mut seeds);
    catalogues(&mut seeds, &contents);
    lists(&mut seeds);
    data(&mut seeds);
    said(&mut seeds);
    println!("{} inputs below {}", seeds.count, seeds.root.display());
}
