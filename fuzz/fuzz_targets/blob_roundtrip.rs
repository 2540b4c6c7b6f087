//! Any chunks, with bases or without, of any type: a blob of them is never larger than they are, its frame is one that a reader takes,
//! and they come back.

#![no_main]

use libfuzzer_sys::fuzz_target;
use store_core::base::ids::ChunkId;
use store_core::base::limits;
use store_core::base::wire::Reader;
use store_core::blob::{self, Bases, Plain};
use store_core::codec::Compression;
use store_core::format::blob::{BlobKind, Frame};
use store_core::tensor::{Dtype, GgufType};

const COMPRESSIONS: [Compression; 4] = [Compression::Off, Compression::Fastest, Compression::Auto, Compression::Level(5)];
const DTYPES: [Option<Dtype>; 11] = [
    None,
    Some(Dtype::F32),
    Some(Dtype::F64),
    Some(Dtype::BF16),
    Some(Dtype::F16),
    Some(Dtype::F8E4M3),
    Some(Dtype::I64),
    Some(Dtype::U8),
    Some(Dtype::GgufBlock(GgufType::Q4_0)),
    Some(Dtype::GgufBlock(GgufType::Q6K)),
    Some(Dtype::GgufBlock(GgufType::Q8_0)),
];

fuzz_target!(|data: &[u8]| {
    let [choice, step, repeat, dtype, base, depth, data @ ..] = data else { return };
    let (old, plain) = match base % 4 {
        0 => data.split_at(0),
        1 => data.split_at(data.len() / 2),
        2 => data.split_at(data.len() / 3),
        _ => (data, data),
    };
    if plain.is_empty() {
        return;
    }
    let repeat = usize::from(repeat % 16) + 1;
    let (old, plain) = (old.repeat(repeat), plain.repeat(repeat));
    let kind = if choice & 1 == 0 { BlobKind::Data } else { BlobKind::Nodes };
    let compression = COMPRESSIONS[usize::from(choice >> 1 & 3)];
    let lens = plain.chunks(usize::from(*step) + 1).map(|chunk| chunk.len() as u32).collect::<Vec<_>>();
    if lens.len() > limits::BLOB_CHUNKS {
        return;
    }
    let aligned = choice & 8 == 0;
    let older_bytes =
        if aligned && choice & 16 != 0 { old.iter().map(|byte| byte.wrapping_sub(choice >> 5)).collect() } else { Vec::new() };
    let older = if older_bytes.is_empty() { Vec::new() } else { vec![ChunkId::from_bytes([2; 32])] };
    // Bases of the type that is coded, or said to be of another one.
    let kind_of_bases = [None, Some(Dtype::F32), Some(Dtype::BF16), Some(Dtype::F16)][usize::from(depth / 10 % 4)];
    let bases = Bases {
        ids: vec![ChunkId::from_bytes([1; 32])],
        bytes: old,
        depth: depth % 10,
        aligned,
        kind: kind_of_bases,
        older,
        older_bytes,
        ..Bases::default()
    };
    let bases = (!bases.bytes.is_empty()).then_some(&bases);
    let dtype = DTYPES[usize::from(*dtype) % DTYPES.len()];
    let coded = blob::encode(Plain { kind, bytes: &plain, dtype }, lens, bases, compression);
    assert!(coded.bytes.len() <= plain.len());
    let mut bytes = Vec::new();
    coded.frame.encode(&mut bytes);
    let mut reader = Reader::new(&bytes);
    assert_eq!(Frame::decode(&mut reader).as_ref(), Ok(&coded.frame));
    reader.finish().expect("a frame ends where it ends");
    let bases = bases.map(|bases| bases.bytes_of(&coded.frame)).unwrap_or_default();
    assert!(blob::decode(&coded.frame, coded.bytes, &bases).as_deref() == Ok(&plain[..]));
});
