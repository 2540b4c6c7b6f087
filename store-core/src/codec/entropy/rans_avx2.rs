//! Block coder and decoder for CPUs with AVX2: sixteen states in two registers, their table entries gathered, their words moved by
//! permutations.
//!
//! Equal to the portable ones by test, on good streams and on malformed ones.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::rans::{Blocks, EncodeSteps, Encoder, LANES, RansDecoder};
use super::{SCALE, SCALE_BITS};

/// States and words of a [`RansDecoder`]. Named only where AVX2 was found.
pub(in super::super) struct Avx2Blocks<'a> {
    low: __m256i,
    high: __m256i,
    words: &'a [u8],
}

/// For each set of lanes that take a word, which word each takes: bytes of a `u64`, the first lane lowest.
static SPREAD: [u64; 256] = {
    let mut table = [0; 256];
    let mut set = 0;
    while set < 256 {
        let mut lane = 0;
        let mut word = 0u64;
        while lane < 8 {
            if set >> lane & 1 == 1 {
                table[set] |= word << (8 * lane);
                word += 1;
            }
            lane += 1;
        }
        set += 1;
    }
    table
};

/// For each set of lanes that spill a word, the lane that each of the last places takes: bytes of a `u64`, the first place lowest.
static GATHER: [u64; 256] = {
    let mut table = [0; 256];
    let mut set = 0usize;
    while set < 256 {
        let mut lane = 0;
        let mut place = 8 - set.count_ones();
        while lane < 8 {
            if set >> lane & 1 == 1 {
                table[set] |= lane << (8 * place);
                place += 1;
            }
            lane += 1;
        }
        set += 1;
    }
    table
};

/// Codes eight symbols; returns the new states, and the low words of the states that spilled, in the last places, with their number.
#[inline]
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
fn encode_step(x: __m256i, reciprocals: __m256i, fields: __m256i) -> (__m256i, __m128i, usize) {
    let freq = _mm256_and_si256(fields, _mm256_set1_epi32(0x1fff));
    let bias = _mm256_and_si256(_mm256_srli_epi32::<13>(fields), _mm256_set1_epi32(0x1fff));
    let shift = _mm256_srli_epi32::<26>(fields);
    // Not below, as not above: both sides are small.
    let keep = _mm256_cmpgt_epi32(freq, _mm256_srli_epi32::<{ 31 - SCALE_BITS as i32 }>(x));
    let set = !_mm256_movemask_ps(_mm256_castsi256_ps(keep)) as usize & 255;
    let places = _mm256_cvtepu8_epi32(_mm_cvtsi64_si128(GATHER[set] as i64));
    let words = _mm256_and_si256(_mm256_permutevar8x32_epi32(x, places), _mm256_set1_epi32(0xffff));
    let words = _mm_packus_epi32(_mm256_castsi256_si128(words), _mm256_extracti128_si256::<1>(words));
    let x = _mm256_blendv_epi8(_mm256_srli_epi32::<16>(x), x, keep);
    let even = _mm256_srli_epi64::<32>(_mm256_mul_epu32(x, reciprocals));
    let odd = _mm256_mul_epu32(_mm256_srli_epi64::<32>(x), _mm256_srli_epi64::<32>(reciprocals));
    let quotient = _mm256_srlv_epi32(_mm256_blend_epi32::<0b1010_1010>(even, odd), shift);
    let complement = _mm256_sub_epi32(_mm256_set1_epi32(SCALE as i32), freq);
    let x = _mm256_add_epi32(_mm256_add_epi32(x, bias), _mm256_mullo_epi32(quotient, complement));
    (x, words, set.count_ones() as usize)
}

