//! safetensors: `u64` length, a JSON object, the tensors' bytes.
//!
//! The format has no magic. A file is taken for one if its first 8 bytes are a length within [`HEADER_LEN`] and within the file, the
//! next byte is `{`, and the header is JSON whose values are tensors. The JSON is read entry by entry and never held as a tree.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::detect::Step;
use super::{DIMS, Dtype, Format, HEADER_LEN, Layout, NAMES_LEN, TENSORS, Tensor};

/// Bytes before the header: its length.
const LENGTH_LEN: u64 = 8;

/// Waits for the header.
#[derive(Debug)]
pub(super) struct Safetensors {
    header_len: usize,
    file_len: u64,
}

impl Safetensors {
    /// `None` if the file cannot be one.
    pub(super) fn new(prefix: &[u8], file_len: u64) -> Option<Self> {
        let header_len = u64::from_le_bytes(*prefix.first_chunk()?);
        let fits = header_len <= HEADER_LEN as u64 && LENGTH_LEN + header_len < file_len;
        (fits && prefix.get(8) == Some(&b'{')).then_some(Self { header_len: header_len as usize, file_len })
    }

    pub(super) fn start(&self) -> Step {
        Step::Need { offset: LENGTH_LEN, len: self.header_len }
    }

    /// Takes the header.
    pub(super) fn step(&self, header: &[u8]) -> Step {
        let Ok(Header(mut tensors)) = serde_json::from_slice(header) else { return Step::Plain };
        let data = LENGTH_LEN + self.header_len as u64;
        tensors.retain_mut(|tensor| {
            let offset = tensor.offset.checked_add(data);
            tensor.offset = offset.unwrap_or(0);
            offset.is_some()
        });
        Layout::settle(Format::Safetensors, tensors, self.file_len).map_or(Step::Plain, Step::Layout)
    }
}

/// The tensors, their offsets still counted from the end of the header.
struct Header(Vec<Tensor>);

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(HeaderVisitor)
    }
}

struct HeaderVisitor;

impl<'de> Visitor<'de> for HeaderVisitor {
    type Value = Header;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an object of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
        let mut tensors = Vec::new();
        let mut names_len = 0;
        while let Some(Text(name)) = map.next_key::<Text<'de>>()? {
            if name == "__metadata__" {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let entry: Entry<'de> = map.next_value()?;
            names_len += name.len();
            if tensors.len() == TENSORS || names_len > NAMES_LEN {
                return Err(A::Error::custom("too many tensors"));
            }
            let [begin, end] = entry.data_offsets;
            if let (Some(dtype), Some(shape), Some(len)) = (dtype_of(&entry.dtype.0), entry.shape.0, end.checked_sub(begin)) {
                tensors.push(Tensor { name: name.into_owned(), dtype, shape, offset: begin, len });
            }
        }
        Ok(Header(tensors))
    }
}

#[derive(serde::Deserialize)]
struct Entry<'a> {
    #[serde(borrow)]
    dtype: Text<'a>,
    shape: Shape,
    data_offsets: [u64; 2],
}

/// A string, borrowed from the header unless it has escapes.
struct Text<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;

        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a string")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }

        deserializer.deserialize_str(TextVisitor)
    }
}

/// A shape, or nothing if it has too many dimensions, however many the header lists.
struct Shape(Option<Vec<u64>>);

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ShapeVisitor;

        impl<'de> Visitor<'de> for ShapeVisitor {
            type Value = Shape;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a list of dimensions")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Shape, A::Error> {
                let mut dims = [0; DIMS];
                let mut count = 0;
                while let Some(dim) = seq.next_element()? {
                    if let Some(place) = dims.get_mut(count) {
                        *place = dim;
                    }
                    count += 1;
                }
                Ok(Shape(dims.get(..count).map(<[u64]>::to_vec)))
            }
        }

        deserializer.deserialize_seq(ShapeVisitor)
    }
}

