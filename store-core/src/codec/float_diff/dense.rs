//! The differences of all elements.

use super::super::CodecError;
use super::super::bits::{BitReader, BitWriter};
use super::super::element::{Element, Lane};
use super::super::entropy::{DecodeTables, LANES, RansDecoder, TABLES, cluster, encode as encode_symbols, read_tables, write_tables};
use super::super::kernel::wide;
use super::context::{CLASSES, Classes, LENGTHS, Recent, SIZES, weights, window};
use super::token::{Tokens, apply, difference};
use crate::base::wire::{Reader, put_varint};

/// Elements that are decoded in one go.
const STRIP: usize = 4096;

/// What the first pass over the elements leaves.
struct Pass {
    symbols: Vec<u8>,
    classes: Vec<u8>,
    /// Of each block, the bit length of the recent magnitude.
    lengths: Vec<u8>,
    raw: BitWriter,
}

/// Appends the coded differences of whole elements, of which there is at least one.
pub(super) fn encode<L: Lane>(element: Element, new: &[u8], old: &[u8], out: &mut Vec<u8>) {
    let count = new.len() / L::BYTES;
    let classes = Classes::choose::<L>(element, old);
    let tokens = Tokens::for_width(L::BITS);
    let mut pass = Pass {
        symbols: vec![0; count],
        classes: vec![0; count],
        lengths: vec![0; count.div_ceil(LANES)],
        raw: BitWriter::with_capacity(new.len() / 2),
    };
    match classes.mantissa {
        Some(_) => first_pass_float::<L>(classes, tokens, new, old, &mut pass),
        None => first_pass_int::<L>(classes, tokens, new, old, &mut pass),
    }

    let (first_length, last_size) = sizes(&pass.lengths);
    for length in &mut pass.lengths {
        *length = length.saturating_sub(first_length).min(last_size);
    }
    let alphabet = pass.symbols.iter().copied().max().map_or(1, |max| usize::from(max) + 1);
    let class_count = usize::from(classes.last) + 1;
    let mut cells = vec![0u32; (usize::from(last_size) + 1) * class_count * alphabet];
    count_cells(&pass, class_count, alphabet, &mut cells);
    let clusters = cluster(&cells, alphabet);

    out.push(tokens.code());
    out.extend_from_slice(&classes.first.to_le_bytes());
    out.extend_from_slice(&[classes.last, first_length, last_size, clusters.tables.len() as u8 - 1, alphabet as u8 - 1]);
    let mut head = BitWriter::with_capacity(1024);
    let mut before = 0i32;
    for &table in &clusters.table_of {
        let step = i32::from(table) - before;
        head.put_gamma(((step << 1) ^ (step >> 31)) as u32 + 1);
        before = i32::from(table);
    }
    write_tables(&mut head, &clusters.tables, alphabet);
    out.extend_from_slice(&head.finish());
    let raw = pass.raw.finish();
    put_varint(out, raw.len() as u64);
    out.extend_from_slice(&raw);

    // From here on the class of an element is the table that codes it.
    let mut contexts = pass.classes;
    for (block, &size) in contexts.chunks_mut(LANES).zip(&pass.lengths) {
        let row = &clusters.table_of[usize::from(size) * class_count..][..class_count];
        block.iter_mut().for_each(|class| *class = row[usize::from(*class)]);
    }
    encode_symbols(&clusters.tables, &pass.symbols, &contexts, out);
}

/// The lowest bit length that has a class of its own, and the highest class.
fn sizes(lengths: &[u8]) -> (u8, u8) {
    let mut counts = [0u32; LENGTHS];
    lengths.iter().for_each(|&length| counts[usize::from(length)] += 1);
    let (first, last) = window(&counts, lengths.len() as u32, SIZES);
    (first as u8, last as u8)
}

#[inline(always)]
fn first_pass_body<L: Lane>(float: bool, classes: Classes, tokens: Tokens, new: &[u8], old: &[u8], pass: &mut Pass) {
    let weights = weights(tokens, L::BITS);
    let mut recent = Recent::new();
    let blocks = new.chunks(L::BYTES * LANES).zip(old.chunks(L::BYTES * LANES));
    let outs = pass.symbols.chunks_mut(LANES).zip(pass.classes.chunks_mut(LANES)).zip(&mut pass.lengths);
    for ((new, old), ((symbols, class_of), length)) in blocks.zip(outs) {
        let mut sum = 0;
        let pairs = new.chunks_exact(L::BYTES).zip(old.chunks_exact(L::BYTES));
        for ((new, old), (symbol, class)) in pairs.zip(symbols.iter_mut().zip(class_of)) {
            let old = L::load(old);
            let (token, bits, len) = tokens.split(difference(float, L::load(new), old));
            *symbol = token;
            *class = classes.of(old);
            sum += u64::from(weights[usize::from(token)]) << if float { u32::from(*class & 31) } else { 0 };
            if L::BITS == 64 { pass.raw.put_wide(bits, len) } else { pass.raw.put(bits, len) }
        }
        *length = recent.length();
        recent.push(sum);
    }
}

