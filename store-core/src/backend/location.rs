//! Turns a location into a backend: the one place that knows which drivers there are.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::{Backend, LocalBackend};
use crate::error::{Error, ErrorKind};

/// How a driver that goes over a network may do so.
#[derive(Debug, Clone, Copy)]
pub struct Transport {
    /// Bytes that go out in a second, at the most.
    pub upload: Option<u64>,
    /// Bytes that come in in a second, at the most.
    pub download: Option<u64>,
    /// How long a request without bytes may take; one with bytes may take half as much again for each MiB.
    pub patience: Duration,
    /// How long what failed for the time being is tried again.
    pub retry_for: Duration,
    /// Whether the user wants to stop: requests under way then have little time left.
    pub interrupted: fn() -> bool,
    /// Told, once, that a store does not answer and is asked again.
    pub waiting: fn(&str),
}

impl Default for Transport {
    fn default() -> Self {
        Self {
            upload: None,
            download: None,
            patience: Duration::from_secs(60),
            retry_for: Duration::from_secs(180),
            interrupted: || false,
            waiting: |_| {},
        }
    }
}

/// Where a repository is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// In a folder.
    Folder(PathBuf),
    /// In a bucket.
    #[cfg(feature = "object")]
    Bucket(super::Place),
}

impl Location {
    /// Reads a location: a path, or what has a scheme.
    ///
    /// # Errors
    /// Of kind [`ErrorKind::Usage`] when no driver knows the scheme.
    pub fn parse(text: &str) -> Result<Self, Error> {
        if !text.contains("://") {
            return Ok(Self::Folder(PathBuf::from(text)));
        }
        #[cfg(feature = "object")]
        return text.parse().map(Self::Bucket);
        #[cfg(not(feature = "object"))]
        Err(Error::new(ErrorKind::Usage, format!("'{text}' is no folder, and this program was built without object storage")))
    }

    /// The repository there. Whether there is one is not looked at.
    ///
    /// # Errors
    /// When a bucket cannot be reached with what the environment says.
    pub fn open(&self, transport: &Transport) -> Result<Arc<dyn Backend>, Error> {
        #[cfg(not(feature = "object"))]
        let _ = transport;
        match self {
            Self::Folder(root) => Ok(Arc::new(LocalBackend::at(root))),
            #[cfg(feature = "object")]
            Self::Bucket(place) => Ok(Arc::new(super::ObjectBackend::at(place.clone(), transport, &super::Variables::of_this_process())?)),
        }
    }

    /// A place for a new repository: an empty folder, which is made if need be, or an empty prefix of a bucket.
    ///
    /// # Errors
    /// Of kind [`ErrorKind::Refused`] when something is there.
    pub fn create(&self, transport: &Transport) -> Result<Arc<dyn Backend>, Error> {
        #[cfg(not(feature = "object"))]
        let _ = transport;
        match self {
            Self::Folder(root) => match LocalBackend::create_at(root) {
                Ok(backend) => Ok(Arc::new(backend)),
                Err(error) if error.source.kind() == io::ErrorKind::AlreadyExists => {
                    let (is_one, root) = (root.join(super::ObjectPath::Config.to_string()).exists(), root.display());
                    let message = if is_one {
                        format!("there is a repository at {root} already: use it, or choose another folder for a new one")
                    } else {
                        format!("{root} is not empty: choose an empty or a new folder for the repository")
                    };
                    Err(Error::new(ErrorKind::Refused, message))
                }
                Err(error) => Err(error.into()),
            },
            #[cfg(feature = "object")]
            Self::Bucket(place) => {
                Ok(Arc::new(super::ObjectBackend::create_at(place.clone(), transport, &super::Variables::of_this_process())?))
            }
        }
    }
}
