//! The coder.

use super::super::super::bits::BitWriter;
use super::super::super::entropy::{Clusters, LANES, cluster, cost, encode as encode_symbols, write_map, write_tables};
use super::super::super::kernel::wide;
use super::{CLASSES, Classes, Expectation, MOST_SHIFT, PART_BITS};

/// Values that are gone over in one step of a pass: few enough that what is known of them stays in the first cache.
const STRIP: usize = 1024;
/// Of what a plane takes with one table it must save one part in so many: it takes twice as long to code and to read. What optimisers know of weights
/// saves a tenth to a fourth; weights save a thirtieth at the most, in embeddings.
const LEAST_SAVED: u64 = 16;

/// Codes `values`, of which there is at least one, by what is expected of them, if that saves something beside one table for all. Rows are of `row` blocks,
/// of which there are as many at least; 0 if there are none.
pub(in super::super) fn encode(row: u16, values: &[u8]) -> Option<Vec<u8>> {
    let coding = Coding::choose(row, values);
    let otherwise = coding.otherwise.min(values.len() as u64 * 8);
    (coding.cost() < otherwise - otherwise / LEAST_SAVED).then(|| coding.write(row, values))
}

/// How values are coded.
pub(super) struct Coding {
    classes: Classes,
    /// For each value its class.
    class_of: Vec<u8>,
    alphabet: usize,
    clusters: Clusters,
    /// Bits that one table for all would take.
    pub(super) otherwise: u64,
}

impl Coding {
    pub(super) fn choose(row: u16, values: &[u8]) -> Self {
        let expected = expectations(row, values);
        let classes = Classes::choose(&expected);
        let mut class_of = classes_of(classes, &expected);
        class_of.truncate(values.len());
        let alphabet = values.iter().copied().max().map_or(1, |most| usize::from(most) + 1);
        let mut cells = vec![0u32; (usize::from(classes.last) + 1) * alphabet];
        count_cells(&class_of, values, alphabet, &mut cells);
        let mut all = vec![0; alphabet];
        cells.chunks_exact(alphabet).for_each(|cell| all.iter_mut().zip(cell).for_each(|(sum, count)| *sum += count));
        Self { classes, class_of, alphabet, clusters: cluster(&cells, alphabet), otherwise: cost(&all) }
    }

    /// Bits that the values take, roughly.
    pub(super) fn cost(&self) -> u64 {
        self.clusters.cost
    }

    pub(super) fn write(self, row: u16, values: &[u8]) -> Vec<u8> {
        let Clusters { table_of, tables, .. } = self.clusters;
        let mut out = Vec::with_capacity(values.len() * 3 / 4);
        out.extend_from_slice(&row.to_le_bytes());
        out.extend_from_slice(&self.classes.first.to_le_bytes());
        out.extend_from_slice(&[self.classes.shift, self.classes.last, tables.len() as u8 - 1, (self.alphabet - 1) as u8]);
        let mut head = BitWriter::with_capacity(1024);
        write_map(&mut head, &table_of);
        write_tables(&mut head, &tables, self.alphabet);
        out.extend_from_slice(&head.finish());
        // From here on the class of a value is the table that codes it.
        let mut map = [0; CLASSES];
        map[..table_of.len()].copy_from_slice(&table_of);
        let mut contexts = self.class_of;
        contexts.iter_mut().for_each(|context| *context = map[usize::from(*context) & (CLASSES - 1)]);
        encode_symbols(&tables, values, &contexts, &mut out);
        out
    }
}

impl Classes {
    /// The finest that hold nearly all of what is expected, of which there is at least one block.
    fn choose(expected: &[[i16; LANES]]) -> Self {
        // As far as the sum of a value and the difference of two reaches.
        const LOWEST: i32 = -256;
        let mut counts = [0u32; 1024];
        for expected in expected.iter().step_by(expected.len().div_ceil(1024)).flatten() {
            counts[(i32::from(expected >> PART_BITS) - LOWEST) as usize & 1023] += 1;
        }
        let least = counts.iter().sum::<u32>() / 2048;
        let end = |place: Option<usize>| (LOWEST + place.unwrap_or(0) as i32) << PART_BITS;
        let low = end(counts.iter().position(|&count| count > least));
        let high = end(counts.iter().rposition(|&count| count > least));
        let span = |shift: u32| (high >> shift) - (low >> shift);
        let shift = (PART_BITS..MOST_SHIFT).find(|&shift| span(shift) < CLASSES as i32).unwrap_or(MOST_SHIFT);
        let last = span(shift).min(CLASSES as i32 - 1);
        Self { first: ((high >> shift) - last) as i16, shift: shift as u8, last: last as u8 }
    }
}

#[inline(always)]
fn expectations_body(row: u16, values: &[u8]) -> Vec<[i16; LANES]> {
    let mut expectation = Expectation::new(row);
    let mut all = Vec::with_capacity(values.len().div_ceil(LANES));
    let (blocks, tail) = values.as_chunks::<LANES>();
    for block in blocks {
        all.push(expectation.next());
        expectation.push(block);
    }
    all.extend((!tail.is_empty()).then(|| expectation.next()));
    all
}

wide! {
    /// What is expected of the values of each block, and of those that fill up the last one.
    fn expectations(row: u16, values: &[u8]) -> Vec<[i16; LANES]> = expectations_body
}

#[inline(always)]
fn classes_body(classes: Classes, expected: &[[i16; LANES]]) -> Vec<u8> {
    let mut all = vec![[0; LANES]; expected.len()];
    for (all, &expected) in all.iter_mut().zip(expected) {
        *all = classes.of(expected);
    }
    all.into_flattened()
}

wide! {
    /// The class of each value, and of those that fill up the last block.
    fn classes_of(classes: Classes, expected: &[[i16; LANES]]) -> Vec<u8> = classes_body
}

#[inline(always)]
fn count_body(classes: &[u8], values: &[u8], alphabet: usize, cells: &mut [u32]) {
    // Two counters for each cell: equal neighbours do not wait for each other.
    let mut others = vec![0u32; cells.len()];
    let mut places = [0u16; STRIP];
    for (classes, values) in classes.chunks(STRIP).zip(values.chunks(STRIP)) {
        for (place, (&class, &value)) in places.iter_mut().zip(classes.iter().zip(values)) {
            *place = u16::from(class).wrapping_mul(alphabet as u16).wrapping_add(u16::from(value));
        }
        let (pairs, last) = places[..values.len()].as_chunks::<2>();
        for &[a, b] in pairs {
            let (a, b) = (&mut cells[usize::from(a)], &mut others[usize::from(b)]);
            (*a, *b) = (a.wrapping_add(1), b.wrapping_add(1));
        }
        last.iter().for_each(|&place| cells[usize::from(place)] += 1);
    }
    cells.iter_mut().zip(&others).for_each(|(cell, other)| *cell = cell.wrapping_add(*other));
}

wide! {
    /// Counts in `cells` how often each of the values, which are below `alphabet`, is in each of the classes.
    fn count_cells(classes: &[u8], values: &[u8], alphabet: usize, cells: &mut [u32]) = count_body
}
