//! Whether what a fenced push wrote and relied on is still there (`spec/PROTOCOL.md`, section 5).

use std::collections::BTreeSet;

use crate::base::ids::{NodeId, PackId};
use crate::error::{Error, ErrorKind};
use crate::monitor::Monitor;
use crate::plan::gc::Standing;
use crate::repo::{Repo, Root};

/// Whether all that `root` leads to has a place that is not condemned. To be asked within the new session, after open plans were read and the
/// index was brought up to date.
pub(super) fn is_all_there(repo: &Repo, root: NodeId, condemned: &BTreeSet<PackId>, monitor: &dyn Monitor) -> Result<bool, Error> {
    let packs = repo.listed_packs()?;
    let standing = |pack: &PackId| if condemned.contains(pack) { Standing::Gone } else { Standing::Stays };
    match repo.mark(&[Root { of: "this push".into(), node: root }], &packs, standing, monitor) {
        Ok(_) => Ok(true),
        // Whatever it is that is not there, pushing again stores it.
        Err(error) if error.kind() == ErrorKind::Damage => Ok(false),
        Err(error) => Err(error),
    }
}
