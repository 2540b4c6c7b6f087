//! `dump`: a file as a stream of bytes, a directory as a tar.

mod tar;

use std::io::{self, Write};

use rayon::prelude::*;

use super::list::Item;
use crate::base::units::MIB;
use crate::error::{Error, ErrorKind};
use crate::format::entry::{Content, Entry, Kind};
use crate::repo::{Part, Repo, StoredFile};

/// Entries that wait for being written to a tar, and the bytes of a file that waits with its content.
const AHEAD: usize = 1024;
const SMALL: u64 = MIB as u64;
/// Entries that one thread reads in a row.
const RUN: usize = 64;

/// Zeros that stand for holes.
static ZEROS: [u8; 1 << 16] = [0; 1 << 16];

/// Writes the file at `path` as it is, or the directory there as a tar. Returns the bytes written.
///
/// A tar is pax: names, owners, times to the nanosecond and extended attributes as they are, names of one file as links to the first, holes as
/// zeros. Its names are relative to the directory. Sockets are left out, since no tar can hold them.
///
/// # Errors
/// When there is no such path or it is neither file nor directory, something cannot be read, or `out` fails. What was written by then stands.
pub fn dump(repo: &Repo, item: &Item, path: &[u8], out: &mut dyn Write) -> Result<u64, Error> {
    repo.refresh()?;
    let entry = repo.find(item, path)?;
    let mut out = Counted { out, written: 0 };
    match &entry.kind {
        Kind::File { .. } => {
            file(repo, &entry, &mut out)?;
        }
        Kind::Directory { entries } => {
            let mut tar = tar::TarWriter::new(&mut out);
            // The root of several paths, or of a stream, is no directory of anybody's.
            if entry.meta.inode != 0 {
                tar.entry(b".", &entry, |_| Ok(()))?;
            }
            let mut ahead = Ahead { repo, waiting: Vec::new(), bytes: 0 };
            repo.walk(&[], *entries, true, &mut |path, entry| {
                ahead.waiting.push((path.to_vec(), entry.clone()));
                ahead.bytes += small(entry).unwrap_or(0);
                if ahead.waiting.len() < AHEAD && ahead.bytes < repo.memory.read_ahead { Ok(()) } else { ahead.write(&mut tar) }
            })?;
            ahead.write(&mut tar)?;
            tar.finish()?;
        }
        _ => {
            let message = format!("'{}' is neither a file nor a directory, so it has nothing to dump", String::from_utf8_lossy(path));
            return Err(Error::new(ErrorKind::Usage, message));
        }
    }
    out.flush().map_err(unwritten)?;
    Ok(out.written)
}

/// Entries whose small files are read at once, on all cores, before they are written one after the other.
struct Ahead<'r> {
    repo: &'r Repo,
    waiting: Vec<(Vec<u8>, Entry)>,
    bytes: usize,
}

impl Ahead<'_> {
    fn write(&mut self, tar: &mut tar::TarWriter<'_>) -> Result<(), Error> {
        let (repo, waiting) = (self.repo, std::mem::take(&mut self.waiting));
        self.bytes = 0;
        // Neighbours share blobs: a thread takes many in a row.
        let read = |(_, entry): &(Vec<u8>, Entry)| small(entry).map(|len| whole(repo, entry, len)).transpose();
        let contents: Vec<_> = repo.pool.install(|| waiting.par_iter().with_min_len(RUN).map(read).collect());
        for ((path, entry), content) in waiting.iter().zip(contents) {
            // What cannot be read ends the dump where it would stand.
            let content = content?;
            tar.entry(path, entry, |out| match content {
                Some(bytes) => out.write_all(&bytes).map_err(unwritten),
                None => file(repo, entry, out),
            })?;
        }
        Ok(())
    }
}

/// The length of a file that is small enough to be read ahead as a whole.
fn small(entry: &Entry) -> Option<usize> {
    match &entry.kind {
        Kind::File { size, content: Content::Inline(_) } if *size <= SMALL => Some(*size as usize),
        _ => None,
    }
}

fn whole(repo: &Repo, entry: &Entry, len: usize) -> Result<Vec<u8>, Error> {
    let mut bytes = vec![0; len];
    if let Some(mut file) = StoredFile::new(repo, entry) {
        file.read_at(0, &mut bytes)?;
    }
    Ok(bytes)
}

fn file(repo: &Repo, entry: &Entry, out: &mut dyn Write) -> Result<(), Error> {
    let Some(file) = StoredFile::new(repo, entry) else { return Ok(()) };
    file.for_each(&mut |part| match part {
        Part::Bytes(bytes) => out.write_all(bytes).map_err(unwritten),
        Part::Hole(len) => zeros(out, len),
    })
}

fn zeros(out: &mut dyn Write, mut len: u64) -> Result<(), Error> {
    while len > 0 {
        let some = len.min(ZEROS.len() as u64);
        out.write_all(&ZEROS[..some as usize]).map_err(unwritten)?;
        len -= some;
    }
    Ok(())
}

fn unwritten(error: io::Error) -> Error {
    let kind = if error.kind() == io::ErrorKind::StorageFull { ErrorKind::NoSpace } else { ErrorKind::Failed };
    Error::with(kind, "cannot write what is dumped", error)
}

struct Counted<'o> {
    out: &'o mut dyn Write,
    written: u64,
}

impl Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.written += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
