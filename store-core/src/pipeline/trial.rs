//! What kept snapshots would take if only they had been pushed, by a sample (`spec/CHAINS.md`, section 4): chunks of it are coded as a push would
//! code them, into a repository in memory, from which what is coded anew is taken.
//!
//! The sample is chosen by place, so that of each version the same is taken: segments of tensors by chance; of plain bytes a share of the files as
//! far as their first bytes go, and a part of each file from its start.

use std::collections::HashMap;
use std::sync::Arc;

use super::known::KnownChunks;
use super::replay::{Choose, PlacedChunk, Replay};
use super::store::Limit;
use super::tried::Tried;
use crate::base::ids::ChunkId;
use crate::base::units::MIB;
use crate::blob::{bases_at, dtype_of};
use crate::error::Error;
use crate::format::blob::Frame;
use crate::index::{ChunkIndex, Location, PackNumber};
use crate::monitor::Monitor;
use crate::plan::gc::{Sample, Sampled, Strand};
use crate::repo::{Repo, StoredSnapshot};

/// Plain bytes of a file that is chosen for the sample by its name.
const FIRST: u64 = 4 * MIB as u64;

/// Says how many stored bytes, asked for by no snapshot, a chunk at this location rests on, and none that it was asked for before does.
pub(crate) type Supports<'r> = dyn FnMut(&Location, &Arc<Frame>) -> Result<u64, Error> + 'r;

/// Tells nobody of what is tried, and stops when the user says so.
struct Quiet<'m>(&'m dyn Monitor);

impl Monitor for Quiet<'_> {
    fn interrupted(&self) -> bool {
        self.0.interrupted()
    }
}

/// Tries a `share` of what these snapshots hold, from 0 to 1; they are in the order of their times. What cannot be read is passed over.
///
/// # Errors
/// When the repository fails, or the user stops it.
pub(crate) fn trial(
    repo: &Repo,
    kept: &[StoredSnapshot],
    share: f64,
    supports: &mut Supports<'_>,
    monitor: &dyn Monitor,
) -> Result<(Sample, Tried), Error> {
    let target = repo.in_memory();
    let index = repo.index()?;
    let mut taken =
        Taken { index: index.as_ref(), share, left: 2 * repo.memory.sample() as u64, chunks: HashMap::new(), frames: HashMap::new() };
    let quiet = Quiet(monitor);
    let mut replay = Replay::new(repo, &target, kept, KnownChunks::of_own(&target)?, &quiet);
    for number in 0..kept.len() {
        let _ = replay.snapshot(number, &mut taken)?;
    }
    let lines = lines(kept);
    let mut sample = Sample::default();
    for (id, Chosen { snapshot, file, location, frame }) in &taken.chunks {
        let Some(there) = target.index()?.find(&[*id])?[0] else { continue };
        let Some(then) = target.frame_at(&there) else { continue };
        let chunk = Sampled {
            plain: location.len.into(),
            now: frame.stored_len(location.len.into()),
            alone: then.stored_len(there.len.into()),
            is_changed: (frame.depth, bases_at(frame, location.start, location.len))
                != (then.depth, bases_at(&then, there.start, there.len)),
            supports: supports(location, frame)?,
        };
        let strand = Strand { line: lines[*snapshot], numbers: dtype_of(frame).is_some() };
        sample.add(strand, *snapshot as u32, *file, chunk);
    }
    Ok((sample, Tried::new(target)?))
}

/// For each snapshot, the number of the first one of its line.
pub(crate) fn lines(kept: &[StoredSnapshot]) -> Vec<u32> {
    let mut first = HashMap::new();
    (0..).zip(kept).map(|(number, stored)| *first.entry(stored.snapshot.line()).or_insert(number)).collect()
}

/// A number that stands for a path.
pub(crate) fn file_number(path: &[u8]) -> u64 {
    u64::from_le_bytes([0, 1, 2, 3, 4, 5, 6, 7].map(|at| blake3::hash(path).as_bytes()[at]))
}

