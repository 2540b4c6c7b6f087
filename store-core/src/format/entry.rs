//! One entry of a directory, as a snapshot keeps it (`spec/FORMAT.md`, section 8.2).

use crate::base::ids::{ChunkId, NodeId};
use crate::base::limits;
use crate::base::wire::{Reader, WireError, put_string, put_varint};

/// A moment: nanoseconds since 1970-01-01T00:00:00Z. Covers what any file system holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    /// Whole seconds, rounded towards minus infinity.
    pub seconds: i64,
    /// Nanoseconds within the second, below 1,000,000,000.
    pub nanos: u32,
}

/// Extended attributes: names and values.
pub type Xattrs = Vec<(Vec<u8>, Vec<u8>)>;

/// What a file system says of an entry, besides its content.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Metadata {
    /// Permission bits with setuid, setgid and sticky: `st_mode & 0o7777`.
    pub mode: u32,
    /// Numeric owner.
    pub uid: u32,
    /// Numeric group.
    pub gid: u32,
    /// When the content last changed.
    pub mtime: Timestamp,
    /// When the inode last changed. Only compared, never restored.
    pub ctime: Timestamp,
    /// The inode's number. Only compared: with `device` it says which entries were one file.
    pub inode: u64,
    /// The device that held the inode.
    pub device: u64,
    /// How many names the inode had.
    pub links: u64,
    /// Extended attributes, ACLs among them, sorted by name, no name twice.
    pub xattrs: Xattrs,
}

/// A run of a file's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Extent {
    /// The bytes of one chunk.
    Chunk {
        /// Which chunk.
        id: ChunkId,
        /// Its length in bytes, at least 1.
        len: u32,
    },
    /// Zeros that take no room on disk.
    Hole {
        /// How many, at least 1.
        len: u64,
    },
}

impl Extent {
    /// Length in bytes.
    pub fn len(&self) -> u64 {
        match *self {
            Extent::Chunk { len, .. } => u64::from(len),
            Extent::Hole { len } => len,
        }
    }

    /// Never true of an extent that was decoded.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A file's bytes, as a list of extents: in place while it is short, else as the root of a Merkle list.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Content {
    /// At most [`Content::INLINE`] extents.
    Inline(Vec<Extent>),
    /// The root of a list of extents.
    List(NodeId),
}

impl Content {
    /// How many extents are kept in the entry itself.
    pub const INLINE: usize = 4;
}

/// What an entry is, with what only such an entry has.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A regular file.
    File {
        /// Length in bytes: the sum of its extents.
        size: u64,
        /// Its bytes.
        content: Content,
    },
    /// A directory.
    Directory {
        /// The root of its list of entries; `None` when it is empty.
        entries: Option<NodeId>,
    },
    /// A symbolic link.
    Symlink {
        /// What it points to, byte for byte.
        target: Vec<u8>,
    },
    /// A named pipe.
    Fifo,
    /// A character device.
    CharDevice {
        /// `st_rdev`.
        rdev: u64,
    },
    /// A block device.
    BlockDevice {
        /// `st_rdev`.
        rdev: u64,
    },
    /// A socket. Recorded, not restored.
    Socket,
}

/// One entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Entry {
    /// Its name: not empty, without `/` and NUL, neither `.` nor `..`.
    pub name: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// What the file system says of it.
    pub meta: Metadata,
}

impl Entry {
    /// Whether this and `other`, both of which say that they are of the same inode, are one file: it did not change between the looks at both, or has the
    /// same content all the same.
    pub fn is_same_file(&self, other: &Self) -> bool {
        self.meta.ctime == other.meta.ctime || self.kind == other.kind
    }

    /// Whether `name` can be an entry's name.
    pub fn is_name(name: &[u8]) -> bool {
        !name.is_empty() && name.len() <= limits::NAME_LEN && name != b"." && name != b".." && !name.contains(&b'/') && !name.contains(&0)
    }
}

fn put_time(out: &mut Vec<u8>, time: Timestamp) {
    out.extend_from_slice(&time.seconds.to_le_bytes());
    out.extend_from_slice(&time.nanos.to_le_bytes());
}

fn read_time(reader: &mut Reader<'_>) -> Result<Timestamp, WireError> {
    let time = Timestamp { seconds: reader.i64()?, nanos: reader.u32()? };
    if time.nanos >= 1_000_000_000 {
        return Err(WireError::Invalid("a time has a thousand million nanoseconds or more"));
    }
    Ok(time)
}

pub(crate) fn put_extent(out: &mut Vec<u8>, extent: &Extent) {
    match extent {
        Extent::Chunk { id, len } => {
            out.push(0);
            out.extend_from_slice(id.as_bytes());
            put_varint(out, u64::from(*len));
        }
        Extent::Hole { len } => {
            out.push(1);
            put_varint(out, *len);
        }
    }
}