#[inline(always)]
fn first_pass_float_body<L: Lane>(classes: Classes, tokens: Tokens, new: &[u8], old: &[u8], pass: &mut Pass) {
    first_pass_body::<L>(true, classes, tokens, new, old, pass);
}

#[inline(always)]
fn first_pass_int_body<L: Lane>(classes: Classes, tokens: Tokens, new: &[u8], old: &[u8], pass: &mut Pass) {
    first_pass_body::<L>(false, classes, tokens, new, old, pass);
}

wide! { fn first_pass_float<L: Lane>(classes: Classes, tokens: Tokens, new: &[u8], old: &[u8], pass: &mut Pass) = first_pass_float_body }
wide! { fn first_pass_int<L: Lane>(classes: Classes, tokens: Tokens, new: &[u8], old: &[u8], pass: &mut Pass) = first_pass_int_body }

fn count_cells(pass: &Pass, class_count: usize, alphabet: usize, cells: &mut [u32]) {
    let blocks = pass.symbols.chunks(LANES).zip(pass.classes.chunks(LANES)).zip(&pass.lengths);
    for ((symbols, classes), &size) in blocks {
        let row = usize::from(size) * class_count;
        for (&symbol, &class) in symbols.iter().zip(classes) {
            let cell = &mut cells[(row + usize::from(class)) * alphabet + usize::from(symbol)];
            *cell = cell.wrapping_add(1);
        }
    }
}

/// What a decoder reads before the first symbol.
struct Head<'a> {
    classes: Classes,
    tokens: Tokens,
    first_length: u8,
    last_size: u8,
    /// For each class of recent magnitude and each class of old values, the table.
    map: [[u8; CLASSES]; SIZES],
    tables: DecodeTables,
    raw: BitReader<'a>,
    symbols: RansDecoder<'a>,
}

impl<'a> Head<'a> {
    fn read<L: Lane>(element: Element, coded: &'a [u8]) -> Result<Self, CodecError> {
        let mut reader = Reader::new(coded);
        let tokens = Tokens::from_code(reader.u8()?, L::BITS).ok_or(CodecError::Malformed("an unknown split of differences"))?;
        let classes = Classes { mantissa: element.mantissa_bits(), first: reader.u16()?, last: reader.u8()? };
        let [first_length, last_size, last_table, last_symbol] = reader.array()?;
        if usize::from(classes.last) >= CLASSES
            || usize::from(first_length) >= LENGTHS
            || usize::from(last_size) >= SIZES
            || usize::from(last_table) >= TABLES
            || usize::from(last_symbol) >= tokens.alphabet(L::BITS)
        {
            return Err(CodecError::Malformed("a count of contexts is out of range"));
        }
        let mut bits = BitReader::new(reader.bytes(reader.remaining())?);
        let mut map = [[0; CLASSES]; SIZES];
        let mut before = 0i32;
        for row in &mut map[..=usize::from(last_size)] {
            for cell in &mut row[..=usize::from(classes.last)] {
                let step = bits.take_gamma()? - 1;
                before += (step >> 1) as i32 ^ -((step & 1) as i32);
                if !(0..=i32::from(last_table)).contains(&before) {
                    return Err(CodecError::Malformed("a context names no table"));
                }
                *cell = before as u8;
            }
        }
        let tables = read_tables(&mut bits, usize::from(last_table) + 1, usize::from(last_symbol) + 1)?;
        let mut reader = Reader::new(bits.finish()?);
        let raw = BitReader::new(reader.string("the length of raw bits", reader.remaining())?);
        let symbols = RansDecoder::new(reader.bytes(reader.remaining())?)?;
        Ok(Self { classes, tokens, first_length, last_size, map, tables: DecodeTables::new(&tables), raw, symbols })
    }
}

/// The elements whose differences from `old` are `coded`.
pub(super) fn decode<L: Lane>(element: Element, coded: &[u8], old: &[u8]) -> Result<Vec<u8>, CodecError> {
    let mut head = Head::read::<L>(element, coded)?;
    let mut new = vec![0; old.len()];
    match element.mantissa_bits() {
        Some(_) => decode_float::<L>(&mut head, old, &mut new),
        None => decode_int::<L>(&mut head, old, &mut new),
    }
    head.symbols.finish()?;
    match head.raw.finish()? {
        [] => Ok(new),
        _ => Err(CodecError::Trailing),
    }
}

