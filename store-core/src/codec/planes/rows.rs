//! Whether the values of a plane lie in rows, and how long these are. Nobody says so: files often name only how many numbers there are, and a blob
//! may hold several tensors.

use super::super::entropy::LANES;
use super::super::kernel::wide;

/// Blocks that are compared with those a row later, to find how long a row is.
const PROBE: usize = 32;
/// All of what values vary by: shares of that are counted in so many parts.
const ALL: i64 = 1024;
/// A fourth of that is a fifth of a bit of each value, and what it takes for rows to be worth a try.
const WORTH_A_TRY: i64 = ALL / 4;
/// Rows may be alike from here on. The best of all scores by chance comes near it: what may be is looked at once more.
const ALIKE: i64 = ALL * 5 / 32;
/// So many of the lengths that rows may have are looked at once more.
const CANDIDATES: usize = 8;
/// Blocks that are compared to see whether rows are so long.
const TRIAL: usize = 512;
/// Rows that are looked for are so many blocks long or a multiple; of others several together may be.
const STEP: usize = 2;
/// The longest rows that are looked for, in blocks.
pub(super) const LONGEST: usize = 1024;
/// Blocks whose sums are compared.
const SUMS: usize = 256;

/// Values less the mean of their block, in quarters: what is known of a row is in that mean.
type Block = [i16; LANES];

/// How many blocks a row has if what is above a value tells of it, and 0 if only what is before it does. `None` if neither tells much, as with weights.
pub(super) fn find(values: &[u8]) -> Option<u16> {
    let blocks = values.as_chunks::<LANES>().0;
    if blocks.len() < 2 * PROBE {
        return None;
    }
    let (row, by_columns) = row_of(blocks).unwrap_or((0, 0));
    let by_blocks = explained_by_blocks(blocks);
    let explained = by_blocks + (ALL - by_blocks) * by_columns / ALL;
    (explained >= WORTH_A_TRY).then_some(row)
}

/// How many blocks a row has, and how much of what values vary by within their block those above tell.
fn row_of(blocks: &[[u8; LANES]]) -> Option<(u16, i64)> {
    let longest = LONGEST.min(blocks.len() / 4);
    // From a quarter on there are as many rows behind as are looked at.
    let start = (blocks.len() - longest - PROBE).min(blocks.len() / 4);
    let mut scores = vec![0; longest / STEP + 1];
    score_all(&blocks[start..start + longest + PROBE], &mut scores);
    let best = scores.iter().copied().max()?;
    // Rows that are alike two apart are alike, too.
    let may_be = |score: i64| score >= ALIKE && score >= best - best / 4;
    let rows = (0..).step_by(STEP).zip(&scores).filter(|(_, score)| may_be(**score)).map(|(row, _)| row);
    rows.take(CANDIDATES).map(|row| (row as u16, alike(blocks, row))).find(|(_, alike)| *alike >= ALL / 10)
}

/// How alike blocks of the whole plane are to those so many later.
fn alike(blocks: &[[u8; LANES]], row: usize) -> i64 {
    let step = step_of(blocks.len() - row, TRIAL);
    let some = |from: usize| blocks[from..].iter().step_by(step).map(deviations).take((blocks.len() - row) / step).collect::<Vec<_>>();
    let (above, below) = (some(0), some(row));
    dot(&above, &below) * ALL / dot(&above, &above).max(dot(&below, &below)).max(1)
}

/// The step at which about `some` of so many blocks are looked at. It is odd: rows are mostly of an even number of blocks, and all that are looked at would
/// be in the same place of one.
fn step_of(blocks: usize, some: usize) -> usize {
    (blocks / some) | 1
}

#[inline(always)]
fn deviations(block: &[u8; LANES]) -> Block {
    let sum = block.iter().fold(0i16, |sum, &value| sum.wrapping_add(value.into()));
    block.map(|value| (i16::from(value).wrapping_mul(LANES as i16)).wrapping_sub(sum) >> 2)
}

/// The sum of products.
#[inline(always)]
fn dot(a: &[Block], b: &[Block]) -> i64 {
    // Each product is at most 2^20, so that those of as many blocks are less than 2^31.
    let few = |(a, b): (&[Block], &[Block])| {
        let products = a.as_flattened().iter().zip(b.as_flattened()).map(|(&a, &b)| i32::from(a).wrapping_mul(i32::from(b)));
        i64::from(products.fold(0, i32::wrapping_add))
    };
    a.chunks(PROBE).zip(b.chunks(PROBE)).map(few).sum()
}

