//! Following snapshots to all that they need (`plan/gc/mark`). What cannot be read or has no place ends it: nobody may delete, then.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use super::{Damaged, Repo};
use crate::backend::Folder;
use crate::base::ids::{ChunkId, NodeId, PackId};
use crate::base::limits;
use crate::error::{Error, ErrorKind};
use crate::format::blob::Frame;
use crate::format::entry::{Content, Extent, Kind};
use crate::format::node::Node;
use crate::index::{ChunkIndex, IndexError, Location};
use crate::merkle::NodeSource as _;
use crate::monitor::{Monitor, Progress};
use crate::plan::gc::{BlobPlaces, MarkError, Marks, Needed, Place, Standing};

/// Frames that are kept for the next look: chunks of a file follow one another in blobs.
const FRAMES: usize = 1024;

/// What snapshots need, with the index that says where it is.
pub(crate) struct Marked {
    /// Blob by blob.
    pub(crate) marks: Marks,
    /// The numbers of packs are those of this index.
    pub(crate) index: Arc<dyn ChunkIndex>,
}

/// Where marking starts.
#[derive(Debug, Clone)]
pub(crate) struct Root {
    /// What it is the root of, for people.
    pub(crate) of: String,
    /// The root.
    pub(crate) node: NodeId,
}

/// Nodes and chunks that have no place.
#[derive(Debug, Default)]
pub(crate) struct Unplaced {
    pub(crate) nodes: BTreeSet<NodeId>,
    pub(crate) chunks: BTreeSet<ChunkId>,
}

impl Unplaced {
    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.nodes.is_empty() && self.chunks.is_empty()
    }
}

/// The packs of a listing, with their lengths in bytes.
pub(crate) type PackLens = HashMap<PackId, u64>;

impl Repo {
    /// Which packs there are.
    pub(crate) fn listed_packs(&self) -> Result<PackLens, Error> {
        let listed = self.backend.list(Folder::Packs)?;
        Ok(listed.iter().filter_map(|listed| Some((listed.name.parse().ok()?, listed.len))).collect())
    }

    /// Marks all that `roots` lead to. `standing` says what becomes of packs that are there; to be asked after a
    /// [refresh](Self::refresh) that came after the snapshots were listed.
    ///
    /// # Errors
    /// Of kind [`ErrorKind::Damage`] when something is unreadable or has no place.
    pub(crate) fn mark(
        &self,
        roots: &[Root],
        packs: &PackLens,
        standing: impl Fn(&PackId) -> Standing,
        monitor: &dyn Monitor,
    ) -> Result<Marked, Error> {
        let (marks, places) = self.marks(packs, standing)?;
        let index = Arc::clone(&places.index);
        let mut walk = MarkWalk { repo: self, marks, places, monitor, nodes: 0, unplaced: None };
        for root in roots {
            walk.run(root)?;
        }
        Ok(Marked { marks: walk.marks, index })
    }

    /// What a root leads to and has no place by [`mark`](Self::mark), though it may well be readable.
    pub(crate) fn unplaced(
        &self,
        root: &Root,
        packs: &PackLens,
        standing: impl Fn(&PackId) -> Standing,
        monitor: &dyn Monitor,
    ) -> Result<Unplaced, Error> {
        let (marks, places) = self.marks(packs, standing)?;
        let mut walk = MarkWalk { repo: self, marks, places, monitor, nodes: 0, unplaced: Some(Unplaced::default()) };
        walk.run(root)?;
        Ok(walk.unplaced.unwrap_or_default())
    }

    /// Whether each of these chunks or nodes has a place of less than the depth that stands beside it, with all its bases, in packs that stay.
    pub(crate) fn holds(
        &self,
        chunks: impl IntoIterator<Item = (ChunkId, u8)>,
        packs: &PackLens,
        standing: impl Fn(&PackId) -> Standing,
    ) -> Result<bool, Error> {
        let (mut marks, mut places) = self.marks(packs, standing)?;
        for (id, below) in chunks {
            match marks.need(&mut places, &id, below) {
                Ok(_) => {}
                Err(MarkError::Missing(_)) => return Ok(false),
                Err(MarkError::Source(error)) => return Err(error.into()),
            }
        }
        Ok(true)
    }

    /// Nothing is marked yet.
    fn marks(&self, packs: &PackLens, standing: impl Fn(&PackId) -> Standing) -> Result<(Marks, IndexPlaces), Error> {
        let index = self.index()?;
        let mut standings = Vec::new();
        while let Some((id, len)) = index.pack(standings.len() as u32)? {
            standings.push(if packs.get(&id) == Some(&len) { standing(&id) } else { Standing::Gone });
        }
        let mut marks = Marks::new(standings);
        index.for_each_blob(&mut |pack, _, place| marks.add_blob(pack, place.frame.chunk_lens.len()))?;
        marks.seal();
        // What this host found damaged is no place: the copy that a push made of it since is.
        for (pack, parts) in self.damage().0 {
            let Some(number) = index.number(&pack)? else { continue };
            for part in parts {
                if let Damaged::Blob(ordinal) = part {
                    marks.add_broken(number, ordinal);
                }
            }
        }
        Ok((marks, IndexPlaces::new(index)))
    }
}

/// Something to visit: a node, its level if that is known, and the directories above it.
type Visit = (NodeId, Option<u8>, usize);

struct MarkWalk<'w> {
    repo: &'w Repo,
    marks: Marks,
    places: IndexPlaces,
    monitor: &'w dyn Monitor,
    nodes: u64,
    /// Takes what has no place, where that does not end the walk.
    unplaced: Option<Unplaced>,
}

