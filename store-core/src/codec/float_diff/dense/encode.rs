//! The coder.

use super::super::super::bits::BitWriter;
use super::super::super::element::Lane;
use super::super::super::entropy::{LANES, cluster, encode as encode_symbols, write_map, write_tables};
use super::super::super::kernel::wide;
use super::super::Kind;
use super::super::context::{CLASSES, Classes, LENGTHS, Recent, SIZES, window};
use super::super::token::{Tokens, difference};
use super::{Map, STRIP, Trend, name_tables};
use crate::base::wire::put_varint;

/// What is coded, and against what.
#[derive(Clone, Copy)]
struct Input<'a> {
    float: bool,
    classes: Classes,
    tokens: Tokens,
    new: &'a [u8],
    old: &'a [u8],
    older: Option<(&'a [u8], Trend)>,
}

/// What the first pass over the elements leaves.
struct Pass {
    symbols: Vec<u8>,
    classes: Vec<u8>,
    /// The bit length of the recent magnitude, or of the last move.
    lengths: Vec<u8>,
    raw: BitWriter,
}

/// Appends the coded differences of whole elements, of which there is at least one.
pub(in super::super) fn encode<L: Lane>(kind: Kind, new: &[u8], old: &[u8], older: Option<&[u8]>, out: &mut Vec<u8>) {
    let count = new.len() / L::BYTES;
    let classes = Classes::choose::<L>(kind.mantissa, old);
    let float = classes.mantissa.is_some();
    let older = older.map(|older| (older, choose_trend::<L>(float, new, old, older)));
    let tokens = if older.is_some() { Tokens::of_moves::<L>() } else { Tokens::choose::<L>(float, new, old) };
    let tokens = tokens.of_elements_without(kind.lacking);
    let mut pass =
        Pass { symbols: vec![0; count], classes: vec![0; count], lengths: vec![0; count], raw: BitWriter::with_capacity(new.len() / 8) };
    first_pass::<L>(Input { float, classes, tokens, new, old, older }, &mut pass);

    let mut counts = [0u32; 256];
    for length in pass.lengths.iter().step_by(LANES / 2) {
        counts[usize::from(*length)] += 1;
    }
    let (first_length, last_size) = window(&counts[..LENGTHS], count.div_ceil(LANES / 2) as u32, SIZES);
    let (first_length, last_size) = (first_length as u8, last_size as u8);
    class_sizes(first_length, last_size, &mut pass.lengths);
    let alphabet = pass.symbols.iter().copied().max().map_or(1, |max| usize::from(max) + 1);
    let class_count = usize::from(classes.last) + 1;
    let mut cells = vec![0u32; (usize::from(last_size) + 1) * class_count * alphabet];
    count_cells(&pass, class_count, alphabet, &mut cells);
    let clusters = cluster(&cells, alphabet);

    if let Some((_, trend)) = older {
        out.push(trend.share);
    }
    out.push(tokens.code());
    out.extend_from_slice(&classes.first.to_le_bytes());
    out.extend_from_slice(&[classes.last, first_length, last_size, clusters.tables.len() as u8 - 1, alphabet as u8 - 1]);
    let mut head = BitWriter::with_capacity(1024);
    write_map(&mut head, &clusters.table_of);
    write_tables(&mut head, &clusters.tables, alphabet);
    out.extend_from_slice(&head.finish());
    let raw = pass.raw.finish();
    put_varint(out, raw.len() as u64);
    out.extend_from_slice(&raw);

    // From here on the class of an element is the table that codes it.
    let mut contexts = pass.classes;
    let mut map: Map = [[0; CLASSES]; SIZES];
    for (row, tables) in map.iter_mut().zip(clusters.table_of.chunks_exact(class_count)) {
        row[..class_count].copy_from_slice(tables);
    }
    contexts_of(&map, &pass.lengths, &mut contexts);
    encode_symbols(&clusters.tables, &pass.symbols, &contexts, out);
}

#[inline(always)]
fn class_sizes_body(first: u8, last: u8, lengths: &mut [u8]) {
    lengths.iter_mut().for_each(|length| *length = length.saturating_sub(first).min(last));
}

wide! {
    /// Replaces lengths by their classes.
    fn class_sizes(first: u8, last: u8, lengths: &mut [u8]) = class_sizes_body
}

#[inline(always)]
fn contexts_body(map: &Map, sizes: &[u8], classes: &mut [u8]) {
    name_tables(map, sizes, classes);
}

