//! Reading a list in order, node by node, with at most one node a level in memory.

use crate::base::ids::NodeId;
use crate::base::limits;
use crate::format::entry::{Entry, Extent};
use crate::format::node::{EntriesChild, ExtentsChild, Node};

/// Gives nodes by name. Whoever implements it has checked that the bytes have that name.
pub trait NodeSource {
    /// Why a node could not be had.
    type Error;

    /// The node named `id`.
    fn node(&self, id: &NodeId) -> Result<Node, Self::Error>;
}

/// A list that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum MerkleError<E> {
    /// A node could not be had.
    #[error(transparent)]
    Source(E),
    /// A node does not belong where its parent points to it.
    #[error("node {node} does not belong into its list: {why}")]
    Shape {
        /// Which node.
        node: NodeId,
        /// What is wrong.
        why: &'static str,
    },
}

/// The next thing in a directory's list: an entry, or a whole node of them that was not looked into yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntriesHead {
    /// A node over entries, with what its parent says of it.
    Node {
        /// Its name, how many entries it has, the last of them.
        child: EntriesChild,
        /// Its level, if its parent told.
        level: Option<u8>,
    },
    /// The next entry.
    Entry(Entry),
}

enum EntriesFrame {
    Inner(std::vec::IntoIter<EntriesChild>, u8),
    Leaf(std::vec::IntoIter<Entry>),
}

/// Reads a directory's entries in the order of their names.
pub struct EntriesCursor<'s, S> {
    source: &'s S,
    root: Option<NodeId>,
    stack: Vec<EntriesFrame>,
    head: Option<EntriesHead>,
    last: Option<Vec<u8>>,
}

impl<'s, S: NodeSource> EntriesCursor<'s, S> {
    /// Starts at the root; `None` is the empty list.
    pub fn new(source: &'s S, root: Option<NodeId>) -> Self {
        Self { source, root, stack: Vec::new(), head: None, last: None }
    }

    /// The next entry.
    #[expect(clippy::should_implement_trait, reason = "it fails")]
    pub fn next(&mut self) -> Result<Option<Entry>, MerkleError<S::Error>> {
        while let Some(EntriesHead::Node { .. }) = self.head()? {
            self.expand()?;
        }
        match self.head.take() {
            Some(EntriesHead::Entry(entry)) => {
                self.last = Some(entry.name.clone());
                Ok(Some(entry))
            }
            _ => Ok(None),
        }
    }

    /// The next entry without going past it.
    pub fn peek(&mut self) -> Result<Option<&Entry>, MerkleError<S::Error>> {
        while let Some(EntriesHead::Node { .. }) = self.head()? {
            self.expand()?;
        }
        match &self.head {
            Some(EntriesHead::Entry(entry)) => Ok(Some(entry)),
            _ => Ok(None),
        }
    }

    /// The entry with this name. Goes past all before it, and looks only into nodes that may hold it.
    pub fn find(&mut self, name: &[u8]) -> Result<Option<Entry>, MerkleError<S::Error>> {
        loop {
            match self.head()? {
                None => return Ok(None),
                Some(EntriesHead::Node { child, level: Some(_) }) if child.last.as_slice() < name => self.skip(),
                Some(EntriesHead::Node { .. }) => self.expand()?,
                Some(EntriesHead::Entry(entry)) if entry.name.as_slice() < name => self.skip(),
                Some(EntriesHead::Entry(entry)) if entry.name == name => return self.next(),
                Some(EntriesHead::Entry(_)) => return Ok(None),
            }
        }
    }

    /// What comes next, without looking into nodes.
    pub fn head(&mut self) -> Result<Option<&EntriesHead>, MerkleError<S::Error>> {
        if self.head.is_none() {
            self.head = self.advance();
        }
        Ok(self.head.as_ref())
    }

    /// Every entry up to this name is behind the cursor.
    pub fn passed(&self) -> Option<&[u8]> {
        self.last.as_deref()
    }

    /// Goes past what [`head`](Self::head) shows, be it a whole node.
    pub fn skip(&mut self) {
        self.last = match self.head.take() {
            Some(EntriesHead::Node { child, .. }) => Some(child.last),
            Some(EntriesHead::Entry(entry)) => Some(entry.name),
            None => return,
        };
    }

    /// Looks into the node that [`head`](Self::head) shows.
    pub fn expand(&mut self) -> Result<(), MerkleError<S::Error>> {
        let Some(EntriesHead::Node { child, level }) = self.head.take() else { return Ok(()) };
        let id = child.id;
        let shape = |why| MerkleError::Shape { node: id, why };
        let node = self.source.node(&id).map_err(MerkleError::Source)?;
        if level.is_some_and(|level| level != node.level()) || self.stack.len() > limits::NODE_LEVELS as usize {
            return Err(shape("its level is wrong"));
        }
        // A root's parent does not exist, so nothing is known of its last name.
        let known_last = level.is_some().then_some(child.last);
        let (first, last, entries) = match &node {
            Node::Entries(entries) => (entries.first().map(|e| &e.name), entries.last().map(|e| &e.name), Some(entries.len() as u64)),
            Node::EntriesInner { children, .. } => {
                let below = children.iter().try_fold(0u64, |sum, child| sum.checked_add(child.entries));
                (None, children.last().map(|c| &c.last), below)
            }
            _ => return Err(shape("it lists no entries")),
        };
        if entries.is_none() || (level.is_some() && entries != Some(child.entries)) {
            return Err(shape("its entries do not add up"));
        }
        if known_last.is_some_and(|known| Some(&known) != last)
            || first.zip(self.last.as_ref()).is_some_and(|(first, passed)| first <= passed)
        {
            return Err(shape("its names are out of order"));
        }
        self.stack.push(match node {
            Node::Entries(entries) => EntriesFrame::Leaf(entries.into_iter()),
            Node::EntriesInner { level, children } => EntriesFrame::Inner(children.into_iter(), level - 1),
            _ => return Err(shape("it lists no entries")),
        });
        Ok(())
    }

