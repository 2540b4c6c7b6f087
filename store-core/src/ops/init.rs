//! `init`: makes a repository.

use crate::backend::{Effort, Location, RequestCount, Transport};
use crate::base::ids::{RepoId, SlotId};
use crate::clock;
use crate::error::Error;
use crate::format::config::Config;
use crate::repo::{OpenOptions, Repo, Secrets};

/// What was made.
#[derive(Debug)]
pub struct Report {
    /// The repository.
    pub repo: RepoId,
    /// Its first key slot.
    pub slot: SlotId,
    /// What came of putting the store to the test; `None` where that is not needed.
    pub probe: Option<Result<Vec<String>, Error>>,
    /// Requests that it took, if it is in a bucket.
    pub requests: Vec<RequestCount>,
}

/// Makes an empty repository at `options.location` that `secrets` open. A bucket is put to the test; where that fails, the repository is there all the
/// same, and nothing is deleted from it until a test goes well.
///
/// # Errors
/// When something is there already, or nothing can be written there.
pub fn init(options: &OpenOptions, transport: &Transport, secrets: &Secrets, label: &str) -> Result<Report, Error> {
    let backend = Location::parse(&options.location)?.create(transport)?;
    let (repo, slot) = Repo::init_on(backend, Config::new(clock::now()), options, secrets, label)?;
    let is_probed = repo.backend.store_to_probe().is_some();
    let probe = is_probed.then(|| repo.probe_store(Effort::default()));
    Ok(Report { repo: repo.id(), slot, probe, requests: repo.requests() })
}
