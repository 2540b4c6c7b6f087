//! Waiting for input that may never come, for somebody who may no longer want it.

use std::io;
use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

/// How often it is asked whether to go on waiting. Nobody notices a tenth of a second.
const ASK: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// Waits until `fd` can be read without waiting, its end and its errors among what can be read.
///
/// # Errors
/// When `interrupted` says so, at most a tenth of a second later. Not of kind [`io::ErrorKind::Interrupted`], which would mean to try again.
pub fn until_readable(fd: impl AsFd, interrupted: &dyn Fn() -> bool) -> io::Result<()> {
    loop {
        if interrupted() {
            return Err(io::Error::other("interrupted"));
        }
        match poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&ASK)) {
            Ok(0) | Err(Errno::INTR) => {}
            Ok(_) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}
