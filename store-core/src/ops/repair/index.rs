//! `repair index`: makes index segments from pack footers alone.

use std::collections::HashSet;

use crate::backend::{Folder, ObjectPath};
use crate::base::ids::{PackId, SegmentId};
use crate::error::{Error, ErrorKind, chain};
use crate::format::segment::{PackEntry, Segment};
use crate::monitor::{Monitor, Progress, Warning};
use crate::repo::Repo;

/// Packs that one new segment speaks of.
const SEGMENT_PACKS: usize = 64;

/// What was done, or would be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Report {
    /// Packs that there are.
    pub packs: u64,
    /// Packs that no readable segment named, and that are named now.
    pub added_packs: u64,
    /// Chunks and nodes in those.
    pub chunks: u64,
    /// Segments that could not be read, and are removed.
    pub damaged_segments: u64,
    /// Segments that were written.
    pub segments: u64,
    /// Packs whose footer cannot be read.
    pub unreadable_packs: u64,
}

/// Names in new segments every pack that no readable segment names, removes segments that cannot be read, and drops this host's chunk index,
/// which the next command builds again. `trial` only reports.
pub fn index(repo: &Repo, trial: bool, monitor: &dyn Monitor) -> Result<Report, Error> {
    let _past = repo.past_cache();
    if !trial {
        repo.check_writable()?;
    }
    let mut report = Report::default();
    let (mut named, mut damaged) = (HashSet::<PackId>::new(), Vec::new());
    for listed in repo.backend.list(Folder::Segments)? {
        let Ok(id) = listed.name.parse::<SegmentId>() else { continue };
        match repo.read_segment(&id) {
            Ok(segment) => named.extend(segment.packs.iter().map(|pack| pack.id)),
            Err(error) if error.kind() == ErrorKind::Damage => {
                monitor.warning(&Warning { item: ObjectPath::Segment(id).to_string(), message: chain(&error) });
                damaged.push(id);
            }
            Err(error) => return Err(error),
        }
    }
    report.damaged_segments = damaged.len() as u64;
    // What a prune is about to delete needs no name.
    let condemned = repo.condemned()?;
    let packs = repo.backend.list(Folder::Packs)?;
    report.packs = packs.len() as u64;
    let mut segment = Segment::default();
    for (done, listed) in packs.iter().enumerate() {
        if monitor.interrupted() {
            return Err(Error::new(ErrorKind::Interrupted, "interrupted: repair the index again to go on"));
        }
        monitor.progress(&Progress { files_done: done as u64, files_total: packs.len() as u64, ..Progress::default() });
        let Some(id) = listed.name.parse::<PackId>().ok().filter(|id| !named.contains(id) && !condemned.contains(id)) else { continue };
        match repo.pack_contents(&id, listed.len) {
            Ok(contents) => {
                if !segment.has_room(&contents) {
                    write(repo, &mut segment, trial, &mut report)?;
                }
                report.added_packs += 1;
                report.chunks += contents.blobs.iter().map(|blob| blob.ids.len() as u64).sum::<u64>();
                segment.packs.push(PackEntry { id, len: listed.len, contents });
            }
            Err(error) => {
                report.unreadable_packs += 1;
                monitor.warning(&Warning { item: ObjectPath::Pack(id).to_string(), message: chain(&error) });
            }
        }
        if segment.packs.len() >= SEGMENT_PACKS {
            write(repo, &mut segment, trial, &mut report)?;
        }
    }
    write(repo, &mut segment, trial, &mut report)?;
    if !trial {
        // Only once all that they may have said stands in other segments.
        if report.unreadable_packs == 0 {
            damaged.iter().try_for_each(|id| repo.backend.delete(&ObjectPath::Segment(*id)))?;
        }
        repo.index.discard()?;
    }
    Ok(report)
}

fn write(repo: &Repo, segment: &mut Segment, trial: bool, report: &mut Report) -> Result<(), Error> {
    let segment = std::mem::take(segment);
    if segment.packs.is_empty() {
        return Ok(());
    }
    report.segments += 1;
    if !trial {
        repo.create_segment(&segment)?;
    }
    Ok(())
}
