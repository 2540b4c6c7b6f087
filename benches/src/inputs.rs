//! What the stages work on: the same bytes in every run. Weights are real, of `benches/data/ft-bf16`; rows and noise are made here.

use store_core::base::units::MIB;

/// Bytes of a segment of a tensor.
pub const SEGMENT: usize = MIB;

const VERSIONS: [&[u8]; 3] = [
    include_bytes!("../data/ft-bf16/v01/model.safetensors"),
    include_bytes!("../data/ft-bf16/v02/model.safetensors"),
    include_bytes!("../data/ft-bf16/v03/model.safetensors"),
];

/// Bytes without pattern, another sequence for each `seed`.
pub fn noise(seed: u8, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new_keyed(&[seed; 32]).finalize_xof().fill(&mut bytes);
    bytes
}

/// Numbers without pattern.
fn numbers(seed: u8, count: usize) -> impl Iterator<Item = u64> {
    let bytes = noise(seed, 8 * count);
    (0..count).map(move |i| u64::from_le_bytes(bytes[8 * i..8 * i + 8].try_into().expect("eight bytes")))
}

/// Rows as `pg_dump` writes them, about `len` bytes. `changed` of a thousand rows are another one than in the first version.
pub fn rows(len: usize, changed: u64) -> Vec<u8> {
    let mut text = Vec::with_capacity(len + 128);
    // A row takes more than 32 bytes.
    let count = len / 32;
    for (row, (old, new)) in numbers(1, count).zip(numbers(2, count)).enumerate() {
        let value = if new % 1000 < changed { new >> 10 } else { old };
        let line = format!(
            "{row}\t{}\t{}\t2026-{:02}-{:02} customer {:x}\n",
            value % 100,
            value % 1_000_003,
            value % 12 + 1,
            value % 28 + 1,
            value >> 32
        );
        text.extend_from_slice(line.as_bytes());
        if text.len() >= len {
            break;
        }
    }
    text.truncate(len);
    text
}

/// A segment of bf16 weights of a version of a fine-tune, from 0 to 2.
pub fn bf16(version: usize) -> Vec<u8> {
    let file = VERSIONS[version];
    let header = u64::from_le_bytes(file[..8].try_into().expect("eight bytes")) as usize;
    file[8 + header..8 + header + SEGMENT].to_vec()
}

/// The same weights in f32: what training keeps below the bits of bf16 is noise that stays, and moves in its lowest byte.
pub fn f32(version: usize) -> Vec<u8> {
    let (low, moved) = (noise(3, SEGMENT), noise(4 + version as u8, SEGMENT));
    let weights = bf16(version);
    let pairs = weights.chunks_exact(2).take(SEGMENT / 4).enumerate();
    pairs.flat_map(|(i, high)| [low[2 * i] ^ moved[2 * i] & 0x3f, low[2 * i + 1], high[0], high[1]]).collect()
}

/// The same weights, each row of 896 and each column of a size, as what an optimiser knows of weights is.
pub fn moments() -> Vec<u8> {
    const ROW: usize = 896;
    let sizes: Vec<f32> = numbers(7, ROW + SEGMENT / 4 / ROW + 1).map(|number| ((number % 64) as f32 / 8.0 - 4.0).exp2()).collect();
    let sized = |(i, bytes): (usize, &[u8; 4])| f32::from_le_bytes(*bytes) * sizes[i % ROW] * sizes[ROW + i / ROW];
    f32(0).as_chunks().0.iter().enumerate().map(sized).flat_map(f32::to_le_bytes).collect()
}

/// The same weights in blocks of Q8_0: 32 of a byte each behind their scale in f16.
pub fn q8_0(version: usize) -> Vec<u8> {
    let weights: Vec<f32> =
        bf16(version).chunks_exact(2).map(|pair| f32::from_bits(u32::from(u16::from_le_bytes([pair[0], pair[1]])) << 16)).collect();
    let mut blocks = Vec::new();
    for block in weights.chunks_exact(32) {
        let scale = block.iter().fold(0f32, |most, weight| most.max(weight.abs())) / 127.0;
        blocks.extend_from_slice(&half(scale).to_le_bytes());
        blocks.extend(block.iter().map(|weight| if scale > 0.0 { (weight / scale).round() as i8 } else { 0 } as u8));
    }
    blocks
}

/// The bits of a small positive number in f16, cut off rather than rounded.
fn half(value: f32) -> u16 {
    let bits = value.to_bits();
    let exponent = (bits >> 23) as i32 - 112;
    if exponent <= 0 { 0 } else { (exponent as u16) << 10 | (bits >> 13 & 0x3ff) as u16 }
}
