//! What the user sees: results on standard output, progress and warnings on standard error, for people or, with `--json`, for programs.

pub(crate) mod human;
pub(crate) mod json;
pub(crate) mod measured;
pub(crate) mod progress;
pub(crate) mod table;

use std::io::{self, BufWriter, IsTerminal, StdoutLock, Write};
use std::sync::OnceLock;

use clap::builder::styling::{AnsiColor, Style};
use store_core::backend::RequestCount;
use store_core::monitor::{Decision, Notice, Warning};

use crate::args::Global;
use crate::exit::{Failure, Result};
use json::Message;

const BAD: Style = AnsiColor::Red.on_default().bold();
const ODD: Style = AnsiColor::Yellow.on_default().bold();

/// How to speak to the user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ui {
    /// For programs.
    pub(crate) json: bool,
    /// The result alone.
    pub(crate) quiet: bool,
    /// 0, 1 or 2.
    pub(crate) verbose: u8,
    /// Whether running counts are shown.
    pub(crate) progress: bool,
}

/// How to speak to the user where no context is at hand.
static SPOKEN: OnceLock<Ui> = OnceLock::new();

/// Says that a store is waited for.
pub(crate) fn waiting(why: &str) {
    if let Some(ui) = SPOKEN.get() {
        ui.warning(&Warning { item: "the store".into(), message: why.to_owned() });
    }
}

impl Ui {
    /// Speaks so from now on where no context is at hand, too.
    pub(crate) fn settle(self) -> Self {
        *SPOKEN.get_or_init(|| self)
    }

    pub(crate) fn new(global: &Global, no_progress: bool) -> Self {
        let progress = !no_progress && !global.quiet;
        Self { json: global.json, quiet: global.quiet, verbose: global.verbose, progress }
    }

    /// Standard output.
    pub(crate) fn out(self) -> Out {
        Out(BufWriter::with_capacity(64 << 10, io::stdout().lock()))
    }

    /// Something that is worth knowing and is no result.
    pub(crate) fn note(self, text: &str) {
        if !self.quiet && !self.json {
            to_stderr(format_args!("{}", clean(text)));
        }
    }

    /// Something that went wrong, without which all goes on.
    pub(crate) fn warning(self, warning: &Warning) {
        if self.json {
            json_to_stderr(&Message::Warning { item: &warning.item, message: &warning.message });
        } else {
            to_stderr(format_args!("{ODD}snap:{ODD:#} {}", clean(warning)));
        }
    }

    /// Something that could be done better.
    pub(crate) fn notice(self, notice: &Notice) {
        let Notice { item, what, files, bytes, advice } = notice;
        if self.quiet {
            return;
        }
        let size = human::size(*bytes);
        let message = format!("{what} hides what stays the same, so that a version may be stored nearly whole: {size} here");
        if self.json {
            json_to_stderr(&Message::Notice { item, message: &message, hint: advice, kind: what, files: *files, bytes: *bytes });
            return;
        }
        let others = if *files > 1 { format!(" and {} more", files - 1) } else { String::new() };
        to_stderr(format_args!("{ODD}snap:{ODD:#} {}{others}: {message}", human::printable(item.as_bytes())));
        to_stderr(format_args!("      better: {advice}"));
    }

    /// How a blob came to be coded as it is.
    pub(crate) fn decision(self, decision: &Decision) {
        if self.json {
            json_to_stderr(&Message::Decision(json::Decision::from(decision)));
        } else {
            to_stderr(format_args!("{}", human::printable(decision.to_string().as_bytes())));
        }
    }

    /// Which requests a bucket was asked, and how often. `repository` says where it is: a verb may work with two.
    pub(crate) fn requests(self, repository: &str, requests: &[RequestCount]) {
        if requests.is_empty() {
            return;
        }
        if self.json {
            let requests = requests.iter().map(|made| json::Request { kind: made.kind, asked: made.asked.name(), count: made.count });
            json_to_stderr(&Message::Requests { repository, requests: requests.collect() });
            return;
        }
        let made: Vec<String> = requests.iter().map(ToString::to_string).collect();
        let all: u64 = requests.iter().map(|made| made.count).sum();
        to_stderr(format_args!("{all} requests to {}: {}", clean(repository), made.join(", ")));
    }

    /// The end of a program that failed.
    pub(crate) fn failure(self, failure: &Failure) {
        if self.json {
            json_to_stderr(&Message::ExitError { code: failure.code(), message: &failure.to_string(), hint: failure.next_step() });
            return;
        }
        to_stderr(format_args!("{BAD}snap:{BAD:#} {}", clean(failure)));
        if let Some(next) = failure.next_step() {
            to_stderr(format_args!("      {}", clean(next)));
        }
    }
}

/// Standard output, which is flushed by [`Out::done`], so that a full disk is noticed.
pub(crate) struct Out(BufWriter<StdoutLock<'static>>);

impl Out {
    /// One object on one line.
    pub(crate) fn json(&mut self, message: &Message<'_>) -> Result<()> {
        serde_json::to_writer(&mut self.0, message).map_err(io::Error::from)?;
        Ok(self.0.write_all(b"\n")?)
    }

    /// A line of text.
    pub(crate) fn line(&mut self, text: impl std::fmt::Display) -> Result<()> {
        Ok(writeln!(self.0, "{text}")?)
    }

    /// A name from a repository at the end of a line; what could act on a terminal is escaped, since what is piped may end on one.
    pub(crate) fn name(&mut self, name: &[u8]) -> Result<()> {
        if io::stdout().is_terminal() {
            return self.line(human::printable(name));
        }
        self.0.write_all(&human::printable_bytes(name))?;
        Ok(self.0.write_all(b"\n")?)
    }

    /// A file's hash and its name as sha256sum prints them, so that it can check them: with a backslash before the line where the name has
    /// a backslash or ends lines. Other bytes of the name are as they are, unless a terminal would show them.
    pub(crate) fn checksum(&mut self, hash: &str, name: &[u8]) -> Result<()> {
        let mut shown = Vec::with_capacity(name.len());
        for byte in name {
            match byte {
                b'\\' => shown.extend_from_slice(b"\\\\"),
                b'\n' => shown.extend_from_slice(b"\\n"),
                b'\r' => shown.extend_from_slice(b"\\r"),
                byte => shown.push(*byte),
            }
        }
        let mark = if shown.len() == name.len() { "" } else { "\\" };
        if io::stdout().is_terminal() {
            shown = human::printable(&shown).into_bytes();
        }
        write!(self.0, "{mark}{hash}  ")?;
        self.0.write_all(&shown)?;
        Ok(self.0.write_all(b"\n")?)
    }

    /// Everything has been written.
    pub(crate) fn done(mut self) -> Result<()> {
        Ok(self.0.flush()?)
    }
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// A text that may have names in it.
fn clean(text: impl std::fmt::Display) -> String {
    human::printable(text.to_string().as_bytes())
}

/// Standard error may be gone; there is nobody left to tell.
fn to_stderr(text: std::fmt::Arguments<'_>) {
    drop(writeln!(anstream::stderr().lock(), "{text}"));
}

fn json_to_stderr(message: &Message<'_>) {
    if let Ok(text) = serde_json::to_string(message) {
        drop(writeln!(io::stderr().lock(), "{text}"));
    }
}
