//! `init`: makes a repository.

use crate::backend::{Location, Transport};
use crate::base::ids::{RepoId, SlotId};
use crate::clock;
use crate::error::Error;
use crate::format::config::Config;
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
pub fn init(options: &OpenOptions, transport: &Transport, secrets: &Secrets, label: &str) -> Result<Report, Error> {
    let backend = Location::parse(&options.location)?.create(transport)?;
    let (repo, slot) = Repo::init_on(backend, Config::new(clock::now()), options, secrets, label)?;
    Ok(Report { repo: repo.id(), slot })
}
