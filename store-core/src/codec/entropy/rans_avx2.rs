//! Block coder and decoder for CPUs with AVX2: sixteen states in two registers, their table entries gathered, their words moved by
//! permutations.
//!
//! Equal to the portable ones by test, on good streams and on malformed ones.
#![allow(unsafe_code, reason = "vector instructions, and loads whose bounds are argued once for a whole loop")]

use std::arch::x86_64::*;

use super::super::bits::BitReader;
use super::super::element::Lane;
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

/// Codes eight symbols, given the entries of those at even and of those at odd places; returns the new states, and the low words of the
/// states that spilled, in the last places, with their number.
#[inline]
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
fn encode_step(x: __m256i, evens: __m256i, odds: __m256i) -> (__m256i, __m128i, usize) {
    let fields = _mm256_blend_epi32::<0b1010_1010>(_mm256_srli_epi64::<32>(evens), odds);
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
    // The reciprocals are the low halves of the entries, which is what a multiplication takes.
    let even = _mm256_srli_epi64::<32>(_mm256_mul_epu32(x, evens));
    let odd = _mm256_mul_epu32(_mm256_srli_epi64::<32>(x), odds);
    let quotient = _mm256_srlv_epi32(_mm256_blend_epi32::<0b1010_1010>(even, odd), shift);
    let complement = _mm256_sub_epi32(_mm256_set1_epi32(SCALE as i32), freq);
    let x = _mm256_add_epi32(_mm256_add_epi32(x, bias), _mm256_mullo_epi32(quotient, complement));
    (x, words, set.count_ones() as usize)
}

