//! Bytes ↔ values. Two forms, both described in `spec/FORMAT.md`, section 2: *records*, which are bincode 2 with fixed-width
//! little-endian integers and one canonical form, and hand-read *fields* of fixed layout, read through [`Reader`].
//!
//! Nothing here allocates by a length that the bytes merely claim.

use bincode::{Decode, Encode, config};

/// Bytes that are not what they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The bytes end before the value does.
    #[error("ends too early")]
    Truncated,
    /// Bytes follow the value.
    #[error("{0} bytes follow the end")]
    Trailing(usize),
    /// The value is not encoded in its one canonical form.
    #[error("not in canonical form")]
    NotCanonical,
    /// A length or count is beyond its limit.
    #[error("{what} is {value}, the limit is {limit}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// What the bytes say.
        value: u64,
        /// What is allowed.
        limit: u64,
    },
    /// A value that has no meaning in its place.
    #[error("{0}")]
    Invalid(&'static str),
}

/// Longest record that [`decode`] takes: what it allocates is bounded by this.
const RECORD_LIMIT: usize = super::limits::RECORD_LEN;

fn record_config() -> config::Configuration<config::LittleEndian, config::Fixint, config::Limit<RECORD_LIMIT>> {
    config::standard().with_little_endian().with_fixed_int_encoding().with_limit::<RECORD_LIMIT>()
}

/// Encodes a record in its canonical form.
///
/// # Panics
/// Only if a value cannot be written at all, which no record type of this crate can bring about.
pub fn encode<T: Encode>(value: &T) -> Vec<u8> {
    bincode::encode_to_vec(value, config::standard().with_little_endian().with_fixed_int_encoding()).expect("records are plain data")
}

/// Decodes a record: within the limit, to the last byte, and only from its canonical form.
///
/// No record holds a list of zero-sized elements: the limit does not bound the time that such a list takes.
pub fn decode<T: Decode<()> + Encode>(bytes: &[u8]) -> Result<T, WireError> {
    if bytes.len() > RECORD_LIMIT {
        return Err(WireError::TooLarge { what: "a record's length", value: bytes.len() as u64, limit: RECORD_LIMIT as u64 });
    }
    let (value, used) = bincode::decode_from_slice::<T, _>(bytes, record_config()).map_err(|error| match error {
        bincode::error::DecodeError::UnexpectedEnd { .. } => WireError::Truncated,
        bincode::error::DecodeError::Other(why) => WireError::Invalid(why),
        _ => WireError::Invalid("not a record of the expected type"),
    })?;
    if used != bytes.len() {
        return Err(WireError::Trailing(bytes.len() - used));
    }
    if encode(&value) != bytes {
        return Err(WireError::NotCanonical);
    }
    Ok(value)
}

/// Reads fields of fixed layout from untrusted bytes.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads from the start of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// Bytes not read yet.
    pub fn remaining(&self) -> usize {
        self.bytes.len()
    }

    /// The next `len` bytes.
    pub fn bytes(&mut self, len: usize) -> Result<&'a [u8], WireError> {
        let (head, tail) = self.bytes.split_at_checked(len).ok_or(WireError::Truncated)?;
        self.bytes = tail;
        Ok(head)
    }

    /// The next `N` bytes, as an array.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        Ok(self.bytes(N)?.try_into().expect("as many as asked for"))
    }

    /// One byte.
    pub fn u8(&mut self) -> Result<u8, WireError> {
        Ok(self.array::<1>()?[0])
    }

    /// A little-endian `u16`.
    pub fn u16(&mut self) -> Result<u16, WireError> {
        self.array().map(u16::from_le_bytes)
    }

    /// A little-endian `u32`.
    pub fn u32(&mut self) -> Result<u32, WireError> {
        self.array().map(u32::from_le_bytes)
    }

    /// A little-endian `u64`.
    pub fn u64(&mut self) -> Result<u64, WireError> {
        self.array().map(u64::from_le_bytes)
    }

    /// A little-endian `i64`.
    pub fn i64(&mut self) -> Result<i64, WireError> {
        self.array().map(i64::from_le_bytes)
    }

    /// An unsigned LEB128 number in its shortest form.
    pub fn varint(&mut self) -> Result<u64, WireError> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            if shift == 63 && byte > 1 {
                return Err(WireError::Invalid("a number is beyond 64 bits"));
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return if byte == 0 && shift > 0 { Err(WireError::NotCanonical) } else { Ok(value) };
            }
        }
        Err(WireError::Invalid("a number is beyond 64 bits"))
    }

    /// A [`varint`](Self::varint) that is at most `limit`; `what` names it in the error.
    pub fn count(&mut self, what: &'static str, limit: usize) -> Result<usize, WireError> {
        let value = self.varint()?;
        if value > limit as u64 {
            return Err(WireError::TooLarge { what, value, limit: limit as u64 });
        }
        Ok(value as usize)
    }

    /// A byte string behind its length, at most `limit` long.
    pub fn string(&mut self, what: &'static str, limit: usize) -> Result<&'a [u8], WireError> {
        let len = self.count(what, limit)?;
        self.bytes(len)
    }

    /// Refuses bytes behind the value.
    pub fn finish(self) -> Result<(), WireError> {
        if self.bytes.is_empty() { Ok(()) } else { Err(WireError::Trailing(self.bytes.len())) }
    }
}

/// Appends an unsigned LEB128 number in its shortest form.
pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a byte string behind its length.
pub fn put_string(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_varint_survives(value: u64) {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, value);
            let mut reader = Reader::new(&bytes);
            prop_assert_eq!(reader.varint(), Ok(value));
            prop_assert!(reader.finish().is_ok());
        }

        #[test]
        fn any_bytes_are_a_varint_in_one_form_only(bytes in proptest::collection::vec(any::<u8>(), 0..12)) {
            let mut reader = Reader::new(&bytes);
            if let Ok(value) = reader.varint() {
                let mut again = Vec::new();
                put_varint(&mut again, value);
                prop_assert_eq!(&again[..], &bytes[..bytes.len() - reader.remaining()]);
            }
        }
    }

    #[test]
    fn a_record_with_bytes_behind_it_is_refused() {
        let mut bytes = encode(&(7u32, String::from("seven")));
        assert_eq!(decode::<(u32, String)>(&bytes), Ok((7, String::from("seven"))));
        bytes.push(0);
        assert_eq!(decode::<(u32, String)>(&bytes), Err(WireError::Trailing(1)));
    }

    #[test]
    fn a_claimed_length_allocates_nothing() {
        let bytes = u64::MAX.to_le_bytes();
        assert!(decode::<Vec<u64>>(&bytes).is_err());
    }

    #[test]
    fn a_map_out_of_order_is_refused() {
        let pairs: Vec<(u8, u8)> = vec![(2, 0), (1, 0)];
        assert_eq!(decode::<std::collections::BTreeMap<u8, u8>>(&encode(&pairs)), Err(WireError::NotCanonical));
    }
}
