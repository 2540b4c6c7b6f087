//! Edits: any bytes are decoded or refused, and what was encoded comes back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use store_core::codec::edits;

fuzz_target!(|data: &[u8]| {
    let [share, len @ .., repeat] = data.first_chunk::<4>().copied().unwrap_or_default();
    let data = data.get(4..).unwrap_or_default();
    let (base, rest) = data.split_at(data.len() * usize::from(share) / 256);
    let base = base.repeat(usize::from(repeat % 32) + 1);
    let plain_len = usize::from(u16::from_le_bytes(len));
    if let Ok(plain) = edits::decode(rest, &base, plain_len) {
        assert_eq!(plain.len(), plain_len);
    }
    // Something of the base, and something new.
    let plain = [&base[base.len() / 3..], rest, &base[..base.len() / 2]].concat();
    if let Some(coded) = edits::encode(&plain, &base, rest.len(), 3) {
        assert_eq!(edits::decode(&coded, &base, plain.len()).as_deref(), Ok(&plain[..]));
    }
});
