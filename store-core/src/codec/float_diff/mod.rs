//! Numbers given older numbers of the same shape. `spec/CODECS.md`, section 4.
//!
//! The bits of old and new element are taken as ordered integers and subtracted, counted away from zero. The difference becomes a
//! symbol, entropy-coded in the context of the old exponent and of how large the differences just before were, and raw bits below it.
//! What is equal, or nearly everywhere equal, has forms of its own. Integers are differenced as they are; blocks by field.
//!
//! Weights in training go on moving as they did, more or less: where there are two older versions, the last difference of an element tells the
//! direction and the size of the next one ([`encode_trend`]).

mod context;
mod dense;
mod short;
mod sparse;
mod token;

use super::element::{Element, Lane, with_lane};
use super::kernel::wide;
use super::planes::{FIELDS, STORED, stored};
use super::{CodecError, blocks};
use crate::base::wire::Reader;

/// First byte of coded bytes: the plain bytes are the base; nothing follows.
const EQUAL: u8 = 1;
/// First byte of coded bytes: a list of places and differences follows.
const SPARSE: u8 = 2;
/// First byte of coded bytes: the differences of all elements follow.
const DENSE: u8 = 4;
/// First byte of coded bytes: the differences of all elements given an older base follow.
const TREND: u8 = 5;

/// First byte of coded bytes: how many bits all elements lack at their ends follows, then a form that is coded without these.
const SHORT: u8 = 6;

/// With at most one element in this many changed, places are listed.
const SPARSE_BELOW: usize = 512;
/// Fewer elements than this are stored, unless they are equal.
const FEWEST: usize = 16;

/// Codes `plain` given `base`, which must be as long; the result is at most one byte longer than `plain`.
/// Bytes behind the last whole element are stored.
///
/// # Panics
/// If the lengths differ.
pub fn encode(element: Element, plain: &[u8], base: &[u8]) -> Vec<u8> {
    encode_against(element, plain, base, None)
}

/// Codes `plain` given `base` and `older`, what the base itself was before; like [`encode`] otherwise.
///
/// # Panics
/// If the lengths differ.
pub fn encode_trend(element: Element, plain: &[u8], base: &[u8], older: &[u8]) -> Vec<u8> {
    assert_eq!(plain.len(), older.len(), "a base is as long as what it is the base of");
    encode_against(element, plain, base, Some(older))
}

fn encode_against(element: Element, plain: &[u8], base: &[u8], older: Option<&[u8]>) -> Vec<u8> {
    assert_eq!(plain.len(), base.len(), "a base is as long as what it is the base of");
    if plain == base {
        return vec![EQUAL];
    }
    let (whole, tail) = plain.split_at(plain.len() - plain.len() % element.size());
    let bases = Bases { base: &base[..whole.len()], older: older.map(|older| &older[..whole.len()]) };
    let mut out = Vec::with_capacity(plain.len() / 4 + 256);
    match element {
        Element::Block(kind) => {
            out.push(FIELDS);
            blocks::encode(kind, whole, Some(bases), &mut out);
        }
        _ => with_lane!(element, encode_lanes(element, whole, bases, &mut out)),
    }
    out.extend_from_slice(tail);
    if out.len() <= plain.len() { out } else { stored(plain) }
}

/// What whole elements are coded against: as many bytes each.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bases<'a> {
    pub(super) base: &'a [u8],
    /// What the base was before.
    pub(super) older: Option<&'a [u8]>,
}

/// What the coder of differences knows of a kind of element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Kind {
    /// Bits of the mantissa of a float.
    mantissa: Option<u32>,
    /// Bits at the end that elements lack.
    lacking: u32,
}

impl Kind {
    fn of(element: Element) -> Self {
        Self { mantissa: element.mantissa_bits(), lacking: 0 }
    }

    fn without(self, lacking: u32) -> Self {
        Self { mantissa: self.mantissa.map(|bits| bits - lacking), lacking }
    }
}

fn encode_lanes<L: Lane>(element: Element, whole: &[u8], bases: Bases<'_>, out: &mut Vec<u8>) {
    let count = whole.len() / L::BYTES;
    if count >= FEWEST {
        let changed = changed::<L>(whole, bases.base);
        if changed <= count / SPARSE_BELOW {
            out.push(SPARSE);
            return sparse::encode::<L>(element, whole, bases.base, out);
        }
        let form = if bases.older.is_some() { TREND } else { DENSE };
        let lacking = element.mantissa_bits().map_or(0, |mantissa| short::bits_lacking::<L>(mantissa, whole, bases));
        if lacking == 0 {
            out.push(form);
            return dense::encode::<L>(Kind::of(element), whole, bases.base, bases.older, out);
        }
        out.extend_from_slice(&[SHORT, lacking as u8, form]);
        let shortened = |elements| short::shortened::<L>(lacking, elements);
        let (whole, base, older) = (shortened(whole), shortened(bases.base), bases.older.map(shortened));
        return dense::encode::<L>(Kind::of(element).without(lacking), &whole, &base, older.as_deref(), out);
    }
    // Made too long on purpose: the caller stores.
    out.resize(whole.len() + 2, STORED);
}

