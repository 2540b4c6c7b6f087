//! The inner loops of the coder.
//!
//! Symbol `i` belongs to state `i % 8`. All states share one stream of words: the encoder runs from the last symbol to the first and
//! the stream is turned around at the end, so that a decoder reads forwards. A decoder ends where the encoder began: in the
//! lowest state, with no word left; anything else is refused.

use super::super::CodecError;
use super::super::kernel::wide;
use super::{Freqs, SCALE, SCALE_BITS};

/// Interleaved states.
pub(in super::super) const LANES: usize = 8;
/// Most tables of one stream.
pub(in super::super) const TABLES: usize = 16;
/// States are at least this, and below it times 2¹⁶.
const LOWEST: u32 = 1 << 16;

/// What coding a symbol does to a state: `x += start + floor(x / freq) * (SCALE - freq)`.
#[derive(Clone, Copy, Default)]
struct EncodeStep {
    /// 2⁶⁴ / freq, rounded up.
    reciprocal: u64,
    start: u32,
    freq: u16,
    complement: u16,
}

impl EncodeStep {
    fn new(freq: u32, start: u32) -> Self {
        match freq {
            0 => Self::default(),
            // 2⁶⁴ does not fit: the quotient is one too small, which `start` makes up for.
            1 => Self { reciprocal: u64::MAX, start: start + SCALE - 1, freq: 1, complement: (SCALE - 1) as u16 },
            _ => Self { reciprocal: u64::MAX / u64::from(freq) + 1, start, freq: freq as u16, complement: (SCALE - freq) as u16 },
        }
    }
}

/// Codes `symbols`, each by the table that `contexts` names for it, or all by the first if there are no contexts.
///
/// Every symbol must occur in its table.
pub(in super::super) fn encode(tables: &[Freqs], symbols: &[u8], contexts: &[u8], out: &mut Vec<u8>) {
    debug_assert!(tables.len() <= TABLES && (contexts.is_empty() || contexts.len() == symbols.len()));
    let mut steps = vec![EncodeStep::default(); if contexts.is_empty() { 256 } else { 256 * TABLES }];
    for (table, steps) in tables.iter().zip(steps.chunks_exact_mut(256)) {
        let mut start = 0;
        for (step, &freq) in steps.iter_mut().zip(table.get()) {
            *step = EncodeStep::new(u32::from(freq), start);
            start += u32::from(freq);
        }
    }
    // A symbol takes at most one word.
    let mut words = vec![0u16; symbols.len() + LANES];
    let (states, from) = if contexts.is_empty() {
        encode_one((&steps[..]).try_into().expect("one table"), symbols, &mut words)
    } else {
        encode_many((&steps[..]).try_into().expect("all tables"), symbols, contexts, &mut words)
    };
    out.reserve(states.len() * 4 + (words.len() - from) * 2);
    for state in states {
        out.extend_from_slice(&state.to_le_bytes());
    }
    for word in &words[from..] {
        out.extend_from_slice(&word.to_le_bytes());
    }
}

#[inline(always)]
fn put(state: &mut u32, step: &EncodeStep, words: &mut [u16], at: &mut usize) {
    let mut x = *state;
    let spill = (x >> (32 - SCALE_BITS)) >= u32::from(step.freq);
    let next = at.wrapping_sub(1);
    words[next] = x as u16;
    *at = if spill { next } else { *at };
    x = if spill { x >> 16 } else { x };
    let quotient = ((u128::from(x) * u128::from(step.reciprocal)) >> 64) as u32;
    *state = x.wrapping_add(step.start).wrapping_add(quotient.wrapping_mul(u32::from(step.complement)));
}

/// Loop shared by both kinds of stream: `step_of(i)` is the step of symbol `i`.
#[inline(always)]
fn encode_loop<'s>(len: usize, step_of: impl Fn(usize) -> &'s EncodeStep, words: &mut [u16]) -> ([u32; LANES], usize) {
    let mut states = [LOWEST; LANES];
    let mut at = words.len();
    let whole = len / LANES * LANES;
    for i in (whole..len).rev() {
        put(&mut states[i - whole], step_of(i), words, &mut at);
    }
    for block in (0..whole / LANES).rev() {
        for lane in (0..LANES).rev() {
            put(&mut states[lane], step_of(block * LANES + lane), words, &mut at);
        }
    }
    (states, at)
}

#[inline(always)]
fn encode_one_body(steps: &[EncodeStep; 256], symbols: &[u8], words: &mut [u16]) -> ([u32; LANES], usize) {
    encode_loop(symbols.len(), |i| &steps[usize::from(symbols[i])], words)
}

#[inline(always)]
fn encode_many_body(steps: &[EncodeStep; 256 * TABLES], symbols: &[u8], contexts: &[u8], words: &mut [u16]) -> ([u32; LANES], usize) {
    let contexts = &contexts[..symbols.len()];
    encode_loop(symbols.len(), |i| &steps[usize::from(contexts[i] & 15) << 8 | usize::from(symbols[i])], words)
}

wide! { fn encode_one(steps: &[EncodeStep; 256], symbols: &[u8], words: &mut [u16]) -> ([u32; LANES], usize) = encode_one_body }
wide! { fn encode_many(steps: &[EncodeStep; 256 * TABLES], symbols: &[u8], contexts: &[u8], words: &mut [u16]) -> ([u32; LANES], usize) = encode_many_body }

/// For each table and each value of a state's low bits: symbol (8 bits), frequency − 1 (12), distance from the symbol's start (12).
pub(in super::super) struct DecodeTables(Box<[u32; TABLES << SCALE_BITS]>);