/// [`encode_blocks_portable`](super::rans::encode_blocks_portable) with AVX2.
pub(super) fn encode_blocks(encoder: &mut Encoder, steps: &EncodeSteps, symbols: &[u8], contexts: &[u8], words: &mut [u16]) {
    assert!(super::super::kernel::has_avx2() && encoder.at <= words.len() && encoder.at >= symbols.len() + LANES);
    assert!(steps.reciprocals.len() == steps.fields.len() && steps.fields.len() >= 256);
    // SAFETY: the CPU has AVX2; the lengths are as `blocks` needs them.
    unsafe { blocks(encoder, steps, symbols, contexts, words) }

    /// # Safety
    /// Before `encoder.at` there is a word for each symbol and sixteen more; `steps` are of one length, not less than 256.
    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
    unsafe fn blocks(encoder: &mut Encoder, steps: &EncodeSteps, symbols: &[u8], contexts: &[u8], words: &mut [u16]) {
        // SAFETY: all loads and stores of states, symbols and contexts are of whole arrays. Slots are at most the last one. Each step
        // writes the eight words before `at`, and `at` sinks by at most a word a symbol.
        unsafe {
            let states = encoder.states.as_mut_ptr().cast::<__m256i>();
            let (mut low, mut high) = (_mm256_loadu_si256(states), _mm256_loadu_si256(states.add(1)));
            let mut at = encoder.at;
            let last = _mm256_set1_epi32(steps.fields.len() as i32 - 1);
            let (reciprocals, fields) = (steps.reciprocals.as_ptr().cast(), steps.fields.as_ptr().cast());
            let words = words.as_mut_ptr();
            let (symbols, contexts) = (symbols.as_chunks::<LANES>().0, contexts.as_chunks::<LANES>().0);
            let none = [0; LANES];
            for (i, symbols) in symbols.iter().enumerate().rev() {
                let symbols = _mm_loadu_si128(symbols.as_ptr().cast());
                let contexts = _mm_loadu_si128(contexts.get(i).unwrap_or(&none).as_ptr().cast());
                let first = _mm256_or_si256(_mm256_cvtepu8_epi32(symbols), _mm256_slli_epi32::<8>(_mm256_cvtepu8_epi32(contexts)));
                let (symbols, contexts) = (_mm_srli_si128::<8>(symbols), _mm_srli_si128::<8>(contexts));
                let second = _mm256_or_si256(_mm256_cvtepu8_epi32(symbols), _mm256_slli_epi32::<8>(_mm256_cvtepu8_epi32(contexts)));
                for (state, slots) in [(&mut high, second), (&mut low, first)] {
                    let slots = _mm256_min_epu32(slots, last);
                    let reciprocal = _mm256_i32gather_epi32::<4>(reciprocals, slots);
                    let field = _mm256_i32gather_epi32::<4>(fields, slots);
                    let (next, spilled, count) = encode_step(*state, reciprocal, field);
                    *state = next;
                    _mm_storeu_si128(words.add(at).sub(8).cast(), spilled);
                    at -= count;
                }
            }
            _mm256_storeu_si256(states, low);
            _mm256_storeu_si256(states.add(1), high);
            encoder.at = at;
        }
    }
}

/// One step of eight states: their symbols, and how many words they took from the eight in `window`.
///
/// # Safety
/// The CPU has AVX2, and `slots + ((contexts << SCALE_BITS) | low bits)` is inside one array for each lane.
#[inline(always)]
unsafe fn step(states: &mut __m256i, slots: *const i32, contexts: __m256i, window: __m128i) -> (__m256i, usize) {
    // SAFETY: as the caller promises.
    unsafe {
        let x = *states;
        let low = _mm256_and_si256(x, _mm256_set1_epi32(SCALE as i32 - 1));
        let index = _mm256_or_si256(low, _mm256_slli_epi32::<{ SCALE_BITS as i32 }>(contexts));
        let entries = _mm256_i32gather_epi32::<4>(slots, index);
        let freq = _mm256_and_si256(_mm256_srli_epi32::<8>(entries), _mm256_set1_epi32(SCALE as i32 - 1));
        let freq = _mm256_add_epi32(freq, _mm256_set1_epi32(1));
        let x = _mm256_mullo_epi32(freq, _mm256_srli_epi32::<{ SCALE_BITS as i32 }>(x));
        let x = _mm256_add_epi32(x, _mm256_srli_epi32::<20>(entries));
        let refill = _mm256_cmpeq_epi32(_mm256_srli_epi32::<15>(x), _mm256_setzero_si256());
        let set = _mm256_movemask_ps(_mm256_castsi256_ps(refill)) as usize;
        let spread = _mm256_cvtepu8_epi32(_mm_cvtsi64_si128(SPREAD[set & 255] as i64));
        let words = _mm256_permutevar8x32_epi32(_mm256_cvtepu16_epi32(window), spread);
        *states = _mm256_blendv_epi8(x, _mm256_or_si256(_mm256_slli_epi32::<16>(x), words), refill);
        (_mm256_and_si256(entries, _mm256_set1_epi32(255)), set.count_ones() as usize)
    }
}

