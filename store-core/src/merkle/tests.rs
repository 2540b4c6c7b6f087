use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;

use proptest::prelude::*;

use super::*;
use crate::base::ids::{ChunkId, NodeId, RepoId};
use crate::crypto::{RepoKeys, Secret};
use crate::format::entry::{Entry, Extent, Kind, Metadata, Timestamp};
use crate::format::node::Node;

#[derive(Default)]
struct Nodes {
    bytes: RefCell<HashMap<NodeId, Vec<u8>>>,
    reads: RefCell<usize>,
}

impl NodeSource for Nodes {
    type Error = Infallible;
    fn node(&self, id: &NodeId) -> Result<Node, Infallible> {
        *self.reads.borrow_mut() += 1;
        Ok(Node::decode(&self.bytes.borrow()[id]).unwrap())
    }
}

fn keys() -> RepoKeys {
    RepoKeys::new(Secret::take(&mut [1; 32]), RepoId::from_bytes([1; 32]))
}

fn entry(name: &str, size: u64) -> Entry {
    let time = Timestamp { seconds: size as i64, nanos: 0 };
    let meta = Metadata { mode: 0o644, uid: 0, gid: 0, mtime: time, ctime: time, inode: 1, device: 1, links: 1, xattrs: Vec::new() };
    Entry { name: name.into(), kind: Kind::Fifo, meta }
}

fn build(keys: &RepoKeys, nodes: &Nodes, list: &BTreeMap<String, u64>) -> Option<NodeId> {
    let mut emit = |id, bytes| -> Result<(), Infallible> {
        nodes.bytes.borrow_mut().insert(id, bytes);
        Ok(())
    };
    let mut builder = EntriesBuilder::new();
    for (name, size) in list {
        builder.push(keys, &entry(name, *size), &mut emit).unwrap();
    }
    builder.finish(keys, &mut emit).unwrap()
}

fn read(nodes: &Nodes, root: Option<NodeId>) -> Vec<Entry> {
    let mut cursor = EntriesCursor::new(nodes, root);
    std::iter::from_fn(|| cursor.next().unwrap()).collect()
}

fn numbered(count: u64) -> BTreeMap<String, u64> {
    (0..count).map(|i| (format!("{i:07}"), i)).collect()
}

#[test]
fn lists_of_every_small_length_survive() {
    let (keys, nodes) = (keys(), Nodes::default());
    for count in (0..400).chain([1000, 5000, 30_000]) {
        let list = numbered(count);
        let root = build(&keys, &nodes, &list);
        let found: Vec<_> = read(&nodes, root).into_iter().map(|e| String::from_utf8(e.name).unwrap()).collect();
        assert_eq!(found, list.keys().cloned().collect::<Vec<_>>());
    }
}

#[test]
fn one_entry_of_many_rewrites_a_handful_of_nodes() {
    let (keys, nodes) = (keys(), Nodes::default());
    let mut list = numbered(100_000);
    build(&keys, &nodes, &list);
    let before = nodes.bytes.borrow().len();
    list.insert("0050000".into(), 7);
    list.insert("0050000+".into(), 7);
    build(&keys, &nodes, &list);
    assert!(nodes.bytes.borrow().len() - before <= 6);
}

#[test]
fn diff_reads_only_what_differs() {
    let (keys, nodes) = (keys(), Nodes::default());
    let old = numbered(50_000);
    let mut new = old.clone();
    new.insert("0025000".into(), 1);
    new.remove("0012345");
    let (a, b) = (build(&keys, &nodes, &old), build(&keys, &nodes, &new));
    *nodes.reads.borrow_mut() = 0;
    let mut found = Vec::new();
    diff_entries::<_, MerkleError<Infallible>>(&nodes, a, b, &mut |pair| {
        found.push((pair.old.is_some(), pair.new.is_some()));
        Ok(())
    })
    .unwrap();
    assert_eq!(found, [(true, false), (true, true)]);
    assert!(*nodes.reads.borrow() <= 16, "{}", nodes.reads.borrow());
}

