//! `dump`: a file as a stream of bytes, a directory as a tar.

mod tar;

use std::io::{self, Write};

use super::list::Item;
use crate::error::{Error, ErrorKind};
use crate::format::entry::{Entry, Kind};
use crate::repo::{Part, Repo, StoredFile};

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
            repo.walk(&[], *entries, true, &mut |path, entry| tar.entry(path, entry, |out| file(repo, entry, out)))?;
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
