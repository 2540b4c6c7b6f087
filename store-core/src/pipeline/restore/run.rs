//! Running a plan: workers start with the blobs that nothing is coded against, and decode on the way the bases that nobody has decoded. What is
//! wanted of a blob is written by whoever decodes it first: once, since files count their runs.

use std::cell::Cell;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use rayon::prelude::*;

use super::ahead::{Fetched, Route, Trip};
use super::kept::{Claim, KeptBlobs};
use super::{FileSlot, RestoreContext};
use crate::base::ids::ChunkId;
use crate::blob::Content;
use crate::error::{Error, ErrorKind, chain};
use crate::index::{BlobPlace, ChunkIndex, Location};
use crate::plan::restore::{BlobKey, Plan, PlannedBlob, Want};
use crate::repo::ReadError;
use crate::repo::again::looks;
use crate::sink::Target;

/// Runs one plan.
pub(super) struct BlobRunner<'b> {
    context: &'b RestoreContext<'b>,
    index: &'b dyn ChunkIndex,
    files: &'b [Arc<FileSlot>],
    /// The chunks, by the numbers that wants give them.
    ids: &'b [ChunkId],
    plan: &'b Plan<'b>,
    kept: KeptBlobs,
    fetched: Fetched,
}

impl<'b> BlobRunner<'b> {
    pub(super) fn new(
        context: &'b RestoreContext<'b>,
        index: &'b dyn ChunkIndex,
        files: &'b [Arc<FileSlot>],
        ids: &'b [ChunkId],
        plan: &'b Plan<'b>,
    ) -> Self {
        let kept = KeptBlobs::new(plan.blobs.iter().map(|blob| blob.users), context.repo.memory.bases());
        Self { context, index, files, ids, plan, kept, fetched: Fetched::default() }
    }

    /// Reads the blobs and writes what is wanted of them. In a dry run it only counts them.
    pub(super) fn run(&self) -> Result<(), Error> {
        let counts = &self.context.counts;
        counts.blobs.fetch_add(self.plan.blobs.len() as u64, Ordering::Relaxed);
        let Some(target) = self.context.target else {
            for blob in &self.plan.blobs {
                let len = self.place(blob.key)?.map_or(0, |place| place.frame.sealed_len.into());
                counts.read.fetch_add(len, Ordering::Relaxed);
            }
            return Ok(());
        };
        match self.context.repo.backend.lanes() {
            0 | 1 => self.context.repo.pool.install(|| self.start(target, &self.plan.starts()))?,
            lanes => self.start_ahead(target, lanes)?,
        }
        // What is wanted of bases that nobody asked for, since what is coded against them is damaged.
        let wanted: Vec<u32> =
            (0..self.plan.blobs.len() as u32).filter(|number| !self.plan.blobs[*number as usize].wants.is_empty()).collect();
        self.context.repo.pool.install(|| self.start(target, &wanted))
    }

    /// Decodes those of the blobs that nobody has begun, with what they are coded against, and writes what is wanted of them. On the pool.
    fn start(&self, target: &Target, blobs: &[u32]) -> Result<(), Error> {
        blobs.par_iter().try_for_each(|number| {
            self.interrupted()?;
            // One that nothing is coded against by the plan may have stood in for a base that is damaged.
            if !self.kept.has_begun(*number) {
                // Why it fails is told by the files that want it.
                let _ = self.content(target, *number);
            }
            Ok(())
        })
    }

    /// The same for all of them, fetched ahead by so many threads.
    fn start_ahead(&self, target: &Target, lanes: usize) -> Result<(), Error> {
        let repo = self.context.repo;
        let route = Mutex::new(Route::new(self.plan, (repo.memory.fetched() / lanes) as u64));
        let place = |number: u32| {
            let (pack, ordinal) = self.plan.blobs[number as usize].key;
            self.index.blob(pack, ordinal)
        };
        let lane = || -> Result<(), Error> {
            let next = || -> Result<Option<Trip>, Error> { Ok(route.lock().unwrap_or_else(PoisonError::into_inner).trip(&place)?) };
            while let Some(trip) = next()? {
                self.interrupted()?;
                self.fetched.fetch(repo, &trip);
                let done = repo.pool.install(|| self.start(target, &trip.starts));
                self.fetched.forget(&trip);
                done?;
            }
            Ok(())
        };
        std::thread::scope(|threads| {
            let lanes: Vec<_> = (0..lanes).map(|_| threads.spawn(lane)).collect();
            let panicked = || Error::new(ErrorKind::Failed, "a thread that reads ahead panicked");
            lanes.into_iter().map(|lane| lane.join().unwrap_or_else(|_| Err(panicked()))).fold(Ok(()), Result::and)
        })
    }