/// [`encode_blocks_portable`](super::rans::encode_blocks_portable) with AVX2.
pub(super) fn encode_blocks(encoder: &mut Encoder, steps: &EncodeSteps, symbols: &[u8], contexts: &[u8], words: &mut [u16]) {
    assert!(super::super::kernel::has_avx2() && encoder.at <= words.len() && encoder.at >= symbols.len() + LANES);
    assert!((256..=1 << 16).contains(&steps.entries.len()));
    // SAFETY: the CPU has AVX2; the lengths are as `blocks` needs them.
    unsafe { blocks(encoder, steps, symbols, contexts, words) }

    /// # Safety
    /// Before `encoder.at` there is a word for each symbol and sixteen more; there are between 256 and 65,536 entries.
    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
    unsafe fn blocks(encoder: &mut Encoder, steps: &EncodeSteps, symbols: &[u8], contexts: &[u8], words: &mut [u16]) {
        // SAFETY: all loads and stores of states, symbols and contexts are of whole arrays. Slots are at most the last one. Each step
        // writes the eight words before `at`, and `at` sinks by at most a word a symbol.
        unsafe {
            let states = encoder.states.as_mut_ptr().cast::<__m256i>();
            let (mut low, mut high) = (_mm256_loadu_si256(states), _mm256_loadu_si256(states.add(1)));
            let mut at = encoder.at;
            let last = _mm256_set1_epi16((steps.entries.len() - 1) as i16);
            let entries = steps.entries.as_ptr();
            let words = words.as_mut_ptr();
            let (symbols, contexts) = (symbols.as_chunks::<LANES>().0, contexts.as_chunks::<LANES>().0);
            let none = [0; LANES];
            for (i, symbols) in symbols.iter().enumerate().rev() {
                let symbols = _mm256_cvtepu8_epi16(_mm_loadu_si128(symbols.as_ptr().cast()));
                let contexts = _mm256_cvtepu8_epi16(_mm_loadu_si128(contexts.get(i).unwrap_or(&none).as_ptr().cast()));
                let mut slots = [0u16; LANES];
                let clamped = _mm256_min_epu16(_mm256_or_si256(symbols, _mm256_slli_epi16::<8>(contexts)), last);
                _mm256_storeu_si256(slots.as_mut_ptr().cast(), clamped);
                // Sixteen plain loads: on many CPUs a gather costs more.
                let entry = |lane: usize| *entries.add(usize::from(slots[lane])) as i64;
                for (state, lane) in [(&mut high, 8), (&mut low, 0)] {
                    let evens = _mm256_set_epi64x(entry(lane + 6), entry(lane + 4), entry(lane + 2), entry(lane));
                    let odds = _mm256_set_epi64x(entry(lane + 7), entry(lane + 5), entry(lane + 3), entry(lane + 1));
                    let (next, spilled, count) = encode_step(*state, evens, odds);
                    *state = next;
                    _mm_storeu_si128(words.add(at).sub(8).cast(), spilled);
                    at = at.wrapping_sub(count);
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
        let mut places = [0u32; 8];
        _mm256_storeu_si256(places.as_mut_ptr().cast(), index);
        // Eight plain loads: on many CPUs a gather costs more.
        let entry = |lane: usize| *slots.add(places[lane] as usize);
        let entries = _mm256_set_epi32(entry(7), entry(6), entry(5), entry(4), entry(3), entry(2), entry(1), entry(0));
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

/// Fields of less than 16 bits that follow one another from bit `skip` on, and how many bits they are. Eight of them are in at most sixteen bytes.
///
/// # Safety
/// The CPU has AVX2.
#[inline(always)]
unsafe fn short_fields(window: &[u8; 32], skip: u32, lens: &[u8; LANES]) -> ([u16; LANES], u32) {
    // SAFETY: AVX2 as the caller promises. Lengths are masked, so that the first eight fields end before bit 127: sixteen bytes from where the others
    // begin are in the window, too. The other loads and stores are of whole arrays.
    unsafe {
        let lens = _mm_and_si128(_mm_loadu_si128(lens.as_ptr().cast()), _mm_set1_epi8(15));
        let sums = _mm_add_epi8(lens, _mm_slli_si128::<1>(lens));
        let sums = _mm_add_epi8(sums, _mm_slli_si128::<2>(sums));
        let sums = _mm_add_epi8(sums, _mm_slli_si128::<4>(sums));
        let sums = _mm_add_epi8(sums, _mm_slli_si128::<8>(sums));
        let starts = _mm_add_epi8(_mm_sub_epi8(sums, lens), _mm_set1_epi8((skip & 7) as i8));
        let second = _mm_extract_epi8::<8>(starts) as usize >> 3;
        // Those of the second half count from their own window on.
        let bytes = _mm_and_si128(_mm_srli_epi16::<3>(starts), _mm_set1_epi8(31));
        let bytes = _mm_sub_epi8(bytes, _mm_set_epi64x(0x0101_0101_0101_0101 * second as i64, 0));
        let shifts = _mm_and_si128(starts, _mm_set1_epi8(7));
        let low = eight_fields(window.as_ptr(), bytes, shifts, lens);
        let behind = window.as_ptr().add(second & 15);
        let high = eight_fields(behind, _mm_srli_si128::<8>(bytes), _mm_srli_si128::<8>(shifts), _mm_srli_si128::<8>(lens));
        // Packing works within halves of a register.
        let packed = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packus_epi32(low, high));
        let mut fields = [0; LANES];
        _mm256_storeu_si256(fields.as_mut_ptr().cast(), packed);
        (fields, _mm_extract_epi8::<15>(sums) as u32)
    }
}

/// Eight fields of less than 16 bits, given in which byte of sixteen and at which bit of that each begins.
///
/// # Safety
/// The CPU has AVX2, and there are sixteen bytes.
#[inline(always)]
unsafe fn eight_fields(window: *const u8, bytes: __m128i, shifts: __m128i, lens: __m128i) -> __m256i {
    // SAFETY: as the caller promises.
    unsafe {
        let window = _mm256_broadcastsi128_si256(_mm_loadu_si128(window.cast()));
        // Each byte and the three behind it: a field ends in the third at the latest, and what lies beyond may be anything.
        let each = _mm256_setr_epi8(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 6, 6, 6, 6, 7, 7, 7, 7);
        let places = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(bytes), each);
        let words = _mm256_shuffle_epi8(window, _mm256_add_epi8(places, _mm256_set1_epi32(0x0302_0100)));
        let fields = _mm256_srlv_epi32(words, _mm256_cvtepu8_epi32(shifts));
        let above = _mm256_sllv_epi32(_mm256_set1_epi32(-1), _mm256_cvtepu8_epi32(lens));
        _mm256_andnot_si256(above, fields)
    }
}

/// Four fields of less than 30 bits, given in which byte of sixteen and at which bit of that each begins, as words of 16 bits.
///
/// # Safety
/// The CPU has AVX2, and there are sixteen bytes.
#[inline(always)]
unsafe fn four_fields(window: *const u8, bytes: i64, shifts: i64, lens: i64) -> __m256i {
    // SAFETY: as the caller promises.
    unsafe {
        let window = _mm256_broadcastsi128_si256(_mm_loadu_si128(window.cast()));
        let each = _mm256_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 2, 2, 2, 2, 2, 2, 4, 4, 4, 4, 4, 4, 4, 4, 6, 6, 6, 6, 6, 6, 6, 6);
        let places = _mm256_shuffle_epi8(_mm256_set1_epi64x(bytes), each);
        let words = _mm256_shuffle_epi8(window, _mm256_add_epi8(places, _mm256_set1_epi64x(0x0706_0504_0302_0100)));
        let fields = _mm256_srlv_epi64(words, _mm256_cvtepu16_epi64(_mm_cvtsi64_si128(shifts)));
        let above = _mm256_sllv_epi64(_mm256_set1_epi64x(-1), _mm256_cvtepu16_epi64(_mm_cvtsi64_si128(lens)));
        _mm256_andnot_si256(above, fields)
    }
}

/// The same of fields of less than 30 bits, of which four are in at most sixteen bytes; `None` where one is longer.
///
/// # Safety
/// The CPU has AVX2.
#[inline(always)]
unsafe fn long_fields(window: &[u8; 64], skip: u32, lens: &[u8; LANES]) -> Option<([u32; LANES], u32)> {
    // SAFETY: AVX2 as the caller promises. No four begin behind byte 48, and there are sixteen more bytes; they do not, for seven bits and twelve fields
    // of 29 end in byte 44. The other loads and stores are of whole arrays.
    unsafe {
        let lens = _mm_loadu_si128(lens.as_ptr().cast());
        if _mm_movemask_epi8(_mm_cmpeq_epi8(_mm_max_epu8(lens, _mm_set1_epi8(30)), lens)) != 0 {
            return None;
        }
        let lens = _mm256_cvtepu8_epi16(lens);
        let sums = _mm256_add_epi16(lens, _mm256_slli_si256::<2>(lens));
        let sums = _mm256_add_epi16(sums, _mm256_slli_si256::<4>(sums));
        let sums = _mm256_add_epi16(sums, _mm256_slli_si256::<8>(sums));
        // Up to here each half of the register has sums of its own.
        let of_low = _mm256_extract_epi16::<7>(sums) as i16;
        let before = _mm256_set_m128i(_mm_set1_epi16(of_low), _mm_setzero_si128());
        let sums = _mm256_add_epi16(sums, before);
        let starts = _mm256_add_epi16(_mm256_sub_epi16(sums, lens), _mm256_set1_epi16((skip & 7) as i16));
        // Four count from the byte in which the first of them begins.
        let first = _mm256_setr_epi8(0, 1, 0, 1, 0, 1, 0, 1, 8, 9, 8, 9, 8, 9, 8, 9, 0, 1, 0, 1, 0, 1, 0, 1, 8, 9, 8, 9, 8, 9, 8, 9);
        let firsts = _mm256_andnot_si256(_mm256_set1_epi16(7), _mm256_shuffle_epi8(starts, first));
        let bits = _mm256_sub_epi16(starts, firsts);
        let (bytes, shifts) = (_mm256_srli_epi16::<3>(bits), _mm256_and_si256(bits, _mm256_set1_epi16(7)));
        let mut fields = [0; LANES];
        let (at, bytes, shifts, lens) = (as_words(starts), as_longs(bytes), as_longs(shifts), as_longs(lens));
        for half in 0..2 {
            let (i, j) = (2 * half, 2 * half + 1);
            let from = |i: usize| window.as_ptr().add(usize::from(at[4 * i] >> 3).min(48));
            let a = four_fields(from(i), bytes[i], shifts[i], lens[i]);
            let b = four_fields(from(j), bytes[j], shifts[j], lens[j]);
            let narrow = _mm256_shuffle_ps::<0b10_00_10_00>(_mm256_castsi256_ps(a), _mm256_castsi256_ps(b));
            let narrow = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_castps_si256(narrow));
            _mm256_storeu_si256(fields.as_mut_ptr().add(8 * half).cast(), narrow);
        }
        Some((fields, as_words(sums)[15].into()))
    }
}

#[inline(always)]
unsafe fn as_words(register: __m256i) -> [u16; 16] {
    let mut words = [0; 16];
    // SAFETY: the store is of a whole array; the CPU has AVX, or there was no such register.
    unsafe { _mm256_storeu_si256(words.as_mut_ptr().cast(), register) };
    words
}

#[inline(always)]
unsafe fn as_longs(register: __m256i) -> [i64; 4] {
    let mut longs = [0; 4];
    // SAFETY: as above.
    unsafe { _mm256_storeu_si256(longs.as_mut_ptr().cast(), register) };
    longs
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
        // SAFETY: AVX2 as of the type; the load is of a whole array.
        unsafe {
            let mut classes = _mm_loadu_si128(classes.as_ptr().cast());
            let mut sum = _mm256_setzero_si256();
            for symbols in symbols.as_chunks::<4>().0 {
                let weight = |lane: usize| i64::from(weights[usize::from(symbols[lane])]);
                let weights = _mm256_set_epi64x(weight(3), weight(2), weight(1), weight(0));
                sum = _mm256_add_epi64(sum, _mm256_sllv_epi64(weights, _mm256_cvtepu8_epi64(classes)));
                classes = _mm_srli_si128::<4>(classes);
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

    #[inline(always)]
    fn fields<L: Lane>(bits: &mut BitReader<'_>, lens: &[u8; LANES]) -> Option<[L; LANES]> {
        if L::BITS <= 16 {
            let (window, skip) = bits.window()?;
            // SAFETY: AVX2 as of the type.
            let (fields, taken) = unsafe { short_fields(window, skip, lens) };
            bits.skip(taken);
            return Some(fields.map(|field| L::of(u64::from(field))));
        }
        let (window, skip) = bits.window()?;
        // SAFETY: AVX2 as of the type.
        match unsafe { long_fields(window, skip, lens) } {
            Some((fields, taken)) => {
                bits.skip(taken);
                Some(fields.map(|field| L::of(u64::from(field))))
            }
            None => bits.take_all(lens),
        }
    }
}
