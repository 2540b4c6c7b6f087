//! Which chunks the repository holds already, as far as this session may rely on it.

use std::collections::{BTreeSet, HashSet};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use super::sketches::KeptSketches;
use crate::base::ids::{ChunkId, NodeId, PackId};
use crate::error::Error;
use crate::format::entry::{Content, Entry, Extent, Kind};
use crate::format::pack::Sketch;
use crate::index::{ChunkIndex, Location, PackNumber};
use crate::plan::gc::BlobSet;
use crate::repo::{Damaged, Grounds, PackLens, Repo, StoredFile};

/// Chunks that are looked up at a time.
const LOOK_UP: usize = 1024;

/// The index, less what is not there or known to be damaged.
#[derive(Debug)]
pub(super) struct KnownChunks {
    index: Arc<dyn ChunkIndex>,
    /// Packs from this number on were not known at first.
    packs: PackNumber,
    /// Packs that the index names and that no longer exist.
    gone: HashSet<PackNumber>,
    /// Packs that a plan condemns: they are there, and may not be for long.
    condemned: HashSet<PackNumber>,
    /// Whether packs or index segments are missing. Then nothing is taken over that was not looked up.
    incomplete: bool,
    /// Whether blobs are known to be damaged.
    damaged: bool,
    /// Blobs that cannot be decoded, or not for long: damaged and dangling ones, and those whose chain of bases leads to what is damaged,
    /// missing or condemned.
    broken: HashSet<(PackNumber, u32)>,
    /// Whether packs were ever deleted, by a prune or a repair, or are to be.
    has_pruned: bool,
    /// Whether the parent is whole all the same: a push made sure, and nothing was deleted since.
    parent_is_whole: bool,
    /// What dangling blobs are coded against: with that they can be read again.
    awaited: HashSet<ChunkId>,
    /// Packs with a damaged footer. Their chunks can be read, and are stored again where they are met.
    unsound: HashSet<PackNumber>,
    /// Blobs of which nothing is needed: what is coded against them would keep them.
    unneeded: Arc<BlobSet>,
    /// Sketches of what stays, where the index may not name it.
    kept: KeptSketches,
    /// Whether chunks in condemned packs are coded anew one after the other: what rests on them becomes usable by and by.
    recoding: bool,
    /// What is stored whether it is held or not.
    wanted: Option<Arc<Wanted>>,
}

/// What is made again because it is lost, from a tree that may hold more than that.
#[derive(Debug)]
pub struct Wanted {
    ids: HashSet<ChunkId>,
    is_all: bool,
    met: Mutex<HashSet<ChunkId>>,
}

impl Wanted {
    /// Of these chunks and nodes, what is met. If that `is_all`, everything else counts as held, so that what comes out is no tree to be committed.
    pub fn new(ids: HashSet<ChunkId>, is_all: bool) -> Self {
        Self { ids, is_all, met: Mutex::default() }
    }

    /// Those that were met.
    pub fn met(&self) -> HashSet<ChunkId> {
        self.met.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn meet(&self, id: &ChunkId) -> bool {
        self.ids.contains(id) && {
            self.met.lock().unwrap_or_else(PoisonError::into_inner).insert(*id);
            true
        }
    }
}

impl KnownChunks {
    /// What a session may rely on that began with these `grounds`. Whether packs were ever deleted is to be asked after them, so that the
    /// index lacks nothing of which the answer does not know.
    pub(super) fn new(repo: &Repo, grounds: &Grounds, has_pruned: bool, parent: Option<&NodeId>) -> Result<Self, Error> {
        let mut known = Self { has_pruned, ..Self::listed(repo, &grounds.condemned, &grounds.packs)? };
        if let Some(parent) = parent
            && known.condemned.is_empty()
        {
            known.parent_is_whole = known.index.is_whole(parent)?;
        }
        if known.incomplete || known.damaged || !known.condemned.is_empty() {
            known.find_broken()?;
        }
        Ok(known)
    }

    /// All of a repository in memory, which nobody else knows.
    pub(super) fn of_own(repo: &Repo) -> Result<Self, Error> {
        Self::listed(repo, &BTreeSet::new(), &repo.listed_packs()?)
    }

    /// What a prune may rely on when it codes chains anew because these packs are to go, and of these blobs nothing is needed: chunks there count
    /// as unknown. What is coded against such a chunk is held, and is no base until that one was coded anew.
    pub(super) fn for_recoding(
        repo: &Repo,
        condemned: &BTreeSet<PackId>,
        unneeded: Arc<BlobSet>,
        kept: KeptSketches,
    ) -> Result<Self, Error> {
        Ok(Self { recoding: true, unneeded, kept, ..Self::listed(repo, condemned, &repo.listed_packs()?)? })
    }

