//! What a process does.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use store_core::base::ids::SnapshotId;
use store_core::error::ErrorKind;
use store_core::monitor::Silent;
use store_core::ops::prune::{self, prune};
use store_core::ops::{forget, restore};
use store_core::repo::Repo;

use super::rig::{self, Heard, Noise, push_path, tree_at};
use super::tiny;
use super::world::World;

/// A process that has opened the repository.
pub(crate) struct Process {
    pub(crate) world: Arc<World>,
    pub(crate) repo: Repo,
    pub(crate) folder: PathBuf,
    pub(crate) noise: Noise,
    /// Whether it may fail, since it dies somewhere.
    pub(crate) may_fail: bool,
}

impl Process {
    /// Pushes up to three versions of one of `kinds` folders, of which several processes have the same, or nearly.
    pub(crate) fn push(&mut self, kinds: u64) {
        let data = self.folder.join("data");
        let mut noise = Noise::new(self.noise.below(kinds) + 1);
        let versions = 1 + self.noise.below(3);
        for version in 0..versions {
            tiny::write_version(&data, &mut noise, version);
        }
        let tree = tree_at(&data);
        match push_path(&self.repo, &data) {
            Ok(report) => {
                let mut said = self.world.said();
                said.count("pushes", 1);
                said.reported.insert(report.snapshot.unwrap(), tree);
            }
            // Who is alive fails only when it was fenced time and again.
            Err(error) if self.may_fail || error.kind() == ErrorKind::Busy => {
                self.world.said().count(if self.may_fail { "pushes that died" } else { "pushes that were refused" }, 1);
            }
            Err(error) => panic!("a push failed: {error:?}"),
        }
    }

    /// Prunes: half of the time everybody is taken for dead, and otherwise who is older than an hour by this process's clock.
    pub(crate) fn prune(&mut self) {
        let fence_after = [Duration::ZERO, Duration::from_secs(3600)][self.noise.below(2) as usize];
        let options = prune::Options {
            execute: true,
            max_unused: [0.0, 0.05, 0.5][self.noise.below(3) as usize],
            fence_after,
            wait: Duration::ZERO,
            ended: self.world.said().dead.clone(),
            late: Duration::ZERO,
            ..prune::Options::default()
        };
        let done = prune(&self.repo, &options, &Silent);
        let mut said = self.world.said();
        match done {
            Ok(report) if report.stopped.is_some() => said.count("prunes that stopped", 1),
            Ok(report) => {
                said.count("prunes", 1);
                said.count("pushes that were fenced", report.sessions_fenced);
                said.count("packs deleted", report.deleted_packs);
                said.count("snapshots dropped", report.dropped_snapshots);
                said.count("chunks coded anew", report.recoded_chunks);
            }
            Err(error) if self.may_fail || error.kind() == ErrorKind::Busy => said.count("prunes that failed", 1),
            Err(error) => panic!("a prune failed: {error:?}"),
        }
    }

    /// Forgets a snapshot that nobody has forgotten, so that the next prune drops it; in a third of all cases it comes back, if it can.
    pub(crate) fn forget(&mut self) {
        let id = {
            let mut said = self.world.said();
            let left: Vec<SnapshotId> = said.reported.keys().filter(|id| !said.forgotten.contains(id)).copied().collect();
            if left.is_empty() {
                return;
            }
            let id = left[self.noise.below(left.len() as u64) as usize];
            said.forgotten.insert(id);
            id
        };
        let forgotten = forget::named(&self.repo, &[id], Some(0)).and_then(|plan| forget::carry_out(&self.repo, &plan));
        match forgotten {
            Ok(()) => self.world.said().count("snapshots forgotten", 1),
            Err(_) if self.may_fail => return,
            Err(error) => panic!("forgetting failed: {error:?}"),
        }
        if self.noise.below(3) > 0 {
            return;
        }
        match forget::undo(&self.repo, &[id], false) {
            Ok(undone) if undone.back == [id] => {
                let mut said = self.world.said();
                said.count("snapshots that came back", 1);
                said.forgotten.remove(&id);
            }
            // A prune was quicker, or may be.
            Ok(_) => {}
            Err(error) if self.may_fail || matches!(error.kind(), ErrorKind::Busy | ErrorKind::Usage) => {}
            Err(error) => panic!("taking back failed: {error:?}"),
        }
    }

    /// Restores a snapshot that was reported.
    pub(crate) fn restore(&mut self) {
        let reported = self.world.said().reported.clone();
        let Some((id, tree)) = reported.iter().nth(self.noise.below(reported.len().max(1) as u64) as usize) else { return };
        let Some(stored) = self.repo.snapshots().ok().and_then(|all| all.into_iter().find(|stored| stored.id == *id)) else { return };
        let target = self.folder.join("target");
        let _ = std::fs::remove_dir_all(&target);
        let options = restore::Options { target: target.clone(), ..restore::Options::default() };
        let heard = Heard::default();
        let report = restore::restore(&self.repo, &stored, &options, &heard);
        let mut said = self.world.said();
        said.count("restores", 1);
        // What is forgotten meanwhile may go.
        if !self.may_fail && !said.forgotten.contains(id) {
            assert_eq!(report.unwrap().failed, 0, "a restore beside all this: {:?}", heard.0);
            assert!(tree_at(&target) == *tree);
        }
    }

    /// Checks all.
    pub(crate) fn check(&mut self) {
        let report = rig::check_all(&self.repo);
        self.world.said().count("checks", 1);
        if let Ok(report) = report
            && !self.may_fail
        {
            assert_eq!(report.findings, []);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
