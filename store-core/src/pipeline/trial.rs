//! What kept snapshots would take if only they had been pushed, by a sample (`spec/CHAINS.md`, section 4): chunks of it are coded as a push would
//! code them, into a repository in memory, from which what is coded anew is taken.
//!
//! The sample is chosen by place, so that of each version the same is taken: segments of tensors by chance; of plain bytes a share of the files as
//! far as their first bytes go, and a part of each file from its start.

use std::collections::{BTreeSet, HashMap};

use super::known::KnownChunks;
use super::replay::{Choose, PlacedChunk, Replay};
use super::store::Limit;
use super::tried::Tried;
use crate::base::ids::ChunkId;
use crate::base::units::MIB;
use crate::blob::{bases_at, dtype_of};
use crate::error::Error;
use crate::format::blob::Frame;
use crate::index::{ChunkIndex, Location};
use crate::monitor::Monitor;
use crate::plan::gc::{Sample, Sampled, Strand};
use crate::repo::{Repo, StoredSnapshot};

/// Plain bytes of a file that is chosen for the sample by its name.
const FIRST: u64 = 4 * MIB as u64;

/// Says whether a chunk at this location rests on something that no snapshot asks for.
pub(crate) type Rests<'r> = dyn FnMut(&Location, &Frame) -> Result<bool, Error> + 'r;

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
    rests: &mut Rests<'_>,
    monitor: &dyn Monitor,
) -> Result<(Sample, Tried), Error> {
    let target = repo.in_memory();
    let index = repo.index()?;
    let mut taken = Taken { index: index.as_ref(), share, chunks: HashMap::new() };
    let quiet = Quiet(monitor);
    let mut replay = Replay::new(repo, &target, kept, KnownChunks::new(&target, &BTreeSet::new(), None)?, &quiet);
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
            now: stored(frame, location),
            alone: stored(&then, &there),
            is_changed: (frame.depth, bases_at(frame, location.start, location.len))
                != (then.depth, bases_at(&then, there.start, there.len)),
            rests: rests(location, frame)?,
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

/// The stored bytes of a chunk, by its share of the blob.
fn stored(frame: &Frame, location: &Location) -> u64 {
    (u128::from(frame.sealed_len) * u128::from(location.len) / frame.plain_len().max(1) as u128) as u64
}

/// A chunk of the sample.
struct Chosen {
    snapshot: usize,
    file: u64,
    location: Location,
    frame: Frame,
}

/// Takes the sample.
struct Taken<'t> {
    index: &'t dyn ChunkIndex,
    share: f64,
    chunks: HashMap<ChunkId, Chosen>,
}

impl Taken<'_> {
    /// Whether a hash of these bytes is in the lowest `share` of all.
    fn by_chance(&self, path: &[u8], place: u64) -> bool {
        self.share >= 1.0 || {
            let mut hasher = blake3::Hasher::new();
            hasher.update(&place.to_le_bytes()).update(path);
            let hash = hasher.finalize();
            let high = u32::from_le_bytes([0, 1, 2, 3].map(|at| hash.as_bytes()[at]));
            f64::from(high) < self.share * (f64::from(u32::MAX) + 1.0)
        }
    }

    fn takes(&self, chunk: &PlacedChunk<'_>, numbers: bool) -> bool {
        if numbers {
            return self.by_chance(chunk.path, chunk.offset);
        }
        (chunk.offset as f64) < self.share * chunk.size as f64 || chunk.offset < FIRST && self.by_chance(chunk.path, u64::MAX)
    }
}

impl Choose for Taken<'_> {
    fn choose(&mut self, chunks: &[PlacedChunk<'_>]) -> Result<Vec<Option<Option<Limit>>>, Error> {
        let ids: Vec<ChunkId> = chunks.iter().map(|chunk| chunk.id).collect();
        let found = self.index.find(&ids)?;
        let mut chosen = vec![None; chunks.len()];
        for ((chunk, location), chosen) in chunks.iter().zip(found).zip(&mut chosen) {
            let Some(location) = location.filter(|location| location.len == chunk.len) else { continue };
            if !self.takes(chunk, true) && !self.takes(chunk, false) {
                continue;
            }
            let Some(place) = self.index.blob(location.pack, location.ordinal)? else { continue };
            if self.takes(chunk, dtype_of(&place.frame).is_some()) {
                *chosen = Some(None);
                self.chunks.entry(chunk.id).or_insert_with(|| Chosen {
                    snapshot: chunk.snapshot,
                    file: file_number(chunk.path),
                    location,
                    frame: place.frame,
                });
            }
        }
        Ok(chosen)
    }

    fn passes_over(&self) -> bool {
        true
    }
}
