//! The one error of operations: a coarse kind for programs, a sentence for people, the causes below it.

use std::fmt;

/// What kind of failure it is; decides the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// What was asked for makes no sense or does not exist.
    Usage,
    /// There is no repository there.
    NoRepository,
    /// Somebody else is at it.
    Busy,
    /// No key slot opens with this password or key.
    WrongKey,
    /// A safety rule forbids it.
    Refused,
    /// Bytes of the repository are damaged or missing.
    Damage,
    /// The backend cannot be reached; a retry makes sense.
    Unreachable,
    /// No space is left, or a quota is used up.
    NoSpace,
    /// Nothing of the source could be read.
    Unreadable,
    /// The user stopped it.
    Interrupted,
    /// Anything else.
    Failed,
}

/// Why an operation failed. Its text says what happened, to which object, and what to do next.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error without a cause below it.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// An error with its cause. The message does not repeat the cause.
    pub fn with(kind: ErrorKind, message: impl Into<String>, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self { kind, message: message.into(), source: Some(source.into()) }
    }

    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Whether something was not there that a listing had shown.
    pub(crate) fn is_not_found(&self) -> bool {
        let cause = self.source.as_deref().and_then(|source| source.downcast_ref::<std::io::Error>());
        cause.is_some_and(|cause| cause.kind() == std::io::ErrorKind::NotFound)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

impl From<crate::condition::ConditionError> for Error {
    fn from(error: crate::condition::ConditionError) -> Self {
        Self::new(ErrorKind::Usage, error.to_string())
    }
}

impl From<crate::retention::PolicyError> for Error {
    fn from(error: crate::retention::PolicyError) -> Self {
        Self::new(ErrorKind::Usage, error.to_string())
    }
}

/// An error with all its causes, in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}
