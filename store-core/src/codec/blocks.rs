//! Blocks of several fields: each field of all blocks is gathered and coded as what it is. `spec/CODECS.md`, section 5.

use super::element::{BlockKind, Element};
use super::estimate::estimate;
use super::float_diff::Bases;
use super::{CodecError, float_diff, planes};
use crate::base::wire::{Reader, put_string};

const PLANES: u8 = 0;
const DIFFERENCE: u8 = 1;
const TREND: u8 = 2;

/// Appends the fields of `whole` blocks, against those of bases where there are any.
pub(super) fn encode(kind: BlockKind, whole: &[u8], bases: Option<Bases<'_>>, out: &mut Vec<u8>) {
    let stride: usize = kind.fields().iter().map(|(element, count)| element.size() * count).sum();
    let mut at = 0;
    for &(element, count) in kind.fields() {
        let len = element.size() * count;
        let field = gather(whole, stride, at, len);
        let difference = bases.map(|bases| {
            let of = |whole| gather(whole, stride, at, len);
            against(element, &field, &of(bases.base), bases.older.map(of).as_deref())
        });
        // A difference that leaves less than half is taken as it is.
        let coded = match difference {
            Some(difference) if difference.1.len() < field.len() / 2 => difference,
            difference => {
                let alone = planes::encode(element, &field);
                match difference {
                    Some(difference) if difference.1.len() < alone.len() => difference,
                    _ => (PLANES, alone),
                }
            }
        };
        out.push(coded.0);
        put_string(out, &coded.1);
        at += len;
    }
}

/// A field against one base or two, whichever is estimated to be smaller.
fn against(element: Element, field: &[u8], base: &[u8], older: Option<&[u8]>) -> (u8, Vec<u8>) {
    match older {
        Some(older) if estimate(element, field, Some(base), Some(older)).goes_on() => {
            (TREND, float_diff::encode_trend(element, field, base, older))
        }
        _ => (DIFFERENCE, float_diff::encode(element, field, base)),
    }
}

/// Reads what [`encode`] wrote: `len` bytes of whole blocks.
pub(super) fn decode(kind: BlockKind, reader: &mut Reader<'_>, bases: Option<Bases<'_>>, len: usize) -> Result<Vec<u8>, CodecError> {
    let stride: usize = kind.fields().iter().map(|(element, count)| element.size() * count).sum();
    let mut plain = vec![0; len];
    let mut at = 0;
    for &(element, count) in kind.fields() {
        let method = reader.u8()?;
        let coded = reader.string("the length of a field", reader.remaining())?;
        let field_len = element.size() * count;
        let total = len / stride * field_len;
        let field = match (method, bases) {
            (PLANES, _) => planes::decode(element, coded, total)?,
            (DIFFERENCE, Some(bases)) => float_diff::decode(element, coded, &gather(bases.base, stride, at, field_len), total)?,
            (TREND, Some(Bases { base, older: Some(older) })) => {
                let both = [gather(base, stride, at, field_len), gather(older, stride, at, field_len)].concat();
                float_diff::decode_trend(element, coded, &both, total)?
            }
            _ => return Err(CodecError::Malformed("an unknown method for a field")),
        };
        for (block, field) in plain.chunks_exact_mut(stride).zip(field.chunks_exact(field_len)) {
            block[at..at + field_len].copy_from_slice(field);
        }
        at += field_len;
    }
    Ok(plain)
}

fn gather(whole: &[u8], stride: usize, at: usize, len: usize) -> Vec<u8> {
    let mut field = Vec::with_capacity(whole.len() / stride * len);
    for block in whole.chunks_exact(stride) {
        field.extend_from_slice(&block[at..at + len]);
    }
    field
}
