//! The inner loops of the coder.
//!
//! Symbol `i` belongs to state `i % 16`. All states share one stream of words: the encoder runs from the last symbol to the first and
//! the stream is turned around at the end, so that a decoder reads forwards. A decoder ends where the encoder began: in the
//! lowest state, with no word left; anything else is refused.

use super::super::CodecError;
use super::super::bits::BitReader;
use super::super::element::Lane;
use super::{Freqs, SCALE, SCALE_BITS};

/// Interleaved states.
pub(in super::super) const LANES: usize = 16;
/// Most tables of one stream.
pub(in super::super) const TABLES: usize = 16;
/// States are at least this, and below it times 2¹⁶.
pub(super) const LOWEST: u32 = 1 << 15;

/// What coding a symbol does to a state, for symbol `s` of table `t` at `t * 256 + s`:
/// `x += bias + floor(x / freq) * (SCALE - freq)`, the quotient by a multiplication that is exact for 31 bits.
///
/// Source: R. Alverson, "Integer division using reciprocals", 1991.
pub(super) struct EncodeSteps {
    /// From the lowest bit: reciprocal (32 bits), frequency (13 bits), bias (13 bits), shift behind the multiplication (4 bits).
    pub(super) entries: Vec<u64>,
}

impl EncodeSteps {
    fn new(tables: &[Freqs]) -> Self {
        let mut steps = Self { entries: vec![0; tables.len() * 256] };
        for (i, table) in tables.iter().enumerate() {
            let mut start = 0;
            for (symbol, &freq) in table.get().iter().enumerate().filter(|&(_, &freq)| freq > 0) {
                let freq = u32::from(freq);
                let (reciprocal, bias, shift) = if freq == 1 {
                    // The quotient is one too small, which the bias makes up for.
                    (u32::MAX, start + SCALE - 1, 0)
                } else {
                    let shift = (freq - 1).ilog2() + 1;
                    (((1u64 << (shift + 31)).div_ceil(u64::from(freq))) as u32, start, shift - 1)
                };
                steps.entries[i << 8 | symbol] = u64::from(reciprocal) | u64::from(freq | bias << 13 | shift << 26) << 32;
                start += freq;
            }
        }
        steps
    }
}

/// Codes `symbols`, each by the table that `contexts` names for it, or all by the first if there are no contexts.
///
/// Every symbol must occur in its table.
pub(in super::super) fn encode(tables: &[Freqs], symbols: &[u8], contexts: &[u8], out: &mut Vec<u8>) {
    debug_assert!(tables.len() <= TABLES && (contexts.is_empty() || contexts.len() == symbols.len()));
    let steps = EncodeSteps::new(tables);
    // A symbol takes at most one word.
    let mut words = vec![0u16; symbols.len() + LANES];
    let mut encoder = Encoder { states: [LOWEST; LANES], at: words.len() };
    let whole = symbols.len() / LANES * LANES;
    for i in (whole..symbols.len()).rev() {
        encoder.put(i - whole, &steps, slot(symbols, contexts, i), &mut words);
    }
    encode_blocks(&mut encoder, &steps, &symbols[..whole], contexts, &mut words);
    let Encoder { states, at: from } = encoder;
    out.reserve(states.len() * 4 + (words.len() - from) * 2);
    for state in states {
        out.extend_from_slice(&state.to_le_bytes());
    }
    let start = out.len();
    out.resize(start + (words.len() - from) * 2, 0);
    for (bytes, word) in out[start..].as_chunks_mut::<2>().0.iter_mut().zip(&words[from..]) {
        *bytes = word.to_le_bytes();
    }
}

/// Where the step of symbol `i` is.
#[inline(always)]
fn slot(symbols: &[u8], contexts: &[u8], i: usize) -> usize {
    let context = if contexts.is_empty() { 0 } else { usize::from(contexts[i]) };
    context << 8 | usize::from(symbols[i])
}

/// The states, and where the word written last is.
pub(super) struct Encoder {
    pub(super) states: [u32; LANES],
    pub(super) at: usize,
}

impl Encoder {
    #[inline(always)]
    fn put(&mut self, lane: usize, steps: &EncodeSteps, slot: usize, words: &mut [u16]) {
        let mut x = self.states[lane];
        let entry = steps.entries[slot];
        let (reciprocal, fields) = (entry & u64::from(u32::MAX), (entry >> 32) as u32);
        let freq = fields & 0x1fff;
        let spill = u32::from(x >> (31 - SCALE_BITS) >= freq);
        words[self.at.wrapping_sub(1)] = x as u16;
        self.at = self.at.wrapping_sub(spill as usize);
        x >>= spill << 4;
        let quotient = (u64::from(x).wrapping_mul(reciprocal) >> 32) as u32 >> (fields >> 26);
        self.states[lane] = x.wrapping_add(fields >> 13 & 0x1fff).wrapping_add(quotient.wrapping_mul(SCALE - freq));
    }
}

