//! `list`: the snapshots, and which one somebody means.
//!
//! [`Filter`] says which snapshots count, [`resolve`] finds the one that a text means, [`SnapPath`] splits what names a path within one.
//! Filters bound `latest`, refs, times and the steps back of `~N`; an id is an id whatever the filters say.

mod resolve;
mod snap_path;
mod time;

pub use resolve::resolve;
pub use snap_path::SnapPath;
pub use time::{Edge, parse_time, parse_until};

pub use crate::condition::Condition;
pub use crate::repo::StoredSnapshot as Item;

use crate::error::Error;
use crate::format::record::Time;
use crate::notes::Move;
use crate::repo::{Repo, Standings};

/// Which snapshots count: those that fulfil all that is set.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Filter {
    /// Of this series.
    pub series: Option<String>,
    /// With all labels of at least one of these lists.
    pub tags: Vec<Vec<String>>,
    /// Taken on this host.
    pub host: Option<String>,
    /// Made of this path, as the snapshot records it: absolute, byte for byte.
    pub path: Option<Vec<u8>>,
    /// Taken at this time or later.
    pub since: Option<Time>,
    /// Taken at this time or earlier.
    pub until: Option<Time>,
    /// For which all of these hold.
    pub conditions: Vec<Condition>,
}

impl Filter {
    /// Whether `item` counts.
    pub fn matches(&self, item: &Item) -> bool {
        let snapshot = &item.snapshot;
        let tagged = |tags: &Vec<String>| tags.iter().all(|tag| snapshot.tags.contains(tag));
        self.series.as_ref().is_none_or(|series| snapshot.series.as_ref() == Some(series))
            && (self.tags.is_empty() || self.tags.iter().any(tagged))
            && self.host.as_ref().is_none_or(|host| snapshot.host == *host)
            && self.path.as_ref().is_none_or(|path| snapshot.paths.contains(path))
            && self.since.is_none_or(|since| snapshot.time >= since)
            && self.until.is_none_or(|until| snapshot.time <= until)
            && self.conditions.iter().all(|condition| condition.holds(item))
    }
}

/// The snapshots that a filter lets through.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Listing {
    /// Those that are not forgotten, oldest first.
    pub items: Vec<Item>,
    /// Those that are and that no prune has dropped, oldest first.
    pub forgotten: Vec<Item>,
    /// How many snapshots there are besides of which the record cannot be read: nobody knows whether the filter lets them through.
    pub unread: u64,
}

/// All that can be said of the snapshots that `filter` lets through. A record that cannot be read is counted, and a
/// [warning](Repo::take_warnings).
///
/// # Errors
/// When the repository cannot be read.
pub fn listing(repo: &Repo, filter: &Filter) -> Result<Listing, Error> {
    let Standings { mut snapshots, mut forgotten, unread_snapshots, .. } = repo.shown_standing()?;
    snapshots.retain(|item| filter.matches(item));
    forgotten.retain(|item| filter.matches(item));
    Ok(Listing { items: snapshots, forgotten, unread: unread_snapshots.len() as u64 })
}

/// The snapshots that `filter` lets through, oldest first.
///
/// # Errors
/// When the repository cannot be read.
pub fn list(repo: &Repo, filter: &Filter) -> Result<Vec<Item>, Error> {
    listing(repo, filter).map(|listing| listing.items)
}

/// Where a ref pointed at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefMove {
    /// The ref.
    pub name: String,
    /// The `N` of `REF@{N}`: 0 is where it points now.
    pub back: u64,
    /// Where to, since when, and by whom.
    pub to: Move,
}

/// All moves of all refs, by name and from the last one back; with a filter only those to snapshots that it lets through.
///
/// # Errors
/// When a snapshot cannot be read.
pub fn refs(repo: &Repo, filter: &Filter) -> Result<Vec<RefMove>, Error> {
    let standings = repo.shown_standing()?;
    let mut moves = Vec::new();
    for (name, history) in &standings.fold.refs {
        let history = standings.history(history, |item| filter.matches(item), *filter == Filter::default());
        moves.extend(history.enumerate().map(|(back, to)| RefMove { name: name.clone(), back: back as u64, to: to.clone() }));
    }
    Ok(moves)
}
