//! Any bytes as a blob's frame: refused, or encoded to the same bytes again, within the limits.

#![no_main]

use libfuzzer_sys::fuzz_target;
use snap_fuzz::fields_have_one_form;
use store_core::base::limits;
use store_core::format::blob::Frame;

fuzz_target!(|data: &[u8]| {
    let encode = |frame: &Frame| {
        let mut out = Vec::new();
        frame.encode(&mut out);
        out
    };
    if let Some(frame) = fields_have_one_form(data, Frame::decode, encode) {
        assert!((1..=limits::BLOB_LEN).contains(&frame.plain_len()));
        assert!(frame.chunk_lens.len() <= limits::BLOB_CHUNKS && frame.bases.len() <= limits::BLOB_BASES);
    }
});
