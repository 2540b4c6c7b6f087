//! Why a blob, a chunk or a node cannot be read, and what kind of failure that is.

use crate::backend::{BackendError, ObjectPath};
use crate::blob::DecodeError;
use crate::error::{Error, ErrorKind, chain};
use crate::format::envelope::ObjectError;
use crate::index::{BlobPlace, IndexError};

/// A blob, chunk or node that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Nothing says where it is.
    #[error("{0} is in no pack that is known: `snap repair index` looks through the packs")]
    Unknown(String),
    /// The pack cannot be read.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// The bytes do not open.
    #[error("{object}, {len} bytes from {offset}")]
    Object {
        /// Which pack.
        object: String,
        /// Where in it.
        offset: u64,
        /// How much of it.
        len: u64,
        /// Why.
        source: ObjectError,
    },
    /// The bytes open and do not decode.
    #[error("{object}, {len} bytes from {offset}")]
    Decode {
        /// Which pack.
        object: String,
        /// Where in it.
        offset: u64,
        /// How much of it.
        len: u64,
        /// Why.
        source: DecodeError,
    },
    /// The decoded bytes are not those that were asked for.
    #[error("{object} holds other bytes where {id} should be")]
    Content {
        /// Which pack.
        object: String,
        /// Which chunk or node.
        id: String,
    },
    /// The index cannot say.
    #[error("{why}")]
    Index {
        /// What it says.
        why: String,
        /// Whether for lack of room, or because somebody else uses it.
        kind: ErrorKind,
    },
}

impl ReadError {
    /// Whether bytes were there, and not those that should be.
    pub(crate) fn is_content(&self) -> bool {
        matches!(self, Self::Object { .. } | Self::Decode { .. } | Self::Content { .. })
    }

    /// Whether a pack is not there, or nobody says any more where something is.
    pub(crate) fn is_gone(&self) -> bool {
        match self {
            Self::Backend(error) => error.is_not_found(),
            Self::Unknown(_) => true,
            _ => false,
        }
    }

    /// Whether bytes of this blob, or of its pack's header, were there, and not those that should be; not of a blob that it is coded against.
    pub(crate) fn is_of(&self, place: &BlobPlace) -> bool {
        let (Self::Object { object, offset, .. } | Self::Decode { object, offset, .. }) = self else { return false };
        [0, place.offset].contains(offset) && *object == ObjectPath::Pack(place.pack).to_string()
    }

    /// The index failed. That it is damaged is no damage of the repository: it is built anew.
    pub(crate) fn index(error: &Error) -> Self {
        let kind = if error.kind() == ErrorKind::Damage { ErrorKind::Failed } else { error.kind() };
        Self::Index { why: chain(error), kind }
    }

    pub(crate) fn kind(&self) -> ErrorKind {
        match self {
            Self::Backend(error) if error.is_unreachable() => ErrorKind::Unreachable,
            Self::Backend(error) if !error.is_not_found() && error.source.kind() != std::io::ErrorKind::UnexpectedEof => ErrorKind::Failed,
            Self::Index { kind, .. } => *kind,
            _ => ErrorKind::Damage,
        }
    }
}

impl From<IndexError> for ReadError {
    fn from(error: IndexError) -> Self {
        Self::index(&error.into())
    }
}

impl From<ReadError> for Error {
    fn from(error: ReadError) -> Self {
        match error {
            // It is a local folder, and the repository has nothing to do with it.
            ReadError::Index { why, kind } => Self::new(kind, why),
            error => Self::with(error.kind(), "cannot read from the repository", error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_cache_is_not_said_to_be_the_repository() {
        let error: Error = ReadError::from(IndexError::Io("write to /c: No space left on device".into())).into();
        assert_eq!(error.kind(), ErrorKind::NoSpace);
        let text = chain(&error);
        assert!(text.contains("--cache-dir") && text.contains("No space left on device") && !text.contains("the repository"), "{text}");
        let damaged: Error = ReadError::from(IndexError::Corrupt("x".into())).into();
        assert_eq!(damaged.kind(), ErrorKind::Failed);
    }
}
