//! NumPy arrays: a `.npy` file, and the stored members of an `.npz`.
//!
//! The header is a Python dictionary of three known keys; it is read by a small grammar, nothing is evaluated. Structured, object,
//! string and big-endian arrays are refused.
//!
//! Format: NEP 1, versions 1 to 3.

use super::cursor::Cursor;
use super::detect::Step;
use super::zip::{Locals, Member};
use super::{DIMS, Dtype, Format, Layout, NAMES_LEN, TENSORS, Tensor};
use crate::base::units::KIB;

/// The first bytes of an array.
pub(super) const MAGIC: &[u8] = b"\x93NUMPY";
/// Bytes of a member that are looked at: its header pads to 128 in the usual case.
const PEEK_LEN: u64 = KIB as u64;

/// The layout of a file that is one array.
pub(super) fn array_file(prefix: &[u8], file_len: u64) -> Option<Layout> {
    let tensor = array("array", prefix, 0)?;
    Layout::settle(Format::Npy, vec![tensor], file_len)
}

/// Reads the header of an array whose bytes begin with `bytes`, at `offset` of the file.
fn array(name: &str, bytes: &[u8], offset: u64) -> Option<Tensor> {
    let mut cursor = Cursor::new(bytes, 0);
    if cursor.take(MAGIC.len())? != MAGIC {
        return None;
    }
    let header_len = match cursor.array()? {
        [1, _] => usize::from(cursor.u16()?),
        [2 | 3, _] => usize::try_from(cursor.u32()?).ok()?,
        _ => return None,
    };
    let (dtype, shape) = Header::read(cursor.take(header_len)?)?;
    let offset = offset.checked_add(cursor.position() as u64)?;
    let len = dtype.len_of(&shape)?;
    Some(Tensor { name: name.to_owned(), dtype, shape, offset, len })
}

/// The keys of the dictionary, as they are met.
#[derive(Default)]
struct Header {
    dtype: Option<Dtype>,
    fortran_order: Option<bool>,
    shape: Option<Vec<u64>>,
}

impl Header {
    fn read(text: &[u8]) -> Option<(Dtype, Vec<u64>)> {
        let mut text = Text(text);
        let mut header = Self::default();
        text.expect(b'{')?;
        while !text.accept(b'}') {
            let key = text.string()?;
            text.expect(b':')?;
            match key {
                b"descr" if header.dtype.is_none() => header.dtype = Some(dtype_of(text.string()?)?),
                b"fortran_order" if header.fortran_order.is_none() => header.fortran_order = Some(text.boolean()?),
                b"shape" if header.shape.is_none() => header.shape = Some(text.tuple()?),
                _ => return None,
            }
            if !text.accept(b',') {
                text.expect(b'}')?;
                break;
            }
        }
        let mut shape = header.shape?;
        if header.fortran_order? {
            shape.reverse();
        }
        text.at_end().then_some((header.dtype?, shape))
    }
}

/// What is left of the dictionary's text.
struct Text<'a>(&'a [u8]);

impl<'a> Text<'a> {
    fn accept(&mut self, byte: u8) -> bool {
        self.0 = self.0.trim_ascii_start();
        let rest = self.0.strip_prefix(&[byte]);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        self.accept(byte).then_some(())
    }

    fn at_end(&self) -> bool {
        self.0.trim_ascii_start().is_empty()
    }

    fn string(&mut self) -> Option<&'a [u8]> {
        let quote = if self.accept(b'\'') { b'\'' } else { self.expect(b'"').map(|()| b'"')? };
        let end = self.0.iter().position(|&byte| byte == quote)?;
        let (string, rest) = self.0.split_at(end);
        self.0 = &rest[1..];
        Some(string)
    }

    fn boolean(&mut self) -> Option<bool> {
        self.0 = self.0.trim_ascii_start();
        for (word, value) in [(&b"True"[..], true), (b"False", false)] {
            if let Some(rest) = self.0.strip_prefix(word) {
                self.0 = rest;
                return Some(value);
            }
        }
        None
    }

    fn tuple(&mut self) -> Option<Vec<u64>> {
        let mut dims = Vec::new();
        self.expect(b'(')?;
        while !self.accept(b')') {
            if dims.len() == DIMS {
                return None;
            }
            dims.push(self.integer()?);
            if !self.accept(b',') {
                self.expect(b')')?;
                break;
            }
        }
        Some(dims)
    }

    fn integer(&mut self) -> Option<u64> {
        self.0 = self.0.trim_ascii_start();
        let digits = self.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (number, rest) = self.0.split_at(digits);
        // Python 2 wrote long integers with an L.
        self.0 = rest.strip_prefix(b"L").unwrap_or(rest);
        std::str::from_utf8(number).ok()?.parse().ok()
    }
}

fn dtype_of(descr: &[u8]) -> Option<Dtype> {
    Some(match descr {
        b"<f8" => Dtype::F64,
        b"<f4" => Dtype::F32,
        b"<f2" => Dtype::F16,
        b"<i8" => Dtype::I64,
        b"<i4" => Dtype::I32,
        b"<i2" => Dtype::I16,
        b"|i1" | b"<i1" => Dtype::I8,
        b"<u8" => Dtype::U64,
        b"<u4" => Dtype::U32,
        b"<u2" => Dtype::U16,
        b"|u1" | b"<u1" => Dtype::U8,
        b"|b1" | b"<b1" => Dtype::Bool,
        b"<c8" => Dtype::C64,
        b"<c16" => Dtype::C128,
        _ => return None,
    })
}

