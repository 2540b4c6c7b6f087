//! Any bytes as a key slot: refused without a key being derived at a cost that no honest slot asks for.

#![no_main]

use libfuzzer_sys::fuzz_target;
use snap_fuzz::SALT;
use store_core::base::wire;
use store_core::crypto::{ObjectKey, Secret, kek_from_key_file, kek_from_passphrase};
use store_core::format::envelope::{ObjectKind, Place, seal_object};
use store_core::format::keyslot::{Kdf, SlotInfo};

/// Argon2 at a cost below this is tried; above it, only that the cost is refused or not is of interest elsewhere.
const CHEAP_KIB: u32 = 64;

fuzz_target!(|data: &[u8]| {
    let _ = SlotInfo::decode(data);
    let Some((&split, data)) = data.split_first() else { return };
    let (clear, body) = data.split_at(data.len().min(usize::from(split) * 2));
    let Ok(info) = wire::decode::<SlotInfo>(clear) else { return };
    let secret = Secret::take(&mut [9; 32]);
    let kek = match info.kdf {
        Kdf::KeyFile => kek_from_key_file(&info.kdf, &secret),
        Kdf::Argon2id { memory_kib, passes, .. } if memory_kib <= CHEAP_KIB && passes <= 4 => kek_from_passphrase(&info.kdf, b"x"),
        Kdf::Argon2id { .. } => return,
    };
    let Ok(kek) = kek else { return };
    // What the slot keeps may be of any length; only a master key comes out.
    let key = ObjectKey::derive(&kek, ObjectKind::KeySlot as u8, &info.repo, 0, &SALT);
    let object = seal_object(ObjectKind::KeySlot, SALT, &key, clear, Place::Path("keys/x"), body.to_vec());
    let opened = info.open(&object, &kek, "keys/x");
    assert_eq!(opened.is_ok(), body.len() == 32);
    assert!(info.open(&object, &kek, "keys/y").is_err());
});
