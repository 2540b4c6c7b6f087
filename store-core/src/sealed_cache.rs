//! L3: parts of objects as they are stored, sealed, in files of this host, for stores where every request takes long (`spec/INDEX.md`, section 9).
//!
//! It promises nothing: a file may be torn, missing, or another's. Whoever takes bytes from here opens them as if they came from the store, and
//! says so when they do not open. It keeps within its limit by dropping what was not asked for the longest, a sixteenth of it at a time, so that what
//! one look takes is bounded. Processes share it without a lock: a file appears whole under its name, or not at all.

use std::fs::{self, DirBuilder, File};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// Folders that share the limit evenly: names are spread over them by their hash.
const SHARDS: usize = 16;
/// What a file takes of a disk at the least, and is counted as.
const BLOCK: u64 = 4096;
/// When a file was asked for is noted once in so long.
const TOUCH: Duration = Duration::from_secs(60);

/// Files of sealed bytes.
#[derive(Debug)]
pub(crate) struct SealedCache {
    folder: PathBuf,
    /// Bytes that one shard may take.
    limit: u64,
    /// What each shard takes as far as this process knows.
    shards: [Mutex<Filled>; SHARDS],
    /// Numbers of temporary files.
    next: AtomicU64,
    /// Whether nothing can be written: then it is no longer tried.
    is_readonly: AtomicBool,
}

#[derive(Debug, Default)]
struct Filled {
    /// Bytes when it was last looked at, with what this process has added since; `None` before the first look.
    bytes: Option<u64>,
    /// What this process has added since.
    added: u64,
}

/// A file of a shard.
struct Held {
    path: PathBuf,
    used: SystemTime,
    cost: u64,
}

impl SealedCache {
    /// One in `folder`, made when it is needed, that takes at most `limit` bytes of disk, or little more while several processes write.
    pub(crate) fn new(folder: PathBuf, limit: u64) -> Self {
        Self {
            folder,
            limit: limit / SHARDS as u64,
            shards: Default::default(),
            next: AtomicU64::new(0),
            is_readonly: AtomicBool::new(false),
        }
    }

    /// Removes what is kept in `folder`.
    pub(crate) fn remove(folder: &Path) {
        // What is not there, or cannot be removed, is no matter: nobody asks it.
        let _ = fs::remove_dir_all(folder);
    }

    /// What is kept under `name`, unless it is longer than `most` bytes. The caller opens it, and [forgets](Self::forget) it if it does not.
    pub(crate) fn get(&self, name: &str, most: usize) -> Option<Vec<u8>> {
        let file = File::open(self.place(name).1).ok()?;
        let meta = file.metadata().ok()?;
        let len = usize::try_from(meta.len()).ok().filter(|len| meta.is_file() && (1..=most).contains(len))?;
        let mut bytes = Vec::with_capacity(len);
        (&file).take(most as u64).read_to_end(&mut bytes).ok()?;
        let now = SystemTime::now();
        if meta.modified().is_ok_and(|used| now.duration_since(used).map_or(true, |age| age >= TOUCH)) {
            // One that cannot be noted goes sooner.
            let _ = file.set_modified(now);
        }
        (bytes.len() == len).then_some(bytes)
    }

    /// Keeps bytes under a name that means them and no others. What cannot be kept is not.
    pub(crate) fn put(&self, name: &str, bytes: &[u8]) {
        let cost = cost(bytes.len() as u64);
        if cost > self.limit || bytes.is_empty() || self.is_readonly.load(Ordering::Relaxed) {
            return;
        }
        let (shard, path) = self.place(name);
        let Some(folder) = path.parent() else { return };
        let mut filled = self.shards[shard].lock().unwrap_or_else(PoisonError::into_inner);
        // Now and then what others have added is looked at, too.
        let known = filled.bytes.filter(|bytes| bytes + cost <= self.limit && filled.added <= self.limit / 4);
        let before = known.unwrap_or_else(|| {
            filled.added = 0;
            make_room(folder, self.limit, cost)
        });
        match self.write(folder, &path, bytes) {
            Ok(()) => (filled.bytes, filled.added) = (Some(before + cost), filled.added + cost),
            Err(_) => {
                filled.bytes = Some(before);
                self.is_readonly.store(true, Ordering::Relaxed);
            }
        }
    }

    /// Drops what is kept under a name.
    pub(crate) fn forget(&self, name: &str) {
        let _ = fs::remove_file(self.place(name).1);
    }

    fn place(&self, name: &str) -> (usize, PathBuf) {
        let shard = usize::from(blake3::hash(name.as_bytes()).as_bytes()[0]) % SHARDS;
        (shard, self.folder.join(format!("{shard:x}")).join(name))
    }

    /// A crash may leave a file of the right length with other bytes, since nothing is synced: whoever reads it notices.
    fn write(&self, folder: &Path, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
        // Of this process, of this cache of it, and the next one of that.
        let name = format!("new-{}-{:p}-{}", std::process::id(), &raw const self.next, self.next.fetch_add(1, Ordering::Relaxed));
        let new = folder.join(name);
        let create = || fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new);
        let mut file = create().or_else(|_| {
            DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
            create()
        })?;
        let written = file.write_all(bytes).and_then(|()| fs::rename(&new, path));
        if written.is_err() {
            let _ = fs::remove_file(&new);
        }
        written
    }
}

