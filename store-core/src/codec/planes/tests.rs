use proptest::prelude::*;

use super::super::testing::{Noise, any_bytes, any_element, elements, moments, odd_floats, weights};
use super::*;

fn survives(element: Element, plain: &[u8]) -> Vec<u8> {
    let coded = encode(element, plain);
    assert!(coded.len() <= plain.len() + 1, "{element:?}: {} bytes of {}", coded.len(), plain.len());
    assert_eq!(decode(element, &coded, plain.len()).as_deref(), Ok(plain), "{element:?}");
    coded
}

proptest! {
    #[test]
    fn any_bytes_come_back(element in any_element(), plain in any_bytes(4000)) {
        survives(element, &plain);
    }

    #[test]
    fn any_coded_bytes_are_decoded_or_refused(element in any_element(), bytes in any_bytes(600), form in 0u8..5, len in 0usize..5000) {
        let mut bytes = bytes;
        if let Some(first) = bytes.first_mut() {
            *first = form;
        }
        if let Ok(plain) = decode(element, &bytes, len) {
            prop_assert_eq!(plain.len(), len);
        }
    }

    #[test]
    fn damaged_bytes_are_decoded_or_refused(element in any_element(), seed: u64, at: prop::sample::Index, to: u8, cut: prop::sample::Index) {
        let plain = if seed.is_multiple_of(2) { weights(element, 3000, seed).0 } else { moments(60, 64, seed) };
        let mut coded = encode(element, &plain);
        let place = at.index(coded.len().min(200));
        coded[place] ^= to;
        if let Ok(other) = decode(element, &coded, plain.len()) {
            prop_assert_eq!(other.len(), plain.len());
        }
        prop_assert!(decode(element, &coded[..cut.index(coded.len())], plain.len()).is_err());
    }
}

#[test]
fn every_length_and_element_comes_back() {
    let mut noise = Noise(3);
    for element in elements() {
        for len in 0..71 {
            survives(element, &(0..len).map(|_| noise.next() as u8 & 0x8f).collect::<Vec<_>>());
        }
        survives(element, &odd_floats());
        survives(element, &odd_floats().repeat(50));
        survives(element, &weights(element, 40_000, 5).0);
        survives(element, &moments(50, 333, 5));
    }
}

#[test]
fn weights_shrink_as_far_as_their_exponents_allow() {
    let share = |element| {
        let (plain, _) = weights(element, 1 << 18, 1);
        survives(element, &plain).len() as f64 / plain.len() as f64
    };
    assert!(share(Element::Bf16) < 0.67);
    assert!(share(Element::F32) < 0.84);
    assert!(share(Element::F64) < 0.92);
}

#[test]
fn what_is_known_of_weights_shrinks_by_its_rows() {
    for (rows, columns) in [(300, 896), (900, 96), (100, 1000), (20, 8192)] {
        let plain = moments(rows, columns, 7);
        // The same numbers, out of their rows.
        let mut shuffled: Vec<[u8; 4]> = plain.as_chunks().0.to_vec();
        shuffled.sort_by_key(|bytes| blake3::hash(bytes).as_bytes()[0]);
        let (coded, by_itself) = (survives(Element::F32, &plain).len(), survives(Element::F32, shuffled.as_flattened()).len());
        assert!(coded < by_itself - plain.len() / 100, "{rows} rows of {columns}: {coded} of {by_itself}");
        let halves: Vec<u8> = plain.as_chunks::<4>().0.iter().flat_map(|bytes| [bytes[2], bytes[3]]).collect();
        assert!(survives(Element::Bf16, &halves).len() < by_itself - plain.len() / 2 - plain.len() / 100);
    }
}

#[test]
fn tables_of_integers_shrink_by_their_columns() {
    let mut noise = Noise(4);
    let plain: Vec<u8> = (0..2000)
        .flat_map(|_| (0..48u16).map(|i| i * 700 + (noise.next() % 500) as u16).collect::<Vec<_>>())
        .flat_map(u16::to_le_bytes)
        .collect();
    assert!(survives(Element::Int16, &plain).len() < plain.len() * 3 / 4);
}

#[test]
fn floats_whose_low_bits_are_zero_cost_no_more_than_short_ones() {
    let (short, _) = weights(Element::Bf16, 1 << 16, 1);
    let long: Vec<u8> = short.chunks(2).flat_map(|x| [0, 0, x[0], x[1]]).collect();
    assert!(survives(Element::F32, &long).len() < survives(Element::Bf16, &short).len() + 64);
}

#[test]
fn constant_planes_cost_nothing() {
    assert!(survives(Element::F32, &[0; 1 << 20]).len() < 32);
    assert!(survives(Element::Int64, &7u64.to_le_bytes().repeat(5000)).len() < 32);
}

#[test]
fn noise_is_stored() {
    let mut noise = Noise(9);
    let plain: Vec<u8> = (0..100_000).map(|_| noise.next() as u8).collect();
    assert_eq!(survives(Element::Int32, &plain).len(), plain.len() + 1);
}

#[test]
fn a_longer_or_shorter_plain_length_is_refused() {
    let (plain, _) = weights(Element::Bf16, 5000, 1);
    let coded = encode(Element::Bf16, &plain);
    for len in [0, 1, plain.len() - 2, plain.len() - 1, plain.len() + 1, plain.len() + 2] {
        assert!(decode(Element::Bf16, &coded, len).is_err());
    }
}
