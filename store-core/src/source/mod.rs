//! L4: what a push reads: files and folders, standard input, commands.
//!
//! [`Selection`] says what to read and [`Excludes`] what of it to leave out; [`Walk`] visits it in an order that depends on names
//! alone; [`OpenFile`] reads a file's bytes and notices when they change; [`Command`] and [`CommandOutput`] read what a program writes.
//!
//! Nothing here writes, except that reading may set access times of files that belong to somebody else. What cannot be read is a
//! value among the others ([`Event::Problem`]), and the walk goes on.

mod command;
mod error;
mod exclude;
mod expand;
mod file;
mod gitignore;
mod holes;
mod selection;
mod stat;
mod wait;
mod walk;

pub use command::{Command, CommandError, CommandOutput};
pub use error::SourceError;
pub use exclude::{Case, ExcludeBuilder, ExcludeError, Excludes};
pub use expand::expand;
pub use file::OpenFile;
pub use selection::{Selection, SelectionError, parse_list};
pub use stat::What;
pub use wait::until_readable;
pub use walk::{Event, Found, Walk};
