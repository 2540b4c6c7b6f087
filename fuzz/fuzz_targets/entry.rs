//! Any bytes as the one entry of a directory's node: refused, or a name that a directory can hold and a size that its extents give.

#![no_main]

use libfuzzer_sys::fuzz_target;
use store_core::format::entry::{Content, Entry, Kind};
use store_core::format::node::Node;

/// A leaf of entries with one item.
const LEAF: [u8; 3] = [1, 0, 1];

fuzz_target!(|data: &[u8]| {
    let bytes = [&LEAF[..], data].concat();
    let Ok(node) = Node::decode(&bytes) else { return };
    assert!(node.encode() == bytes);
    let Node::Entries(entries) = node else { panic!("a leaf of entries is something else") };
    assert_eq!(entries.len(), 1);
    assert!(Entry::is_name(&entries[0].name));
    assert!(entries[0].meta.mode <= 0o7777 && entries[0].meta.mtime.nanos < 1_000_000_000);
    if let Kind::File { size, content: Content::Inline(extents) } = &entries[0].kind {
        assert!(extents.len() <= Content::INLINE && extents.iter().all(|extent| !extent.is_empty()));
        assert_eq!(extents.iter().map(|extent| u128::from(extent.len())).sum::<u128>(), u128::from(*size));
    }
});
