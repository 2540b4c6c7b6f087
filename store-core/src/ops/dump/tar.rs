//! Writing tar in the pax form (POSIX.1-2001, `pax`, "ustar Interchange Format" and "pax Header Block").
//!
//! The older ustar header holds what fits; a pax record before it holds what does not: names past 100 bytes, numbers past their octal digits,
//! times with nanoseconds or before 1970, extended attributes (as `SCHILY.xattr.NAME`, which GNU tar, bsdtar and Python read).

use std::collections::HashMap;
use std::collections::hash_map::Entry as Place;
use std::io::Write;

use tar::{EntryType, Header};

use super::{unwritten, zeros};
use crate::error::Error;
use crate::format::entry::{Entry, Kind, Timestamp};

/// Bytes of one block.
const BLOCK: u64 = 512;
/// Bytes of the fields for a name and for a link's target.
const NAME: usize = 100;
/// Largest number in a field of 7 octal digits.
const SEVEN_DIGITS: u64 = 0o777_7777;
/// Largest number in a field of 11 octal digits.
const ELEVEN_DIGITS: u64 = 0o777_7777_7777;

/// Writes entries one after the other. Memory grows only with the number of files that have several names.
pub(super) struct TarWriter<'o> {
    out: &'o mut dyn Write,
    /// The first name of each file with several.
    names: HashMap<(u64, u64), (Vec<u8>, Entry)>,
}

impl<'o> TarWriter<'o> {
    pub(super) fn new(out: &'o mut dyn Write) -> Self {
        Self { out, names: HashMap::new() }
    }

    /// Writes one entry; `content` writes its bytes if it is a file that was not written before.
    pub(super) fn entry(
        &mut self,
        path: &[u8],
        entry: &Entry,
        content: impl FnOnce(&mut dyn Write) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let meta = &entry.meta;
        let mut path = path.to_vec();
        let (mut link, mut size, mut device) = (Vec::new(), 0, 0);
        let mut kind = match &entry.kind {
            Kind::File { size: len, .. } => {
                size = *len;
                EntryType::Regular
            }
            Kind::Directory { .. } => {
                path.push(b'/');
                EntryType::Directory
            }
            Kind::Symlink { target } => {
                link.clone_from(target);
                EntryType::Symlink
            }
            Kind::Fifo => EntryType::Fifo,
            Kind::CharDevice { rdev } => {
                device = *rdev;
                EntryType::Char
            }
            Kind::BlockDevice { rdev } => {
                device = *rdev;
                EntryType::Block
            }
            Kind::Socket => return Ok(()),
        };
        if kind != EntryType::Directory && meta.links > 1 && meta.inode != 0 {
            match self.names.entry((meta.device, meta.inode)) {
                Place::Occupied(first) => {
                    let (first_path, first) = first.get();
                    // One that changed while it was pushed has other bytes under another name.
                    if first.is_same_file(entry) {
                        (kind, size) = (EntryType::Link, 0);
                        link.clone_from(first_path);
                    }
                }
                Place::Vacant(slot) => _ = slot.insert((path.clone(), entry.clone())),
            }
        }
        let mut records = Vec::new();
        let mut header = header(kind, &path, &link, size, &mut records);
        header.set_mode(meta.mode);
        header.set_uid(meta.uid.into());
        header.set_gid(meta.gid.into());
        for (key, id) in [("uid", meta.uid), ("gid", meta.gid)] {
            if u64::from(id) > SEVEN_DIGITS {
                record(&mut records, key.as_bytes(), id.to_string().as_bytes());
            }
        }
        header.set_mtime(u64::try_from(meta.mtime.seconds).unwrap_or(0).min(ELEVEN_DIGITS));
        if meta.mtime.nanos != 0 || !(0..=ELEVEN_DIGITS as i64).contains(&meta.mtime.seconds) {
            record(&mut records, b"mtime", decimal(meta.mtime).as_bytes());
        }
        if matches!(kind, EntryType::Char | EntryType::Block) {
            // A ustar header has both fields.
            let _ = header.set_device_major(rustix::fs::major(device)).and_then(|()| header.set_device_minor(rustix::fs::minor(device)));
        }
        if kind != EntryType::Link {
            for (name, value) in &meta.xattrs {
                record(&mut records, &[b"SCHILY.xattr.", &escaped(name)[..]].concat(), value);
            }
        }
        if !records.is_empty() {
            self.records(&path, &records)?;
        }
        self.header(header)?;
        if size > 0 {
            content(self.out)?;
            self.pad(size)?;
        }
        Ok(())
    }

    /// Writes the end.
    pub(super) fn finish(self) -> Result<(), Error> {
        zeros(self.out, 2 * BLOCK)
    }

    fn records(&mut self, path: &[u8], records: &[u8]) -> Result<(), Error> {
        let name = path.rsplit(|byte| *byte == b'/').find(|name| !name.is_empty()).unwrap_or_default();
        let name = [b"PaxHeaders/", name].concat();
        let mut header = Header::new_ustar();
        put(&mut header, 0, &name);
        header.set_entry_type(EntryType::XHeader);
        header.set_size(records.len() as u64);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        self.header(header)?;
        self.out.write_all(records).map_err(unwritten)?;
        self.pad(records.len() as u64)
    }

    fn header(&mut self, mut header: Header) -> Result<(), Error> {
        header.set_cksum();
        self.out.write_all(header.as_bytes()).map_err(unwritten)
    }

