use proptest::prelude::*;

use super::super::BlockKind;
use super::super::testing::{Noise, any_bytes, any_element, elements, odd_floats, run, weights, widened_to};
use super::*;

fn survives(element: Element, plain: &[u8], base: &[u8]) -> Vec<u8> {
    let coded = encode(element, plain, base);
    assert!(coded.len() <= plain.len() + 1, "{element:?}: {} bytes of {}", coded.len(), plain.len());
    assert_eq!(decode(element, &coded, base, plain.len()).as_deref(), Ok(plain), "{element:?}");
    coded
}

fn trend_survives(element: Element, plain: &[u8], base: &[u8], older: &[u8]) -> Vec<u8> {
    let coded = encode_trend(element, plain, base, older);
    assert!(coded.len() <= plain.len() + 1, "{element:?}: {} bytes of {}", coded.len(), plain.len());
    let bases = [base, older].concat();
    assert_eq!(decode_trend(element, &coded, &bases, plain.len()).as_deref(), Ok(plain), "{element:?}");
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
    fn any_three_versions_come_back(element in any_element(), plain in any_bytes(4000), base in any_bytes(4000), older in any_bytes(4000)) {
        let (mut base, mut older) = (base, older);
        base.resize(plain.len(), 0x3f);
        older.resize(plain.len(), 0xbf);
        trend_survives(element, &plain, &base, &older);
        trend_survives(element, &plain, &base, &plain);
        trend_survives(element, &plain, &base, &base);
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
    fn any_coded_bytes_are_decoded_or_refused(element in any_element(), bytes in any_bytes(600), form in 0u8..7, base in any_bytes(5000)) {
        let mut bytes = bytes;
        if let Some(first) = bytes.first_mut() {
            *first = form;
        }
        if let Ok(plain) = decode(element, &bytes, &base, base.len()) {
            prop_assert_eq!(plain.len(), base.len());
        }
        if let Ok(plain) = decode_trend(element, &bytes, &base, base.len() / 2) {
            prop_assert_eq!(plain.len(), base.len() / 2);
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

proptest! {
    #[test]
    fn damaged_trends_are_decoded_or_refused(element in any_element(), seed: u64, at: prop::sample::Index, to: u8, cut: prop::sample::Index) {
        let (older, base, plain) = run(element, 3000, seed);
        let mut coded = encode_trend(element, &plain, &base, &older);
        let bases = [base, older].concat();
        let place = at.index(coded.len().min(300));
        coded[place] ^= to;
        if let Ok(other) = decode_trend(element, &coded, &bases, plain.len()) {
            prop_assert_eq!(other.len(), plain.len());
        }
        prop_assert!(decode_trend(element, &coded[..cut.index(coded.len())], &bases, plain.len()).is_err());
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
            let older: Vec<u8> = base.iter().map(|x| x.wrapping_add(noise.next() as u8 & 3)).collect();
            trend_survives(element, &plain, &base, &older);
        }
        let odd = odd_floats().repeat(50);
        let mut turned = odd.clone();
        turned.rotate_left(8);
        survives(element, &odd, &turned);
        let mut twice = turned.clone();
        twice.rotate_left(2);
        trend_survives(element, &odd, &turned, &twice);
        let (plain, base) = weights(element, 40_000, 5);
        survives(element, &plain, &base);
        survives(element, &base, &plain);
        let (older, base, plain) = run(element, 40_000, 5);
        trend_survives(element, &plain, &base, &older);
    }
}

#[test]
fn elements_that_go_on_as_before_cost_less_given_two_bases() {
    for element in [Element::F64, Element::F32, Element::Bf16, Element::Int8, Element::Block(BlockKind::Q8_0)] {
        let (older, base, plain) = run(element, 1 << 16, 1);
        let (alone, both) = (survives(element, &plain, &base).len(), trend_survives(element, &plain, &base, &older).len());
        assert!(both * 100 < alone * if matches!(element, Element::Block(_)) { 101 } else { 90 }, "{element:?}: {both} of {alone}");
    }
}

#[test]
fn an_older_base_is_asked_for_where_it_was_used() {
    let (older, base, plain) = run(Element::Bf16, 5000, 1);
    let coded = encode_trend(Element::Bf16, &plain, &base, &older);
    assert!(decode(Element::Bf16, &coded, &base, plain.len()).is_err());
    assert_eq!(decode_trend(Element::Bf16, &coded, &base, plain.len()), Err(CodecError::BaseLength));
    let alone = encode(Element::Bf16, &plain, &base);
    assert_eq!(decode_trend(Element::Bf16, &alone, &[base, older].concat(), plain.len()).as_ref(), Ok(&plain));
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
fn weights_that_were_narrower_once_cost_what_they_would_then() {
    for (narrow, wide) in [(Element::Bf16, Element::F32), (Element::F32, Element::F64)] {
        let (older, base, plain) = run(narrow, 1 << 16, 3);
        let [wide_older, wide_base, wide_plain] = [&older, &base, &plain].map(|version| widened_to(wide, version));
        let (then, now) = (survives(narrow, &plain, &base).len(), survives(wide, &wide_plain, &wide_base).len());
        assert!(now * 100 < then * 103, "{wide:?}: {now} for {then}");
        let then = trend_survives(narrow, &plain, &base, &older).len();
        let coded = trend_survives(wide, &wide_plain, &wide_base, &wide_older);
        assert!(coded.len() * 100 < then * 103, "{wide:?}: {} for {then}", coded.len());
        assert_eq!((coded[0], coded[2]), (SHORT, TREND));
        // One element that is longer, anywhere, and all are coded as they are.
        for at in [0, wide_plain.len() / 2] {
            let mut longer = wide_base.clone();
            longer[at] |= 1;
            assert_ne!(survives(wide, &wide_plain, &longer)[0], SHORT);
        }
    }
}

#[test]
fn zeros_powers_of_two_and_what_is_no_number_come_back_short() {
    let values = [0.0f32, -0.0, 1.0, -2.0, 0.5, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, f32::from_bits(0xffc0_0000), f32::MIN_POSITIVE];
    let bytes = |turn: usize| (0..500).flat_map(|i| values[(i * i + turn) % values.len()].to_le_bytes()).collect::<Vec<u8>>();
    assert_eq!(survives(Element::F32, &bytes(3), &bytes(0))[..2], [SHORT, 22]);
    trend_survives(Element::F32, &bytes(3), &bytes(0), &bytes(1));
    let zeros = vec![0; 2000];
    survives(Element::F32, &zeros, &bytes(0));
    let signs: Vec<u8> = (0..500u32).flat_map(|i| ((i & 1) << 31).to_le_bytes()).collect();
    survives(Element::F32, &signs, &zeros);
}

#[test]
fn bits_that_an_element_does_not_have_are_refused() {
    let (_, base, plain) = run(Element::Bf16, 1000, 3);
    let [base, plain] = [base, plain].map(|version| widened_to(Element::F32, &version));
    let coded = encode(Element::F32, &plain, &base);
    assert_eq!(coded[..3], [SHORT, 16, DENSE]);
    for (at, to) in [(1, 0), (1, 24), (1, 255), (2, SPARSE), (2, EQUAL), (2, SHORT), (2, TREND)] {
        let mut other = coded.clone();
        other[at] = to;
        assert!(matches!(decode(Element::F32, &other, &base, plain.len()), Err(CodecError::Malformed(_))), "{at}: {to}");
    }
    assert!(decode(Element::Int32, &coded, &base, plain.len()).is_err());
    assert_eq!(decode(Element::F32, &coded[..2], &base, plain.len()), Err(CodecError::Truncated));
}

#[test]
fn a_base_of_another_length_is_refused() {
    let coded = encode(Element::Bf16, &[1, 2, 3, 4], &[1, 2, 3, 4]);
    assert_eq!(decode(Element::Bf16, &coded, &[1, 2, 3], 4), Err(CodecError::BaseLength));
}
