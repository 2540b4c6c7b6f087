//! What several records have in common.

use std::collections::BTreeMap;

use bincode::de::Decoder;
use bincode::error::DecodeError;
use bincode::{Decode, Encode};

bincode::impl_borrow_decode!(Time);

/// Room for what later versions add, by name.
pub type Extra = BTreeMap<String, Vec<u8>>;

/// A moment, in a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode)]
pub struct Time {
    /// Whole seconds since 1970-01-01T00:00:00Z.
    pub seconds: i64,
    /// Nanoseconds within the second, below 1,000,000,000.
    pub nanos: u32,
}

impl<Context> Decode<Context> for Time {
    fn decode<D: Decoder<Context = Context>>(decoder: &mut D) -> Result<Self, DecodeError> {
        let (seconds, nanos) = (i64::decode(decoder)?, u32::decode(decoder)?);
        if nanos < 1_000_000_000 {
            Ok(Self { seconds, nanos })
        } else {
            Err(DecodeError::Other("a time has more nanoseconds than a second"))
        }
    }
}
