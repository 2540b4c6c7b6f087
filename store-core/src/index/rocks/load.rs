//! Taking in much at once: sorted outside of RocksDB, handed over as finished tables (`spec/INDEX.md`, section 5).

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::MutexGuard;

use rocksdb::{IngestExternalFileOptions, Options, SstFileWriter, WriteBatch};

use super::options::{TABLE, unlogged};
use super::values::{Named, blob_key, blob_value, copy_key, location_value, named_value, pack_value};
use super::{BLOBS, CHUNKS, COPIES, LOADING, META, NEXT_PACK_KEY, NUMBERS, PACKS, RocksIndex, SKETCHES, failure, io_failure};
use crate::base::ids::{ChunkId, PackId};
use crate::format::segment::{PackEntry, Segment};
use crate::index::sorter::{Merged, Sorter};
use crate::index::{IndexError, Load, Location, PackNumber, features, locations};

/// Names that are looked up at a time in what was taken in before.
const LOOK_UP: usize = 4096;
/// Entries of a table between two looks at its length.
const LOOK: usize = 1024;

/// Id, depth, pack, ordinal, start, length: in the order in which the places of a chunk are tried.
type ChunkRecord = [u8; 49];
/// Feature, pack, ordinal, start, length, depth: the last one is of the latest pack.
type SketchRecord = [u8; 22];

/// What is being taken in, none of which the index shows. Dropped in this order: the folder goes after what writes there, and before another
/// load may begin.
pub(super) struct RocksLoad<'i> {
    chunks: Sorter<49>,
    sketches: Sorter<22>,
    blobs: Table<'i>,
    packs: Table<'i>,
    /// Numbers of packs that came.
    numbers: HashMap<PackId, PackNumber>,
    next: PackNumber,
    is_first: bool,
    /// Where files are until RocksDB takes them.
    scratch: Scratch,
    index: &'i RocksIndex,
    _taking: MutexGuard<'i, ()>,
}

impl<'i> RocksLoad<'i> {
    pub(super) fn new(index: &'i RocksIndex) -> Result<Self, IndexError> {
        let taking = index.take();
        let scratch = Scratch::new(index.db.path())?;
        let next = index.next_pack()?;
        Ok(Self {
            chunks: Sorter::new(&scratch.0, index.memory / 2),
            sketches: Sorter::new(&scratch.0, index.memory / 2),
            blobs: Table::new(index, &scratch, BLOBS),
            packs: Table::new(index, &scratch, PACKS),
            numbers: HashMap::new(),
            next,
            is_first: next == 0,
            scratch,
            index,
            _taking: taking,
        })
    }

    fn add_sketches(&mut self, number: PackNumber, pack: &PackEntry) -> Result<(), IndexError> {
        for (key, location) in features(number, pack) {
            self.sketches.push(sketch_record(key, &location)).map_err(|error| self.scratch.failed(&error))?;
        }
        Ok(())
    }

    fn number_of(&self, pack: &PackId) -> Result<Option<PackNumber>, IndexError> {
        match self.numbers.get(pack) {
            None if !self.is_first => self.index.number_of(pack),
            number => Ok(number.copied()),
        }
    }
}

