//! The decoder.

use super::super::super::CodecError;
use super::super::super::bits::BitReader;
use super::super::super::element::Lane;
#[cfg(target_arch = "x86_64")]
use super::super::super::entropy::Avx2Blocks;
use super::super::super::entropy::{Blocks, DecodeTables, LANES, RansDecoder, TABLES, read_map, read_tables};
#[cfg(target_arch = "x86_64")]
use super::super::super::kernel::has_avx2;
use super::super::Kind;
use super::super::context::{CLASSES, Classes, LENGTHS, Recent, SIZES, weights};
use super::super::token::{Tokens, apply};
use super::{Map, STRIP, Trend, name_tables};
use crate::base::wire::Reader;

/// What a decoder reads before the first symbol.
struct Head<'a> {
    float: bool,
    trend: Option<Trend>,
    classes: Classes,
    tokens: Tokens,
    first_length: u8,
    last_size: u8,
    map: Map,
    tables: DecodeTables,
    raw: BitReader<'a>,
    symbols: RansDecoder<'a>,
}

impl<'a> Head<'a> {
    fn read<L: Lane>(kind: Kind, trend: bool, coded: &'a [u8]) -> Result<Self, CodecError> {
        let mut reader = Reader::new(coded);
        let trend = if trend { Some(Trend { share: reader.u8()? }) } else { None };
        if trend.is_some_and(|trend| trend.share > Trend::MOST) {
            return Err(CodecError::Malformed("an unknown share of the last move"));
        }
        let tokens = Tokens::from_code(reader.u8()?, L::BITS).ok_or(CodecError::Malformed("an unknown split of differences"))?;
        let tokens = tokens.of_elements_without(kind.lacking);
        let classes = Classes { mantissa: kind.mantissa, first: reader.u16()?, last: reader.u8()? };
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
        let rows = map[..=usize::from(last_size)].iter_mut();
        read_map(&mut bits, last_table, rows.flat_map(|row| &mut row[..=usize::from(classes.last)]))?;
        let tables = read_tables(&mut bits, usize::from(last_table) + 1, usize::from(last_symbol) + 1)?;
        let mut reader = Reader::new(bits.finish()?);
        let raw = BitReader::new(reader.string("the length of raw bits", reader.remaining())?);
        let symbols = RansDecoder::new(reader.bytes(reader.remaining())?)?;
        let float = kind.mantissa.is_some();
        Ok(Self { float, trend, classes, tokens, first_length, last_size, map, tables: DecodeTables::new(&tables), raw, symbols })
    }

    #[inline(always)]
    fn size(&self, length: u8) -> u8 {
        length.saturating_sub(self.first_length).min(self.last_size)
    }
}

/// The elements whose differences from `old`, given `older` where they were coded so, are `coded`.
pub(in super::super) fn decode<L: Lane>(kind: Kind, coded: &[u8], old: &[u8], older: Option<&[u8]>) -> Result<Vec<u8>, CodecError> {
    let mut head = Head::read::<L>(kind, older.is_some(), coded)?;
    let mut new = vec![0; old.len()];
    decode_all::<L>(&mut head, old, older.unwrap_or(old), &mut new);
    head.symbols.finish()?;
    match head.raw.finish()? {
        [] => Ok(new),
        _ => Err(CodecError::Trailing),
    }
}

fn decode_all<L: Lane>(head: &mut Head<'_>, old: &[u8], older: &[u8], new: &mut [u8]) {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
        fn on_avx2<'a, L: Lane>(head: &mut Head<'a>, old: &[u8], older: &[u8], new: &mut [u8]) {
            decode_body::<L, Avx2Blocks<'a>>(head, old, older, new);
        }
        if has_avx2() {
            // SAFETY: the CPU has the features that were just looked for.
            #[allow(unsafe_code, reason = "safe code that is compiled for the CPU features just found")]
            return unsafe { on_avx2::<L>(head, old, older, new) };
        }
    }
    decode_body::<L, RansDecoder<'_>>(head, old, older, new);
}

#[inline(always)]
fn decode_body<'a, L: Lane, B: Blocks<'a>>(head: &mut Head<'a>, old: &[u8], older: &[u8], new: &mut [u8]) {
    // The branches are taken here, so that the loops have none.
    match (head.float, head.trend.is_some()) {
        (true, false) => go_over::<L, B, true, false>(head, old, older, new),
        (true, true) => go_over::<L, B, true, true>(head, old, older, new),
        (false, false) => go_over::<L, B, false, false>(head, old, older, new),
        (false, true) => go_over::<L, B, false, true>(head, old, older, new),
    }
}

