//! Building a list: items go in one after the other, nodes come out as they become whole. Memory is one open node a level.

use crate::base::ids::NodeId;
use crate::base::wire::{put_string, put_varint};
use crate::crypto::RepoKeys;
use crate::format::entry::{Entry, Extent, put_entry, put_extent};

const LEAST_ITEMS: u64 = 32;
const MOST_ITEMS: u64 = 1024;
const MOST_BYTES: usize = 512 << 10;
const MEAN_ITEMS: u32 = 128;

/// What an inner node says of a child besides its name.
trait Summary: Sized {
    const LEAF_FORM: u8;
    const INNER_FORM: u8;
    fn empty() -> Self;
    fn join(&mut self, next: Self);
    fn put(&self, out: &mut Vec<u8>);
}

/// Entries below a node, and the greatest name.
#[derive(Debug)]
struct Entries(u64, Vec<u8>);

impl Summary for Entries {
    const LEAF_FORM: u8 = 1;
    const INNER_FORM: u8 = 3;
    fn empty() -> Self {
        Self(0, Vec::new())
    }
    fn join(&mut self, next: Self) {
        self.0 += next.0;
        self.1 = next.1;
    }
    fn put(&self, out: &mut Vec<u8>) {
        put_varint(out, self.0);
        put_string(out, &self.1);
    }
}

/// Bytes of the file below a node.
#[derive(Debug)]
struct Bytes(u64);

impl Summary for Bytes {
    const LEAF_FORM: u8 = 2;
    const INNER_FORM: u8 = 4;
    fn empty() -> Self {
        Self(0)
    }
    fn join(&mut self, next: Self) {
        self.0 += next.0;
    }
    fn put(&self, out: &mut Vec<u8>) {
        put_varint(out, self.0);
    }
}

#[derive(Debug)]
struct Level<S> {
    items: u64,
    bytes: Vec<u8>,
    summary: S,
}

/// One list under construction.
#[derive(Debug)]
struct Builder<S> {
    levels: Vec<Level<S>>,
}

/// Takes finished nodes.
pub type Emit<'a, E> = &'a mut dyn FnMut(NodeId, Vec<u8>) -> Result<(), E>;

impl<S: Summary> Builder<S> {
    /// Adds an item to `level`: its bytes, what it adds to the node's summary, and its boundary value, if it has one.
    fn push<E>(
        &mut self,
        keys: &RepoKeys,
        level: usize,
        put: impl FnOnce(&mut Vec<u8>, &S),
        summary: S,
        boundary: Option<u32>,
        emit: Emit<'_, E>,
    ) -> Result<(), E> {
        if level == self.levels.len() {
            self.levels.push(Level::new());
        }
        let open = &mut self.levels[level];
        put(&mut open.bytes, &summary);
        open.items += 1;
        open.summary.join(summary);
        let cut_here = boundary.is_some_and(|value| value.is_multiple_of(MEAN_ITEMS));
        if (open.items >= LEAST_ITEMS && cut_here) || open.items >= MOST_ITEMS || open.bytes.len() >= MOST_BYTES {
            self.close(keys, level, emit)?;
        }
        Ok(())
    }

    /// Ends the open node of `level` and hands it to the level above.
    fn close<E>(&mut self, keys: &RepoKeys, level: usize, emit: Emit<'_, E>) -> Result<(), E> {
        let open = std::mem::replace(&mut self.levels[level], Level::new());
        let mut node = vec![if level == 0 { S::LEAF_FORM } else { S::INNER_FORM }, level as u8];
        put_varint(&mut node, open.items);
        node.extend_from_slice(&open.bytes);
        let id = keys.node_id(&node);
        emit(id, node)?;
        let put = |out: &mut Vec<u8>, summary: &S| {
            out.extend_from_slice(id.as_bytes());
            summary.put(out);
        };
        self.push(keys, level + 1, put, open.summary, Some(boundary_of(id.as_bytes())), emit)
    }

    /// Ends the list. Returns the root: the one node of the lowest level that has only one. `None` for an empty list.
    fn finish<E>(mut self, keys: &RepoKeys, emit: Emit<'_, E>) -> Result<Option<NodeId>, E> {
        for level in 0.. {
            let Some(open) = self.levels.get(level) else { break };
            if level > 0 && level + 1 == self.levels.len() && open.items == 1 {
                let id = open.bytes[..NodeId::LEN].try_into().expect("an inner item starts with its child's name");
                return Ok(Some(NodeId::from_bytes(id)));
            }
            if open.items > 0 {
                self.close(keys, level, emit)?;
            }
        }
        Ok(None)
    }
}

impl<S: Summary> Level<S> {
    fn new() -> Self {
        Self { items: 0, bytes: Vec::new(), summary: S::empty() }
    }
}

fn boundary_of(id: &[u8; 32]) -> u32 {
    u32::from_le_bytes(id[..4].try_into().expect("four bytes"))
}

/// Builds a directory's list of entries.
#[derive(Debug)]
pub struct EntriesBuilder(Builder<Entries>);

impl EntriesBuilder {
    /// An empty list.
    #[expect(clippy::new_without_default, reason = "a list under construction is no default of anything")]
    pub fn new() -> Self {
        Self(Builder { levels: Vec::new() })
    }

    /// Adds the entry with the next greater name.
    pub fn push<E>(&mut self, keys: &RepoKeys, entry: &Entry, emit: Emit<'_, E>) -> Result<(), E> {
        let summary = Entries(1, entry.name.clone());
        self.0.push(keys, 0, |out, _| put_entry(out, entry), summary, Some(keys.name_boundary(&entry.name)), emit)
    }

    /// Ends the list. Returns its root, `None` when it is empty.
    pub fn finish<E>(self, keys: &RepoKeys, emit: Emit<'_, E>) -> Result<Option<NodeId>, E> {
        self.0.finish(keys, emit)
    }
}

/// Builds a file's list of extents.
#[derive(Debug)]
pub struct ExtentsBuilder(Builder<Bytes>);

impl ExtentsBuilder {
    /// An empty list.
    #[expect(clippy::new_without_default, reason = "a list under construction is no default of anything")]
    pub fn new() -> Self {
        Self(Builder { levels: Vec::new() })
    }

    /// Adds the next extent.
    pub fn push<E>(&mut self, keys: &RepoKeys, extent: &Extent, emit: Emit<'_, E>) -> Result<(), E> {
        let boundary = match extent {
            Extent::Chunk { id, .. } => Some(boundary_of(id.as_bytes())),
            Extent::Hole { .. } => None,
        };
        self.0.push(keys, 0, |out, _| put_extent(out, extent), Bytes(extent.len()), boundary, emit)
    }

    /// Ends the list. Returns its root, `None` when it is empty.
    pub fn finish<E>(self, keys: &RepoKeys, emit: Emit<'_, E>) -> Result<Option<NodeId>, E> {
        self.0.finish(keys, emit)
    }
}