impl Load for RocksLoad<'_> {
    fn add(&mut self, segment: &Segment) -> Result<(), IndexError> {
        for pack in &segment.packs {
            // Another segment may have told of the same pack. That one may have been made from the footer, which has no sketches.
            if let Some(known) = self.number_of(&pack.id)? {
                self.add_sketches(known, pack)?;
                continue;
            }
            let number = self.next;
            self.next += 1;
            self.numbers.insert(pack.id, number);
            self.add_sketches(number, pack)?;
            for (id, location) in locations(number, pack) {
                self.chunks.push(chunk_record(&id, &location)).map_err(|error| self.scratch.failed(&error))?;
            }
            let mut value = Vec::new();
            for (ordinal, (blob, offset)) in pack.contents.blobs.iter().zip(pack.contents.offsets()).enumerate() {
                blob_value(blob, offset, &mut value);
                self.blobs.put(&blob_key(number, ordinal as u32), &value)?;
            }
            self.packs.put(&number.to_be_bytes(), &pack_value(&pack.id, pack.len))?;
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), IndexError> {
        let Self { chunks, sketches, blobs, packs, numbers, next, is_first, scratch, index, _taking } = *self;
        let mut numbers: Vec<_> = numbers.into_iter().collect();
        numbers.sort_unstable();
        let mut names = Table::new(index, &scratch, NUMBERS);
        for (pack, number) in numbers {
            names.put(pack.as_bytes(), &number.to_be_bytes())?;
        }
        let mut places = Table::new(index, &scratch, CHUNKS);
        let mut copies = Table::new(index, &scratch, COPIES);
        let mut alike = Table::new(index, &scratch, SKETCHES);
        let failed = |error: io::Error| scratch.failed(&error);
        std::thread::scope(|scope| {
            let sketches = scope.spawn(|| write_sketches(sketches.finish().map_err(failed)?, &mut alike, &failed));
            let chunks = chunks.finish().map_err(failed)?;
            Places { before: (!is_first).then_some(index), places: &mut places, copies: &mut copies }.write(chunks, &failed)?;
            sketches.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })?;
        // From here on a crash leaves a part of it, which nobody can tell from the whole: such an index is not opened again.
        let loading = Loading::begin(index.db.path())?;
        index.flush_now()?;
        // What others lead to comes first: whoever looks meanwhile finds a blob and a pack for each chunk.
        for table in [packs, names, blobs, copies, places, alike] {
            table.hand_over()?;
        }
        let mut batch = WriteBatch::default();
        batch.put_cf(index.family(META), NEXT_PACK_KEY, next.to_be_bytes());
        index.db.write_opt(batch, &unlogged()).map_err(failure)?;
        index.flush_now()?;
        loading.end()
    }
}

fn chunk_record(id: &ChunkId, location: &Location) -> ChunkRecord {
    let mut record = [location.depth; 49];
    record[..32].copy_from_slice(id.as_bytes());
    for (field, out) in [location.pack, location.ordinal, location.start, location.len].iter().zip(record[33..].chunks_exact_mut(4)) {
        out.copy_from_slice(&field.to_be_bytes());
    }
    record
}

fn sketch_record(key: [u8; 5], location: &Location) -> SketchRecord {
    let mut record = [location.depth; 22];
    record[..5].copy_from_slice(&key);
    for (field, out) in [location.pack, location.ordinal, location.start, location.len].iter().zip(record[5..].chunks_exact_mut(4)) {
        out.copy_from_slice(&field.to_be_bytes());
    }
    record
}

/// Reads four numbers that a record has in this order.
fn location_of(fields: &[u8], depth: u8) -> Location {
    let mut numbers = fields.as_chunks().0.iter().map(|bytes| u32::from_be_bytes(*bytes));
    let mut next = || numbers.next().unwrap_or_default();
    Location { pack: next(), ordinal: next(), start: next(), len: next(), depth }
}

/// Of each feature the last place stays.
fn write_sketches(records: Merged<22>, table: &mut Table<'_>, failed: &dyn Fn(io::Error) -> IndexError) -> Result<(), IndexError> {
    let mut last: Option<SketchRecord> = None;
    let mut put = |record: &SketchRecord| table.put(&record[..5], &location_value(&location_of(&record[5..21], record[21])));
    for record in records {
        let record = record.map_err(failed)?;
        if let Some(before) = last.replace(record)
            && before[..5] != record[..5]
        {
            put(&before)?;
        }
    }
    last.iter().try_for_each(put)
}

/// Writes the places of chunks: for each the best, and what else there is.
struct Places<'p, 'i> {
    /// The index, if it has chunks.
    before: Option<&'i RocksIndex>,
    places: &'p mut Table<'i>,
    copies: &'p mut Table<'i>,
}

impl Places<'_, '_> {
    fn write(mut self, records: Merged<49>, failed: &dyn Fn(io::Error) -> IndexError) -> Result<(), IndexError> {
        let mut batch: Vec<(ChunkId, Location)> = Vec::with_capacity(LOOK_UP + 1);
        for record in records {
            let record = record.map_err(failed)?;
            let mut id = [0; 32];
            id.copy_from_slice(&record[..32]);
            let id = ChunkId::from_bytes(id);
            // All places of a chunk are in one batch.
            if batch.len() >= LOOK_UP && batch.last().is_some_and(|(last, _)| *last != id) {
                self.write_batch(&batch)?;
                batch.clear();
            }
            batch.push((id, location_of(&record[33..], record[32])));
        }
        self.write_batch(&batch)
    }

