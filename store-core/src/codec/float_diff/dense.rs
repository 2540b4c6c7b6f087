//! The differences of all elements.

use super::super::CodecError;
use super::super::bits::{BitReader, BitWriter};
use super::super::element::{Element, Lane};
#[cfg(target_arch = "x86_64")]
use super::super::entropy::Avx2Blocks;
use super::super::entropy::{
    Blocks, DecodeTables, LANES, RansDecoder, TABLES, cluster, encode as encode_symbols, read_tables, write_tables,
};
#[cfg(target_arch = "x86_64")]
use super::super::kernel::has_avx2;
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
    let tokens = Tokens::choose::<L>(classes.mantissa.is_some(), new, old);
    let mut pass = Pass {
        symbols: vec![0; count],
        classes: vec![0; count],
        lengths: vec![0; count.div_ceil(LANES)],
        raw: BitWriter::with_capacity(new.len() / 8),
    };
    first_pass::<L>(classes, tokens, new, old, &mut pass);

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
    let mut map = [[0; CLASSES]; SIZES];
    for (row, tables) in map.iter_mut().zip(clusters.table_of.chunks_exact(class_count)) {
        row[..class_count].copy_from_slice(tables);
    }
    name_tables(&map, &pass.lengths, &mut contexts);
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
fn first_pass_body<'a, L: Lane, B: Blocks<'a>>(float: bool, classes: Classes, tokens: Tokens, new: &[u8], old: &[u8], pass: &mut Pass) {
    let weights = weights(tokens, L::BITS);
    let mut recent = Recent::new();
    let blocks = new.chunks(L::BYTES * LANES).zip(old.chunks(L::BYTES * LANES));
    let outs = pass.symbols.chunks_mut(LANES).zip(pass.classes.chunks_mut(LANES)).zip(&mut pass.lengths);
    for ((new, old), ((symbols, class_of), length)) in blocks.zip(outs) {
        let mut raw = [0u64; LANES];
        let mut lens = [0u8; LANES];
        classes.fill::<L>(float, old, class_of);
        let pairs = new.chunks_exact(L::BYTES).zip(old.chunks_exact(L::BYTES));
        for ((new, old), (symbol, (raw, raw_len))) in pairs.zip(symbols.iter_mut().zip(raw.iter_mut().zip(&mut lens))) {
            let (token, bits, len) = tokens.split(difference(float, L::load(new), L::load(old)));
            (*symbol, *raw, *raw_len) = (token, bits, len as u8);
        }
        *length = recent.length();
        // What the last block weighs is never asked for if it is not whole.
        if let (Some(symbols), Some(classes)) = (symbols.first_chunk(), class_of.first_chunk()) {
            recent.push(B::weigh(&weights, symbols, if float { classes } else { &[0; LANES] }));
        }
        if L::BITS == 64 {
            raw.iter().zip(lens).for_each(|(&bits, len)| pass.raw.put_wide(bits, u32::from(len)));
        } else if u128::from_le_bytes(lens) != 0 {
            pass.raw.put_all(&raw, &lens);
        }
    }
}

fn first_pass<L: Lane>(classes: Classes, tokens: Tokens, new: &[u8], old: &[u8], pass: &mut Pass) {
    let float = classes.mantissa.is_some();
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
        fn on_avx2<L: Lane>(float: bool, classes: Classes, tokens: Tokens, new: &[u8], old: &[u8], pass: &mut Pass) {
            if float {
                first_pass_body::<L, Avx2Blocks<'_>>(true, classes, tokens, new, old, pass);
            } else {
                first_pass_body::<L, Avx2Blocks<'_>>(false, classes, tokens, new, old, pass);
            }
        }
        if has_avx2() {
            // SAFETY: the CPU has the features that were just looked for.
            #[allow(unsafe_code)]
            return unsafe { on_avx2::<L>(float, classes, tokens, new, old, pass) };
        }
    }
    first_pass_body::<L, RansDecoder<'_>>(float, classes, tokens, new, old, pass);
}

fn count_cells(pass: &Pass, class_count: usize, alphabet: usize, cells: &mut [u32]) {
    let row_len = class_count * alphabet;
    let blocks = pass.symbols.chunks(LANES).zip(pass.classes.chunks(LANES)).zip(&pass.lengths);
    for ((symbols, classes), &size) in blocks {
        let row = &mut cells[usize::from(size) * row_len..][..row_len];
        for (&symbol, &class) in symbols.iter().zip(classes) {
            // Both are below the dimensions of the row, which are at most 32 and 256.
            let cell = &mut row[(u32::from(class) * alphabet as u32).wrapping_add(u32::from(symbol)) as usize];
            *cell = cell.wrapping_add(1);
        }
    }
}

#[inline(always)]
fn name_tables_body<'a, B: Blocks<'a>>(map: &[[u8; CLASSES]; SIZES], sizes: &[u8], classes: &mut [u8]) {
    let (blocks, last) = classes.as_chunks_mut::<LANES>();
    for (block, &size) in blocks.iter_mut().zip(sizes) {
        *block = B::look_up(&map[usize::from(size) & (SIZES - 1)], block);
    }
    let row = &map[usize::from(sizes.last().copied().unwrap_or(0)) & (SIZES - 1)];
    last.iter_mut().for_each(|class| *class = row[usize::from(*class) & (CLASSES - 1)]);
}