    fn interrupted(&self) -> Result<(), Error> {
        if !self.context.monitor.interrupted() {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Interrupted, "interrupted: some files are not restored, restore again to go on"))
    }

    /// Whether a prune may have moved a chunk, or a copy of it, since this was planned: then it is found by its name alone.
    fn may_have_moved(&self, id: &ChunkId, read: Result<Part<'_>, &ReadError>) -> bool {
        let has_copies = || self.index.copies(id).is_ok_and(|copies| copies.len() > 1);
        !self.is_current() || read.is_err_and(ReadError::is_gone) || has_copies()
    }

    /// Whether packs have the numbers that they were planned by: an index that was built anew, since a prune has deleted some, gives them others.
    fn is_current(&self) -> bool {
        self.context.repo.index().is_ok_and(|now| std::ptr::addr_eq(Arc::as_ptr(&now), self.index))
    }

    fn place(&self, key: BlobKey) -> Result<Option<BlobPlace>, Error> {
        Ok(self.index.blob(key.0, key.1)?)
    }

    /// Reads and decodes one blob, and before it the bases that are not there.
    fn decode(&self, target: &Target, number: u32, blob: &PlannedBlob<'_>) -> Result<Content, ReadError> {
        let decoded = self.decode_now(target, number, blob);
        blob.bases.iter().for_each(|base| self.kept.used(*base));
        decoded
    }

    fn decode_now(&self, target: &Target, number: u32, blob: &PlannedBlob<'_>) -> Result<Content, ReadError> {
        let repo = self.context.repo;
        let place = self.place(blob.key).map_err(|error| ReadError::index(&error))?;
        let place = place
            .ok_or_else(|| ReadError::Index { why: "the index lost a blob: run the command again".into(), kind: ErrorKind::Failed })?;
        let sealed = self.fetched.take(number).map_or_else(|| repo.read_sealed(&place), Ok)?;
        let counts = &self.context.counts;
        counts.read.fetch_add(sealed.len() as u64, Ordering::Relaxed);
        counts.decoded.fetch_add(1, Ordering::Relaxed);
        // Several chunks of one base blob mostly follow one another.
        let mut last: Option<(u32, Content)> = None;
        let planned = |index: &Arc<dyn ChunkIndex>, location: &Location| {
            let is_ours = std::ptr::addr_eq(Arc::as_ptr(index), self.index);
            if is_ours { self.plan.number((location.pack, location.ordinal)) } else { None }
        };
        let mut base = |index: &Arc<dyn ChunkIndex>, location: &Location| match (planned(index, location), &last) {
            // A copy that is read since the one that was planned is damaged.
            (None, _) => repo.blob_bytes_in(index, location).map(|(bytes, _)| Content::Whole(bytes)),
            (Some(number), Some((held, bytes))) if *held == number => Ok(bytes.clone()),
            (Some(number), _) => {
                let bytes = self.content(target, number)?;
                last = Some((number, bytes.clone()));
                Ok(bytes)
            }
        };
        let is_planned =
            |index: &Arc<dyn ChunkIndex>, location: &Location| planned(index, location).is_some_and(|number| blob.bases.contains(&number));
        match repo.decode_blob_with(&place, blob.key.1, sealed, &is_planned, &mut base) {
            // It may have been spoilt on the way.
            Err(error) if error.is_of(&place) && looks(&*repo.backend) > 1 => {
                repo.decode_blob_with(&place, blob.key.1, repo.read_sealed(&place)?, &is_planned, &mut base)
            }
            decoded => decoded,
        }
    }

    /// A blob's bytes: kept, or decoded now, and then, the first time, what is wanted of it is written, too.
    fn content(&self, target: &Target, number: u32) -> Result<Content, ReadError> {
        let turn = match self.kept.claim(number) {
            Claim::Kept(bytes) => return Ok(bytes),
            Claim::Turn(turn) => turn,
        };
        let blob = &self.plan.blobs[number as usize];
        let read = self.decode(target, number, blob);
        let is_first = turn.is_first;
        if let Ok(bytes) = &read {
            turn.done(bytes);
        }
        if is_first {
            self.write(target, blob, read.as_ref());
        }
        read
    }

    /// Writes what is wanted of a blob; from other copies, chunk by chunk, what cannot be had from it.
    fn write(&self, target: &Target, blob: &PlannedBlob<'_>, read: Result<&Content, &ReadError>) {
        let content = match read {
            Ok(content) => content,
            Err(error) => return self.write_bytes(target, blob, Err(error)),
        };
        let Content::Pieces(_) = content else {
            return self.write_bytes(target, blob, Ok(Part { start: 0, bytes: &content.sources()[0] }));
        };
        let start = blob.wants.first().map_or(0, |want| want.start as usize).min(content.len());
        let end = blob.wants.iter().map(|want| want.start.saturating_add(want.len) as usize).max().unwrap_or(0).clamp(start, content.len());
        let mut bytes = TOGETHER.take();
        bytes.clear();
        content.append(start..end, &mut bytes);
        self.write_bytes(target, blob, Ok(Part { start, bytes: &bytes }));
        TOGETHER.set(bytes);
    }

    /// The same of its bytes, or of the part of them that is wanted.
    fn write_bytes(&self, target: &Target, blob: &PlannedBlob<'_>, read: Result<Part<'_>, &ReadError>) {
        let (context, keys) = (self.context, &self.context.repo.keys);
        let mut good: Vec<&Want> = Vec::with_capacity(blob.wants.len());
        for wants in blob.wants.chunk_by(|a, b| a.start == b.start && a.len == b.len && self.id(a) == self.id(b)) {
            let id = self.id(&wants[0]);
            if read.is_ok_and(|plain| keys.chunk_id(plain.of(wants[0].start, wants[0].len)) == *id) {
                good.extend(wants);
                continue;
            }
            let failed = Location { pack: blob.key.0, ordinal: blob.key.1, start: wants[0].start, len: wants[0].len, depth: 0 };
            let other = if self.is_current() { context.repo.other_copy(id, &failed) } else { None };
            let copy = other.or_else(|| if self.may_have_moved(id, read) { context.repo.chunk(id).ok() } else { None });
            for want in wants {
                match (&copy, read) {
                    (Some(bytes), _) => self.write_run(target, &[want], bytes),
                    _ if self.files[want.file as usize].write_spare(context, want.offset, want.len, id) => {}
                    (None, Err(error)) => {
                        self.fail(want, error.kind(), format!("its bytes from {} on are lost: {}", want.offset, chain(error)));
                    }
                    (None, Ok(_)) => {
                        let message = format!("its bytes from {} on are damaged in the repository", want.offset);
                        self.fail(want, ErrorKind::Damage, message);
                    }
                }
            }
        }
        let Ok(plain) = read else { return };
        // Chunks that follow one another in the blob and in the file are written at once.
        let follows = |a: &&Want, b: &&Want| a.file == b.file && a.start + a.len == b.start && a.offset + u64::from(a.len) == b.offset;
        for run in good.chunk_by(follows) {
            let (first, last) = (run[0], run[run.len() - 1]);
            self.write_run(target, run, plain.of(first.start, last.start + last.len - first.start));
        }
    }

    fn id(&self, want: &Want) -> &ChunkId {
        &self.ids[want.chunk as usize]
    }

    fn fail(&self, want: &Want, kind: ErrorKind, message: String) {
        self.files[want.file as usize].fail(self.context, kind, message);
    }

    /// Writes the bytes of wants that follow one another in one file.
    fn write_run(&self, target: &Target, run: &[&Want], bytes: &[u8]) {
        let first = run[0];
        self.files[first.file as usize].write(self.context, target, first.offset, bytes, run.len());
    }
}

thread_local! {
    /// Where a worker puts the bytes of a blob together that is in pieces. Memory that is written again is faster than new memory.
    static TOGETHER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Plain bytes of a blob from somewhere on.
#[derive(Clone, Copy)]
struct Part<'p> {
    start: usize,
    bytes: &'p [u8],
}

impl<'p> Part<'p> {
    /// A range of the blob; nothing where that is not within this.
    fn of(&self, start: u32, len: u32) -> &'p [u8] {
        let range = (start as usize).checked_sub(self.start).and_then(|start| Some(start..start.checked_add(len as usize)?));
        range.and_then(|range| self.bytes.get(range)).unwrap_or_default()
    }
}