wide! {
    /// Replaces classes by the tables that the map names.
    fn contexts_of(map: &Map, sizes: &[u8], classes: &mut [u8]) = contexts_body
}

/// The share that leaves the least, of a sample.
fn choose_trend<L: Lane>(float: bool, new: &[u8], old: &[u8], older: &[u8]) -> Trend {
    let step = (new.len() / L::BYTES / 2048).max(1);
    let elements = new.chunks_exact(L::BYTES).zip(old.chunks_exact(L::BYTES)).zip(older.chunks_exact(L::BYTES));
    let mut bits = [0u32; Trend::MOST as usize + 1];
    for ((new, old), older) in elements.step_by(step) {
        let (new, old, older) = (L::load(new), L::load(old), L::load(older));
        for (share, bits) in bits.iter_mut().enumerate() {
            let moved = Trend { share: share as u8 }.of(float, old, older);
            let left = oriented(difference(float, new, old), moved.mirror).minus(moved.expected);
            *bits += oriented(left, left.sign_mask()).length();
        }
    }
    let best = (0..=Trend::MOST).min_by_key(|&share| bits[usize::from(share)]).unwrap_or(0);
    Trend { share: best }
}

/// The negative where `mirror` is all ones.
#[inline(always)]
fn oriented<L: Lane>(difference: L, mirror: L) -> L {
    (difference ^ mirror).minus(mirror)
}

#[inline(always)]
fn first_pass_body<L: Lane>(input: Input<'_>, pass: &mut Pass) {
    // The branches are taken here, so that the loops have none.
    match (input.float, input.older) {
        (true, None) => go_over::<L, true, false>(input, pass),
        (true, Some(_)) => go_over::<L, true, true>(input, pass),
        (false, None) => go_over::<L, false, false>(input, pass),
        (false, Some(_)) => go_over::<L, false, true>(input, pass),
    }
}