impl<'a> Blocks<'a> for Avx2Blocks<'a> {
    #[inline(always)]
    fn from(decoder: &RansDecoder<'a>) -> Self {
        // SAFETY: the loads are within sixteen states; AVX2 as of the type.
        unsafe {
            let states = decoder.states.as_ptr().cast();
            Self { low: _mm256_loadu_si256(states), high: _mm256_loadu_si256(states.add(1)), words: decoder.words }
        }
    }

    #[inline(always)]
    fn into(self) -> RansDecoder<'a> {
        let mut states = [0; LANES];
        // SAFETY: the stores are within sixteen states; AVX2 as of the type.
        unsafe {
            let at = states.as_mut_ptr().cast();
            _mm256_storeu_si256(at, self.low);
            _mm256_storeu_si256(at.add(1), self.high);
        }
        RansDecoder { states, words: self.words }
    }

    #[inline(always)]
    fn block<const N: usize>(&mut self, slots: &[u32; N], contexts: [u8; LANES]) -> [u8; LANES] {
        if self.words.len() < LANES * 2 {
            let mut decoder = Blocks::into(Self { words: self.words, ..*self });
            let symbols = decoder.step(slots, contexts, LANES);
            *self = Blocks::from(&decoder);
            return symbols;
        }
        const { assert!(N.is_power_of_two() && N >= SCALE as usize) };
        let tables = (N >> SCALE_BITS) as i32;
        // SAFETY: AVX2 as of the type. Contexts are masked to the tables that `slots` has room for. Sixteen words are left, of which the
        // first half takes at most eight.
        unsafe {
            let bytes = _mm_loadu_si128(contexts.as_ptr().cast());
            let mask = _mm256_set1_epi32(tables - 1);
            let first = _mm256_and_si256(_mm256_cvtepu8_epi32(bytes), mask);
            let second = _mm256_and_si256(_mm256_cvtepu8_epi32(_mm_srli_si128::<8>(bytes)), mask);
            let slots = slots.as_ptr().cast();
            let words = self.words.as_ptr();
            let (a, taken) = step(&mut self.low, slots, first, _mm_loadu_si128(words.cast()));
            let (b, more) = step(&mut self.high, slots, second, _mm_loadu_si128(words.add(taken * 2).cast()));
            self.words = self.words.get_unchecked((taken + more) * 2..);
            // Packing works within halves of a register, which leaves quarters to put in order.
            let quarters = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packus_epi32(a, b));
            let packed = _mm_packus_epi16(_mm256_castsi256_si128(quarters), _mm256_extracti128_si256::<1>(quarters));
            let mut symbols = [0; LANES];
            _mm_storeu_si128(symbols.as_mut_ptr().cast(), packed);
            symbols
        }
    }

    #[inline(always)]
    fn weigh(weights: &[u32; 256], symbols: &[u8; LANES], classes: &[u8; LANES]) -> u64 {
        // SAFETY: AVX2 as of the type; symbols are below 256, as many as there are weights.
        unsafe {
            let mut symbols = _mm_loadu_si128(symbols.as_ptr().cast());
            let mut classes = _mm_loadu_si128(classes.as_ptr().cast());
            let mut sum = _mm256_setzero_si256();
            for _ in 0..2 {
                let weights = _mm256_i32gather_epi32::<4>(weights.as_ptr().cast(), _mm256_cvtepu8_epi32(symbols));
                let low = _mm256_cvtepu32_epi64(_mm256_castsi256_si128(weights));
                let high = _mm256_cvtepu32_epi64(_mm256_extracti128_si256::<1>(weights));
                sum = _mm256_add_epi64(sum, _mm256_sllv_epi64(low, _mm256_cvtepu8_epi64(classes)));
                sum = _mm256_add_epi64(sum, _mm256_sllv_epi64(high, _mm256_cvtepu8_epi64(_mm_srli_si128::<4>(classes))));
                symbols = _mm_srli_si128::<8>(symbols);
                classes = _mm_srli_si128::<8>(classes);
            }
            let half = _mm_add_epi64(_mm256_castsi256_si128(sum), _mm256_extracti128_si256::<1>(sum));
            (_mm_cvtsi128_si64(half) as u64).wrapping_add(_mm_extract_epi64::<1>(half) as u64)
        }
    }

    #[inline(always)]
    fn look_up(row: &[u8; 32], classes: &[u8; LANES]) -> [u8; LANES] {
        // SAFETY: AVX2 as of the type; all loads and stores are of whole arrays.
        unsafe {
            let at = row.as_ptr().cast::<__m128i>();
            let classes = _mm_loadu_si128(classes.as_ptr().cast());
            let low = _mm_shuffle_epi8(_mm_loadu_si128(at), classes);
            let high = _mm_shuffle_epi8(_mm_loadu_si128(at.add(1)), classes);
            let is_high = _mm_cmpgt_epi8(classes, _mm_set1_epi8(15));
            let mut found = [0; LANES];
            _mm_storeu_si128(found.as_mut_ptr().cast(), _mm_blendv_epi8(low, high, is_high));
            found
        }
    }
}
