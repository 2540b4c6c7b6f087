//! Nodes of Merkle lists (`spec/FORMAT.md`, section 8.1).

use super::entry::{Entry, Extent, put_entry, put_extent, read_entry, read_extent};
use crate::base::ids::NodeId;
use crate::base::limits;
use crate::base::wire::{Reader, WireError, put_string, put_varint};

/// A child of an inner node over entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntriesChild {
    /// Which node.
    pub id: NodeId,
    /// Entries below it.
    pub entries: u64,
    /// The greatest name below it.
    pub last: Vec<u8>,
}

/// A child of an inner node over extents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtentsChild {
    /// Which node.
    pub id: NodeId,
    /// Bytes of the file below it.
    pub bytes: u64,
}

/// One node of a Merkle list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// Entries of a directory.
    Entries(Vec<Entry>),
    /// Extents of a file.
    Extents(Vec<Extent>),
    /// Nodes over entries.
    EntriesInner {
        /// 1 + the children's level.
        level: u8,
        /// In the order of their entries.
        children: Vec<EntriesChild>,
    },
    /// Nodes over extents.
    ExtentsInner {
        /// 1 + the children's level.
        level: u8,
        /// In the order of their extents.
        children: Vec<ExtentsChild>,
    },
}

impl Node {
    /// 0 for leaves.
    pub fn level(&self) -> u8 {
        match self {
            Self::Entries(_) | Self::Extents(_) => 0,
            Self::EntriesInner { level, .. } | Self::ExtentsInner { level, .. } => *level,
        }
    }

    /// The node's bytes, over which its name is computed.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let start = |out: &mut Vec<u8>, form, count: usize| {
            out.extend_from_slice(&[form, self.level()]);
            put_varint(out, count as u64);
        };
        match self {
            Self::Entries(entries) => {
                start(&mut out, 1, entries.len());
                entries.iter().for_each(|entry| put_entry(&mut out, entry));
            }
            Self::Extents(extents) => {
                start(&mut out, 2, extents.len());
                extents.iter().for_each(|extent| put_extent(&mut out, extent));
            }
            Self::EntriesInner { children, .. } => {
                start(&mut out, 3, children.len());
                for child in children {
                    out.extend_from_slice(child.id.as_bytes());
                    put_varint(&mut out, child.entries);
                    put_string(&mut out, &child.last);
                }
            }
            Self::ExtentsInner { children, .. } => {
                start(&mut out, 4, children.len());
                for child in children {
                    out.extend_from_slice(child.id.as_bytes());
                    put_varint(&mut out, child.bytes);
                }
            }
        }
        out
    }

    /// Reads a node and refuses one that no writer makes.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        if bytes.len() > limits::NODE_LEN {
            return Err(WireError::TooLarge { what: "a node's length", value: bytes.len() as u64, limit: limits::NODE_LEN as u64 });
        }
        let mut reader = Reader::new(bytes);
        let (form, level) = (reader.u8()?, reader.u8()?);
        if (form <= 2) != (level == 0) || level > limits::NODE_LEVELS {
            return Err(WireError::Invalid("a node's level does not fit its form"));
        }
        let count = reader.count("a node's items", limits::NODE_ENTRIES)?;
        if count == 0 {
            return Err(WireError::Invalid("a node is empty"));
        }
        let node = match form {
            1 => Self::Entries(ascending(items(&mut reader, count, read_entry)?, |entry| &entry.name)?),
            2 => Self::Extents(items(&mut reader, count, read_extent)?),
            3 => {
                let children = items(&mut reader, count, |reader| {
                    Ok(EntriesChild {
                        id: NodeId::from_bytes(reader.array()?),
                        entries: reader.varint()?,
                        last: reader.string("a name's length", limits::NAME_LEN)?.to_vec(),
                    })
                })?;
                Self::EntriesInner { level, children: ascending(children, |child| &child.last)? }
            }
            4 => Self::ExtentsInner {
                level,
                children: items(&mut reader, count, |reader| {
                    Ok(ExtentsChild { id: NodeId::from_bytes(reader.array()?), bytes: reader.varint()? })
                })?,
            },
            _ => return Err(WireError::Invalid("unknown form of node")),
        };
        reader.finish()?;
        Ok(node)
    }
}

fn items<'a, T>(
    reader: &mut Reader<'a>,
    count: usize,
    mut read: impl FnMut(&mut Reader<'a>) -> Result<T, WireError>,
) -> Result<Vec<T>, WireError> {
    (0..count).map(|_| read(reader)).collect()
}

fn ascending<T>(items: Vec<T>, name: impl Fn(&T) -> &Vec<u8>) -> Result<Vec<T>, WireError> {
    if items.is_sorted_by(|a, b| name(a) < name(b)) { Ok(items) } else { Err(WireError::Invalid("names are not in order")) }
}