fn cost(len: u64) -> u64 {
    len.next_multiple_of(BLOCK)
}

/// Drops what was not used for the longest until a quarter of the limit is free, if `more` would not fit. Says what is left. What killed processes left
/// half-written is a file like any other, and goes like them.
fn make_room(folder: &Path, limit: u64, more: u64) -> u64 {
    let Ok(items) = fs::read_dir(folder) else { return 0 };
    let held = |item: std::io::Result<fs::DirEntry>| -> Option<Held> {
        let item = item.ok()?;
        let meta = item.metadata().ok()?;
        Some(Held { path: item.path(), used: meta.modified().ok()?, cost: cost(meta.len()) })
    };
    let mut all: Vec<Held> = items.filter_map(held).collect();
    let mut bytes: u64 = all.iter().map(|held| held.cost).sum();
    if bytes + more <= limit {
        return bytes;
    }
    all.sort_unstable_by_key(|held| held.used);
    for held in all {
        if bytes + more <= limit / 4 * 3 {
            break;
        }
        // One that another process has dropped meanwhile is gone as well.
        if fs::remove_file(&held.path).is_ok() || !held.path.exists() {
            bytes -= held.cost;
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What all files below a folder take.
    fn taken(folder: &Path) -> u64 {
        let Ok(items) = fs::read_dir(folder) else { return 0 };
        let one = |item: fs::DirEntry| if item.path().is_dir() { taken(&item.path()) } else { cost(item.metadata().unwrap().len()) };
        items.map(|item| one(item.unwrap())).sum()
    }

    fn age(cache: &SealedCache, name: &str, minutes: u64) {
        let then = SystemTime::now() - Duration::from_secs(60 * minutes);
        File::options().write(true).open(cache.place(name).1).unwrap().set_modified(then).unwrap();
    }

    #[test]
    fn what_is_kept_comes_back_until_it_is_forgotten_and_nothing_else_does() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (SealedCache::new(folder.path().join("a/b"), 1 << 20), SealedCache::new(folder.path().join("a/b"), 1 << 20));
        assert_eq!(one.get("x", 10), None);
        one.put("x", b"bytes");
        one.put("empty", b"");
        assert_eq!((other.get("x", 10), other.get("x", 4), other.get("empty", 9)), (Some(b"bytes".to_vec()), None, None));
        other.put("x", b"others");
        assert_eq!(one.get("x", 10).as_deref(), Some(&b"others"[..]));
        other.forget("x");
        other.forget("x");
        assert_eq!(one.get("x", 10), None);
        assert_eq!(taken(folder.path()), 0, "nothing half-written is left");
        SealedCache::remove(&folder.path().join("a/b"));
        assert!(!folder.path().join("a/b").exists());
    }

    #[test]
    fn it_stays_within_its_limit_and_drops_what_was_not_used_the_longest() {
        let folder = tempfile::tempdir().unwrap();
        let cache = SealedCache::new(folder.path().into(), 4 << 20);
        let names: Vec<String> = (0..2000).map(|n| format!("packs-{n}")).collect();
        for (n, name) in names.iter().enumerate() {
            cache.put(name, &[n as u8; 5000]);
            age(&cache, name, 5000 - n as u64);
            // One is asked for all the time.
            assert_eq!(cache.get(&names[0], 9999), Some(vec![0; 5000]), "after {n}");
        }
        assert!(taken(folder.path()) <= 4 << 20);
        let left = names.iter().filter(|name| cache.get(name, 9999).is_some()).count();
        assert!(left > 300, "{left}");
        assert!(cache.get(names.last().unwrap(), 9999).is_some() && cache.get(&names[1], 9999).is_none());
        // By another process with a lower limit, too.
        let lower = SealedCache::new(folder.path().into(), 1 << 20);
        (0..400).for_each(|n| lower.put(&format!("more-{n}"), &[1; 5000]));
        assert!(taken(folder.path()) <= 1 << 20);
        // What is larger than a shard is not kept, and drops nothing.
        let before = taken(folder.path());
        lower.put("large", &vec![1; 1 << 17]);
        assert_eq!((lower.get("large", 1 << 20), taken(folder.path())), (None, before));
    }

    #[test]
    fn several_processes_overshoot_little() {
        let folder = tempfile::tempdir().unwrap();
        let caches: Vec<_> = (0..4).map(|_| SealedCache::new(folder.path().into(), 2 << 20)).collect();
        for n in 0..4000 {
            caches[n % 4].put(&format!("{n}"), &[1; 4000]);
        }
        let taken = taken(folder.path());
        assert!(taken <= (2 << 20) * 2, "{taken}");
    }

    #[test]
    fn a_folder_that_cannot_be_written_keeps_nothing_and_says_nothing() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("file"), "").unwrap();
        let cache = SealedCache::new(folder.path().join("file/below"), 1 << 20);
        cache.put("x", b"y");
        assert_eq!(cache.get("x", 10), None);
    }
}