    /// What a push may rely on once it has written all of its snapshot, in a session that began with these `grounds`.
    pub(super) fn at_end(repo: &Repo, grounds: &Grounds) -> Result<Self, Error> {
        let mut known = Self::listed(repo, &grounds.condemned, &repo.listed_packs()?)?;
        if known.is_damaged() || !known.condemned.is_empty() {
            known.find_broken()?;
        }
        Ok(known)
    }

    fn listed(repo: &Repo, condemned: &BTreeSet<PackId>, exist: &PackLens) -> Result<Self, Error> {
        let index = repo.index()?;
        let damage = repo.damage();
        let (mut gone, mut held_back, mut unsound) = (HashSet::new(), HashSet::new(), HashSet::new());
        // They are of no snapshot that there is, or stand elsewhere, too.
        let mut broken: HashSet<(PackNumber, u32)> = index.dangling()?.into_iter().collect();
        let mut awaited = HashSet::new();
        for (pack, ordinal) in &broken {
            awaited.extend(index.blob(*pack, *ordinal)?.into_iter().flat_map(|place| place.frame.bases));
        }
        let mut damaged = false;
        let mut packs = 0;
        while let Some((id, len)) = index.pack(packs)? {
            let number = packs;
            packs += 1;
            // One of another length was cut short or overwritten: nothing in it is to be relied on.
            if exist.get(&id) != Some(&len) {
                gone.insert(number);
            } else if condemned.contains(&id) {
                held_back.insert(number);
            }
            for part in damage.0.get(&id).into_iter().flatten() {
                match part {
                    Damaged::Blob(ordinal) => {
                        damaged = true;
                        broken.insert((number, *ordinal));
                    }
                    Damaged::Frame => _ = unsound.insert(number),
                }
            }
        }
        Ok(Self {
            index,
            packs,
            incomplete: repo.index.is_incomplete() || !gone.is_empty(),
            gone,
            condemned: held_back,
            has_pruned: true,
            parent_is_whole: false,
            damaged,
            broken,
            awaited,
            unsound,
            unneeded: Arc::default(),
            kept: KeptSketches::default(),
            recoding: false,
            wanted: None,
        })
    }

    /// The same, less what is wanted.
    pub(super) fn but_for(self, wanted: Option<&Arc<Wanted>>) -> Self {
        Self { wanted: wanted.map(Arc::clone), ..self }
    }

    /// Whether chains are coded anew.
    pub(super) fn is_recoding(&self) -> bool {
        self.recoding
    }

    /// Packs from this number on were not known when the session began.
    pub(super) fn packs(&self) -> PackNumber {
        self.packs
    }

    /// Whether packs or index segments are missing.
    pub(super) fn is_incomplete(&self) -> bool {
        self.incomplete
    }

    fn is_damaged(&self) -> bool {
        self.incomplete || self.damaged || !self.unsound.is_empty()
    }

    /// Follows the chains of bases, the shortest first.
    fn find_broken(&mut self) -> Result<(), Error> {
        let mut coded = Vec::new();
        self.index.for_each_blob(&mut |pack, ordinal, place| {
            if !place.frame.bases.is_empty() {
                coded.push((place.frame.depth, pack, ordinal, place.frame.bases));
            }
        })?;
        coded.sort_unstable_by_key(|(depth, ..)| *depth);
        for (depth, pack, ordinal, bases) in coded {
            let found = self.choose(&bases, &|location| self.is_readable(location) && location.depth < depth)?;
            if found.iter().any(Option::is_none) {
                self.broken.insert((pack, ordinal));
            }
        }
        Ok(())
    }

    /// For each chunk, whether it is held.
    pub(super) fn has(&self, ids: &[ChunkId]) -> Result<Vec<bool>, Error> {
        self.held(ids, &mut Vec::new())
    }

    /// The same; adds the places of those that are.
    pub(super) fn held(&self, ids: &[ChunkId], places: &mut Vec<Location>) -> Result<Vec<bool>, Error> {
        let wanted = |id: &ChunkId| self.wanted.as_ref().is_some_and(|wanted| wanted.meet(id));
        if self.wanted.as_ref().is_some_and(|wanted| wanted.is_all) {
            return Ok(ids.iter().map(|id| !wanted(id)).collect());
        }
        let found = self.choose(ids, &|location| self.is_readable(location) && !self.unsound.contains(&location.pack))?;
        let found = ids.iter().zip(found).map(|(id, found)| if wanted(id) { None } else { found });
        Ok(found.inspect(|place| places.extend(place)).map(|place| place.is_some()).collect())
    }