impl MarkWalk<'_> {
    fn run(&mut self, root: &Root) -> Result<(), Error> {
        let mut open: Vec<Visit> = vec![(root.node, None, 0)];
        while let Some((id, level, depth)) = open.pop() {
            if self.monitor.interrupted() {
                return Err(Error::new(ErrorKind::Interrupted, "interrupted: nothing was deleted"));
            }
            let as_chunk = ChunkId::from_bytes(*id.as_bytes());
            match self.marks.need(&mut self.places, &as_chunk, u8::MAX) {
                Ok(Needed::Again) => continue,
                Ok(Needed::First) => {}
                Err(error) => match (&mut self.unplaced, error) {
                    (Some(unplaced), MarkError::Missing(_)) => {
                        if !unplaced.nodes.insert(id) {
                            continue;
                        }
                    }
                    (_, error) => return Err(stop(&root.of, error)),
                },
            }
            self.nodes += 1;
            self.monitor.progress(&Progress { files_done: self.nodes, ..Progress::default() });
            let node = self.repo.node(&id).map_err(|error| {
                let error = Error::from(error);
                Error::with(error.kind(), format!("{} cannot be followed, so nothing may be deleted", root.of), error)
            })?;
            if level.is_some_and(|level| level != node.level()) || depth > limits::TREE_DEPTH {
                let message = format!("node {id} of {} does not belong where its parent points to it: nothing may be deleted", root.of);
                return Err(Error::new(ErrorKind::Damage, message));
            }
            let below = node.level().checked_sub(1);
            match node {
                Node::EntriesInner { children, .. } => open.extend(children.into_iter().map(|child| (child.id, below, depth))),
                Node::ExtentsInner { children, .. } => open.extend(children.into_iter().map(|child| (child.id, below, depth))),
                Node::Extents(extents) => self.extents(&root.of, &extents)?,
                Node::Entries(entries) => {
                    for entry in entries {
                        match entry.kind {
                            Kind::Directory { entries: Some(root) } => open.push((root, None, depth + 1)),
                            Kind::File { content: Content::List(root), .. } => open.push((root, None, depth + 1)),
                            Kind::File { content: Content::Inline(extents), .. } => self.extents(&root.of, &extents)?,
                            _ => {}
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn extents(&mut self, of: &str, extents: &[Extent]) -> Result<(), Error> {
        let chunks = extents.iter().filter_map(|extent| match extent {
            Extent::Chunk { id, len } => Some((*id, *len)),
            Extent::Hole { .. } => None,
        });
        let (ids, lens): (Vec<_>, Vec<_>) = chunks.unzip();
        let found = self.places.index.find(&ids)?;
        for ((id, len), location) in ids.iter().zip(lens).zip(found) {
            // A chunk of another length is another chunk: what is wanted is nowhere.
            let first = location.filter(|location| location.len == len).as_ref().map(place);
            match (self.marks.need_at(&mut self.places, id, u8::MAX, first), &mut self.unplaced) {
                (Ok(_), _) => {}
                (Err(MarkError::Missing(_)), Some(unplaced)) => _ = unplaced.chunks.insert(*id),
                (Err(error), _) => return Err(stop(of, error)),
            }
        }
        Ok(())
    }
}

fn stop(of: &str, error: MarkError<IndexError>) -> Error {
    match error {
        MarkError::Source(error) => error.into(),
        MarkError::Missing(id) => {
            let message = format!("{id}, which {of} needs, is in no pack with all that it is coded against: nothing may be deleted");
            Error::new(ErrorKind::Damage, message)
        }
    }
}

/// The chunk index, with the frames that were asked for last.
pub(crate) struct IndexPlaces {
    index: Arc<dyn ChunkIndex>,
    frames: HashMap<(u32, u32), Arc<Frame>>,
    order: VecDeque<(u32, u32)>,
}

impl IndexPlaces {
    /// Those of this index.
    pub(crate) fn new(index: Arc<dyn ChunkIndex>) -> Self {
        Self { index, frames: HashMap::new(), order: VecDeque::new() }
    }
}

fn place(location: &Location) -> Place {
    let Location { pack, ordinal, start, len, depth } = *location;
    Place { pack, ordinal, start, len, depth }
}

impl BlobPlaces for IndexPlaces {
    type Error = IndexError;

    fn first(&mut self, id: &ChunkId) -> Result<Option<Place>, IndexError> {
        Ok(self.index.find(std::slice::from_ref(id))?.first().and_then(|location| location.as_ref().map(place)))
    }

    fn all(&mut self, id: &ChunkId) -> Result<Vec<Place>, IndexError> {
        Ok(self.index.copies(id)?.iter().map(place).collect())
    }

    fn frame(&mut self, pack: u32, ordinal: u32) -> Result<Option<Arc<Frame>>, IndexError> {
        let key = (pack, ordinal);
        if let Some(frame) = self.frames.get(&key) {
            return Ok(Some(Arc::clone(frame)));
        }
        let Some(found) = self.index.blob(pack, ordinal)? else { return Ok(None) };
        let frame = Arc::new(found.frame);
        if self.order.len() >= FRAMES
            && let Some(oldest) = self.order.pop_front()
        {
            self.frames.remove(&oldest);
        }
        self.order.push_back(key);
        self.frames.insert(key, Arc::clone(&frame));
        Ok(Some(frame))
    }
}
