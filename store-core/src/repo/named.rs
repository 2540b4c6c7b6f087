//! Reading chunks and nodes by their ids: from where the index says that they are, again where a prune has moved them since, and from another pack
//! where the first one is damaged.

use std::sync::Arc;

use super::Repo;
use super::again::looks;
use super::derived::ATTEMPTS;
use super::read_error::ReadError;
use super::reader::chunk_of;
use crate::backend::ObjectPath;
use crate::base::ids::{ChunkId, NodeId};
use crate::format::blob::BlobKind;
use crate::format::node::Node;
use crate::index::{ChunkIndex, Location};
use crate::merkle::NodeSource;

impl Repo {
    /// One chunk, compared with its id.
    pub fn chunk(&self, id: &ChunkId) -> Result<Vec<u8>, ReadError> {
        self.named(id, "chunk", &|bytes| self.keys.chunk_id(bytes) == *id)
    }

    /// The bytes of one node, compared with its id.
    pub fn node_bytes(&self, id: &NodeId) -> Result<Vec<u8>, ReadError> {
        self.named(&ChunkId::from_bytes(*id.as_bytes()), "node", &|bytes| self.keys.node_id(bytes) == *id)
    }

    /// What has this id by `is_it`. What does not come out right may have been kept wrong on this host, or spoilt on the way: then the store is asked.
    fn named(&self, id: &ChunkId, what: &str, is_it: &dyn Fn(&[u8]) -> bool) -> Result<Vec<u8>, ReadError> {
        let was_on = self.kept.is_on();
        match self.named_now(id, what, is_it) {
            Err(error) if error.is_content() && (was_on && self.distrusts_cache() || looks(&*self.backend) > 1) => {
                self.reader.clear();
                self.named_now(id, what, is_it)
            }
            read => read,
        }
    }

    /// The same from where the index says that it is, and again as long as prunes move it before it can be read there.
    fn named_now(&self, id: &ChunkId, what: &str, is_it: &dyn Fn(&[u8]) -> bool) -> Result<Vec<u8>, ReadError> {
        for _ in 1..ATTEMPTS {
            let state = self.index_state();
            match self.named_as_indexed(id, what, is_it) {
                Err(error) if error.is_gone() && self.refresh_after_prune(state).is_ok_and(|is_new| is_new) => {}
                read => return read,
            }
        }
        self.named_as_indexed(id, what, is_it)
    }

    /// The same from the place that the index names, and when that is damaged from any other.
    fn named_as_indexed(&self, id: &ChunkId, what: &str, is_it: &dyn Fn(&[u8]) -> bool) -> Result<Vec<u8>, ReadError> {
        let index = self.index_now()?;
        let found = index.find(std::slice::from_ref(id))?;
        let location = found.into_iter().next().flatten().ok_or_else(|| ReadError::Unknown(format!("{what} {id}")))?;
        let read = |location: &Location| self.read_named(&index, location, id, what, is_it);
        let error = match read(&location) {
            Err(error) => error,
            read => return read,
        };
        // Where one place is damaged and another one gone, a prune may have moved what was there.
        let mut gone = None;
        let mut other = |copy: &Location| {
            read(copy).map_err(|error| {
                if error.is_gone() {
                    gone = Some(error);
                }
            })
        };
        let found = Self::elsewhere(&index, id, &location, &mut other);
        found.ok_or_else(|| gone.unwrap_or(error))
    }

    fn read_named(
        &self,
        index: &Arc<dyn ChunkIndex>,
        location: &Location,
        id: &ChunkId,
        what: &str,
        is_it: &dyn Fn(&[u8]) -> bool,
    ) -> Result<Vec<u8>, ReadError> {
        let (blob, pack) = self.blob_bytes_in(index, location)?;
        let bytes = chunk_of(&blob, location).filter(|bytes| is_it(bytes));
        bytes
            .map(<[u8]>::to_vec)
            .ok_or_else(|| ReadError::Content { object: ObjectPath::Pack(pack).to_string(), id: format!("{what} {id}") })
    }

    /// One chunk, compared with its id, from another place than `failed`, if there is one that can be read.
    pub(crate) fn other_copy(&self, id: &ChunkId, failed: &Location) -> Option<Vec<u8>> {
        let index = self.index_now().ok()?;
        let mut read = |copy: &Location| self.read_named(&index, copy, id, "chunk", &|bytes| self.keys.chunk_id(bytes) == *id);
        Self::elsewhere(&index, id, failed, &mut read)
    }

    /// Reads what is at `location`, a place of this index, and fails unless it is the chunk, or the node, of this id.
    pub(crate) fn read_as(&self, index: &Arc<dyn ChunkIndex>, location: &Location, id: &ChunkId, kind: BlobKind) -> Result<(), ReadError> {
        let read = match kind {
            BlobKind::Data => self.read_named(index, location, id, "chunk", &|bytes| self.keys.chunk_id(bytes) == *id),
            BlobKind::Nodes => self.read_named(index, location, id, "node", &|bytes| self.keys.node_id(bytes).as_bytes() == id.as_bytes()),
        };
        read.map(drop)
    }

    /// What `read` gets of a chunk from a place of this index other than the one that failed.
    pub(super) fn elsewhere<T, E>(
        index: &Arc<dyn ChunkIndex>,
        id: &ChunkId,
        failed: &Location,
        read: &mut dyn FnMut(&Location) -> Result<T, E>,
    ) -> Option<T> {
        let copies = index.copies(id).ok()?;
        copies.iter().filter(|copy| (copy.pack, copy.ordinal) != (failed.pack, failed.ordinal)).find_map(|copy| read(copy).ok())
    }
}

impl NodeSource for Repo {
    type Error = ReadError;

    fn node(&self, id: &NodeId) -> Result<Node, ReadError> {
        let bytes = self.node_bytes(id)?;
        Node::decode(&bytes).map_err(|source| ReadError::Object {
            object: format!("node {id}"),
            offset: 0,
            len: bytes.len() as u64,
            source: source.into(),
        })
    }
}