fn dtype_of(name: &str) -> Option<Dtype> {
    Some(match name {
        "F64" => Dtype::F64,
        "F32" => Dtype::F32,
        "F16" => Dtype::F16,
        "BF16" => Dtype::BF16,
        "F8_E4M3" => Dtype::F8E4M3,
        "F8_E5M2" => Dtype::F8E5M2,
        "F8_E4M3FNUZ" => Dtype::F8E4M3Fnuz,
        "F8_E5M2FNUZ" => Dtype::F8E5M2Fnuz,
        "F8_E8M0" => Dtype::F8E8M0,
        "F6_E2M3" => Dtype::F6E2M3,
        "F6_E3M2" => Dtype::F6E3M2,
        "F4" => Dtype::F4,
        "I64" => Dtype::I64,
        "I32" => Dtype::I32,
        "I16" => Dtype::I16,
        "I8" => Dtype::I8,
        "U64" => Dtype::U64,
        "U32" => Dtype::U32,
        "U16" => Dtype::U16,
        "U8" => Dtype::U8,
        "BOOL" => Dtype::Bool,
        "C64" => Dtype::C64,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::{layout_of, samples};
    use super::*;

    fn raw(header: &str, data_len: usize) -> Vec<u8> {
        let mut file = (header.len() as u64).to_le_bytes().to_vec();
        file.extend_from_slice(header.as_bytes());
        file.resize(file.len() + data_len, 7);
        file
    }

    #[test]
    fn tensors_are_found_with_metadata_and_padding_about() {
        let header = r#"{"__metadata__":{"format":"pt"},"b":{"dtype":"BF16","shape":[2,3],"data_offsets":[4,16]},"a":{"shape":[],"data_offsets":[0,4],"dtype":"F32"}}   "#;
        let layout = layout_of(&raw(header, 16)).expect("two tensors");
        let base = 8 + header.len() as u64;
        let scalar = Tensor { name: "a".into(), dtype: Dtype::F32, shape: vec![], offset: base, len: 4 };
        let matrix = Tensor { name: "b".into(), dtype: Dtype::BF16, shape: vec![2, 3], offset: base + 4, len: 12 };
        assert_eq!(layout, Layout { format: Format::Safetensors, tensors: vec![scalar, matrix] });
    }

    #[test]
    fn a_tensor_that_is_odd_is_dropped_alone() {
        let good = r#""good":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}"#;
        for odd in [
            r#"{"dtype":"Q9","shape":[4],"data_offsets":[4,8]}"#,
            r#"{"dtype":"U8","shape":[5],"data_offsets":[4,8]}"#,
            r#"{"dtype":"U8","shape":[4],"data_offsets":[8,4]}"#,
            r#"{"dtype":"U8","shape":[0],"data_offsets":[4,4]}"#,
            r#"{"dtype":"U8","shape":[4],"data_offsets":[6,10]}"#,
            r#"{"dtype":"U8","shape":[4],"data_offsets":[18446744073709551611,18446744073709551615]}"#,
            r#"{"dtype":"U8","shape":[4,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1],"data_offsets":[4,8]}"#,
            r#"{"dtype":"U8","shape":[4294967296,4294967296,4294967296],"data_offsets":[4,8]}"#,
        ] {
            let layout = layout_of(&raw(&format!("{{\"odd\":{odd},{good}}}"), 8)).expect("the good one");
            assert_eq!(layout.tensors.len(), 1, "{odd}");
            assert_eq!(layout.tensors[0].name, "good");
        }
    }

    #[test]
    fn a_header_that_is_odd_makes_the_file_plain() {
        for header in ["{}", "{", "{\"a\":1}", r#"{"a":{"dtype":"U8","shape":[1.5],"data_offsets":[0,4]}}"#, r#"{"a":{}}"#, "{} x"] {
            assert_eq!(layout_of(&raw(header, 8)), None, "{header}");
        }
    }

    #[test]
    fn a_length_beyond_the_limit_or_the_file_is_refused() {
        let file = samples::safetensors(&[("w", "F32", &[2], 8)]);
        for len in [0, 1 << 20, HEADER_LEN as u64 + 1, u64::MAX] {
            let mut lying = file.clone();
            lying[..8].copy_from_slice(&len.to_le_bytes());
            assert_eq!(layout_of(&lying), None, "{len}");
        }
    }

    #[test]
    fn a_name_with_escapes_is_read() {
        let layout = layout_of(&raw(r#"{"a\n\u00e9":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}"#, 4)).expect("one tensor");
        assert_eq!(layout.tensors[0].name, "a\né");
    }
}
