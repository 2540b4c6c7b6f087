//! How many requests were made, by what they asked for and of which kind of object: what a bucket costs besides its bytes.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Folder;

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// To read an object, or a range of it.
    Get,
    /// To create an object.
    Put,
    /// For one page of a listing.
    List,
    /// For an object's length.
    Head,
    /// To delete an object.
    Delete,
}

impl Asked {
    const ALL: [Self; 5] = [Self::Get, Self::Put, Self::List, Self::Head, Self::Delete];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Put => "put",
            Self::List => "list",
            Self::Head => "head",
            Self::Delete => "delete",
        }
    }
}

/// Of which kind of object: the name of its folder, or of the config.
const KINDS: [&str; 10] = ["config", "keys", "packs", "index", "sessions", "snapshots", "notes", "gc", "probes", "trials"];

/// So many requests of one sort. Each attempt counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestCount {
    /// The folder of the objects, or `config`.
    pub kind: &'static str,
    /// What was asked for.
    pub asked: Asked,
    /// How often.
    pub count: u64,
}

impl fmt::Display for RequestCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.kind, self.asked.name(), self.count)
    }
}

/// Counts requests. Several threads may.
#[derive(Debug, Default)]
pub struct Requests([[AtomicU64; Asked::ALL.len()]; KINDS.len()]);

impl Requests {
    /// One more; `folder` is `None` for the config.
    pub fn add(&self, folder: Option<Folder>, asked: Asked) {
        let name = folder.map_or("config", Folder::name);
        let kind = KINDS.iter().position(|kind| *kind == name).expect("each folder has its kind");
        self.0[kind][asked as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Those that were made.
    pub fn counts(&self) -> Vec<RequestCount> {
        let of = |(kind, counts): (&&'static str, &[AtomicU64; Asked::ALL.len()])| {
            let kind = *kind;
            let count = |asked: Asked| RequestCount { kind, asked, count: counts[asked as usize].load(Ordering::Relaxed) };
            Asked::ALL.map(count).into_iter().filter(|made| made.count > 0)
        };
        KINDS.iter().zip(&self.0).flat_map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_by_kind_and_by_what_they_ask_for() {
        let requests = Requests::default();
        for folder in Folder::ALL.into_iter().chain([Folder::Probes, Folder::Trials]) {
            requests.add(Some(folder), Asked::List);
        }
        requests.add(None, Asked::Get);
        requests.add(Some(Folder::Packs), Asked::Put);
        requests.add(Some(Folder::Packs), Asked::Put);
        let counts = requests.counts();
        assert_eq!(counts.len(), 11);
        assert_eq!(counts[0].to_string(), "config get 1");
        assert!(counts.contains(&RequestCount { kind: "packs", asked: Asked::Put, count: 2 }));
    }
}
