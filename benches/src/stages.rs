//! The stages of a push and of a restore, one by one.

use std::cell::RefCell;
use std::collections::HashMap;
use std::convert::Infallible;
use std::hint::black_box;

use store_core::base::ids::{ChunkId, NodeId, RepoId};
use store_core::base::units::{KIB, MIB};
use store_core::chunking::Chunker;
use store_core::codec::{
    BlockKind, Element, edits, float_diff, looks_incompressible, planes, zstd_decode, zstd_decode_with_prefix, zstd_encode,
    zstd_encode_with_prefix,
};
use store_core::crypto::{RepoKeys, Secret};
use store_core::format::config::Config;
use store_core::format::entry::{Entry, Extent, Kind, Metadata, Timestamp};
use store_core::format::node::Node;
use store_core::format::record::Time;
use store_core::index::{ChunkIndex, RocksIndex};
use store_core::merkle::{EntriesBuilder, ExtentsBuilder, NodeSource, diff_entries};
use store_core::sketch::Sketcher;
use tempfile::TempDir;

use crate::{catalogue, inputs};

/// How much one run of a stage works off.
#[derive(Debug, Clone, Copy)]
pub enum Work {
    /// Plain bytes.
    Bytes(u64),
    /// Look-ups, entries, chunks.
    Items(u64),
}

/// A stage with its input, ready to be run any number of times.
pub struct Ready {
    /// What one run works off.
    pub work: Work,
    /// One run.
    pub run: Box<dyn FnMut()>,
    /// The folder that it works in, removed when it is dropped.
    _folder: Option<TempDir>,
}

impl Ready {
    fn bytes<T>(len: usize, mut run: impl FnMut() -> T + 'static) -> Self {
        Self { work: Work::Bytes(len as u64), run: Box::new(move || _ = black_box(run())), _folder: None }
    }

    fn items<T>(count: usize, mut run: impl FnMut() -> T + 'static) -> Self {
        Self { work: Work::Items(count as u64), run: Box::new(move || _ = black_box(run())), _folder: None }
    }

    fn within(self, folder: TempDir) -> Self {
        Self { _folder: Some(folder), ..self }
    }
}

