//! Reading once more what came over a network and does not open: it may have been spoilt on the way, and then it is no damage of the repository.

use crate::backend::Backend;

/// Times that it is read, at the most.
const READS: usize = 3;

/// How often something is looked at before it counts as damaged. What a disk of this host holds is the same when it is read again.
pub(crate) fn looks(backend: &dyn Backend) -> usize {
    if backend.lanes() > 1 { READS } else { 1 }
}

/// Looks with `look` until what it sees is right, twice the same, or seen often enough. `is_right` may be about something that is no damage.
pub(crate) fn seen<T: PartialEq>(backend: &dyn Backend, is_right: impl Fn(&T) -> bool, mut look: impl FnMut() -> T) -> T {
    let mut seen = look();
    for _ in 1..looks(backend) {
        if is_right(&seen) {
            break;
        }
        let again = look();
        // Twice the same is what the store holds.
        let is_same = again == seen;
        seen = again;
        if is_same {
            break;
        }
    }
    seen
}

/// What `open` makes of the bytes that `read` gets, and these.
///
/// # Errors
/// Those of `read`, and of `open` once the store holds what does not open, or was asked often enough.
pub(crate) fn opened<T, E>(
    backend: &dyn Backend,
    read: impl Fn() -> Result<Vec<u8>, E>,
    open: impl Fn(&[u8]) -> Result<T, E>,
) -> Result<(T, Vec<u8>), E> {
    let mut bytes = read()?;
    let mut outcome = open(&bytes);
    for _ in 1..looks(backend) {
        if outcome.is_ok() {
            break;
        }
        let again = read()?;
        if again == bytes {
            break;
        }
        outcome = open(&again);
        bytes = again;
    }
    outcome.map(|opened| (opened, bytes))
}
