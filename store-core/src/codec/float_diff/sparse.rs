//! A list of the few elements that differ: how many equal ones lie before each, and by how much it differs.

use super::super::element::{Element, Lane};
use super::super::{CodecError, planes};
use super::token::{apply, difference};
use crate::base::wire::{Reader, put_string, put_varint};

/// A list of more than one element in this many is refused.
const MOST_ONE_IN: usize = 8;

fn integers<L: Lane>() -> Element {
    match L::BYTES {
        1 => Element::Int8,
        2 => Element::Int16,
        4 => Element::Int32,
        _ => Element::Int64,
    }
}

/// Appends places and differences.
pub(super) fn encode<L: Lane>(element: Element, new: &[u8], old: &[u8], out: &mut Vec<u8>) {
    let float = element.mantissa_bits().is_some();
    let mut gaps = Vec::new();
    let mut differences = Vec::new();
    let mut next = 0usize;
    // Long equal runs are skipped by blocks.
    const BLOCK: usize = 64;
    for (block, (new, old)) in new.chunks(BLOCK * L::BYTES).zip(old.chunks(BLOCK * L::BYTES)).enumerate() {
        if new == old {
            continue;
        }
        for (i, (new, old)) in new.chunks_exact(L::BYTES).zip(old.chunks_exact(L::BYTES)).enumerate() {
            if new != old {
                let at = block * BLOCK + i;
                gaps.extend_from_slice(&((at - next) as u32).to_le_bytes());
                next = at + 1;
                let d = difference(float, L::load(new), L::load(old));
                let zigzag = d.plus(d) ^ d.sign_mask();
                differences.resize(differences.len() + L::BYTES, 0);
                let len = differences.len();
                zigzag.store(&mut differences[len - L::BYTES..]);
            }
        }
    }
    put_varint(out, gaps.len() as u64 / 4);
    put_string(out, &planes::encode(Element::Int32, &gaps));
    put_string(out, &planes::encode(integers::<L>(), &differences));
}

/// The elements that differ from `old` as listed.
pub(super) fn decode<L: Lane>(element: Element, coded: &[u8], old: &[u8]) -> Result<Vec<u8>, CodecError> {
    let float = element.mantissa_bits().is_some();
    let mut reader = Reader::new(coded);
    let count = reader.count("the number of changed elements", old.len() / L::BYTES / MOST_ONE_IN)?;
    let gaps = planes::decode(Element::Int32, reader.string("the length of places", reader.remaining())?, count * 4)?;
    let coded = reader.string("the length of differences", reader.remaining())?;
    let differences = planes::decode(integers::<L>(), coded, count * L::BYTES)?;
    reader.finish()?;
    let mut new = old.to_vec();
    let mut rest = new.chunks_exact_mut(L::BYTES);
    for (gap, difference) in gaps.as_chunks::<4>().0.iter().zip(differences.chunks_exact(L::BYTES)) {
        let element = rest.nth(u32::from_le_bytes(*gap) as usize).ok_or(CodecError::Malformed("a place is outside the elements"))?;
        let zigzag = L::load(difference);
        let mirror = L::of(0).minus(zigzag & L::of(1));
        apply(float, (zigzag >> 1) ^ mirror, L::load(element)).store(element);
    }
    Ok(new)
}
