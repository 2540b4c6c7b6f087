//! Storing chunks of a snapshot once more that lie scattered over blobs of many versions, so that a restore of it reads no more than it may
//! (`spec/CHAINS.md`, section 6). The last thing that a push does before its snapshot is committed; reads lists, the index, and what it stores.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use super::How;
use super::account::{Account, Sums, is_within_bound, most_of};
use super::base::BaseFinder;
use super::budget::Budget;
use super::chains::{BlobKey, Chains, blob_of};
use super::coding::CodingShared;
use super::cut::CutContext;
use super::known::{KnownChunks, Wanted, chunk_of};
use super::needed::{IndexedBlobs, Read};
use super::store::{BlobStore, NewChunk};
use crate::base::ids::{ChunkId, NodeId};
use crate::base::units::MIB;
use crate::blob::dtype_of;
use crate::error::{Error, ErrorKind};
use crate::format::entry::{Content, Kind};
use crate::format::node::Node;
use crate::index::{Location, PackNumber, Reads};
use crate::merkle::NodeSource as _;
use crate::monitor::Monitor;
use crate::plan::copies::Several;
use crate::plan::gather::{NeededBlob, gather as plan};
use crate::repo::{Drawn, Grounds, PackWriter, Repo, Written, chunk_of as chunk_at};

/// A restore is to read less than it may by one part in so many afterwards, so that not each next version has to gather.
const LESS: u64 = 16;
/// What is stored once more takes at most so many times what a restore is spared by it.
const WORTH: u64 = 2;
/// Memory that a chunk takes while it is looked what is read; one with several places, and one that is stored once more, takes more by so much.
const OF_A_CHUNK: usize = 16;
const OF_SEVERAL: usize = 400;
/// A number that no pack has.
const SUPPOSED: PackNumber = PackNumber::MAX;

/// Stores again what has to be, of the snapshot with this root, all of which is in packs that the index names. `sums` is what the push made of it, and
/// `brought` how many bytes it has stored.
///
/// # Errors
/// When the index cannot be read, something cannot be written, or the user stops it. The snapshot needs none of this.
pub(super) fn gather(repo: &Repo, how: &How<'_>, root: NodeId, sums: Sums, brought: u64, monitor: &dyn Monitor) -> Result<Written, Error> {
    if how.parent == Some(root) {
        return Ok(Written::default());
    }
    let index = repo.index()?;
    let parent = how.parent.map(|parent| index.reads_of(&parent)).transpose()?.flatten();
    // As much as pushes store may be stored once more: a series of which each version has other parts of what was there for long would be stored again
    // and again.
    let credit = parent.map_or(0, |parent| parent.credit).saturating_add(brought);
    let note = |reads| Ok::<_, Error>(index.note_reads(&root, Reads { credit, ..reads }, how.parent.as_ref())?);
    let likely = likely(parent, sums);
    // Where next to nothing may be stored it need not be looked for.
    if let Some(likely) = likely.filter(|likely| is_within_bound(*likely) || credit < likely.alone / (4 * LESS)) {
        return note(likely).map(|()| Written::default());
    }
    let known = KnownChunks::at_end(repo, how.grounds)?;
    let mut survey = Survey::new(repo, &known, monitor);
    if !survey.look(root)? {
        monitor.detail(&format_args!("the snapshot has too many chunks to see what a restore of it reads within this memory"));
        return Ok(Written::default());
    }
    let blobs = IndexedBlobs::new(known.index());
    let read = survey.read(&blobs, &[], &HashMap::new())?;
    let (needed, keys) = survey.needed(&blobs, &read)?;
    let alone = needed.iter().map(|blob| blob.alone).sum();
    let reads = Reads { all: read.stored, alone, plain: survey.plain, credit };
    let most = most_of(alone);
    if is_within_bound(reads) {
        return note(reads).map(|()| Written::default());
    }
    let gathered = plan(&needed, most - most / LESS, credit).blobs;
    let price = gathered.iter().map(|blob| (keys[*blob], needed[*blob].alone as f64 / survey.used_of(keys[*blob]).max(1) as f64)).collect();
    let moves = survey.moves(root, &read, &price)?;
    // What a restore will choose decides, not what was planned.
    let supposed = Supposed::new(repo.config.blob_len, &moves, &price);
    supposed.blobs.iter().for_each(|(key, stored)| blobs.suppose(*key, *stored));
    let then = survey.read(&blobs, &moves, &supposed.of)?;
    let takes: u64 = supposed.blobs.iter().map(|(_, stored)| stored).sum();
    let is_worth_it = takes > 0 && takes <= credit.min(WORTH * reads.all.saturating_sub(then.stored));
    monitor.detail(&format_args!(
        "a restore would read {} bytes, and {alone} of a repository that held nothing else: {} chunks of {} blobs, {takes} bytes, are{} stored once more, \
         with which it would read {}",
        reads.all,
        moves.len(),
        price.len(),
        if is_worth_it { "" } else { " not" },
        then.stored
    ));
    if !is_worth_it {
        return note(reads).map(|()| Written::default());
    }
    let written = store(repo, how.grounds, &moves, monitor)?;
    let credit = credit.saturating_sub(written.counts.bytes);
    index.note_reads(&root, Reads { all: then.stored, credit, ..reads }, how.parent.as_ref())?;
    Ok(written)
}

