//! The decoder.

use super::super::super::CodecError;
use super::super::super::bits::BitReader;
#[cfg(target_arch = "x86_64")]
use super::super::super::entropy::Avx2Blocks;
use super::super::super::entropy::{Blocks, DecodeTables, LANES, RansDecoder, TABLES, read_map, read_tables};
#[cfg(target_arch = "x86_64")]
use super::super::super::kernel::has_avx2;
use super::{CLASSES, Classes, Expectation, MOST_SHIFT};
use crate::base::wire::Reader;

/// What a decoder reads before the first value.
pub(super) struct Head<'a> {
    row: u16,
    classes: Classes,
    /// For each class the table.
    map: [u8; CLASSES],
    tables: DecodeTables,
    symbols: RansDecoder<'a>,
}

impl<'a> Head<'a> {
    pub(super) fn read(coded: &'a [u8]) -> Result<Self, CodecError> {
        let mut reader = Reader::new(coded);
        let row = reader.u16()?;
        let first = i16::from_le_bytes(reader.array()?);
        let [shift, last, last_table, last_symbol] = reader.array()?;
        if u32::from(shift) > MOST_SHIFT || usize::from(last) >= CLASSES || usize::from(last_table) >= TABLES {
            return Err(CodecError::Malformed("a count of contexts is out of range"));
        }
        let mut bits = BitReader::new(reader.bytes(reader.remaining())?);
        let mut map = [0; CLASSES];
        read_map(&mut bits, last_table, &mut map[..=usize::from(last)])?;
        let tables = read_tables(&mut bits, usize::from(last_table) + 1, usize::from(last_symbol) + 1)?;
        let symbols = RansDecoder::new(bits.finish()?)?;
        Ok(Self { row, classes: Classes { first, shift, last }, map, tables: DecodeTables::new(&tables), symbols })
    }

    /// The `count` values, on kernels `B`.
    #[inline(always)]
    pub(super) fn values<B: Blocks<'a>>(mut self, count: usize) -> Result<Vec<u8>, CodecError> {
        // So no more columns are made than there are values.
        if usize::from(self.row) > count.div_ceil(LANES) {
            return Err(CodecError::Malformed("rows longer than their plane"));
        }
        let mut values = vec![0; count];
        let mut expectation = Expectation::new(self.row);
        let mut decoder = B::from(&self.symbols);
        let (blocks, tail) = values.as_chunks_mut::<LANES>();
        for block in blocks {
            let contexts = B::look_up(&self.map, &self.classes.of(expectation.next()));
            *block = decoder.block(self.tables.slots(), contexts);
            expectation.push(block);
        }
        self.symbols = decoder.into();
        if !tail.is_empty() {
            let contexts = B::look_up(&self.map, &self.classes.of(expectation.next()));
            tail.copy_from_slice(&self.symbols.tail(&self.tables, contexts, tail.len())[..tail.len()]);
        }
        self.symbols.finish()?;
        Ok(values)
    }
}

/// The `count` values that [`encode`](super::encode) coded.
pub(in super::super) fn decode(coded: &[u8], count: usize) -> Result<Vec<u8>, CodecError> {
    let head = Head::read(coded)?;
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
        fn on_avx2<'a>(head: Head<'a>, count: usize) -> Result<Vec<u8>, CodecError> {
            head.values::<Avx2Blocks<'a>>(count)
        }
        if has_avx2() {
            // SAFETY: the CPU has the features that were just looked for.
            #[allow(unsafe_code, reason = "safe code that is compiled for the CPU features just found")]
            return unsafe { on_avx2(head, count) };
        }
    }
    head.values::<RansDecoder<'_>>(count)
}