wide! { fn first_pass<L: Lane>(input: Input<'_>, pass: &mut Pass) = first_pass_body }

#[inline(always)]
fn go_over<L: Lane, const FLOAT: bool, const TREND: bool>(input: Input<'_>, pass: &mut Pass) {
    let Input { classes, tokens, .. } = input;
    let (older, trend) = input.older.unwrap_or((input.old, Trend { share: 0 }));
    let mut differences = [L::of(0); STRIP];
    let mut raws = [L::of(0); STRIP];
    let mut lens = [0u8; STRIP];
    let mut weights = [0u32; STRIP];
    let mut recent = Recent::new();
    let bytes = STRIP * L::BYTES;
    let inputs = input.new.chunks(bytes).zip(input.old.chunks(bytes)).zip(older.chunks(bytes));
    let outs = pass.symbols.chunks_mut(STRIP).zip(pass.classes.chunks_mut(STRIP)).zip(pass.lengths.chunks_mut(STRIP));
    for (((new, old), older), ((symbols, class_of), lengths)) in inputs.zip(outs) {
        classes.fill::<L>(FLOAT, old, class_of);
        let pairs = new.chunks_exact(L::BYTES).zip(old.chunks_exact(L::BYTES));
        for (d, (new, old)) in differences.iter_mut().zip(pairs) {
            *d = difference(FLOAT, L::load(new), L::load(old));
        }
        if TREND {
            let pairs = old.chunks_exact(L::BYTES).zip(older.chunks_exact(L::BYTES));
            for ((d, length), (old, older)) in differences.iter_mut().zip(lengths.iter_mut()).zip(pairs) {
                let moved = trend.of(FLOAT, L::load(old), L::load(older));
                *d = oriented(*d, moved.mirror).minus(moved.expected);
                *length = moved.length;
            }
        }
        let splits = symbols.iter_mut().zip(&mut raws).zip(&mut lens).zip(&mut weights);
        for (&d, (((symbol, raw), len), weight)) in differences.iter().zip(splits) {
            let split = tokens.split(d);
            (*symbol, *raw, *len, *weight) = (split.symbol, split.raw, split.raw_len as u8, split.weight);
        }
        // Behind the last element stands what is left of an earlier strip.
        lens[symbols.len()..].fill(0);
        raws[symbols.len()..].fill(L::of(0));
        if !TREND {
            let blocks = class_of.chunks(LANES).zip(lengths.chunks_mut(LANES)).zip(weights.as_chunks::<LANES>().0);
            for ((classes, lengths), weights) in blocks {
                lengths.fill(recent.length());
                // What the last block weighs is never asked for if it is not whole.
                if let Some(classes) = classes.first_chunk::<LANES>() {
                    recent.push(weigh::<FLOAT>(weights, classes));
                }
            }
        }
        put_raw(&raws, &lens, symbols.len(), &mut pass.raw);
    }
}

/// The sum of the weights, for floats each times two to its class.
#[inline(always)]
fn weigh<const FLOAT: bool>(weights: &[u32; LANES], classes: &[u8; LANES]) -> u64 {
    let each = weights.iter().zip(classes).map(|(&weight, &class)| u64::from(weight) << if FLOAT { class & 31 } else { 0 });
    each.fold(0, u64::wrapping_add)
}

/// Appends the raw bits of the first `count` elements. Those of neighbours are put together first, many at a time: each field that is
/// appended waits for the one before.
#[inline(always)]
fn put_raw<L: Lane>(raws: &[L; STRIP], lens: &[u8; STRIP], count: usize, out: &mut BitWriter) {
    let longest = lens.iter().fold(0, |most, &len| len.max(most));
    if longest == 0 {
        return;
    }
    if L::BITS == 64 || (L::BITS == 32 && longest > 28) {
        return raws[..count].iter().zip(lens).for_each(|(raw, &len)| out.put_wide(raw.wide(), u32::from(len)));
    }
    let mut pairs = [0u64; STRIP / 2];
    let mut pair_lens = [0u8; STRIP / 2];
    let halves = raws.as_chunks::<2>().0.iter().zip(lens.as_chunks::<2>().0);
    for ((raws, lens), (pair, len)) in halves.zip(pairs.iter_mut().zip(&mut pair_lens)) {
        // Half as wide as they must be, for the sake of 16-bit elements: their pairs have at most 28 bits.
        *pair = if L::BITS == 32 {
            raws[0].wide() | (raws[1].wide() << (lens[0] & 63))
        } else {
            u64::from(raws[0].wide() as u32 | ((raws[1].wide() as u32) << (lens[0] & 31)))
        };
        *len = lens[0].wrapping_add(lens[1]);
    }
    if L::BITS == 32 {
        let blocks = pairs.as_chunks::<8>().0.iter().zip(pair_lens.as_chunks::<8>().0);
        return blocks.take(count.div_ceil(16)).for_each(|(pairs, lens)| out.put_all(pairs, lens));
    }
    let mut quads = [0u64; STRIP / 4];
    let mut quad_lens = [0u8; STRIP / 4];
    let halves = pairs.as_chunks::<2>().0.iter().zip(pair_lens.as_chunks::<2>().0);
    for ((pairs, lens), (quad, len)) in halves.zip(quads.iter_mut().zip(&mut quad_lens)) {
        *quad = pairs[0] | (pairs[1] << (lens[0] & 63));
        *len = lens[0].wrapping_add(lens[1]);
    }
    let blocks = quads.as_chunks::<8>().0.iter().zip(quad_lens.as_chunks::<8>().0);
    blocks.take(count.div_ceil(32)).for_each(|(quads, lens)| out.put_all(quads, lens));
}

#[inline(always)]
fn count_cells_body(pass: &Pass, class_count: usize, alphabet: usize, cells: &mut [u32]) {
    let row_len = (class_count * alphabet) as u32;
    // Two counters for each cell: equal neighbours do not wait for each other.
    let mut others = vec![0u32; cells.len()];
    let mut places = [0u32; STRIP];
    let strips = pass.symbols.chunks(STRIP).zip(pass.classes.chunks(STRIP)).zip(pass.lengths.chunks(STRIP));
    for ((symbols, classes), sizes) in strips {
        for (place, ((&symbol, &class), &size)) in places.iter_mut().zip(symbols.iter().zip(classes).zip(sizes)) {
            // Each is below its dimension.
            let row = u32::from(size).wrapping_mul(row_len);
            *place = u32::from(class).wrapping_mul(alphabet as u32).wrapping_add(row).wrapping_add(u32::from(symbol));
        }
        let (pairs, last) = places[..symbols.len()].as_chunks::<2>();
        for [a, b] in pairs {
            let (a, b) = (&mut cells[*a as usize], &mut others[*b as usize]);
            (*a, *b) = (a.wrapping_add(1), b.wrapping_add(1));
        }
        last.iter().for_each(|&place| cells[place as usize] += 1);
    }
    cells.iter_mut().zip(&others).for_each(|(cell, other)| *cell = cell.wrapping_add(*other));
}

wide! { fn count_cells(pass: &Pass, class_count: usize, alphabet: usize, cells: &mut [u32]) = count_cells_body }
