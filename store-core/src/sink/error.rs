//! What goes wrong beneath a target.

use std::io;
use std::path::PathBuf;

use super::path::TargetPath;
use crate::error::ErrorKind;

/// Why an entry could not be written. Nothing outside the target was touched.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// The target cannot be used.
    #[error("cannot restore into {path:?}")]
    Target {
        /// The target, as given.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A name that no folder can hold, or that leads elsewhere: the snapshot is hostile or damaged.
    #[error("an entry of {folder:?} has the name {name:?}, which no file can have; it was not restored")]
    Name {
        /// The folder it would be in.
        folder: PathBuf,
        /// The name.
        name: String,
    },
    /// A symbolic link, or something that is no folder, where a folder is needed.
    #[error("a folder on the way to {path:?} is a link or not a folder; remove it, or restore elsewhere")]
    NotAFolder {
        /// What was to be reached.
        path: PathBuf,
    },
    /// Something is there already, and may not be replaced.
    #[error("{path:?} exists already; allow overwriting, or restore elsewhere")]
    Exists {
        /// Where.
        path: PathBuf,
    },
    /// A folder with content is where something else must be, and may not be removed.
    #[error("{path:?} is a folder that is not empty; allow deleting, or restore elsewhere")]
    NotEmpty {
        /// Where.
        path: PathBuf,
    },
    /// A file system is mounted on what must be removed.
    #[error("{path:?} is a mount point and is not removed; unmount it first")]
    MountPoint {
        /// Where.
        path: PathBuf,
    },
    /// Something that has to stay would be removed.
    #[error("{path:?} is or holds the repository, its cache or a key in use, and is not removed; restore elsewhere")]
    Kept {
        /// Where.
        path: PathBuf,
    },
    /// Something would be made or changed in a folder where nothing may be.
    #[error("{path:?} is in the repository or its cache, where nothing is restored; restore elsewhere")]
    Closed {
        /// Where.
        path: PathBuf,
    },
    /// The folder takes two names for one, and what it has is listed by another one.
    #[error("the file system takes {path:?} for {}; move that away, or restore where both can be", other_name(.there))]
    OneName {
        /// What was to be there.
        path: PathBuf,
        /// What is there, if its name is the same but for upper and lower case.
        there: Option<PathBuf>,
    },
    /// What was written a moment ago is now another thing: somebody else works in the target.
    #[error("{path:?} was replaced while it was restored; let nothing else write to the target")]
    Replaced {
        /// Where.
        path: PathBuf,
    },
    /// The system refuses.
    #[error("cannot {action} {path:?}")]
    Io {
        /// What was attempted, as in "cannot … it".
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

fn other_name(there: &Option<PathBuf>) -> String {
    there.as_ref().map_or_else(|| "something there of another name".into(), |there| format!("{there:?}, which is there"))
}

impl SinkError {
    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Closed { .. } => ErrorKind::Refused,
            Self::Target { source, .. } | Self::Io { source, .. }
                if matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) =>
            {
                ErrorKind::NoSpace
            }
            _ => ErrorKind::Failed,
        }
    }

    pub(super) fn at(action: &'static str, path: &TargetPath, source: impl Into<io::Error>) -> Self {
        Self::Io { action, path: path.as_path().to_path_buf(), source: source.into() }
    }
}

/// Metadata, or an entry, that the system did not allow. Everything else of it was restored.
#[derive(Debug, thiserror::Error)]
#[error("{what} was not restored")]
pub struct Warning {
    /// Of what.
    pub path: PathBuf,
    /// What is missing, as in "… was not restored".
    pub what: String,
    /// Why.
    pub source: io::Error,
}

impl Warning {
    pub(super) fn new(path: &TargetPath, what: impl Into<String>, source: impl Into<io::Error>) -> Self {
        // The target itself has no name in it.
        let path = if path.is_root() { PathBuf::from(".") } else { path.as_path().to_path_buf() };
        Self { path, what: what.into(), source: source.into() }
    }
}
