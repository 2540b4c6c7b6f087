//! Float difference, trend and converted numbers: any bytes are decoded or refused against any bases, and what was encoded comes back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use store_core::codec::{Element, convert, converted_from_len, float_diff};

fuzz_target!(|data: &[u8]| {
    let Some((&code, data)) = data.split_first() else { return };
    let Some(element) = Element::from_code(code) else { return };
    let (base, other) = data.split_at(data.len() / 2);
    if let Ok(plain) = float_diff::decode(element, other, base, base.len()) {
        assert_eq!(plain.len(), base.len());
    }
    let plain = &other[..base.len()];
    let coded = float_diff::encode(element, plain, base);
    assert!(coded.len() <= plain.len() + 1);
    assert_eq!(float_diff::decode(element, &coded, base, plain.len()).as_deref(), Ok(plain));

    let (bases, other) = data.split_at(data.len() / 3 * 2);
    let (base, older) = bases.split_at(bases.len() / 2);
    if let Ok(plain) = float_diff::decode_trend(element, other, bases, base.len()) {
        assert_eq!(plain.len(), base.len());
    }
    let plain = &other[..base.len()];
    let coded = float_diff::encode_trend(element, plain, base, older);
    assert!(coded.len() <= plain.len() + 1);
    assert_eq!(float_diff::decode_trend(element, &coded, bases, plain.len()).as_deref(), Ok(plain));

    // Of any numbers, any other kind: as many bytes as were asked for, or a refusal.
    for from in [Element::F32, Element::F16, Element::Bf16] {
        let len = data.len() / from.size() * element.size();
        match converted_from_len(from, element, len) {
            Some(base) if base <= data.len() => {
                assert_eq!(convert(from, element, &data[..base], len).map(|numbers| numbers.len()), Ok(len))
            }
            _ => assert!(convert(from, element, data, len).is_err()),
        }
    }
});
