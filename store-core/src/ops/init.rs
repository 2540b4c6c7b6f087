//! `init`: makes a repository.

use crate::base::ids::{RepoId, SlotId};
use crate::error::Error;
use crate::repo::{OpenOptions, Repo, Secrets};

/// What was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    /// The repository.
    pub repo: RepoId,
    /// Its first key slot.
    pub slot: SlotId,
}

/// Makes an empty repository at `options.location` that `secrets` open.
///
/// # Errors
/// When something is there already, or nothing can be written there.
pub fn init(options: &OpenOptions, secrets: &Secrets, label: &str) -> Result<Report, Error> {
    let (repo, slot) = Repo::init(options, secrets, label)?;
    Ok(Report { repo: repo.id(), slot })
}
