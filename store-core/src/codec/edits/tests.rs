use proptest::prelude::*;

use super::super::testing::Noise;
use super::script::write;
use super::*;

fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut noise = Noise(seed);
    (0..len).map(|_| noise.next() as u8).collect()
}

/// Rows that are like one another but for a number, as in a table of accounts.
fn rows(numbers: impl Iterator<Item = usize>) -> Vec<u8> {
    numbers.flat_map(|number| format!("{number}\t1\t0\t{}\n", " ".repeat(84)).into_bytes()).collect()
}

fn script_of(coded: &[u8], base: &[u8], plain: &[u8]) -> Script {
    Script::read(coded, base.len(), plain.len()).unwrap()
}

/// Some edit of a string: where, how much goes, and what comes.
fn edited(mut bytes: Vec<u8>, edits: &[(usize, usize, Vec<u8>)]) -> Vec<u8> {
    for (at, gone, new) in edits {
        let at = at % (bytes.len() + 1);
        let end = (at + gone % 300).min(bytes.len());
        bytes.splice(at..end, new.iter().copied());
    }
    bytes
}

fn any_edits() -> impl Strategy<Value = Vec<(usize, usize, Vec<u8>)>> {
    prop::collection::vec((any::<usize>(), any::<usize>(), prop::collection::vec(any::<u8>(), 0..200)), 0..12)
}

proptest! {
    #[test]
    fn what_was_edited_comes_back(seed: u64, len in 0usize..20_000, edits in any_edits(), begins in 0usize..25_000) {
        let base = noise(len, seed);
        let plain = edited(base.clone(), &edits);
        if let Some(coded) = encode(&plain, &base, begins, 3) {
            prop_assert_eq!(decode(&coded, &base, plain.len()), Ok(plain));
        }
    }

    #[test]
    fn so_do_tables_of_like_rows(first in 0usize..1000, count in 0usize..300, edits in any_edits(), begins in 0usize..35_000) {
        let base = rows(first..first + count);
        let plain = edited(base.clone(), &edits);
        if let Some(coded) = encode(&plain, &base, begins, 3) {
            prop_assert_eq!(decode(&coded, &base, plain.len()), Ok(plain));
        }
    }

    #[test]
    fn any_script_comes_back(copies in prop::collection::vec((0u32..100, 0u32..1000, 8u32..500), 0..50), behind in 0u32..20) {
        let copies: Vec<_> = copies.into_iter().map(|(literals, from, len)| Copied { literals, from, len }).collect();
        let literals = copies.iter().map(|copy| copy.literals).sum::<u32>() + behind;
        let len = copies.iter().map(|copy| copy.len).sum::<u32>() + literals;
        let mut coded = Vec::new();
        put_string(&mut coded, &write(&copies, len));
        put_varint(&mut coded, literals.into());
        coded.push(forms::PLAIN);
        coded.extend_from_slice(&noise(literals as usize, 1));
        let script = Script::read(&coded, 1500, len as usize).unwrap();
        prop_assert_eq!(script.copies, copies);
        prop_assert_eq!(script.literals, noise(literals as usize, 1));
    }

    #[test]
    fn any_bytes_decode_or_are_refused(coded in prop::collection::vec(any::<u8>(), 0..60), base in 0usize..100, len in 0usize..3000) {
        if let Ok(plain) = decode(&coded, &noise(base, 2), len) {
            prop_assert_eq!(plain.len(), len);
        }
    }
}

#[test]
fn a_change_in_the_middle_takes_two_copies() {
    let base = noise(100_000, 3);
    for (gone, new) in [(0, &b"inserted"[..]), (500, b""), (4, b"four"), (100, b"other")] {
        let mut plain = base.clone();
        plain.splice(50_000..50_000 + gone, new.iter().copied());
        let coded = encode(&plain, &base, 0, 3).unwrap();
        let script = script_of(&coded, &base, &plain);
        assert_eq!(script.copies.len(), 2, "{gone} replaced by {new:?}: {script:?}");
        assert!(script.literals.len() <= new.len() && coded.len() < 40, "{} bytes", coded.len());
    }
}

#[test]
fn little_that_changed_of_little_is_found() {
    for len in (100..600).step_by(19) {
        let base = noise(len, 8);
        for new in 1..20 {
            let plain = [&base[..len * 2 / 3], &noise(new, 9), &base[len * 2 / 3..]].concat();
            let coded = encode(&plain, &base, 0, 3).unwrap();
            assert!(script_of(&coded, &base, &plain).literals.len() <= new + 24, "{new} in {len}");
            assert_eq!(decode(&coded, &base, plain.len()), Ok(plain));
        }
    }
}

#[test]
fn short_pieces_from_elsewhere_are_copied() {
    let base = noise(1 << 20, 10);
    for (pieces, len) in [(300, 60), (50, 100), (900, 32)] {
        let mut plain = base.clone();
        for piece in 0..pieces {
            let (to, from) = (piece * ((1 << 20) / pieces), (piece * 7919 + 511) * 8 % ((1 << 20) - len));
            plain[to..to + len].copy_from_slice(&base[from..from + len]);
        }
        let script = script_of(&encode(&plain, &base, 0, 3).unwrap(), &base, &plain);
        assert!(script.literals.len() < pieces * len / 50, "{} literals of {pieces} pieces of {len}", script.literals.len());
    }
    // The end stands at the start, and what is expected leads nowhere.
    let plain = [&base[16_384..], &base[..16_384]].concat();
    assert!(script_of(&encode(&plain, &base, 16_384, 3).unwrap(), &base, &plain).literals.is_empty());
}

