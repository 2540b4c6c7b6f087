//! The chunk index in RocksDB (`spec/INDEX.md`). The only folder that knows RocksDB.
//!
//! It is a cache: written without a log, flushed at the end, and built again from index segments when it is lost.

mod load;
mod options;
mod values;

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::fs::{self, File, TryLockError};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rocksdb::{
    BottommostLevelCompaction, Cache, ColumnFamily, ColumnFamilyDescriptor, CompactOptions, DB, Direction, ErrorKind, FlushOptions,
    IteratorMode, Options, WriteBatch,
};

use self::load::RocksLoad;
use self::options::unlogged;
use self::values::{
    Named, blob_key, blob_value, copy_key, location_value, named_value, number, odd, pack_value, read_blob, read_blob_key, read_location,
    read_named, read_pack, read_reads, reads_key, reads_value, whole_key,
};
use super::{BlobPlace, ChunkIndex, IndexError, Load, Location, PackNumber, Reads, feature_keys, features, in_order, locations};
use crate::base::ids::{ChunkId, NodeId, PackId, SegmentId};
use crate::format::pack::Sketch;
use crate::format::segment::Segment;

const CHUNKS: &str = "chunks";
const COPIES: &str = "copies";
const BLOBS: &str = "blobs";
const PACKS: &str = "packs";
const NUMBERS: &str = "pack-numbers";
const SEGMENTS: &str = "segments";
const SKETCHES: &str = "sketches";
const DANGLING: &str = "dangling";
const RECORDS: &str = "records";
const META: &str = "meta";
const FAMILIES: [&str; 10] = [CHUNKS, COPIES, BLOBS, PACKS, NUMBERS, SEGMENTS, SKETCHES, DANGLING, RECORDS, META];

const LAYOUT_KEY: &[u8] = b"layout";
const LAYOUT: &[u8] = b"snap chunk index 6";
const NEXT_PACK_KEY: &[u8] = b"next pack";
/// What stands in `segments` for one that another one supersedes.
const SUPERSEDED: &[u8] = &[1];
/// A file in the folder that says: damage was found while it was read.
const DAMAGED: &str = "damaged";
/// Another one, while much is taken in at once: what is there may be a part of it.
const LOADING: &str = "loading";

/// A RocksDB folder.
pub struct RocksIndex {
    db: DB,
    /// What the tables of each family are made with.
    options: [Options; FAMILIES.len()],
    /// Bytes of its caches and buffers.
    memory: usize,
    /// Held by whoever takes something in: packs get their numbers one after the other.
    taking: Mutex<()>,
    /// Held as long as the database is open. It stands beside the folder, so that nobody opens what another process throws away: RocksDB's
    /// own lock is in the folder and vanishes with it.
    _lock: File,
}

impl std::fmt::Debug for RocksIndex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("RocksIndex").field(&self.db.path()).finish()
    }
}

impl RocksIndex {
    /// Opens the index in `folder`, or makes an empty one. `memory` bytes go to its caches and buffers.
    pub fn open(folder: &Path, memory: usize) -> Result<Self, IndexError> {
        fs::create_dir_all(folder).map_err(|error| io_failure(folder, &error))?;
        let lock = lock(folder)?;
        if folder.join(DAMAGED).exists() || folder.join(LOADING).exists() {
            return Err(IndexError::Corrupt("damage was found in it before".into()));
        }
        let cache = Cache::new_lru_cache(memory / 2);
        let options = FAMILIES.map(|name| options::family(name, &cache, memory));
        let descriptors = FAMILIES.iter().zip(&options).map(|(name, options)| ColumnFamilyDescriptor::new(*name, options.clone()));
        let db = DB::open_cf_descriptors(&options::database(memory), folder, descriptors).map_err(failure)?;
        let index = Self { db, options, memory, taking: Mutex::default(), _lock: lock };
        match index.db.get_cf(index.family(META), LAYOUT_KEY).map_err(failure)? {
            Some(layout) if layout == LAYOUT => {}
            Some(_) => return Err(IndexError::Corrupt("another version of the program made it".into())),
            None => index.db.put_cf_opt(index.family(META), LAYOUT_KEY, LAYOUT, &unlogged()).map_err(failure)?,
        }
        Ok(index)
    }

    /// Throws the index in `folder` away, unless a process has it open.
    pub fn remove(folder: &Path) -> Result<(), IndexError> {
        let _lock = lock(folder)?;
        match fs::remove_dir_all(folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(io_failure(folder, &error)),
            _ => Ok(()),
        }
    }

