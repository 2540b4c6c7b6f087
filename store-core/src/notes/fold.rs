//! The fold of all notes (`spec/NOTES.md`, section 2).

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::made::seen_by;
use super::order::{At, Order};
use super::refs::{Move, Moves, by_snapshot};
use super::{Forgotten, Made, Pin, Standing, StoredNote, StoredSnapshot, terms};
use crate::base::ids::{NoteId, SnapshotId};
use crate::format::note::{Note, Statement};
use crate::format::record::Time;

/// What is said, by whom and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// What.
    pub text: String,
    /// By whom.
    pub by: String,
    /// When.
    pub time: Time,
    /// In which note.
    pub note: NoteId,
}

/// The stored retention policy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Policy {
    /// There is none.
    #[default]
    None,
    /// As TOML.
    One(Told),
    /// Set at the same time by several who did not know of each other. None of them governs.
    Several(Vec<Told>),
}

/// What all notes say together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fold {
    /// Notes that no other note has seen: what the next note lists as seen.
    pub heads: BTreeSet<NoteId>,
    /// Notes that somebody has seen and that are not there or cannot be read. While there are any, nothing counts as forgotten.
    pub lost: BTreeSet<NoteId>,
    /// Each ref with its moves, the last one first.
    pub refs: BTreeMap<String, Vec<Move>>,
    /// The policy.
    pub policy: Policy,
}

/// Folds `notes`, and writes into `snapshots` what they say of each. `unread` are notes that are there and cannot be read.
pub fn fold(notes: &[StoredNote], unread: &BTreeSet<NoteId>, snapshots: &mut [StoredSnapshot]) -> Fold {
    let order = Order::new(notes);
    let mut about: HashMap<SnapshotId, About<'_>> = HashMap::new();
    let mut named: HashMap<SnapshotId, usize> = HashMap::new();
    let (mut moves, mut policies, mut given_up) = (Moves::default(), Vec::new(), Vec::new());
    let mut words: HashMap<SnapshotId, Made> = HashMap::new();
    for (place, stored) in order.notes.iter().enumerate() {
        let note = &stored.note;
        if note.statements.is_empty() {
            given_up.push(place);
        }
        for (number, statement) in note.statements.iter().enumerate() {
            let at = At { note: place, statement: number };
            match statement {
                Statement::Policy { toml } => {
                    policies.retain(|(known, _)| !order.has_seen(at, *known));
                    policies.push((at, told(stored, toml)));
                }
                Statement::Ref { name, snapshot } => {
                    moves.note(name, at, Move { to: *snapshot, time: note.time, by: note.author.clone() });
                }
                Statement::Forget { snapshot, reason } => {
                    if let (Entry::Vacant(first), Some(made)) = (words.entry(*snapshot), Made::told(reason)) {
                        first.insert(made);
                    }
                }
                _ => {}
            }
            if let Some(id) = subject(statement) {
                named.entry(id).or_insert(place);
                about.entry(id).or_default().take(at, note, statement);
            }
        }
    }
    let mut of_records: HashMap<SnapshotId, Option<Made>> =
        snapshots.iter().filter(|stored| !stored.standing.is_unread).map(|stored| (stored.id, Made::of(&stored.snapshot))).collect();
    let by_records = of_records.iter().filter_map(|(id, made)| Some((*id, made.as_ref()?)));
    let by_word = words.iter().filter(|(id, _)| !of_records.contains_key(id)).map(|(id, made)| (*id, made));
    moves.snapshots(by_records.chain(by_word), &order, &named);
    let mut lost: BTreeSet<NoteId> = missing(notes, snapshots).union(unread).copied().collect();
    for place in &given_up {
        lost.retain(|id| !order.notes[*place].note.seen.contains(id));
    }
    let refs = moves.histories();
    let names = by_snapshot(&refs);
    for StoredSnapshot { id, snapshot, standing } in snapshots.iter_mut() {
        let about = about.remove(id).unwrap_or_default();
        about.tags.into_iter().for_each(|(tag, changes)| changes.apply(&order, tag, &mut snapshot.tags));
        for (key, value) in about.meta {
            match value {
                Some(value) => drop(snapshot.meta.insert(key.to_owned(), value.to_owned())),
                None => drop(snapshot.meta.remove(key)),
            }
        }
        if let Some(text) = about.description {
            snapshot.description = text.map(str::to_owned);
        }
        *standing = Standing { is_unread: standing.is_unread, ..about.dropping.standing(&order, &given_up) };
        standing.forgotten = standing.forgotten.take().filter(|_| lost.is_empty());
        standing.made = of_records.remove(id).flatten();
        standing.is_told = words.contains_key(id);
        snapshot.refs = BTreeSet::new();
        if let Some(names) = names.get(id) {
            snapshot.refs = names.now.iter().map(|name| (*name).to_owned()).collect();
            standing.left = names.left.iter().map(|(name, time)| ((*name).to_owned(), *time)).collect();
        }
    }
    Fold { heads: order.heads(), lost, refs, policy: policy(policies) }
}

fn told(stored: &StoredNote, text: &str) -> Told {
    Told { text: text.to_owned(), by: stored.note.author.clone(), time: stored.note.time, note: stored.id }
}

fn policy(found: Vec<(At, Told)>) -> Policy {
    let mut found: Vec<Told> = found.into_iter().map(|(_, told)| told).collect();
    match found.pop() {
        None => Policy::None,
        Some(last) if found.iter().all(|other| other.text == last.text) => Policy::One(last),
        Some(last) => Policy::Several(found.into_iter().chain([last]).collect()),
    }
}

