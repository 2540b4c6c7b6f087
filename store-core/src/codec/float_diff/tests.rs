use proptest::prelude::*;

use super::super::testing::{Noise, any_bytes, any_element, elements, odd_floats, weights};
use super::*;

fn survives(element: Element, plain: &[u8], base: &[u8]) -> Vec<u8> {
    let coded = encode(element, plain, base);
    assert!(coded.len() <= plain.len() + 1, "{element:?}: {} bytes of {}", coded.len(), plain.len());
    assert_eq!(decode(element, &coded, base, plain.len()).as_deref(), Ok(plain), "{element:?}");
    coded
}

proptest! {
    #[test]
    fn any_pair_comes_back(element in any_element(), plain in any_bytes(4000), base in any_bytes(4000)) {
        let mut base = base;
        base.resize(plain.len(), 0x3f);
        survives(element, &plain, &base);
        survives(element, &plain, &plain);
    }

    #[test]
    fn a_few_changes_come_back(element in any_element(), plain in any_bytes(60_000), changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..40)) {
        let mut base = plain.clone();
        for (at, to) in changes {
            if !base.is_empty() {
                let at = at.index(base.len());
                base[at] = to;
            }
        }
        survives(element, &plain, &base);
    }

    #[test]
    fn any_coded_bytes_are_decoded_or_refused(element in any_element(), bytes in any_bytes(600), form in 0u8..6, base in any_bytes(5000)) {
        let mut bytes = bytes;
        if let Some(first) = bytes.first_mut() {
            *first = form;
        }
        if let Ok(plain) = decode(element, &bytes, &base, base.len()) {
            prop_assert_eq!(plain.len(), base.len());
        }
    }

    #[test]
    fn damaged_bytes_are_decoded_or_refused(element in any_element(), seed: u64, at: prop::sample::Index, to: u8, cut: prop::sample::Index) {
        let (plain, base) = weights(element, 3000, seed);
        let mut coded = encode(element, &plain, &base);
        let place = at.index(coded.len().min(300));
        coded[place] ^= to;
        if let Ok(other) = decode(element, &coded, &base, plain.len()) {
            prop_assert_eq!(other.len(), plain.len());
        }
        prop_assert!(decode(element, &coded[..cut.index(coded.len())], &base, plain.len()).is_err());
    }
}

#[test]
fn every_length_and_element_comes_back() {
    let mut noise = Noise(3);
    for element in elements() {
        for len in 0..71 {
            let plain: Vec<u8> = (0..len).map(|_| noise.next() as u8 & 0x8f).collect();
            let base: Vec<u8> = plain.iter().map(|x| x ^ (noise.next() & noise.next() & noise.next()) as u8).collect();
            survives(element, &plain, &base);
        }
        let odd = odd_floats().repeat(50);
        let mut turned = odd.clone();
        turned.rotate_left(8);
        survives(element, &odd, &turned);
        let (plain, base) = weights(element, 40_000, 5);
        survives(element, &plain, &base);
        survives(element, &base, &plain);
    }
}

#[test]
fn equal_bytes_cost_one_byte() {
    let (plain, _) = weights(Element::F32, 9999, 1);
    assert_eq!(survives(Element::F32, &plain, &plain).len(), 1);
}

#[test]
fn a_few_changed_elements_cost_a_few_bytes_each() {
    for element in [Element::F64, Element::F32, Element::Bf16, Element::Int8] {
        let (plain, _) = weights(element, 1 << 17, 1);
        let mut base = plain.clone();
        for at in (0..base.len()).step_by(element.size() * 4099) {
            base[at] ^= 1;
        }
        assert!(survives(element, &plain, &base).len() < 40 * 4, "{element:?}");
    }
}

#[test]
fn a_small_step_costs_the_bits_that_it_moves() {
    let share = |element| {
        let (plain, base) = weights(element, 1 << 18, 1);
        survives(element, &plain, &base).len() as f64 / plain.len() as f64
    };
    assert!(share(Element::Bf16) < 0.19, "{}", share(Element::Bf16));
    assert!(share(Element::F32) < 0.6, "{}", share(Element::F32));
}

#[test]
fn a_base_of_another_length_is_refused() {
    let coded = encode(Element::Bf16, &[1, 2, 3, 4], &[1, 2, 3, 4]);
    assert_eq!(decode(Element::Bf16, &coded, &[1, 2, 3], 4), Err(CodecError::BaseLength));
}
