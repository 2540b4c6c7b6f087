//! Prune records of a repository: which plans are open, what they forbid to rely on, and what was deleted (`spec/PROTOCOL.md`, section 5).

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::again::opened;
use super::{PackLens, Repo};
use crate::backend::{Created, Folder, GcStage, ObjectPath, parse_gc_name};
use crate::base::ids::{PackId, PlanNumber, SnapshotId};
use crate::base::limits;
use crate::base::wire::{self, WireError};
use crate::error::{Error, ErrorKind};
use crate::format::envelope::{ObjectError, ObjectKind, Place, Sealed};
use crate::format::gc::{Done, Final, Plan};
use crate::plan::gc;

/// A plan without `.done`, as far as it can be read.
#[derive(Debug)]
pub(crate) struct OpenPlan {
    /// Which.
    pub(crate) number: PlanNumber,
    /// What may be deleted. `Ok(None)` when there is no such object.
    pub(crate) plan: Result<Option<Plan>, Error>,
    /// What is. `Ok(None)` as long as there is none.
    pub(crate) last: Result<Option<Final>, Error>,
}

/// What a writer may rely on (I5): packs that there were when its session had been announced and open plans were read.
#[derive(Debug, Default)]
pub(crate) struct Grounds {
    /// Packs that open plans condemn: nobody may rely on them.
    pub(crate) condemned: BTreeSet<PackId>,
    /// All that were listed after that, and after the index segments.
    pub(crate) packs: PackLens,
}

/// The records of all prunes.
#[derive(Debug)]
pub(crate) struct GcState {
    /// The names of all records: they tell how far prunes have got.
    pub(crate) names: BTreeSet<String>,
    /// Plans that are not done, the oldest first. There is one at the most, unless somebody removed records.
    pub(crate) open: Vec<OpenPlan>,
    /// The number of the next plan; `None` when numbers have run out.
    pub(crate) next: Option<PlanNumber>,
}

impl GcState {
    /// The packs that open plans condemn.
    ///
    /// # Errors
    /// When that cannot be read.
    fn condemned(self) -> Result<BTreeSet<PackId>, Error> {
        let mut condemned = BTreeSet::new();
        for plan in self.open {
            condemned.append(&mut plan.condemned()?);
        }
        Ok(condemned)
    }
}

impl OpenPlan {
    /// The packs that nobody may rely on.
    ///
    /// # Errors
    /// When that cannot be read: nobody knows, then, what is about to be deleted.
    pub(crate) fn condemned(self) -> Result<BTreeSet<PackId>, Error> {
        let (plan, last) = (self.plan.as_ref().ok().and_then(Option::as_ref), self.last.as_ref().ok().and_then(Option::as_ref));
        if let Some(condemned) = gc::condemned(plan.map(|plan| &plan.condemned), last.map(|last| &last.deleted)) {
            return Ok(condemned.clone());
        }
        match (self.plan, self.last) {
            (Err(error), Ok(_)) if error.kind() == ErrorKind::Unreachable => Err(error),
            (Err(error), Ok(_)) => {
                let message = format!("{} cannot be read: `snap prune --execute` closes it", ObjectPath::Gc(self.number, GcStage::Plan));
                Err(Error::with(ErrorKind::Damage, message, error))
            }
            (_, Err(error)) => Err(error),
            (Ok(_), Ok(_)) => Ok(BTreeSet::new()),
        }
    }
}

/// A record that was listed is there: nobody deletes it (I17). A store that says otherwise is not to be relied on just now.
fn listed<T>(read: Result<Option<T>, Error>, is_listed: bool, number: PlanNumber) -> Result<Option<T>, Error> {
    match read {
        Ok(None) if is_listed => Err(Error::new(
            ErrorKind::Unreachable,
            format!("the store lists records of prune {number} and says that they are not there: try again"),
        )),
        read => read,
    }
}

impl Repo {
    /// Which prune records there are, and what the open ones say.
    pub(crate) fn gc_state(&self) -> Result<GcState, Error> {
        let names = self.gc_names()?;
        let mut stages = BTreeMap::<PlanNumber, BTreeSet<GcStage>>::new();
        for (number, stage) in names.iter().filter_map(|name| parse_gc_name(name)) {
            stages.entry(number).or_default().insert(stage);
        }
        let next = stages.keys().next_back().map_or(Some(PlanNumber::FIRST), |last| last.next());
        let open = stages.into_iter().filter(|(_, stages)| !stages.contains(&GcStage::Done)).map(|(number, stages)| OpenPlan {
            number,
            plan: listed(self.read_plan(number), stages.contains(&GcStage::Plan), number),
            last: listed(self.read_final(number), stages.contains(&GcStage::Final), number),
        });
        let open = open.collect();
        Ok(GcState { names, open, next })
    }

    /// The names of all prune records: they tell how far prunes have got.
    pub(crate) fn gc_names(&self) -> Result<BTreeSet<String>, Error> {
        Ok(self.backend.list(Folder::Gc)?.into_iter().map(|listed| listed.name).collect())
    }

