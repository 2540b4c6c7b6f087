//! Sorting more records than fit into memory: sorted runs in files, merged as they are read.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};

/// Runs that are merged at a time: each has a file open, and a buffer.
const RUNS: usize = 128;
/// Least and most bytes of a run's buffer.
const LEAST_BUFFER: usize = 16 << 10;
const MOST_BUFFER: usize = 1 << 20;

/// Takes records of `N` bytes in any order and gives them in ascending order, equal ones as often as they came.
///
/// Its files have no names, so that a process which is killed leaves none behind.
#[derive(Debug)]
pub(super) struct Sorter<const N: usize> {
    folder: PathBuf,
    /// Bytes of memory: half for the records that come, half for those that are sorted and written meanwhile.
    memory: usize,
    records: Vec<[u8; N]>,
    /// Runs, those of the first level sorted in memory, those of each further one merged of [`RUNS`] of the one before.
    levels: Vec<Vec<File>>,
    /// Sorts and writes a run.
    writer: Option<JoinHandle<io::Result<File>>>,
}

impl<const N: usize> Sorter<N> {
    /// One that keeps its files in `folder` and takes so many bytes of `memory`.
    pub(super) fn new(folder: &Path, memory: usize) -> Self {
        Self { folder: folder.to_owned(), memory, records: Vec::new(), levels: vec![Vec::new()], writer: None }
    }

    /// Takes one record.
    pub(super) fn push(&mut self, record: [u8; N]) -> io::Result<()> {
        if self.records.len() >= (self.memory / 2 / N).max(1) {
            self.wait()?;
            let full = std::mem::take(&mut self.records);
            self.records.reserve_exact(full.len());
            let folder = self.folder.clone();
            self.writer = Some(thread::Builder::new().name("snap-sort".into()).spawn(move || write_run(&folder, full))?);
        }
        self.records.push(record);
        Ok(())
    }

    /// Waits for the run that is written.
    fn wait(&mut self) -> io::Result<()> {
        let Some(writer) = self.writer.take() else { return Ok(()) };
        let run = writer.join().map_err(|_| io::Error::other("a thread that sorts has panicked"))??;
        self.levels[0].push(run);
        for level in 0.. {
            if self.levels[level].len() < RUNS {
                break;
            }
            let merged = Merged::<N>::new(std::mem::take(&mut self.levels[level]), Vec::new(), self.memory / 2)?;
            let run = write(&self.folder, merged)?;
            if self.levels.len() == level + 1 {
                self.levels.push(Vec::new());
            }
            self.levels[level + 1].push(run);
        }
        Ok(())
    }

    /// All records in order.
    pub(super) fn finish(mut self) -> io::Result<Merged<N>> {
        self.wait()?;
        let mut last = std::mem::take(&mut self.records);
        sort(&mut last);
        let runs = std::mem::take(&mut self.levels).into_iter().flatten().collect();
        Merged::new(runs, last, self.memory / 2)
    }
}

impl<const N: usize> Drop for Sorter<N> {
    fn drop(&mut self) {
        let _ = self.writer.take().map(JoinHandle::join);
    }
}

fn prefix<const N: usize>(record: &[u8; N]) -> u64 {
    record.first_chunk().map_or(0, |first| u64::from_be_bytes(*first))
}

fn sort<const N: usize>(records: &mut [[u8; N]]) {
    // Most differ in their first bytes, which compare as one number.
    records.sort_unstable_by(|a, b| prefix(a).cmp(&prefix(b)).then_with(|| a.cmp(b)));
}

fn write_run<const N: usize>(folder: &Path, mut records: Vec<[u8; N]>) -> io::Result<File> {
    sort(&mut records);
    write(folder, records.into_iter().map(Ok))
}

/// Writes records to a file without a name, to be read from its start.
fn write<const N: usize>(folder: &Path, records: impl Iterator<Item = io::Result<[u8; N]>>) -> io::Result<File> {
    let path = folder.join(format!("run-{N}"));
    let file = File::options().create_new(true).read(true).write(true).open(&path)?;
    fs::remove_file(&path)?;
    let mut out = BufWriter::with_capacity(MOST_BUFFER, file);
    for record in records {
        out.write_all(&record?)?;
    }
    let mut file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.rewind()?;
    Ok(file)
}

/// Sorted runs, read as one.
#[derive(Debug)]
pub(super) struct Merged<const N: usize> {
    runs: Vec<BufReader<File>>,
    /// The first record of each run that was not given out.
    heads: BinaryHeap<Reverse<(u64, [u8; N], usize)>>,
    /// A run that is in memory.
    last: std::vec::IntoIter<[u8; N]>,
}

impl<const N: usize> Merged<N> {
    fn new(files: Vec<File>, last: Vec<[u8; N]>, memory: usize) -> io::Result<Self> {
        let buffer = (memory / files.len().max(1)).clamp(LEAST_BUFFER, MOST_BUFFER);
        let runs: Vec<_> = files.into_iter().map(|file| BufReader::with_capacity(buffer, file)).collect();
        let mut merged = Self { heads: BinaryHeap::with_capacity(runs.len() + 1), runs, last: last.into_iter() };
        for run in 0..=merged.runs.len() {
            if let Some(record) = merged.read(run)? {
                merged.heads.push(Reverse((prefix(&record), record, run)));
            }
        }
        Ok(merged)
    }

    /// The next record of a run.
    fn read(&mut self, run: usize) -> io::Result<Option<[u8; N]>> {
        let Some(reader) = self.runs.get_mut(run) else { return Ok(self.last.next()) };
        let mut record = [0; N];
        match reader.read_exact(&mut record) {
            Ok(()) => Ok(Some(record)),
            // Runs are of whole records, and end behind one.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl<const N: usize> Iterator for Merged<N> {
    type Item = io::Result<[u8; N]>;

    fn next(&mut self) -> Option<Self::Item> {
        let &Reverse((_, record, run)) = self.heads.peek()?;
        match self.read(run) {
            Ok(Some(next)) => {
                if let Some(mut head) = self.heads.peek_mut() {
                    *head = Reverse((prefix(&next), next, run));
                }
            }
            Ok(None) => _ = self.heads.pop(),
            Err(error) => return Some(Err(error)),
        }
        Some(Ok(record))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(memory: usize, records: &[[u8; 12]]) -> Vec<[u8; 12]> {
        let place = tempfile::tempdir().unwrap();
        let mut sorter = Sorter::new(place.path(), memory);
        records.iter().for_each(|record| sorter.push(*record).unwrap());
        let found = sorter.finish().unwrap().collect::<io::Result<_>>().unwrap();
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
        found
    }

    #[test]
    fn what_does_not_fit_into_memory_comes_out_in_order() {
        let records: Vec<[u8; 12]> =
            (0..100_000u32).map(|i| blake3::hash(&(i % 70_000).to_le_bytes()).as_bytes()[..12].try_into().unwrap()).collect();
        let mut right = records.clone();
        right.sort_unstable();
        // In one run, in some, and in so many that runs are merged to longer ones on the way.
        for memory in [10 << 20, 100_000, 2_000] {
            assert_eq!(sorted(memory, &records), right);
        }
    }

    #[test]
    fn nothing_comes_out_of_nothing() {
        assert!(sorted(1000, &[]).is_empty());
        assert_eq!(sorted(0, &[[2; 12], [1; 12], [3; 12]]), [[1; 12], [2; 12], [3; 12]]);
    }
}