#[inline(always)]
fn changed_body<L: Lane>(new: &[u8], old: &[u8]) -> usize {
    let mut total = 0;
    // Counts of few elements stay narrow, which lets them be counted many at a time.
    for (new, old) in new.chunks(L::BYTES * 128).zip(old.chunks(L::BYTES * 128)) {
        let mut few = L::of(0);
        for (new, old) in new.chunks_exact(L::BYTES).zip(old.chunks_exact(L::BYTES)) {
            few = few.plus(L::of(u64::from(L::load(new) != L::load(old))));
        }
        total += few.wide() as usize;
    }
    total
}

wide! {
    /// How many elements differ.
    fn changed<L: Lane>(new: &[u8], old: &[u8]) -> usize = changed_body
}

/// The `plain_len` bytes that [`encode`] coded against `base`. Allocates no more than four times that and some tables.
///
/// # Errors
/// [`CodecError::BaseLength`] if the base is not as long; whatever no encoder writes is refused.
pub fn decode(element: Element, bytes: &[u8], base: &[u8], plain_len: usize) -> Result<Vec<u8>, CodecError> {
    if base.len() != plain_len {
        return Err(CodecError::BaseLength);
    }
    decode_against(element, bytes, Bases { base, older: None }, plain_len)
}

/// The `plain_len` bytes that [`encode_trend`] coded; `bases` are the base and, behind it, the older one. Allocates as [`decode`] does.
///
/// # Errors
/// [`CodecError::BaseLength`] if the bases are not twice as long; whatever no encoder writes is refused.
pub fn decode_trend(element: Element, bytes: &[u8], bases: &[u8], plain_len: usize) -> Result<Vec<u8>, CodecError> {
    let (base, older) = bases.split_at_checked(plain_len).ok_or(CodecError::BaseLength)?;
    if older.len() != plain_len {
        return Err(CodecError::BaseLength);
    }
    decode_against(element, bytes, Bases { base, older: Some(older) }, plain_len)
}

fn decode_against(element: Element, bytes: &[u8], bases: Bases<'_>, plain_len: usize) -> Result<Vec<u8>, CodecError> {
    let (&form, body) = bytes.split_first().ok_or(CodecError::Truncated)?;
    match form {
        STORED if body.len() < plain_len => return Err(CodecError::Truncated),
        STORED if body.len() == plain_len => return Ok(body.to_vec()),
        EQUAL if body.is_empty() => return Ok(bases.base.to_vec()),
        STORED | EQUAL => return Err(CodecError::Trailing),
        _ => {}
    }
    let tail_len = plain_len % element.size();
    let (coded, tail) = body.split_at_checked(body.len().wrapping_sub(tail_len)).ok_or(CodecError::Truncated)?;
    let whole = plain_len - tail_len;
    let bases = Bases { base: &bases.base[..whole], older: bases.older.map(|older| &older[..whole]) };
    let mut plain = match (form, element) {
        (FIELDS, Element::Block(kind)) => {
            let mut reader = Reader::new(coded);
            let plain = blocks::decode(kind, &mut reader, Some(bases), whole)?;
            reader.finish()?;
            plain
        }
        (SPARSE | DENSE | TREND | SHORT, Element::Block(_)) | (FIELDS, _) => {
            return Err(CodecError::Malformed("a form that the element does not have"));
        }
        (SPARSE, _) => with_lane!(element, decode_sparse(element, coded, bases.base))?,
        (DENSE, _) => with_lane!(element, decode_dense(Kind::of(element), coded, bases.base, None))?,
        (TREND, _) if bases.older.is_some() => with_lane!(element, decode_dense(Kind::of(element), coded, bases.base, bases.older))?,
        (SHORT, _) => with_lane!(element, decode_short(element, coded, bases))?,
        _ => return Err(CodecError::Malformed("an unknown form")),
    };
    plain.extend_from_slice(tail);
    Ok(plain)
}

fn decode_sparse<L: Lane>(element: Element, coded: &[u8], base: &[u8]) -> Result<Vec<u8>, CodecError> {
    sparse::decode::<L>(element, coded, base)
}

fn decode_dense<L: Lane>(kind: Kind, coded: &[u8], base: &[u8], older: Option<&[u8]>) -> Result<Vec<u8>, CodecError> {
    dense::decode::<L>(kind, coded, base, older)
}

fn decode_short<L: Lane>(element: Element, coded: &[u8], bases: Bases<'_>) -> Result<Vec<u8>, CodecError> {
    let (&[lacking, form], coded) = coded.split_first_chunk().ok_or(CodecError::Truncated)?;
    let lacking = u32::from(lacking);
    if lacking == 0 || element.mantissa_bits().is_none_or(|mantissa| lacking > mantissa) {
        return Err(CodecError::Malformed("elements lack bits that they do not have"));
    }
    let older = match (form, bases.older) {
        (DENSE, _) => None,
        (TREND, Some(older)) => Some(short::shortened::<L>(lacking, older)),
        _ => return Err(CodecError::Malformed("an unknown form")),
    };
    let base = short::shortened::<L>(lacking, bases.base);
    let plain = dense::decode::<L>(Kind::of(element).without(lacking), coded, &base, older.as_deref())?;
    Ok(short::lengthened::<L>(lacking, &plain))
}

#[cfg(test)]
mod tests;
