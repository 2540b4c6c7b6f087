//! What the targets share: keys that never change, and the property of every decoder: what it takes, it would have written.

use std::collections::BTreeSet;

use store_core::base::ids::{NodeId, RepoId, SnapshotId, WriterId};
use store_core::base::wire::{Reader, WireError};
use store_core::crypto::{RepoKeys, Secret};
use store_core::format::record::{Extra, Time};
use store_core::format::snapshot::{Snapshot, Totals};
use store_core::notes::{Standing, StoredSnapshot};

/// The salt of every object that a target seals. No object made here leaves the process.
pub const SALT: [u8; 32] = [3; 32];

thread_local! {
    static KEYS: RepoKeys = RepoKeys::new(Secret::take(&mut [1; 32]), RepoId::from_bytes([2; 32]));
}

/// The keys of a repository that does not exist.
pub fn with_keys<T>(use_them: impl FnOnce(&RepoKeys) -> T) -> T {
    KEYS.with(use_them)
}

/// Decodes fields from the start of `bytes` and compares what was read with what the value encodes to.
pub fn fields_have_one_form<T>(
    bytes: &[u8],
    decode: impl FnOnce(&mut Reader<'_>) -> Result<T, WireError>,
    encode: impl FnOnce(&T) -> Vec<u8>,
) -> Option<T> {
    let mut reader = Reader::new(bytes);
    let value = decode(&mut reader).ok()?;
    let read = &bytes[..bytes.len() - reader.remaining()];
    assert!(encode(&value) == read, "a value was read from bytes that it does not encode to");
    Some(value)
}

/// So many snapshots of one series, a day apart, named by their numbers.
pub fn snapshots(count: u8) -> Vec<StoredSnapshot> {
    let snapshot = |n: u8| Snapshot {
        root: NodeId::from_bytes([0; 32]),
        time: Time { seconds: i64::from(n) * 86_400, nanos: 0 },
        zone: 0,
        host: "host".into(),
        user: "user".into(),
        writer: WriterId::from_bytes([0; 16]),
        previous: None,
        parent: None,
        series: Some("s".into()),
        tags: [if n.is_multiple_of(2) { "even".to_owned() } else { "odd".to_owned() }].into(),
        refs: if n.is_multiple_of(3) { ["0".to_owned()].into() } else { BTreeSet::new() },
        description: None,
        meta: [("loss".to_owned(), n.to_string())].into(),
        paths: vec![b"/data".to_vec()],
        incompatible: 0,
        totals: Totals::default(),
        program: String::new(),
        extra: Extra::new(),
    };
    let stored = |n| StoredSnapshot { id: SnapshotId::from_bytes([n; 32]), snapshot: snapshot(n), standing: Standing::default() };
    (0..count).map(stored).collect()
}