#[inline(always)]
fn decode_body<L: Lane>(float: bool, head: &mut Head<'_>, old: &[u8], new: &mut [u8]) {
    let weights = weights(head.tokens, L::BITS);
    let mut starts = [(L::of(0), 0u8); 256];
    for (symbol, start) in starts.iter_mut().enumerate() {
        let (value, raw) = head.tokens.of_symbol(symbol as u8);
        // Symbols beyond the alphabet are not in any table.
        *start = (L::of(value as u64), raw.min(L::BITS - 1) as u8);
    }
    let plain_below = starts.iter().position(|start| start.1 > 0).unwrap_or(256) as u32;
    let mut recent = Recent::new();
    let mut symbols = [0u8; STRIP];
    let mut classes = [0u8; STRIP];
    for (old, new) in old.chunks(STRIP * L::BYTES).zip(new.chunks_mut(STRIP * L::BYTES)) {
        let count = old.len() / L::BYTES;
        for (class, old) in classes.iter_mut().zip(old.chunks_exact(L::BYTES)) {
            *class = head.classes.of(L::load(old));
        }
        let (symbols, classes) = (&mut symbols[..count], &classes[..count]);
        decode_symbols(float, head, &weights, &mut recent, classes, symbols);
        let pairs = old.chunks(LANES * L::BYTES).zip(new.chunks_mut(LANES * L::BYTES));
        for ((old, new), symbols) in pairs.zip(symbols.chunks(LANES)) {
            let triples = old.chunks_exact(L::BYTES).zip(new.chunks_exact_mut(L::BYTES)).zip(symbols);
            if symbols.iter().all(|&symbol| u32::from(symbol) < plain_below) {
                for ((old, new), &symbol) in triples {
                    apply(float, starts[usize::from(symbol)].0, L::load(old)).store(new);
                }
            } else {
                for ((old, new), &symbol) in triples {
                    let (start, len) = starts[usize::from(symbol)];
                    let len = u32::from(len);
                    let bits = L::of(if L::BITS == 64 { head.raw.take_wide(len) } else { head.raw.take(len) });
                    // Even symbols are negative: their raw bits lead away from zero as well.
                    let negative = L::of(u64::from(symbol & 1)).minus(L::of(1));
                    apply(float, start.plus((bits ^ negative).minus(negative)), L::load(old)).store(new);
                }
            }
        }
    }
}

#[inline(always)]
fn decode_symbols(float: bool, head: &mut Head<'_>, weights: &[u32; 256], recent: &mut Recent, classes: &[u8], out: &mut [u8]) {
    let mut decoder = head.symbols.clone();
    let (class_blocks, class_tail) = classes.as_chunks::<LANES>();
    let (blocks, tail) = out.as_chunks_mut::<LANES>();
    for (classes, symbols) in class_blocks.iter().zip(blocks) {
        let size = recent.length().saturating_sub(head.first_length).min(head.last_size);
        let row = &head.map[usize::from(size) & (SIZES - 1)];
        *symbols = decoder.block(&head.tables, classes.map(|class| row[usize::from(class) & (CLASSES - 1)]));
        let mut sum = 0u64;
        for (symbol, class) in symbols.iter().zip(classes) {
            let weight = u64::from(weights[usize::from(*symbol)]);
            sum = sum.wrapping_add(weight << if float { u32::from(*class & 31) } else { 0 });
        }
        recent.push(sum);
    }
    if !tail.is_empty() {
        let size = recent.length().saturating_sub(head.first_length).min(head.last_size);
        let row = &head.map[usize::from(size) & (SIZES - 1)];
        let contexts = std::array::from_fn(|i| class_tail.get(i).map_or(0, |&class| row[usize::from(class) & (CLASSES - 1)]));
        tail.copy_from_slice(&decoder.tail(&head.tables, contexts, tail.len())[..tail.len()]);
    }
    head.symbols = decoder;
}

#[inline(always)]
fn decode_float_body<L: Lane>(head: &mut Head<'_>, old: &[u8], new: &mut [u8]) {
    decode_body::<L>(true, head, old, new);
}

#[inline(always)]
fn decode_int_body<L: Lane>(head: &mut Head<'_>, old: &[u8], new: &mut [u8]) {
    decode_body::<L>(false, head, old, new);
}

wide! { fn decode_float<L: Lane>(head: &mut Head<'_>, old: &[u8], new: &mut [u8]) = decode_float_body }
wide! { fn decode_int<L: Lane>(head: &mut Head<'_>, old: &[u8], new: &mut [u8]) = decode_int_body }