    fn family(&self, name: &str) -> &ColumnFamily {
        self.db.cf_handle(name).expect("every family is opened with the database")
    }

    fn options_of(&self, name: &str) -> &Options {
        let at = FAMILIES.iter().position(|family| *family == name);
        &self.options[at.expect("every family has options")]
    }

    fn take(&self) -> MutexGuard<'_, ()> {
        self.taking.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number that the next pack gets.
    fn next_pack(&self) -> Result<PackNumber, IndexError> {
        let next = self.db.get_pinned_cf(self.family(META), NEXT_PACK_KEY).map_err(failure)?;
        next.map_or(Ok(0), |value| number(&value))
    }

    fn number_of(&self, pack: &PackId) -> Result<Option<PackNumber>, IndexError> {
        let value = self.db.get_pinned_cf(self.family(NUMBERS), pack.as_bytes()).map_err(failure)?;
        value.map(|value| number(&value)).transpose()
    }

    /// Sees to it that an index in which damage shows is not opened again: tables are only looked at where they are read.
    fn watch<T>(&self, result: Result<T, IndexError>) -> Result<T, IndexError> {
        if let Err(IndexError::Corrupt(_)) = &result {
            // Without the mark the next command finds the same damage, and says so again.
            let _ = fs::write(self.db.path().join(DAMAGED), []);
        }
        result
    }

    /// Merges all that was taken in into one sorted run, after a rebuild.
    pub fn compact(&self) {
        let mut options = CompactOptions::default();
        options.set_bottommost_level_compaction(BottommostLevelCompaction::Skip);
        for name in [CHUNKS, BLOBS] {
            self.db.compact_range_cf_opt(self.family(name), None::<&[u8]>, None::<&[u8]>, &options);
        }
    }
}

