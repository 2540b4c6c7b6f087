//! Blocks of several fields: each field of all blocks is gathered and coded as what it is. `spec/CODECS.md`, section 5.

use super::element::BlockKind;
use super::{CodecError, float_diff, planes};
use crate::base::wire::{Reader, put_string};

const PLANES: u8 = 0;
const DIFFERENCE: u8 = 1;

/// Appends the fields of `whole` blocks, against those of a base where there is one.
pub(super) fn encode(kind: BlockKind, whole: &[u8], base: Option<&[u8]>, out: &mut Vec<u8>) {
    let stride: usize = kind.fields().iter().map(|(element, count)| element.size() * count).sum();
    let mut at = 0;
    for &(element, count) in kind.fields() {
        let len = element.size() * count;
        let field = gather(whole, stride, at, len);
        let difference = base.map(|base| float_diff::encode(element, &field, &gather(base, stride, at, len)));
        // A difference that leaves less than half is taken as it is.
        let coded = match difference {
            Some(difference) if difference.len() < field.len() / 2 => (DIFFERENCE, difference),
            difference => {
                let alone = planes::encode(element, &field);
                match difference {
                    Some(difference) if difference.len() < alone.len() => (DIFFERENCE, difference),
                    _ => (PLANES, alone),
                }
            }
        };
        out.push(coded.0);
        put_string(out, &coded.1);
        at += len;
    }
}

/// Reads what [`encode`] wrote: `len` bytes of whole blocks.
pub(super) fn decode(kind: BlockKind, reader: &mut Reader<'_>, base: Option<&[u8]>, len: usize) -> Result<Vec<u8>, CodecError> {
    let stride: usize = kind.fields().iter().map(|(element, count)| element.size() * count).sum();
    let mut plain = vec![0; len];
    let mut at = 0;
    for &(element, count) in kind.fields() {
        let method = reader.u8()?;
        let coded = reader.string("the length of a field", reader.remaining())?;
        let field_len = element.size() * count;
        let total = len / stride * field_len;
        let field = match (method, base) {
            (PLANES, _) => planes::decode(element, coded, total)?,
            (DIFFERENCE, Some(base)) => float_diff::decode(element, coded, &gather(base, stride, at, field_len), total)?,
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