/// Codes whole blocks, the last first.
fn encode_blocks(encoder: &mut Encoder, steps: &EncodeSteps, symbols: &[u8], contexts: &[u8], words: &mut [u16]) {
    #[cfg(target_arch = "x86_64")]
    if super::super::kernel::has_avx2() {
        return super::rans_avx2::encode_blocks(encoder, steps, symbols, contexts, words);
    }
    encode_blocks_portable(encoder, steps, symbols, contexts, words);
}

pub(super) fn encode_blocks_portable(encoder: &mut Encoder, steps: &EncodeSteps, symbols: &[u8], contexts: &[u8], words: &mut [u16]) {
    for block in (0..symbols.len() / LANES).rev() {
        for lane in (0..LANES).rev() {
            encoder.put(lane, steps, slot(symbols, contexts, block * LANES + lane), words);
        }
    }
}

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

    /// All slots, table after table.
    #[inline(always)]
    pub(in super::super) fn slots(&self) -> &[u32; TABLES << SCALE_BITS] {
        &self.0
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
    pub(super) states: [u32; LANES],
    pub(super) words: &'a [u8],
}

impl<'a> RansDecoder<'a> {
    /// Starts on states and words, which reach to the end of `bytes`.
    pub(in super::super) fn new(bytes: &'a [u8]) -> Result<Self, CodecError> {
        let (head, words) = bytes.split_at_checked(LANES * 4).ok_or(CodecError::Truncated)?;
        let mut states = [0; LANES];
        for (state, bytes) in states.iter_mut().zip(head.as_chunks::<4>().0) {
            *state = u32::from_le_bytes(*bytes);
            if !(LOWEST..LOWEST << 16).contains(state) {
                return Err(CodecError::Malformed("a coder state is out of range"));
            }
        }
        Ok(Self { states, words })
    }

    /// Decodes the first `count` symbols of a block, whose other symbols do not exist; `contexts` are below [`TABLES`].
    /// Words past the end count as zeros and are found by [`RansDecoder::finish`].
    pub(in super::super) fn tail(&mut self, tables: &DecodeTables, contexts: [u8; LANES], count: usize) -> [u8; LANES] {
        self.step(&tables.0, contexts, count)
    }

