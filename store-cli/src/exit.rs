//! How the program ends: exit codes, and what an error says.

use std::error::Error;
use std::fmt;
use std::io;

use store_core::ops::{self, ErrorKind};

/// An end that is no error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// All was done.
    Done,
    /// All was done but for some sources, which could not be read.
    Partial,
    /// Damage was found.
    Damage,
    /// All was done but for some files, for a reason of this kind.
    Incomplete(ErrorKind),
}

impl Outcome {
    /// The exit code.
    pub(crate) fn code(self) -> u8 {
        match self {
            Outcome::Done => 0,
            Outcome::Incomplete(kind) => code(kind),
            Outcome::Partial => 3,
            Outcome::Damage => 15,
        }
    }
}

/// The exit code of a failure of this kind.
fn code(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::Usage => 2,
        ErrorKind::Unreadable => 3,
        ErrorKind::NoRepository => 10,
        ErrorKind::Busy => 11,
        ErrorKind::WrongKey => 12,
        ErrorKind::Refused => 13,
        ErrorKind::Damage => 15,
        ErrorKind::Unreachable => 16,
        ErrorKind::NoSpace => 17,
        ErrorKind::Interrupted => 130,
        ErrorKind::Failed => 1,
    }
}

/// What a verb gives.
pub(crate) type Result<T = Outcome, E = Failure> = std::result::Result<T, E>;

/// Why the program cannot go on: a sentence with its causes, and what to do next where that is known.
#[derive(Debug)]
pub(crate) struct Failure {
    kind: ErrorKind,
    message: String,
    hint: Option<String>,
    /// Whoever read standard output has gone.
    unread: bool,
    /// The push was done, and only its copy was not.
    pushed: bool,
}

/// The exit code of a push that was done, and whose copy in a second repository was not.
const NOT_COPIED: u8 = 18;

impl Failure {
    /// An error without a cause below it.
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: None, unread: false, pushed: false }
    }

    /// What was asked for makes no sense.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Usage, message)
    }

    /// An error with its causes.
    pub(crate) fn with(kind: ErrorKind, message: impl fmt::Display, cause: &dyn Error) -> Self {
        Self::new(kind, format!("{message}: {}", chain(cause)))
    }

    /// The same with what to do next.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// What kind it is.
    pub(crate) fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The same as a failure of another kind.
    pub(crate) fn of_kind(mut self, kind: ErrorKind) -> Self {
        self.kind = kind;
        self
    }

    /// The same where the push itself is done, and whatever fails is its copy.
    pub(crate) fn after_push(self, message: impl fmt::Display) -> Self {
        Self { message: format!("{message}: {}", self.message), pushed: true, unread: false, ..self }
    }

    /// Whether whoever read standard output has gone, as `head` does: no failure of a verb that only shows something.
    pub(crate) fn is_unread_output(&self) -> bool {
        self.unread
    }

    /// The exit code.
    pub(crate) fn code(&self) -> u8 {
        if self.pushed { NOT_COPIED } else { code(self.kind) }
    }

    /// What to do next, where that is known.
    pub(crate) fn next_step(&self) -> Option<&str> {
        if self.hint.is_some() {
            return self.hint.as_deref();
        }
        match self.kind {
            ErrorKind::NoRepository => Some("make one with `snap init`, or name another with -r or SNAP_REPOSITORY"),
            ErrorKind::WrongKey => Some("name the right one with -p, SNAP_PASSWORD_FILE, SNAP_PASSWORD or --key-file"),
            ErrorKind::Unreachable => Some("see whether the store can be reached, and run the command again: what was written is taken up"),
            // Not where the message has a next step of its own: of a note or a record of a snapshot a check says no more.
            ErrorKind::Damage if !["`snap ", "from a copy"].iter().any(|step| self.message.contains(step)) => {
                Some("`snap check --read-data` says which files of which snapshots are hit")
            }
            _ => None,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<ops::Error> for Failure {
    fn from(error: ops::Error) -> Self {
        Self::new(error.kind(), chain(&error))
    }
}

/// What came of printing, for a verb whose work and whose outcome are the same whether anybody reads of it or not. A verb that only shows
/// something ends instead when nobody looks any more.
pub(crate) fn read_or_not(printed: Result<()>) -> Result<()> {
    match printed {
        Err(failure) if failure.is_unread_output() => Ok(()),
        printed => printed,
    }
}

/// For what fails to be written to standard output.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        let unread = error.kind() == io::ErrorKind::BrokenPipe;
        let kind = if error.kind() == io::ErrorKind::StorageFull { ErrorKind::NoSpace } else { ErrorKind::Failed };
        Self { unread, ..Self::with(kind, "standard output cannot be written", &error) }
    }
}

/// An error and its causes on one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        // A transparent wrapper says the same as what it wraps.
        if !text.ends_with(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text.replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_code() {
        let codes = [
            (ErrorKind::Failed, 1),
            (ErrorKind::Usage, 2),
            (ErrorKind::Unreadable, 3),
            (ErrorKind::NoRepository, 10),
            (ErrorKind::Busy, 11),
            (ErrorKind::WrongKey, 12),
            (ErrorKind::Refused, 13),
            (ErrorKind::Damage, 15),
            (ErrorKind::Unreachable, 16),
            (ErrorKind::NoSpace, 17),
            (ErrorKind::Interrupted, 130),
        ];
        for (kind, code) in codes {
            assert_eq!(Failure::new(kind, "x").code(), code);
            assert_eq!(Failure::new(kind, "x").after_push("y").code(), 18);
        }
        assert_eq!([Outcome::Done, Outcome::Partial, Outcome::Damage].map(Outcome::code), [0, 3, 15]);
    }

    #[test]
    fn damage_leads_to_a_check_unless_it_says_what_to_do() {
        let next = |message: &str| Failure::new(ErrorKind::Damage, message).next_step().is_some();
        assert!(next("blob 3 of packs/00/00ff does not open"));
        assert!(!next("notes/00ff is damaged: put it back from a copy of the repository, or give it up with `snap repair notes`"));
        assert!(!next("an index segment cannot be read, so nothing may be deleted: `snap repair index --execute` makes it anew"));
    }

    #[test]
    fn causes_stand_on_one_line() {
        let low = io::Error::other("the disk\nis on fire");
        let error = ops::Error::with(ErrorKind::Failed, "pack 00ff cannot be written", low);
        assert_eq!(Failure::from(error).to_string(), "pack 00ff cannot be written: the disk is on fire");
    }

    #[test]
    fn a_reader_that_went_is_no_failure() {
        assert!(Failure::from(io::Error::from(io::ErrorKind::BrokenPipe)).is_unread_output());
        assert!(!Failure::from(io::Error::other("x")).is_unread_output());
        assert!(read_or_not(Err(io::Error::from(io::ErrorKind::BrokenPipe).into())).is_ok());
        assert!(read_or_not(Err(io::Error::other("x").into())).is_err());
    }
}
