//! `check --probe`: puts the store to the test that a repository is in (`spec/BUCKETS.md`, section 4).

use std::time::{Duration, Instant};

use crate::backend::Effort;
use crate::error::Error;
use crate::repo::Repo;

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Which promises were not kept, and how that showed; none if all were.
    pub failures: Vec<String>,
    /// Whether the result was kept in the repository: not where nothing depends on it.
    pub recorded: bool,
    /// How many names were raced for, and by how many writers each.
    pub effort: Effort,
    /// How long it took.
    pub duration: Duration,
}

/// Puts the store to the test. What others do meanwhile is not disturbed.
///
/// # Errors
/// When the store cannot be reached, or refuses to do what a repository needs: then nothing new is known.
pub fn probe(repo: &Repo, effort: Effort) -> Result<Report, Error> {
    let started = Instant::now();
    let failures = repo.probe_store(effort)?;
    Ok(Report { failures, recorded: repo.backend.store_to_probe().is_some(), effort, duration: started.elapsed() })
}