/// Locks the slot of `folder`, until the file is dropped or the process ends.
fn lock(folder: &Path) -> Result<File, IndexError> {
    let path = folder.with_extension("lock");
    let file = File::options().create(true).write(true).truncate(false).open(&path).map_err(|error| io_failure(&path, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(IndexError::InUse),
        Err(TryLockError::Error(error)) => Err(io_failure(&path, &error)),
    }
}

fn io_failure(path: &Path, error: &std::io::Error) -> IndexError {
    IndexError::Io(format!("{}: {error}", path.display()))
}

/// What RocksDB says when a disk fails, is full or may not be written.
const UNUSABLE: [&str; 6] =
    ["No space left", "quota exceeded", "Read-only file system", "Too many open files", "Permission denied", "Input/output error"];

fn failure(error: rocksdb::Error) -> IndexError {
    let text = error.to_string();
    match error.kind() {
        // First: the file of its lock may be what cannot be made.
        ErrorKind::IOError if UNUSABLE.iter().any(|why| text.contains(why)) => IndexError::Io(text),
        ErrorKind::IOError if text.contains("lock hold by") || text.contains("While lock file") || text.contains("/LOCK") => {
            IndexError::InUse
        }
        // A file of the database that is missing or cut short shows as an error of input, and is damage here.
        _ => IndexError::Corrupt(text),
    }
}

impl ChunkIndex for RocksIndex {
    fn find(&self, ids: &[ChunkId]) -> Result<Vec<Option<Location>>, IndexError> {
        self.watch(self.find_now(ids))
    }

    fn find_all(&self, ids: &[ChunkId]) -> Result<Vec<Vec<Location>>, IndexError> {
        self.watch(self.find_all_now(ids))
    }

    fn copies(&self, id: &ChunkId) -> Result<Vec<Location>, IndexError> {
        self.watch(self.copies_now(id))
    }

    fn blob(&self, pack: PackNumber, ordinal: u32) -> Result<Option<BlobPlace>, IndexError> {
        self.watch(self.blob_now(pack, ordinal))
    }

    fn pack(&self, number: PackNumber) -> Result<Option<(PackId, u64)>, IndexError> {
        self.watch(self.pack_now(number))
    }

    fn apply(&self, id: Option<&SegmentId>, segment: &Segment) -> Result<(), IndexError> {
        self.watch(self.apply_now(id, segment))
    }

    fn load(&self) -> Result<Box<dyn Load + '_>, IndexError> {
        Ok(Box::new(RocksLoad::new(self)?))
    }

    fn similar(&self, sketches: &[Sketch]) -> Result<Vec<Vec<Location>>, IndexError> {
        self.watch(self.similar_now(sketches))
    }

    fn packs(&self) -> Result<Vec<PackId>, IndexError> {
        self.watch(self.packs_now())
    }

    fn applied(&self) -> Result<BTreeSet<SegmentId>, IndexError> {
        self.watch(self.segments_with(&[]))
    }

    fn superseded(&self) -> Result<BTreeSet<SegmentId>, IndexError> {
        self.watch(self.segments_with(SUPERSEDED))
    }

    fn dangling(&self) -> Result<BTreeSet<(PackNumber, u32)>, IndexError> {
        self.watch(self.dangling_now())
    }

    fn settle(&self, taken: &[SegmentId], superseded: &[SegmentId], dangling: &BTreeSet<(PackNumber, u32)>) -> Result<(), IndexError> {
        self.watch(self.settle_now(taken, superseded, dangling))
    }

    fn number(&self, pack: &PackId) -> Result<Option<PackNumber>, IndexError> {
        self.watch(self.number_of(pack))
    }

    fn for_each_blob(&self, found: &mut dyn FnMut(PackNumber, u32, BlobPlace)) -> Result<(), IndexError> {
        self.watch(self.for_each_blob_now(found))
    }

    fn record(&self, path: &str) -> Result<Option<Vec<u8>>, IndexError> {
        self.watch(self.db.get_cf(self.family(RECORDS), path).map_err(failure))
    }

    fn records(&self) -> Result<Vec<String>, IndexError> {
        let keys = self.db.iterator_cf(self.family(RECORDS), IteratorMode::Start);
        self.watch(keys.map(|item| String::from_utf8(item.map_err(failure)?.0.into()).map_err(odd)).collect())
    }

    fn keep_records(&self, new: &[(String, Vec<u8>)], gone: &[String]) -> Result<(), IndexError> {
        if new.is_empty() && gone.is_empty() {
            return Ok(());
        }
        let mut batch = WriteBatch::default();
        new.iter().for_each(|(path, object)| batch.put_cf(self.family(RECORDS), path, object));
        gone.iter().for_each(|path| batch.delete_cf(self.family(RECORDS), path));
        self.watch(self.db.write_opt(batch, &unlogged()).map_err(failure))
    }

    fn is_whole(&self, root: &NodeId) -> Result<bool, IndexError> {
        self.watch(self.db.get_pinned_cf(self.family(META), whole_key(root)).map(|value| value.is_some()).map_err(failure))
    }

    fn note_whole(&self, root: &NodeId, instead_of: Option<&NodeId>) -> Result<(), IndexError> {
        if self.is_whole(root)? && instead_of.is_none_or(|other| other == root) {
            return Ok(());
        }
        let mut batch = WriteBatch::default();
        instead_of.into_iter().for_each(|other| batch.delete_cf(self.family(META), whole_key(other)));
        batch.put_cf(self.family(META), whole_key(root), []);
        self.watch(self.db.write_opt(batch, &unlogged()).map_err(failure))
    }

    fn reads_of(&self, root: &NodeId) -> Result<Option<Reads>, IndexError> {
        self.watch(self.db.get_pinned_cf(self.family(META), reads_key(root)).map_err(failure)).and_then(|value| {
            let value = value.map(|value| read_reads(&value)).transpose();
            self.watch(value)
        })
    }

    fn note_reads(&self, root: &NodeId, reads: Reads, instead_of: Option<&NodeId>) -> Result<(), IndexError> {
        let mut batch = WriteBatch::default();
        instead_of.into_iter().for_each(|other| batch.delete_cf(self.family(META), reads_key(other)));
        batch.put_cf(self.family(META), reads_key(root), reads_value(reads));
        self.watch(self.db.write_opt(batch, &unlogged()).map_err(failure))
    }

    fn flush(&self) -> Result<(), IndexError> {
        self.watch(self.flush_now())
    }
}

impl RocksIndex {
    fn find_now(&self, ids: &[ChunkId]) -> Result<Vec<Option<Location>>, IndexError> {
        Ok(self.named(ids)?.into_iter().map(|named| named.map(|named| named.location)).collect())
    }

    fn named(&self, ids: &[ChunkId]) -> Result<Vec<Option<Named>>, IndexError> {
        let mut order: Vec<usize> = (0..ids.len()).collect();
        order.sort_unstable_by_key(|i| ids[*i]);
        let keys = order.iter().map(|i| ids[*i].as_bytes().as_slice());
        let values = self.db.batched_multi_get_cf(self.family(CHUNKS), keys, true);
        let mut found = vec![None; ids.len()];
        for (i, value) in order.into_iter().zip(values) {
            found[i] = value.map_err(failure)?.map(|value| read_named(&value)).transpose()?;
        }
        Ok(found)
    }

