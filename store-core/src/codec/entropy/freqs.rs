//! Frequencies of one table: made from counts, written and read.

use super::super::CodecError;
use super::super::bits::{BitReader, BitWriter};
use super::{SCALE, SCALE_BITS};

/// Bits kept below the leading one of a frequency.
const PRECISION: u32 = 4;

/// Frequencies of the symbols; they sum to [`SCALE`], and those of symbols that do not occur are zero.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Freqs {
    of: [u16; 256],
    /// The symbol whose frequency is what the others leave; the others have at most five significant bits.
    rest: u8,
}

impl Freqs {
    /// The frequencies that serve `counts` best, at most 256 of them, not all zero.
    pub(in super::super) fn of(counts: &[u32]) -> Self {
        let total: u64 = counts.iter().map(|&count| u64::from(count)).sum();
        debug_assert!(total > 0 && counts.len() <= 256);
        let spare = counts.len() as u64;
        Self::scaled(counts, total, u64::from(SCALE), true)
            .or_else(|| Self::scaled(counts, total, u64::from(SCALE) - spare, false))
            .expect("truncated shares leave room for the largest")
    }

    fn scaled(counts: &[u32], total: u64, scale: u64, round: bool) -> Option<Self> {
        let mut freqs = [0u16; 256];
        let largest = (0..counts.len()).max_by_key(|&i| counts[i])?;
        let mut rest = 0u32;
        for (i, &count) in counts.iter().enumerate() {
            if count > 0 && i != largest {
                let share = (u64::from(count) * scale + if round { total / 2 } else { 0 }) / total;
                let share = (share as u32).clamp(1, SCALE - 1);
                let dropped = share.ilog2().saturating_sub(PRECISION);
                let up = if round && dropped > 0 { 1 << (dropped - 1) } else { 0 };
                let share = ((share + up) >> dropped) << dropped;
                rest += share;
                if rest >= SCALE {
                    return None;
                }
                freqs[i] = share as u16;
            }
        }
        freqs[largest] = (SCALE - rest) as u16;
        Some(Self { of: freqs, rest: largest as u8 })
    }

    /// The frequency of each symbol.
    pub(in super::super) fn get(&self) -> &[u16; 256] {
        &self.of
    }
}

fn length(freq: u16) -> u32 {
    u16::BITS - freq.leading_zeros()
}

fn zigzag(value: i32) -> u32 {
    ((value << 1) ^ (value >> 31)) as u32
}

fn unzigzag(value: u32) -> i32 {
    (value >> 1) as i32 ^ -((value & 1) as i32)
}

/// Writes tables over symbols below `alphabet`, each given the one before it.
pub(in super::super) fn write_tables(bits: &mut BitWriter, tables: &[Freqs], alphabet: usize) {
    let mut before: Option<&Freqs> = None;
    for table in tables {
        // The frequency of the largest symbol follows from the others.
        let largest = usize::from(table.rest);
        bits.put(largest as u64, 8);
        let mut last = 0;
        for symbol in (0..alphabet).filter(|&symbol| symbol != largest) {
            let freq = table.of[symbol];
            let len = length(freq);
            let expected = before.map_or(last, |table| length(table.of[symbol]));
            bits.put_gamma(zigzag(len as i32 - expected as i32) + 1);
            last = len;
            let below = len.saturating_sub(1);
            let kept = below.min(PRECISION);
            bits.put(u64::from(freq) >> (below - kept) & ((1 << kept) - 1), kept);
        }
        before = Some(table);
    }
}

/// Reads what [`write_tables`] wrote. Takes time and memory in proportion to `count * alphabet` alone.
pub(in super::super) fn read_tables(bits: &mut BitReader<'_>, count: usize, alphabet: usize) -> Result<Vec<Freqs>, CodecError> {
    let mut tables: Vec<Freqs> = Vec::with_capacity(count);
    for index in 0..count {
        let largest = bits.take(8) as usize;
        if largest >= alphabet {
            return Err(CodecError::Malformed("a table's largest symbol is outside its alphabet"));
        }
        let mut freqs = [0u16; 256];
        let mut last = 0i32;
        let mut rest = 0u32;
        for symbol in (0..alphabet).filter(|&symbol| symbol != largest) {
            let expected = if index == 0 { last } else { length(tables[index - 1].of[symbol]) as i32 };
            let len = expected + unzigzag(bits.take_gamma()? - 1);
            if !(0..=SCALE_BITS as i32).contains(&len) {
                return Err(CodecError::Malformed("a frequency is out of range"));
            }
            last = len;
            if len > 0 {
                let below = len as u32 - 1;
                let kept = below.min(PRECISION);
                let freq = (1 << below) | ((bits.take(kept) as u32) << (below - kept));
                rest += freq;
                freqs[symbol] = freq as u16;
            }
        }
        if rest >= SCALE {
            return Err(CodecError::Malformed("frequencies sum to too much"));
        }
        freqs[largest] = (SCALE - rest) as u16;
        tables.push(Freqs { of: freqs, rest: largest as u8 });
    }
    bits.check()?;
    Ok(tables)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn tables_survive(counts in proptest::collection::vec(proptest::collection::vec(prop_oneof![Just(0u32), 0u32..9, 0u32..2_000_000], 40), 1..6)) {
            let tables: Vec<_> = counts.iter().filter(|counts| counts.iter().any(|&c| c > 0)).map(|c| Freqs::of(c)).collect();
            for (table, counts) in tables.iter().zip(counts.iter().filter(|counts| counts.iter().any(|&c| c > 0))) {
                prop_assert_eq!(table.of.iter().map(|&f| u32::from(f)).sum::<u32>(), SCALE);
                prop_assert!(counts.iter().zip(table.of).all(|(&count, freq)| (count > 0) == (freq > 0)));
            }
            let mut bits = BitWriter::with_capacity(64);
            write_tables(&mut bits, &tables, 40);
            let bytes = bits.finish();
            let mut reader = BitReader::new(&bytes);
            prop_assert_eq!(read_tables(&mut reader, tables.len(), 40), Ok(tables));
            prop_assert!(reader.finish().is_ok_and(<[u8]>::is_empty));
        }
    }

    #[test]
    fn many_rare_symbols_leave_room_for_the_largest() {
        let mut counts = [1u32; 256];
        counts[..100].fill(1_000_000);
        let freqs = Freqs::of(&counts);
        assert_eq!(freqs.of.iter().map(|&f| u32::from(f)).sum::<u32>(), SCALE);
        assert!(freqs.of.iter().all(|&f| f > 0));
    }
}
