//! Any bytes as a node of a Merkle list: refused, or encoded to the same bytes again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use store_core::base::limits;
use store_core::format::node::Node;

fuzz_target!(|data: &[u8]| {
    if let Ok(node) = Node::decode(data) {
        assert!(node.encode() == data);
        assert!(node.level() <= limits::NODE_LEVELS);
    }
});
