//! What this host has read of a store where requests take long, and keeps as it is stored, sealed: headers of packs, blobs of nodes, snapshot records
//! and notes. None of them ever changes, and each is opened as if it came from the store, so what is kept says the same or does not open
//! (`spec/INDEX.md`, section 9).

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::Repo;
use crate::backend::ObjectPath;
use crate::base::ids::PackId;
use crate::format::blob::BlobKind;
use crate::format::envelope::HEADER_LEN;
use crate::format::pack::PackContents;
use crate::sealed_cache::SealedCache;

/// The cache of one open repository.
#[derive(Debug)]
pub(super) struct PartCache {
    /// `None` where nothing is kept.
    files: Option<Arc<SealedCache>>,
    /// How many look past it now.
    past: AtomicUsize,
    /// Whether anything was taken from it.
    has_given: AtomicBool,
    /// Whether it is asked no more, since something in it opened and was not what it should be.
    is_off: AtomicBool,
}

/// As long as this is there, all is read from the store.
pub(crate) struct PastCache<'r>(&'r PartCache);

impl Drop for PastCache<'_> {
    fn drop(&mut self) {
        self.0.past.fetch_sub(1, Ordering::AcqRel);
    }
}

impl PartCache {
    pub(super) fn none() -> Self {
        Self { files: None, past: AtomicUsize::new(0), has_given: AtomicBool::new(false), is_off: AtomicBool::new(false) }
    }

    /// One in `folder` that takes so many bytes of disk. With none what is there goes.
    pub(super) fn new(folder: PathBuf, limit: u64) -> Self {
        if limit == 0 {
            SealedCache::remove(&folder);
            return Self::none();
        }
        Self { files: Some(Arc::new(SealedCache::new(folder, limit))), ..Self::none() }
    }

    fn files(&self) -> Option<&Arc<SealedCache>> {
        self.files.as_ref().filter(|_| self.past.load(Ordering::Acquire) == 0 && !self.is_off.load(Ordering::Acquire))
    }

    /// Whether it is asked now.
    pub(super) fn is_on(&self) -> bool {
        self.files().is_some()
    }

    /// Part of a pack, of this length.
    pub(super) fn part(&self, pack: &PackId, offset: u64, len: usize) -> Option<Vec<u8>> {
        let found = self.files()?.get(&part_name(pack, offset), len).filter(|bytes| bytes.len() == len)?;
        self.has_given.store(true, Ordering::Release);
        Some(found)
    }

    pub(super) fn keep_part(&self, pack: &PackId, offset: u64, bytes: &[u8]) {
        self.files().iter().for_each(|files| files.put(&part_name(pack, offset), bytes));
    }

    pub(super) fn forget_part(&self, pack: &PackId, offset: u64) {
        self.files().iter().for_each(|files| files.forget(&part_name(pack, offset)));
    }

    /// A whole object of at most so many bytes.
    pub(super) fn object(&self, path: &ObjectPath, most: usize) -> Option<Vec<u8>> {
        self.files()?.get(&object_name(path), most)
    }

    pub(super) fn keep_object(&self, path: &ObjectPath, bytes: &[u8]) {
        self.files().iter().for_each(|files| files.put(&object_name(path), bytes));
    }

    pub(super) fn forget_object(&self, path: &ObjectPath) {
        self.files().iter().for_each(|files| files.forget(&object_name(path)));
    }

    /// What puts parts of new packs there as they are written.
    pub(super) fn seeder(&self) -> Option<Arc<SealedCache>> {
        self.files().map(Arc::clone)
    }
}

fn object_name(path: &ObjectPath) -> String {
    path.to_string().replace('/', "-")
}

fn part_name(pack: &PackId, offset: u64) -> String {
    format!("{}-{offset}", object_name(&ObjectPath::Pack(*pack)))
}

/// Keeps of a pack that was just written what is asked for first: whoever pushes, lists or restores next finds its lists.
pub(super) fn seed(files: &SealedCache, pack: &PackId, bytes: &[u8], contents: &PackContents) {
    if let Some(header) = bytes.get(..HEADER_LEN) {
        files.put(&part_name(pack, 0), header);
    }
    for (blob, offset) in contents.blobs.iter().zip(contents.offsets()).filter(|(blob, _)| blob.frame.kind == BlobKind::Nodes) {
        let end = offset + u64::from(blob.frame.sealed_len);
        if let Some(sealed) = bytes.get(offset as usize..end as usize) {
            files.put(&part_name(pack, offset), sealed);
        }
    }
}

impl Repo {
    /// Has all read from the store as long as what this gives is held: for whoever asks whether it is there, and whole.
    pub(crate) fn past_cache(&self) -> PastCache<'_> {
        self.kept.past.fetch_add(1, Ordering::AcqRel);
        if self.kept.has_given.load(Ordering::Acquire) {
            self.reader.clear();
        }
        PastCache(&self.kept)
    }

    /// Whether something that did not come out right may be so because of what is kept: then that is asked no more by this process, and another try
    /// makes sense.
    pub(super) fn distrusts_cache(&self) -> bool {
        let is_suspect = self.kept.has_given.load(Ordering::Acquire);
        if is_suspect && !self.kept.is_off.swap(true, Ordering::AcqRel) {
            self.reader.clear();
        }
        is_suspect
    }
}
