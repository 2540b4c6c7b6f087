//! How far apart the elements of two tensors are.

use crate::tensor::Dtype;

/// What two runs of elements of one type differ in.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Distance {
    /// Elements with other bits; where elements come in blocks, all of each block that has other bits.
    pub(super) changed: u64,
    /// The largest absolute difference of numbers; `None` where there is none, or not of numbers.
    pub(super) largest: Option<f64>,
}

impl Distance {
    /// What both runs together differ in.
    pub(super) fn and(self, other: Self) -> Self {
        let largest = match (self.largest, other.largest) {
            (Some(a), Some(b)) => Some(a.max(b)),
            (a, b) => a.or(b),
        };
        Self { changed: self.changed + other.changed, largest }
    }
}

/// Compares runs of equal length, whole blocks of `dtype`. NaN is at no distance from anything; integers are compared exactly and the
/// distance rounded to `f64`; of a complex number, the modulus of the difference counts.
pub(super) fn distance(dtype: Dtype, old: &[u8], new: &[u8]) -> Distance {
    if old == new {
        return Distance::default();
    }
    match dtype {
        Dtype::F64 => elements(old, new, f64::from_le_bytes, |a, b| (a - b).abs()),
        Dtype::F32 => elements(old, new, |x| f64::from(f32::from_le_bytes(x)), |a, b| (a - b).abs()),
        Dtype::BF16 => elements(old, new, |x| f64::from(f32::from_bits(u32::from(u16::from_le_bytes(x)) << 16)), |a, b| (a - b).abs()),
        Dtype::F16 => elements(old, new, |x| small(u16::from_le_bytes(x), &F16), |a, b| (a - b).abs()),
        Dtype::F8E4M3 => elements(old, new, |[x]| small(x.into(), &F8E4M3), |a, b| (a - b).abs()),
        Dtype::F8E5M2 => elements(old, new, |[x]| small(x.into(), &F8E5M2), |a, b| (a - b).abs()),
        Dtype::F8E4M3Fnuz => elements(old, new, |[x]| small(x.into(), &F8E4M3_FNUZ), |a, b| (a - b).abs()),
        Dtype::F8E5M2Fnuz => elements(old, new, |[x]| small(x.into(), &F8E5M2_FNUZ), |a, b| (a - b).abs()),
        Dtype::I64 => elements(old, new, i64::from_le_bytes, |a, b| a.abs_diff(b) as f64),
        Dtype::I32 => elements(old, new, i32::from_le_bytes, |a, b| f64::from(a.abs_diff(b))),
        Dtype::I16 => elements(old, new, i16::from_le_bytes, |a, b| f64::from(a.abs_diff(b))),
        Dtype::I8 => elements(old, new, i8::from_le_bytes, |a, b| f64::from(a.abs_diff(b))),
        Dtype::U64 => elements(old, new, u64::from_le_bytes, |a, b| a.abs_diff(b) as f64),
        Dtype::U32 => elements(old, new, u32::from_le_bytes, |a, b| f64::from(a.abs_diff(b))),
        Dtype::U16 => elements(old, new, u16::from_le_bytes, |a, b| f64::from(a.abs_diff(b))),
        Dtype::U8 => elements(old, new, u8::from_le_bytes, |a, b| f64::from(a.abs_diff(b))),
        Dtype::C64 => elements::<8, _>(old, new, complex::<4, 8>, modulus(|x| f64::from(f32::from_le_bytes(x)))),
        Dtype::C128 => elements::<16, _>(old, new, complex::<8, 16>, modulus(f64::from_le_bytes)),
        _ => {
            let len = dtype.block_bytes() as usize;
            let blocks = old.chunks(len).zip(new.chunks(len)).filter(|(a, b)| a != b).count() as u64;
            Distance { changed: blocks * dtype.block_elements(), largest: None }
        }
    }
}

fn elements<const N: usize, T>(old: &[u8], new: &[u8], value: impl Fn([u8; N]) -> T, apart: impl Fn(T, T) -> f64) -> Distance {
    let (mut changed, mut largest) = (0, None::<f64>);
    for (a, b) in old.as_chunks::<N>().0.iter().zip(new.as_chunks::<N>().0).filter(|(a, b)| a != b) {
        changed += 1;
        let distance = apart(value(*a), value(*b));
        if !distance.is_nan() && largest.is_none_or(|largest| distance > largest) {
            largest = Some(distance);
        }
    }
    Distance { changed, largest }
}

fn complex<const N: usize, const M: usize>(bytes: [u8; M]) -> [[u8; N]; 2] {
    let part = |at: usize| std::array::from_fn(|i| bytes[at + i]);
    [part(0), part(N)]
}

