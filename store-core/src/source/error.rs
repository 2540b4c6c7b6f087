//! What goes wrong with one entry while a tree is read.

use std::io;
use std::path::{Path, PathBuf};

/// What went wrong with one entry. The walk goes on after each of them.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The folder listed it, and it is gone.
    #[error("{path:?} vanished while its folder was read")]
    Vanished {
        /// What vanished.
        path: PathBuf,
    },
    /// A pattern of a list matches nothing.
    #[error("no file matches {path:?}")]
    NoMatch {
        /// The pattern.
        path: PathBuf,
    },
    /// Another entry has taken its place.
    #[error("{path:?} was replaced while it was read; push again when nothing changes it")]
    Replaced {
        /// What was replaced.
        path: PathBuf,
    },
    /// The system refuses.
    #[error("cannot {action} {path:?}")]
    Unreadable {
        /// What was attempted, as in "cannot … it".
        action: &'static str,
        /// What it was attempted with.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A name, a link or attributes are longer than a snapshot can hold.
    #[error("{path:?}: {what} than a snapshot can hold")]
    TooLarge {
        /// What is too large, as in "… than a snapshot can hold".
        what: &'static str,
        /// Whose.
        path: PathBuf,
    },
    /// A pattern in an ignore file that cannot be understood. The other patterns hold.
    #[error("{path:?}, line {line}: {reason}")]
    IgnoreFile {
        /// The ignore file.
        path: PathBuf,
        /// The line, counted from 1; 0 stands for the file as a whole.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
}

impl SourceError {
    /// What the error is about.
    pub fn path(&self) -> &Path {
        match self {
            Self::Vanished { path }
            | Self::NoMatch { path }
            | Self::Replaced { path }
            | Self::Unreadable { path, .. }
            | Self::TooLarge { path, .. }
            | Self::IgnoreFile { path, .. } => path,
        }
    }

    /// An error of the system, where "not there" means that it vanished.
    pub(super) fn at(action: &'static str, path: &Path, source: impl Into<io::Error>) -> Self {
        let (source, path) = (source.into(), path.to_path_buf());
        if source.kind() == io::ErrorKind::NotFound { Self::Vanished { path } } else { Self::Unreadable { action, path, source } }
    }
}
