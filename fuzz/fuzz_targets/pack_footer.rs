//! Any bytes as the contents of a pack's footer, as its wrapping, and as a whole pack.

#![no_main]

use libfuzzer_sys::fuzz_target;
use snap_fuzz::{SALT, fields_have_one_form, with_keys};
use store_core::format::envelope::{HEADER_LEN, Header, ObjectKind};
use store_core::format::pack::{PackContents, PackOpener, TRAILER_LEN, read_contents};

fuzz_target!(|data: &[u8]| {
    let Some((&form, data)) = data.split_first() else { return };
    with_keys(|keys| match form % 3 {
        0 => {
            let sketches = |contents: &PackContents| {
                let mut out = Vec::new();
                contents.encode(&mut out, true);
                out
            };
            if let Some(contents) = fields_have_one_form(data, PackContents::decode, sketches) {
                assert!(contents.offsets().is_sorted());
            }
        }
        1 => {
            // Sealed as an honest footer is, so that what is behind the seal is reached.
            let key = keys.object(ObjectKind::Pack as u8, 0, &SALT);
            let header = Header { kind: ObjectKind::Pack, epoch: 0, clear_len: 0, salt: SALT, commitment: key.commitment() }.encode();
            let mut footer = data.to_vec();
            key.seal(u32::MAX, &[&header[..], &u32::MAX.to_le_bytes()].concat(), &mut footer);
            let footer_len = (footer.len() as u32).to_le_bytes();
            let pack = [&header[..], &footer, &footer_len, b"PACK"].concat();
            if let Ok(contents) = read_contents(keys, &pack) {
                assert!(contents.blobs.is_empty() && contents.padding == 0);
            }
            let opener = PackOpener::new(keys, &header).expect("the header is sound");
            for len in [u64::MAX, 0, (HEADER_LEN + TRAILER_LEN) as u64] {
                let _ = opener.open_footer(footer.clone(), len);
            }
        }
        _ => {
            let _ = read_contents(keys, data);
            if let Some(trailer) = data.last_chunk::<TRAILER_LEN>() {
                let _ = PackOpener::footer_len(trailer, data.len() as u64);
                let _ = PackOpener::footer_len(trailer, u64::MAX);
            }
        }
    });
});
