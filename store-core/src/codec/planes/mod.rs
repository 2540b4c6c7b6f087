//! Numbers by themselves: the exponents, which are few, apart from the mantissas, which are noise. `spec/CODECS.md`, section 3.
//!
//! A float is split into a symbol (its exponent and the top bits of its mantissa) and a rest (its sign and the other bits of the
//! mantissa); the symbols are entropy-coded, by what rows and columns tell of them where they do ([`expected`]), and the rest is
//! stored in planes, each of them raw unless coding it pays. Integers are split into their bytes. Blocks are split into their fields.
//! What does not shrink is stored.

mod expected;
mod plane;
mod rows;
mod split;

use super::element::{Element, Lane, with_lane};
use super::entropy::LANES;
use super::{CodecError, blocks};
use crate::base::wire::Reader;
use plane::Values;
use split::Split;

/// The longest rows that an encoder looks for, in numbers.
pub(super) const LONGEST_ROW: usize = rows::LONGEST * LANES;

/// First byte of coded bytes: the plain bytes follow.
pub(super) const STORED: u8 = 0;
/// First byte of coded bytes: planes of bytes follow.
const BYTES: u8 = 1;
/// First byte of coded bytes: a float split and planes follow.
const FLOATS: u8 = 2;
/// First byte of coded bytes: the fields of blocks follow.
pub(super) const FIELDS: u8 = 3;

/// Fewer elements than this are stored.
const FEWEST: usize = 8;

/// Codes `plain`; the result is at most one byte longer. Bytes behind the last whole element are stored.
pub fn encode(element: Element, plain: &[u8]) -> Vec<u8> {
    let (whole, tail) = plain.split_at(plain.len() - plain.len() % element.size());
    if whole.len() / element.size() >= FEWEST || matches!(element, Element::Block(_)) {
        let mut out = Vec::with_capacity(plain.len() / 2 + 256);
        match element {
            Element::Block(kind) => {
                out.push(FIELDS);
                blocks::encode(kind, whole, None, &mut out);
            }
            _ => with_lane!(element, encode_lanes(element, whole, &mut out)),
        }
        out.extend_from_slice(tail);
        if out.len() <= plain.len() {
            return out;
        }
    }
    stored(plain)
}

/// `plain` behind the byte that says so.
pub(super) fn stored(plain: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(plain.len() + 1);
    out.push(STORED);
    out.extend_from_slice(plain);
    out
}

/// Whether numbers of `plain` tell of those behind or below them, so that [`encode`] may take less than its parts by themselves.
pub(super) fn in_rows(element: Element, plain: &[u8]) -> bool {
    let whole = &plain[..plain.len() - plain.len() % element.size()];
    !matches!(element, Element::Block(_)) && rows::find(&with_lane!(element, first_plane(element, whole))).is_some()
}

/// What [`encode`] codes first: the values that rows may tell of.
fn first_plane<L: Lane>(element: Element, whole: &[u8]) -> Vec<u8> {
    match element.mantissa_bits().and_then(|mantissa| Split::choose::<L>(mantissa, whole)) {
        Some(split) => split::symbols::<L>(split, whole),
        None => split::byte_plane::<L>(whole, L::BYTES - 1),
    }
}

fn encode_lanes<L: Lane>(element: Element, whole: &[u8], out: &mut Vec<u8>) {
    match element.mantissa_bits().and_then(|mantissa| Split::choose::<L>(mantissa, whole)) {
        Some(split) => {
            out.push(FLOATS);
            split.write(out);
            let (symbols, planes) = split::split::<L>(split, whole);
            plane::encode(&symbols, 8, Values::Exponents, out);
            for (plane, bits) in planes.iter().zip(split.plane_bits::<L>()) {
                plane::encode(plane, bits, Values::Mantissas, out);
            }
        }
        None => {
            out.push(BYTES);
            for byte in (0..L::BYTES).rev() {
                plane::encode(&split::byte_plane::<L>(whole, byte), 8, Values::Bytes, out);
            }
        }
    }
}

/// The `plain_len` bytes that [`encode`] coded. Allocates no more than three times that and some tables.
///
/// # Errors
/// Whatever no encoder writes is refused.
pub fn decode(element: Element, bytes: &[u8], plain_len: usize) -> Result<Vec<u8>, CodecError> {
    let (&form, body) = bytes.split_first().ok_or(CodecError::Truncated)?;
    if form == STORED {
        return match body.len().cmp(&plain_len) {
            std::cmp::Ordering::Less => Err(CodecError::Truncated),
            std::cmp::Ordering::Equal => Ok(body.to_vec()),
            std::cmp::Ordering::Greater => Err(CodecError::Trailing),
        };
    }
    let tail_len = plain_len % element.size();
    let (coded, tail) = body.split_at_checked(body.len().wrapping_sub(tail_len)).ok_or(CodecError::Truncated)?;
    let mut reader = Reader::new(coded);
    let mut plain = match (form, element) {
        (FIELDS, Element::Block(kind)) => blocks::decode(kind, &mut reader, None, plain_len - tail_len)?,
        (BYTES | FLOATS, Element::Block(_)) | (FIELDS, _) => return Err(CodecError::Malformed("a form that the element does not have")),
        (BYTES | FLOATS, _) => with_lane!(element, decode_lanes(element, form, &mut reader, plain_len / element.size()))?,
        _ => return Err(CodecError::Malformed("an unknown form")),
    };
    reader.finish()?;
    plain.extend_from_slice(tail);
    Ok(plain)
}

fn decode_lanes<L: Lane>(element: Element, form: u8, reader: &mut Reader<'_>, count: usize) -> Result<Vec<u8>, CodecError> {
    if form == BYTES {
        let mut planes = Vec::with_capacity(L::BYTES);
        for _ in 0..L::BYTES {
            planes.push(plane::decode(reader, 8, count)?);
        }
        planes.reverse();
        return Ok(split::join_bytes::<L>(&planes, count));
    }
    let mantissa = element.mantissa_bits().ok_or(CodecError::Malformed("a form that the element does not have"))?;
    let split = Split::read::<L>(mantissa, reader)?;
    let symbols = plane::decode(reader, 8, count)?;
    let mut planes = Vec::with_capacity(L::BYTES);
    for bits in split.plane_bits::<L>() {
        planes.push(plane::decode(reader, bits, count)?);
    }
    Ok(split::join::<L>(split, &symbols, &planes))
}

#[cfg(test)]
mod tests;
