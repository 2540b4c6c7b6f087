//! L4: an open repository: its keys, its index, reading and writing of blobs, sessions and snapshots.

mod adopt;
pub(crate) mod again;
mod bases;
mod damage;
mod dangling;
mod derived;
mod file;
mod footers;
mod gc;
mod index_place;
mod kept;
mod lanes;
mod mark;
mod named;
mod notes;
mod open;
mod packer;
mod parts;
mod probes;
mod read_error;
mod reader;
mod recent;
mod runs;
mod sample;
mod scratch;
mod session;
mod snapshots;
#[cfg(test)]
pub(crate) mod testing;
mod tree;
mod uptime;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

pub(crate) use adopt::Adopted;
pub(crate) use damage::Damaged;
pub(crate) use file::{Extents, Placed};
pub use file::{Part, StoredFile};
pub(crate) use gc::{GcState, Grounds, OpenPlan};
pub(crate) use mark::{IndexPlaces, Marked, PackLens, Root, Unplaced};
pub use notes::{LiveSnapshots, Standings};
pub use open::{OpenOptions, Secrets};
pub use packer::{NewBlob, PackWriter, Written, WrittenCounts};
pub use probes::StoreStanding;
pub use read_error::ReadError;
pub(crate) use reader::{Decoded, chunk_of};
pub(crate) use sample::{Drawn, Groups, Sample};
pub(crate) use scratch::{Scratch, Taken, path_of};
pub(crate) use session::Committed;
pub use session::SessionHandle;
pub(crate) use tree::clean;

use crate::backend::{Backend, ObjectPath, RequestCount};
use crate::base::ids::RepoId;
use crate::base::units::{KIB, MIB};
use crate::chunking::Chunker;
use crate::clock::Clock;
use crate::codec::Compression;
use crate::crypto::RepoKeys;
use crate::format::config::Config;
use crate::format::record::Time;
use crate::monitor::Warning;
pub use crate::notes::StoredSnapshot;
use derived::DerivedIndex;
use parts::PartCache;
use reader::BlobReader;

/// Memory beyond which a part of it is more than its other uses need.
const TIGHT: usize = 256 * MIB;
/// Memory that a thread takes in the worst case: a blob, its bases, and what codes it.
const MOST_OF_A_THREAD: usize = 32 * MIB;
/// Bytes of files that are read for each thread of a push: the piece that it cuts, and the next one.
const PIECES_OF_A_THREAD: usize = 8 * MIB;

/// How memory is shared out. Each part is a share of one budget that does not grow with the repository or with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryPlan {
    /// Caches and buffers of the chunk index.
    pub index: usize,
    /// One pack under construction; as many again while it is written.
    pub pack: usize,
    /// Decoded blobs kept for the next reader. What a push codes against is decoded again and again where this is too little for chains of several groups.
    pub blobs: usize,
    /// Sealed bytes, where requests take long, of packs that are read on.
    pub runs: usize,
    /// Bytes read and not looked at yet.
    pub read_ahead: usize,
    /// Those of files that are pushed: of what is read ahead, as much as keeps all threads busy. More would only be memory that is touched once.
    pub pieces: usize,
    /// Plain bytes on their way through the coders.
    pub coding: usize,
}

impl MemoryPlan {
    /// Shares out `total` bytes among so many threads; less than 64 MiB count as 64 MiB.
    pub fn new(total: usize, threads: usize) -> Self {
        let total = total.max(64 * MIB);
        let spare = total.saturating_sub(TIGHT + threads * MOST_OF_A_THREAD);
        Self {
            index: total / 8,
            pack: total / 10,
            blobs: total / 8 + (spare / 4).min(total / 8),
            runs: total / 8,
            read_ahead: total / 8,
            pieces: (total / 8).min(threads * PIECES_OF_A_THREAD),
            coding: total / 16,
        }
    }

    /// Plain bytes that a prune codes to see what they would take; coded they are kept in place of what is read ahead, and for what a restore needs.
    pub fn sample(&self) -> usize {
        2 * self.read_ahead
    }

    /// Files that a restore plans at a time, so that what they have in common is read once; each takes less than a kilobyte.
    pub fn files(&self) -> usize {
        self.read_ahead / (2 * KIB)
    }

