//! Refs and their history (`spec/NOTES.md`, section 2): moves by notes, and by snapshots that were made with a ref, as their records say or,
//! where those are gone, forgettings tell.

use std::collections::{BTreeMap, HashMap};

use super::Made;
use super::order::{At, Order};
use crate::base::ids::SnapshotId;
use crate::format::record::Time;

/// A ref came to point somewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// Where to; `None`: nowhere.
    pub to: Option<SnapshotId>,
    /// When, by the clock of whoever moved it.
    pub time: Time,
    /// Who moved it.
    pub by: String,
}

/// Where a move stands among all: notes at their place, snapshots before the note at theirs.
type Key = (usize, Option<At>, Time, Option<SnapshotId>);

/// Moves as they are found.
#[derive(Default)]
pub(super) struct Moves(BTreeMap<String, Vec<(Key, Move)>>);

impl Moves {
    /// A note moves a ref.
    pub(super) fn note(&mut self, name: &str, at: At, to: Move) {
        self.0.entry(name.to_owned()).or_default().push(((at.note, Some(at), to.time, None), to));
    }

    /// Snapshots move the refs that they were made with. `named` says which note named a snapshot first.
    pub(super) fn snapshots<'m>(
        &mut self,
        made: impl Iterator<Item = (SnapshotId, &'m Made)>,
        order: &Order<'_>,
        named: &HashMap<SnapshotId, usize>,
    ) {
        // The latest time up to each place: where that is not later, no note is.
        let latest: Vec<Time> = order
            .notes
            .iter()
            .scan(None, |latest: &mut Option<Time>, stored| {
                *latest = Some(latest.map_or(stored.note.time, |latest| latest.max(stored.note.time)));
                *latest
            })
            .collect();
        for (id, made) in made {
            let after = made.seen.iter().filter_map(|seen| order.place(seen)).max().map_or(0, |place| place + 1);
            let before = named.get(&id).copied().unwrap_or(order.notes.len());
            let from = latest.partition_point(|time| *time <= made.time).max(after);
            let later = (from..before).find(|place| order.notes[*place].note.time > made.time);
            let key = (later.unwrap_or(before), None, made.time, Some(id));
            for name in &made.refs {
                let to = Move { to: Some(id), time: made.time, by: made.by.clone() };
                self.0.entry(name.clone()).or_default().push((key, to));
            }
        }
    }

    /// The history of each ref, the last move first.
    pub(super) fn histories(self) -> BTreeMap<String, Vec<Move>> {
        let history = |mut moves: Vec<(Key, Move)>| {
            moves.sort_by_key(|(key, _)| *key);
            let mut history: Vec<Move> = moves.into_iter().map(|(_, to)| to).collect();
            history.dedup_by(|next, last| next.to == last.to);
            history.reverse();
            history
        };
        self.0.into_iter().map(|(name, moves)| (name, history(moves))).collect()
    }
}

/// Which refs point to each snapshot, and which did and since when they do not.
pub(super) fn by_snapshot(refs: &BTreeMap<String, Vec<Move>>) -> HashMap<SnapshotId, Names<'_>> {
    let mut found: HashMap<SnapshotId, Names<'_>> = HashMap::new();
    for (name, history) in refs {
        if let Some(id) = history.first().and_then(|to| to.to) {
            found.entry(id).or_default().now.push(name);
        }
        for pair in history.windows(2) {
            // Newest first: the first time that is met is that of the last leaving.
            let Some(id) = pair[1].to.filter(|id| history[0].to != Some(*id)) else { continue };
            found.entry(id).or_default().left.entry(name).or_insert(pair[0].time);
        }
    }
    found
}

/// Refs of one snapshot.
#[derive(Debug, Default)]
pub(super) struct Names<'n> {
    pub(super) now: Vec<&'n str>,
    pub(super) left: BTreeMap<&'n str, Time>,
}
