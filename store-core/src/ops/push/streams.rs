//! What is pushed without being in files: the paths of streams in the snapshot, and their bytes.

use std::ffi::OsString;
use std::io::Read;

use crate::clock;
use crate::error::{Error, ErrorKind};
use crate::format::entry::{Entry, Metadata, Timestamp};
use crate::monitor::Monitor;
use crate::pipeline::{Input, Stream};
use crate::source::CommandOutput;

/// What programs write, as streams. A program is started when the one before has ended well.
/// One that runs when the monitor interrupts is ended.
pub(super) fn of_commands<'r>(
    commands: Vec<(String, Vec<OsString>)>,
    monitor: &'r dyn Monitor,
) -> Vec<(String, Box<dyn Read + Send + 'r>)> {
    let output = |words| Box::new(CommandOutput::of(words, move || monitor.interrupted())) as Box<dyn Read + Send + 'r>;
    commands.into_iter().map(|(name, words)| (name, output(words))).collect()
}

/// Streams as input, each at its path.
///
/// # Errors
/// When a path cannot be one in a snapshot, is there twice, or would be a folder of another.
pub(super) fn input<'r>(streams: Vec<(String, Box<dyn Read + Send + 'r>)>) -> Result<Input<'r>, Error> {
    let refuse = |name: &str, why: &str| Error::new(ErrorKind::Usage, format!("'{name}' {why}"));
    let mut found: Vec<Stream<'r>> = Vec::with_capacity(streams.len());
    for (path, reader) in streams {
        let names: Vec<Vec<u8>> = path.split('/').filter(|name| !name.is_empty()).map(|name| name.as_bytes().to_vec()).collect();
        if names.is_empty() || !names.iter().all(|name| Entry::is_name(name)) {
            return Err(refuse(&path, "cannot be a path in a snapshot: use --stdin-filename, or another NAME"));
        }
        if found.iter().any(|other| other.names.starts_with(&names) || names.starts_with(&other.names)) {
            return Err(refuse(&path, "is the path of two streams, or a folder of one of them: give each another name"));
        }
        found.push(Stream { names, reader });
    }
    let now = clock::now();
    let now = Timestamp { seconds: now.seconds, nanos: now.nanos };
    let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
    let meta = Metadata { mode: 0o644, uid, gid, mtime: now, ctime: now, inode: 0, device: 0, links: 1, xattrs: Vec::new() };
    Ok(Input::Streams { streams: found, meta })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(paths: &[&str]) -> Result<(), Error> {
        input(paths.iter().map(|path| ((*path).to_owned(), Box::new(std::io::empty()) as Box<dyn Read + Send>)).collect()).map(drop)
    }

    #[test]
    fn paths_of_streams_do_not_collide() {
        assert!(names(&["a", "b/c", "b/d", "bc"]).is_ok());
        for odd in [&["a", "a"][..], &["a", "a/b"], &["a/b", "/a"], &["a//b", "a/b"], &[""], &["/"], &["a/../b"], &["."]] {
            assert!(names(odd).is_err(), "{odd:?}");
        }
    }
}