/// What a restore of the snapshot reads at most: what it does for the parent, and for all that was not taken over from that. `None` where nobody knows.
fn likely(parent: Option<Reads>, sums: Sums) -> Option<Reads> {
    let Sums { reads, passed } = sums;
    match (passed?, parent) {
        (0, _) => Some(reads),
        (passed, Some(parent)) => {
            let share = u128::from(parent.alone) * u128::from(passed) / u128::from(parent.plain.max(1));
            let alone = reads.alone.saturating_add((share as u64).min(parent.alone));
            Some(Reads { all: reads.all.saturating_add(parent.all), alone, plain: reads.plain.saturating_add(passed), ..reads })
        }
        (_, None) => None,
    }
}

/// Is told of the chunks of a list, and says whether to go on.
type Found<'f, S> = dyn FnMut(&mut S, &[ChunkId]) -> Result<bool, Error> + 'f;

/// A chunk that is to be stored once more.
#[derive(Debug, Clone, Copy)]
struct Move {
    id: ChunkId,
    /// Where it is read now.
    place: Location,
}

/// The blobs that what is stored once more would come to.
struct Supposed {
    blobs: Vec<(BlobKey, u64)>,
    of: HashMap<ChunkId, Location>,
}

impl Supposed {
    /// Those of chunks that are stored once more, of blobs whose plain bytes have these prices.
    fn new(blob_len: u32, moves: &[Move], price: &HashMap<BlobKey, f64>) -> Self {
        let (mut blobs, mut of) = (Vec::<(BlobKey, u64)>::new(), HashMap::with_capacity(moves.len()));
        let mut start = blob_len;
        for Move { id, place } in moves {
            if start >= blob_len {
                blobs.push(((SUPPOSED, blobs.len() as u32), 0));
                start = 0;
            }
            let Some(((pack, ordinal), stored)) = blobs.last_mut() else { continue };
            *stored += (f64::from(place.len) * price.get(&blob_of(place)).copied().unwrap_or(1.0)) as u64;
            let _ = of.insert(*id, Location { pack: *pack, ordinal: *ordinal, start, len: place.len, depth: 0 });
            start = start.saturating_add(place.len);
        }
        Self { blobs, of }
    }
}

/// What a restore of one snapshot reads.
struct Survey<'s> {
    repo: &'s Repo,
    known: &'s KnownChunks,
    monitor: &'s dyn Monitor,
    /// Of each blob that is the only one to hold them, where chunks start that the snapshot has, some of them more than once.
    used: HashMap<BlobKey, Vec<u32>>,
    /// Chunks that several blobs hold.
    several: HashMap<ChunkId, Vec<Location>>,
    /// Of each blob, how many plain bytes are read of it for the snapshot.
    plain_of: HashMap<BlobKey, u64>,
    /// Bytes of memory that there are for all this.
    room: usize,
    /// Plain bytes that it has of all blobs.
    plain: u64,
}

impl<'s> Survey<'s> {
    fn new(repo: &'s Repo, known: &'s KnownChunks, monitor: &'s dyn Monitor) -> Self {
        let (used, several, plain_of) = (HashMap::new(), HashMap::new(), HashMap::new());
        Self { repo, known, monitor, used, several, plain_of, room: repo.memory.blobs.max(MIB), plain: 0 }
    }

    /// Takes room in memory, if there is so much.
    fn take_room(&mut self, bytes: usize) -> bool {
        let left = self.room.checked_sub(bytes);
        self.room = left.unwrap_or(0);
        left.is_some()
    }

    /// Looks where all is that the root leads to. Says whether there was room.
    fn look(&mut self, root: NodeId) -> Result<bool, Error> {
        self.for_each(root, &mut |survey, ids| {
            for (id, places) in ids.iter().zip(survey.known.places(ids)?) {
                if !survey.take_room(if places.len() > 1 { OF_A_CHUNK + OF_SEVERAL } else { OF_A_CHUNK }) {
                    return Ok(false);
                }
                match &places[..] {
                    // It was stored or taken over, and what cannot be read will be told by whoever reads it.
                    [] => {}
                    [one] => survey.used.entry(blob_of(one)).or_default().push(one.start),
                    _ => _ = survey.several.insert(*id, places),
                }
            }
            Ok(true)
        })
    }

