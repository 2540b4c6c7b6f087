//! Which snapshots belong together.

use std::str::FromStr;

use crate::format::snapshot::{Line, Snapshot};

/// What snapshots of one group have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupBy {
    /// The line of versions: the series, or, without one, host and paths. It is what a push compares with.
    Line,
    /// Those of these that are set; none: all are one group.
    These {
        /// Host.
        host: bool,
        /// Paths.
        paths: bool,
        /// Tags.
        tags: bool,
        /// Series.
        series: bool,
    },
}

/// A text that says no grouping.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no way to group snapshots: name some of host, paths, tags and series, separated by commas, or line, or nothing")]
pub struct GroupError(String);

impl GroupBy {
    /// The name of a snapshot's group, for people; two groups have two names.
    pub fn of(self, snapshot: &Snapshot) -> String {
        let paths = || snapshot.paths.iter().map(|path| format!("{:?}", String::from_utf8_lossy(path))).collect::<Vec<_>>().join(" ");
        match self {
            Self::Line => match snapshot.line() {
                Line::Series(series) => format!("series {series:?}"),
                Line::Source { host, .. } => format!("host {host:?} paths {}", paths()),
            },
            Self::These { host, paths: by_paths, tags, series: by_series } => {
                let mut parts = Vec::new();
                if host {
                    parts.push(format!("host {:?}", snapshot.host));
                }
                if by_paths {
                    parts.push(format!("paths {}", paths()));
                }
                if tags {
                    parts.push(format!("tags {:?}", snapshot.tags));
                }
                if by_series {
                    parts.push(snapshot.series.as_ref().map_or_else(|| "no series".to_owned(), |series| format!("series {series:?}")));
                }
                parts.join(" ")
            }
        }
    }
}

impl FromStr for GroupBy {
    type Err = GroupError;

    fn from_str(text: &str) -> Result<Self, GroupError> {
        if text.trim() == "line" {
            return Ok(Self::Line);
        }
        let (mut host, mut paths, mut tags, mut series) = (false, false, false, false);
        for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            match word {
                "host" => host = true,
                "path" | "paths" => paths = true,
                "tag" | "tags" => tags = true,
                "series" => series = true,
                _ => return Err(GroupError(text.to_owned())),
            }
        }
        Ok(Self::These { host, paths, tags, series })
    }
}