impl DecodeTables {
    /// Lays out up to [`TABLES`] tables.
    pub(in super::super) fn new(tables: &[Freqs]) -> Self {
        let mut slots: Box<[u32; TABLES << SCALE_BITS]> =
            vec![0u32; TABLES << SCALE_BITS].into_boxed_slice().try_into().expect("as many as asked for");
        for (table, slots) in tables.iter().zip(slots.chunks_exact_mut(SCALE as usize)) {
            fill(table, slots);
        }
        Self(slots)
    }
}

fn fill(table: &Freqs, mut slots: &mut [u32]) {
    for (symbol, &freq) in table.get().iter().enumerate().filter(|&(_, &freq)| freq > 0) {
        let (run, rest) = slots.split_at_mut(usize::from(freq));
        let first = symbol as u32 | (u32::from(freq) - 1) << 8;
        for (distance, slot) in run.iter_mut().enumerate() {
            *slot = first | (distance as u32) << 20;
        }
        slots = rest;
    }
}

/// Decodes block after block of [`LANES`] symbols.
#[derive(Debug, Clone)]
pub(in super::super) struct RansDecoder<'a> {
    states: [u32; LANES],
    words: &'a [u8],
}

impl<'a> RansDecoder<'a> {
    /// Starts on states and words, which reach to the end of `bytes`.
    pub(in super::super) fn new(bytes: &'a [u8]) -> Result<Self, CodecError> {
        let (head, words) = bytes.split_at_checked(LANES * 4).ok_or(CodecError::Truncated)?;
        let mut states = [0; LANES];
        for (state, bytes) in states.iter_mut().zip(head.as_chunks::<4>().0) {
            *state = u32::from_le_bytes(*bytes);
            if *state < LOWEST {
                return Err(CodecError::Malformed("a coder state is too low"));
            }
        }
        Ok(Self { states, words })
    }

    /// Decodes one block; `contexts` are below [`TABLES`]. Words past the end count as zeros and are found by [`RansDecoder::finish`].
    #[inline(always)]
    pub(in super::super) fn block(&mut self, tables: &DecodeTables, contexts: [u8; LANES]) -> [u8; LANES] {
        self.step(|lane, low| tables.0[usize::from(contexts[lane] & 15) << SCALE_BITS | low], LANES)
    }

    /// Decodes the first `count` symbols of a block, whose other symbols do not exist.
    pub(in super::super) fn tail(&mut self, tables: &DecodeTables, contexts: [u8; LANES], count: usize) -> [u8; LANES] {
        self.step(|lane, low| tables.0[usize::from(contexts[lane] & 15) << SCALE_BITS | low], count)
    }

    #[inline(always)]
    fn step(&mut self, entry: impl Fn(usize, usize) -> u32, count: usize) -> [u8; LANES] {
        let mut padded = [0u8; LANES * 2];
        let window: &[u8; LANES * 2] = match self.words.first_chunk() {
            Some(window) => window,
            None => {
                padded[..self.words.len()].copy_from_slice(self.words);
                &padded
            }
        };
        let mut symbols = [0; LANES];
        let mut taken = 0usize;
        for lane in 0..count.min(LANES) {
            let x = self.states[lane];
            let entry = entry(lane, (x & (SCALE - 1)) as usize);
            symbols[lane] = entry as u8;
            let x = ((entry >> 8 & (SCALE - 1)).wrapping_add(1)).wrapping_mul(x >> SCALE_BITS).wrapping_add(entry >> 20);
            let at = (taken & (LANES - 1)) * 2;
            let word = u32::from(u16::from_le_bytes([window[at], window[at + 1]]));
            let refill = x < LOWEST;
            self.states[lane] = if refill { x << 16 | word } else { x };
            taken = taken.wrapping_add(usize::from(refill));
        }
        match self.words.get(taken * 2..) {
            Some(rest) => self.words = rest,
            None => {
                // Past the end: no later block can bring this state back to where the encoder began.
                self.words = &[];
                self.states = [0; LANES];
            }
        }
        symbols
    }

    /// Refuses a stream that does not end as it must.
    pub(in super::super) fn finish(self) -> Result<(), CodecError> {
        if self.states != [LOWEST; LANES] {
            return Err(CodecError::Malformed("a coded stream does not end in its first state"));
        }
        if self.words.is_empty() { Ok(()) } else { Err(CodecError::Trailing) }
    }
}

/// Decodes `out.len()` symbols of one table; `bytes` hold states and words alone.
pub(in super::super) fn decode_one(table: &Freqs, bytes: &[u8], out: &mut [u8]) -> Result<(), CodecError> {
    let mut slots = [0u32; SCALE as usize];
    fill(table, &mut slots);
    let mut decoder = RansDecoder::new(bytes)?;
    decode_one_loop(&slots, &mut decoder, out);
    decoder.finish()
}

#[inline(always)]
fn decode_one_body(slots: &[u32; SCALE as usize], decoder: &mut RansDecoder<'_>, out: &mut [u8]) {
    // A copy in locals: its fields stay in registers.
    let mut local = RansDecoder { states: decoder.states, words: decoder.words };
    let (blocks, tail) = out.as_chunks_mut::<LANES>();
    for block in blocks {
        *block = local.step(|_, low| slots[low], LANES);
    }
    let count = tail.len();
    tail.copy_from_slice(&local.step(|_, low| slots[low], count)[..count]);
    *decoder = local;
}

wide! { fn decode_one_loop(slots: &[u32; SCALE as usize], decoder: &mut RansDecoder<'_>, out: &mut [u8]) = decode_one_body }
