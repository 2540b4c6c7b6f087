//! zstd frames, alone or with a prefix (`spec/CODECS.md`, section 2).

use std::cell::RefCell;

use zstd::zstd_safe::{CCtx, CParameter, DCtx, DParameter, ResetDirective, SafeResult, compress_bound, find_frame_compressed_size};

use super::CodecError;
use crate::base::units::KIB;

/// Frames are made for windows up to this many bytes (as a power of two): a blob with all its bases.
const WINDOW_LOG: u32 = 26;

/// The level that is meant where the user says nothing. What zstd makes of it serves inputs and windows of some hundred kilobytes, and is
/// changed here for blobs.
const USUAL: i32 = 3;
/// Inputs up to this many bytes are coded as zstd would.
const SMALL: usize = 256 * KIB;

thread_local! {
    // Setting a context up costs more than compressing a small blob.
    static ENCODER: RefCell<CCtx<'static>> = RefCell::new(CCtx::create());
    static DECODER: RefCell<DCtx<'static>> = RefCell::new(DCtx::create());
}

/// Compresses `plain` to one frame at `level`.
pub fn zstd_encode(plain: &[u8], level: i32) -> Vec<u8> {
    let mut out = Vec::with_capacity(compress_bound(plain.len()));
    let written = ENCODER.with_borrow_mut(|context| {
        context.reset(ResetDirective::SessionAndParameters)?;
        context.set_parameter(CParameter::CompressionLevel(level))?;
        context.set_parameter(CParameter::ContentSizeFlag(false))?;
        if level == USUAL && plain.len() > SMALL {
            widen(context)?;
        }
        context.compress2(&mut out, plain)
    });
    written.expect("the output has room for the worst case");
    out
}

/// Tables of 2^18 entries and matches of 6 bytes and more: with zstd's own 2^17 the first megabytes of a blob are overwritten before they
/// are of use to the last, and short matches crowd long ones out (`spec/CHANGES.md` has figures). Takes no longer.
fn widen(context: &mut CCtx<'_>) -> SafeResult {
    context.set_parameter(CParameter::HashLog(18))?;
    context.set_parameter(CParameter::ChainLog(18))?;
    context.set_parameter(CParameter::MinMatch(6))
}

/// What is left of a blob when long matches with the older version are taken out is found by the fastest strategy as well as by level 3's,
/// if its table is large enough for the whole prefix; filling two tables with that took most of the time. Long matches of 128 bytes and
/// more: where rows move, 64 bytes are found in too many places that do not go on (`spec/CHANGES.md` has figures).
fn look_far(context: &mut CCtx<'_>) -> SafeResult {
    context.set_parameter(CParameter::CompressionLevel(1))?;
    context.set_parameter(CParameter::HashLog(20))?;
    context.set_parameter(CParameter::MinMatch(7))?;
    context.set_parameter(CParameter::LdmMinMatch(128))
}

/// Decompresses one frame to exactly `len` bytes.
pub fn zstd_decode(frame: &[u8], len: usize) -> Result<Vec<u8>, CodecError> {
    check_one_frame(frame)?;
    let mut out = Vec::with_capacity(len);
    let written = DECODER.with_borrow_mut(|context| {
        context.reset(ResetDirective::SessionAndParameters)?;
        context.set_parameter(DParameter::WindowLogMax(WINDOW_LOG))?;
        context.decompress(&mut out, frame)
    });
    exactly(written, out, len)
}

/// Compresses `plain` to one frame that refers to `prefix`, as if that stood before it.
pub fn zstd_encode_with_prefix(plain: &[u8], prefix: &[u8], level: i32) -> Vec<u8> {
    let mut out = Vec::with_capacity(compress_bound(plain.len()));
    let window = (plain.len() + prefix.len()).next_power_of_two().ilog2().clamp(10, WINDOW_LOG);
    let written = (|| {
        // A context borrows its prefix, so it cannot be one that outlives the call.
        let mut context = CCtx::create();
        context.set_parameter(CParameter::CompressionLevel(level))?;
        context.set_parameter(CParameter::ContentSizeFlag(false))?;
        context.set_parameter(CParameter::WindowLog(window))?;
        context.set_parameter(CParameter::EnableLongDistanceMatching(true))?;
        if level == USUAL && plain.len() + prefix.len() > SMALL {
            look_far(&mut context)?;
        }
        context.ref_prefix(prefix)?;
        context.compress2(&mut out, plain)
    })();
    written.expect("the output has room for the worst case");
    out
}

/// Decompresses one frame that refers to `prefix`, to exactly `len` bytes.
pub fn zstd_decode_with_prefix(frame: &[u8], prefix: &[u8], len: usize) -> Result<Vec<u8>, CodecError> {
    check_one_frame(frame)?;
    let mut out = Vec::with_capacity(len);
    let written = (|| {
        let mut context = DCtx::create();
        context.set_parameter(DParameter::WindowLogMax(WINDOW_LOG))?;
        context.ref_prefix(prefix)?;
        context.decompress(&mut out, frame)
    })();
    exactly(written, out, len)
}

/// zstd itself would also take several frames, and skip some.
fn check_one_frame(frame: &[u8]) -> Result<(), CodecError> {
    if find_frame_compressed_size(frame) == Ok(frame.len()) { Ok(()) } else { Err(CodecError::Malformed("not exactly one zstd frame")) }
}

fn exactly(written: SafeResult, out: Vec<u8>, len: usize) -> Result<Vec<u8>, CodecError> {
    match written {
        Ok(written) if written == len => Ok(out),
        Ok(_) => Err(CodecError::Truncated),
        Err(_) => Err(CodecError::Malformed("no zstd frame of the length that is claimed")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_makes_a_frame_small_and_is_needed_to_read_it() {
        let mut old = vec![0; 300_000];
        blake3::Hasher::new().finalize_xof().fill(&mut old);
        let mut new = old.clone();
        new[1000] ^= 1;
        new.splice(200_000..200_000, *b"inserted");
        let frame = zstd_encode_with_prefix(&new, &old, 3);
        assert!(frame.len() < 200, "{}", frame.len());
        assert_eq!(zstd_decode_with_prefix(&frame, &old, new.len()).unwrap(), new);
        assert!(zstd_decode(&frame, new.len()).is_err());
        assert!(zstd_decode_with_prefix(&frame, &old, new.len() - 1).is_err());
    }
}
