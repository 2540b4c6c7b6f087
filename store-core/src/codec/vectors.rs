//! Coded bytes that were made once and must be readable for ever: `vectors.txt`, which only ever grows.
//!
//! A line of plain bytes is `edits`, base, plain, coded; one of numbers is `planes`, `difference`, `converted` or `trend`, element code (of what is converted, a comma and that of its base), then none, one or two
//! bases, plain, coded; bytes in hexadecimal.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;

use super::testing::{Noise, odd_floats, run, weights, widened_to};
use super::{BlockKind, Element, convert, converted_from_len, edits, float_diff, planes};
use crate::base::wire::Reader;

const VECTORS: &str = include_str!("vectors.txt");

fn bytes(hex: &str) -> Vec<u8> {
    if hex == "-" {
        return Vec::new();
    }
    hex.as_bytes().chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

#[test]
fn every_vector_is_decoded() {
    let mut forms = BTreeSet::new();
    for line in VECTORS.lines().filter(|line| !line.starts_with('#')) {
        let fields: Vec<&str> = line.split(' ').collect();
        if let ["edits", hex @ ..] = &fields[..] {
            let [base, plain, coded] = [0, 1, 2].map(|at| bytes(hex[at]));
            assert_eq!(edits::decode(&coded, &base, plain.len()).as_ref(), Ok(&plain));
            forms.insert(("edits", form_of_literals(&coded)));
            continue;
        }
        let codes = fields[1].split(',').map(|code| Element::from_code(code.parse().unwrap()).unwrap());
        let (element, of_base) = codes.fold((None, None), |(element, _), next| (element.or(Some(next)), Some(next)));
        let (element, of_base) = (element.unwrap(), of_base.unwrap());
        let rest: Vec<_> = fields[2..].iter().map(|hex| bytes(hex)).collect();
        let coded = rest.last().unwrap();
        forms.insert((fields[0], coded[0]));
        // The first plane tells its kind; before it stands a float split of three bytes, if any.
        let plane = match coded[..] {
            [1, ref plane @ ..] | [2, _, _, _, ref plane @ ..] if fields[0] == "planes" => plane,
            _ => &[],
        };
        forms.extend(plane.first().map(|&kind| ("plane", kind)));
        if let [3, plane @ ..] = plane {
            let expected = Reader::new(plane).string("a plane", plane.len()).unwrap();
            forms.insert(("rows", u8::from(expected[..2] != [0, 0])));
            forms.insert(("classes below zero", expected[3] >> 7));
            forms.extend((expected[4] == 8).then_some(("classes as wide as they can be", 1)));
        }
        match (fields[0], &rest[..]) {
            ("planes", [plain, coded]) => assert_eq!(planes::decode(element, coded, plain.len()).as_ref(), Ok(plain)),
            ("difference", [base, plain, coded]) => {
                assert_eq!(float_diff::decode(element, coded, base, plain.len()).as_ref(), Ok(plain));
            }
            ("converted", [base, plain, coded]) => {
                let base = convert(of_base, element, base, plain.len()).unwrap();
                assert_eq!(float_diff::decode(element, coded, &base, plain.len()).as_ref(), Ok(plain));
            }
            ("trend", [base, older, plain, coded]) => {
                let bases = [&base[..], older].concat();
                assert_eq!(float_diff::decode_trend(element, coded, &bases, plain.len()).as_ref(), Ok(plain));
            }
            _ => panic!("not a vector: {line}"),
        }
    }
    let forms_of = |name, count: u8| (0..count).map(move |form| (name, form));
    let trends = forms_of("trend", 6).filter(|form| form.1 != 4);
    let converted = [("converted", 1), ("converted", 3), ("converted", 4)];
    let short = [("difference", 6), ("trend", 6)];
    let numbers = forms_of("planes", 4).chain(forms_of("difference", 5)).chain(trends).chain(converted).chain(short);
    let expected = [("rows", 0), ("rows", 1), ("classes below zero", 0), ("classes below zero", 1), ("classes as wide as they can be", 1)];
    let planes = [("plane", 2), ("plane", 3)].into_iter().chain(expected);
    assert_eq!(forms, BTreeSet::from_iter(numbers.chain(planes).chain(forms_of("edits", 2))));
}

/// The byte behind the script and the count of literals.
fn form_of_literals(coded: &[u8]) -> u8 {
    let mut reader = Reader::new(coded);
    reader.string("a script", coded.len()).unwrap();
    reader.varint().unwrap();
    reader.u8().unwrap()
}

/// Rows of which some went, came, changed and moved.
#[allow(clippy::print_stdout, reason = "what is printed is to be put into a file")]
fn print_edits(hex: impl Fn(&[u8]) -> String) {
    let mut noise = Noise(12);
    let mut row = |number: usize| format!("{number} {:016x}{:016x}\n", noise.next(), noise.next()).into_bytes();
    let base: Vec<Vec<u8>> = (100..160).map(&mut row).collect();
    let mut few = base.clone();
    few.remove(7);
    few.insert(20, b"one that came\n".to_vec());
    few[30][5..9].copy_from_slice(b"four");
    let moved = few.remove(45);
    few.insert(3, moved);
    let mut many = few.clone();
    many.splice(10..14, (0..6).map(|number| format!("{number} rows of the same words, of the same words\n").into_bytes()));
    let turned = [&base[32..], &base[..30]].concat();
    for plain in [vec![], few, many, turned, vec![b"a row\n".to_vec(), base.concat()]] {
        let (plain, base) = (plain.concat(), base.concat());
        println!("edits {} {} {}", hex(&base), hex(&plain), hex(&edits::encode(&plain, &base, 0, 3).unwrap()));
    }
}

/// Prints lines for `vectors.txt`, made by the encoders as they are now.
#[test]
#[ignore = "makes new vectors"]
#[allow(clippy::print_stdout, reason = "what is printed is to be put into a file")]
fn print_vectors() {
    let hex = |bytes: &[u8]| {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        if hex.is_empty() { "-".into() } else { hex }
    };
    print_edits(hex);
    let mut noise = Noise(11);
    let zeros = vec![0; 700];
    let mut spots = zeros.clone();
    spots[300] = 7;
    let mut inputs: Vec<(Element, Vec<u8>, Vec<u8>)> = vec![
        (Element::Int8, Vec::new(), Vec::new()),
        (Element::F32, vec![1, 2, 3], vec![1, 2, 4]),
        (Element::Int8, spots, zeros),
        (Element::Bf16, odd_floats(), odd_floats().into_iter().rev().collect()),
    ];
    for element in [Element::F64, Element::F32, Element::F16, Element::Bf16, Element::F8E4M3, Element::Int16, Element::Int64] {
        let (mut plain, mut base) = weights(element, 160, 21);
        plain.push(noise.next() as u8);
        base.push(noise.next() as u8);
        inputs.push((element, plain, base));
    }
    // Floats that are short ones made long: planes of one value.
    let (plain, base) = weights(Element::Bf16, 200, 5);
    let long = |short: &[u8]| short.chunks(2).flat_map(|x| [0, 0, x[0], x[1]]).collect();
    inputs.push((Element::F32, long(&plain), long(&base)));
    for kind in [BlockKind::Q8_0, BlockKind::Q4_K] {
        let (plain, mut base) = weights(Element::Block(kind), 6, 3);
        base.iter_mut().skip(40).step_by(9).for_each(|byte| *byte = byte.wrapping_add(1));
        inputs.push((Element::Block(kind), plain, base));
    }
    for (element, plain, base) in inputs {
        let code = element.code();
        println!("planes {code} {} {}", hex(&plain), hex(&planes::encode(element, &plain)));
        println!("difference {code} {} {} {}", hex(&base), hex(&plain), hex(&float_diff::encode(element, &plain, &base)));
    }
    // Rows enough for columns to be followed as slowly as they ever are, and an end that is no whole block. Then sizes of blocks alone.
    let table: Vec<u8> = (0..1250u32).map(|i| (i / 32 % 5 * 3 + i % 32 * 7 % 32) as u8 + (noise.next() % 3) as u8).collect();
    let calm: Vec<u8> = (0..1500u32).flat_map(|i| [noise.next() as u8 & 127, 0x3f - (i / 256 * 3) as u8]).collect();
    // Between what is always high and always low something turns: more is expected than there is, and less than nothing.
    let mut turn = 0;
    let turns: Vec<u8> = (0..4800u32)
        .map(|i| {
            turn = if i % 64 == 0 { noise.next() as u8 & 1 } else { turn };
            [turn * 250, 250, turn * 250, 0][i as usize / 16 % 4] + (i % 64 * 37 / 5 % 4) as u8 + (noise.next() % 2) as u8
        })
        .collect();
    for (element, plain) in [(Element::Int8, table), (Element::Bf16, calm), (Element::Int8, turns)] {
        println!("planes {} {} {}", element.code(), hex(&plain), hex(&planes::encode(element, &plain)));
    }
    let zeros = vec![0; 700];
    let mut spots = zeros.clone();
    spots[300] = 7;
    let odd = odd_floats();
    let turned = |by: usize| [&odd[by..], &odd[..by]].concat();
    let mut runs = vec![
        (Element::F32, vec![1, 2, 5], vec![1, 2, 4], vec![1, 2, 3]),
        (Element::Int8, spots.clone(), zeros.clone(), spots.clone()),
        (Element::Bf16, odd.clone(), odd.clone(), turned(2)),
    ];
    for element in [Element::F64, Element::F32, Element::F16, Element::Bf16, Element::F8E5M2] {
        runs.push((element, turned(8).repeat(8), odd.repeat(8), turned(16).repeat(8)));
    }
    for element in [Element::F64, Element::F32, Element::Bf16, Element::Int16, Element::Int64, Element::Block(BlockKind::Q8_0)] {
        let count = if matches!(element, Element::Block(_)) { 12 } else { 300 };
        let (older, base, mut plain) = run(element, count, 31);
        let mut ends = [base, older];
        ends.iter_mut().chain([&mut plain]).for_each(|bytes| bytes.push(noise.next() as u8));
        let [base, older] = ends;
        runs.push((element, plain, base, older));
    }
    for (narrow, wide) in [(Element::Bf16, Element::F32), (Element::F32, Element::F64)] {
        let versions = <[Vec<u8>; 3]>::from(run(narrow, 200, 17)).map(|version| widened_to(wide, &version));
        let [older, base, mut plain] = versions;
        // The signs of zeros, and what is no number.
        plain[wide.size()..3 * wide.size()].copy_from_slice(&[&vec![0; wide.size()][..], &base[..wide.size()]].concat());
        plain[2 * wide.size() - 1] = 0x80;
        plain[4 * wide.size() - 2..4 * wide.size()].copy_from_slice(&[0xf8, 0xff]);
        println!("difference {} {} {} {}", wide.code(), hex(&base), hex(&plain), hex(&float_diff::encode(wide, &plain, &base)));
        runs.push((wide, plain, base, older));
        // Long enough for the recent magnitude to tell, and for other parts to move by more.
        let (mut plain, base) = weights(narrow, 800, 18);
        let calm = plain.len() / 2;
        plain[..calm].copy_from_slice(&base[..calm]);
        let [plain, base] = [plain, base].map(|version| widened_to(wide, &version));
        println!("difference {} {} {} {}", wide.code(), hex(&base), hex(&plain), hex(&float_diff::encode(wide, &plain, &base)));
    }
    let q8_0 = Element::Block(BlockKind::Q8_0);
    for (from, to) in [
        (Element::F32, q8_0),
        (Element::Bf16, q8_0),
        (Element::F32, Element::F16),
        (Element::F16, Element::Bf16),
        (Element::Bf16, Element::F32),
    ] {
        let base = [weights(Element::F32, 128, 8).0, odd_floats().repeat(4)[..128 * 4].to_vec()].concat();
        let base = if from == Element::F32 { base } else { convert(Element::F32, from, &base, 512).unwrap() };
        let numbers = base.len() / from.size();
        let len = if to == q8_0 { numbers / 32 * 34 } else { numbers * to.size() };
        assert_eq!(converted_from_len(from, to, len), Some(base.len()));
        let guess = convert(from, to, &base, len).unwrap();
        // A program that rounds otherwise here and there, and one that does not.
        let plain: Vec<u8> = guess.iter().enumerate().map(|(i, byte)| byte.wrapping_add(u8::from(i % 37 == 2))).collect();
        for plain in [&plain, &guess] {
            let coded = float_diff::encode(to, plain, &guess);
            println!("converted {},{} {} {} {}", to.code(), from.code(), hex(&base), hex(plain), hex(&coded));
        }
    }
    for (element, plain, base, older) in runs {
        let coded = float_diff::encode_trend(element, &plain, &base, &older);
        println!("trend {} {} {} {} {}", element.code(), hex(&base), hex(&older), hex(&plain), hex(&coded));
    }
}
