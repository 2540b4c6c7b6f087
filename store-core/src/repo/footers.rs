//! What packs say of themselves: their footers, for whoever has no index segment that names them.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use super::Repo;
use super::again::looks;
use crate::backend::ObjectPath;
use crate::base::ids::PackId;
use crate::error::{Error, ErrorKind};
use crate::format::envelope::HEADER_LEN;
use crate::format::pack::{PackContents, PackOpener, TRAILER_LEN};

/// Bytes of a pack's end that are asked for at once: footers of usual packs are no longer, and a request takes longer than what comes beyond them.
const TAIL: u64 = 64 << 10;

/// What the footer of one pack says, if it can be read.
type Read = Result<Option<PackContents>, Error>;

impl Repo {
    /// What the footer of a pack of `len` bytes says.
    ///
    /// # Errors
    /// Of kind [`ErrorKind::Damage`] when it says nothing that can be read.
    pub(crate) fn pack_contents(&self, id: &PackId, len: u64) -> Result<PackContents, Error> {
        let is_damage = |read: &Result<PackContents, Error>| matches!(read, Err(error) if error.kind() == ErrorKind::Damage);
        let mut read = self.pack_contents_now(id, len);
        for _ in 1..looks(&*self.backend) {
            if !is_damage(&read) {
                break;
            }
            read = self.pack_contents_now(id, len);
        }
        read
    }

