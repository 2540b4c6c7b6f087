//! Floats whose mantissas end in zeros everywhere, in new and old values alike: they were narrower once, and are coded as if they still were.
//! `spec/CODECS.md`, section 4.6.

use super::super::element::Lane;
use super::super::kernel::wide;
use super::Bases;

/// Elements at which it is looked first: nearly always they end in anything.
const FIRST: usize = 64;

#[inline(always)]
fn all_bits_body<L: Lane>(bytes: &[u8]) -> L {
    bytes.chunks_exact(L::BYTES).fold(L::of(0), |all, element| all | L::load(element))
}

wide! {
    /// All bits that any element has.
    fn all_bits<L: Lane>(bytes: &[u8]) -> L = all_bits_body
}

/// How many low bits all elements lack, of at most `mantissa`; 0 where there is nothing else.
pub(super) fn bits_lacking<L: Lane>(mantissa: u32, new: &[u8], bases: Bases<'_>) -> u32 {
    let few = &new[..new.len().min(FIRST * L::BYTES)];
    if all_bits::<L>(few).wide() & 1 == 1 {
        return 0;
    }
    let all = all_bits::<L>(new) | all_bits::<L>(bases.base) | bases.older.map_or(L::of(0), all_bits::<L>);
    let lacking = all.wide().trailing_zeros();
    if lacking >= L::BITS - 1 { 0 } else { lacking.min(mantissa) }
}

/// The elements without the low `bits` bits of their magnitudes.
pub(super) fn shortened<L: Lane>(bits: u32, elements: &[u8]) -> Vec<u8> {
    mapped::<L>(elements, |element| (element & L::SIGN) | ((element & !L::SIGN) >> bits))
}

/// The elements with so many bits behind their magnitudes, which are zero.
pub(super) fn lengthened<L: Lane>(bits: u32, elements: &[u8]) -> Vec<u8> {
    mapped::<L>(elements, |element| (element & L::SIGN) | ((element << bits) & !L::SIGN))
}

#[inline(always)]
fn mapped<L: Lane>(elements: &[u8], map: impl Fn(L) -> L) -> Vec<u8> {
    let mut out = vec![0; elements.len()];
    for (out, element) in out.chunks_exact_mut(L::BYTES).zip(elements.chunks_exact(L::BYTES)) {
        map(L::load(element)).store(out);
    }
    out
}
