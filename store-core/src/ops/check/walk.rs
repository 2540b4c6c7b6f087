//! The trees of snapshots: every node is read, every chunk looked up, and what is lost is told by the files that it hits. Level by level,
//! without recursion.

use std::collections::HashSet;

use super::defects::Part;
use super::{Checker, Hit, Spot};
use crate::base::ids::{ChunkId, NodeId, SnapshotId};
use crate::base::limits;
use crate::error::{Error, chain};
use crate::format::entry::{Content, Entry, Extent, Kind};
use crate::format::node::Node;
use crate::merkle::NodeSource as _;

/// What was walked before, by this snapshot or another one.
#[derive(Default)]
pub(crate) struct Seen {
    /// Nodes below which all is well.
    pub(crate) good: HashSet<NodeId>,
    /// Chunks that are held.
    pub(crate) chunks: HashSet<ChunkId>,
}

/// A node whose children are being walked.
struct Frame {
    id: NodeId,
    good: bool,
    /// Directories above.
    depth: usize,
    rest: Rest,
    /// Whether the path has a name for what is below.
    named: bool,
}

enum Rest {
    Nodes(std::vec::IntoIter<NodeId>, u8),
    Entries(std::vec::IntoIter<Entry>),
}

/// The walk of one snapshot. Nodes and chunks that were seen before are not looked at again, unless something in them is bad.
pub(super) struct Walk<'w, 'r> {
    checker: &'w mut Checker<'r>,
    snapshot: SnapshotId,
    seen: &'w mut Seen,
    frames: Vec<Frame>,
    path: Vec<Vec<u8>>,
}

impl<'w, 'r> Walk<'w, 'r> {
    pub(super) fn new(checker: &'w mut Checker<'r>, snapshot: SnapshotId, seen: &'w mut Seen) -> Self {
        Self { checker, snapshot, seen, frames: Vec::new(), path: Vec::new() }
    }

    pub(super) fn run(mut self, root: NodeId) -> Result<(), Error> {
        self.enter(root, None, 0)?;
        while let Some(frame) = self.frames.last_mut() {
            if std::mem::take(&mut frame.named) {
                self.path.pop();
            }
            let depth = frame.depth;
            let good = match &mut frame.rest {
                Rest::Nodes(children, level) => match children.next() {
                    Some(child) => {
                        let level = *level;
                        self.enter(child, Some(level), depth)?
                    }
                    None => self.leave(),
                },
                Rest::Entries(entries) => match entries.next() {
                    Some(entry) => {
                        frame.named = true;
                        self.path.push(entry.name);
                        match entry.kind {
                            Kind::Directory { entries: Some(root) } => self.enter(root, None, depth + 1)?,
                            Kind::File { content: Content::List(root), .. } => self.enter(root, None, depth + 1)?,
                            Kind::File { content: Content::Inline(extents), .. } => self.extents(&extents)?,
                            _ => true,
                        }
                    }
                    None => self.leave(),
                },
            };
            if let (false, Some(frame)) = (good, self.frames.last_mut()) {
                frame.good = false;
            }
        }
        Ok(())
    }

    /// Ends a node, and says whether all is well below it.
    fn leave(&mut self) -> bool {
        let Some(done) = self.frames.pop() else { return true };
        if done.good {
            self.seen.good.insert(done.id);
        }
        done.good
    }

    /// Begins a node. `false` when it is bad; what is below it comes later.
    fn enter(&mut self, id: NodeId, level: Option<u8>, depth: usize) -> Result<bool, Error> {
        if self.seen.good.contains(&id) {
            return Ok(true);
        }
        self.checker.interrupted()?;
        let as_chunk = ChunkId::from_bytes(*id.as_bytes());
        if let Some(spot) = self.checker.lost.get(&as_chunk).cloned() {
            self.checker.all_walked = false;
            return Ok(self.hit(&spot));
        }
        let node = match self.checker.repo.node(&id) {
            Ok(node) => node,
            Err(error) => {
                let spot = (format!("node {id}"), 0, 0);
                self.checker.all_walked = false;
                self.checker.defects.add(spot.clone(), Part::Record, chain(&error));
                self.checker.lost.insert(as_chunk, spot.clone());
                return Ok(self.hit(&spot));
            }
        };
        if level.is_some_and(|level| level != node.level()) || depth > limits::TREE_DEPTH {
            let spot = (format!("node {id}"), 0, 0);
            self.checker.all_walked = false;
            self.checker.defects.add(spot.clone(), Part::Record, "it does not belong where its parent points to it");
            return Ok(self.hit(&spot));
        }
        let (rest, good) = match node {
            Node::EntriesInner { level, children } => (nodes(children.into_iter().map(|child| child.id), level), true),
            Node::ExtentsInner { level, children } => (nodes(children.into_iter().map(|child| child.id), level), true),
            Node::Entries(entries) => (Rest::Entries(entries.into_iter()), true),
            Node::Extents(extents) => {
                let good = self.extents(&extents)?;
                (nodes(std::iter::empty(), 1), good)
            }
        };
        self.frames.push(Frame { id, good, depth, rest, named: false });
        Ok(true)
    }

    /// Tells that this file or directory is hit.
    fn hit(&mut self, spot: &Spot) -> bool {
        let path = self.path.iter().skip(1).map(|name| String::from_utf8_lossy(name)).collect::<Vec<_>>().join("/");
        self.checker.defects.hit(spot, Hit { snapshot: self.snapshot, path: format!("/{path}") });
        false
    }

    /// Looks chunks up; says whether all are held.
    fn extents(&mut self, extents: &[Extent]) -> Result<bool, Error> {
        let chunks = extents.iter().filter_map(|extent| match extent {
            Extent::Chunk { id, len } if !self.seen.chunks.contains(id) => Some((*id, *len)),
            _ => None,
        });
        let (ids, lens): (Vec<_>, Vec<_>) = chunks.unzip();
        let located = self.checker.repo.index()?.find(&ids)?;
        let mut good = true;
        for ((id, len), location) in ids.into_iter().zip(lens).zip(located) {
            if let Some(spot) = self.checker.lost.get(&id).cloned() {
                good = self.hit(&spot);
            } else if location.is_none_or(|location| location.len != len) {
                let spot = (format!("chunk {id}"), 0, 0);
                self.checker.defects.add(spot.clone(), Part::Record, "no pack holds it: push the same files again to heal it");
                good = self.hit(&spot);
            } else {
                self.seen.chunks.insert(id);
            }
        }
        Ok(good)
    }
}

fn nodes(children: impl Iterator<Item = NodeId>, level: u8) -> Rest {
    Rest::Nodes(children.collect::<Vec<_>>().into_iter(), level.saturating_sub(1))
}