#[test]
fn an_inner_node_that_miscounts_its_entries_is_refused() {
    let (keys, nodes) = (keys(), Nodes::default());
    let root = build(&keys, &nodes, &numbered(5000)).unwrap();
    let good = nodes.bytes.borrow()[&root].clone();
    let Node::EntriesInner { level, children } = Node::decode(&good).unwrap() else { panic!("a long list has an inner root") };
    for wrong in [children[0].entries + 1, children[0].entries - 1, 0, u64::MAX] {
        let mut children = children.clone();
        children[0].entries = wrong;
        nodes.bytes.borrow_mut().insert(root, Node::EntriesInner { level, children }.encode());
        let mut cursor = EntriesCursor::new(&nodes, Some(root));
        assert!(matches!(cursor.next(), Err(MerkleError::Shape { why: "its entries do not add up", .. })), "{wrong}");
    }
}

#[test]
fn extents_survive_with_their_holes() {
    let (keys, nodes) = (keys(), Nodes::default());
    for count in [1u32, 5, 127, 128, 129, 5000] {
        let list: Vec<_> = (0..count)
            .map(|i| {
                if i % 7 == 3 {
                    Extent::Hole { len: 1 << 40 }
                } else {
                    Extent::Chunk { id: ChunkId::from_bytes(*blake3::hash(&i.to_le_bytes()).as_bytes()), len: i + 1 }
                }
            })
            .collect();
        let mut emit = |id, bytes| -> Result<(), Infallible> {
            nodes.bytes.borrow_mut().insert(id, bytes);
            Ok(())
        };
        let mut builder = ExtentsBuilder::new();
        list.iter().for_each(|extent| builder.push(&keys, extent, &mut emit).unwrap());
        let root = builder.finish(&keys, &mut emit).unwrap().unwrap();
        let mut cursor = ExtentsCursor::new(&nodes, root);
        assert_eq!(std::iter::from_fn(|| cursor.next().unwrap()).collect::<Vec<_>>(), list);
        let mut start = 0;
        for (i, extent) in list.iter().enumerate() {
            if i % 97 == 0 {
                let mut cursor = ExtentsCursor::new(&nodes, root);
                assert_eq!(cursor.skip(start + extent.len() - 1).unwrap(), extent.len() - 1);
                assert_eq!(cursor.next().unwrap().as_ref(), Some(extent));
            }
            start += extent.len();
        }
        let mut cursor = ExtentsCursor::new(&nodes, root);
        assert_eq!((cursor.skip(start + 1).unwrap(), cursor.next().unwrap()), (1, None));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn diff_finds_exactly_what_changed(seed in 0u64..1000, size in 0u64..3000, edits in proptest::collection::vec((0u64..3000, 0u8..3), 0..20)) {
        let (keys, nodes) = (keys(), Nodes::default());
        let old: BTreeMap<String, u64> = (0..size).map(|i| (format!("{:07}", i * 3 + seed % 3), i)).collect();
        let mut new = old.clone();
        for (at, kind) in edits {
            match kind {
                0 => drop(new.remove(&format!("{:07}", at * 3 + seed % 3))),
                1 => drop(new.insert(format!("{:07}", at * 3 + 1), seed + 5000)),
                _ => drop(new.insert(format!("{:07}", at * 3 + seed % 3), seed + 9000)),
            }
        }
        let (a, b) = (build(&keys, &nodes, &old), build(&keys, &nodes, &new));
        prop_assert_eq!(build(&keys, &nodes, &new), b);
        let mut found = BTreeMap::new();
        diff_entries::<_, MerkleError<Infallible>>(&nodes, a, b, &mut |pair| {
            let name = pair.old.as_ref().or(pair.new.as_ref()).unwrap().name.clone();
            found.insert(String::from_utf8(name).unwrap(), (pair.old.map(|e| e.meta.mtime.seconds as u64), pair.new.map(|e| e.meta.mtime.seconds as u64)));
            Ok(())
        }).unwrap();
        let expected: BTreeMap<_, _> = old.keys().chain(new.keys()).map(|k| (k.clone(), (old.get(k).copied(), new.get(k).copied()))).filter(|(_, (a, b))| a != b).collect();
        prop_assert_eq!(found, expected);
    }
}
