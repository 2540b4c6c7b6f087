//! `key`: the slots that open a repository.

use crate::backend::ObjectPath;
use crate::base::ids::SlotId;
use crate::error::{Error, ErrorKind};
use crate::format::keyslot::SlotInfo;
use crate::repo::{Repo, Secrets};

/// All slots with what they say in the clear; `None` for one that cannot be read, which is a warning of the repository's, too.
pub fn list(repo: &Repo) -> Result<Vec<(SlotId, Option<SlotInfo>)>, Error> {
    repo.slots()
}

/// Adds a slot that `secrets` open.
pub fn add(repo: &Repo, secrets: &Secrets, label: &str) -> Result<SlotId, Error> {
    repo.add_slot(secrets, label)
}

/// Removes a slot, be it damaged. The last one that can be read stays: without it nobody could open the repository again.
///
/// # Errors
/// When there is no such slot, or no other one that can be read.
pub fn remove(repo: &Repo, id: SlotId) -> Result<(), Error> {
    repo.check_writable()?;
    let slots = repo.slots()?;
    if !slots.iter().any(|(slot, _)| *slot == id) {
        return Err(Error::new(ErrorKind::Usage, format!("there is no key slot {id}: `snap key list` shows all")));
    }
    if !slots.iter().any(|(slot, info)| *slot != id && info.is_some()) {
        return Err(Error::new(
            ErrorKind::Refused,
            "this is the last key slot, without it the repository cannot be opened: add another one first",
        ));
    }
    Ok(repo.backend.delete(&ObjectPath::Key(id))?)
}

/// Adds a slot that `new` opens and then removes the one that `old` opens.
///
/// # Errors
/// When no slot that can be read opens with `old`: it would open the repository still. Then nothing is changed.
pub fn passwd(repo: &Repo, old: &Secrets, new: &Secrets, label: &str) -> Result<SlotId, Error> {
    let replaced = repo.slot_of(old)?.ok_or_else(|| {
        Error::new(ErrorKind::Failed, "the key slot that is to be replaced cannot be read: look at `snap key list`, and try again")
    })?;
    let added = repo.add_slot(new, label)?;
    remove(repo, replaced)?;
    Ok(added)
}
