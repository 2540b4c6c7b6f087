//! What a push has brought and no index segment names yet. Nothing is coded against that (`spec/PROTOCOL.md`, I10), though it may be what comes next
//! resembles most: versions of one thing in one folder follow one another. So where that is met, a segment is written early.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::base::ids::ChunkId;
use crate::error::Error;
use crate::format::config::Config;
use crate::format::pack::Sketch;
use crate::index::feature_keys;
use crate::repo::PackWriter;
use crate::tensor::Dtype;

/// The part of all that a push has brought for which a segment is written early, if that is neither too little nor more than it takes: so small
/// versions in great number have few segments, and bases that are at most so much further back than the last one.
const PART: u64 = 16;
/// Chunks from which on it is looked which of them are named by now.
const SWEEP: usize = 4096;

/// Chunks of one blob to be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Coming<'g> {
    /// The number of their group: one that comes later has a greater one.
    pub(super) number: u64,
    pub(super) dtype: Option<Dtype>,
    pub(super) ids: &'g [ChunkId],
    pub(super) lens: &'g [u32],
    pub(super) sketches: &'g [Sketch],
}

/// A chunk that was brought, as far as a later one wants to know.
#[derive(Debug, Clone, Copy)]
pub(super) struct Brought {
    pub(super) id: ChunkId,
    pub(super) len: u32,
    pub(super) dtype: Option<Dtype>,
    group: u64,
}

/// What a group waits for before it looks for its bases.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Awaited {
    ids: Vec<ChunkId>,
    groups: BTreeSet<u64>,
}

/// How many times it was looked what has gone over from what is fresh to the index, and dropped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sweeps(u64);

/// What is fresh of one push.
#[derive(Debug)]
pub(super) struct Fresh {
    /// Plain bytes for which a segment is written early, at the least: it costs a pack and a segment, and the time until they are durable.
    least: u64,
    /// Plain bytes for which one always is.
    enough: u64,
    state: Mutex<State>,
    /// A group was coded.
    coded: Condvar,
    /// Held by whoever writes a segment early: others look first whether that one names what they want.
    settling: Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    /// By the values of their sketches, the last chunks that have them.
    features: HashMap<[u8; 5], u32>,
    chunks: HashMap<u32, Brought>,
    next: u32,
    /// Groups that are being coded.
    coding: BTreeSet<u64>,
    /// Plain bytes of `chunks`.
    bytes: u64,
    /// Plain bytes of all chunks that were ever here.
    total: u64,
    /// How many chunks were left when it was looked last.
    swept: usize,
    /// How many times it was looked.
    sweeps: u64,
}

/// Says that a group was coded when it is dropped, however that ended.
#[derive(Debug)]
pub(super) struct Coding<'f>(&'f Fresh, u64);

impl Drop for Coding<'_> {
    fn drop(&mut self) {
        lock(&self.0.state).coding.remove(&self.1);
        self.0.coded.notify_all();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Fresh {
    /// Nothing yet. A segment of a tensor is the least that is worth an early one; as many plain bytes as a pack has always are.
    pub(super) fn new(config: &Config) -> Self {
        let (least, enough) = (u64::from(config.segment_len), u64::from(config.pack_len.max(config.segment_len)));
        Self { least, enough, state: Mutex::default(), coded: Condvar::new(), settling: Mutex::default() }
    }

    /// How many times chunks that the index has were dropped by now. To be asked before the index is.
    pub(super) fn sweeps(&self) -> Sweeps {
        Sweeps(lock(&self.state).sweeps)
    }

    /// Adds a group that is coded from here on, and says what is to be waited for, if most of it resembles chunks that came before more than what the
    /// index has: `beats` says that of the number of a chunk in the group, one that was brought, and the votes for that. Nothing is waited for, but the
    /// index is to be asked again, where chunks have gone over to it since `sweeps`, so that they were seen neither there nor here.
    pub(super) fn meet(
        &self,
        writer: &PackWriter,
        sweeps: Sweeps,
        coming: Coming<'_>,
        beats: impl Fn(usize, &Brought, usize) -> bool,
    ) -> (Coding<'_>, Option<Awaited>) {
        let mut state = lock(&self.state);
        let is_worth_it = state.bytes >= (state.total / PART).clamp(self.least, self.enough);
        let awaited = if is_worth_it { state.awaited(coming, beats) } else { None };
        let awaited = awaited.or_else(|| (Sweeps(state.sweeps) != sweeps).then(Awaited::default));
        state.coding.insert(coming.number);
        state.bring(coming);
        if state.chunks.len() >= 2 * state.swept + SWEEP {
            state.sweep(writer);
        }
        drop(state);
        (Coding(self, coming.number), awaited)
    }

    /// Adds chunks that are in a pack.
    pub(super) fn bring(&self, coming: Coming<'_>) {
        lock(&self.state).bring(coming);
    }

    /// Waits until what is awaited was coded, and has it named, unless it is by then.
    ///
    /// Groups wait for earlier ones alone, which are being coded by other threads: so none waits for itself.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn name(&self, writer: &PackWriter, awaited: &Awaited) -> Result<(), Error> {
        let mut state = lock(&self.state);
        while !state.coding.is_disjoint(&awaited.groups) {
            state = self.coded.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        drop(state);
        let _one = lock(&self.settling);
        if awaited.ids.iter().any(|id| writer.is_pending(id)) {
            writer.settle()?;
            lock(&self.state).sweep(writer);
        }
        Ok(())
    }

    /// Has all named that was coded or is being coded, if any of these chunks is among it. Says whether it was. Not to be called by who codes.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn name_all(&self, writer: &PackWriter, any: &[ChunkId]) -> Result<bool, Error> {
        if !any.iter().any(|id| writer.is_pending(id)) {
            return Ok(false);
        }
        let groups = lock(&self.state).coding.clone();
        self.name(writer, &Awaited { ids: any.to_vec(), groups }).map(|()| true)
    }
}

