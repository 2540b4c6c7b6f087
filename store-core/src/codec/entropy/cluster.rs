//! Which contexts share a table: few tables cost little to store and to fetch, many fit better.

use std::sync::OnceLock;

use super::super::kernel::wide;
use super::{Freqs, SCALE, rans::TABLES};

/// Units of cost in a bit.
const BIT: u64 = 256;

/// Binary logarithm of a positive number, in 1/256.
pub(in super::super) fn log2(value: u32) -> u32 {
    static MANTISSAS: OnceLock<Box<[u8; 2048]>> = OnceLock::new();
    let table = MANTISSAS.get_or_init(|| {
        let mut table = Box::new([0u8; 2048]);
        for (i, entry) in table.iter_mut().enumerate() {
            // The logarithm of 1 + i/2048 by repeated squaring, in 2.62 fixed point.
            let mut x = (2048 + i as u128) << 51;
            let mut fraction = 0u8;
            for _ in 0..8 {
                x = (x * x) >> 62;
                fraction <<= 1;
                if x >> 63 != 0 {
                    fraction |= 1;
                    x >>= 1;
                }
            }
            *entry = fraction;
        }
        table
    });
    let whole = value.ilog2();
    let mantissa = if whole >= 11 { value >> (whole - 11) } else { value << (11 - whole) };
    (whole << 8) | u32::from(table[(mantissa & 2047) as usize])
}

/// Bits, in 1/256, of coding `counts` by a table made for them, without the table.
fn entropy(counts: &[u32]) -> u64 {
    let total: u32 = counts.iter().sum();
    if total == 0 {
        return 0;
    }
    let each: u64 = counts.iter().filter(|&&c| c > 0).map(|&c| u64::from(c) * u64::from(log2(c))).sum();
    (u64::from(total) * u64::from(log2(total))).saturating_sub(each)
}

/// Bits, in 1/256, of storing a table for `counts`, roughly.
fn table_cost(counts: &[u32]) -> u64 {
    (16 + counts.iter().map(|&c| if c > 0 { 6 } else { 1 }).sum::<u64>()) * BIT
}

/// Histograms of cells, and the table of each.
pub(in super::super) struct Clusters {
    /// For each cell the index of its table; for empty cells 0.
    pub(in super::super) table_of: Vec<u8>,
    pub(in super::super) tables: Vec<Freqs>,
    /// Bits of all symbols and of the tables, roughly.
    pub(in super::super) cost: u64,
}

/// Bits of coding `counts` by a table of their own, and of that table, roughly.
pub(in super::super) fn cost(counts: &[u32]) -> u64 {
    own(counts) / BIT
}

/// [`cost`], in 1/256.
fn own(counts: &[u32]) -> u64 {
    entropy(counts) + table_cost(counts)
}

/// Assigns each of the cells, histograms over `alphabet` symbols one after another, to one of at most [`TABLES`] tables.
pub(in super::super) fn cluster(cells: &[u32], alphabet: usize) -> Clusters {
    let used: Vec<(usize, &[u32])> = cells.chunks_exact(alphabet).enumerate().filter(|(_, counts)| counts.iter().any(|&c| c > 0)).collect();
    let mut sums: Vec<Vec<u32>> = Vec::new();
    let mut owner = vec![0usize; used.len()];
    if !used.is_empty() {
        seed_and_refine(&used, alphabet, &mut sums, &mut owner);
        merge(&mut sums, &mut owner);
    }
    // Tables in the order of their mean symbol: neighbours in the map and in the list of tables are then alike.
    let mut order: Vec<usize> = (0..sums.len()).collect();
    order.sort_by_key(|&i| mean(&sums[i]));
    let mut rank = vec![0u8; sums.len()];
    for (new, &old) in order.iter().enumerate() {
        rank[old] = new as u8;
    }
    let mut table_of = vec![0; cells.len() / alphabet];
    for (&(cell, _), &owner) in used.iter().zip(&owner) {
        table_of[cell] = rank[owner];
    }
    let cost = sums.iter().map(|sum| own(sum)).sum::<u64>() / BIT;
    Clusters { table_of, tables: order.iter().map(|&i| Freqs::of(&sums[i])).collect(), cost }
}

fn mean(counts: &[u32]) -> u64 {
    let total: u64 = counts.iter().map(|&c| u64::from(c)).sum();
    let weighted: u64 = counts.iter().enumerate().map(|(i, &c)| i as u64 * u64::from(c)).sum();
    weighted * 1024 / total.max(1)
}

/// What each symbol costs by a table for `counts`; symbols that it lacks cost a lot, but may be added.
fn prices(counts: &[u32]) -> Vec<u32> {
    let freqs = Freqs::of(counts);
    (0..counts.len())
        .map(|i| match freqs.get()[i] {
            0 => 14 * BIT as u32,
            freq => log2(SCALE) - log2(u32::from(freq)),
        })
        .collect()
}

#[inline(always)]
fn price_body(counts: &[u32], prices: &[u32]) -> u64 {
    counts.iter().zip(prices).fold(0, |sum, (&count, &price)| u64::from(count).wrapping_mul(u64::from(price)).wrapping_add(sum))
}

