//! The directory of a zip, with its zip64 extension, and the local headers of the members that may hold tensors.
//!
//! Only stored members are given: neither compressed nor encrypted nor split over disks, wholly before the directory. What else the
//! directory lists is passed over; a directory that contradicts itself is refused.
//!
//! Format: PKWARE's APPNOTE 6.3, sections 4.3 and 4.5.3.

use super::cursor::Cursor;
use super::{HEADER_LEN, NAME_LEN, TENSORS};
use crate::base::units::KIB;

const END_SIGNATURE: &[u8] = b"PK\x05\x06";
const END_LEN: usize = 22;
const LOCATOR_SIGNATURE: &[u8; 4] = b"PK\x06\x07";
const LOCATOR_LEN: usize = 20;
const END64_SIGNATURE: &[u8; 4] = b"PK\x06\x06";
const END64_LEN: usize = 56;
const ENTRY_SIGNATURE: &[u8; 4] = b"PK\x01\x02";
const ENTRY_LEN: u64 = 46;
const LOCAL_SIGNATURE: &[u8; 4] = b"PK\x03\x04";
const LOCAL_LEN: u64 = 30;
/// Encrypted, strongly encrypted, masked.
const ENCRYPTED: u16 = 1 | 1 << 6 | 1 << 13;
const ZIP64_EXTRA: u16 = 1;
/// Members of interest: every tensor, and what an archive says about them.
const MEMBERS: usize = TENSORS + 16;
/// Local headers that lie closer than this are fetched together. So small that the gaps of the most members that a file may have
/// stay far below what a detection may ask for.
const LOCALS_GAP: u64 = 128;
/// Bytes of local headers that are fetched together.
const LOCALS_LEN: u64 = 64 * KIB as u64;

/// A stored member.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) name: String,
    /// Where its local header begins.
    pub(super) header: u64,
    /// Its bytes.
    pub(super) len: u64,
}

/// What reading the directory comes to.
#[derive(Debug)]
pub(super) enum Walk {
    Need {
        offset: u64,
        len: usize,
    },
    /// By the offset of their local headers.
    Members(Vec<Member>),
    Refused,
}

/// Reads the directory, from the end of the file.
#[derive(Debug)]
pub(super) struct Directory {
    file_len: u64,
    state: State,
}

#[derive(Debug)]
enum State {
    Tail,
    /// With the entries that the end record counts.
    End64 {
        entries: u16,
    },
    Entries {
        count: u64,
    },
}

impl Directory {
    /// And the offset and length of what it asks for first.
    pub(super) fn new(file_len: u64) -> (Self, u64, usize) {
        let len = file_len.min((LOCATOR_LEN + END_LEN) as u64 + u64::from(u16::MAX));
        (Self { file_len, state: State::Tail }, file_len - len, len as usize)
    }

    pub(super) fn step(&mut self, offset: u64, bytes: &[u8]) -> Walk {
        let walk = match self.state {
            State::Tail => self.tail(offset, bytes),
            State::End64 { entries } => self.end64(offset, bytes, entries),
            State::Entries { count } => entries(offset, bytes, count).map(Walk::Members),
        };
        walk.unwrap_or(Walk::Refused)
    }

    fn tail(&mut self, offset: u64, bytes: &[u8]) -> Option<Walk> {
        let end = (0..=bytes.len().checked_sub(END_LEN)?).rev().find(|&at| {
            let comment_len = bytes.len() - at - END_LEN;
            bytes[at..].starts_with(END_SIGNATURE) && bytes[at + END_LEN - 2..].starts_with(&(comment_len as u16).to_le_bytes())
        })?;
        let mut cursor = Cursor::new(bytes, end + 4);
        let (disk, directory_disk) = (cursor.u16()?, cursor.u16()?);
        let (here, count) = (cursor.u16()?, cursor.u16()?);
        let (len, start) = (cursor.u32()?, cursor.u32()?);
        if disk == u16::MAX || directory_disk == u16::MAX || count == u16::MAX || len == u32::MAX || start == u32::MAX {
            let mut cursor = Cursor::new(bytes, end.checked_sub(LOCATOR_LEN)?);
            let locator = offset + cursor.position() as u64;
            let found = cursor.array()? == *LOCATOR_SIGNATURE && cursor.u32()? == 0;
            let end64 = cursor.u64()?;
            if !found || cursor.u32()? > 1 || end64.checked_add(END64_LEN as u64)? > locator {
                return None;
            }
            self.state = State::End64 { entries: count };
            return Some(Walk::Need { offset: end64, len: END64_LEN });
        }
        if disk != 0 || directory_disk != 0 || here != count {
            return None;
        }
        self.directory(u64::from(count), u64::from(len), u64::from(start), offset + end as u64)
    }

