//! Ctrl-C and SIGTERM: the first asks the running verb to stop at a good place, the second ends the program at once.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use crate::exit::{Failure, Result};
use store_core::ops::ErrorKind;
use store_core::source::until_readable;

static STOP: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// Listens from now on. A verb that has nothing to leave clean does not call this, and ends by the signal itself.
pub(crate) fn listen() -> Result<()> {
    let stop = STOP.get_or_init(Arc::default);
    for signal in [SIGINT, SIGTERM] {
        // In this order the first signal finds the flag down, and the second finds it up.
        flag::register_conditional_shutdown(signal, 130, Arc::clone(stop))
            .and_then(|_| flag::register(signal, Arc::clone(stop)))
            .map_err(|error| Failure::with(ErrorKind::Failed, "signals cannot be listened to", &error))?;
    }
    Ok(())
}

/// Whether the user asked to stop.
pub(crate) fn requested() -> bool {
    STOP.get().is_some_and(|stop| stop.load(Ordering::Relaxed))
}

/// Standard input, read without a buffer. Reading fails once the user asked to stop: at once where nothing comes, and where it ends, since in a
/// pipeline the program before this one was stopped as well, and what it wrote is only a part.
pub(crate) struct Stdin;

impl io::Read for Stdin {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let stdin = io::stdin();
        until_readable(&stdin, &requested)?;
        match rustix::io::read(&stdin, &mut *buffer)? {
            // `ErrorKind::Interrupted` would mean to try again.
            0 if requested() && !buffer.is_empty() => Err(io::Error::other("interrupted")),
            len => Ok(len),
        }
    }
}
