//! The names in a folder, read at once and kept in little memory: 16 bytes a name beside the name itself.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsFd;

use rustix::fs::RawDir;

/// Bytes that one system call reads at most.
const BUFFER: usize = 32 << 10;

/// The names in a folder, without `.` and `..`.
#[derive(Debug, Default)]
pub(crate) struct Names {
    bytes: Vec<u8>,
    spans: Vec<(usize, u16)>,
}

impl Names {
    /// Reads the folder from where its file offset stands. What could be read comes back along with the error that ended it.
    pub(crate) fn read(folder: impl AsFd) -> (Self, Option<io::Error>) {
        let mut buffer = vec![MaybeUninit::uninit(); BUFFER];
        let mut names = Self::default();
        let mut entries = RawDir::new(folder, &mut buffer);
        while let Some(entry) = entries.next() {
            match entry {
                Ok(entry) => names.push(entry.file_name().to_bytes()),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return (names, Some(error.into())),
            }
        }
        (names, None)
    }

    fn push(&mut self, name: &[u8]) {
        if name == b"." || name == b".." {
            return;
        }
        // The length of a directory record is a `u16`, so no name is longer.
        let Ok(len) = u16::try_from(name.len()) else { return };
        self.spans.push((self.bytes.len(), len));
        self.bytes.extend_from_slice(name);
    }

    /// The name at `index`.
    pub(crate) fn get(&self, index: usize) -> Option<&[u8]> {
        self.spans.get(index).map(|&span| at(&self.bytes, span))
    }

    /// Sorts by bytes, and drops a name that the file system gave twice because the folder changed while it was read.
    pub(crate) fn sort(&mut self) {
        let bytes = &self.bytes;
        self.spans.sort_unstable_by(|&a, &b| at(bytes, a).cmp(at(bytes, b)));
        self.spans.dedup_by(|a, b| at(bytes, *a) == at(bytes, *b));
    }

    /// Whether a name is among those that were [sorted](Self::sort).
    pub(crate) fn contains(&self, name: &[u8]) -> bool {
        self.spans.binary_search_by(|&span| at(&self.bytes, span).cmp(name)).is_ok()
    }

    /// Keeps only the names that `keep` says yes to.
    pub(crate) fn retain(&mut self, keep: impl Fn(&[u8]) -> bool) {
        let bytes = &self.bytes;
        self.spans.retain(|&span| keep(at(bytes, span)));
    }

    /// All names, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.spans.iter().map(|&span| at(&self.bytes, span))
    }
}

fn at(bytes: &[u8], (start, len): (usize, u16)) -> &[u8] {
    &bytes[start..start + usize::from(len)]
}