/// A chunk of the sample.
struct Chosen {
    snapshot: usize,
    file: u64,
    location: Location,
    frame: Arc<Frame>,
}

/// Takes the sample.
struct Taken<'t> {
    index: &'t dyn ChunkIndex,
    share: f64,
    /// Plain bytes that may still be taken: what is chosen by chance may be more than was meant.
    left: u64,
    chunks: HashMap<ChunkId, Chosen>,
    /// Of the blobs that hold them; one of small files has many.
    frames: HashMap<(PackNumber, u32), Arc<Frame>>,
}

/// Whether a hash of these bytes is in the lowest `share` of all.
fn by_chance(share: f64, path: &[u8], place: u64) -> bool {
    share >= 1.0 || {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&place.to_le_bytes()).update(path);
        let hash = hasher.finalize();
        let high = u32::from_le_bytes([0, 1, 2, 3].map(|at| hash.as_bytes()[at]));
        f64::from(high) < share * (f64::from(u32::MAX) + 1.0)
    }
}

/// Whether the sample has a chunk of which it is known whether it holds numbers.
fn takes(share: f64, chunk: &PlacedChunk<'_>, numbers: bool) -> bool {
    if numbers {
        return by_chance(share, chunk.path, chunk.offset);
    }
    // Of the chunk that the share ends in, and so of small files, such a part by chance.
    let within = (share * chunk.size as f64 - chunk.offset as f64) / f64::from(chunk.len.max(1));
    by_chance(within, chunk.path, u64::MAX - 1) || chunk.offset < FIRST && by_chance(share, chunk.path, u64::MAX)
}

impl Taken<'_> {
    fn frame(&mut self, location: &Location) -> Result<Option<Arc<Frame>>, Error> {
        let key = (location.pack, location.ordinal);
        if let Some(frame) = self.frames.get(&key) {
            return Ok(Some(Arc::clone(frame)));
        }
        let Some(place) = self.index.blob(location.pack, location.ordinal)? else { return Ok(None) };
        let frame = Arc::new(place.frame);
        self.frames.insert(key, Arc::clone(&frame));
        Ok(Some(frame))
    }
}

impl Choose for Taken<'_> {
    fn choose(&mut self, chunks: &[PlacedChunk<'_>]) -> Result<Vec<Option<Option<Limit>>>, Error> {
        let ids: Vec<ChunkId> = chunks.iter().map(|chunk| chunk.id).collect();
        let found = self.index.find(&ids)?;
        let mut chosen = vec![None; chunks.len()];
        for ((chunk, location), chosen) in chunks.iter().zip(found).zip(&mut chosen) {
            let Some(location) = location.filter(|location| location.len == chunk.len) else { continue };
            if !takes(self.share, chunk, true) && !takes(self.share, chunk, false) {
                continue;
            }
            let Some(frame) = self.frame(&location)? else { continue };
            if !takes(self.share, chunk, dtype_of(&frame).is_some()) {
                continue;
            }
            if !self.chunks.contains_key(&chunk.id) {
                let Some(left) = self.left.checked_sub(chunk.len.into()) else { continue };
                self.left = left;
                self.chunks.insert(chunk.id, Chosen { snapshot: chunk.snapshot, file: file_number(chunk.path), location, frame });
            }
            *chosen = Some(None);
        }
        Ok(chosen)
    }

    fn passes_over(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_small_files_the_sample_has_the_share_and_no_more() {
        let paths: Vec<String> = (0..20_000).map(|number| format!("data/{number}.json")).collect();
        let count = |share| {
            let chunk = |path| PlacedChunk { path, size: 1000, offset: 0, id: ChunkId::from_bytes([0; 32]), len: 1000, snapshot: 0 };
            paths.iter().filter(|path| takes(share, &chunk(path.as_bytes()), false)).count()
        };
        // A hundredth by its start, and a hundredth by name.
        assert!((300..500).contains(&count(0.01)), "{}", count(0.01));
        assert_eq!((count(0.0), count(1.0)), (0, paths.len()));
    }
}
