//! Storing chunks of a snapshot once more that lie scattered over blobs of many versions, so that a restore of it reads no more than it may
//! (`spec/CHAINS.md`, section 6). The last thing that a push does before its snapshot is committed; reads lists, the index, and what it stores.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use super::account::{Account, Sums, is_within_bound, most_of};
use super::base::BaseFinder;
use super::budget::Budget;
use super::chains::{BlobKey, Chains};
use super::coding::CodingShared;
use super::cut::CutContext;
use super::known::{KnownChunks, Wanted};
use super::needed::{IndexedBlobs, blob_at};
use super::store::{BlobStore, NewChunk};
use super::How;
use crate::base::ids::{ChunkId, NodeId};
use crate::base::units::MIB;
use crate::blob::dtype_of;
use crate::error::{Error, ErrorKind};
use crate::format::entry::{Content, Extent, Kind};
use crate::format::node::Node;
use crate::index::{ChunkIndex, Location, Reads};
use crate::merkle::NodeSource as _;
use crate::monitor::Monitor;
use crate::plan::copies::Several;
use crate::plan::gather::{Gathering, NeededBlob, gather as plan};
use crate::repo::{Drawn, Grounds, PackWriter, Repo, Written};

/// A restore is to read less than it may by one part in so many afterwards, so that not each next version has to gather.
const LESS: u64 = 16;
/// Memory that a chunk takes while it is looked what is read, thereabouts.
const OF_A_CHUNK: usize = 16;

/// Stores again what has to be, of the snapshot with this root, all of which is in packs that the index names. `sums` is what the push made of it.
///
/// # Errors
/// When the repository cannot be read or written, or the user stops it. What is damaged is left where it is.
pub(super) fn gather(repo: &Repo, how: &How<'_>, root: NodeId, sums: Sums, monitor: &dyn Monitor) -> Result<Written, Error> {
    let index = repo.index()?;
    let note = |reads| Ok::<_, Error>(index.note_reads(&root, reads, how.parent.as_ref().filter(|parent| **parent != root))?);
    if let Some(likely) = likely(&*index, how.parent.as_ref(), sums)?.filter(|likely| is_within_bound(*likely)) {
        return note(likely).map(|()| Written::default());
    }
    let known = KnownChunks::at_end(repo, how.grounds)?;
    let mut survey = Survey { repo, grounds: how.grounds, known: &known, monitor, used: HashMap::new(), several: HashMap::new(), chunks: 0, plain: 0 };
    if !survey.look(root)? {
        monitor.detail(&format_args!("the snapshot has too many chunks to see what a restore of it reads within this memory"));
        return Ok(Written::default());
    }
    let (chosen, needed) = survey.choose()?;
    let (blobs, keys) = survey.needed(&needed)?;
    let sum = |of: fn(&NeededBlob) -> u64| blobs.iter().map(of).sum();
    let reads = Reads { all: sum(|blob| blob.stored), alone: sum(|blob| blob.alone), plain: survey.plain };
    if is_within_bound(reads) {
        return note(reads).map(|()| Written::default());
    }
    let most = most_of(reads.alone);
    let Gathering { blobs: gathered, reads: all, takes } = plan(&blobs, most - most / LESS);
    let gathered: HashSet<BlobKey> = gathered.into_iter().map(|blob| keys[blob]).collect();
    monitor.detail(&format_args!(
        "a restore would read {} bytes, and {} of a repository that held nothing else: what this snapshot has of {} blobs is stored once more, in \
         about {takes} bytes, and it reads about {all}",
        reads.all,
        reads.alone,
        gathered.len()
    ));
    let written = if gathered.is_empty() { Written::default() } else { survey.store(root, &gathered, &chosen)? };
    note(Reads { all, ..reads })?;
    Ok(written)
}

/// What a restore of the snapshot reads at most: what it does for the parent, and for all that was not taken over from that. `None` where nobody knows.
fn likely(index: &dyn ChunkIndex, parent: Option<&NodeId>, sums: Sums) -> Result<Option<Reads>, Error> {
    let Sums { reads: Reads { all, alone, plain }, passed } = sums;
    match (passed, parent) {
        (Some(0), _) => Ok(Some(sums.reads)),
        (Some(passed), Some(parent)) => Ok(index.reads_of(parent)?.map(|parent| {
            let share = u128::from(parent.alone) * u128::from(passed) / u128::from(parent.plain.max(1));
            Reads { all: all + parent.all, alone: alone + (share as u64).min(parent.alone), plain: plain + passed }
        })),
        _ => Ok(None),
    }
}

