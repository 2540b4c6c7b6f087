//! GGUF, versions 2 and 3, little-endian: counts, key-value pairs, tensor infos, then the tensors' bytes.
//!
//! Nothing says how long the header is, so it is read in windows. Between windows only counters stay; a value is skipped by
//! arithmetic where its length is known, without asking for its bytes.
//!
//! Format: `docs/gguf.md` of ggml. Version 1 (32-bit lengths) and big-endian files are refused.

use super::cursor::Cursor;
use super::detect::Step;
use super::{Dtype, Format, Layout, NAME_LEN, NAMES_LEN, TENSORS, Tensor};
use crate::base::units::KIB;

/// Bytes asked for at once. Longer than the longest item that must be seen whole: a tensor info with the longest name.
const WINDOW_LEN: u64 = 256 * KIB as u64;
/// Arrays within arrays.
const NESTING: usize = 8;
/// `GGML_MAX_DIMS`.
const GGML_DIMS: u32 = 4;
/// What `general.alignment` is when the file does not say.
const DEFAULT_ALIGNMENT: u64 = 32;
/// The largest alignment that is believed.
const MAX_ALIGNMENT: u64 = 1 << 20;

const TYPE_UINT32: u32 = 4;
const TYPE_STRING: u32 = 8;
const TYPE_ARRAY: u32 = 9;

/// Where the reading stands.
#[derive(Debug)]
pub(super) struct Gguf {
    file_len: u64,
    /// Offset of the next item.
    at: u64,
    pairs_left: u64,
    infos_left: u64,
    alignment: u64,
    /// The arrays that the next item lies in, outermost first: element type and elements left.
    arrays: Vec<(u32, u64)>,
    /// Offsets are still counted from the start of the data.
    tensors: Vec<Tensor>,
    names_len: usize,
}

/// Why an item could not be read.
enum Stop {
    /// It does not end in the window.
    Window,
    /// It is not what the format allows.
    Odd,
}

impl Gguf {
    /// `None` if this version or these counts cannot be read.
    pub(super) fn new(prefix: &[u8], file_len: u64) -> Option<Self> {
        let mut cursor = Cursor::new(prefix, 4);
        let version = cursor.u32()?;
        let infos_left = cursor.u64()?;
        let pairs_left = cursor.u64()?;
        if !matches!(version, 2 | 3) || infos_left > TENSORS as u64 {
            return None;
        }
        let at = cursor.position() as u64;
        let (arrays, tensors) = (Vec::new(), Vec::new());
        Some(Self { file_len, at, pairs_left, infos_left, alignment: DEFAULT_ALIGNMENT, arrays, tensors, names_len: 0 })
    }

    /// Reads on with the bytes at `offset`, which is where the next item begins or before.
    pub(super) fn step(&mut self, offset: u64, bytes: &[u8]) -> Step {
        loop {
            if self.pairs_left == 0 && self.arrays.is_empty() && self.infos_left == 0 {
                return self.finish();
            }
            match self.item(offset, bytes) {
                Ok(()) if self.at <= self.file_len => {}
                Err(Stop::Window) if self.at > offset => {
                    let len = WINDOW_LEN.min(self.file_len - self.at) as usize;
                    return if len == 0 { Step::Plain } else { Step::Need { offset: self.at, len } };
                }
                // An item that does not end in a window of its own is too long, or cut off by the end of the file.
                _ => return Step::Plain,
            }
        }
    }

    /// Reads one item and moves past it, or leaves all as it was.
    fn item(&mut self, offset: u64, bytes: &[u8]) -> Result<(), Stop> {
        let start = usize::try_from(self.at - offset).map_err(|_| Stop::Window)?;
        let mut cursor = Cursor::new(bytes, start);
        if let Some((kind, left)) = self.arrays.last().copied() {
            return self.element(&mut cursor, start, kind, left);
        }
        if self.pairs_left > 0 {
            return self.pair(&mut cursor, start);
        }
        self.info(&mut cursor, start)
    }

    /// Moves past what the cursor has read since `start`, and `skip` bytes more.
    fn advance(&mut self, cursor: &Cursor<'_>, start: usize, skip: u64) -> Result<(), Stop> {
        let read = (cursor.position() - start) as u64;
        self.at = self.at.checked_add(read).and_then(|at| at.checked_add(skip)).ok_or(Stop::Odd)?;
        Ok(())
    }

