//! L5: operations, one verb a file: `fn verb(&Repo, Options, &dyn Monitor) -> Result<Report, Error>`.

pub use crate::error::{Error, ErrorKind};
