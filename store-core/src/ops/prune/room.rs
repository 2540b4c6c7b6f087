//! A prune on a full disk: what it has to write before it may delete is written with room that the driver keeps for that, and is little
//! (`spec/PROTOCOL.md`, section 5).

use std::cmp::Reverse;

use super::Run;
use crate::backend::Created;
use crate::base::ids::PlanNumber;
use crate::error::{Error, ErrorKind};
use crate::format::gc::Plan;
use crate::monitor::Warning;
use crate::plan::gc::PackUse;

/// Packs, and snapshots, of a plan that is made where there is no room: it and its final take 32 KiB each, at the most.
const LEAST: usize = 500;

impl Run<'_> {
    /// Does `make`, which writes something small that a prune cannot do without. While there is no room, what the driver keeps is given back.
    pub(super) fn with_room<T>(&self, make: impl Fn() -> Result<T, Error>) -> Result<T, Error> {
        loop {
            match make() {
                Err(error) if error.kind() == ErrorKind::NoSpace => {
                    if !self.repo.backend.yield_reserve() {
                        let message = format!(
                            "a prune needs room for its records, some 100 KiB, and there is none at {}: remove something else there, and prune \
                             again, which goes on",
                            self.repo.location()
                        );
                        return Err(Error::with(ErrorKind::NoSpace, message, error));
                    }
                }
                made => return made,
            }
        }
    }

    /// Creates a plan, or a part of it where there is no room; `goes` is what it condemns. `None` when there was one already.
    pub(super) fn create_plan(&self, number: PlanNumber, mut plan: Plan, mut goes: Vec<PackUse>) -> Result<Option<Plan>, Error> {
        let created = match self.repo.create_plan(number, &plan) {
            Err(error) if error.kind() == ErrorKind::NoSpace => {
                if goes.len() > LEAST || plan.dropped.len() > LEAST {
                    // What gives back most.
                    goes.sort_unstable_by_key(|pack| (Reverse(pack.len), pack.id));
                    plan.condemned = goes.iter().take(LEAST).map(|pack| pack.id).collect();
                    plan.dropped = plan.dropped.into_iter().take(LEAST).collect();
                    let message =
                        "there is no room for the records of a whole prune: this one deletes a part, and the next one more".into();
                    self.monitor.warning(&Warning { item: self.repo.location(), message });
                }
                self.with_room(|| self.repo.create_plan(number, &plan))?
            }
            created => created?,
        };
        Ok((created == Created::New).then_some(plan))
    }
}