    fn find_all_now(&self, ids: &[ChunkId]) -> Result<Vec<Vec<Location>>, IndexError> {
        let all = |(named, id): (Option<Named>, &ChunkId)| match named {
            None => Ok(Vec::new()),
            Some(Named { location, has_copies: false }) => Ok(vec![location]),
            Some(Named { location, .. }) => self.with_copies(vec![location], id),
        };
        self.named(ids)?.into_iter().zip(ids).map(all).collect()
    }

    fn copies_now(&self, id: &ChunkId) -> Result<Vec<Location>, IndexError> {
        Ok(self.find_all_now(std::slice::from_ref(id))?.pop().unwrap_or_default())
    }

    fn with_copies(&self, mut found: Vec<Location>, id: &ChunkId) -> Result<Vec<Location>, IndexError> {
        for item in self.db.iterator_cf(self.family(COPIES), IteratorMode::From(id.as_bytes(), Direction::Forward)) {
            let (key, value) = item.map_err(failure)?;
            if !key.starts_with(id.as_bytes()) {
                break;
            }
            found.push(read_location(&value)?);
        }
        Ok(in_order(found))
    }

    fn blob_now(&self, pack: PackNumber, ordinal: u32) -> Result<Option<BlobPlace>, IndexError> {
        let Some((id, _)) = self.pack_now(pack)? else { return Ok(None) };
        let value = self.db.get_pinned_cf(self.family(BLOBS), blob_key(pack, ordinal)).map_err(failure)?;
        value.map(|value| read_blob(&value, id)).transpose()
    }

    fn pack_now(&self, number: PackNumber) -> Result<Option<(PackId, u64)>, IndexError> {
        let value = self.db.get_pinned_cf(self.family(PACKS), number.to_be_bytes()).map_err(failure)?;
        value.map(|value| read_pack(&value)).transpose()
    }

    fn apply_now(&self, id: Option<&SegmentId>, segment: &Segment) -> Result<(), IndexError> {
        let _taking = self.take();
        let mut next = self.next_pack()?;
        let mut batch = WriteBatch::default();
        let (mut chunks, mut sketches, mut value) = (Vec::new(), Vec::new(), Vec::new());
        let mut new = BTreeSet::new();
        for pack in &segment.packs {
            // Another segment may have told of the same pack; its number stays. That one may have been made from the footer, which has no
            // sketches.
            if let Some(known) = self.number_of(&pack.id)? {
                sketches.extend(features(known, pack));
                continue;
            }
            if !new.insert(pack.id) {
                continue;
            }
            chunks.extend(locations(next, pack));
            sketches.extend(features(next, pack));
            for (ordinal, (blob, offset)) in pack.contents.blobs.iter().zip(pack.contents.offsets()).enumerate() {
                blob_value(blob, offset, &mut value);
                batch.put_cf(self.family(BLOBS), blob_key(next, ordinal as u32), &value);
            }
            batch.put_cf(self.family(PACKS), next.to_be_bytes(), pack_value(&pack.id, pack.len));
            batch.put_cf(self.family(NUMBERS), pack.id.as_bytes(), next.to_be_bytes());
            next += 1;
        }
        // In order of their names, which is the order that they are kept in; of several copies the last one of least depth.
        chunks.sort_unstable_by_key(|(id, location)| (*id, location.depth, Reverse(*location)));
        let mut copies = Vec::new();
        chunks.dedup_by(|later, first| {
            let again = later.0 == first.0;
            copies.extend(again.then_some(*later));
            again
        });
        let ids: Vec<_> = chunks.iter().map(|(id, _)| *id).collect();
        let held = self.find_now(&ids)?;
        let again: BTreeSet<ChunkId> = copies.iter().map(|(id, _)| *id).collect();
        for ((id, location), held) in chunks.into_iter().zip(held) {
            let (best, other) = match held {
                Some(held) if held.depth < location.depth => (held, Some(location)),
                held => (location, held),
            };
            let named = Named { location: best, has_copies: other.is_some() || again.contains(&id) };
            batch.put_cf(self.family(CHUNKS), id.as_bytes(), named_value(named));
            copies.extend(other.map(|other| (id, other)));
        }
        for (id, location) in &copies {
            batch.put_cf(self.family(COPIES), copy_key(id, location), location_value(location));
        }
        // The last chunk with a feature stays, and that is the latest version of what it is part of.
        sketches.sort_by_key(|(key, _)| *key);
        for (key, location) in &sketches {
            batch.put_cf(self.family(SKETCHES), key, location_value(location));
        }
        batch.put_cf(self.family(META), NEXT_PACK_KEY, next.to_be_bytes());
        if let Some(id) = id {
            batch.put_cf(self.family(SEGMENTS), id.as_bytes(), []);
        }
        self.db.write_opt(batch, &unlogged()).map_err(failure)
    }

