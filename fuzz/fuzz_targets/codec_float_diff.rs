//! Float difference and trend: any bytes are decoded or refused against any bases, and what was encoded comes back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use store_core::codec::{Element, float_diff};

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
});