    fn advance(&mut self) -> Option<EntriesHead> {
        if let Some(id) = self.root.take() {
            return Some(EntriesHead::Node { child: EntriesChild { id, entries: 0, last: Vec::new() }, level: None });
        }
        loop {
            let head = match self.stack.last_mut()? {
                EntriesFrame::Inner(children, level) => children.next().map(|child| EntriesHead::Node { child, level: Some(*level) }),
                EntriesFrame::Leaf(entries) => entries.next().map(EntriesHead::Entry),
            };
            if head.is_some() {
                return head;
            }
            self.stack.pop();
        }
    }
}

enum ExtentsFrame {
    Inner(std::vec::IntoIter<ExtentsChild>, u8),
    Leaf(std::vec::IntoIter<Extent>),
}

/// Reads a file's extents in order.
pub struct ExtentsCursor<'s, S> {
    source: &'s S,
    root: Option<NodeId>,
    stack: Vec<ExtentsFrame>,
}

impl<'s, S: NodeSource> ExtentsCursor<'s, S> {
    /// Starts at the root.
    pub fn new(source: &'s S, root: NodeId) -> Self {
        Self { source, root: Some(root), stack: Vec::new() }
    }

    /// The next extent.
    #[expect(clippy::should_implement_trait, reason = "it fails")]
    pub fn next(&mut self) -> Result<Option<Extent>, MerkleError<S::Error>> {
        if let Some(root) = self.root.take() {
            self.enter(&root, None)?;
        }
        loop {
            let child = match self.stack.last_mut() {
                None => return Ok(None),
                Some(ExtentsFrame::Leaf(extents)) => match extents.next() {
                    Some(extent) => return Ok(Some(extent)),
                    None => None,
                },
                Some(ExtentsFrame::Inner(children, level)) => children.next().map(|child| (child, *level)),
            };
            match child {
                Some((child, level)) => self.enter(&child.id, Some((level, child.bytes)))?,
                None => {
                    self.stack.pop();
                }
            }
        }
    }

    /// Goes past the extents that end within the next `bytes` bytes, and looks into no node that lies among them as a whole.
    /// Returns how many of the bytes belong to the extent that comes next.
    pub fn skip(&mut self, mut bytes: u64) -> Result<u64, MerkleError<S::Error>> {
        if let Some(root) = self.root.take() {
            self.enter(&root, None)?;
        }
        loop {
            let child = match self.stack.last_mut() {
                None => return Ok(bytes),
                Some(ExtentsFrame::Leaf(extents)) => match extents.as_slice().first().map(Extent::len) {
                    Some(len) if len <= bytes => {
                        bytes -= len;
                        extents.next();
                        continue;
                    }
                    Some(_) => return Ok(bytes),
                    None => None,
                },
                Some(ExtentsFrame::Inner(children, level)) => match children.next() {
                    Some(child) if child.bytes <= bytes => {
                        bytes -= child.bytes;
                        continue;
                    }
                    child => child.map(|child| (child, *level)),
                },
            };
            match child {
                Some((child, level)) => self.enter(&child.id, Some((level, child.bytes)))?,
                None => {
                    self.stack.pop();
                }
            }
        }
    }

    /// Looks into a node of which its parent says level and bytes.
    fn enter(&mut self, id: &NodeId, known: Option<(u8, u64)>) -> Result<(), MerkleError<S::Error>> {
        let node = self.source.node(id).map_err(MerkleError::Source)?;
        let shape = |why| MerkleError::Shape { node: *id, why };
        let bytes = match &node {
            Node::Extents(extents) => extents.iter().try_fold(0u64, |sum, extent| sum.checked_add(extent.len())),
            Node::ExtentsInner { children, .. } => children.iter().try_fold(0u64, |sum, child| sum.checked_add(child.bytes)),
            _ => return Err(shape("it lists no extents")),
        };
        if known.is_some_and(|(level, _)| level != node.level()) {
            return Err(shape("its level is wrong"));
        }
        if bytes.is_none() || known.is_some_and(|(_, known)| Some(known) != bytes) {
            return Err(shape("its bytes do not add up"));
        }
        self.stack.push(match node {
            Node::Extents(extents) => ExtentsFrame::Leaf(extents.into_iter()),
            Node::ExtentsInner { level, children } => ExtentsFrame::Inner(children.into_iter(), level - 1),
            _ => return Err(shape("it lists no extents")),
        });
        Ok(())
    }
}
