//! `tag`: says something of snapshots after the fact: labels, refs, pins, metadata, a description (`spec/NOTES.md`). Snapshots themselves never
//! change; one note says it all.

use std::collections::BTreeSet;

use super::list::Item;
use crate::base::ids::SnapshotId;
use crate::error::{Error, ErrorKind};
use crate::format::note::Statement;
use crate::format::record::Time;
use crate::notes::pin_reason;
use crate::repo::{Repo, Standings};

/// What is said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// Labels that they get.
    pub add: Vec<String>,
    /// Labels that they lose.
    pub remove: Vec<String>,
    /// Their labels from now on, in place of those that they have.
    pub set: Option<Vec<String>>,
    /// Refs that point to the one snapshot from now on.
    pub refs: Vec<String>,
    /// Refs that point nowhere from now on, whatever they point to.
    pub unrefs: Vec<String>,
    /// That they are pinned.
    pub pin: Option<Hold>,
    /// That they are no longer pinned.
    pub unpin: bool,
    /// Metadata: what a key is from now on; `None` removes it.
    pub meta: Vec<(String, Option<String>)>,
    /// What they are, in words; an empty text removes it.
    pub description: Option<String>,
    /// Writes nothing, and reports what would be.
    pub dry_run: bool,
}

/// How a pin holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hold {
    /// Why.
    pub reason: Option<String>,
    /// Until when; `None` for ever.
    pub until: Option<Time>,
}

/// What was done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Snapshots of which something is said now that was not so before.
    pub changed: Vec<SnapshotId>,
    /// Refs that were taken away.
    pub unrefs: Vec<String>,
    /// Snapshots of which all was so already.
    pub unchanged: u64,
}

/// Says `options` of the snapshots `ids`. When it returns, that survives a power failure.
///
/// # Errors
/// Of kind [`ErrorKind::Usage`] when a snapshot is not there or is forgotten, a ref would point to several, or a name cannot be one.
pub fn tag(repo: &Repo, ids: &[SnapshotId], options: &Options) -> Result<Report, Error> {
    check_names(ids, options)?;
    let standings = repo.standing()?;
    let mut report = Report::default();
    let mut statements = Vec::new();
    for id in ids.iter().collect::<BTreeSet<_>>() {
        let before = statements.len();
        say(&mut statements, find(&standings, id)?, options);
        if statements.len() > before {
            report.changed.push(*id);
        } else {
            report.unchanged += 1;
        }
    }
    for name in &options.unrefs {
        if standings.fold.refs.get(name).and_then(|history| history.first()).is_none_or(|to| to.to.is_none()) {
            return Err(usage(format!("there is no ref '{name}': `snap list --refs` shows all")));
        }
        statements.push(Statement::Ref { name: name.clone(), snapshot: None });
        report.unrefs.push(name.clone());
    }
    if !options.dry_run {
        repo.write_notes(statements, &standings.fold.heads)?;
    }
    Ok(report)
}

/// What is to be said of one snapshot that is not so already.
fn say(statements: &mut Vec<Statement>, item: &Item, options: &Options) {
    let snapshot = item.id;
    let has = &item.snapshot.tags;
    let set = options.set.as_ref();
    let wanted = options.add.iter().chain(set.into_iter().flatten());
    let unwanted = options.remove.iter().chain(has.iter().filter(|tag| set.is_some_and(|set| !set.contains(tag))));
    let add: BTreeSet<&String> = wanted.filter(|tag| !has.contains(*tag)).collect();
    let remove: BTreeSet<&String> = unwanted.filter(|tag| has.contains(*tag) && !options.add.contains(tag)).collect();
    if !add.is_empty() || !remove.is_empty() {
        let owned = |tags: BTreeSet<&String>| tags.into_iter().cloned().collect();
        statements.push(Statement::Tags { snapshot, add: owned(add), remove: owned(remove) });
    }
    for (key, value) in &options.meta {
        if item.snapshot.meta.get(key) != value.as_ref() {
            statements.push(Statement::Meta { snapshot, key: key.clone(), value: value.clone() });
        }
    }
    if let Some(text) = &options.description {
        let text = Some(text.clone()).filter(|text| !text.is_empty());
        if item.snapshot.description != text {
            statements.push(Statement::Describe { snapshot, text });
        }
    }
    if options.unpin && !item.standing.pins.is_empty() {
        statements.push(Statement::Unpin { snapshot });
    }
    if let Some(hold) = &options.pin {
        let same = item.standing.pins.iter().any(|pin| pin.reason == hold.reason && pin.until == hold.until);
        if !same || options.unpin {
            statements.push(Statement::Pin { snapshot, reason: pin_reason(hold.reason.as_deref(), hold.until) });
        }
    }
    let moved = options.refs.iter().filter(|name| !item.snapshot.refs.contains(*name));
    statements.extend(moved.map(|name| Statement::Ref { name: name.clone(), snapshot: Some(snapshot) }));
}

fn find<'s>(standings: &'s Standings, id: &SnapshotId) -> Result<&'s Item, Error> {
    let fits = |item: &&Item| item.id == *id;
    if let Some(item) = standings.snapshots.iter().find(fits) {
        return Ok(item);
    }
    Err(match standings.forgotten.iter().find(fits) {
        Some(item) => {
            let id = item.id.short();
            usage(format!("{id} is forgotten: bring it back with `snap forget --undo {id}` first"))
        }
        None => usage(format!("there is no snapshot {id}: `snap list` shows all")),
    })
}

/// Refuses a name for a ref that would mean something else, or could not be asked for again.
///
/// # Errors
/// Of kind [`ErrorKind::Usage`].
pub fn check_ref(name: &str) -> Result<(), Error> {
    let odd = name.is_empty() || name == "latest" || name.starts_with('@') || name.contains("@{");
    if odd || name.chars().any(|c| c.is_whitespace() || c.is_control() || [':', '~', '#'].contains(&c)) {
        return Err(usage(format!("'{name}' cannot be the name of a ref: it is empty, 'latest', or has blanks or one of : ~ # @{{")));
    }
    Ok(())
}

/// Refuses what could not be asked for again.
fn check_names(ids: &[SnapshotId], options: &Options) -> Result<(), Error> {
    if !options.refs.is_empty() && ids.len() != 1 {
        return Err(usage(format!("a ref points to one snapshot, and {} are named", ids.len())));
    }
    options.refs.iter().try_for_each(|name| check_ref(name))?;
    if options.add.iter().chain(options.set.iter().flatten()).any(|tag| tag.is_empty() || tag.contains(',')) {
        return Err(usage("a label is not empty and has no comma".into()));
    }
    if options.meta.iter().any(|(key, _)| key.is_empty()) {
        return Err(usage("metadata has a key".into()));
    }
    Ok(())
}

fn usage(message: String) -> Error {
    Error::new(ErrorKind::Usage, message)
}
