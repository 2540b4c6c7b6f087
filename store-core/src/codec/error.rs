//! What a decoder says of bytes that it refuses.

/// Coded bytes that no encoder makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The bytes end too early or go on too long.
    #[error("coded bytes have the wrong length")]
    Length,
    /// The bytes make no sense to their codec.
    #[error("coded bytes are malformed: {0}")]
    Malformed(&'static str),
    /// This program does not know the codec.
    #[error("codec {0} is unknown to this version of snap: use a newer one")]
    Unknown(u8),
    /// A base is missing or has another length than the coding needs.
    #[error("the base does not fit the coded bytes")]
    Base,
}