#[inline(always)]
fn score_body(blocks: &[[u8; LANES]], scores: &mut [i64]) {
    let window: Vec<Block> = blocks.iter().map(deviations).collect();
    let energies: Vec<i64> = window.chunks_exact(STEP).map(|blocks| dot(blocks, blocks)).collect();
    let of_probe: i64 = energies[..PROBE / STEP].iter().sum();
    let mut of_later = of_probe;
    for (i, score) in scores.iter_mut().enumerate().skip(1) {
        of_later += energies[i - 1 + PROBE / STEP] - energies[i - 1];
        *score = dot(&window[..PROBE], &window[i * STEP..][..PROBE]) * ALL / of_probe.max(of_later).max(1);
    }
}

wide! {
    /// How alike the first blocks are to those so many times [`STEP`] later.
    fn score_all(blocks: &[[u8; LANES]], scores: &mut [i64]) = score_body
}

/// How much of what values vary by their blocks tell: sums of blocks vary by more than they would if neighbours knew nothing of one another.
fn explained_by_blocks(blocks: &[[u8; LANES]]) -> i64 {
    let step = step_of(blocks.len(), SUMS);
    let [mut count, mut sum, mut squares, mut squares_of_sums] = [0i64; 4];
    for block in blocks.iter().step_by(step) {
        let of_block: i64 = block.iter().map(|&value| i64::from(value)).sum();
        count += 1;
        sum += of_block;
        squares += block.iter().map(|&value| i64::from(value) * i64::from(value)).sum::<i64>();
        squares_of_sums += of_block * of_block;
    }
    // The variance of sums, and sixteen times that of values, which is what it would be: both times the square of the number of blocks and sixteen.
    let lanes = LANES as i64;
    let of_sums = (squares_of_sums * count - sum * sum) * lanes;
    let of_values = squares * count * lanes - sum * sum;
    // If all values of a block were the same, sums would vary by sixteen times as much.
    ((of_sums - of_values) / (lanes - 1)).clamp(0, of_values) * ALL / of_values.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::testing::Noise;

    /// Values of which each is about that of its row and of its column.
    fn plane(rows: usize, columns: usize, of_row: u64, of_column: u64) -> Vec<u8> {
        let mut noise = Noise(5);
        let each: Vec<u64> = (0..columns).map(|_| noise.next() % of_column).collect();
        let mut values = Vec::new();
        for _ in 0..rows {
            let row = noise.next() % of_row;
            values.extend(each.iter().map(|column| (row + column + noise.next() % 40) as u8));
        }
        values
    }

    #[test]
    fn the_length_of_rows_is_found() {
        for (rows, columns, row) in
            [(300, 896, 56), (2000, 32, 2), (100, 2432, 152), (40, 16_384, 1024), (500, 48, 6), (300, 1000, 125 * 2)]
        {
            assert_eq!(find(&plane(rows, columns, 60, 60)), Some(row), "rows of {columns}");
            assert_eq!(find(&plane(rows, columns, 1, 60)), Some(row), "rows of {columns}, all alike");
        }
    }

    #[test]
    fn sizes_of_rows_alone_have_no_length() {
        assert_eq!(find(&plane(300, 896, 60, 1)), Some(0));
    }

    #[test]
    fn sizes_of_groups_of_columns_are_seen_whatever_the_length_of_rows() {
        // The same place of each row would be of one size.
        for row in [512, 1024, 1536] {
            let mut noise = Noise(6);
            let sizes: Vec<u64> = (0..row / 64).map(|_| noise.next() % 60).collect();
            let values: Vec<u8> = (0..1 << 18).map(|i: usize| (sizes[i % row / 64] + noise.next() % 40) as u8).collect();
            assert_eq!(find(&values), Some(0), "rows of {row}");
        }
    }

    #[test]
    fn noise_is_in_no_rows() {
        for (rows, columns) in [(300, 896), (64, 16), (1, 100_000), (1, 5), (0, 0)] {
            assert_eq!(find(&plane(rows, columns, 1, 1)), None);
        }
    }
}