    /// Whether a chunk that is not held was once, and others may be coded against it.
    pub(super) fn is_lost(&self, id: ChunkId) -> Result<bool, Error> {
        Ok(self.awaited.contains(&id) || self.is_damaged() && self.index.find(&[id])?[0].is_some() && !self.has(&[id])?[0])
    }

    /// Whether all can be relied on that the parent has, without a look.
    pub(super) fn holds_all(&self) -> bool {
        // Snapshots are whole when they are made. What was lost since, and given up by a repair, is nowhere any more, and leaves no trace but
        // that the repair deleted a pack.
        !self.is_damaged() && (!self.has_pruned || self.parent_is_whole)
    }

    /// For each stored file, whether all of it can be relied on: its chunks, and the nodes that list them. What cannot be read is not held.
    pub(super) fn has_files<'e>(&self, repo: &Repo, entries: impl Iterator<Item = &'e Entry> + Clone) -> Vec<bool> {
        if self.holds_all() {
            return entries.map(|_| true).collect();
        }
        // Short lists are looked up together: one by one, small files would take most of a push.
        let (mut ids, mut short) = (Vec::new(), Vec::new());
        for entry in entries.clone() {
            let first = ids.len();
            short.push(match &entry.kind {
                Kind::File { content: Content::List(_), .. } => None,
                Kind::File { content: Content::Inline(extents), .. } => {
                    ids.extend(extents.iter().filter_map(chunk_of));
                    Some(first..ids.len())
                }
                _ => Some(first..first),
            });
        }
        let held = self.has(&ids).unwrap_or_else(|_| vec![false; ids.len()]);
        let is_held = |(short, entry): (Option<Range<usize>>, &Entry)| match short {
            Some(short) => held[short].iter().all(|held| *held),
            None => self.has_extents(repo, entry).unwrap_or(false),
        };
        short.into_iter().zip(entries).map(is_held).collect()
    }

    fn has_extents(&self, repo: &Repo, entry: &Entry) -> Result<bool, Error> {
        let Some(file) = StoredFile::new(repo, entry) else { return Ok(true) };
        let all = |ids: &[ChunkId]| Ok::<_, Error>(self.has(ids)?.into_iter().all(|held| held));
        if !all(&file.nodes()?)? {
            return Ok(false);
        }
        let mut extents = file.extents(0)?;
        let mut ids = Vec::new();
        while let Some(placed) = extents.next()? {
            ids.extend(chunk_of(&placed.extent));
            if ids.len() >= LOOK_UP && !all(&std::mem::take(&mut ids))? {
                return Ok(false);
            }
        }
        all(&ids)
    }

    /// Where these chunks are, as far as they can be read.
    pub(super) fn locate(&self, ids: &[ChunkId]) -> Result<Vec<Option<Location>>, Error> {
        self.choose(ids, &|location| self.is_readable(location))
    }

    /// For each of these chunks all places from where it can be read.
    pub(super) fn places(&self, ids: &[ChunkId]) -> Result<Vec<Vec<Location>>, Error> {
        let mut found = self.index.find_all(ids)?;
        found.iter_mut().for_each(|places| places.retain(|location| self.is_readable(location)));
        Ok(found)
    }

    /// The index.
    pub(super) fn index(&self) -> &dyn ChunkIndex {
        &*self.index
    }

    /// For each chunk, the first of its places that will do.
    fn choose(&self, ids: &[ChunkId], will_do: &dyn Fn(&Location) -> bool) -> Result<Vec<Option<Location>>, Error> {
        let mut found = self.index.find(ids)?;
        for (id, location) in ids.iter().zip(&mut found) {
            if location.is_some_and(|location| !will_do(&location)) {
                *location = self.index.copies(id)?.into_iter().find(will_do);
            }
        }
        Ok(found)
    }

    /// For each sketch, the held chunks that share values with it, once for each value.
    pub(super) fn similar(&self, sketches: &[Sketch]) -> Result<Vec<Vec<Location>>, Error> {
        let mut found = self.index.similar(sketches)?;
        for (similar, sketch) in found.iter_mut().zip(sketches) {
            self.kept.add(*sketch, similar);
            similar.retain(|location| self.is_readable(location));
        }
        Ok(found)
    }

    fn is_readable(&self, location: &Location) -> bool {
        !self.gone.contains(&location.pack)
            && !self.condemned.contains(&location.pack)
            && !self.broken.contains(&(location.pack, location.ordinal))
            && !self.unneeded.contains(location.pack, location.ordinal)
    }
}

/// The chunk of an extent.
pub(super) fn chunk_of(extent: &Extent) -> Option<ChunkId> {
    match extent {
        Extent::Chunk { id, .. } => Some(*id),
        Extent::Hole { .. } => None,
    }
}
