//! Any bytes as what an index segment seals, in either wrapping.

#![no_main]

use libfuzzer_sys::fuzz_target;
use snap_fuzz::{SALT, with_keys};
use store_core::base::ids::SegmentId;
use store_core::format::envelope::{ObjectKind, Place, seal_object};
use store_core::format::pack::pack_id;
use store_core::format::segment::Segment;

fuzz_target!(|data: &[u8]| {
    with_keys(|keys| {
        let key = keys.object(ObjectKind::IndexSegment as u8, 0, &SALT);
        let object = seal_object(ObjectKind::IndexSegment, SALT, &key, &[], Place::Hash, data.to_vec());
        // Packs and segments are named alike.
        let id = SegmentId::from_bytes(*pack_id(&object).as_bytes());
        let Ok(segment) = Segment::open(&object, &id, keys) else { return };
        let (id, object) = segment.seal(keys, SALT);
        assert_eq!(Segment::open(&object, &id, keys).as_ref(), Ok(&segment));
    });
});
