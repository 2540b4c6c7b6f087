//! The wrapping of pack footers and index segments: compressed when that helps (`spec/FORMAT.md`, section 7).

use crate::base::limits;
use crate::base::wire::{Reader, WireError, put_varint};

/// Ids do not compress; the lengths between them do, at the cheapest level.
const LEVEL: i32 = 3;

/// Wraps the bytes of a catalogue.
pub(crate) fn wrap(plain: &[u8]) -> Vec<u8> {
    let mut out = vec![1];
    put_varint(&mut out, plain.len() as u64);
    if let Ok(frame) = zstd::bulk::compress(plain, LEVEL)
        && out.len() + frame.len() <= plain.len()
    {
        out.extend_from_slice(&frame);
        return out;
    }
    let mut out = vec![0];
    out.extend_from_slice(plain);
    out
}

/// Takes the bytes of a catalogue out of their wrapping.
pub(crate) fn unwrap(wrapped: &[u8]) -> Result<Vec<u8>, WireError> {
    let mut reader = Reader::new(wrapped);
    match reader.u8()? {
        0 => Ok(reader.bytes(reader.remaining())?.to_vec()),
        1 => {
            let len = reader.count("a catalogue's length", limits::CATALOG_LEN)?;
            let frame = reader.bytes(reader.remaining())?;
            // The frame is authenticated, yet its size is only believed as far as its bytes can carry it.
            let bound = zstd::zstd_safe::decompress_bound(frame).map_err(|_| WireError::Invalid("a catalogue is no zstd frame"))?;
            // Exactly one frame: what follows it, an empty frame too, would be bytes that say nothing.
            let one = zstd::zstd_safe::find_frame_compressed_size(frame) == Ok(frame.len());
            if bound < len as u64 || !one {
                return Err(WireError::Invalid("a catalogue's length does not fit its frame"));
            }
            let plain = zstd::bulk::decompress(frame, len).map_err(|_| WireError::Invalid("a catalogue does not decompress"))?;
            if plain.len() == len { Ok(plain) } else { Err(WireError::Invalid("a catalogue's length does not fit its frame")) }
        }
        _ => Err(WireError::Invalid("unknown form of catalogue")),
    }
}
