//! One plane: as many values of equal width, at most eight bits, as there are elements. Raw, one value, or entropy-coded, by one
//! table or by what is expected of each value.

use std::borrow::Cow;

use super::super::CodecError;
use super::super::bits::{BitReader, BitWriter};
use super::super::entropy::{Freqs, decode_one, encode as encode_symbols, log2, read_tables, write_tables};
use super::super::kernel::wide;
use super::{expected, rows};
use crate::base::wire::{Reader, put_string};

const RAW: u8 = 0;
const CONSTANT: u8 = 1;
const CODED: u8 = 2;
const EXPECTED: u8 = 3;

/// Values in each of the places that are looked at before a plane is counted.
const SAMPLE: usize = 1024;

/// What the values of a plane are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Values {
    /// Exponents of floats: coding them will pay, so that no sample is taken.
    Exponents,
    /// Bytes of integers.
    Bytes,
    /// Bits of mantissas: noise, as a rule. What stands above and before tells nothing.
    Mantissas,
}

/// Appends a plane.
pub(super) fn encode(values: &[u8], bits: u32, what: Values, out: &mut Vec<u8>) {
    let first = values.first().copied().unwrap_or(0);
    if values.iter().take(SAMPLE).all(|&v| v == first) && values.iter().all(|&v| v == first) {
        out.extend_from_slice(&[CONSTANT, first]);
        return;
    }
    let row = if what == Values::Mantissas { None } else { rows::find(values) };
    if let Some(body) = row.and_then(|row| expected::encode(row, values)) {
        out.push(EXPECTED);
        return put_string(out, &body);
    }
    if what == Values::Exponents || values.len() < 16 * SAMPLE || pays(&sample(values), bits) {
        let counts = histogram(values);
        if pays(&counts, bits) {
            out.push(CODED);
            return put_string(out, &code(&counts, values));
        }
    }
    out.push(RAW);
    pack(values, bits, out);
}

fn code(counts: &[u32; 256], values: &[u8]) -> Vec<u8> {
    let alphabet = 256 - counts.iter().rev().take_while(|&&c| c == 0).count();
    let table = [Freqs::of(&counts[..alphabet])];
    let mut head = BitWriter::with_capacity(512);
    head.put(alphabet as u64 - 1, 8);
    write_tables(&mut head, &table, alphabet);
    let mut body = head.finish();
    encode_symbols(&table, values, &[], &mut body);
    body
}

/// Whether coding saves nearly one per cent or more.
fn pays(counts: &[u32; 256], bits: u32) -> bool {
    let total: u32 = counts.iter().sum();
    let each: u64 = counts.iter().filter(|&&c| c > 0).map(|&c| u64::from(c) * u64::from(log2(c) + 3)).sum();
    let table = 256 * (300 + 5 * counts.iter().filter(|&&c| c > 0).count() as u64);
    let coded = u64::from(total) * u64::from(log2(total)) + table;
    coded.saturating_sub(each) < u64::from(total) * u64::from(bits) * 254
}

fn sample(values: &[u8]) -> [u32; 256] {
    let mut counts = [0; 256];
    for place in values.chunks(values.len() / 8) {
        place.iter().take(SAMPLE).for_each(|&v| counts[usize::from(v)] += 1);
    }
    counts
}

/// How often each value occurs.
pub(in super::super) fn histogram(values: &[u8]) -> [u32; 256] {
    // Four counters for each value: equal neighbours do not wait for each other.
    let mut counts = [[0u32; 256]; 4];
    let (quads, rest) = values.as_chunks::<4>();
    for quad in quads {
        for (counts, &value) in counts.iter_mut().zip(quad) {
            let count = &mut counts[usize::from(value)];
            *count = count.wrapping_add(1);
        }
    }
    for &value in rest {
        counts[0][usize::from(value)] += 1;
    }
    std::array::from_fn(|i| counts.iter().map(|counts| counts[i]).sum())
}

