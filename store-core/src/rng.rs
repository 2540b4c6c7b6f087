//! L3: random bytes from the operating system: for keys, salts and names that never recur.

use crate::error::{Error, ErrorKind};

/// Fills `out`.
pub fn fill(out: &mut [u8]) -> Result<(), Error> {
    getrandom::fill(out)
        .map_err(|error| Error::with(ErrorKind::Failed, "the operating system gives no random bytes", std::io::Error::from(error)))
}

/// `N` bytes.
pub fn bytes<const N: usize>() -> Result<[u8; N], Error> {
    let mut out = [0; N];
    fill(&mut out)?;
    Ok(out)
}