    fn end64(&mut self, offset: u64, bytes: &[u8], entries: u16) -> Option<Walk> {
        let mut cursor = Cursor::new(bytes, 0);
        let found = cursor.array()? == *END64_SIGNATURE && cursor.u64()? >= (END64_LEN - 12) as u64;
        cursor.take(4)?;
        let (disk, directory_disk) = (cursor.u32()?, cursor.u32()?);
        let (here, count) = (cursor.u64()?, cursor.u64()?);
        let (len, start) = (cursor.u64()?, cursor.u64()?);
        let agrees = entries == u16::MAX || u64::from(entries) == count;
        if !found || disk != 0 || directory_disk != 0 || here != count || !agrees {
            return None;
        }
        self.directory(count, len, start, offset)
    }

    /// Asks for the directory, which must lie before `end`.
    fn directory(&mut self, count: u64, len: u64, start: u64, end: u64) -> Option<Walk> {
        let inside = start.checked_add(len)? <= end && end <= self.file_len;
        if !inside || len > HEADER_LEN as u64 || count == 0 || count > len / ENTRY_LEN {
            return None;
        }
        self.state = State::Entries { count };
        Some(Walk::Need { offset: start, len: len as usize })
    }
}

/// The members of interest of a directory that begins at `directory`.
fn entries(directory: u64, bytes: &[u8], count: u64) -> Option<Vec<Member>> {
    let mut cursor = Cursor::new(bytes, 0);
    let mut members = Vec::new();
    for _ in 0..count {
        if let Some(member) = entry(&mut cursor, directory)? {
            if members.len() == MEMBERS {
                return None;
            }
            members.push(member);
        }
    }
    members.sort_by_key(|member: &Member| member.header);
    Some(members)
}

/// One entry: nothing at all if the directory is broken, no member if it is none of interest.
fn entry(cursor: &mut Cursor<'_>, directory: u64) -> Option<Option<Member>> {
    if cursor.array()? != *ENTRY_SIGNATURE {
        return None;
    }
    cursor.take(4)?;
    let (flags, method) = (cursor.u16()?, cursor.u16()?);
    cursor.take(8)?;
    let (stored, plain) = (cursor.u32()?, cursor.u32()?);
    let (name_len, extra_len, comment_len) = (cursor.u16()?, cursor.u16()?, cursor.u16()?);
    let disk = cursor.u16()?;
    cursor.take(6)?;
    let header = cursor.u32()?;
    let name = cursor.take(usize::from(name_len))?;
    let extra = cursor.take(usize::from(extra_len))?;
    cursor.take(usize::from(comment_len))?;
    if flags & ENCRYPTED != 0 || method != 0 || !matches!(disk, 0 | u16::MAX) || name.len() > NAME_LEN || !is_of_interest(name) {
        return Some(None);
    }
    let wide = Wide { stored, plain, header }.widen(extra).filter(|&(stored, plain, header)| {
        let before = LOCAL_LEN + u64::from(name_len);
        let end = before.checked_add(stored).and_then(|len| len.checked_add(header));
        stored == plain && end.is_some_and(|end| end <= directory)
    });
    let name = std::str::from_utf8(name).ok();
    Some(wide.zip(name).map(|((len, _, header), name)| Member { name: name.to_owned(), header, len }))
}

fn is_of_interest(name: &[u8]) -> bool {
    let holds = |part: &[u8]| name.windows(part.len()).any(|window| window == part);
    name.ends_with(b".npy") || name.ends_with(b"data.pkl") || name.ends_with(b"byteorder") || name.starts_with(b"data/") || holds(b"/data/")
}