/// Replaces the class of each element by the table that the map names for it.
fn name_tables(map: &[[u8; CLASSES]; SIZES], sizes: &[u8], classes: &mut [u8]) {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
        fn on_avx2(map: &[[u8; CLASSES]; SIZES], sizes: &[u8], classes: &mut [u8]) {
            name_tables_body::<Avx2Blocks<'_>>(map, sizes, classes);
        }
        if has_avx2() {
            // SAFETY: the CPU has the features that were just looked for.
            #[allow(unsafe_code)]
            return unsafe { on_avx2(map, sizes, classes) };
        }
    }
    name_tables_body::<RansDecoder<'_>>(map, sizes, classes);
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
    decode_all::<L>(element.mantissa_bits().is_some(), &mut head, old, &mut new);
    head.symbols.finish()?;
    match head.raw.finish()? {
        [] => Ok(new),
        _ => Err(CodecError::Trailing),
    }
}

#[inline(always)]
fn decode_body<'a, L: Lane, B: Blocks<'a>>(float: bool, head: &mut Head<'a>, old: &[u8], new: &mut [u8]) {
    let weights = weights(head.tokens, L::BITS);
    let mut starts = [(L::of(0), 0u8); 256];
    for (symbol, start) in starts.iter_mut().enumerate() {
        let (value, raw) = head.tokens.of_symbol(symbol as u8);
        // Symbols beyond the alphabet are not in any table.
        *start = (L::of(value as u64), raw.min(L::BITS - 1) as u8);
    }
    let mut raw = head.raw.clone();
    let mut recent = Recent::new();
    let mut symbols = [0u8; STRIP];
    let mut classes = [0u8; STRIP];
    for (old, new) in old.chunks(STRIP * L::BYTES).zip(new.chunks_mut(STRIP * L::BYTES)) {
        let count = old.len() / L::BYTES;
        head.classes.fill::<L>(float, old, &mut classes);
        let (symbols, classes) = (&mut symbols[..count], &classes[..count]);
        decode_symbols::<B>(float, head, &weights, &mut recent, classes, symbols);
        let blocks = old.chunks(LANES * L::BYTES).zip(new.chunks_mut(LANES * L::BYTES));
        for ((old, new), symbols) in blocks.zip(symbols.chunks(LANES)) {
            let mut padded = [0; LANES];
            padded[..symbols.len()].copy_from_slice(symbols);
            let mut starts_of = [L::of(0); LANES];
            let mut lens = [0; LANES];
            let mut any = 0;
            for ((start, len), &symbol) in starts_of.iter_mut().zip(&mut lens).zip(&padded) {
                (*start, *len) = starts[usize::from(symbol)];
                any |= *len;
            }
            let bits: [L; LANES] = if any == 0 { [L::of(0); LANES] } else { raw_bits(&mut raw, &lens) };
            let sides = starts_of.iter().zip(&bits).zip(&padded);
            let pairs = old.chunks_exact(L::BYTES).zip(new.chunks_exact_mut(L::BYTES));
            for (((&start, &bits), &symbol), (old, new)) in sides.zip(pairs) {
                // Even symbols are negative: their raw bits lead away from zero as well.
                let negative = L::of(u64::from(symbol & 1)).minus(L::of(1));
                let difference = start.plus((bits ^ negative).minus(negative));
                apply(float, difference, L::load(old)).store(new);
            }
        }
    }
    head.raw = raw;
}

#[inline(always)]
fn raw_bits<L: Lane>(raw: &mut BitReader<'_>, lens: &[u8; LANES]) -> [L; LANES] {
    if L::BITS < 64
        && let Some(fields) = raw.take_all(lens)
    {
        return fields;
    }
    lens.map(|len| L::of(raw.take_wide(u32::from(len))))
}

#[inline(always)]
fn decode_symbols<'a, B: Blocks<'a>>(
    float: bool,
    head: &mut Head<'a>,
    weights: &[u32; 256],
    recent: &mut Recent,
    classes: &[u8],
    out: &mut [u8],
) {
    let mut decoder = B::from(&head.symbols);
    let (class_blocks, class_tail) = classes.as_chunks::<LANES>();
    let (blocks, tail) = out.as_chunks_mut::<LANES>();
    for (classes, symbols) in class_blocks.iter().zip(blocks) {
        let size = recent.length().saturating_sub(head.first_length).min(head.last_size);
        let row = &head.map[usize::from(size) & (SIZES - 1)];
        *symbols = decoder.block(head.tables.slots(), B::look_up(row, classes));
        recent.push(B::weigh(weights, symbols, if float { classes } else { &[0; LANES] }));
    }
    let mut decoder = decoder.into();
    if !tail.is_empty() {
        let size = recent.length().saturating_sub(head.first_length).min(head.last_size);
        let row = &head.map[usize::from(size) & (SIZES - 1)];
        let contexts = std::array::from_fn(|i| class_tail.get(i).map_or(0, |&class| row[usize::from(class) & (CLASSES - 1)]));
        tail.copy_from_slice(&decoder.tail(&head.tables, contexts, tail.len())[..tail.len()]);
    }
    head.symbols = decoder;
}

fn decode_all<L: Lane>(float: bool, head: &mut Head<'_>, old: &[u8], new: &mut [u8]) {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
        fn on_avx2<'a, L: Lane>(float: bool, head: &mut Head<'a>, old: &[u8], new: &mut [u8]) {
            if float {
                decode_body::<L, Avx2Blocks<'a>>(true, head, old, new);
            } else {
                decode_body::<L, Avx2Blocks<'a>>(false, head, old, new);
            }
        }
        if has_avx2() {
            // SAFETY: the CPU has the features that were just looked for.
            #[allow(unsafe_code)]
            return unsafe { on_avx2::<L>(float, head, old, new) };
        }
    }
    decode_body::<L, RansDecoder<'_>>(float, head, old, new);
}
