//! Whether what a fenced push wrote and relied on is still there (`spec/PROTOCOL.md`, section 5).

use crate::base::ids::{NodeId, PackId};
use crate::error::{Error, ErrorKind};
use crate::monitor::Monitor;
use crate::plan::gc::Standing;
use crate::repo::{Grounds, Repo, Root};

/// Whether all that `root` leads to has a place that is not condemned, in a new session that begins with these `grounds`.
pub(super) fn is_all_there(repo: &Repo, root: NodeId, grounds: &Grounds, monitor: &dyn Monitor) -> Result<bool, Error> {
    let standing = |pack: &PackId| if grounds.condemned.contains(pack) { Standing::Gone } else { Standing::Stays };
    match repo.mark(&[Root { of: "this push".into(), node: root }], &grounds.packs, standing, monitor) {
        Ok(_) => Ok(true),
        // Whatever it is that is not there, pushing again stores it.
        Err(error) if error.kind() == ErrorKind::Damage => Ok(false),
        Err(error) => Err(error),
    }
}