    #[inline(always)]
    pub(super) fn step<const N: usize>(&mut self, slots: &[u32; N], contexts: [u8; LANES], count: usize) -> [u8; LANES] {
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
        let states = &mut self.states;
        for lane in 0..count.min(LANES) {
            let x = states[lane];
            let entry = slots[(usize::from(contexts[lane]) << SCALE_BITS | (x & (SCALE - 1)) as usize) & (N - 1)];
            symbols[lane] = entry as u8;
            let x = ((entry >> 8 & (SCALE - 1)).wrapping_add(1)).wrapping_mul(x >> SCALE_BITS).wrapping_add(entry >> 20);
            let at = (taken & (LANES - 1)) * 2;
            let word = u32::from(u16::from_le_bytes([window[at], window[at + 1]]));
            // By arithmetic, not by a choice: a branch here is one that no CPU can predict.
            let refill = u32::from(x < LOWEST);
            states[lane] = x << (refill << 4) | (word & refill.wrapping_neg());
            taken = taken.wrapping_add(refill as usize);
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

/// Decodes whole blocks. There is one for any CPU and one for those with AVX2; both give the same symbols.
pub(in super::super) trait Blocks<'a> {
    /// Goes on where `decoder` is.
    fn from(decoder: &RansDecoder<'a>) -> Self;
    /// The decoder behind the blocks decoded so far.
    fn into(self) -> RansDecoder<'a>;
    /// Decodes one block; `N` is a power of two, and table `contexts[lane]` is in `slots` at that times [`SCALE`].
    fn block<const N: usize>(&mut self, slots: &[u32; N], contexts: [u8; LANES]) -> [u8; LANES];
    /// The sum of the weights of `symbols`, each times two to its class (which is below 32), modulo 2⁶⁴.
    fn weigh(weights: &[u32; 256], symbols: &[u8; LANES], classes: &[u8; LANES]) -> u64;
    /// `row[class]` for each class, which are below 32.
    fn look_up(row: &[u8; 32], classes: &[u8; LANES]) -> [u8; LANES];
    /// Fields that follow one another, each narrower than an element, of 32 bits at the most. `None` where the stream may end among them.
    #[inline(always)]
    fn fields<L: Lane>(bits: &mut BitReader<'_>, lens: &[u8; LANES]) -> Option<[L; LANES]> {
        bits.take_all(lens)
    }
}

impl<'a> Blocks<'a> for RansDecoder<'a> {
    #[inline(always)]
    fn from(decoder: &RansDecoder<'a>) -> Self {
        decoder.clone()
    }

    #[inline(always)]
    fn into(self) -> RansDecoder<'a> {
        self
    }

    #[inline(always)]
    fn block<const N: usize>(&mut self, slots: &[u32; N], contexts: [u8; LANES]) -> [u8; LANES] {
        self.step(slots, contexts, LANES)
    }

    #[inline(always)]
    fn weigh(weights: &[u32; 256], symbols: &[u8; LANES], classes: &[u8; LANES]) -> u64 {
        let each = symbols.iter().zip(classes).map(|(&symbol, &class)| u64::from(weights[usize::from(symbol)]) << (class & 31));
        each.fold(0, u64::wrapping_add)
    }

    #[inline(always)]
    fn look_up(row: &[u8; 32], classes: &[u8; LANES]) -> [u8; LANES] {
        classes.map(|class| row[usize::from(class & 31)])
    }
}

/// Decodes `out.len()` symbols of one table; `bytes` hold states and words alone.
pub(in super::super) fn decode_one(table: &Freqs, bytes: &[u8], out: &mut [u8]) -> Result<(), CodecError> {
    let mut slots = [0u32; SCALE as usize];
    fill(table, &mut slots);
    let mut decoder = RansDecoder::new(bytes)?;
    blocks_of_one(&slots, &mut decoder, out);
    let tail = out.as_chunks_mut::<LANES>().1;
    let count = tail.len();
    tail.copy_from_slice(&decoder.step(&slots, [0; LANES], count)[..count]);
    decoder.finish()
}

#[inline(always)]
fn blocks_of_one_body<'a, B: Blocks<'a>>(slots: &[u32; SCALE as usize], decoder: &mut RansDecoder<'a>, out: &mut [u8]) {
    let mut blocks = B::from(decoder);
    for block in out.as_chunks_mut::<LANES>().0 {
        *block = blocks.block(slots, [0; LANES]);
    }
    *decoder = blocks.into();
}

fn blocks_of_one(slots: &[u32; SCALE as usize], decoder: &mut RansDecoder<'_>, out: &mut [u8]) {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
        fn on_avx2<'a>(slots: &[u32; SCALE as usize], decoder: &mut RansDecoder<'a>, out: &mut [u8]) {
            blocks_of_one_body::<super::rans_avx2::Avx2Blocks<'a>>(slots, decoder, out);
        }
        if super::super::kernel::has_avx2() {
            // SAFETY: the CPU has the features that were just looked for.
            #[allow(unsafe_code, reason = "safe code that is compiled for the CPU features just found")]
            return unsafe { on_avx2(slots, decoder, out) };
        }
    }
    blocks_of_one_body::<RansDecoder<'_>>(slots, decoder, out);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::testing::Noise;

    /// Symbols, contexts and tables of some skew.
    fn stream(count: usize, seed: u64) -> (Vec<Freqs>, Vec<u8>, Vec<u8>) {
        let mut noise = Noise(seed);
        let contexts: Vec<u8> = (0..count).map(|_| (noise.next() % 16) as u8).collect();
        let symbols: Vec<u8> = contexts.iter().map(|&c| (noise.next() & noise.next() & (0xff >> (c / 3))) as u8).collect();
        let tables = (0..16)
            .map(|table| {
                let mut counts = [0; 256];
                contexts.iter().zip(&symbols).filter(|(c, _)| **c == table).for_each(|(_, &s)| counts[usize::from(s)] += 1);
                counts[0] += 1;
                Freqs::of(&counts)
            })
            .collect();
        (tables, symbols, contexts)
    }

    #[test]
    fn kernels_encode_and_weigh_alike() {
        for count in [0, 16, 4000] {
            let (tables, symbols, contexts) = stream(count, 7);
            let steps = EncodeSteps::new(&tables);
            let run = |encode: fn(&mut Encoder, &EncodeSteps, &[u8], &[u8], &mut [u16]), contexts: &[u8]| {
                let mut words = vec![0; count + LANES];
                let mut encoder = Encoder { states: [LOWEST; LANES], at: words.len() };
                let symbols: Vec<u8> = if contexts.is_empty() { vec![0; count] } else { symbols.clone() };
                encode(&mut encoder, &steps, &symbols, contexts, &mut words);
                (encoder.states, words[encoder.at..].to_vec())
            };
            #[cfg(target_arch = "x86_64")]
            if crate::codec::kernel::has_avx2() {
                use super::super::rans_avx2::{Avx2Blocks, encode_blocks};
                for contexts in [&contexts[..], &[]] {
                    assert_eq!(run(encode_blocks, contexts), run(encode_blocks_portable, contexts));
                }
                let weights = std::array::from_fn(|i| (i as u32).wrapping_mul(0x9e37_79b9) >> 5);
                for (symbols, classes) in symbols.as_chunks().0.iter().zip(symbols.as_chunks().0.iter().rev()) {
                    let classes = classes.map(|class| class & 31);
                    let wide = <Avx2Blocks<'_> as Blocks<'_>>::weigh(&weights, symbols, &classes);
                    assert_eq!(wide, <RansDecoder<'_> as Blocks<'_>>::weigh(&weights, symbols, &classes));
                    let row = std::array::from_fn(|i| i as u8 * 7);
                    let wide = <Avx2Blocks<'_> as Blocks<'_>>::look_up(&row, &classes);
                    assert_eq!(wide, <RansDecoder<'_> as Blocks<'_>>::look_up(&row, &classes));
                }
            }
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn kernels_take_the_same_fields() {
        use super::super::rans_avx2::Avx2Blocks;
        /// Takes fields of up to `most` bits to the end of some bytes.
        fn agree<L: Lane + std::fmt::Debug>(most: u64, noise: &mut Noise) {
            let bytes: Vec<u8> = (0..900).map(|_| noise.next() as u8).collect();
            let (mut wide, mut narrow) = (BitReader::new(&bytes), BitReader::new(&bytes));
            loop {
                let lens: [u8; LANES] = std::array::from_fn(|_| (noise.next() % (most + 1)) as u8);
                let Some(fields) = <RansDecoder<'_> as Blocks<'_>>::fields::<L>(&mut narrow, &lens) else { break };
                assert_eq!(<Avx2Blocks<'_> as Blocks<'_>>::fields::<L>(&mut wide, &lens), Some(fields), "{lens:?}");
                assert_eq!(wide.window::<1>(), narrow.window());
            }
        }
        if crate::codec::kernel::has_avx2() {
            let mut noise = Noise(9);
            for most in 1..32 {
                agree::<u8>(most.min(7), &mut noise);
                agree::<u16>(most.min(15), &mut noise);
                agree::<u32>(most, &mut noise);
            }
            for len in [15, 29, 30, 31] {
                let bytes = [0xa5; 100];
                let all = |of: &mut dyn FnMut(&mut BitReader<'_>) -> Option<[u32; LANES]>| of(&mut BitReader::new(&bytes));
                let wide = all(&mut |bits| <Avx2Blocks<'_> as Blocks<'_>>::fields(bits, &[len; LANES]));
                assert_eq!(wide, all(&mut |bits| bits.take_all(&[len; LANES])), "{len}");
            }
        }
    }

    fn decode_all<'a, B: Blocks<'a>>(tables: &[Freqs], contexts: &[u8], bytes: &'a [u8]) -> Result<Vec<u8>, CodecError> {
        let tables = DecodeTables::new(tables);
        let mut blocks = B::from(&RansDecoder::new(bytes)?);
        let mut out = Vec::new();
        let (whole, tail) = contexts.as_chunks::<LANES>();
        for contexts in whole {
            out.extend(blocks.block(&tables.0, *contexts));
        }
        let mut decoder = blocks.into();
        let mut last = [0; LANES];
        last[..tail.len()].copy_from_slice(tail);
        out.extend_from_slice(&decoder.tail(&tables, last, tail.len())[..tail.len()]);
        decoder.finish().map(|()| out)
    }

    #[test]
    fn symbols_of_any_number_come_back_on_either_kernel() {
        for count in (0..70).chain([1000, 12_345]) {
            let (tables, symbols, contexts) = stream(count, count as u64);
            let mut bytes = Vec::new();
            encode(&tables, &symbols, &contexts, &mut bytes);
            assert_eq!(decode_all::<RansDecoder<'_>>(&tables, &contexts, &bytes).as_ref(), Ok(&symbols));
            #[cfg(target_arch = "x86_64")]
            if crate::codec::kernel::has_avx2() {
                assert_eq!(decode_all::<super::super::rans_avx2::Avx2Blocks<'_>>(&tables, &contexts, &bytes).as_ref(), Ok(&symbols));
            }
        }
    }

    #[test]
    fn kernels_agree_on_malformed_streams() {
        let (tables, _, contexts) = stream(5000, 1);
        let mut noise = Noise(2);
        for len in [40, 64, 70, 200, 3000, 9000] {
            let bytes: Vec<u8> = (0..len).map(|_| noise.next() as u8 | 1).collect();
            let portable = decode_all::<RansDecoder<'_>>(&tables, &contexts, &bytes);
            assert!(portable.is_err());
            #[cfg(target_arch = "x86_64")]
            if crate::codec::kernel::has_avx2() {
                assert_eq!(decode_all::<super::super::rans_avx2::Avx2Blocks<'_>>(&tables, &contexts, &bytes), portable);
            }
        }
    }
}
