//! Defects while they are collected: one for each spot, with the files that it hits.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::{Finding, Hit, Spot};
use crate::base::ids::PackId;

/// Hits that a finding names; the rest is counted.
const HITS: usize = 10;

/// What kind of thing is damaged, which decides when that does no harm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Anything but a pack: always a finding.
    Record,
    /// Blobs of a pack: harmless when they hit no file.
    Blobs,
    /// Blobs whose bases are in no pack: nothing is wrong as long as they hit no file.
    Dangling,
    /// Footer or name of a pack whose blobs can be read: harmless when all that is needed of the pack is in others, too.
    Frame(PackId),
}

#[derive(Debug)]
struct Defect {
    part: Part,
    problem: String,
    hits: Vec<Hit>,
    more: u64,
    last: Option<Hit>,
}

/// All defects by spot.
#[derive(Debug, Default)]
pub(super) struct Defects(BTreeMap<Spot, Defect>);

impl Defects {
    /// Adds a defect; what was said first of a spot stays.
    pub(super) fn add(&mut self, spot: Spot, part: Part, problem: impl Into<String>) {
        if let Entry::Vacant(place) = self.0.entry(spot) {
            place.insert(Defect { part, problem: problem.into(), hits: Vec::new(), more: 0, last: None });
        }
    }

    /// Adds a defect of a whole object.
    pub(super) fn object(&mut self, object: impl ToString, problem: impl Into<String>) {
        self.add((object.to_string(), 0, 0), Part::Record, problem);
    }

    /// Notes that a defect hits a file or directory. All hits of one file come one after the other.
    pub(super) fn hit(&mut self, spot: &Spot, hit: Hit) {
        let Some(defect) = self.0.get_mut(spot) else { return };
        if defect.last.as_ref() == Some(&hit) {
            return;
        }
        if defect.hits.len() < HITS {
            defect.hits.push(hit.clone());
        } else {
            defect.more += 1;
        }
        defect.last = Some(hit);
    }

    /// The packs of which footer or name are damaged.
    pub(super) fn frames(&self) -> impl Iterator<Item = PackId> {
        self.0.values().filter_map(|defect| match defect.part {
            Part::Frame(pack) => Some(pack),
            Part::Record | Part::Blobs | Part::Dangling => None,
        })
    }

    /// Findings, and those of packs that `is_note` calls harmless by the pack, where its frame is damaged, and the number of hits.
    pub(super) fn into_findings(self, is_note: impl Fn(Option<&PackId>, usize) -> bool) -> (Vec<Finding>, Vec<Finding>) {
        let (mut findings, mut notes) = (Vec::new(), Vec::new());
        for ((object, start, end), defect) in self.0 {
            if defect.part == Part::Dangling && defect.hits.is_empty() {
                continue;
            }
            let harmless = match &defect.part {
                Part::Record | Part::Dangling => false,
                Part::Blobs => is_note(None, defect.hits.len()),
                Part::Frame(pack) => is_note(Some(pack), defect.hits.len()),
            };
            let range = (end > 0).then_some(start..end);
            let finding = Finding { object, range, problem: defect.problem, hits: defect.hits, more_hits: defect.more };
            if harmless { &mut notes } else { &mut findings }.push(finding);
        }
        (findings, notes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::SnapshotId;

    #[test]
    fn a_file_that_a_spot_hits_in_many_chunks_is_named_once() {
        let spot = ("packs/x".to_owned(), 5, 9);
        let mut defects = Defects::default();
        defects.add(spot.clone(), Part::Blobs, "bad");
        let hit = |path: &str| Hit { snapshot: SnapshotId::from_bytes([1; 32]), path: path.to_owned() };
        for path in ["/a", "/a", "/b", "/b"] {
            defects.hit(&spot, hit(path));
        }
        (0..20).for_each(|i| defects.hit(&spot, hit(&i.to_string())));
        let (findings, notes) = defects.into_findings(|_, hits| hits == 0);
        assert_eq!((findings.len(), notes.len()), (1, 0));
        assert_eq!((findings[0].hits.len() as u64 + findings[0].more_hits, findings[0].range.clone()), (22, Some(5..9)));
    }
}
