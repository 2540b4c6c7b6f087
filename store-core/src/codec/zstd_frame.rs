//! zstd frames, alone or with a prefix. Contexts are kept per thread, since setting one up costs more than compressing a small blob.

use std::cell::RefCell;

use zstd::zstd_safe::{CCtx, CParameter, DCtx, DParameter, ResetDirective, compress_bound};

use super::CodecError;

/// Frames are made for windows up to this many bytes (as a power of two): a blob with all its bases.
const WINDOW_LOG: u32 = 26;

thread_local! {
    static ENCODER: RefCell<CCtx<'static>> = RefCell::new(CCtx::create());
    static DECODER: RefCell<DCtx<'static>> = RefCell::new(DCtx::create());
}

/// Compresses `plain` to one frame at `level`.
pub fn zstd_encode(plain: &[u8], level: i32) -> Vec<u8> {
    let mut out = Vec::with_capacity(compress_bound(plain.len()));
    let written = ENCODER.with_borrow_mut(|context| {
        context.reset(ResetDirective::SessionAndParameters).and_then(|_| context.set_parameter(CParameter::CompressionLevel(level)))?;
        context.set_parameter(CParameter::ContentSizeFlag(false))?;
        context.compress2(&mut out, plain)
    });
    written.expect("the output has room for the worst case");
    out
}

/// Decompresses one frame to exactly `len` bytes.
pub fn zstd_decode(frame: &[u8], len: usize) -> Result<Vec<u8>, CodecError> {
    let mut out = Vec::with_capacity(len);
    let written = DECODER.with_borrow_mut(|context| {
        context.reset(ResetDirective::SessionAndParameters).and_then(|_| context.set_parameter(DParameter::WindowLogMax(WINDOW_LOG)))?;
        context.decompress(&mut out, frame)
    });
    match written {
        Ok(written) if written == len => Ok(out),
        Ok(_) => Err(CodecError::Truncated),
        Err(_) => Err(CodecError::Malformed("no zstd frame of the length that is claimed")),
    }
}
