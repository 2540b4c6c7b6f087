//! Any chunks: a blob of them is never larger than they are, its frame is one that a reader takes, and they come back.

#![no_main]

use libfuzzer_sys::fuzz_target;
use store_core::base::wire::Reader;
use store_core::blob;
use store_core::codec::Compression;
use store_core::format::blob::{BlobKind, Frame};

fuzz_target!(|data: &[u8]| {
    let [choice, step, repeat, plain @ ..] = data else { return };
    if plain.is_empty() {
        return;
    }
    let kind = if choice & 1 == 0 { BlobKind::Data } else { BlobKind::Nodes };
    let compression = [Compression::Off, Compression::Fastest, Compression::Auto, Compression::Level(5)][usize::from(choice >> 1 & 3)];
    let plain = plain.repeat(usize::from(repeat % 16) + 1);
    let lens = plain.chunks(usize::from(*step) + 1).map(|chunk| chunk.len() as u32).collect();
    let coded = blob::encode(kind, &plain, lens, compression);
    assert!(coded.bytes.len() <= plain.len());
    let mut bytes = Vec::new();
    coded.frame.encode(&mut bytes);
    let mut reader = Reader::new(&bytes);
    assert_eq!(Frame::decode(&mut reader).as_ref(), Ok(&coded.frame));
    reader.finish().expect("a frame ends where it ends");
    assert!(blob::decode(&coded.frame, coded.bytes, &[]).as_deref() == Ok(&plain[..]));
});