fn modulus<const N: usize>(value: impl Fn([u8; N]) -> f64) -> impl Fn([[u8; N]; 2], [[u8; N]; 2]) -> f64 {
    move |[a, b], [x, y]| (value(a) - value(x)).hypot(value(b) - value(y))
}

/// A float of 16 bits or fewer.
struct Small {
    exponent: u32,
    mantissa: u32,
    bias: i32,
    special: Special,
}

enum Special {
    /// The largest exponent holds infinity and NaN.
    Ieee,
    /// All ones are NaN; there is no infinity.
    AllOnes,
    /// Minus zero is NaN; there is no infinity.
    MinusZero,
}

const F16: Small = Small { exponent: 5, mantissa: 10, bias: 15, special: Special::Ieee };
const F8E5M2: Small = Small { exponent: 5, mantissa: 2, bias: 15, special: Special::Ieee };
const F8E4M3: Small = Small { exponent: 4, mantissa: 3, bias: 7, special: Special::AllOnes };
const F8E5M2_FNUZ: Small = Small { exponent: 5, mantissa: 2, bias: 16, special: Special::MinusZero };
const F8E4M3_FNUZ: Small = Small { exponent: 4, mantissa: 3, bias: 8, special: Special::MinusZero };

fn small(bits: u16, form: &Small) -> f64 {
    let (exponent_ones, mantissa_ones) = ((1 << form.exponent) - 1, (1 << form.mantissa) - 1);
    let exponent = u32::from(bits) >> form.mantissa & exponent_ones;
    let mantissa = u32::from(bits) & mantissa_ones;
    let negative = u32::from(bits) >> (form.mantissa + form.exponent) & 1 == 1;
    let size = match form.special {
        Special::Ieee if exponent == exponent_ones => {
            if mantissa == 0 {
                f64::INFINITY
            } else {
                f64::NAN
            }
        }
        Special::AllOnes if exponent == exponent_ones && mantissa == mantissa_ones => f64::NAN,
        Special::MinusZero if negative && exponent == 0 && mantissa == 0 => f64::NAN,
        _ => {
            let (whole, power) = if exponent == 0 { (0, 1) } else { (1 << form.mantissa, exponent as i32) };
            f64::from(whole + mantissa) * f64::from(power - form.bias - form.mantissa as i32).exp2()
        }
    };
    if negative { -size } else { size }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_floats_have_their_values() {
        for (bits, value) in
            [(0x3c00, 1.0), (0xc000, -2.0), (0x7bff, 65504.0), (0x0001, 2f64.powi(-24)), (0x7c00, f64::INFINITY), (0x3555, 0.33325195)]
        {
            assert!((small(bits, &F16) - value).abs() < 1e-8 || small(bits, &F16) == value, "{bits:x}");
        }
        assert_eq!((small(0x38, &F8E4M3), small(0x7e, &F8E4M3), small(0x01, &F8E4M3)), (1.0, 448.0, 2f64.powi(-9)));
        assert_eq!((small(0x3c, &F8E5M2), small(0x7b, &F8E5M2), small(0x40, &F8E4M3_FNUZ)), (1.0, 57344.0, 1.0));
        assert_eq!((small(0x40, &F8E5M2_FNUZ), small(0x7f, &F8E4M3_FNUZ)), (1.0, 240.0));
        assert!([small(0x7e01, &F16), small(0xff, &F8E4M3), small(0x80, &F8E4M3_FNUZ)].iter().all(|value| value.is_nan()));
    }

    #[test]
    fn distances_are_those_of_the_numbers() {
        let f32s = |values: &[f32]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>();
        let found = distance(Dtype::F32, &f32s(&[1.0, 2.0, 0.0, f32::NAN]), &f32s(&[1.0, -2.5, -0.0, 1.0]));
        assert_eq!(found, Distance { changed: 3, largest: Some(4.5) });
        assert_eq!(distance(Dtype::BF16, &[0x80, 0x3f], &[0x00, 0x40]), Distance { changed: 1, largest: Some(1.0) });
        assert_eq!(distance(Dtype::C64, &f32s(&[1.0, 1.0]), &f32s(&[4.0, 5.0])), Distance { changed: 1, largest: Some(5.0) });
        assert_eq!(distance(Dtype::I8, &[0x80, 1], &[0x7f, 1]), Distance { changed: 1, largest: Some(255.0) });
        let ends = distance(Dtype::I64, &i64::MIN.to_le_bytes(), &i64::MAX.to_le_bytes());
        assert_eq!(ends.largest, Some(u64::MAX as f64));
        assert_eq!(distance(Dtype::F4, &[1, 2, 3], &[1, 5, 3]), Distance { changed: 2, largest: None });
        let nan = distance(Dtype::F32, &f32s(&[f32::NAN]), &f32s(&[1.0]));
        assert_eq!(nan, Distance { changed: 1, largest: None });
    }
}