impl State {
    /// What of this the group resembles, if that is much of the group.
    fn awaited(&self, coming: Coming<'_>, beats: impl Fn(usize, &Brought, usize) -> bool) -> Option<Awaited> {
        let (mut awaited, mut len) = (Awaited::default(), 0);
        for (i, sketch) in coming.sketches.iter().enumerate() {
            let Some(best) = self.best(coming.number, *sketch, |brought, votes| beats(i, brought, votes)) else { continue };
            awaited.ids.push(best.id);
            awaited.groups.insert(best.group);
            len += u64::from(coming.lens[i]);
        }
        let all: u64 = coming.lens.iter().map(|len| u64::from(*len)).sum();
        (len * 4 >= all && len > 0).then_some(awaited)
    }

    /// Of the chunks of earlier groups that share values with a sketch and will do, the one that shares most.
    fn best(&self, before: u64, sketch: Sketch, will_do: impl Fn(&Brought, usize) -> bool) -> Option<Brought> {
        let mut votes: HashMap<u32, usize> = HashMap::new();
        for key in feature_keys(sketch).iter().filter(|key| key[1..] != [0; 4]) {
            if let Some(number) = self.features.get(key) {
                *votes.entry(*number).or_default() += 1;
            }
        }
        let brought = votes.into_iter().filter_map(|(number, votes)| Some((number, votes, self.chunks.get(&number)?)));
        let fit = brought.filter(|(_, votes, brought)| brought.group < before && will_do(brought, *votes));
        fit.max_by_key(|(number, votes, _)| (*votes, *number)).map(|(_, _, brought)| *brought)
    }

    fn bring(&mut self, coming: Coming<'_>) {
        for ((id, len), sketch) in coming.ids.iter().zip(coming.lens).zip(coming.sketches) {
            let number = self.next;
            self.next = self.next.wrapping_add(1);
            self.features.extend(feature_keys(*sketch).into_iter().filter(|key| key[1..] != [0; 4]).map(|key| (key, number)));
            self.chunks.insert(number, Brought { id: *id, len: *len, dtype: coming.dtype, group: coming.number });
            self.bytes += u64::from(*len);
            self.total += u64::from(*len);
        }
    }

    /// Drops what is named.
    fn sweep(&mut self, writer: &PackWriter) {
        self.chunks.retain(|_, brought| writer.is_pending(&brought.id));
        self.features.retain(|_, number| self.chunks.contains_key(number));
        self.bytes = self.chunks.values().map(|brought| u64::from(brought.len)).sum();
        self.swept = self.chunks.len();
        self.sweeps += 1;
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use super::*;
    use crate::blob::{self, Plain};
    use crate::codec::Compression;
    use crate::format::blob::BlobKind;
    use crate::repo::{NewBlob, OpenOptions, Repo};
    use crate::sketch::Sketcher;

    const LEN: u32 = 600 << 10;

    fn repo(folder: &Path) -> Repo {
        let (location, cache_dir) = (String::new(), folder.to_path_buf());
        let options = OpenOptions { location, cache_dir, threads: 1, memory: 64 << 20, compression: Compression::Auto, kept: 0 };
        Repo::keeping(&options).0
    }

    /// A chunk of a version of one thing.
    struct Chunk {
        id: ChunkId,
        bytes: Vec<u8>,
        sketch: Sketch,
    }

    impl Chunk {
        fn new(repo: &Repo, thing: &str, version: u8) -> Self {
            let mut bytes = vec![0; LEN as usize];
            blake3::Hasher::new().update(thing.as_bytes()).finalize_xof().fill(&mut bytes);
            bytes[..100].fill(version);
            Self { id: repo.keys.chunk_id(&bytes), sketch: Sketcher::new(&repo.keys).plain(&bytes).unwrap(), bytes }
        }

        fn coming(&self, number: u64) -> Coming<'_> {
            let (ids, sketches) = (std::slice::from_ref(&self.id), std::slice::from_ref(&self.sketch));
            Coming { number, dtype: None, ids, lens: &[LEN], sketches }
        }

        fn add(&self, writer: &PackWriter) {
            let plain = Plain { kind: BlobKind::Data, bytes: &self.bytes, dtype: None };
            let coded = blob::encode(plain, vec![LEN], None, Compression::Fastest);
            writer.add(NewBlob { coded, ids: vec![self.id], sketches: vec![self.sketch] }).unwrap();
        }
    }