    fn write_batch(&mut self, batch: &[(ChunkId, Location)]) -> Result<(), IndexError> {
        let chunks: Vec<_> = batch.chunk_by(|a, b| a.0 == b.0).collect();
        let held = match self.before {
            Some(index) => index.find_now(&chunks.iter().map(|places| places[0].0).collect::<Vec<_>>())?,
            None => vec![None; chunks.len()],
        };
        for (places, held) in chunks.into_iter().zip(held) {
            let (id, first) = places[0];
            // The last of the least depth; what is held came before.
            let least = places.iter().map(|(_, place)| *place).take_while(|place| place.depth == first.depth);
            let best = held.filter(|held| held.depth < first.depth).unwrap_or(least.last().unwrap_or(first));
            let has_copies = places.len() > 1 || held.is_some();
            self.places.put(id.as_bytes(), &named_value(Named { location: best, has_copies }))?;
            if !has_copies {
                continue;
            }
            let all = places.iter().map(|(_, place)| *place).chain(held);
            let mut others: Vec<_> = all.filter(|place| *place != best).map(|place| (copy_key(&id, &place), place)).collect();
            others.sort_unstable_by_key(|(key, _)| *key);
            // A blob has a chunk once, as far as its copies are told apart.
            others.dedup_by_key(|(key, _)| *key);
            for (key, place) in &others {
                self.copies.put(key, &location_value(place))?;
            }
        }
        Ok(())
    }
}

/// Tables of one family, each longer than the one before in their keys.
struct Table<'i> {
    index: &'i RocksIndex,
    name: &'static str,
    options: &'i Options,
    folder: PathBuf,
    writer: Option<SstFileWriter<'i>>,
    files: Vec<PathBuf>,
    entries: usize,
}

impl<'i> Table<'i> {
    fn new(index: &'i RocksIndex, scratch: &Scratch, name: &'static str) -> Self {
        Self { index, name, options: index.options_of(name), folder: scratch.0.clone(), writer: None, files: Vec::new(), entries: 0 }
    }

    /// Adds an entry; keys come in ascending order, each once.
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), IndexError> {
        let writer = match &mut self.writer {
            Some(writer) => writer,
            none => {
                let path = self.folder.join(format!("{}-{}", self.name, self.files.len()));
                let writer = SstFileWriter::create(self.options);
                writer.open(&path).map_err(failure)?;
                self.files.push(path);
                none.insert(writer)
            }
        };
        writer.put(key, value).map_err(failure)?;
        self.entries += 1;
        if self.entries.is_multiple_of(LOOK) && writer.file_size() >= TABLE {
            self.end_file()?;
        }
        Ok(())
    }

    fn end_file(&mut self) -> Result<(), IndexError> {
        self.writer.take().map_or(Ok(()), |mut writer| writer.finish().map_err(failure))
    }

    /// Makes them part of the index.
    fn hand_over(mut self) -> Result<(), IndexError> {
        self.end_file()?;
        if self.files.is_empty() {
            return Ok(());
        }
        let mut options = IngestExternalFileOptions::default();
        options.set_move_files(true);
        self.index.db.ingest_external_file_cf_opts(self.index.family(self.name), &options, self.files).map_err(failure)
    }
}

/// A folder for what is not part of the index yet; its files go with it.
struct Scratch(PathBuf);

impl Scratch {
    fn new(index: &Path) -> Result<Self, IndexError> {
        let folder = index.join("load");
        match fs::remove_dir_all(&folder) {
            // What a process left that was killed.
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io_failure(&folder, &error)),
            _ => {}
        }
        fs::create_dir(&folder).map_err(|error| io_failure(&folder, &error))?;
        Ok(Self(folder))
    }

    fn failed(&self, error: &io::Error) -> IndexError {
        io_failure(&self.0, error)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A file that says: parts of what was to be taken in may be there, others not.
struct Loading {
    path: PathBuf,
    folder: File,
}

impl Loading {
    fn begin(index: &Path) -> Result<Self, IndexError> {
        let path = index.join(LOADING);
        let begin = || {
            File::create(&path)?.sync_all()?;
            let folder = File::open(index)?;
            folder.sync_all().map(|()| folder)
        };
        let folder = begin().map_err(|error| io_failure(&path, &error))?;
        Ok(Self { path, folder })
    }

    fn end(self) -> Result<(), IndexError> {
        fs::remove_file(&self.path).and_then(|()| self.folder.sync_all()).map_err(|error| io_failure(&self.path, &error))
    }
}