    fn pad(&mut self, len: u64) -> Result<(), Error> {
        zeros(self.out, (BLOCK - len % BLOCK) % BLOCK)
    }
}

fn header(kind: EntryType, path: &[u8], link: &[u8], size: u64, records: &mut Vec<u8>) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_size(size);
    put(&mut header, 0, path);
    put(&mut header, 157, link);
    for (key, text) in [("path", path), ("linkpath", link)] {
        if text.len() > NAME || !text.is_ascii() {
            record(records, key.as_bytes(), text);
        }
    }
    if size > ELEVEN_DIGITS {
        record(records, b"size", size.to_string().as_bytes());
    }
    header
}

/// Puts as much of `text` as fits into the field of a name.
fn put(header: &mut Header, at: usize, text: &[u8]) {
    let len = text.len().min(NAME);
    header.as_mut_bytes()[at..at + len].copy_from_slice(&text[..len]);
}

/// Appends `LENGTH KEY=VALUE\n`, whose length counts its own digits.
fn record(records: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut len = rest + 1;
    while len.to_string().len() + rest != len {
        len = len.to_string().len() + rest;
    }
    records.extend_from_slice(format!("{len} ").as_bytes());
    records.extend_from_slice(key);
    records.push(b'=');
    records.extend_from_slice(value);
    records.push(b'\n');
}

/// As star and GNU tar write a name that has the sign which ends names.
fn escaped(name: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(name.len());
    for byte in name {
        match byte {
            b'%' => out.extend_from_slice(b"%25"),
            b'=' => out.extend_from_slice(b"%3D"),
            byte => out.push(*byte),
        }
    }
    out
}

fn decimal(time: Timestamp) -> String {
    let (seconds, nanos) = (i128::from(time.seconds), i128::from(time.nanos));
    let total = seconds * 1_000_000_000 + nanos;
    let (sign, total) = if total < 0 { ("-", -total) } else { ("", total) };
    let text = format!("{sign}{}.{:09}", total / 1_000_000_000, total % 1_000_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::entry::{Content, Metadata};

    #[test]
    fn records_count_their_own_digits() {
        for len in [0, 1, 80, 90, 91, 92, 93, 94, 980, 990, 991, 992, 993, 9990] {
            let mut records = Vec::new();
            record(&mut records, b"k", &vec![b'v'; len]);
            let text = String::from_utf8(records).unwrap();
            assert_eq!(text.split_once(' ').unwrap().0.parse::<usize>().unwrap(), text.len(), "{len}");
        }
    }

    #[test]
    fn times_are_decimal_numbers() {
        for (seconds, nanos, text) in
            [(0, 0, "0"), (5, 500_000_000, "5.5"), (-1, 500_000_000, "-0.5"), (-2, 0, "-2"), (10, 1, "10.000000001"), (100, 0, "100")]
        {
            assert_eq!(decimal(Timestamp { seconds, nanos }), text);
        }
    }

    #[test]
    fn owners_and_attributes_survive() {
        let time = Timestamp { seconds: -2, nanos: 1 };
        let xattrs = vec![(b"user.a=b%".to_vec(), b"\0\xff=".to_vec())];
        let meta = Metadata { mode: 0o4755, uid: 3_000_000, gid: 7, mtime: time, ctime: time, inode: 1, device: 1, links: 2, xattrs };
        let file = Entry { name: b"n".to_vec(), kind: Kind::File { size: 5, content: Content::Inline(Vec::new()) }, meta };
        let mut bytes = Vec::new();
        let mut writer = TarWriter::new(&mut bytes);
        for name in [&b"n"[..], b"other"] {
            writer.entry(name, &file, |out| out.write_all(b"bytes").map_err(unwritten)).unwrap();
        }
        // Somebody wrote to it before it was read under its third name.
        let mut changed = file.clone();
        changed.meta.ctime.nanos += 1;
        changed.kind = Kind::File { size: 7, content: Content::Inline(Vec::new()) };
        writer.entry(b"third", &changed, |out| out.write_all(b"changed").map_err(unwritten)).unwrap();
        writer.finish().unwrap();
        let mut archive = tar::Archive::new(&bytes[..]);
        let mut entries = archive.entries().unwrap().map(Result::unwrap);
        let mut first = entries.next().unwrap();
        let records: Vec<_> = first
            .pax_extensions()
            .unwrap()
            .unwrap()
            .map(Result::unwrap)
            .map(|r| (r.key_bytes().to_vec(), r.value_bytes().to_vec()))
            .collect();
        let expected = [("uid", &b"3000000"[..]), ("mtime", b"-1.999999999"), ("SCHILY.xattr.user.a%3Db%25", b"\0\xff=")];
        assert_eq!(records, expected.map(|(key, value)| (key.as_bytes().to_vec(), value.to_vec())));
        assert_eq!((first.header().mode().unwrap(), first.header().gid().unwrap(), first.size()), (0o4755, 7, 5));
        let second = entries.next().unwrap();
        assert_eq!(second.header().entry_type(), EntryType::Link);
        assert_eq!(second.link_name_bytes().unwrap(), &b"n"[..]);
        let third = entries.next().unwrap();
        assert_eq!((third.header().entry_type(), third.size()), (EntryType::Regular, 7));
        assert!(entries.next().is_none());
    }
}
