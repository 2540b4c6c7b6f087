//! Lists over nodes that lie: of their level, of their names, in circles. Reading one ends, gives names in order, and keeps one node a level.

#![no_main]

use std::cell::Cell;
use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use store_core::base::ids::{ChunkId, NodeId};
use store_core::base::wire::{Reader, WireError};
use store_core::format::entry::{Content, Entry, Extent, Kind, Metadata, Timestamp};
use store_core::format::node::{EntriesChild, ExtentsChild, Node};
use store_core::merkle::{EntriesCursor, ExtentsCursor, MerkleError, NodeSource, diff_entries};

/// Nodes that one walk may fetch. Lists that share nodes may be read for ever; whoever reads them sets the bound.
const FETCHES: u32 = 20_000;

struct Nodes {
    nodes: BTreeMap<NodeId, Node>,
    left: Cell<u32>,
}

impl NodeSource for Nodes {
    type Error = &'static str;

    fn node(&self, id: &NodeId) -> Result<Node, Self::Error> {
        let left = self.left.get().checked_sub(1).ok_or("too many nodes")?;
        self.left.set(left);
        self.nodes.get(id).cloned().ok_or("no such node")
    }
}

fn id(number: u8) -> NodeId {
    NodeId::from_bytes([number % 32; 32])
}

fn entry(name: &[u8], kind: u8) -> Entry {
    let zero = Timestamp { seconds: 0, nanos: 0 };
    let meta =
        Metadata { mode: u32::from(kind), uid: 0, gid: 0, mtime: zero, ctime: zero, inode: 0, device: 0, links: 1, xattrs: Vec::new() };
    let kind = match kind % 3 {
        0 => Kind::Directory { entries: Some(id(kind)) },
        1 => Kind::File { size: 0, content: Content::Inline(Vec::new()) },
        _ => Kind::Fifo,
    };
    Entry { name: name.to_vec(), kind, meta }
}

fn node(reader: &mut Reader<'_>) -> Result<Node, WireError> {
    let (form, level, count) = (reader.u8()?, reader.u8()?, reader.u8()? % 8);
    let items = 0..count;
    Ok(match form % 4 {
        0 => Node::Entries(items.map(|_| Ok(entry(reader.string("name", 4)?, reader.u8()?))).collect::<Result<_, WireError>>()?),
        1 => Node::Extents(
            items
                .map(|_| match reader.u8()? {
                    0 => Ok(Extent::Hole { len: reader.varint()? }),
                    len => Ok(Extent::Chunk { id: ChunkId::from_bytes([len; 32]), len: u32::from(len) }),
                })
                .collect::<Result<_, WireError>>()?,
        ),
        2 => Node::EntriesInner {
            level,
            children: items
                .map(|_| Ok(EntriesChild { id: id(reader.u8()?), entries: reader.varint()?, last: reader.string("name", 4)?.to_vec() }))
                .collect::<Result<_, WireError>>()?,
        },
        _ => Node::ExtentsInner {
            level,
            children: items
                .map(|_| Ok(ExtentsChild { id: id(reader.u8()?), bytes: reader.varint()? }))
                .collect::<Result<_, WireError>>()?,
        },
    })
}

fuzz_target!(|data: &[u8]| {
    let mut reader = Reader::new(data);
    let mut nodes = BTreeMap::new();
    for number in 0..32 {
        let Ok(node) = node(&mut reader) else { break };
        // Only what a reader would take: the rest is refused before it gets here.
        if let Ok(node) = Node::decode(&node.encode()) {
            nodes.insert(id(number), node);
        }
    }
    let source = Nodes { nodes, left: Cell::new(0) };
    for root in 0..4 {
        source.left.set(FETCHES);
        let mut cursor = EntriesCursor::new(&source, Some(id(root)));
        let mut last: Option<Vec<u8>> = None;
        while let Ok(Some(entry)) = cursor.next() {
            assert!(last.as_ref().is_none_or(|last| *last < entry.name), "names are not in order");
            last = Some(entry.name);
        }
        assert!(source.left.get() > 0, "a list of distinct names fetched {FETCHES} nodes");

        source.left.set(FETCHES);
        let mut cursor = EntriesCursor::new(&source, Some(id(root)));
        for name in [&b"a"[..], b"b", b"bb", b"zz"] {
            match cursor.find(name) {
                Ok(found) => assert!(found.is_none_or(|entry| entry.name == name)),
                Err(_) => break,
            }
        }

        source.left.set(FETCHES);
        let mut cursor = ExtentsCursor::new(&source, id(root));
        while let Ok(Some(extent)) = cursor.next() {
            assert!(!extent.is_empty());
        }

        source.left.set(FETCHES);
        let _ = diff_entries(&source, Some(id(root)), Some(id(root + 1)), &mut |pair| {
            assert!(pair.old != pair.new);
            match (&pair.old, &pair.new) {
                (Some(old), Some(new)) => assert_eq!(old.name, new.name),
                (None, None) => panic!("a pair of nothing"),
                _ => {}
            }
            Ok::<(), MerkleError<&'static str>>(())
        });
        assert!(source.left.get() > 0, "comparing two lists fetched {FETCHES} nodes");
    }
});
