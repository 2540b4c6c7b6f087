//! Files and runs that are planned and restored together, so many that blobs are shared and so few that the plan stays small.

use std::collections::HashSet;
use std::sync::Arc;

use super::run::BlobRunner;
use super::{FileSlot, RestoreContext};
use crate::base::ids::ChunkId;
use crate::error::{Error, ErrorKind};
use crate::format::entry::Extent;
use crate::index::{ChunkIndex, IndexError, Location};
use crate::pipeline::chains::blob_of;
use crate::pipeline::needed::{IndexedBlobs, Read};
use crate::plan::copies::Several;
use crate::plan::restore::{BlobKey, Plan, Want};
use crate::repo::{Placed, ReadError};

/// Wants that are planned together.
const BATCH_WANTS: usize = 1 << 16;
/// Those of them that are open already, or will be for long.
const BATCH_OPEN_FILES: usize = 400;

/// What is planned next.
#[derive(Default)]
pub(crate) struct RestoreBatch {
    /// By which the wants name packs; `None` as long as there are none.
    index: Option<Arc<dyn ChunkIndex>>,
    files: Vec<Arc<FileSlot>>,
    wants: Vec<Want>,
    /// The chunks, by the numbers that the wants give them.
    ids: Vec<ChunkId>,
    /// Places of chunks that have several, with the numbers of the wants.
    several: Vec<(usize, Vec<Location>)>,
    open_files: usize,
    /// Runs of the file that was begun last, so far, and whether it is open.
    runs: usize,
    is_open: bool,
    /// Whether all runs of that file are known.
    is_ended: bool,
}

impl RestoreBatch {
    /// Adds a file whose runs follow; `is_open` says that it was there already.
    pub(crate) fn begin(&mut self, slot: FileSlot, is_open: bool) {
        self.files.push(Arc::new(slot));
        (self.runs, self.is_open, self.is_ended) = (0, is_open, false);
    }

    /// Adds runs of the file that was begun last. Holes are made at once.
    pub(crate) fn add(&mut self, context: &RestoreContext<'_>, runs: &[Placed]) -> Result<(), Error> {
        let chunks: Vec<_> = runs
            .iter()
            .filter_map(|run| match run.extent {
                Extent::Chunk { id, len } => Some((run.offset, id, len)),
                Extent::Hole { .. } => None,
            })
            .collect();
        let ids: Vec<_> = chunks.iter().map(|(_, id, _)| *id).collect();
        let found = self.find(context, &ids)?;
        let number = self.files.len() as u32 - 1;
        let slot = Arc::clone(self.files.last().expect("a file was begun"));
        for run in runs {
            if let Extent::Hole { len } = run.extent {
                slot.make_hole(context, run.offset, len);
                context.advance(len);
            }
        }
        for ((offset, id, len), mut places) in chunks.into_iter().zip(found) {
            places.retain(|place| place.len == len);
            match places.first().copied() {
                Some(at) => {
                    let (chunk, file) = (self.ids.len() as u32, number);
                    if places.len() > 1 {
                        self.several.push((self.wants.len(), places));
                    }
                    self.wants.push(Want { pack: at.pack, ordinal: at.ordinal, start: at.start, len, chunk, file, offset });
                    self.ids.push(id);
                    self.runs += 1;
                    slot.expect(1);
                }
                None => {
                    slot.expect(1);
                    if slot.write_spare(context, offset, len, &id) {
                        self.is_open = true;
                    } else {
                        slot.fail(context, ErrorKind::Damage, ReadError::Unknown(format!("chunk {id}")).to_string());
                    }
                }
            }
        }
        Ok(())
    }

    /// Where chunks are by the index of this batch. What it does not know is looked up again by what prunes did meanwhile.
    fn find(&mut self, context: &RestoreContext<'_>, ids: &[ChunkId]) -> Result<Vec<Vec<Location>>, Error> {
        loop {
            let state = context.repo.index_state();
            // The numbers of packs in the wants are those of one index. Where a prune had it built anew, what is wanted by the old one comes first.
            let now = context.repo.index()?;
            if self.index.as_ref().is_some_and(|index| !Arc::ptr_eq(index, &now)) {
                self.run(context)?;
            }
            let found = self.index.get_or_insert(now).find_all(ids)?;
            if !found.iter().any(Vec::is_empty) || !context.repo.refresh_after_prune(state)? {
                return Ok(found);
            }
        }
    }

    /// The file that was begun last.
    pub(crate) fn file(&self) -> Option<&Arc<FileSlot>> {
        self.files.last()
    }

    /// Ends the file that was begun last.
    pub(crate) fn end(&mut self, context: &RestoreContext<'_>) {
        self.is_ended = true;
        let (Some(slot), Some(target)) = (self.files.last(), context.target) else { return };
        self.open_files += usize::from(self.runs > 1 || self.is_open && self.runs > 0);
        slot.done(context, target, 1);
    }

    /// Whether it is time to run.
    pub(crate) fn is_full(&self, context: &RestoreContext<'_>) -> bool {
        self.wants.len() >= BATCH_WANTS || self.files.len() >= context.repo.memory.files() || self.open_files >= BATCH_OPEN_FILES
    }

    /// Reads the blobs and writes the files.
    pub(crate) fn run(&mut self, context: &RestoreContext<'_>) -> Result<(), Error> {
        let batch = std::mem::take(self);
        // A file whose runs are not all known goes on in the next batch.
        self.files.extend(batch.files.last().cloned());
        (self.runs, self.is_open, self.is_ended) = (batch.runs, batch.is_open, batch.is_ended);
        let mut wants = batch.wants;
        let Some(index) = batch.index else { return Ok(()) };
        let blobs = IndexedBlobs::new(&*index);
        let mut needed = choose_copies(&blobs, &mut wants, &batch.several)?;
        let plan = Plan::new(&mut wants, &mut |key| {
            let bases = blobs.bases_of(key, &needed)?;
            needed.extend(&bases);
            Ok::<_, IndexError>(bases)
        })?;
        BlobRunner::new(context, &*index, &batch.files, &batch.ids, &plan).run()?;
        // Else nobody would see it: a file of the right length with zeros in it.
        for (number, slot) in batch.files.iter().enumerate() {
            let goes_on = number + 1 == batch.files.len() && !batch.is_ended;
            slot.must_be_done(context, goes_on);
        }
        Ok(())
    }
}

/// Has wants of chunks that several blobs hold read what the others need anyway, as far as that can be. Returns the blobs that are read, if it was
/// looked.
fn choose_copies(blobs: &IndexedBlobs<'_>, wants: &mut [Want], several: &[(usize, Vec<Location>)]) -> Result<HashSet<BlobKey>, IndexError> {
    if several.is_empty() {
        return Ok(HashSet::new());
    }
    let are_several: HashSet<usize> = several.iter().map(|(number, _)| *number).collect();
    let others = wants.iter().enumerate().filter(|(number, _)| !are_several.contains(number));
    let others: HashSet<BlobKey> = others.map(|(_, want)| (want.pack, want.ordinal)).collect();
    let of = |(number, places): &(usize, Vec<Location>)| Several { len: wants[*number].len, blobs: places.iter().map(blob_of).collect() };
    let chunks: Vec<_> = several.iter().map(of).collect();
    let Read { chosen, needed, .. } = blobs.read(&others, &chunks)?;
    for ((number, places), chosen) in several.iter().zip(chosen) {
        let Location { pack, ordinal, start, .. } = places[chosen];
        wants[*number] = Want { pack, ordinal, start, ..wants[*number] };
    }
    Ok(needed)
}
