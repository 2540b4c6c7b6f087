//! Any bytes as a key file: refused, or a secret whose text gives it back.

#![no_main]

use libfuzzer_sys::fuzz_target;
use store_core::crypto::{parse_key_file, write_key_file};

fuzz_target!(|data: &[u8]| {
    let Ok(secret) = parse_key_file(data) else { return };
    let text = write_key_file(&secret);
    assert!(text.trim_end().as_bytes().eq_ignore_ascii_case(data.strip_suffix(b"\n").unwrap_or(data)));
    assert!(parse_key_file(text.as_bytes()).is_ok_and(|again| again.expose() == secret.expose()));
});