#[inline(always)]
fn go_over<'a, L: Lane, B: Blocks<'a>, const FLOAT: bool, const TREND: bool>(
    head: &mut Head<'a>,
    old: &[u8],
    older: &[u8],
    new: &mut [u8],
) {
    let weights = weights(head.tokens, L::BITS);
    let trend = head.trend.unwrap_or(Trend { share: 0 });
    let mut raw = head.raw.clone();
    let mut recent = Recent::new();
    let mut classes = [0u8; STRIP];
    let mut sizes = [0u8; STRIP];
    let mut symbols = [0u8; STRIP];
    let mut lens = [0u8; STRIP];
    let mut differences = [L::of(0); STRIP];
    let mut raws = [L::of(0); STRIP];
    let bytes = STRIP * L::BYTES;
    for ((old, older), new) in old.chunks(bytes).zip(older.chunks(bytes)).zip(new.chunks_mut(bytes)) {
        let count = old.len() / L::BYTES;
        head.classes.fill::<L>(FLOAT, old, &mut classes[..count]);
        if TREND {
            let pairs = old.chunks_exact(L::BYTES).zip(older.chunks_exact(L::BYTES));
            for (size, (old, older)) in sizes.iter_mut().zip(pairs) {
                *size = head.size(trend.of(FLOAT, L::load(old), L::load(older)).length);
            }
            name_tables(&head.map, &sizes[..count], &mut classes[..count]);
            decode_named::<B>(head, &classes[..count], &mut symbols[..count]);
        } else {
            decode_recent::<B>(FLOAT, head, &weights, &mut recent, &classes[..count], &mut symbols[..count]);
        }
        // Symbols behind the last one must not ask for raw bits.
        symbols[count..].fill(0);
        for ((&symbol, difference), len) in symbols.iter().zip(&mut differences).zip(&mut lens) {
            let (magnitude, raw_len) = head.tokens.magnitude::<L>(symbol);
            (*difference, *len) = (magnitude, raw_len as u8);
        }
        take_raw::<L, B>(&mut raw, &lens, &mut raws, count);
        let places = old.chunks_exact(L::BYTES).zip(older.chunks_exact(L::BYTES)).zip(new.chunks_exact_mut(L::BYTES));
        for (((&symbol, &start), &raw), ((old, older), new)) in symbols.iter().zip(&differences).zip(&raws).zip(places) {
            let old = L::load(old);
            // Even symbols are negative: their raw bits lead away from zero as well.
            let negative = L::of(u64::from(symbol & 1)).minus(L::of(1));
            let mut difference = ((start | raw) ^ negative).minus(negative);
            if TREND {
                let moved = trend.of(FLOAT, old, L::load(older));
                difference = (difference.plus(moved.expected) ^ moved.mirror).minus(moved.mirror);
            }
            apply(FLOAT, difference, old).store(new);
        }
    }
    head.raw = raw;
}

/// Reads the raw bits of a strip, of which `count` elements are there.
#[inline(always)]
fn take_raw<'a, L: Lane, B: Blocks<'a>>(raw: &mut BitReader<'_>, lens: &[u8; STRIP], out: &mut [L; STRIP], count: usize) {
    let blocks = out.as_chunks_mut::<LANES>().0.iter_mut().zip(lens.as_chunks::<LANES>().0);
    for (out, lens) in blocks.take(count.div_ceil(LANES)) {
        *out = if u128::from_le_bytes(*lens) == 0 {
            [L::of(0); LANES]
        } else if L::BITS < 64
            && let Some(fields) = B::fields(raw, lens)
        {
            fields
        } else {
            lens.map(|len| L::of(raw.take_wide(u32::from(len))))
        };
    }
}

/// Decodes symbols whose tables are known beforehand.
#[inline(always)]
fn decode_named<'a, B: Blocks<'a>>(head: &mut Head<'a>, contexts: &[u8], out: &mut [u8]) {
    let mut decoder = B::from(&head.symbols);
    let (context_blocks, context_tail) = contexts.as_chunks::<LANES>();
    let (blocks, tail) = out.as_chunks_mut::<LANES>();
    for (contexts, symbols) in context_blocks.iter().zip(blocks) {
        *symbols = decoder.block(head.tables.slots(), *contexts);
    }
    let mut decoder = decoder.into();
    if !tail.is_empty() {
        let contexts = std::array::from_fn(|i| context_tail.get(i).copied().unwrap_or(0));
        tail.copy_from_slice(&decoder.tail(&head.tables, contexts, tail.len())[..tail.len()]);
    }
    head.symbols = decoder;
}

/// Decodes symbols whose tables depend on the symbols before them.
#[inline(always)]
fn decode_recent<'a, B: Blocks<'a>>(
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
        let row = &head.map[usize::from(head.size(recent.length())) & (SIZES - 1)];
        *symbols = decoder.block(head.tables.slots(), B::look_up(row, classes));
        recent.push(B::weigh(weights, symbols, if float { classes } else { &[0; LANES] }));
    }
    let mut decoder = decoder.into();
    if !tail.is_empty() {
        let row = &head.map[usize::from(head.size(recent.length())) & (SIZES - 1)];
        let contexts = std::array::from_fn(|i| class_tail.get(i).map_or(0, |&class| row[usize::from(class) & (CLASSES - 1)]));
        tail.copy_from_slice(&decoder.tail(&head.tables, contexts, tail.len())[..tail.len()]);
    }
    head.symbols = decoder;
}
