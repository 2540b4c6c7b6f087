//! Any bytes through chunkers of any sizes: cuts keep to the sizes, and do not depend on what lies beyond the longest chunk.

#![no_main]

use libfuzzer_sys::fuzz_target;
use snap_fuzz::with_keys;
use store_core::chunking::Chunker;
use store_core::format::config::Config;
use store_core::format::record::Time;

fuzz_target!(|data: &[u8]| {
    let [avg, min, max, repeat, data @ ..] = data else { return };
    let mut config = Config::new(Time { seconds: 0, nanos: 0 });
    config.chunk_avg = 128 << (avg % 10);
    config.chunk_min = (64 + u32::from(*min) * (config.chunk_avg - 66) / 255) & !1;
    config.chunk_max = config.chunk_avg + 2 + u32::from(*max) * 16;
    let bytes = data.repeat(1 << (repeat % 8));
    let chunker = with_keys(|keys| Chunker::new(&config, keys.gear()));
    let mut rest = &bytes[..];
    while !rest.is_empty() {
        let len = chunker.cut(rest);
        assert!((1..=chunker.max()).contains(&len) && len <= rest.len());
        assert!(len == rest.len() || len >= config.chunk_min as usize);
        assert_eq!(chunker.cut(&rest[..rest.len().min(chunker.max())]), len);
        rest = &rest[len..];
    }
});
