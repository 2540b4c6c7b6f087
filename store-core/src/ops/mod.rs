//! L5: operations, one verb a file: `fn verb(&Repo, Options, &dyn Monitor) -> Result<Report, Error>`.

pub mod bench;
pub mod check;
pub mod copy;
pub mod diff;
pub mod dump;
pub mod forget;
pub mod init;
pub mod key;
pub mod list;
pub mod ls;
pub mod probe;
pub mod prune;
pub mod push;
pub mod repair;
pub mod restore;
pub mod stats;
pub mod tag;

pub use crate::error::{Error, ErrorKind};