    /// The same of several packs with their lengths, as many at a time as the backend has lanes; `None` for one of which nothing can be read, or that
    /// is gone.
    ///
    /// # Errors
    /// When the backend fails. Then no more of them are asked for.
    pub(super) fn contents_of(&self, packs: &[(PackId, u64)]) -> Result<Vec<Option<PackContents>>, Error> {
        let (next, has_failed) = (AtomicUsize::new(0), AtomicBool::new(false));
        let found: Vec<Mutex<Option<Read>>> = packs.iter().map(|_| Mutex::default()).collect();
        let work = || {
            while let Some(at) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|at| *at < packs.len())
                && !has_failed.load(Ordering::Relaxed)
            {
                let (id, len) = &packs[at];
                let read = match self.pack_contents(id, *len) {
                    Err(error) if error.kind() == ErrorKind::Damage || error.is_not_found() => Ok(None),
                    read => read.map(Some),
                };
                has_failed.fetch_or(read.is_err(), Ordering::Relaxed);
                *found[at].lock().unwrap_or_else(PoisonError::into_inner) = Some(read);
            }
        };
        match self.backend.lanes().min(packs.len()) {
            0 | 1 => work(),
            lanes => thread::scope(|threads| (0..lanes).for_each(|_| _ = threads.spawn(work))),
        }
        // One that was not asked for is behind, or beside, the one that failed.
        found.into_iter().filter_map(|read| read.into_inner().unwrap_or_else(PoisonError::into_inner)).collect()
    }

    fn pack_contents_now(&self, id: &PackId, len: u64) -> Result<PackContents, Error> {
        let path = ObjectPath::Pack(*id);
        let damaged = |error| Error::with(ErrorKind::Damage, format!("the footer of {path} cannot be read"), error);
        if len < (HEADER_LEN + TRAILER_LEN) as u64 {
            return Err(Error::new(ErrorKind::Damage, format!("{path} is too short")));
        }
        let tail_len = len.min(TAIL) as usize;
        let mut footer = self.backend.read_range(&path, len - tail_len as u64, tail_len)?;
        let opener = match len <= TAIL {
            true => PackOpener::new(&self.keys, &footer),
            false => PackOpener::new(&self.keys, &self.backend.read_range(&path, 0, HEADER_LEN)?),
        };
        let opener = opener.map_err(damaged)?;
        let trailer = footer.split_off(tail_len - TRAILER_LEN);
        let footer_len = PackOpener::footer_len(&trailer, len).map_err(damaged)?;
        match footer.len().checked_sub(footer_len) {
            Some(before) => drop(footer.drain(..before)),
            None => {
                let start = len - (TRAILER_LEN + footer_len) as u64;
                let mut whole = self.backend.read_range(&path, start, footer_len - footer.len())?;
                whole.append(&mut footer);
                footer = whole;
            }
        }
        opener.open_footer(footer, len).map_err(damaged)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::{Arc, Condvar};
    use std::time::Duration;

    use super::*;
    use crate::backend::{Backend, BackendError, Created, Folder, Listed, MemoryBackend};
    use crate::format::blob::{BlobKind, Frame};
    use crate::format::pack::{BlobEntry, PackBuilder};
    use crate::repo::testing::init_on;

    const LANES: usize = 4;

    /// A store where all that is read waits until as many are read as there are lanes, for some seconds, and that counts what packs were asked for.
    #[derive(Debug, Default)]
    struct Slow {
        inner: MemoryBackend,
        /// How many wait now, and the most that did.
        waiting: Mutex<(usize, usize)>,
        more: Condvar,
        asked: AtomicUsize,
        is_away: AtomicBool,
    }

    impl Backend for Slow {
        fn location(&self) -> String {
            self.inner.location()
        }

        fn read(&self, path: &ObjectPath, limit: usize) -> Result<Vec<u8>, BackendError> {
            self.inner.read(path, limit)
        }

        fn read_range(&self, path: &ObjectPath, offset: u64, len: usize) -> Result<Vec<u8>, BackendError> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            if self.is_away.load(Ordering::Relaxed) {
                let source = std::io::ErrorKind::TimedOut.into();
                return Err(BackendError { action: "read", object: path.to_string(), source });
            }
            let mut waiting = self.waiting.lock().unwrap();
            *waiting = (waiting.0 + 1, waiting.1.max(waiting.0 + 1));
            self.more.notify_all();
            let limit = Duration::from_secs(if waiting.1 < LANES { 5 } else { 0 });
            let (mut waiting, _) = self.more.wait_timeout_while(waiting, limit, |waiting| waiting.1 < LANES).unwrap();
            waiting.0 -= 1;
            drop(waiting);
            self.inner.read_range(path, offset, len)
        }

        fn len(&self, path: &ObjectPath) -> Result<u64, BackendError> {
            self.inner.len(path)
        }

        fn create(&self, path: &ObjectPath, bytes: &[u8]) -> Result<Created, BackendError> {
            self.inner.create(path, bytes)
        }

        fn list(&self, folder: Folder) -> Result<Vec<Listed>, BackendError> {
            self.inner.list(folder)
        }

        fn delete(&self, path: &ObjectPath) -> Result<(), BackendError> {
            self.inner.delete(path)
        }

        fn lanes(&self) -> usize {
            LANES
        }
    }

    fn repo() -> (Repo, Arc<Slow>) {
        let store = Arc::new(Slow::default());
        (init_on(Arc::<Slow>::clone(&store), Path::new("/nowhere")), store)
    }

    /// A pack of one blob of so many bytes that is said to be `chunks` chunks.
    fn pack(repo: &Repo, number: u64, len: u32, chunks: u32) -> (PackId, u64) {
        let chunk_lens = [len - (chunks - 1)].into_iter().chain((1..chunks).map(|_| 1)).collect();
        let frame = Frame { kind: BlobKind::Data, depth: 0, sealed_len: 0, steps: Vec::new(), chunk_lens, bases: Vec::new() };
        let id = |chunk: u32| repo.keys.chunk_id(&(number << 32 | u64::from(chunk)).to_le_bytes());
        let entry = BlobEntry { frame, ids: (0..chunks).map(id).collect(), sketches: Vec::new() };
        let mut builder = PackBuilder::new(&repo.keys, [number as u8; 32], Vec::new());
        let place = builder.reserve(entry, len as usize);
        let mut bytes = vec![0; len as usize];
        place.seal(&mut bytes);
        builder.place(&place, bytes);
        let pack = builder.finish(0);
        let _ = repo.backend.create(&ObjectPath::Pack(pack.id), &pack.bytes).unwrap();
        (pack.id, pack.bytes.len() as u64)
    }

    fn asked(store: &Slow) -> usize {
        store.asked.swap(0, Ordering::Relaxed)
    }

    #[test]
    fn a_small_pack_takes_one_request_a_usual_one_two_and_one_of_many_chunks_three() {
        let (repo, store) = repo();
        // One reads after the other.
        store.waiting.lock().unwrap().1 = LANES;
        for (number, (len, chunks, requests)) in
            [(100, 2, 1), (60_000, 2, 1), (70_000, 2, 2), (4000, 3000, 3), (300_000, 3000, 3)].iter().enumerate()
        {
            let (id, whole) = pack(&repo, number as u64, *len, *chunks);
            let contents = repo.pack_contents(&id, whole).unwrap();
            assert_eq!((contents.blobs[0].ids.len(), asked(&store)), (*chunks as usize, *requests), "{len} {chunks}");
        }
        // At the border between one request and two.
        let near = TAIL - 500;
        let border = (near + TAIL - pack(&repo, 9, near as u32, 2).1) as u32;
        let mut met = [0; 2];
        for len in border - 4..=border + 4 {
            let (id, whole) = pack(&repo, 9, len, 2);
            repo.pack_contents(&id, whole).unwrap();
            let is_long = whole > TAIL;
            assert_eq!(asked(&store), 1 + usize::from(is_long), "{whole}");
            met[usize::from(is_long)] += 1;
        }
        assert!(!met.contains(&0), "{met:?}");
    }

    #[test]
    fn as_many_are_read_at_a_time_as_there_are_lanes() {
        let (repo, store) = repo();
        let mut packs: Vec<_> = (0..12).map(|number| pack(&repo, number, 100 + number as u32, 2)).collect();
        let spoilt = PackId::from_bytes([3; 32]);
        let _ = repo.backend.create(&ObjectPath::Pack(spoilt), &[3; 500]).unwrap();
        packs.extend([(spoilt, 500), (PackId::from_bytes([4; 32]), 500), (PackId::from_bytes([5; 32]), 5)]);
        let found = repo.contents_of(&packs).unwrap();
        assert_eq!(store.waiting.lock().unwrap().1, LANES);
        for (number, contents) in found.iter().enumerate() {
            let len = contents.as_ref().map(|contents| u64::from(contents.blobs[0].frame.sealed_len));
            assert_eq!(len.is_some(), number < 12, "{number}");
            assert!(len.is_none_or(|len| len == 100 + number as u64 + crate::crypto::TAG_LEN as u64));
        }
        assert!(repo.contents_of(&[]).unwrap().is_empty());
        // What is away is no stray that says nothing, and is not asked for again and again.
        asked(&store);
        store.is_away.store(true, Ordering::Relaxed);
        assert_eq!(repo.contents_of(&packs).unwrap_err().kind(), ErrorKind::Unreachable);
        assert!(asked(&store) <= LANES);
    }
}
