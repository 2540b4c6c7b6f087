//! `key`: the slots that open a repository.

use crate::backend::{Folder, ObjectPath};
use crate::base::ids::SlotId;
use crate::base::limits;
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

/// Removes a slot, be it damaged. Another one that `secrets` open stays: that a slot can be read does not say that it opens, and without one
/// that does nobody could open the repository again. If another process removes that one meanwhile, this one is put back.
///
/// # Errors
/// When there is no such slot, or no other one that opens with `secrets`; of kind [`ErrorKind::Busy`] when it was put back.
pub fn remove(repo: &Repo, id: SlotId, secrets: &Secrets) -> Result<(), Error> {
    repo.check_writable()?;
    let slots = repo.slots()?;
    if !slots.iter().any(|(slot, _)| *slot == id) {
        return Err(Error::new(ErrorKind::Usage, format!("there is no key slot {id}: `snap key list` shows all")));
    }
    let Some(stays) = repo.slot_besides(secrets, Some(id))? else {
        let message = if slots.iter().any(|(slot, info)| *slot != id && info.is_some()) {
            "the repository was opened with this key slot, and nobody knows whether another one opens: remove it with a password or key that stays"
        } else {
            "this is the last key slot, without it the repository cannot be opened: add another one first"
        };
        return Err(Error::new(ErrorKind::Refused, message));
    };
    let path = ObjectPath::Key(id);
    // One that cannot be read is no loss.
    let bytes = repo.backend.read(&path, limits::RECORD_LEN);
    repo.backend.delete(&path)?;
    let listed = repo.backend.list(Folder::Keys);
    if listed.is_ok_and(|listed| listed.iter().any(|listed| listed.name.parse() == Ok(stays))) {
        return Ok(());
    }
    // Whoever removed that one may have relied on this one.
    let back = bytes.and_then(|bytes| repo.backend.create(&path, &bytes));
    let what = format!("key slot {}, which was to stay, is not there any more", stays.short());
    Err(match back {
        Ok(_) => Error::new(ErrorKind::Busy, format!("{what}: {} was put back; look at `snap key list`", id.short())),
        Err(error) => Error::with(ErrorKind::Failed, format!("{what}, and {} cannot be put back: add one at once", id.short()), error),
    })
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
    remove(repo, replaced, new)?;
    Ok(added)
}
