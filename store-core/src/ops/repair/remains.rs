//! The tree of a snapshot without what is lost of it. Only directories on the way to a loss are made again; a tree of which nothing is lost
//! stays what it is.

use super::whole::WholeWriter;
use crate::base::ids::{ChunkId, NodeId};
use crate::base::limits;
use crate::error::{Error, ErrorKind};
use crate::format::entry::{Content, Entry, Extent, Kind};
use crate::format::lost::{Loss, Lost};
use crate::format::node::Node;
use crate::merkle::{EntriesBuilder, NodeSource as _};
use crate::monitor::Monitor;
use crate::ops::check::Seen;
use crate::repo::{PackWriter, Repo};

/// What is left of a snapshot.
pub(super) struct Remains {
    /// Its root; `None` when that cannot be read.
    pub(super) root: Option<NodeId>,
    /// What is left out.
    pub(super) lost: Lost,
    /// Nodes that are new.
    nodes: Vec<(NodeId, Vec<u8>)>,
}

/// A node of a list, its level if that is known, and how many entries or bytes are below it.
type Listed = (NodeId, Option<u8>, u64);

/// A directory that is being gone through.
struct Level {
    /// Its entry; `None` for the list that the root stands in.
    entry: Option<Entry>,
    /// How long the path is to it.
    path_len: usize,
    /// Nodes of its list that come later, the last first.
    nodes: Vec<Listed>,
    entries: std::vec::IntoIter<Entry>,
    last: Option<Vec<u8>>,
    builder: EntriesBuilder,
    made: Vec<(NodeId, Vec<u8>)>,
    is_changed: bool,
}

impl Level {
    fn new(entry: Option<Entry>, list: NodeId, path_len: usize) -> Self {
        let nodes = vec![(list, None, 0)];
        let (entries, builder) = (Vec::new().into_iter(), EntriesBuilder::new());
        Self { entry, path_len, nodes, entries, last: None, builder, made: Vec::new(), is_changed: false }
    }

    fn keep(&mut self, repo: &Repo, entry: &Entry) {
        let done: Result<(), std::convert::Infallible> = self.builder.push(&repo.keys, entry, &mut |id, node| {
            self.made.push((id, node));
            Ok(())
        });
        let Ok(()) = done;
    }

    fn finish(self, repo: &Repo) -> (Option<NodeId>, Vec<(NodeId, Vec<u8>)>) {
        let mut made = self.made;
        let root: Result<_, std::convert::Infallible> = self.builder.finish(&repo.keys, &mut |id, node| {
            made.push((id, node));
            Ok(())
        });
        let Ok(root) = root;
        (root, made)
    }
}

struct Walk<'w> {
    repo: &'w Repo,
    seen: &'w Seen,
    monitor: &'w dyn Monitor,
    path: Vec<u8>,
    remains: Remains,
}

impl Remains {
    /// What is left of the tree below `root`, where `seen` is what is whole.
    ///
    /// # Errors
    /// When the monitor interrupts, or directories lie within each other too deep.
    pub(super) fn of(repo: &Repo, root: NodeId, seen: &Seen, monitor: &dyn Monitor) -> Result<Self, Error> {
        let remains = Self { root: Some(root), lost: Lost::default(), nodes: Vec::new() };
        if seen.good.contains(&root) {
            return Ok(remains);
        }
        let mut walk = Walk { repo, seen, monitor, path: Vec::new(), remains };
        walk.run(root)?;
        Ok(walk.remains)
    }

    /// Writes the nodes that are new.
    pub(super) fn write(&self, repo: &Repo, writer: &PackWriter) -> Result<(), Error> {
        let mut whole = WholeWriter::new(repo, writer);
        self.nodes.iter().try_for_each(|(id, node)| whole.node(ChunkId::from_bytes(*id.as_bytes()), node))?;
        whole.finish()
    }
}

