//! Any bytes as a weights file: no panic, and a layout that holds to its promises.

#![no_main]

use libfuzzer_sys::fuzz_target;
use store_core::tensor::layout_of;

fuzz_target!(|data: &[u8]| {
    if let Some(layout) = layout_of(data) {
        assert!(layout.is_valid(data.len() as u64));
    }
});
