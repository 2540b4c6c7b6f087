//! Sketches for chunks whose index segments have none, since they were made from pack footers (`spec/INDEX.md`, section 8): later versions are coded
//! against what they resemble again. Nothing but size depends on them.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::backend::{Folder, ObjectPath};
use crate::base::ids::{ChunkId, NodeId, PackId, SegmentId};
use crate::blob::{dtype_of, kind_of_bases};
use crate::error::{Error, ErrorKind, chain};
use crate::format::blob::{BlobKind, Frame};
use crate::format::entry::{Content, Extent, Kind};
use crate::format::node::Node;
use crate::format::pack::{PackContents, Sketch};
use crate::format::segment::PackEntry;
use crate::index::{Location, PackNumber};
use crate::merkle::NodeSource as _;
use crate::monitor::{Monitor, Progress, Warning};
use crate::pipeline::lines;
use crate::repo::{Repo, StoredSnapshot};
use crate::sketch::{self, LEAST, Sketcher};

/// What was done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SketchesReport {
    /// Packs that an index segment gives sketches for now, and none did before.
    pub packs: u64,
    /// Chunks that have one now.
    pub chunks: u64,
    /// Stored bytes of blobs that were read for it.
    pub read_bytes: u64,
    /// Segments that were written in place of others.
    pub segments: u64,
}

/// Makes the sketches of packs that have none, as far as the newest snapshot of each line of versions refers to them: that is what the next one
/// resembles. Reads of these packs no more than a restore of those snapshots does. What cannot be read is passed over with a warning.
///
/// # Errors
/// When the repository cannot be read or written at all, or the monitor interrupts: what was made by then stays, and the next call goes on.
pub fn sketches(repo: &Repo, monitor: &dyn Monitor) -> Result<SketchesReport, Error> {
    repo.check_writable()?;
    let segments = segments(repo)?;
    let bare = bare(repo, &segments)?;
    if bare.is_empty() {
        return Ok(SketchesReport::default());
    }
    repo.refresh()?;
    let mut numbers = HashMap::new();
    for pack in &bare {
        numbers.extend(repo.index()?.number(pack)?.map(|number| (number, *pack)));
    }
    let mut wanted = Wanted { repo, numbers, monitor, seen: HashSet::new(), blobs: BTreeSet::new() };
    for stored in newest(repo.snapshots()?) {
        wanted.look(&stored)?;
    }
    let Wanted { numbers, blobs, .. } = wanted;
    let before = repo.reader.read_bytes();
    let mut made = Made::default();
    let sketcher = Sketcher::new(&repo.keys);
    for (done, (pack, ordinal)) in blobs.iter().enumerate() {
        stop_if_interrupted(monitor)?;
        monitor.progress(&Progress { files_done: done as u64, files_total: blobs.len() as u64, ..Progress::default() });
        let whole = Location { pack: *pack, ordinal: *ordinal, start: 0, len: 0, depth: 0 };
        let Some(frame) = repo.frame_at(&whole) else { continue };
        match repo.blob_bytes(&whole) {
            Ok((bytes, id)) => made.extend(sketches_of(&sketcher, &frame, &bytes).map(|sketches| ((id, *ordinal), sketches))),
            Err(error) => {
                let item = ObjectPath::Pack(numbers[pack]).to_string();
                monitor.warning(&Warning { item, message: chain(&Error::from(error)) });
            }
        }
    }
    let mut report = SketchesReport { read_bytes: repo.reader.read_bytes() - before, ..SketchesReport::default() };
    let has_any = made.keys().map(|(pack, _)| *pack).collect();
    for id in &segments {
        replace(repo, *id, &has_any, &made, &mut report)?;
    }
    repo.index.discard()?;
    Ok(report)
}

/// Sketches of blobs, by pack and ordinal.
type Made = HashMap<(PackId, u32), Vec<Sketch>>;

fn stop_if_interrupted(monitor: &dyn Monitor) -> Result<(), Error> {
    match monitor.interrupted() {
        true => Err(Error::new(ErrorKind::Interrupted, "interrupted: repair the index again to go on")),
        false => Ok(()),
    }
}

/// The segments that can be read and that no other one supersedes.
fn segments(repo: &Repo) -> Result<BTreeSet<SegmentId>, Error> {
    let (mut found, mut superseded) = (BTreeSet::new(), BTreeSet::new());
    for listed in repo.backend.list(Folder::Segments)? {
        let Ok(id) = listed.name.parse::<SegmentId>() else { continue };
        match repo.read_listed(&id) {
            Ok(Some(segment)) => {
                found.insert(id);
                superseded.extend(segment.supersedes);
            }
            Ok(None) => {}
            // Replaced by whoever repairs the index.
            Err(error) if error.kind() == ErrorKind::Damage => {}
            Err(error) => return Err(error),
        }
    }
    found.retain(|id| !superseded.contains(id));
    Ok(found)
}

/// The packs with chunks that could have sketches, and for which no segment gives any.
fn bare(repo: &Repo, segments: &BTreeSet<SegmentId>) -> Result<BTreeSet<PackId>, Error> {
    let (mut bare, mut others) = (BTreeSet::new(), HashSet::new());
    for id in segments {
        for PackEntry { id, contents, .. } in repo.read_listed(id)?.into_iter().flat_map(|segment| segment.packs) {
            if contents.blobs.iter().any(|blob| !blob.sketches.is_empty()) {
                others.insert(id);
            } else if contents.blobs.iter().any(|blob| may_have_sketches(&blob.frame)) {
                bare.insert(id);
            }
        }
    }
    bare.retain(|id| !others.contains(id));
    Ok(bare)
}

