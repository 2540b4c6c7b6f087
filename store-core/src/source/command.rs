//! The standard output of a program, for snapshots of what no file holds, such as a database dump.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdout, ExitStatus, Stdio};

use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

use super::wait::until_readable;

/// A program that did not run, or did not end well. What it wrote must not become a snapshot.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// No program was named.
    #[error("no command was given; name one after --")]
    Empty,
    /// It could not be started.
    #[error("cannot run {program:?}; is it installed and in PATH?")]
    Start {
        /// Its first word.
        program: OsString,
        /// Why not.
        source: io::Error,
    },
    /// It failed.
    #[error("{program:?} failed ({status}): its output is incomplete, and no snapshot was made of it")]
    Failed {
        /// Its first word.
        program: OsString,
        /// How it ended.
        status: ExitStatus,
    },
    /// Its end could not be awaited.
    #[error("cannot wait for {program:?}")]
    Wait {
        /// Its first word.
        program: OsString,
        /// Why not.
        source: io::Error,
    },
}

/// A running program whose standard output is read. It is started without a shell, reads nothing from standard input, and shares
/// standard error. When this is dropped before [`finish`](Self::finish), the program is killed, and what it started with it.
#[derive(Debug)]
pub struct Command {
    program: OsString,
    child: Option<Child>,
    output: Option<ChildStdout>,
    /// Whether it leads a group of processes of its own. Not where there is a terminal: a program in another group than that in the foreground
    /// could not ask for a password there, and what is typed to stop this process stops that one as well.
    group: bool,
}

impl Command {
    /// Starts the program `words[0]` with the other words as its arguments.
    pub fn start(words: &[OsString]) -> Result<Self, CommandError> {
        let (program, arguments) = words.split_first().ok_or(CommandError::Empty)?;
        let group = File::open("/dev/tty").is_err();
        let mut command = std::process::Command::new(program);
        if group {
            command.process_group(0);
        }
        let mut child = command
            .args(arguments)
            // What opens the repository is none of its business.
            .env_remove("SNAP_PASSWORD")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .map_err(|source| CommandError::Start { program: program.clone(), source })?;
        let output = child.stdout.take();
        Ok(Self { program: program.clone(), child: Some(child), output, group })
    }

    /// Waits until the program has ended; to be called once all was read. Before that, the program finds its output closed.
    ///
    /// # Errors
    /// [`CommandError::Failed`] when its status is not 0 or a signal ended it.
    pub fn finish(self) -> Result<(), CommandError> {
        self.finish_unless(&|| false)
    }

    fn finish_unless(mut self, interrupted: &dyn Fn() -> bool) -> Result<(), CommandError> {
        self.output = None;
        // An old kernel has no such thing, and then there is no hurry.
        let ends = self.child.as_ref().and_then(|child| pidfd_open(Pid::from_child(child), PidfdFlags::empty()).ok());
        let waited = ends.map_or(Ok(()), |ends| until_readable(ends, interrupted));
        waited.map_err(|source| CommandError::Wait { program: self.program.clone(), source })?;
        let Some(mut child) = self.child.take() else { return Ok(()) };
        let program = std::mem::take(&mut self.program);
        match child.wait() {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(CommandError::Failed { program, status }),
            Err(source) => Err(CommandError::Wait { program, source }),
        }
    }
}

impl Command {
    fn read_unless(&mut self, buffer: &mut [u8], interrupted: &dyn Fn() -> bool) -> io::Result<usize> {
        let Some(output) = &mut self.output else { return Ok(0) };
        until_readable(&*output, interrupted)?;
        output.read(buffer)
    }
}

impl Read for Command {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.read_unless(buffer, &|| false)
    }
}

/// What a program writes to its standard output. It is started by the first read, and unless it ends well the last read fails.
pub struct CommandOutput<I> {
    words: Vec<OsString>,
    running: Option<Command>,
    ended: bool,
    interrupted: I,
}

impl<I: Fn() -> bool> CommandOutput<I> {
    /// The output of the program `words[0]` with the other words as its arguments. Once `interrupted` says so, reading fails, however long the
    /// program has been silent, and whoever drops this has ended it.
    pub fn of(words: Vec<OsString>, interrupted: I) -> Self {
        Self { words, running: None, ended: false, interrupted }
    }
}

impl<I: Fn() -> bool> Read for CommandOutput<I> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let failed = |error: CommandError| io::Error::other(crate::error::chain(&error));
        if self.ended || buffer.is_empty() {
            return Ok(0);
        }
        let mut running = match self.running.take() {
            Some(running) => running,
            None if (self.interrupted)() => return Err(io::Error::other("interrupted")),
            None => Command::start(&self.words).map_err(failed)?,
        };
        let read = running.read_unless(buffer, &self.interrupted);
        match read {
            Ok(0) => {
                self.ended = true;
                running.finish_unless(&self.interrupted).map_err(failed)?;
            }
            _ => self.running = Some(running),
        }
        read
    }
}

impl Drop for Command {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Whether it has just ended by itself makes no difference.
            if self.group {
                let _ = kill_process_group(Pid::from_child(&child), Signal::KILL);
            }
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(words: &[&str]) -> Result<Command, CommandError> {
        Command::start(&words.iter().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn output_arrives_and_a_good_end_is_a_good_end() {
        let mut command = start(&["printf", "%s", "a b;$HOME"]).unwrap();
        let mut text = String::new();
        command.read_to_string(&mut text).unwrap();
        assert_eq!(text, "a b;$HOME");
        command.finish().unwrap();
    }

    #[test]
    fn a_program_that_fails_after_its_output_is_an_error() {
        let mut command = start(&["sh", "-c", "echo half; exit 3"]).unwrap();
        let mut text = String::new();
        command.read_to_string(&mut text).unwrap();
        assert!(matches!(command.finish(), Err(CommandError::Failed { status, .. }) if status.code() == Some(3)));
    }

    #[test]
    fn an_output_ends_well_only_if_its_program_does() {
        let read = |script: &str| {
            let mut text = String::new();
            CommandOutput::of(["sh", "-c", script].map(OsString::from).to_vec(), || false).read_to_string(&mut text).map(|_| text)
        };
        assert_eq!(read("echo one; echo two").unwrap(), "one\ntwo\n");
        assert!(read("echo half; exit 3").unwrap_err().to_string().contains('3'));
        assert!(CommandOutput::of(vec!["no-such-program-here".into()], || false).read(&mut [0]).is_err());
    }

    #[test]
    fn a_silent_program_is_not_waited_for_once_nobody_wants_it() {
        for script in ["sleep 1000", "exec >&-; sleep 1000"] {
            let asked = std::sync::atomic::AtomicU32::new(0);
            let interrupted = || asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed) > 1;
            let mut output = CommandOutput::of(["sh", "-c", script].map(OsString::from).to_vec(), interrupted);
            assert!(output.read(&mut [0]).is_err(), "{script}");
        }
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        assert!(start(&["no-such-program-here"]).unwrap_err().to_string().contains("no-such-program-here"));
        assert!(matches!(start(&[]), Err(CommandError::Empty)));
    }

    #[test]
    fn a_dropped_program_is_killed() {
        let command = start(&["sleep", "1000"]).unwrap();
        let process = command.child.as_ref().unwrap().id();
        drop(command);
        assert!(!std::path::Path::new(&format!("/proc/{process}")).exists());
    }
}