/// What a restore of one snapshot reads.
struct Survey<'s> {
    repo: &'s Repo,
    grounds: &'s Grounds,
    known: &'s KnownChunks,
    monitor: &'s dyn Monitor,
    /// Of each blob, where chunks start that the snapshot has, some of them more than once.
    used: HashMap<BlobKey, Vec<u32>>,
    /// Chunks that several blobs hold.
    several: HashMap<ChunkId, Vec<Location>>,
    chunks: usize,
    /// Plain bytes that it has of all blobs.
    plain: u64,
}

impl Survey<'_> {
    /// Looks where all is that the root leads to. Says whether there was room.
    fn look(&mut self, root: NodeId) -> Result<bool, Error> {
        let room = (self.repo.memory.blobs / OF_A_CHUNK).max(MIB / OF_A_CHUNK);
        self.for_each(root, &mut |survey, ids| {
            survey.chunks += ids.len();
            if survey.chunks > room {
                return Ok(false);
            }
            for (id, places) in ids.iter().zip(survey.known.places(ids)?) {
                match &places[..] {
                    // It was stored or taken over, and what cannot be read will be told by whoever reads it.
                    [] => {}
                    [one] => survey.used.entry(blob_at(one)).or_default().push(one.start),
                    _ => _ = survey.several.insert(*id, places),
                }
            }
            Ok(true)
        })
    }

    /// Calls `found` with the chunks of each list, in the order of the files, until it says no. Says whether it did not.
    fn for_each(&mut self, root: NodeId, found: &mut dyn FnMut(&mut Self, &[ChunkId]) -> Result<bool, Error>) -> Result<bool, Error> {
        let (mut open, mut seen) = (vec![root], HashSet::new());
        while let Some(id) = open.pop() {
            if self.monitor.interrupted() {
                return Err(Error::new(ErrorKind::Interrupted, "interrupted"));
            }
            if !seen.insert(id) {
                continue;
            }
            let first = open.len();
            let mut ids = Vec::new();
            match self.repo.node(&id)? {
                Node::EntriesInner { children, .. } => open.extend(children.into_iter().map(|child| child.id)),
                Node::ExtentsInner { children, .. } => open.extend(children.into_iter().map(|child| child.id)),
                Node::Extents(extents) => ids.extend(extents.iter().filter_map(chunk_of)),
                Node::Entries(entries) => {
                    for entry in entries {
                        match entry.kind {
                            Kind::Directory { entries: Some(root) } | Kind::File { content: Content::List(root), .. } => open.push(root),
                            Kind::File { content: Content::Inline(extents), .. } => ids.extend(extents.iter().filter_map(chunk_of)),
                            _ => {}
                        }
                    }
                }
            }
            open[first..].reverse();
            if !ids.is_empty() && !found(self, &ids)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Where chunks are read from that several blobs hold, and all blobs that are read, as a restore chooses.
    fn choose(&mut self) -> Result<(HashMap<ChunkId, Location>, HashSet<BlobKey>), Error> {
        let several: Vec<_> = std::mem::take(&mut self.several).into_iter().collect();
        let chunks: Vec<_> =
            several.iter().map(|(_, places)| Several { len: places[0].len, blobs: places.iter().map(blob_at).collect() }).collect();
        let (chosen, needed) = IndexedBlobs(self.known.index()).read(&self.used.keys().copied().collect(), &chunks)?;
        let chosen: HashMap<_, _> = several.into_iter().zip(chosen).map(|((id, places), chosen)| (id, places[chosen])).collect();
        for location in chosen.values() {
            self.used.entry(blob_at(location)).or_default().push(location.start);
        }
        Ok((chosen, needed))
    }

    /// What is known of the blobs that are read, and their names.
    fn needed(&mut self, needed: &HashSet<BlobKey>) -> Result<(Vec<NeededBlob>, Vec<BlobKey>), Error> {
        let of = IndexedBlobs(self.known.index());
        let mut keys: Vec<BlobKey> = needed.iter().copied().collect();
        keys.sort_unstable();
        let chains = Chains::default();
        let mut blobs = Vec::with_capacity(keys.len());
        for key in &keys {
            let Some(frame) = self.repo.frame(*key) else {
                blobs.push(NeededBlob { stored: 0, alone: 0, below: Vec::new() });
                continue;
            };
            let starts = self.used.get_mut(key);
            let used = starts.map_or(0, |starts| {
                starts.sort_unstable();
                let mut start = 0u32;
                let used = |len: &&u32| {
                    let is_used = starts.binary_search(&start).is_ok();
                    start = start.saturating_add(**len);
                    is_used
                };
                frame.chunk_lens.iter().filter(used).map(|len| u64::from(*len)).sum::<u64>()
            });
            self.plain += used;
            let stored = u64::from(frame.sealed_len);
            let by_itself = chains.of_blob(self.repo, self.known, *key).map(|chain| chain.share(used).whole);
            let below: HashSet<BlobKey> = of.bases_of(*key, needed)?.into_iter().collect();
            let below = below.iter().filter_map(|base| keys.binary_search(base).ok()).collect();
            blobs.push(NeededBlob { stored, alone: if used > 0 { by_itself.unwrap_or(stored).max(1) } else { 0 }, below });
        }
        Ok((blobs, keys))
    }

    /// Stores again what the snapshot has of these blobs, in the order of the files.
    fn store(&mut self, root: NodeId, gathered: &HashSet<BlobKey>, chosen: &HashMap<ChunkId, Location>) -> Result<Written, Error> {
        let mut moves: Vec<(ChunkId, Location)> = Vec::new();
        let mut met = HashSet::new();
        self.for_each(root, &mut |survey, ids| {
            for (id, places) in ids.iter().zip(survey.known.places(ids)?) {
                let place = chosen.get(id).copied().or_else(|| places.first().copied());
                moves.extend(place.filter(|place| gathered.contains(&blob_at(place)) && met.insert(*id)).map(|place| (*id, place)));
            }
            Ok(true)
        })?;
        let Self { repo, monitor, .. } = *self;
        let known = KnownChunks::at_end(repo, self.grounds)?.but_for(Some(&Arc::new(Wanted::new(met, false))));
        let account = Arc::new(Account::of_a_part(known.packs()));
        let coding = Arc::new(CodingShared {
            bases: Some(BaseFinder::new(repo, account)),
            fresh: None,
            writer: PackWriter::new(repo, false)?,
            context: Arc::new(CutContext {
                keys: repo.keys.clone(),
                chunker: repo.chunker(),
                segment_len: repo.config.segment_len as usize,
                known: Arc::new(known),
                read_ahead: Budget::new(repo.memory.pieces),
                scratch: None,
                account: None,
            }),
            compression: repo.compression,
            failure: Mutex::new(None),
            monitor,
            scratch: None,
        });
        repo.pool.in_place_scope_fifo(|scope| {
            let mut store = BlobStore::new(scope, Arc::clone(&coding), Budget::new(repo.memory.coding), &repo.config);
            store.reading("(stored once more)");
            for (id, place) in &moves {
                if monitor.interrupted() {
                    return Err(Error::new(ErrorKind::Interrupted, "interrupted"));
                }
                // What cannot be read stays where it is: a push must not fail for what it need not have.
                let Some((_, bytes)) = repo.chunk_at(place).ok().filter(|(found, _)| found == id) else { continue };
                let dtype = repo.frame_at(place).and_then(|frame| dtype_of(&frame));
                store.chunk(NewChunk { id: *id, bytes: &bytes, dtype, hint: None, limit: None, whole: true, drawn: Drawn::default() })?;
            }
            store.finish()
        })?;
        coding.check()?;
        let coding = Arc::into_inner(coding).ok_or_else(|| Error::new(ErrorKind::Failed, "a coding job outlived the pipeline"))?;
        coding.writer.finish()
    }
}

fn chunk_of(extent: &Extent) -> Option<ChunkId> {
    match extent {
        Extent::Chunk { id, .. } => Some(*id),
        Extent::Hole { .. } => None,
    }
}