    fn by_votes(_: usize, _: &Brought, votes: usize) -> bool {
        votes >= 2
    }

    #[test]
    fn what_comes_next_waits_until_what_it_resembles_is_coded_and_named() {
        let folder = tempfile::tempdir().unwrap();
        let repo = repo(folder.path());
        let (writer, fresh) = (PackWriter::new(&repo, false).unwrap(), Fresh::new(&repo.config));
        let (other, old, new) = (Chunk::new(&repo, "other", 0), Chunk::new(&repo, "thing", 0), Chunk::new(&repo, "thing", 1));
        [&other, &old, &new].iter().for_each(|chunk| assert!(writer.claim(chunk.id)));
        fresh.bring(other.coming(0));
        let (coding, awaited) = fresh.meet(&writer, fresh.sweeps(), old.coming(1), by_votes);
        assert_eq!(awaited, None, "nothing is like it");
        let (_coding, awaited) = fresh.meet(&writer, fresh.sweeps(), new.coming(2), by_votes);
        assert_eq!(awaited, Some(Awaited { ids: vec![old.id], groups: BTreeSet::from([1]) }));
        let is_named = || repo.index().unwrap().find(&[old.id]).unwrap()[0].is_some();
        std::thread::scope(|threads| {
            let waits = threads.spawn(|| fresh.name(&writer, &awaited.unwrap()).map(|()| is_named()));
            std::thread::sleep(Duration::from_millis(50));
            assert!(!waits.is_finished() && !is_named(), "it is not coded yet");
            old.add(&writer);
            drop(coding);
            assert!(waits.join().unwrap().unwrap(), "a segment names it before anything is coded against it");
        });
        assert!(!writer.is_pending(&old.id) && writer.is_pending(&new.id));
    }

    #[test]
    fn groups_wait_for_what_is_much_and_comes_before_them() {
        let folder = tempfile::tempdir().unwrap();
        let repo = repo(folder.path());
        let (writer, fresh) = (PackWriter::new(&repo, false).unwrap(), Fresh::new(&repo.config));
        let chunks = [0, 1, 2].map(|version| Chunk::new(&repo, "thing", version));
        chunks.iter().for_each(|chunk| assert!(writer.claim(chunk.id)));
        let meets =
            |chunk: &Chunk, number: u64| fresh.meet(&writer, fresh.sweeps(), chunk.coming(number), by_votes).1.map(|awaited| awaited.ids);
        assert_eq!([meets(&chunks[0], 4), meets(&chunks[1], 5)], [None, None], "too little is there");
        assert_eq!(meets(&chunks[2], 3), None, "all that is there comes later");
        assert_eq!(meets(&chunks[0], 6), Some(vec![chunks[2].id]), "of equals the last one");
    }

    #[test]
    fn what_is_named_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let repo = repo(folder.path());
        let (writer, fresh) = (PackWriter::new(&repo, false).unwrap(), Fresh::new(&repo.config));
        let chunks = [0, 1, 2].map(|version| Chunk::new(&repo, "thing", version));
        let before = fresh.sweeps();
        for (number, chunk) in (0..).zip(&chunks) {
            assert!(writer.claim(chunk.id));
            fresh.bring(chunk.coming(number));
            chunk.add(&writer);
        }
        assert!(!fresh.name_all(&writer, &[repo.keys.chunk_id(b"unknown")]).unwrap(), "that is not on its way");
        assert!(fresh.name_all(&writer, &[chunks[1].id]).unwrap());
        assert!(chunks.iter().all(|chunk| !writer.is_pending(&chunk.id)));
        let state = lock(&fresh.state);
        assert!(state.chunks.is_empty() && state.features.is_empty() && state.bytes == 0);
        assert_eq!(state.total, 3 * u64::from(LEN));
        drop(state);
        let other = Chunk::new(&repo, "other", 0);
        let awaits = |sweeps| fresh.meet(&writer, sweeps, other.coming(9), by_votes).1;
        assert_eq!(awaits(before), Some(Awaited::default()), "the index was asked when it had none of them");
        assert_eq!(awaits(fresh.sweeps()), None);
    }
}
