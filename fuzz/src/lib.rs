//! What the targets share: keys that never change, and the property of every decoder: what it takes, it would have written.

use store_core::base::ids::RepoId;
use store_core::base::wire::{Reader, WireError};
use store_core::crypto::{RepoKeys, Secret};

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
