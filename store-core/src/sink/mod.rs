//! L4: what a restore writes, beneath one folder and never outside it.
//!
//! A [`Target`] is that folder. Every path below it is a [`TargetPath`], whose names were checked one by one; every operation starts
//! from an opened folder and follows no symbolic link, whoever planted it and whenever. What stands in the way of an entry is replaced
//! only as far as [`Existing`] allows, and a file that has other names is never written to: its names may be outside.
//!
//! A folder that takes two names for one holds one of the two: [`SinkError::OneName`] is said of the other.
//!
//! What a [`Keep`] names is never removed, nor a folder that holds it: that is decided before anything of such a folder is.
//!
//! Metadata come last, since they may forbid writing: [`TargetFile::set_metadata`] when a file's bytes are there,
//! [`Target::finish_directories`] when all entries are. What the system refuses of them is a [`Warning`], not an error.
//!
//! All operations take `&self`, and any number of threads may work in one target and in one file.

mod beneath;
mod error;
mod file;
mod folded;
mod keep;
mod look;
mod metadata;
mod path;
mod place;
mod remove;

pub use beneath::Target;
pub use error::{SinkError, Warning};
pub use file::TargetFile;
pub use keep::{Keep, Kept};
pub use look::{Form, Standing};
pub use path::TargetPath;
pub use place::{Existing, Listed};

#[cfg(test)]
mod tests;
