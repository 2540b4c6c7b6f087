//! What a decoder says of bytes that it refuses.

/// Coded bytes that cannot be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The bytes end before the values do.
    #[error("coded bytes end too early")]
    Truncated,
    /// Bytes follow the last value.
    #[error("bytes follow the coded values")]
    Trailing,
    /// The base is not as long as the plain bytes.
    #[error("the base is not as long as what it is the base of")]
    BaseLength,
    /// A field has a value that no encoder writes.
    #[error("coded bytes are malformed: {0}")]
    Malformed(&'static str),
    /// This program does not know the codec.
    #[error("codec {0} is unknown to this version of snap: use a newer one")]
    Unknown(u8),
}

impl From<crate::base::wire::WireError> for CodecError {
    fn from(error: crate::base::wire::WireError) -> Self {
        match error {
            crate::base::wire::WireError::Truncated => Self::Truncated,
            crate::base::wire::WireError::Trailing(_) => Self::Trailing,
            _ => Self::Malformed("a number"),
        }
    }
}