/// Looks at the head of each array of an `.npz`.
#[derive(Debug)]
pub(super) struct Npz {
    file_len: u64,
    locals: Locals,
    tensors: Vec<Tensor>,
    names_len: usize,
}

impl Npz {
    /// Of the members of a zip that is no PyTorch file.
    pub(super) fn new(mut members: Vec<Member>, file_len: u64) -> Self {
        members.retain(|member| member.name.ends_with(".npy"));
        Self { file_len, locals: Locals::new(members, PEEK_LEN, file_len), tensors: Vec::new(), names_len: 0 }
    }

    pub(super) fn start(&mut self) -> Step {
        match self.locals.next_fetch() {
            Some((offset, len)) => Step::Need { offset, len },
            None => {
                let tensors = std::mem::take(&mut self.tensors);
                Layout::settle(Format::Npz, tensors, self.file_len).map_or(Step::Plain, Step::Layout)
            }
        }
    }

    pub(super) fn step(&mut self, offset: u64, bytes: &[u8]) -> Step {
        let Self { locals, tensors, names_len, .. } = self;
        locals.take(offset, bytes, |member, start, head| {
            let name = member.name.strip_suffix(".npy").unwrap_or(&member.name);
            if let Some(tensor) = array(name, head, start)
                && tensor.end() <= start + member.len
                && tensors.len() < TENSORS
                && *names_len + name.len() <= NAMES_LEN
            {
                *names_len += name.len();
                tensors.push(tensor);
            }
        });
        self.start()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{layout_of, samples};
    use super::*;

    fn file(version: u8, header: &str, data_len: usize) -> Vec<u8> {
        let mut file = [MAGIC, &[version, 0]].concat();
        match version {
            1 => file.extend_from_slice(&(header.len() as u16).to_le_bytes()),
            _ => file.extend_from_slice(&(header.len() as u32).to_le_bytes()),
        }
        file.extend_from_slice(header.as_bytes());
        file.resize(file.len() + data_len, 1);
        file
    }

    #[test]
    fn an_array_is_found_in_every_version_and_spelling() {
        for (header, dtype, shape) in [
            ("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }   \n", Dtype::F32, vec![2, 3]),
            ("{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3), }\n", Dtype::F32, vec![3, 2]),
            ("{\"shape\":(3L,),\"descr\":\"<c8\",\"fortran_order\":False}", Dtype::C64, vec![3]),
            ("{'descr': '<i8', 'fortran_order': False, 'shape': (), }", Dtype::I64, vec![]),
            ("{'descr': '|b1', 'fortran_order': False, 'shape': (24,), }", Dtype::Bool, vec![24]),
        ] {
            for version in 1..=3 {
                let file = file(version, header, 24);
                let layout = layout_of(&file).expect(header);
                assert_eq!(layout.format, Format::Npy);
                assert_eq!((layout.tensors[0].dtype, &layout.tensors[0].shape), (dtype, &shape));
                assert_eq!(layout.tensors[0].offset, file.len() as u64 - 24);
            }
        }
    }

    #[test]
    fn what_is_no_plain_array_is_refused() {
        for header in [
            "",
            "{}",
            "{'descr': '>f4', 'fortran_order': False, 'shape': (2,)}",
            "{'descr': '|O', 'fortran_order': False, 'shape': (2,)}",
            "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (2,)} x",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (2 3)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (-2,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1)}",
            "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (200,)}",
            "{'descr': '<f4', 'fortran_order': False",
            "{'descr': '<f4",
        ] {
            assert_eq!(layout_of(&file(1, header, 24)), None, "{header}");
        }
        assert_eq!(layout_of(&file(4, "{'descr': '<f4', 'fortran_order': False, 'shape': (2,)}", 24)), None);
    }

    #[test]
    fn the_stored_arrays_of_an_npz_are_found() {
        let array = file(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (5,), }\n", 20);
        let mut zip = samples::Zip::default();
        zip.member("first.npy", &array);
        zip.compressed_member("second.npy", &array);
        zip.member("text.txt", b"hello");
        zip.aligned_member("third.npy", &array);
        let layout = layout_of(&zip.bytes(false)).expect("two arrays");
        assert_eq!(layout.format, Format::Npz);
        assert_eq!(layout.tensors.iter().map(|tensor| tensor.name.as_str()).collect::<Vec<_>>(), ["first", "third"]);
        assert!(layout.tensors.iter().all(|tensor| tensor.len == 20));
    }

    #[test]
    fn an_array_that_is_longer_than_its_member_is_dropped() {
        let array = file(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (6,), }\n", 20);
        let mut zip = samples::Zip::default();
        zip.member("long.npy", &array);
        zip.member("other.npy", &array);
        assert_eq!(layout_of(&zip.bytes(true)), None);
    }
}
