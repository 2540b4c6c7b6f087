//! Plain bytes given older ones: copies of ranges of the base, and literals between them. `spec/CODECS.md`, section 6.
//!
//! What zstd makes of a prefix refers to what it decoded a moment ago; here every copy is of the base, so that a reader of a chain can follow a range
//! through all scripts to where its bytes stand ([`Script`]) and copy them once.

mod find;
mod script;
#[cfg(test)]
mod tests;
mod windows;

use super::{CodecError, zstd_encode};
use crate::base::wire::{put_string, put_varint};
pub use script::{Copied, Script};

/// Forms of literals.
mod forms {
    pub(super) const PLAIN: u8 = 0;
    pub(super) const ZSTD: u8 = 1;
}

/// Codes `plain` given `base`, literals at zstd's `level` or better; `None` where the two have too little in common. `begins` is where in the base `plain` is
/// likely to begin: a guess that is right saves time.
pub fn encode(plain: &[u8], base: &[u8], begins: usize, level: i32) -> Option<Vec<u8>> {
    let copies = find::copies(plain, base, begins)?;
    let copied: usize = copies.iter().map(|copy| copy.len as usize).sum();
    let mut literals = Vec::with_capacity(plain.len() - copied);
    let mut at = 0;
    for copy in &copies {
        literals.extend_from_slice(&plain[at..at + copy.literals as usize]);
        at += (copy.literals + copy.len) as usize;
    }
    literals.extend_from_slice(&plain[at..]);
    let script = script::write(&copies, plain.len() as u32);
    let mut out = Vec::new();
    put_string(&mut out, &script);
    put_varint(&mut out, literals.len() as u64);
    let compressed = zstd_encode(&literals, level_of(literals.len(), plain.len(), level));
    let (form, rest) = if compressed.len() < literals.len() { (forms::ZSTD, compressed) } else { (forms::PLAIN, literals) };
    out.push(form);
    out.extend_from_slice(&rest);
    Some(out)
}

/// The few literals of a blob that hardly changed are worth zstd's best: they are most of what it takes, and next to nothing of the time. Who asks for less
/// than the usual level asks for speed.
fn level_of(literals: usize, plain: usize, level: i32) -> i32 {
    const FEW: usize = 32;
    const USUAL: i32 = 3;
    const BEST: i32 = 19;
    if literals * FEW <= plain && level >= USUAL { level.max(BEST) } else { level }
}

/// Decodes `coded` to exactly `len` bytes.
///
/// # Errors
/// When no encoder writes such bytes, or the base is another one.
pub fn decode(coded: &[u8], base: &[u8], len: usize) -> Result<Vec<u8>, CodecError> {
    let script = Script::read(coded, base.len(), len)?;
    let mut plain = Vec::with_capacity(len);
    let mut literals = &script.literals[..];
    for copy in &script.copies {
        let (next, rest) = literals.split_at(copy.literals as usize);
        literals = rest;
        plain.extend_from_slice(next);
        plain.extend_from_slice(&base[copy.from as usize..(copy.from + copy.len) as usize]);
    }
    plain.extend_from_slice(literals);
    Ok(plain)
}