wide! {
    /// What `counts` cost at these prices.
    fn price(counts: &[u32], prices: &[u32]) -> u64 = price_body
}

/// Picks far-apart cells as seeds until another would not pay for its table, then reassigns all cells a few times.
fn seed_and_refine(used: &[(usize, &[u32])], alphabet: usize, sums: &mut Vec<Vec<u32>>, owner: &mut [usize]) {
    let least: Vec<u64> = used.iter().map(|(_, counts)| entropy(counts)).collect();
    let mut best = vec![u64::MAX; used.len()];
    let mut seed = (0..used.len()).max_by_key(|&i| used[i].1.iter().map(|&c| u64::from(c)).sum::<u64>()).unwrap_or(0);
    let mut seeds = 0;
    loop {
        let by_seed = prices(used[seed].1);
        for (i, (_, counts)) in used.iter().enumerate() {
            let cost = price(counts, &by_seed);
            if cost < best[i] {
                (best[i], owner[i]) = (cost, seeds);
            }
        }
        seeds += 1;
        let farthest = (0..used.len()).map(|i| (best[i].saturating_sub(least[i]), i)).max().unwrap_or_default();
        if seeds == TABLES || farthest.0 < table_cost(used[farthest.1].1) {
            break;
        }
        seed = farthest.1;
    }
    for round in 0..3 {
        sums.clear();
        sums.resize(seeds, vec![0; alphabet]);
        for ((_, counts), &owner) in used.iter().zip(owner.iter()) {
            sums[owner].iter_mut().zip(*counts).for_each(|(sum, &count)| *sum += count);
        }
        if round < 2 {
            let by_table: Vec<Option<Vec<u32>>> = sums.iter().map(|sum| sum.iter().any(|&c| c > 0).then(|| prices(sum))).collect();
            for ((_, counts), owner) in used.iter().zip(owner.iter_mut()) {
                let costs = by_table.iter().enumerate().filter_map(|(i, prices)| prices.as_ref().map(|prices| (price(counts, prices), i)));
                *owner = costs.min().unwrap_or_default().1;
            }
        }
    }
}

/// Merges tables while that saves more than it costs, and drops empty ones.
fn merge(sums: &mut Vec<Vec<u32>>, owner: &mut [usize]) {
    for i in (0..sums.len()).rev() {
        if sums[i].iter().all(|&c| c == 0) {
            drop_table(sums, owner, i, None);
        }
    }
    let mut costs: Vec<u64> = sums.iter().map(|sum| own(sum)).collect();
    let change_of = |sums: &[Vec<u32>], costs: &[u64], a: usize, b: usize| {
        let both: Vec<u32> = sums[a].iter().zip(&sums[b]).map(|(x, y)| x + y).collect();
        own(&both) as i64 - (costs[a] + costs[b]) as i64
    };
    // What merging would change, for each table and each one before it. A merge changes only what the merged tables are part of.
    let mut changes: Vec<Vec<i64>> = (0..sums.len()).map(|b| (0..b).map(|a| change_of(sums, &costs, a, b)).collect()).collect();
    loop {
        let pairs = changes.iter().enumerate().flat_map(|(b, row)| row.iter().enumerate().map(move |(a, &change)| (change, a, b)));
        let Some((_, a, b)) = pairs.min().filter(|(change, ..)| *change < 0) else { return };
        let taken = sums[b].clone();
        sums[a].iter_mut().zip(&taken).for_each(|(sum, count)| *sum += count);
        costs[a] = own(&sums[a]);
        costs.remove(b);
        drop_table(sums, owner, b, Some(a));
        changes.remove(b);
        for row in changes.iter_mut().skip(b) {
            row.remove(b);
        }
        for other in (0..sums.len()).filter(|&other| other != a) {
            changes[a.max(other)][a.min(other)] = change_of(sums, &costs, a.min(other), a.max(other));
        }
    }
}

/// Removes a table; its cells go to `heir`.
fn drop_table(sums: &mut Vec<Vec<u32>>, owner: &mut [usize], table: usize, heir: Option<usize>) {
    sums.remove(table);
    for owner in owner {
        if *owner == table {
            *owner = heir.unwrap_or(0);
        }
        if *owner > table {
            *owner -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithms_are_right_to_a_hundredth() {
        for value in (1..5000).chain([65_535, 1 << 20, u32::MAX]) {
            let exact = f64::from(value).log2();
            assert!((f64::from(log2(value)) / 256.0 - exact).abs() < 0.01, "{value}");
        }
    }

    #[test]
    fn like_cells_share_a_table_and_unlike_ones_do_not() {
        let cells = [[9000, 10, 10], [0, 0, 0], [8000, 9, 9], [10, 10, 9000]].concat();
        let clusters = cluster(&cells, 3);
        assert_eq!(clusters.tables.len(), 2);
        assert_eq!(clusters.table_of[0], clusters.table_of[2]);
        assert_ne!(clusters.table_of[0], clusters.table_of[3]);
    }

    #[test]
    fn no_cells_need_no_table() {
        assert!(cluster(&[0; 12], 4).tables.is_empty());
    }
}
