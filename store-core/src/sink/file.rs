//! One regular file that is being written, by several threads if need be.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileExt, MetadataExt};

use rustix::fs::{FallocateFlags, SeekFrom};
use rustix::io::Errno;

use super::error::{SinkError, Warning};
use super::metadata::{self, Handle};
use super::path::TargetPath;
use crate::format::entry::{Metadata, Timestamp};

/// Zeros that are written where the file system knows no holes.
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// A regular file beneath a target, open for reading and writing.
#[derive(Debug)]
pub struct TargetFile {
    file: File,
    path: TargetPath,
    privileged: bool,
}

impl TargetFile {
    pub(super) fn new(fd: OwnedFd, path: TargetPath, privileged: bool) -> Self {
        Self { file: File::from(fd), path, privileged }
    }

    /// Where it was made, or found.
    pub fn path(&self) -> &TargetPath {
        &self.path
    }

    /// Its length in bytes, now.
    pub fn len(&self) -> Result<u64, SinkError> {
        self.file.metadata().map(|meta| meta.len()).map_err(|error| SinkError::at("look at", &self.path, error))
    }

    /// Whether it has no bytes, now.
    pub fn is_empty(&self) -> Result<bool, SinkError> {
        self.len().map(|len| len == 0)
    }

    /// When its bytes last changed.
    pub fn modified(&self) -> Result<Timestamp, SinkError> {
        let meta = self.file.metadata().map_err(|error| SinkError::at("look at", &self.path, error))?;
        Ok(Timestamp { seconds: meta.mtime(), nanos: meta.mtime_nsec() as u32 })
    }

    /// Fills `buffer` from `offset`. A file that ends before is an error of kind `UnexpectedEof`.
    pub fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }

    /// Whether the `len` bytes from `offset` are there and zero. What the file system knows to be a hole is not read.
    pub fn is_zero(&self, offset: u64, len: u64) -> io::Result<bool> {
        let end = offset.saturating_add(len);
        let mut at = offset;
        let mut buffer = vec![0; len.min(ZEROS.len() as u64) as usize];
        while at < end {
            at = match rustix::fs::seek(&self.file, SeekFrom::Data(at)) {
                Ok(data) => data,
                // No data up to the end of the file, wherever that is.
                Err(Errno::NXIO) => return Ok(self.file.metadata()?.len() >= end),
                // The file system does not tell.
                Err(_) => at,
            };
            if at >= end {
                break;
            }
            let some = (end - at).min(buffer.len() as u64) as usize;
            self.file.read_exact_at(&mut buffer[..some], at)?;
            if buffer[..some].iter().any(|byte| *byte != 0) {
                return Ok(false);
            }
            at += some as u64;
        }
        Ok(true)
    }

    /// Writes all of `bytes` at `offset`.
    pub fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), SinkError> {
        self.file.write_all_at(bytes, offset).map_err(|error| SinkError::at("write to", &self.path, error))
    }

    /// Cuts it, or makes it longer by a hole.
    pub fn set_len(&self, len: u64) -> Result<(), SinkError> {
        self.file.set_len(len).map_err(|error| SinkError::at("set the length of", &self.path, error))
    }

    /// Makes `len` bytes from `offset` read as zeros and, where the file system can, take no room. The file's length stays, except
    /// where there are no holes and the range is beyond its end.
    pub fn punch_hole(&self, offset: u64, len: u64) -> Result<(), SinkError> {
        if len == 0 {
            return Ok(());
        }
        match rustix::fs::fallocate(&self.file, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, offset, len) {
            Ok(()) => Ok(()),
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::PERM) => self.write_zeros(offset, len),
            Err(error) => Err(SinkError::at("make a hole in", &self.path, error)),
        }
    }

    /// Waits until its bytes are on disk.
    pub fn sync(&self) -> Result<(), SinkError> {
        self.file.sync_all().map_err(|error| SinkError::at("write to disk", &self.path, error))
    }

    /// Gives it owner, extended attributes, mode and times. To be called once all bytes are written, since writing changes the times
    /// and the mode may forbid it.
    pub fn set_metadata(&self, meta: &Metadata) -> Vec<Warning> {
        metadata::apply(Handle::Open(self.file.as_fd()), &self.path, meta, self.privileged)
    }

    fn write_zeros(&self, mut offset: u64, mut len: u64) -> Result<(), SinkError> {
        while len > 0 {
            let some = len.min(ZEROS.len() as u64);
            self.write_at(offset, &ZEROS[..some as usize])?;
            len -= some;
            offset = offset.saturating_add(some);
        }
        Ok(())
    }
}

impl AsFd for TargetFile {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.file.as_fd()
    }
}
