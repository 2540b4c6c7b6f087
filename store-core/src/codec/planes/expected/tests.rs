use proptest::prelude::*;

use super::super::super::CodecError;
#[cfg(target_arch = "x86_64")]
use super::super::super::entropy::Avx2Blocks;
use super::super::super::entropy::RansDecoder;
#[cfg(target_arch = "x86_64")]
use super::super::super::kernel::has_avx2;
use super::super::super::testing::Noise;
use super::decode::Head;
use super::encode::Coding;
use super::*;

/// Decodes on all kernels that there are, which must agree.
fn decode_everywhere(coded: &[u8], count: usize) -> Result<Vec<u8>, CodecError> {
    let portable = Head::read(coded).and_then(|head| head.values::<RansDecoder<'_>>(count));
    #[cfg(target_arch = "x86_64")]
    if has_avx2() {
        assert_eq!(Head::read(coded).and_then(|head| head.values::<Avx2Blocks<'_>>(count)), portable);
    }
    assert_eq!(decode(coded, count), portable);
    portable
}

fn survives(row: u16, values: &[u8]) {
    let coded = Coding::choose(row, values).write(row, values);
    assert_eq!(decode_everywhere(&coded, values.len()).as_deref(), Ok(values), "rows of {row}");
}

proptest! {
    #[test]
    fn values_in_rows_of_any_length_come_back(row in prop_oneof![0u16..5, 0u16..190], len in 1usize..3000, most: u8, seed: u64) {
        let mut noise = Noise(seed);
        let row = row.min(len.div_ceil(LANES) as u16);
        let values: Vec<u8> = (0..len).map(|_| (noise.next() as u8).min(most)).collect();
        survives(row, &values);
    }

    #[test]
    fn damaged_values_are_decoded_or_refused_alike_on_all_kernels(seed: u64, at: prop::sample::Index, to: u8, cut: prop::sample::Index) {
        let values = in_rows(3, 40, seed);
        let mut coded = Coding::choose(3, &values).write(3, &values);
        let place = at.index(coded.len().min(120));
        coded[place] ^= to;
        if let Ok(other) = decode_everywhere(&coded, values.len()) {
            prop_assert_eq!(other.len(), values.len());
        }
        prop_assert!(decode_everywhere(&coded[..cut.index(coded.len())], values.len()).is_err());
    }
}

/// Values that are the sum of one of their row, one of their column and noise; the last row is short.
fn in_rows(blocks: usize, rows: usize, seed: u64) -> Vec<u8> {
    let mut noise = Noise(seed);
    let columns: Vec<u64> = (0..blocks * LANES).map(|_| noise.next() % 60).collect();
    let mut values = Vec::new();
    for _ in 0..rows {
        let row = noise.next() % 60;
        values.extend(columns.iter().map(|column| (row + column + noise.next() % 16) as u8));
    }
    values.truncate(values.len() - 5);
    values
}

#[test]
fn rows_tell_more_than_blocks_and_these_more_than_nothing() {
    let values = in_rows(6, 400, 1);
    let bits = |cost: u64| cost as f64 / values.len() as f64;
    let [rows, blocks] = [6, 0].map(|row| bits(Coding::choose(row, &values).cost()));
    let nothing = bits(Coding::choose(0, &values).otherwise);
    assert!(rows + 0.5 < blocks && blocks + 0.1 < nothing, "{rows}, {blocks}, {nothing}");
    assert!(encode(6, &values).is_some());
}

#[test]
fn what_nothing_tells_of_is_left_to_one_table() {
    let mut noise = Noise(2);
    let values: Vec<u8> = (0..50_000).map(|_| (noise.next() & noise.next() & 63) as u8).collect();
    assert!([0, 6, 48].iter().all(|&row| encode(row, &values).is_none()));
}

#[test]
fn rows_longer_than_the_plane_are_refused() {
    let values = vec![3; 100];
    let coded = Coding::choose(7, &values).write(7, &values);
    assert_eq!(decode_everywhere(&coded, 100).as_ref(), Ok(&values));
    for row in [8, 9, u16::MAX] {
        assert!(decode_everywhere(&[&row.to_le_bytes(), &coded[2..]].concat(), 100).is_err());
    }
}

#[test]
fn extremes_overflow_nothing() {
    for row in [0, 1, 2, 7] {
        let turns: Vec<u8> = (0..4096).map(|i| if i / 16 % 3 == 0 { 255 } else { 0 }).collect();
        survives(row, &turns);
        survives(row, &[255; 4096]);
        survives(row.min(2), &[0; 17]);
        survives(row.min(1), &[9]);
    }
}
