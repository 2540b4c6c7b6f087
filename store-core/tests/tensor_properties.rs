//! Whatever the bytes are: no panic, a layout that holds to its promises, and the same one again.

#[path = "../src/tensor/samples.rs"]
mod samples;

use proptest::collection::vec;
use proptest::prelude::*;
use samples::{GgufFile, Pickle, Zip};
use store_core::tensor::layout_of;

fn holds(bytes: &[u8]) -> Result<(), TestCaseError> {
    let layout = layout_of(bytes);
    prop_assert!(layout.as_ref().is_none_or(|layout| layout.is_valid(bytes.len() as u64)));
    prop_assert_eq!(layout, layout_of(bytes));
    Ok(())
}

/// A well-formed file of each kind.
fn well_formed() -> Vec<Vec<u8>> {
    let mut gguf = GgufFile::new(3);
    gguf.pair("words", 9, &[&8_u32.to_le_bytes()[..], &1_u64.to_le_bytes(), &samples::gguf_string("word")].concat());
    gguf.tensor("a", 0, &[8, 2], 0);
    gguf.tensor("b", 8, &[32, 2], 64);
    let mut npz = Zip::default();
    npz.member("x.npy", &samples::npy("<f4", "(2, 3)", 24));
    npz.aligned_member("y.npy", &samples::npy("|u1", "(5,)", 5));
    let mut pickle = Pickle::new();
    pickle.open_dict();
    pickle.text("a");
    pickle.tensor("FloatStorage", "0", 6, &[2, 3]);
    pickle.text("b");
    pickle.tensor("HalfStorage", "1", 12, &[12]);
    pickle.close_dict();
    let mut archive = Zip::default();
    archive.aligned_member("m/data.pkl", &pickle.bytes());
    archive.member("m/data/0", &[5; 24]);
    archive.aligned_member("m/data/1", &[5; 24]);
    vec![
        samples::safetensors(&[("a", "F32", &[2, 3], 24), ("b", "BF16", &[4], 8)]),
        gguf.bytes(132),
        samples::npy("<f4", "(2, 3)", 24),
        npz.bytes(false),
        archive.bytes(false),
        archive.bytes(true),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_survived(bytes in vec(any::<u8>(), 0..4096)) {
        holds(&bytes)?;
    }

    #[test]
    fn any_bytes_behind_a_magic_are_survived(
        magic in prop::sample::select(vec![&b"GGUF\x03\0\0\0"[..], b"PK\x03\x04", b"\x93NUMPY\x01\0", b"\x40\0\0\0\0\0\0\0{"]),
        bytes in vec(any::<u8>(), 0..4096),
    ) {
        holds(&[magic, &bytes].concat())?;
    }

    #[test]
    fn any_pickle_is_survived(opcodes in vec(prop::sample::select(&b"\x80\x02(}])uesatRbQq\0h\0K\x01X\x01\0\0\0N.\x85\x86\x94c\n0"[..]), 0..512)) {
        let mut archive = Zip::default();
        archive.member("data.pkl", &[b"\x80\x02", &opcodes[..]].concat());
        archive.member("data/0", &[5; 24]);
        let file = archive.bytes(false);
        prop_assert!(layout_of(&file).is_some());
        holds(&file)?;
    }

    #[test]
    fn any_change_of_a_well_formed_file_is_survived(
        file in prop::sample::select(well_formed()),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut file = file;
        for (at, byte) in changes {
            let at = at.index(file.len());
            file[at] = byte;
        }
        if let Some(cut) = cut {
            file.truncate(cut.index(file.len()));
        }
        holds(&file)?;
    }

    #[test]
    fn any_pieces_of_well_formed_files_are_survived(
        (left, right) in (prop::sample::select(well_formed()), prop::sample::select(well_formed())),
        (end, start) in (any::<prop::sample::Index>(), any::<prop::sample::Index>()),
    ) {
        holds(&[&left[..end.index(left.len())], &right[start.index(right.len())..]].concat())?;
    }
}