/// Reads a plane of `count` values.
pub(super) fn decode<'a>(reader: &mut Reader<'a>, bits: u32, count: usize) -> Result<Cow<'a, [u8]>, CodecError> {
    match reader.u8()? {
        RAW if bits == 8 => Ok(Cow::Borrowed(reader.bytes(count)?)),
        RAW => Ok(Cow::Owned(unpack(reader.bytes((count * bits as usize).div_ceil(8))?, bits, count)?)),
        CONSTANT => Ok(Cow::Owned(vec![reader.u8()?; count])),
        CODED => {
            let len = reader.count("the length of a plane", reader.remaining())?;
            let mut head = BitReader::new(reader.bytes(len)?);
            let alphabet = head.take(8) as usize + 1;
            let table = read_tables(&mut head, 1, alphabet)?;
            let mut values = vec![0; count];
            decode_one(&table[0], head.finish()?, &mut values)?;
            Ok(Cow::Owned(values))
        }
        EXPECTED => {
            let len = reader.count("the length of a plane", reader.remaining())?;
            Ok(Cow::Owned(expected::decode(reader.bytes(len)?, count)?))
        }
        _ => Err(CodecError::Malformed("an unknown kind of plane")),
    }
}

fn pack(values: &[u8], bits: u32, out: &mut Vec<u8>) {
    if bits == 8 {
        return out.extend_from_slice(values);
    }
    let start = out.len();
    out.resize(start + (values.len() * bits as usize).div_ceil(8), 0);
    pack_groups(values, bits, &mut out[start..]);
}

/// Calls a function with the width as a constant.
macro_rules! with_bits {
    ($bits:expr, $function:ident ( $($arg:expr),* )) => {
        match $bits {
            1 => $function::<1>($($arg),*),
            2 => $function::<2>($($arg),*),
            3 => $function::<3>($($arg),*),
            4 => $function::<4>($($arg),*),
            5 => $function::<5>($($arg),*),
            6 => $function::<6>($($arg),*),
            _ => $function::<7>($($arg),*),
        }
    };
}

#[inline(always)]
fn pack_body(values: &[u8], bits: u32, out: &mut [u8]) {
    with_bits!(bits, pack_bits(values, out));
}

#[inline(always)]
fn pack_bits<const BITS: usize>(values: &[u8], out: &mut [u8]) {
    let word = |eight: &[u8; 8]| {
        let mut word = 0u64;
        for (i, &value) in eight.iter().enumerate() {
            word |= u64::from(value) << (BITS * i);
        }
        word.to_le_bytes()
    };
    // Eight values are as many bytes as a value has bits.
    let (groups, rest) = values.as_chunks::<8>();
    let (outs, last) = out.split_at_mut(groups.len() * BITS);
    for (eight, out) in groups.iter().zip(outs.as_chunks_mut::<BITS>().0) {
        out.copy_from_slice(&word(eight)[..BITS]);
    }
    if !rest.is_empty() {
        let mut eight = [0; 8];
        eight[..rest.len()].copy_from_slice(rest);
        last.copy_from_slice(&word(&eight)[..last.len()]);
    }
}

wide! { fn pack_groups(values: &[u8], bits: u32, out: &mut [u8]) = pack_body }

fn unpack(bytes: &[u8], bits: u32, count: usize) -> Result<Vec<u8>, CodecError> {
    let mut values = vec![0; count];
    unpack_groups(bytes, bits, &mut values);
    let fill = (bytes.len() * 8 - count * bits as usize) as u32;
    if fill > 0 && bytes.last().is_some_and(|last| last >> (8 - fill) != 0) {
        return Err(CodecError::Malformed("a plane is not filled up with zeros"));
    }
    Ok(values)
}

#[inline(always)]
fn unpack_body(bytes: &[u8], bits: u32, values: &mut [u8]) {
    with_bits!(bits, unpack_bits(bytes, values));
}

#[inline(always)]
fn unpack_bits<const BITS: usize>(bytes: &[u8], values: &mut [u8]) {
    let eight = |bytes: &[u8]| {
        let mut word = [0; 8];
        word[..bytes.len()].copy_from_slice(bytes);
        let word = u64::from_le_bytes(word);
        std::array::from_fn::<u8, 8, _>(|k| (word >> (BITS * k)) as u8 & ((1 << BITS) - 1))
    };
    let (groups, rest) = values.as_chunks_mut::<8>();
    let (ins, last) = bytes.split_at(groups.len() * BITS);
    for (values, bytes) in groups.iter_mut().zip(ins.as_chunks::<BITS>().0) {
        *values = eight(bytes);
    }
    rest.copy_from_slice(&eight(last)[..rest.len()]);
}

wide! { fn unpack_groups(bytes: &[u8], bits: u32, values: &mut [u8]) = unpack_body }
