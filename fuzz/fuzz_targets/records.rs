//! Any bytes as the body of every kind of record, and as a whole object: refused, or encoded to the same bytes again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use snap_fuzz::{SALT, with_keys};
use store_core::base::wire;
use store_core::format::config::{CONFIG_PATH, Config, Identity};
use store_core::format::envelope::{Header, ObjectKind, Place, Sealed, seal_object};
use store_core::format::gc::{Done, Final, Plan};
use store_core::format::keyslot::{Kdf, SlotInfo};
use store_core::format::lost::Lost;
use store_core::format::note::Note;
use store_core::format::session::Session;
use store_core::format::snapshot::Outcome;

fn record<T: bincode::Decode<()> + bincode::Encode>(bytes: &[u8]) -> Option<T> {
    let value = wire::decode::<T>(bytes).ok()?;
    assert!(wire::encode(&value) == bytes);
    Some(value)
}

const KINDS: [ObjectKind; 9] = [
    ObjectKind::Config,
    ObjectKind::KeySlot,
    ObjectKind::Pack,
    ObjectKind::IndexSegment,
    ObjectKind::Session,
    ObjectKind::Outcome,
    ObjectKind::Note,
    ObjectKind::Gc,
    ObjectKind::Probe,
];

fn envelope(bytes: &[u8]) {
    for kind in KINDS {
        if let Ok(header) = Header::decode(bytes, kind) {
            // Flags that a reader may ignore are the only bytes of a header that it does not keep.
            let again = header.encode();
            assert!(again[..12] == bytes[..12] && again[16..] == bytes[16..again.len()]);
        }
        if let Ok(sealed) = Sealed::parse(bytes, kind) {
            assert_eq!(sealed.clear.len(), sealed.header.clear_len as usize);
        }
    }
    let _ = Identity::decode(bytes);
}

fuzz_target!(|data: &[u8]| {
    let Some((&form, data)) = data.split_first() else { return };
    match form % 12 {
        0 => drop(record::<Identity>(data)),
        1 => drop(record::<Config>(data)),
        2 => drop(record::<SlotInfo>(data)),
        3 => drop(record::<Kdf>(data)),
        4 => drop(record::<Session>(data)),
        5 => drop(record::<Outcome>(data)),
        6 => drop(record::<Note>(data)),
        7 => drop(record::<Plan>(data).map(|plan| plan.check())),
        8 => drop(record::<Final>(data).map(|last| last.check())),
        9 => drop(record::<Done>(data)),
        10 => envelope(data),
        _ => {
            if let Ok(lost) = Lost::decode(data) {
                assert!(lost.encode() == data);
            }
        }
    }
    if form % 12 == 1 {
        // A config that opens has sizes that a chunker can work with.
        with_keys(|keys| {
            let key = keys.object(ObjectKind::Config as u8, 0, &SALT);
            let object = seal_object(ObjectKind::Config, SALT, &key, &[], Place::Path(CONFIG_PATH), data.to_vec());
            if let Ok(config) = Config::open(&object, keys) {
                let chunker = store_core::chunking::Chunker::new(&config, keys.gear());
                let len = chunker.cut(data);
                assert!(len <= data.len().min(chunker.max()) && (len > 0 || data.is_empty()));
            }
        });
    }
});