/// The 32-bit fields that zip64 may widen.
struct Wide {
    stored: u32,
    plain: u32,
    header: u32,
}

impl Wide {
    /// Stored length, plain length, header offset. The extra field has those, in the order plain, stored, offset, that do not fit.
    fn widen(&self, extra: &[u8]) -> Option<(u64, u64, u64)> {
        let mut cursor = Cursor::new(extra, 0);
        let mut fields: &[u8] = &[];
        while let (Some(id), Some(len)) = (cursor.u16(), cursor.u16()) {
            let data = cursor.take(usize::from(len))?;
            if id == ZIP64_EXTRA {
                fields = data;
                break;
            }
        }
        let mut wide = Cursor::new(fields, 0);
        let mut field = |narrow: u32| if narrow == u32::MAX { wide.u64() } else { Some(u64::from(narrow)) };
        let plain = field(self.plain)?;
        let stored = field(self.stored)?;
        Some((stored, plain, field(self.header)?))
    }
}

/// Finds where members' bytes begin, which only their local headers say.
#[derive(Debug)]
pub(super) struct Locals {
    file_len: u64,
    /// Bytes wanted past each local header and name.
    peek: u64,
    /// By header.
    members: Vec<Member>,
    /// Where each member's bytes begin, as far as was looked; `None` for a local header that is not one.
    starts: Vec<Option<u64>>,
    /// The members that the fetch under way is for end here.
    batch_end: usize,
}

impl Locals {
    pub(super) fn new(members: Vec<Member>, peek: u64, file_len: u64) -> Self {
        Self { file_len, peek, starts: Vec::with_capacity(members.len()), members, batch_end: 0 }
    }

    /// What to fetch next; `None` when all members were looked at.
    pub(super) fn next_fetch(&mut self) -> Option<(u64, usize)> {
        let first = self.starts.len();
        let offset = self.members.get(first)?.header;
        let mut end = offset;
        self.batch_end = first;
        for member in &self.members[first..] {
            let wanted = member.header + LOCAL_LEN + if self.peek > 0 { member.name.len() as u64 + self.peek } else { 0 };
            let wanted = end.max(wanted.min(self.file_len));
            if self.batch_end > first && (member.header > end + LOCALS_GAP || wanted > offset + LOCALS_LEN) {
                break;
            }
            end = wanted;
            self.batch_end += 1;
        }
        Some((offset, (end - offset) as usize))
    }

    /// Takes what was fetched. `visit` sees each member, where its bytes begin and as many of them as were fetched.
    pub(super) fn take(&mut self, offset: u64, bytes: &[u8], mut visit: impl FnMut(&Member, u64, &[u8])) {
        for member in &self.members[self.starts.len()..self.batch_end] {
            let start = local(member, offset, bytes).filter(|start| start.saturating_add(member.len) <= self.file_len);
            if let Some(start) = start {
                let from = ((start - offset) as usize).min(bytes.len());
                let len = member.len.min((bytes.len() - from) as u64) as usize;
                visit(member, start, &bytes[from..from + len]);
            }
            self.starts.push(start);
        }
    }

    /// The members with where their bytes begin.
    pub(super) fn found(&self) -> impl Iterator<Item = (&Member, u64)> {
        self.members.iter().zip(&self.starts).filter_map(|(member, start)| Some((member, (*start)?)))
    }
}

fn local(member: &Member, offset: u64, bytes: &[u8]) -> Option<u64> {
    let mut cursor = Cursor::new(bytes, usize::try_from(member.header.checked_sub(offset)?).ok()?);
    if cursor.array()? != *LOCAL_SIGNATURE {
        return None;
    }
    cursor.take(2)?;
    let (flags, method) = (cursor.u16()?, cursor.u16()?);
    cursor.take(16)?;
    let (name_len, extra_len) = (cursor.u16()?, cursor.u16()?);
    let past = LOCAL_LEN + u64::from(name_len) + u64::from(extra_len);
    member.header.checked_add(past).filter(|_| flags & ENCRYPTED == 0 && method == 0)
}