/// A name, `/` between a group and what is in it, and what makes the stage ready.
pub type Stage = (&'static str, fn() -> Ready);

/// All stages.
pub const STAGES: &[Stage] = &[
    ("cut/rows", || cut(inputs::rows(8 * MIB, 0))),
    ("cut/noise", || cut(inputs::noise(9, 8 * MIB))),
    ("name/128 KiB", || name(128 * KIB)),
    ("name/1 MiB", || name(MIB)),
    ("sketch/plain", sketch_plain),
    ("sketch/segment", sketch_segment),
    ("look/noise", || look(inputs::noise(9, MIB))),
    ("look/rows", || look(inputs::rows(MIB, 0))),
    ("zstd-3/encode", zstd_in),
    ("zstd-3/decode", zstd_out),
    ("prefix/encode", prefix_in),
    ("prefix/decode", prefix_out),
    ("edits/encode", edits_in),
    ("edits/decode", edits_out),
    ("planes/encode bf16", || planes_in(Element::Bf16, inputs::bf16(0))),
    ("planes/decode bf16", || planes_out(Element::Bf16, inputs::bf16(0))),
    ("planes/encode f32", || planes_in(Element::F32, inputs::f32(0))),
    ("planes/decode f32", || planes_out(Element::F32, inputs::f32(0))),
    ("planes/encode moments", || planes_in(Element::F32, inputs::moments())),
    ("planes/decode moments", || planes_out(Element::F32, inputs::moments())),
    ("planes/encode Q8_0", || planes_in(Q8_0, inputs::q8_0(0))),
    ("planes/decode Q8_0", || planes_out(Q8_0, inputs::q8_0(0))),
    ("difference/encode bf16", || difference_in(Element::Bf16, inputs::bf16)),
    ("difference/decode bf16", || difference_out(Element::Bf16, inputs::bf16)),
    ("difference/encode f32", || difference_in(Element::F32, inputs::f32)),
    ("difference/decode f32", || difference_out(Element::F32, inputs::f32)),
    ("difference/encode Q8_0", || difference_in(Q8_0, inputs::q8_0)),
    ("difference/decode Q8_0", || difference_out(Q8_0, inputs::q8_0)),
    ("trend/encode bf16", trend_in),
    ("trend/decode bf16", trend_out),
    ("seal/1 MiB", seal),
    ("open/1 MiB", open),
    ("index/take in", index_apply),
    ("index/find present", || index_find(0)),
    ("index/find absent", || index_find(INDEXED)),
    ("list/build entries", build_entries),
    ("list/build extents", build_extents),
    ("list/diff entries", diff),
];

const Q8_0: Element = Element::Block(BlockKind::Q8_0);

fn keys() -> RepoKeys {
    RepoKeys::new(Secret::take(&mut [1; 32]), RepoId::from_bytes([2; 32]))
}

fn cut(bytes: Vec<u8>) -> Ready {
    let chunker = Chunker::new(&Config::new(Time { seconds: 0, nanos: 0 }), keys().gear());
    Ready::bytes(bytes.len(), move || {
        let (mut rest, mut chunks) = (&bytes[..], 0);
        while !rest.is_empty() {
            rest = &rest[chunker.cut(rest)..];
            chunks += 1;
        }
        chunks
    })
}

fn name(len: usize) -> Ready {
    let (keys, bytes) = (keys(), inputs::noise(9, len));
    Ready::bytes(len, move || keys.chunk_id(&bytes))
}

fn sketch_plain() -> Ready {
    let (sketcher, bytes) = (Sketcher::new(&keys()), inputs::rows(128 * KIB, 0));
    Ready::bytes(bytes.len(), move || sketcher.plain(&bytes))
}

fn sketch_segment() -> Ready {
    let (sketcher, bytes) = (Sketcher::new(&keys()), inputs::bf16(0));
    Ready::bytes(bytes.len(), move || sketcher.segment(&bytes, store_core::tensor::Dtype::BF16))
}

fn look(bytes: Vec<u8>) -> Ready {
    Ready::bytes(bytes.len(), move || looks_incompressible(&bytes))
}

/// Plain bytes of a blob.
const BLOB: usize = 3 * MIB;

fn zstd_in() -> Ready {
    let plain = inputs::rows(BLOB, 0);
    Ready::bytes(BLOB, move || zstd_encode(&plain, 3))
}

fn zstd_out() -> Ready {
    let frame = zstd_encode(&inputs::rows(BLOB, 0), 3);
    Ready::bytes(BLOB, move || zstd_decode(&frame, BLOB).expect("it was coded just now"))
}

fn prefix_in() -> Ready {
    let (base, plain) = (inputs::rows(BLOB, 0), inputs::rows(BLOB, 5));
    Ready::bytes(BLOB, move || zstd_encode_with_prefix(&plain, &base, 3))
}

fn prefix_out() -> Ready {
    let base = inputs::rows(BLOB, 0);
    let frame = zstd_encode_with_prefix(&inputs::rows(BLOB, 5), &base, 3);
    Ready::bytes(BLOB, move || zstd_decode_with_prefix(&frame, &base, BLOB).expect("it was coded just now"))
}

fn edits_in() -> Ready {
    let (base, plain) = (inputs::rows(BLOB, 0), inputs::rows(BLOB, 5));
    Ready::bytes(BLOB, move || edits::encode(&plain, &base, 0, 3))
}

fn edits_out() -> Ready {
    let base = inputs::rows(BLOB, 0);
    let coded = edits::encode(&inputs::rows(BLOB, 5), &base, 0, 3).expect("few rows changed");
    Ready::bytes(BLOB, move || edits::decode(&coded, &base, BLOB).expect("it was coded just now"))
}

fn planes_in(element: Element, plain: Vec<u8>) -> Ready {
    Ready::bytes(plain.len(), move || planes::encode(element, &plain))
}

fn planes_out(element: Element, plain: Vec<u8>) -> Ready {
    let (len, coded) = (plain.len(), planes::encode(element, &plain));
    Ready::bytes(len, move || planes::decode(element, &coded, len).expect("it was coded just now"))
}

fn difference_in(element: Element, version: fn(usize) -> Vec<u8>) -> Ready {
    let (base, plain) = (version(0), version(1));
    Ready::bytes(plain.len(), move || float_diff::encode(element, &plain, &base))
}

fn difference_out(element: Element, version: fn(usize) -> Vec<u8>) -> Ready {
    let (base, plain) = (version(0), version(1));
    let (len, coded) = (plain.len(), float_diff::encode(element, &plain, &base));
    Ready::bytes(len, move || float_diff::decode(element, &coded, &base, len).expect("it was coded just now"))
}

fn trend_in() -> Ready {
    let [older, base, plain] = [0, 1, 2].map(inputs::bf16);
    Ready::bytes(plain.len(), move || float_diff::encode_trend(Element::Bf16, &plain, &base, &older))
}

fn trend_out() -> Ready {
    let [older, base, plain] = [0, 1, 2].map(inputs::bf16);
    let coded = float_diff::encode_trend(Element::Bf16, &plain, &base, &older);
    let (len, bases) = (plain.len(), [base, older].concat());
    Ready::bytes(len, move || float_diff::decode_trend(Element::Bf16, &coded, &bases, len).expect("it was coded just now"))
}

fn seal() -> Ready {
    let (key, plain) = (keys().object(1, 0, &[3; 32]), inputs::noise(9, MIB));
    let mut bytes = Vec::with_capacity(plain.len() + 64);
    Ready::bytes(MIB, move || {
        bytes.clear();
        bytes.extend_from_slice(&plain);
        key.seal(0, b"measured", &mut bytes);
    })
}

fn open() -> Ready {
    let key = keys().object(1, 0, &[3; 32]);
    let mut sealed = inputs::noise(9, MIB);
    key.seal(0, b"measured", &mut sealed);
    let mut bytes = Vec::with_capacity(sealed.len());
    Ready::bytes(MIB, move || {
        bytes.clear();
        bytes.extend_from_slice(&sealed);
        key.open(0, b"measured", &mut bytes).expect("it was sealed just now");
    })
}

/// Chunks in the index that is asked, and in one question.
const INDEXED: usize = 200_000;
const ASKED: usize = 1024;
fn index_apply() -> Ready {
    let folder = tempfile::tempdir().expect("a folder for temporary files");
    let index = RocksIndex::open(folder.path(), 64 * MIB).expect("an empty index");
    let count = 8192;
    let mut next = 0;
    Ready::items(count, move || {
        // Names are made in time that counts as well; it is a fifth of all.
        let segment = catalogue::segment(next, count, false);
        next += count;
        index.apply(None, &segment).expect("an index on a healthy disk");
    })
    .within(folder)
}

fn index_find(first: usize) -> Ready {
    let folder = tempfile::tempdir().expect("a folder for temporary files");
    let index = RocksIndex::open(folder.path(), 64 * MIB).expect("an empty index");
    index.apply(None, &catalogue::segment(0, INDEXED, false)).expect("an index on a healthy disk");
    index.flush().expect("an index on a healthy disk");
    index.compact();
    let mut ids: Vec<Vec<ChunkId>> =
        (0..16).map(|batch| (0..ASKED).map(|i| catalogue::chunk(first + (i * 16 + batch) * 7 % INDEXED)).collect()).collect();
    ids.iter_mut().for_each(|ids| ids.sort_unstable());
    let mut batch = 0;
    Ready::items(ASKED, move || {
        batch = (batch + 1) % ids.len();
        index.find(&ids[batch]).expect("an index on a healthy disk").len()
    })
    .within(folder)
}

#[derive(Default)]
struct Nodes(RefCell<HashMap<NodeId, Vec<u8>>>);

impl NodeSource for Nodes {
    type Error = Infallible;

    fn node(&self, id: &NodeId) -> Result<Node, Infallible> {
        Ok(Node::decode(&self.0.borrow()[id]).expect("it was built just now"))
    }
}

const ENTRIES: usize = 20_000;

fn entry(number: usize, seconds: i64) -> Entry {
    let time = Timestamp { seconds, nanos: 0 };
    let meta =
        Metadata { mode: 0o644, uid: 0, gid: 0, mtime: time, ctime: time, inode: number as u64, device: 1, links: 1, xattrs: Vec::new() };
    Entry { name: format!("shard-{number:08}.parquet").into_bytes(), kind: Kind::Fifo, meta }
}

/// The list of all entries, of which one in so many is newer.
fn entries(keys: &RepoKeys, newer: usize, emit: &mut dyn FnMut(NodeId, Vec<u8>)) -> Option<NodeId> {
    let mut emit = |id, bytes| -> Result<(), Infallible> {
        emit(id, bytes);
        Ok(())
    };
    let mut builder = EntriesBuilder::new();
    for number in 0..ENTRIES {
        let Ok(()) = builder.push(keys, &entry(number, i64::from(number % newer == 7)), &mut emit);
    }
    let Ok(root) = builder.finish(keys, &mut emit);
    root
}

fn build_entries() -> Ready {
    let keys = keys();
    Ready::items(ENTRIES, move || entries(&keys, 1000, &mut |_, bytes| _ = black_box(bytes)))
}

fn build_extents() -> Ready {
    let (keys, ids) = (keys(), (0..ENTRIES).map(catalogue::chunk).collect::<Vec<_>>());
    Ready::items(ENTRIES, move || {
        let mut emit = |_, bytes: Vec<u8>| -> Result<(), Infallible> {
            black_box(bytes);
            Ok(())
        };
        let mut builder = ExtentsBuilder::new();
        for id in &ids {
            let Ok(()) = builder.push(&keys, &Extent::Chunk { id: *id, len: 100_000 }, &mut emit);
        }
        builder.finish(&keys, &mut emit)
    })
}

fn diff() -> Ready {
    let (keys, nodes) = (keys(), Nodes::default());
    let [old, new] = [1000, 500].map(|newer| entries(&keys, newer, &mut |id, bytes| _ = nodes.0.borrow_mut().insert(id, bytes)));
    Ready::items(ENTRIES, move || {
        let mut differ = 0;
        diff_entries(&nodes, old, new, &mut |_| -> Result<(), store_core::merkle::MerkleError<Infallible>> {
            differ += 1;
            Ok(())
        })
        .expect("the lists are whole");
        differ
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stage_runs_twice() {
        for (name, ready) in STAGES {
            assert!(name.contains('/'), "{name} is in no group");
            let mut ready = ready();
            (ready.run)();
            (ready.run)();
        }
    }
}
