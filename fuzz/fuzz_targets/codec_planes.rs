//! Planes: any bytes are decoded or refused, and what was encoded comes back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use store_core::codec::{Element, planes};

fuzz_target!(|data: &[u8]| {
    let [code, len @ .., _] = data.first_chunk::<4>().copied().unwrap_or_default();
    let Some(element) = Element::from_code(code) else { return };
    let data = data.get(4..).unwrap_or_default();
    let plain_len = usize::from(u16::from_le_bytes(len));
    if let Ok(plain) = planes::decode(element, data, plain_len) {
        assert_eq!(plain.len(), plain_len);
    }
    let coded = planes::encode(element, data);
    assert!(coded.len() <= data.len() + 1);
    assert_eq!(planes::decode(element, &coded, data.len()).as_deref(), Ok(data));
});