pub(crate) fn read_extent(reader: &mut Reader<'_>) -> Result<Extent, WireError> {
    let extent = match reader.u8()? {
        0 => Extent::Chunk { id: ChunkId::from_bytes(reader.array()?), len: reader.count("a chunk's length", limits::CHUNK_LEN)? as u32 },
        1 => Extent::Hole { len: reader.varint()? },
        _ => return Err(WireError::Invalid("unknown kind of extent")),
    };
    if extent.is_empty() {
        return Err(WireError::Invalid("an extent is empty"));
    }
    Ok(extent)
}

pub(crate) fn put_entry(out: &mut Vec<u8>, entry: &Entry) {
    put_string(out, &entry.name);
    let meta = &entry.meta;
    out.push(match entry.kind {
        Kind::File { content: Content::Inline(_), .. } => 1,
        Kind::File { content: Content::List(_), .. } => 2,
        Kind::Directory { .. } => 3,
        Kind::Symlink { .. } => 4,
        Kind::Fifo => 5,
        Kind::CharDevice { .. } => 6,
        Kind::BlockDevice { .. } => 7,
        Kind::Socket => 8,
    });
    for number in [u64::from(meta.mode), u64::from(meta.uid), u64::from(meta.gid)] {
        put_varint(out, number);
    }
    put_time(out, meta.mtime);
    put_time(out, meta.ctime);
    for number in [meta.inode, meta.device, meta.links] {
        put_varint(out, number);
    }
    put_varint(out, meta.xattrs.len() as u64);
    for (name, value) in &meta.xattrs {
        put_string(out, name);
        put_string(out, value);
    }
    match &entry.kind {
        Kind::File { size, content } => {
            put_varint(out, *size);
            match content {
                Content::Inline(extents) => {
                    put_varint(out, extents.len() as u64);
                    extents.iter().for_each(|extent| put_extent(out, extent));
                }
                Content::List(root) => out.extend_from_slice(root.as_bytes()),
            }
        }
        Kind::Directory { entries } => {
            out.push(u8::from(entries.is_some()));
            if let Some(root) = entries {
                out.extend_from_slice(root.as_bytes());
            }
        }
        Kind::Symlink { target } => put_string(out, target),
        Kind::CharDevice { rdev } | Kind::BlockDevice { rdev } => put_varint(out, *rdev),
        Kind::Fifo | Kind::Socket => {}
    }
}

pub(crate) fn read_entry(reader: &mut Reader<'_>) -> Result<Entry, WireError> {
    let name = reader.string("a name's length", limits::NAME_LEN)?.to_vec();
    if !Entry::is_name(&name) {
        return Err(WireError::Invalid("a name that no directory can hold"));
    }
    let tag = reader.u8()?;
    let mode = reader.count("a mode", 0o7777)? as u32;
    let uid = reader.count("an owner", u32::MAX as usize)? as u32;
    let gid = reader.count("a group", u32::MAX as usize)? as u32;
    let (mtime, ctime) = (read_time(reader)?, read_time(reader)?);
    let (inode, device, links) = (reader.varint()?, reader.varint()?, reader.varint()?);
    let xattrs = read_xattrs(reader)?;
    let kind = match tag {
        1 => {
            let size = reader.varint()?;
            let count = reader.count("an entry's extents", Content::INLINE)?;
            let extents = (0..count).map(|_| read_extent(reader)).collect::<Result<Vec<_>, _>>()?;
            let sum = extents.iter().try_fold(0u64, |sum, extent| sum.checked_add(extent.len()));
            if sum != Some(size) {
                return Err(WireError::Invalid("a file's extents do not add up to its size"));
            }
            Kind::File { size, content: Content::Inline(extents) }
        }
        2 => Kind::File { size: reader.varint()?, content: Content::List(NodeId::from_bytes(reader.array()?)) },
        3 => Kind::Directory {
            entries: match reader.u8()? {
                0 => None,
                1 => Some(NodeId::from_bytes(reader.array()?)),
                _ => return Err(WireError::NotCanonical),
            },
        },
        4 => Kind::Symlink { target: reader.string("a link's length", limits::LINK_LEN)?.to_vec() },
        5 => Kind::Fifo,
        6 => Kind::CharDevice { rdev: reader.varint()? },
        7 => Kind::BlockDevice { rdev: reader.varint()? },
        8 => Kind::Socket,
        _ => return Err(WireError::Invalid("unknown kind of entry")),
    };
    Ok(Entry { name, kind, meta: Metadata { mode, uid, gid, mtime, ctime, inode, device, links, xattrs } })
}

fn read_xattrs(reader: &mut Reader<'_>) -> Result<Xattrs, WireError> {
    let count = reader.count("an entry's extended attributes", limits::XATTRS_LEN / 2)?;
    let mut xattrs = Xattrs::new();
    let mut room = limits::XATTRS_LEN;
    for _ in 0..count {
        let name = reader.string("an extended attribute's name", room)?;
        room -= name.len();
        let value = reader.string("an extended attribute's value", room)?;
        room -= value.len();
        if name.is_empty() || xattrs.last().is_some_and(|(last, _)| last.as_slice() >= name) {
            return Err(WireError::Invalid("extended attributes are not in order"));
        }
        xattrs.push((name.to_vec(), value.to_vec()));
    }
    Ok(xattrs)
}
