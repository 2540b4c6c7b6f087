//! What is expected of the values of a plane: by those above them, where rows of numbers lie one upon the other, and by how far the values just before were
//! from that. `spec/CODECS.md`, section 3.1.
//!
//! The numbers of a row or of a column are often of a size: what an optimiser knows of a weight is as large as what came into its row times what went
//! out of its column, and the columns of a table are of a kind. Of exponents, which are logarithms, a product is a sum.

mod decode;
mod encode;

use super::super::entropy::LANES;

pub(super) use decode::decode;
pub(super) use encode::encode;

/// Most classes of what is expected.
const CLASSES: usize = 32;
/// Binary logarithm of the parts of a value in which is counted what is expected.
const PART_BITS: u32 = 4;
/// Binary logarithm of the most parts in a class.
const MOST_SHIFT: u32 = 8;
/// A column goes to the value of a new row by 2 to the minus this of the way, at the least.
const SLOWEST: u32 = 4;

/// What blocks of values so far tell of the next one.
struct Expectation {
    /// For each block of a row, what each value above is about. One of zeros where there are no rows.
    columns: Vec<[i16; LANES]>,
    /// The block of the row that is next.
    at: usize,
    /// How many rows there were, where there are rows.
    rows: Option<usize>,
    /// By how much the last blocks were larger than their columns.
    level: i16,
}

impl Expectation {
    /// At the start of a plane, rows being of `row` blocks; 0 where there are no rows.
    fn new(row: u16) -> Self {
        Self { columns: vec![[0; LANES]; usize::from(row).max(1)], at: 0, rows: (row > 0).then_some(0), level: 0 }
    }

    /// What is expected of the next block, in parts of a value.
    #[inline(always)]
    fn next(&self) -> [i16; LANES] {
        self.columns[self.at].map(|column| column.wrapping_add(self.level))
    }

    /// Takes in the values of that block.
    #[inline(always)]
    fn push(&mut self, values: &[u8; LANES]) {
        let column = &mut self.columns[self.at];
        // Columns stay within 0 and 4080, the level within as much below and above zero: nothing wraps. Operations that look whether it does are
        // done one by one.
        let above = column.iter().fold(0i32, |sum, &column| sum.wrapping_add(column.into()));
        let sum = values.iter().fold(0i32, |sum, &value| sum.wrapping_add(value.into()));
        let larger = ((sum << PART_BITS).wrapping_sub(above) >> LANES.ilog2()) as i16;
        self.level = self.level.wrapping_add(larger.wrapping_sub(self.level) >> 1);
        let Some(rows) = &mut self.rows else { return };
        let share = (usize::BITS - rows.leading_zeros()).min(SLOWEST);
        for (column, &value) in column.iter_mut().zip(values) {
            *column = column.wrapping_add((i16::from(value) << PART_BITS).wrapping_sub(*column) >> share);
        }
        self.at += 1;
        if self.at == self.columns.len() {
            self.at = 0;
            *rows += 1;
        }
    }
}

/// How what is expected falls into classes, at most [`CLASSES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Classes {
    first: i16,
    /// Binary logarithm of the parts in a class.
    shift: u8,
    /// The highest class.
    last: u8,
}

impl Classes {
    #[inline(always)]
    fn of(self, expected: [i16; LANES]) -> [u8; LANES] {
        let last = i16::from(self.last);
        expected.map(|expected| (expected >> (self.shift & 15)).saturating_sub(self.first).max(0).min(last) as u8)
    }
}

#[cfg(test)]
mod tests;