#[test]
fn rows_that_moved_do_not_lead_to_others_like_them() {
    let base = rows(0..20_000);
    let plain = rows((0..20_000).filter(|row| row % 1000 != 7).chain((0..20_000).filter(|row| row % 1000 == 7)));
    let coded = encode(&plain, &base, 0, 3).unwrap();
    let script = script_of(&coded, &base, &plain);
    assert!(script.copies.len() < 70, "{} copies for 20 rows of 20,000", script.copies.len());
    assert!(coded.len() < 400, "{} bytes", coded.len());
    assert_eq!(decode(&coded, &base, plain.len()), Ok(plain));
}

#[test]
fn whatever_place_is_guessed_the_same_copies_are_found() {
    let base = rows(0..20_000);
    // It begins in the middle of the base, and a block of it stands elsewhere.
    let plain = rows((3000..9000).chain(15_000..16_000).chain(9000..14_000));
    let of = |begins| script_of(&encode(&plain, &base, begins, 3).unwrap(), &base, &plain).copies;
    let from = rows(0..3000).len();
    assert_eq!(of(from).len(), 3, "{:?}", of(from));
    for begins in [0, from + 5000, base.len(), usize::MAX] {
        assert_eq!(of(begins), of(from), "{begins}");
    }
}

#[test]
fn what_changed_everywhere_is_found_in_the_same_row() {
    // A third number in each row of three, of another length.
    let base = rows(0..20_000);
    let changed = |row: usize| format!("{row}\t1\t{}\t{}\n", row * 7919 % 10_000, " ".repeat(84)).into_bytes();
    let plain: Vec<u8> = (0..20_000).flat_map(|row| if row % 3 == 1 { changed(row) } else { rows(row..row + 1) }).collect();
    if let Some(coded) = encode(&plain, &base, 0, 3) {
        assert_eq!(decode(&coded, &base, plain.len()), Ok(plain));
    }
    let few: Vec<u8> = (0..20_000).flat_map(|row| if row % 100 == 1 { changed(row) } else { rows(row..row + 1) }).collect();
    let script = script_of(&encode(&few, &base, 0, 3).unwrap(), &base, &few);
    assert!(script.literals.len() < 200 * 5, "{} bytes of numbers with up to four digits in 200 rows", script.literals.len());
    assert!(script.copies.len() < 450, "{} copies", script.copies.len());
}

#[test]
fn what_has_little_in_common_is_left_to_others() {
    assert_eq!(encode(&noise(50_000, 4), &noise(50_000, 5), 0, 3), None);
    assert_eq!(encode(&noise(50_000, 4), &[], 0, 3), None);
    // All of it is there, in pieces of 100 bytes that stand elsewhere.
    let base = noise(100_000, 6);
    let plain: Vec<u8> = (0..1000).flat_map(|piece| base[piece * 7919 % 1000 * 100..][..100].to_vec()).collect();
    assert_eq!(encode(&plain, &base, 0, 3), None);
}

#[test]
fn nothing_is_made_of_nothing() {
    let coded = encode(&[], b"base", 0, 3).unwrap();
    assert_eq!(decode(&coded, b"base", 0), Ok(Vec::new()));
}

#[test]
fn scripts_that_no_encoder_writes_are_refused() {
    let base = noise(1000, 7);
    let refused = |copies: &[Copied], script_len: u32, literals: &[u8], len: usize| {
        let mut coded = Vec::new();
        put_string(&mut coded, &write(copies, script_len));
        put_varint(&mut coded, literals.len() as u64);
        coded.push(forms::PLAIN);
        coded.extend_from_slice(literals);
        decode(&coded, &base, len).expect_err("it is wrong")
    };
    let copy = |literals, from, len| Copied { literals, from, len };
    let malformed = |why| CodecError::Malformed(why);
    assert_eq!(refused(&[copy(0, 900, 101)], 101, b"", 101), malformed("a copy outside the base"));
    assert_eq!(refused(&[copy(0, 5000, 10)], 10, b"", 10), malformed("a copy outside the base"));
    assert_eq!(refused(&[copy(0, 0, 100)], 100, b"", 99), malformed("a script beyond the plain bytes"));
    refused(&[copy(3, 0, 97)], 100, b"two", 101);
    assert_eq!(refused(&[copy(3, 0, 97)], 100, b"12", 100), malformed("other literals than the script's"));
    assert_eq!(refused(&[copy(3, 0, 97)], 100, b"1234", 100), malformed("other literals than the script's"));
    let many: Vec<_> = (0..50).map(|at| copy(0, at * 2, 1)).collect();
    assert_eq!(refused(&many, 50, b"", 50), malformed("a script of too many copies"));
}
