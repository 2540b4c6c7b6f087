//! Any frame, coded bytes and bases: refused, or as many plain bytes as the frame says.

#![no_main]

use libfuzzer_sys::fuzz_target;
use store_core::base::wire::Reader;
use store_core::blob;
use store_core::format::blob::Frame;

fuzz_target!(|data: &[u8]| {
    let mut reader = Reader::new(data);
    let Ok(frame) = Frame::decode(&mut reader) else { return };
    let Ok(bases_len) = reader.varint() else { return };
    let rest = reader.bytes(reader.remaining()).expect("as many as there are");
    let (bases, coded) = rest.split_at(rest.len().min(bases_len as usize));
    if let Ok(plain) = blob::decode(&frame, coded.to_vec(), bases) {
        assert_eq!(plain.len(), frame.plain_len());
    }
});