    fn similar_now(&self, sketches: &[Sketch]) -> Result<Vec<Vec<Location>>, IndexError> {
        let mut keys: Vec<([u8; 5], usize)> =
            sketches.iter().enumerate().flat_map(|(i, sketch)| feature_keys(*sketch).map(|key| (key, i))).collect();
        keys.sort_unstable();
        let values = self.db.batched_multi_get_cf(self.family(SKETCHES), keys.iter().map(|(key, _)| key.as_slice()), true);
        let mut found = vec![Vec::new(); sketches.len()];
        for ((_, i), value) in keys.into_iter().zip(values) {
            if let Some(value) = value.map_err(failure)? {
                found[i].push(read_location(&value)?);
            }
        }
        Ok(found)
    }

    fn packs_now(&self) -> Result<Vec<PackId>, IndexError> {
        let keys = self.db.iterator_cf(self.family(NUMBERS), IteratorMode::Start);
        keys.map(|item| item.map_err(failure)?.0[..].try_into().map(PackId::from_bytes).map_err(odd)).collect()
    }

    fn segments_with(&self, wanted: &[u8]) -> Result<BTreeSet<SegmentId>, IndexError> {
        let mut found = BTreeSet::new();
        for item in self.db.iterator_cf(self.family(SEGMENTS), IteratorMode::Start) {
            let (key, value) = item.map_err(failure)?;
            if *value == *wanted {
                found.insert(key[..].try_into().map(SegmentId::from_bytes).map_err(odd)?);
            }
        }
        Ok(found)
    }

    fn dangling_now(&self) -> Result<BTreeSet<(PackNumber, u32)>, IndexError> {
        let mut found = BTreeSet::new();
        for item in self.db.iterator_cf(self.family(DANGLING), IteratorMode::Start) {
            found.insert(read_blob_key(&item.map_err(failure)?.0)?);
        }
        Ok(found)
    }

    fn settle_now(&self, taken: &[SegmentId], superseded: &[SegmentId], dangling: &BTreeSet<(PackNumber, u32)>) -> Result<(), IndexError> {
        let mut batch = WriteBatch::default();
        taken.iter().for_each(|id| batch.put_cf(self.family(SEGMENTS), id.as_bytes(), []));
        superseded.iter().for_each(|id| batch.put_cf(self.family(SEGMENTS), id.as_bytes(), SUPERSEDED));
        let before = self.dangling_now()?;
        for (pack, ordinal) in before.difference(dangling) {
            batch.delete_cf(self.family(DANGLING), blob_key(*pack, *ordinal));
        }
        for (pack, ordinal) in dangling.difference(&before) {
            batch.put_cf(self.family(DANGLING), blob_key(*pack, *ordinal), []);
        }
        self.db.write_opt(batch, &unlogged()).map_err(failure)
    }

    fn for_each_blob_now(&self, found: &mut dyn FnMut(PackNumber, u32, BlobPlace)) -> Result<(), IndexError> {
        let mut current: Option<(PackNumber, PackId)> = None;
        for item in self.db.iterator_cf(self.family(BLOBS), IteratorMode::Start) {
            let (key, value) = item.map_err(failure)?;
            let (pack, ordinal) = read_blob_key(&key)?;
            let id = match current {
                Some((number, id)) if number == pack => id,
                _ => self.pack_now(pack)?.ok_or_else(|| odd("a blob without its pack"))?.0,
            };
            current = Some((pack, id));
            found(pack, ordinal, read_blob(&value, id)?);
        }
        Ok(())
    }

    fn flush_now(&self) -> Result<(), IndexError> {
        let families: Vec<_> = FAMILIES.iter().map(|name| self.family(name)).collect();
        self.db.flush_cfs_opt(&families, &FlushOptions::default()).map_err(failure)
    }
}

#[cfg(test)]
mod tests;