fn may_have_sketches(frame: &Frame) -> bool {
    frame.kind == BlobKind::Data && frame.chunk_lens.iter().any(|len| *len as usize >= LEAST)
}

/// Those of the chunks of a blob, as a push makes them; `None` if none has one.
fn sketches_of(sketcher: &Sketcher, frame: &Frame, bytes: &[u8]) -> Option<Vec<Sketch>> {
    let (dtype, mut rest) = (dtype_of(frame), bytes);
    let mut sketches = Vec::with_capacity(frame.chunk_lens.len());
    for len in &frame.chunk_lens {
        let (chunk, after) = rest.split_at_checked(*len as usize)?;
        rest = after;
        sketches.push(match dtype {
            Some(dtype) => sketcher.segment(chunk, dtype).map(|made| sketch::kept(made, dtype, kind_of_bases(frame).is_some())),
            None => sketcher.plain(chunk),
        });
    }
    let has_any = sketches.iter().any(Option::is_some);
    has_any.then(|| sketches.into_iter().map(Option::unwrap_or_default).collect())
}

/// The newest snapshot of each line.
fn newest(mut snapshots: Vec<StoredSnapshot>) -> Vec<StoredSnapshot> {
    snapshots.sort_by_key(|stored| (stored.snapshot.time, stored.id));
    let last: BTreeMap<u32, usize> = lines(&snapshots).into_iter().zip(0..).collect();
    let last: BTreeSet<usize> = last.into_values().collect();
    snapshots.into_iter().enumerate().filter(|(number, _)| last.contains(number)).map(|(_, stored)| stored).collect()
}

/// Writes a segment that has the sketches in place of one that lacks them, and deletes that.
fn replace(repo: &Repo, id: SegmentId, has_any: &HashSet<PackId>, made: &Made, report: &mut SketchesReport) -> Result<(), Error> {
    let Some(mut segment) = repo.read_listed(&id)?.filter(|segment| segment.packs.iter().any(|pack| has_any.contains(&pack.id))) else {
        return Ok(());
    };
    for pack in &mut segment.packs {
        let chunks = give(pack.id, &mut pack.contents, made);
        report.chunks += chunks;
        report.packs += u64::from(chunks > 0);
    }
    // What the old one supersedes may still be there, and is not to speak again.
    segment.supersedes.push(id);
    let _ = repo.create_segment(&segment)?;
    report.segments += 1;
    Ok(repo.backend.delete(&ObjectPath::Segment(id))?)
}

/// Gives blobs of a pack their sketches. How many chunks have one now.
fn give(pack: PackId, contents: &mut PackContents, made: &Made) -> u64 {
    let mut given = 0;
    for (ordinal, blob) in (0..).zip(&mut contents.blobs) {
        if let Some(sketches) = made.get(&(pack, ordinal)).filter(|sketches| sketches.len() == blob.ids.len()) {
            blob.sketches.clone_from(sketches);
            given += sketches.iter().filter(|sketch| **sketch != Sketch::default()).count() as u64;
        }
    }
    given
}

/// Finds the blobs of bare packs that snapshots refer to.
struct Wanted<'w> {
    repo: &'w Repo,
    /// Bare packs, by their numbers.
    numbers: HashMap<PackNumber, PackId>,
    monitor: &'w dyn Monitor,
    seen: HashSet<NodeId>,
    blobs: BTreeSet<(PackNumber, u32)>,
}

impl Wanted<'_> {
    fn look(&mut self, stored: &StoredSnapshot) -> Result<(), Error> {
        let mut open = vec![stored.snapshot.root];
        while let Some(id) = open.pop() {
            stop_if_interrupted(self.monitor)?;
            if !self.seen.insert(id) {
                continue;
            }
            match self.repo.node(&id) {
                Ok(Node::EntriesInner { children, .. }) => open.extend(children.into_iter().map(|child| child.id)),
                Ok(Node::ExtentsInner { children, .. }) => open.extend(children.into_iter().map(|child| child.id)),
                Ok(Node::Extents(extents)) => self.extents(&extents)?,
                Ok(Node::Entries(entries)) => {
                    for entry in entries {
                        match entry.kind {
                            Kind::Directory { entries: Some(root) } | Kind::File { content: Content::List(root), .. } => open.push(root),
                            Kind::File { content: Content::Inline(extents), .. } => self.extents(&extents)?,
                            _ => {}
                        }
                    }
                }
                Err(error) => {
                    let item = format!("node {id} of snapshot {}", stored.id);
                    self.monitor.warning(&Warning { item, message: chain(&Error::from(error)) });
                }
            }
        }
        Ok(())
    }

    fn extents(&mut self, extents: &[Extent]) -> Result<(), Error> {
        let ids: Vec<ChunkId> = extents
            .iter()
            .filter_map(|extent| match extent {
                Extent::Chunk { id, .. } => Some(*id),
                Extent::Hole { .. } => None,
            })
            .collect();
        let found = self.repo.index()?.find(&ids)?.into_iter().flatten();
        let bare = found.filter(|location| self.numbers.contains_key(&location.pack));
        self.blobs.extend(bare.map(|location| (location.pack, location.ordinal)));
        Ok(())
    }
}