    /// The packs that no writer may rely on: to be asked once its session is durable, and before it lists packs.
    pub(crate) fn condemned(&self) -> Result<BTreeSet<PackId>, Error> {
        self.gc_state()?.condemned()
    }

    /// What a writer may rely on: to be asked once its session is durable. Reads open plans, then brings the index up to date.
    pub(crate) fn grounds(&self) -> Result<Grounds, Error> {
        let mut state = self.gc_state()?;
        let prunes = std::mem::take(&mut state.names);
        let condemned = state.condemned()?;
        Ok(Grounds { condemned, packs: self.current_packs_since(&prunes)? })
    }

    /// Snapshots that are no more, though their outcomes may still be there. Says, too, whether there is any prune record.
    pub(crate) fn dropped(&self) -> Result<(BTreeSet<SnapshotId>, bool), Error> {
        let state = self.gc_state()?;
        let has_pruned = !state.names.is_empty();
        let mut dropped = BTreeSet::new();
        for plan in state.open {
            match plan.last {
                Ok(last) => dropped.extend(last.into_iter().flat_map(|last| last.dropped)),
                // What it drops is listed until it can be read; nothing is deleted because of it.
                Err(_) => self.warn(&ObjectPath::Gc(plan.number, GcStage::Final), "is damaged: put it back from a copy of the repository"),
            }
        }
        Ok((dropped, has_pruned))
    }

    /// Snapshots that a prune which is under way may drop or has dropped. Whoever takes back a forgetting asks this once his note is durable:
    /// a snapshot that is not among these is safe (I22).
    pub fn dropping(&self) -> Result<BTreeSet<SnapshotId>, Error> {
        let mut dropping = BTreeSet::new();
        for plan in self.gc_state()?.open {
            dropping.extend(plan.plan?.into_iter().flat_map(|plan| plan.dropped));
            dropping.extend(plan.last?.into_iter().flat_map(|last| last.dropped));
        }
        Ok(dropping)
    }

    /// All packs that a prune deleted or is deleting, ever.
    pub(crate) fn pruned_packs(&self) -> Result<HashSet<PackId>, Error> {
        let mut pruned = HashSet::new();
        for listed in self.backend.list(Folder::Gc)? {
            if let Some((number, GcStage::Final)) = parse_gc_name(&listed.name)
                // What cannot be read explains nothing.
                && let Ok(Some(last)) = self.read_final(number)
            {
                pruned.extend(last.deleted);
            }
        }
        Ok(pruned)
    }

    /// Reads `gc/<n>.plan`.
    pub(crate) fn read_plan(&self, number: PlanNumber) -> Result<Option<Plan>, Error> {
        self.read_gc(number, GcStage::Plan, Plan::check)
    }

    /// Reads `gc/<n>.final`.
    pub(crate) fn read_final(&self, number: PlanNumber) -> Result<Option<Final>, Error> {
        self.read_gc(number, GcStage::Final, Final::check)
    }

    fn read_gc<T>(&self, number: PlanNumber, stage: GcStage, check: impl Fn(&T) -> Result<(), WireError>) -> Result<Option<T>, Error>
    where
        T: bincode::Decode<()> + bincode::Encode,
    {
        let path = ObjectPath::Gc(number, stage);
        let open = |object: &[u8]| -> Result<T, ObjectError> {
            let sealed = Sealed::parse(object, ObjectKind::Gc)?;
            let key = self.keys.object(ObjectKind::Gc as u8, sealed.header.epoch, &sealed.header.salt);
            let value = wire::decode(&sealed.open(&key, Place::Path(&path.to_string()))?)?;
            check(&value)?;
            Ok(value)
        };
        let damaged = |error| Error::with(ErrorKind::Damage, format!("cannot read {path}: put it back from a copy"), error);
        let read = || Ok(self.backend.read(&path, limits::RECORD_LEN)?);
        match opened(&*self.backend, read, |object| open(object).map_err(damaged)) {
            Err(error) if error.is_not_found() => Ok(None),
            opened => opened.map(|(value, _)| Some(value)),
        }
    }

    /// Creates `gc/<n>.plan`, unless there is one.
    pub(crate) fn create_plan(&self, number: PlanNumber, plan: &Plan) -> Result<Created, Error> {
        plan.check().map_err(|error| Error::with(ErrorKind::Failed, "a plan has more than it may", error))?;
        self.create_record(&ObjectPath::Gc(number, GcStage::Plan), ObjectKind::Gc, wire::encode(plan))
    }

    /// Creates `gc/<n>.final`, unless there is one.
    pub(crate) fn create_final(&self, number: PlanNumber, last: &Final) -> Result<Created, Error> {
        last.check().map_err(|error| Error::with(ErrorKind::Failed, "a final has more than it may", error))?;
        self.create_record(&ObjectPath::Gc(number, GcStage::Final), ObjectKind::Gc, wire::encode(last))
    }

    /// Creates `gc/<n>.done`, unless there is one.
    pub(crate) fn create_done(&self, number: PlanNumber, done: &Done) -> Result<Created, Error> {
        self.create_record(&ObjectPath::Gc(number, GcStage::Done), ObjectKind::Gc, wire::encode(done))
    }
}
