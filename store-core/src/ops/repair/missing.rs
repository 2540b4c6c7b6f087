//! What of a snapshot cannot be read, and where in it that is. Only what is not known to be whole is looked at.

use crate::base::ids::{ChunkId, NodeId};
use crate::base::limits;
use crate::error::Error;
use crate::format::entry::{Content, Entry, Extent, Kind};
use crate::format::node::Node;
use crate::merkle::NodeSource as _;
use crate::ops::check::Seen;
use crate::repo::Repo;

/// Something that cannot be read.
pub(super) enum Missing {
    /// A chunk of the file.
    Chunk {
        /// Which.
        id: ChunkId,
        /// Where in the file it begins.
        offset: u64,
        /// Its length in bytes.
        len: u32,
    },
    /// A node of the list of the file's chunks, or of the directory's entries.
    Node(NodeId),
}

/// Takes what is missing, with the path in the snapshot of the file or directory that lacks it.
pub(super) type Tell<'t> = dyn FnMut(&[u8], Missing) -> Result<(), Error> + 't;

/// A node that is to be looked at.
struct Open {
    path: Vec<u8>,
    id: NodeId,
    /// `None` when nothing says it.
    level: Option<u8>,
    /// For a file: where in it the node begins.
    offset: u64,
    /// Directories above; 0 for the list that the root stands in, which gives it no name.
    depth: usize,
}

/// Tells what is missing below `root`, where `seen` is what is whole. What is told of is looked at once more before: a read may have failed once.
pub(super) fn find(repo: &Repo, root: NodeId, seen: &Seen, tell: &mut Tell<'_>) -> Result<(), Error> {
    let mut search = Search { repo, seen, open: Vec::new(), tell };
    search.push(Open { path: Vec::new(), id: root, level: None, offset: 0, depth: 0 });
    while let Some(open) = search.open.pop() {
        search.node(open)?;
    }
    Ok(())
}

struct Search<'s, 't> {
    repo: &'s Repo,
    seen: &'s Seen,
    open: Vec<Open>,
    tell: &'s mut Tell<'t>,
}

impl Search<'_, '_> {
    fn push(&mut self, open: Open) {
        if !self.seen.good.contains(&open.id) {
            self.open.push(open);
        }
    }

    fn node(&mut self, open: Open) -> Result<(), Error> {
        let node = self.repo.node(&open.id).ok().filter(|node| open.level.is_none_or(|level| node.level() == level));
        let child = |id: NodeId, level: u8, offset: u64| {
            let path = open.path.clone();
            Open { path, id, level: level.checked_sub(1), offset, depth: open.depth }
        };
        match node {
            None => (self.tell)(&open.path, Missing::Node(open.id))?,
            Some(Node::EntriesInner { level, children }) => children.iter().for_each(|next| self.push(child(next.id, level, 0))),
            Some(Node::ExtentsInner { level, children }) => {
                let mut offset = open.offset;
                for next in children {
                    self.push(child(next.id, level, offset));
                    offset = offset.saturating_add(next.bytes);
                }
            }
            Some(Node::Entries(entries)) => entries.into_iter().try_for_each(|entry| self.entry(&open, entry))?,
            Some(Node::Extents(extents)) => self.extents(&open.path, open.offset, &extents)?,
        }
        Ok(())
    }

    fn entry(&mut self, above: &Open, entry: Entry) -> Result<(), Error> {
        let mut path = above.path.clone();
        if above.depth > 0 {
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(&entry.name);
        }
        let list = match entry.kind {
            Kind::Directory { entries: Some(list) } | Kind::File { content: Content::List(list), .. } => list,
            Kind::File { content: Content::Inline(extents), .. } => return self.extents(&path, 0, &extents),
            _ => return Ok(()),
        };
        // Deeper than any writer makes them: what is there is nobody's.
        if above.depth <= limits::TREE_DEPTH {
            self.push(Open { path, id: list, level: None, offset: 0, depth: above.depth + 1 });
        }
        Ok(())
    }

    fn extents(&mut self, path: &[u8], mut offset: u64, extents: &[Extent]) -> Result<(), Error> {
        for extent in extents {
            if let Extent::Chunk { id, len } = extent
                && !self.seen.chunks.contains(id)
                && self.repo.chunk(id).is_err()
            {
                (self.tell)(path, Missing::Chunk { id: *id, offset, len: *len })?;
            }
            offset = offset.saturating_add(extent.len());
        }
        Ok(())
    }
}
