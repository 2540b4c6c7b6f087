//! Whether the store under a repository was put to the test, and what came of it (`spec/BUCKETS.md`, sections 4 and 5).

use std::collections::{BTreeMap, BTreeSet};

use super::Repo;
use super::again::opened;
use crate::backend::{Created, Effort, Folder, ObjectPath, probe};
use crate::base::ids::ProbeId;
use crate::base::limits;
use crate::base::wire;
use crate::clock;
use crate::error::{Error, ErrorKind};
use crate::format::envelope::{ObjectKind, Place, Sealed};
use crate::format::probe::{LONE, Probe};
use crate::format::record::Extra;
use crate::rng;

/// What is known of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreStanding {
    /// It keeps what the order of writes rests on: its driver sees to that, or a test showed it.
    Sound,
    /// It keeps all but one thing: of several who create one name more than one may be told that they have (S1). With what was found.
    Undecided(Vec<String>),
    /// Nobody has put it to the test, at this place.
    Untested,
    /// The last test found this.
    Unsound(Vec<String>),
}

impl StoreStanding {
    /// Why nothing may be deleted there; `None` if it may, by one prune at a time where the store is undecided.
    pub fn objection(&self) -> Option<String> {
        match self {
            Self::Sound | Self::Undecided(_) => None,
            Self::Untested => Some("this store was never put to the test here: `snap check --probe` does it".into()),
            Self::Unsound(failures) => Some(format!(
                "this store failed its test ({}): copy the repository to a folder or to another store, and do it there; once the store is better, `snap check --probe` tests it again",
                failures.join("; ")
            )),
        }
    }

    /// What is to be known before anything is deleted there, though it may be.
    pub fn reservation(&self) -> Option<String> {
        let Self::Undecided(failures) = self else { return None };
        Some(format!(
            "this store cannot decide between several who create one name ({}): one prune at a time deletes here, waits for all pushes, and ends none that runs",
            failures.join("; ")
        ))
    }
}

/// The standing that these records give the store of this name; one that cannot be read is `None`.
fn standing(records: &BTreeMap<ProbeId, Option<Probe>>, store: &str) -> StoreStanding {
    let counts = records.iter().filter(|(_, probe)| probe.as_ref().is_none_or(|probe| probe.store == store));
    let counts: BTreeMap<&ProbeId, &Option<Probe>> = counts.collect();
    let seen: BTreeSet<&ProbeId> = counts.values().filter_map(|probe| probe.as_ref()).flat_map(|probe| &probe.seen).collect();
    let heads: Vec<&Option<Probe>> = counts.into_iter().filter(|(id, _)| !seen.contains(id)).map(|(_, probe)| probe).collect();
    let unread = || vec!["the record of a test cannot be read".to_owned()];
    let failures: Vec<String> = heads.iter().flat_map(|probe| probe.as_ref().map_or_else(unread, |probe| probe.failures.clone())).collect();
    let had_lone = heads.iter().all(|probe| probe.as_ref().is_some_and(|probe| probe.extra.contains_key(LONE)));
    match (heads.is_empty(), failures.is_empty()) {
        (true, _) => StoreStanding::Untested,
        (false, true) => StoreStanding::Sound,
        (false, false) if had_lone && failures.iter().all(|failure| failure.starts_with("S1: ")) => StoreStanding::Undecided(failures),
        (false, false) => StoreStanding::Unsound(failures),
    }
}

impl Repo {
    /// What is known of the store that this repository is in.
    pub fn store_standing(&self) -> Result<StoreStanding, Error> {
        match self.backend.store_to_probe() {
            None => Ok(StoreStanding::Sound),
            Some(store) => Ok(standing(&self.probes()?, &store)),
        }
    }

    /// Puts the store to the test, and keeps what came of it where that is needed.
    ///
    /// # Errors
    /// When the store cannot be reached: then the last result stands.
    pub fn probe_store(&self, effort: Effort) -> Result<Vec<String>, Error> {
        let failures = probe(&*self.backend, effort)?;
        if let Some(store) = self.backend.store_to_probe() {
            self.check_writable()?;
            let seen = self.probes()?.into_keys().collect();
            let (time, host, program) = (self.now(), clock::host(), clock::PROGRAM.into());
            let extra = Extra::from([(LONE.to_owned(), Vec::new())]);
            let record = Probe { time, host, program, store, seen, failures: failures.clone(), extra };
            let path = ObjectPath::Probe(ProbeId::from_bytes(rng::bytes()?));
            if self.create_record(&path, ObjectKind::Probe, wire::encode(&record))? == Created::Exists {
                return Err(Error::new(ErrorKind::Failed, format!("{path} exists already, which chance does not explain")));
            }
        }
        Ok(failures)
    }