    /// Sealed blobs that a prune keeps while it follows chains: it reads no files.
    pub fn sealed(&self) -> usize {
        self.read_ahead
    }

    /// Sealed bytes that a restore reads ahead where requests take long: it codes nothing, and no packs wait to be written.
    pub fn fetched(&self) -> usize {
        self.coding + 2 * self.pack
    }

    /// Decoded blobs that a restore keeps for what is coded against them: it has no pack under construction, and reads nothing ahead.
    pub fn bases(&self) -> usize {
        self.pack + self.read_ahead
    }
}

/// An open repository.
#[derive(Debug)]
pub struct Repo {
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) keys: RepoKeys,
    pub(crate) config: Config,
    pub(crate) index: DerivedIndex,
    pub(crate) reader: BlobReader,
    /// What was read of a store where requests take long.
    kept: PartCache,
    pub(crate) pool: Arc<rayon::ThreadPool>,
    pub(crate) compression: Compression,
    pub(crate) memory: MemoryPlan,
    pub(crate) cache_dir: PathBuf,
    /// Features that a writer must know, and this one does not.
    unknown_to_writers: u64,
    /// For a repository that exists for a measurement alone.
    pub(crate) scratch: Option<Arc<Scratch>>,
    clock: Clock,
    warnings: Mutex<Vec<Warning>>,
}

impl Repo {
    /// Its id.
    pub fn id(&self) -> RepoId {
        self.keys.repo()
    }

    /// Where it is, for people.
    pub fn location(&self) -> String {
        self.backend.location()
    }

    /// Requests that were made for it so far, if it is in a bucket.
    pub fn requests(&self) -> Vec<RequestCount> {
        self.backend.requests()
    }

    /// The time, as far as this process knows it.
    pub fn now(&self) -> Time {
        self.clock.now()
    }

    /// Its parameters.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What was found damaged on the way and was gone on without, since the last call.
    pub fn take_warnings(&self) -> Vec<Warning> {
        std::mem::take(&mut *self.warnings.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn warn(&self, object: &ObjectPath, message: &str) {
        self.warn_about(object.to_string(), message.to_owned());
    }

    fn warn_about(&self, item: String, message: String) {
        let warning = Warning { item, message };
        let mut warnings = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        if !warnings.contains(&warning) {
            warnings.push(warning);
        }
    }

    /// Makes the folder of this repository's caches, for its owner alone: they say which chunks there are, and how large.
    fn make_cache_dir(&self) -> std::io::Result<()> {
        use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.cache_dir)?;
        if std::fs::metadata(&self.cache_dir)?.permissions().mode() & 0o077 != 0 {
            std::fs::set_permissions(&self.cache_dir, std::fs::Permissions::from_mode(0o700))?;
        }
        Ok(())
    }

    /// A chunker with its parameters and its secret table.
    pub fn chunker(&self) -> Chunker {
        Chunker::new(&self.config, self.keys.gear())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::Compression;

    #[test]
    fn a_small_budget_has_few_threads_and_a_large_one_keeps_what_they_do_not_need() {
        let folder = tempfile::tempdir().unwrap();
        let threads = |memory| {
            let (location, cache_dir) = (String::new(), folder.path().to_path_buf());
            let options = OpenOptions { location, cache_dir, threads: 16, memory, compression: Compression::Auto, kept: 0 };
            Repo::keeping(&options).0.pool.current_num_threads()
        };
        assert_eq!([64 * MIB, 128 * MIB, 1024 * MIB].map(threads), [4, 8, 16]);
        let blobs = |total: usize, threads| MemoryPlan::new(total * MIB, threads).blobs / MIB;
        assert_eq!([blobs(1, 1), blobs(64, 2), blobs(128, 4), blobs(512, 16)], [8, 8, 16, 64]);
        assert_eq!(blobs(512, 2), 112);
        for total in [64 * MIB, 512 * MIB, 16_384 * MIB] {
            let MemoryPlan { index, pack, blobs, runs, read_ahead, pieces, coding } = MemoryPlan::new(total, 2);
            assert!(pieces <= read_ahead && pieces <= 2 * PIECES_OF_A_THREAD);
            assert!(index + 3 * pack + blobs + runs + read_ahead + coding + 2 * MOST_OF_A_THREAD <= total + 64 * MIB);
        }
    }
}
