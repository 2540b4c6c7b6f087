//! `repair notes`: gives up notes that are lost.

use std::collections::BTreeSet;

use crate::backend::ObjectPath;
use crate::base::ids::NoteId;
use crate::error::Error;
use crate::repo::Repo;

/// What giving up notes does, or would.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LostNotes {
    /// Notes that cannot be read or are not there, by their paths.
    pub lost: Vec<String>,
}

/// Gives up the notes that are lost, for which there is no copy: whatever they may have said, what is forgotten comes back, and tags, pins and
/// refs that only they told of are gone (`spec/NOTES.md`, section 5). `trial` only reports.
pub fn notes(repo: &Repo, trial: bool) -> Result<LostNotes, Error> {
    let standings = repo.standing()?;
    let lost: BTreeSet<NoteId> = standings.fold.lost.union(&standings.unread).copied().collect();
    if !trial && !lost.is_empty() {
        repo.give_up_notes(&standings)?;
    }
    Ok(LostNotes { lost: lost.iter().map(|id| ObjectPath::Note(*id).to_string()).collect() })
}