    fn element(&mut self, cursor: &mut Cursor<'_>, start: usize, kind: u32, left: u64) -> Result<(), Stop> {
        if left == 0 {
            self.arrays.pop();
            return Ok(());
        }
        let mut taken = 1;
        match kind {
            TYPE_STRING => {
                let len = cursor.u64().ok_or(Stop::Window)?;
                self.advance(cursor, start, len)?;
            }
            TYPE_ARRAY => self.open_array(cursor, start)?,
            _ => {
                let width = scalar_len(kind).ok_or(Stop::Odd)?;
                self.advance(cursor, start, left.checked_mul(width).ok_or(Stop::Odd)?)?;
                taken = left;
            }
        }
        // An array within has been opened above this one.
        let place = self.arrays.iter_mut().rev().nth(usize::from(kind == TYPE_ARRAY)).ok_or(Stop::Odd)?;
        place.1 -= taken;
        Ok(())
    }

    fn open_array(&mut self, cursor: &mut Cursor<'_>, start: usize) -> Result<(), Stop> {
        let kind = cursor.u32().ok_or(Stop::Window)?;
        let count = cursor.u64().ok_or(Stop::Window)?;
        if self.arrays.len() == NESTING || (scalar_len(kind).is_none() && !matches!(kind, TYPE_STRING | TYPE_ARRAY)) {
            return Err(Stop::Odd);
        }
        self.advance(cursor, start, 0)?;
        self.arrays.push((kind, count));
        Ok(())
    }

    fn pair(&mut self, cursor: &mut Cursor<'_>, start: usize) -> Result<(), Stop> {
        let key = name(cursor)?;
        let kind = cursor.u32().ok_or(Stop::Window)?;
        match kind {
            TYPE_STRING => {
                let len = cursor.u64().ok_or(Stop::Window)?;
                self.advance(cursor, start, len)?;
            }
            TYPE_ARRAY => self.open_array(cursor, start)?,
            TYPE_UINT32 if key == b"general.alignment" => {
                let alignment = u64::from(cursor.u32().ok_or(Stop::Window)?);
                if !alignment.is_power_of_two() || alignment > MAX_ALIGNMENT {
                    return Err(Stop::Odd);
                }
                self.advance(cursor, start, 0)?;
                self.alignment = alignment;
            }
            _ => self.advance(cursor, start, scalar_len(kind).ok_or(Stop::Odd)?)?,
        }
        self.pairs_left -= 1;
        Ok(())
    }

    fn info(&mut self, cursor: &mut Cursor<'_>, start: usize) -> Result<(), Stop> {
        let name = name(cursor)?;
        let dims = cursor.u32().ok_or(Stop::Window)?;
        if dims > GGML_DIMS {
            return Err(Stop::Odd);
        }
        let mut shape = Vec::with_capacity(dims as usize);
        for _ in 0..dims {
            shape.push(cursor.u64().ok_or(Stop::Window)?);
        }
        let dtype = Dtype::of_ggml(cursor.u32().ok_or(Stop::Window)?);
        let offset = cursor.u64().ok_or(Stop::Window)?;
        self.advance(cursor, start, 0)?;
        self.infos_left -= 1;
        self.names_len += name.len();
        if self.names_len > NAMES_LEN {
            return Err(Stop::Odd);
        }
        // ggml counts dimensions from the fastest, of which a block takes a run within a row.
        let whole_rows = dtype.is_some_and(|dtype| shape.first().unwrap_or(&1) % dtype.block_elements() == 0);
        shape.reverse();
        if let (Some(dtype), true, Ok(name)) = (dtype, whole_rows, std::str::from_utf8(name))
            && let Some(len) = dtype.len_of(&shape)
        {
            self.tensors.push(Tensor { name: name.to_owned(), dtype, shape, offset, len });
        }
        Ok(())
    }

    fn finish(&mut self) -> Step {
        let Some(data) = self.at.checked_next_multiple_of(self.alignment) else { return Step::Plain };
        let mut tensors = std::mem::take(&mut self.tensors);
        tensors.retain_mut(|tensor| {
            let offset = tensor.offset.checked_add(data).filter(|_| tensor.offset % self.alignment == 0);
            tensor.offset = offset.unwrap_or(0);
            offset.is_some()
        });
        Layout::settle(Format::Gguf, tensors, self.file_len).map_or(Step::Plain, Step::Layout)
    }
}

fn name<'a>(cursor: &mut Cursor<'a>) -> Result<&'a [u8], Stop> {
    let len = cursor.u64().ok_or(Stop::Window)?;
    if len > NAME_LEN as u64 {
        return Err(Stop::Odd);
    }
    cursor.take(len as usize).ok_or(Stop::Window)
}

