//! Comparing a copy with what it is a copy of: the same names, metadata, bytes and holes, read from both repositories.

use crate::base::ids::NodeId;
use crate::base::limits;
use crate::error::{Error, ErrorKind};
use crate::format::entry::{Entry, Kind};
use crate::merkle::EntriesCursor;
use crate::monitor::Monitor;
use crate::pipeline::data_ranges;
use crate::repo::{Part, Repo, StoredFile};

/// Compares the trees below two roots of snapshots.
///
/// # Errors
/// Of kind [`ErrorKind::Damage`], naming the first path that differs or cannot be read.
pub(super) fn snapshots(from: &Repo, root: NodeId, to: &Repo, copy: NodeId, monitor: &dyn Monitor) -> Result<(), Error> {
    let _past = to.past_cache();
    let lists = (EntriesCursor::new(from, Some(root)), EntriesCursor::new(to, Some(copy)));
    let (mut path, mut levels) = (Vec::new(), vec![(0, lists)]);
    while let Some((len, (source, copy))) = levels.last_mut() {
        path.truncate(*len);
        let (entry, copied) = match (source.next()?, copy.next()?) {
            (None, None) => {
                levels.pop();
                continue;
            }
            (Some(entry), Some(copied)) => (entry, copied),
            (Some(entry), None) | (None, Some(entry)) => return Err(differs(&path, &entry.name, "is in one of the two alone")),
        };
        if entry.name != copied.name {
            return Err(differs(&path, entry.name.as_slice().min(&copied.name), "is in one of the two alone"));
        }
        if entry.meta != copied.meta {
            return Err(differs(&path, &entry.name, "has other metadata"));
        }
        // The root's own name is nobody's.
        if levels.len() > 1 {
            path.push(b'/');
            path.extend_from_slice(&entry.name);
        }
        match (&entry.kind, &copied.kind) {
            (Kind::Directory { entries }, Kind::Directory { entries: copied }) => {
                if levels.len() > limits::TREE_DEPTH {
                    return Err(Error::new(ErrorKind::Damage, "directories lie within each other deeper than any writer makes them"));
                }
                levels.push((path.len(), (EntriesCursor::new(from, *entries), EntriesCursor::new(to, *copied))));
            }
            (Kind::File { .. }, Kind::File { .. }) => {
                if monitor.interrupted() {
                    return Err(Error::new(ErrorKind::Interrupted, "interrupted while a copy was compared"));
                }
                if !same_bytes(from, &entry, to, &copied)? {
                    return Err(differs(&path, b"", "has other bytes, or other holes"));
                }
            }
            (one, other) if one == other => {}
            _ => return Err(differs(&path, b"", "is something else")),
        }
    }
    Ok(())
}

fn same_bytes(from: &Repo, entry: &Entry, to: &Repo, copied: &Entry) -> Result<bool, Error> {
    let (Some(source), Some(mut copy)) = (StoredFile::new(from, entry), StoredFile::new(to, copied)) else { return Ok(false) };
    if source.len() != copy.len() || data_ranges(&source)? != data_ranges(&copy)? {
        return Ok(false);
    }
    let (mut at, mut same, mut buffer) = (0, true, Vec::new());
    source.for_each(&mut |part| {
        match part {
            Part::Hole(len) => at += len,
            Part::Bytes(bytes) => {
                buffer.resize(bytes.len(), 0);
                copy.read_at(at, &mut buffer)?;
                same &= buffer == bytes;
                at += bytes.len() as u64;
            }
        }
        Ok(())
    })?;
    Ok(same)
}

fn differs(path: &[u8], name: &[u8], why: &str) -> Error {
    let at = String::from_utf8_lossy(path);
    let message = match name {
        [] => format!("'{at}' {why}"),
        name => format!("'{at}/{}' {why}", String::from_utf8_lossy(name)),
    };
    Error::new(ErrorKind::Damage, message)
}