impl Walk<'_> {
    fn run(&mut self, root: NodeId) -> Result<(), Error> {
        let mut levels = vec![Level::new(None, root, 0)];
        while let Some(level) = levels.last_mut() {
            self.path.truncate(level.path_len);
            if let Some(entry) = level.entries.next() {
                let is_first = level.entry.is_none();
                if let Some((entry, list)) = self.entry(level, entry, is_first) {
                    if levels.len() > limits::TREE_DEPTH {
                        return Err(Error::new(ErrorKind::Damage, "directories lie within each other deeper than any writer makes them"));
                    }
                    levels.push(Level::new(Some(entry), list, self.path.len()));
                }
            } else if let Some(node) = level.nodes.pop() {
                if self.monitor.interrupted() {
                    return Err(Error::new(ErrorKind::Interrupted, "interrupted: nothing was forgotten"));
                }
                self.node(level, node);
            } else if let Some(level) = levels.pop() {
                self.leave(level, levels.last_mut());
            }
        }
        Ok(())
    }

    /// Keeps an entry, leaves it out, or says that it is a directory to go into.
    fn entry(&mut self, level: &mut Level, entry: Entry, is_first: bool) -> Option<(Entry, NodeId)> {
        if level.last.as_ref().is_some_and(|last| *last >= entry.name) {
            self.lose(level, Loss::Entries { path: self.path.clone(), entries: 1 });
            return None;
        }
        level.last = Some(entry.name.clone());
        // The list that the root stands in gives it no name.
        if !is_first {
            if !self.path.is_empty() {
                self.path.push(b'/');
            }
            self.path.extend_from_slice(&entry.name);
        }
        match &entry.kind {
            Kind::Directory { entries: Some(list) } if !self.seen.good.contains(list) => {
                let list = *list;
                return Some((entry, list));
            }
            Kind::File { size, content } => {
                let lost = self.lost_of(content, *size);
                if !lost.is_empty() {
                    let loss = Loss::file(self.path.clone(), *size, lost);
                    self.lose(level, loss);
                    return None;
                }
            }
            _ => {}
        }
        level.keep(self.repo, &entry);
        None
    }

    /// Reads a node of a directory's list.
    fn node(&mut self, level: &mut Level, (id, expected, entries): Listed) {
        match self.repo.node(&id).ok().filter(|node| expected.is_none_or(|expected| node.level() == expected)) {
            Some(Node::Entries(found)) => level.entries = found.into_iter(),
            Some(Node::EntriesInner { level: own, children }) => {
                let below = children.into_iter().rev().map(|child| (child.id, own.checked_sub(1), child.entries));
                level.nodes.extend(below);
            }
            _ if level.entry.is_none() => self.remains.root = None,
            _ => self.lose(level, Loss::Entries { path: self.path.clone(), entries }),
        }
    }

    fn lose(&mut self, level: &mut Level, loss: Loss) {
        level.is_changed = true;
        self.remains.lost.losses.push(loss);
    }

    /// Ends a directory: it is what it was, or another one.
    fn leave(&mut self, level: Level, above: Option<&mut Level>) {
        let is_changed = level.is_changed;
        let entry = level.entry.clone();
        let (list, made) = level.finish(self.repo);
        if is_changed {
            // What stays is read again from where it is.
            self.remains.nodes.extend(made.into_iter().filter(|(id, _)| !self.seen.good.contains(id)));
        }
        match (above, entry) {
            (Some(above), Some(mut entry)) => {
                if is_changed {
                    entry.kind = Kind::Directory { entries: list };
                    above.is_changed = true;
                }
                above.keep(self.repo, &entry);
            }
            _ if is_changed && self.remains.root.is_some() => self.remains.root = list,
            _ => {}
        }
    }

    /// The ranges of a file that are lost.
    fn lost_of(&self, content: &Content, size: u64) -> Vec<(u64, u64)> {
        let (mut lost, mut at) = (Vec::new(), 0);
        let extents = |extents: &[Extent], lost: &mut Vec<(u64, u64)>, at: &mut u64| {
            for extent in extents {
                // Looked at once more: a read may have failed once.
                if matches!(extent, Extent::Chunk { id, .. } if !self.seen.chunks.contains(id) && self.repo.chunk(id).is_err()) {
                    lost.push((*at, extent.len()));
                }
                *at = at.saturating_add(extent.len());
            }
        };
        let root = match content {
            Content::Inline(inline) => {
                extents(inline, &mut lost, &mut at);
                return lost;
            }
            Content::List(root) if self.seen.good.contains(root) => return lost,
            Content::List(root) => *root,
        };
        let mut nodes: Vec<Listed> = vec![(root, None, size)];
        while let Some((id, expected, bytes)) = nodes.pop() {
            match self.repo.node(&id).ok().filter(|node| expected.is_none_or(|expected| node.level() == expected)) {
                Some(Node::Extents(found)) => extents(&found, &mut lost, &mut at),
                Some(Node::ExtentsInner { level, children }) => {
                    nodes.extend(children.into_iter().rev().map(|child| (child.id, level.checked_sub(1), child.bytes)));
                }
                _ => {
                    lost.push((at, bytes));
                    at = at.saturating_add(bytes);
                }
            }
        }
        lost
    }
}