    /// Calls `found` with the chunks of each list, in the order of the files, until it says no. Says whether it did not.
    fn for_each(&mut self, root: NodeId, found: &mut Found<'_, Self>) -> Result<bool, Error> {
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
            // Lists that were taken over may be damaged: a push must not fail for what it need not have.
            let Ok(node) = self.repo.node(&id) else { continue };
            match node {
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

    /// What a restore reads, were what is moved at these new places, too.
    fn read(&self, blobs: &IndexedBlobs<'_>, moves: &[Move], new: &HashMap<ChunkId, Location>) -> Result<FromWhere, Error> {
        let (mut ids, mut chunks) = (Vec::new(), Vec::new());
        let mut add = |id: &ChunkId, places: &[Location]| {
            ids.push(*id);
            chunks.push(Several { len: places[0].len, blobs: new.get(id).into_iter().chain(places).map(blob_of).collect() });
        };
        self.several.iter().for_each(|(id, places)| add(id, places));
        // All that the snapshot has of a blob moves, or nothing.
        let mut moved: HashSet<BlobKey> = HashSet::new();
        for Move { id, place } in moves {
            let _ = moved.insert(blob_of(place));
            if !self.several.contains_key(id) {
                add(id, &[*place]);
            }
        }
        let alone = self.used.keys().filter(|key| !moved.contains(key)).copied().collect();
        let Read { chosen, needed, stored } = blobs.read(&alone, &chunks)?;
        let chosen = ids.into_iter().zip(chunks).zip(chosen).map(|((id, chunk), chosen)| (id, chunk.blobs[chosen])).collect();
        Ok(FromWhere { chosen, needed, stored })
    }

    /// What is known of the blobs that are read, and their names.
    fn needed(&mut self, blobs: &IndexedBlobs<'_>, read: &FromWhere) -> Result<(Vec<NeededBlob>, Vec<BlobKey>), Error> {
        let mut used = std::mem::take(&mut self.used);
        let only: HashSet<BlobKey> = used.keys().copied().collect();
        for (id, key) in &read.chosen {
            let place = self.several.get(id).and_then(|places| places.iter().find(|place| blob_of(place) == *key));
            used.entry(*key).or_default().extend(place.map(|place| place.start));
        }
        let mut keys: Vec<BlobKey> = read.needed.iter().copied().collect();
        keys.sort_unstable();
        let chains = Chains::default();
        let mut found = Vec::with_capacity(keys.len());
        for key in &keys {
            let (stored, mut alone) = (blobs.stored(*key)?, 0);
            if let (Some(starts), Some(frame)) = (used.get_mut(key), self.repo.frame(*key)) {
                starts.sort_unstable();
                let mut start = 0u32;
                let is_used = |len: &&u32| {
                    let is_used = starts.binary_search(&start).is_ok();
                    start = start.saturating_add(**len);
                    is_used
                };
                let plain = frame.chunk_lens.iter().filter(is_used).map(|len| u64::from(*len)).sum::<u64>();
                self.plain += plain;
                let _ = self.plain_of.insert(*key, plain);
                alone = chains.of_blob(self.repo, self.known, *key).map_or(stored, |chain| chain.share(plain).whole).max(1);
            }
            let below: HashSet<BlobKey> = blobs.bases_of(*key, &read.needed)?.into_iter().collect();
            let below = below.iter().filter_map(|base| keys.binary_search(base).ok()).collect();
            found.push(NeededBlob { stored, alone, below });
        }
        used.retain(|key, _| only.contains(key));
        self.used = used;
        Ok((found, keys))
    }

    /// Plain bytes that are read of a blob for the snapshot.
    fn used_of(&self, key: BlobKey) -> u64 {
        self.plain_of.get(&key).copied().unwrap_or(0)
    }

    /// What the snapshot has of these blobs, blob by blob in the order in which its files first need them; nothing where there is no room for that.
    fn moves(&mut self, root: NodeId, read: &FromWhere, gathered: &HashMap<BlobKey, f64>) -> Result<Vec<Move>, Error> {
        let (mut found, mut order, mut met) = (Vec::new(), HashMap::new(), HashSet::new());
        let has_room = self.for_each(root, &mut |survey, ids| {
            for (id, places) in ids.iter().zip(survey.known.places(ids)?) {
                let key = read.chosen.get(id).copied().or_else(|| places.first().map(blob_of));
                let place = places.into_iter().find(|place| Some(blob_of(place)) == key && gathered.contains_key(&blob_of(place)));
                if let Some(place) = place.filter(|_| met.insert(*id)) {
                    if !survey.take_room(OF_SEVERAL) {
                        return Ok(false);
                    }
                    let next = order.len();
                    let _ = order.entry(blob_of(&place)).or_insert(next);
                    found.push(Move { id: *id, place });
                }
            }
            Ok(true)
        })?;
        if !has_room {
            found.clear();
        }
        // Each is decoded once for all that is wanted of it.
        found.sort_by_key(|one| order.get(&blob_of(&one.place)).copied());
        Ok(found)
    }
}

/// What a restore reads, and from where.
struct FromWhere {
    /// Of chunks that several blobs hold, in which each is read.
    chosen: HashMap<ChunkId, BlobKey>,
    /// All blobs that are read.
    needed: HashSet<BlobKey>,
    /// Their stored bytes.
    stored: u64,
}

/// Stores chunks once more.
fn store(repo: &Repo, grounds: &Grounds, moves: &[Move], monitor: &dyn Monitor) -> Result<Written, Error> {
    let wanted = Arc::new(Wanted::new(moves.iter().map(|one| one.id).collect(), false));
    let known = KnownChunks::at_end(repo, grounds)?.but_for(Some(&wanted));
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
        for of_blob in moves.chunk_by(|a, b| blob_of(&a.place) == blob_of(&b.place)) {
            if monitor.interrupted() {
                return Err(Error::new(ErrorKind::Interrupted, "interrupted"));
            }
            // What cannot be read stays where it is: a push must not fail for what it need not have.
            let Ok((plain, _)) = repo.blob_bytes(&of_blob[0].place) else { continue };
            let dtype = repo.frame_at(&of_blob[0].place).and_then(|frame| dtype_of(&frame));
            for Move { id, place } in of_blob {
                let Some(bytes) = chunk_at(&plain, place).filter(|bytes| repo.keys.chunk_id(bytes) == *id) else { continue };
                store.chunk(NewChunk { id: *id, bytes, dtype, hint: None, limit: None, whole: true, drawn: Drawn::default() })?;
            }
        }
        store.finish()
    })?;
    coding.check()?;
    let coding = Arc::into_inner(coding).ok_or_else(|| Error::new(ErrorKind::Failed, "a coding job outlived the pipeline"))?;
    coding.writer.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_over_costs_what_the_parent_does_and_pays_by_its_share() {
        let parent = Reads { all: 3000, alone: 2000, plain: 10_000, credit: 7 };
        let sums = |passed| Sums { reads: Reads { all: 500, alone: 300, plain: 1000, credit: 0 }, passed };
        assert_eq!(likely(Some(parent), sums(Some(0))), Some(sums(None).reads), "all was looked at");
        assert_eq!(likely(Some(parent), sums(Some(9000))), Some(Reads { all: 3500, alone: 2100, plain: 10_000, credit: 0 }));
        assert_eq!(likely(Some(parent), sums(Some(90_000))).map(|reads| reads.alone), Some(2300), "no more than all of it");
        assert_eq!((likely(None, sums(Some(1))), likely(Some(parent), sums(None))), (None, None), "nobody knows");
        let damaged = Reads { all: u64::MAX, alone: u64::MAX, plain: 0, credit: u64::MAX };
        assert!(likely(Some(damaged), sums(Some(1))).is_some_and(is_within_bound), "and no panic");
    }

    #[test]
    fn what_is_stored_once_more_fills_blobs_at_the_price_of_where_it_was() {
        let place = |pack, len| Location { pack, ordinal: 0, start: 0, len, depth: 1 };
        let moves: Vec<Move> = [(1, 600), (1, 600), (2, 1000), (2, 10)]
            .iter()
            .zip(0u8..)
            .map(|((pack, len), id)| Move { id: ChunkId::from_bytes([id; 32]), place: place(*pack, *len) })
            .collect();
        let supposed = Supposed::new(1000, &moves, &HashMap::from([((1, 0), 0.5), ((2, 0), 0.1)]));
        assert_eq!(supposed.blobs, [((SUPPOSED, 0), 600), ((SUPPOSED, 1), 100), ((SUPPOSED, 2), 1)]);
        assert_eq!(supposed.of[&moves[1].id], Location { pack: SUPPOSED, ordinal: 0, start: 600, len: 600, depth: 0 });
        assert!(Supposed::new(1000, &[], &HashMap::new()).blobs.is_empty());
    }
}
