//! Any bytes as the beginning of a compressed file: no panic, and no more time than the bytes take to pass over.

#![no_main]

use libfuzzer_sys::fuzz_target;
use store_core::compressed::detect;

fuzz_target!(|data: &[u8]| {
    if let Some(found) = detect(data) {
        assert!(!found.name().is_empty() && !found.advice().is_empty());
    }
});