/// Bytes of a value whose type has a fixed length.
const fn scalar_len(kind: u32) -> Option<u64> {
    match kind {
        // UINT8, INT8, BOOL
        0 | 1 | 7 => Some(1),
        // UINT16, INT16
        2 | 3 => Some(2),
        // UINT32, INT32, FLOAT32
        4..=6 => Some(4),
        // UINT64, INT64, FLOAT64
        10..=12 => Some(8),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{GgufFile, gguf_string};
    use super::super::{GgufType, layout_of};
    use super::*;

    #[test]
    fn tensors_are_found_behind_values_of_every_type() {
        let mut file = GgufFile::new(3);
        file.alignment(64);
        for (kind, len) in [(0, 1), (1, 1), (2, 2), (3, 2), (4, 4), (5, 4), (6, 4), (7, 1), (10, 8), (11, 8), (12, 8)] {
            file.pair(&format!("scalar{kind}"), kind, &vec![9; len]);
        }
        file.pair("text", TYPE_STRING, &gguf_string("hello"));
        let words = [&8_u32.to_le_bytes()[..], &2_u64.to_le_bytes(), &gguf_string("one"), &gguf_string("")].concat();
        file.pair("words", TYPE_ARRAY, &words);
        let inner = [&4_u32.to_le_bytes()[..], &3_u64.to_le_bytes(), &[1; 12]].concat();
        let nested = [&9_u32.to_le_bytes()[..], &2_u64.to_le_bytes(), &inner, &inner].concat();
        file.pair("nested", TYPE_ARRAY, &nested);
        file.tensor("quantised", 8, &[64, 2], 0);
        file.tensor("plain", 1, &[3], 192);
        let bytes = file.bytes(256);
        let layout = layout_of(&bytes).expect("two tensors");
        assert_eq!(layout.format, Format::Gguf);
        let data = layout.tensors[0].offset;
        assert_eq!(data % 64, 0);
        let quantised = Dtype::GgufBlock(GgufType::Q8_0);
        assert_eq!(layout.tensors[0], Tensor { name: "quantised".into(), dtype: quantised, shape: vec![2, 64], offset: data, len: 136 });
        assert_eq!(layout.tensors[1], Tensor { name: "plain".into(), dtype: Dtype::F16, shape: vec![3], offset: data + 192, len: 6 });
    }

    #[test]
    fn a_header_of_many_windows_is_read() {
        let mut file = GgufFile::new(2);
        let mut words = [&8_u32.to_le_bytes()[..], &100_000_u64.to_le_bytes()].concat();
        for word in 0..100_000 {
            words.extend(gguf_string(&word.to_string()));
        }
        file.pair("vocabulary", TYPE_ARRAY, &words);
        file.pair("blob", TYPE_STRING, &gguf_string(&"x".repeat(1 << 20)));
        for index in 0..20_000 {
            file.tensor(&format!("tensor.{index}"), 0, &[8], index * 32);
        }
        let layout = layout_of(&file.bytes(20_000 * 32)).expect("all tensors");
        assert_eq!(layout.tensors.len(), 20_000);
        assert!(layout.tensors.iter().enumerate().all(|(index, tensor)| tensor.name == format!("tensor.{index}")));
    }

    #[test]
    fn a_tensor_that_is_odd_is_dropped_alone() {
        let mut file = GgufFile::new(3);
        file.tensor("good", 0, &[8], 0);
        file.tensor("unknown type", 99, &[8], 32);
        file.tensor("split block", 8, &[16, 2], 32);
        file.tensor("unaligned", 0, &[2], 33);
        file.tensor("outside", 0, &[8], 4096);
        file.tensor("far", 0, &[8], u64::MAX - 31);
        file.tensor("huge", 0, &[u64::MAX, u64::MAX], 32);
        file.tensor("empty", 0, &[0], 32);
        let layout = layout_of(&file.bytes(64)).expect("the good one");
        assert_eq!(layout.tensors.iter().map(|tensor| tensor.name.as_str()).collect::<Vec<_>>(), ["good"]);
    }

    #[test]
    fn other_versions_alignments_types_and_dimensions_are_refused() {
        for version in [0, 1, 4, 3_u32.swap_bytes()] {
            let mut file = GgufFile::new(version);
            file.tensor("good", 0, &[8], 0);
            assert_eq!(layout_of(&file.bytes(64)), None);
        }
        for alignment in [0_u32, 24, 1 << 30] {
            let mut file = GgufFile::new(3);
            file.pair("general.alignment", 4, &alignment.to_le_bytes());
            file.tensor("good", 0, &[8], 0);
            assert_eq!(layout_of(&file.bytes(64)), None);
        }
        let mut file = GgufFile::new(3);
        file.pair("odd", 13, &[]);
        file.tensor("good", 0, &[8], 0);
        assert_eq!(layout_of(&file.bytes(64)), None);
        let mut file = GgufFile::new(3);
        file.tensor("good", 0, &[8, 1, 1, 1, 1], 0);
        assert_eq!(layout_of(&file.bytes(64)), None);
    }
}
