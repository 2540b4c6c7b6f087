//! L5: operations, one verb a file: `fn verb(&Repo, Options, &dyn Monitor) -> Result<Report, Error>`.

pub mod check;
pub mod init;
pub mod key;
pub mod list;
pub mod ls;
pub mod push;
pub mod repair;
pub mod restore;

pub use crate::error::{Error, ErrorKind};
