//! Which table codes what: for each context the name of one, as it stands before the tables.

use super::super::CodecError;
use super::super::bits::{BitReader, BitWriter};

/// Writes the table of each context as the step from the one before.
pub(in super::super) fn write_map(head: &mut BitWriter, table_of: &[u8]) {
    let mut before = 0i32;
    for &table in table_of {
        let step = i32::from(table) - before;
        head.put_gamma(((step << 1) ^ (step >> 31)) as u32 + 1);
        before = i32::from(table);
    }
}

/// Reads what [`write_map`] wrote into the cells of all contexts: names of tables, the highest of which is `last_table`.
pub(in super::super) fn read_map<'a>(
    head: &mut BitReader<'_>,
    last_table: u8,
    cells: impl IntoIterator<Item = &'a mut u8>,
) -> Result<(), CodecError> {
    let mut before = 0i32;
    for cell in cells {
        let step = head.take_gamma()? - 1;
        before += (step >> 1) as i32 ^ -((step & 1) as i32);
        if !(0..=i32::from(last_table)).contains(&before) {
            return Err(CodecError::Malformed("a context names no table"));
        }
        *cell = before as u8;
    }
    Ok(())
}
