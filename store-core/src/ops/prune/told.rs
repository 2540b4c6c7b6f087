//! Sessions that somebody says the processes of are gone (`spec/BUCKETS.md`, section 5): a slip in a name is not to pass for one that was heard.

use std::collections::BTreeSet;

use super::survey::{Sessions, sessions};
use crate::backend::Folder;
use crate::base::ids::SessionId;
use crate::error::{Error, ErrorKind};
use crate::repo::Repo;

/// Open sessions that a message names; the rest are counted.
const NAMED: usize = 8;

/// Whether there are these sessions: announced, or ended since somebody was told their names.
///
/// # Errors
/// Of kind [`ErrorKind::Usage`] when there is none of a name: the message says which are open. When they cannot be listed.
pub fn check_told(repo: &Repo, told: &BTreeSet<SessionId>) -> Result<(), Error> {
    if told.is_empty() {
        return Ok(());
    }
    let Sessions { ended, open } = sessions(repo, None)?;
    let is_unknown = |id: &&SessionId| !open.contains(id) && !ended.contains(id);
    let mut unknown: BTreeSet<SessionId> = told.iter().filter(is_unknown).copied().collect();
    if !unknown.is_empty() {
        // Listed behind the announcements: whoever has ended is here.
        repo.backend.list(Folder::Outcomes)?.iter().filter_map(|listed| listed.name.parse().ok()).for_each(|id| _ = unknown.remove(&id));
    }
    let Some(first) = unknown.first() else { return Ok(()) };
    let mut named: Vec<String> = open.iter().take(NAMED).map(|id| name(repo, id)).collect();
    if open.len() > NAMED {
        named.push(format!("{} more", open.len() - NAMED));
    }
    let open = if named.is_empty() { "none is open: no prune waits for any".into() } else { format!("open are {}", named.join(", ")) };
    Err(Error::new(ErrorKind::Usage, format!("there is no session {first} at {}; {open}", repo.location())))
}

fn name(repo: &Repo, id: &SessionId) -> String {
    match repo.read_session(id) {
        Some(session) => format!("{id} (process {} of {})", session.pid, session.host),
        None => format!("{id} (which cannot be read)"),
    }
}