/// Which snapshot a statement is about.
fn subject(statement: &Statement) -> Option<SnapshotId> {
    match statement {
        Statement::Tags { snapshot, .. }
        | Statement::Pin { snapshot, .. }
        | Statement::Unpin { snapshot }
        | Statement::Meta { snapshot, .. }
        | Statement::Forget { snapshot, .. }
        | Statement::Unforget { snapshot }
        | Statement::Describe { snapshot, .. } => Some(*snapshot),
        Statement::Ref { snapshot, .. } => *snapshot,
        Statement::Policy { .. } => None,
    }
}

/// Notes that others or snapshots have seen, and that are not among `notes`.
pub fn missing(notes: &[StoredNote], snapshots: &[StoredSnapshot]) -> BTreeSet<NoteId> {
    let known: BTreeSet<NoteId> = notes.iter().map(|stored| stored.id).collect();
    let by_notes = notes.iter().flat_map(|stored| stored.note.seen.iter().copied());
    let by_snapshots = snapshots.iter().flat_map(|stored| seen_by(&stored.snapshot));
    by_notes.chain(by_snapshots).filter(|id| !known.contains(id)).collect()
}

/// What notes say of one snapshot.
#[derive(Default)]
struct About<'n> {
    tags: BTreeMap<&'n str, Changes>,
    meta: BTreeMap<&'n str, Option<&'n str>>,
    description: Option<Option<&'n str>>,
    dropping: Dropping<'n>,
}

impl<'n> About<'n> {
    /// Takes the next statement in the order.
    fn take(&mut self, at: At, note: &'n Note, statement: &'n Statement) {
        match statement {
            Statement::Tags { add, remove, .. } => {
                // Of one statement, what is added stays.
                remove.iter().for_each(|tag| put(&mut self.tags.entry(tag).or_default().removed, at));
                add.iter().for_each(|tag| put(&mut self.tags.entry(tag).or_default().added, at));
            }
            Statement::Meta { key, value, .. } => drop(self.meta.insert(key, value.as_deref())),
            Statement::Describe { text, .. } => self.description = Some(text.as_deref()),
            Statement::Pin { reason, .. } => self.dropping.pins.push((at, note, reason.as_deref())),
            Statement::Unpin { .. } => put(&mut self.dropping.unpins, at),
            Statement::Forget { reason, .. } => {
                self.dropping.forgets.pop_if(|(last, ..)| last.note == at.note);
                self.dropping.forgets.push((at, note, reason));
                return;
            }
            Statement::Ref { .. } | Statement::Unforget { .. } | Statement::Policy { .. } => {}
        }
        put(&mut self.dropping.others, at);
    }
}

/// Keeps of each note the last statement: who has seen that has seen the others, and it has seen all that they have.
fn put(statements: &mut Vec<At>, at: At) {
    match statements.last_mut() {
        Some(last) if last.note == at.note => *last = at,
        _ => statements.push(at),
    }
}

/// Where a tag was added and removed.
#[derive(Default)]
struct Changes {
    added: Vec<At>,
    removed: Vec<At>,
}

impl Changes {
    fn apply(&self, order: &Order<'_>, tag: &str, tags: &mut BTreeSet<String>) {
        let stays = |added: &At| !self.removed.iter().any(|removed| order.has_seen(*removed, *added));
        if self.added.iter().any(stays) {
            tags.insert(tag.to_owned());
        } else if !self.removed.is_empty() {
            tags.remove(tag);
        }
    }
}

/// What is said for and against dropping a snapshot.
#[derive(Default)]
struct Dropping<'n> {
    forgets: Vec<(At, &'n Note, &'n str)>,
    pins: Vec<(At, &'n Note, Option<&'n str>)>,
    unpins: Vec<At>,
    /// All that is no forgetting.
    others: Vec<At>,
}

impl Dropping<'_> {
    fn standing(&self, order: &Order<'_>, given_up: &[usize]) -> Standing {
        let holds = |(at, ..): &&(At, &Note, Option<&str>)| !self.unpins.iter().any(|unpin| order.has_seen(*unpin, *at));
        let pin = |(_, note, text): &(At, &Note, Option<&str>)| {
            let (reason, until) = terms::read_pin(*text);
            Pin { by: note.author.clone(), time: note.time, reason: reason.map(str::to_owned), until }
        };
        let pins: Vec<Pin> = self.pins.iter().filter(holds).map(pin).collect();
        let counts = |(at, note, _): &&(At, &Note, &str)| {
            self.others.iter().all(|other| order.has_seen(*at, *other))
                && given_up.iter().all(|place| order.note_has_seen(at.note, *place))
                && pins.iter().all(|pin| pin.until.is_some_and(|until| until <= note.time))
        };
        let forgotten = self.forgets.iter().filter(counts).map(|(_, note, text)| {
            let (reason, trash) = terms::read_forget(text);
            let seconds = note.time.seconds.saturating_add_unsigned(trash);
            let until = (trash > 0).then_some(Time { seconds, ..note.time });
            Forgotten { by: note.author.clone(), time: note.time, reason: reason.to_owned(), until }
        });
        // The last one tells why; the one that keeps longest tells until when.
        let forgotten = forgotten.reduce(|a, b| Forgotten { until: a.until.max(b.until), ..b });
        Standing { pins, forgotten, ..Standing::default() }
    }
}