    /// Fails where a store is not known to keep what deleting rests on. Where it is undecided a turn is needed besides.
    pub(crate) fn check_store(&self, what: &str) -> Result<(), Error> {
        match self.store_standing()?.objection() {
            None => Ok(()),
            Some(why) => Err(Error::new(ErrorKind::Refused, format!("{what} is refused at {}, because {why}", self.location()))),
        }
    }

    /// All results of tests; those that cannot be read are `None`.
    fn probes(&self) -> Result<BTreeMap<ProbeId, Option<Probe>>, Error> {
        let mut probes = BTreeMap::new();
        for id in self.backend.list(Folder::Probes)?.iter().filter_map(|listed| listed.name.parse().ok()) {
            let path = ObjectPath::Probe(id);
            let read = || self.backend.read(&path, limits::RECORD_LEN).map_err(Some);
            match opened(&*self.backend, read, |object| self.open_probe(object, &path).ok_or(None)) {
                Ok((probe, _)) => _ = probes.insert(id, Some(probe)),
                Err(Some(error)) if !error.is_not_found() && !error.is_damage() => return Err(error.into()),
                Err(_) => _ = probes.insert(id, None),
            }
        }
        Ok(probes)
    }

    fn open_probe(&self, object: &[u8], path: &ObjectPath) -> Option<Probe> {
        let sealed = Sealed::parse(object, ObjectKind::Probe).ok()?;
        let key = self.keys.object(ObjectKind::Probe as u8, sealed.header.epoch, &sealed.header.salt);
        wire::decode(&sealed.open(&key, Place::Path(&path.to_string())).ok()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(of: u8) -> ProbeId {
        ProbeId::from_bytes([of; 32])
    }

    fn record(store: &str, seen: &[u8], failures: &[&str]) -> Option<Probe> {
        Some(Probe {
            time: clock::now(),
            host: "host".into(),
            program: "snap".into(),
            store: store.into(),
            seen: seen.iter().map(|of| id(*of)).collect(),
            failures: failures.iter().map(|what| (*what).to_owned()).collect(),
            extra: Extra::new(),
        })
    }

    fn of(records: Vec<Option<Probe>>) -> StoreStanding {
        standing(&records.into_iter().enumerate().map(|(number, record)| (id(number as u8), record)).collect(), "here")
    }

    #[test]
    fn the_results_that_no_later_one_has_seen_count() {
        let unsound = |what: &str| StoreStanding::Unsound(vec![what.to_owned()]);
        assert_eq!(of(vec![]), StoreStanding::Untested);
        assert_eq!(of(vec![record("here", &[], &[])]), StoreStanding::Sound);
        assert_eq!(of(vec![record("here", &[], &[]), record("here", &[0], &["S1: bad"])]), unsound("S1: bad"));
        assert_eq!(of(vec![record("here", &[], &["S1: bad"]), record("here", &[0], &[])]), StoreStanding::Sound);
        // Two at the same time both count.
        assert_eq!(of(vec![record("here", &[], &["S1: bad"]), record("here", &[], &[])]), unsound("S1: bad"));
    }

    #[test]
    fn a_store_that_fails_in_s1_alone_is_undecided_if_lone_names_were_tried() {
        let lone = |failures: &[&str]| {
            record("here", &[], failures).map(|probe| Probe { extra: Extra::from([(LONE.to_owned(), Vec::new())]), ..probe })
        };
        assert_eq!(of(vec![lone(&["S1: bad", "S1: worse"])]), StoreStanding::Undecided(vec!["S1: bad".into(), "S1: worse".into()]));
        assert!(matches!(of(vec![lone(&["S1: bad", "S3: late"])]), StoreStanding::Unsound(_)));
        assert!(matches!(of(vec![lone(&["S1: bad"]), record("here", &[], &[])]), StoreStanding::Unsound(_)));
        assert!(matches!(of(vec![lone(&["S1: bad"]), None]), StoreStanding::Unsound(_)));
        assert!(StoreStanding::Undecided(vec![]).objection().is_none());
    }

    #[test]
    fn a_result_of_another_store_says_nothing() {
        assert_eq!(of(vec![record("there", &[], &[])]), StoreStanding::Untested);
        assert_eq!(of(vec![record("here", &[], &["S1: bad"]), record("there", &[0], &[])]), StoreStanding::Unsound(vec!["S1: bad".into()]));
    }

    #[test]
    fn what_cannot_be_read_is_no_good_result_until_another_test_has_seen_it() {
        assert!(matches!(of(vec![None]), StoreStanding::Unsound(_)));
        assert!(matches!(of(vec![record("here", &[], &[]), None]), StoreStanding::Unsound(_)));
        assert_eq!(of(vec![None, record("here", &[0], &[])]), StoreStanding::Sound);
    }
}
