//! What kept snapshots take beyond what they would if only they had been pushed, and which of their chunks are coded anew for that
//! (`spec/CHAINS.md`, section 4). Reads a sample of them.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use crate::base::ids::{ChunkId, NodeId};
use crate::blob::{bases_at, dtype_of, listed_len};
use crate::error::{Error, ErrorKind};
use crate::format::blob::{BlobKind, Frame};
use crate::format::entry::{Content, Extent, Kind};
use crate::format::node::Node;
use crate::index::{ChunkIndex, IndexError, Location};
use crate::merkle::NodeSource as _;
use crate::monitor::Monitor;
use crate::pipeline::{Tried, file_number, lines, trial};
use crate::plan::gc::{
    BlobPlaces as _, BlobSet, ChainTotals, Decision, Excess, PackUse, Policy, Rewriting, Strand, Supported, Whole, decide_with_chains, used,
};
use crate::repo::{IndexPlaces, Marked, Repo, StoredSnapshot};

/// How often something is left out, until nothing is coded anew.
const ROUNDS: usize = 32;
/// A blob that may be coded anew takes so many bytes of memory: there is room for them that decoded blobs take later.
const CANDIDATE: usize = 16;

/// What snapshots take beyond what they would alone, by a sample; and how that was coded. `wholes` says how much there is of plain bytes, and of numbers.
pub(super) fn excess(
    repo: &Repo,
    marked: &Marked,
    kept: &[StoredSnapshot],
    wholes: [Whole; 2],
    monitor: &dyn Monitor,
) -> Result<(Vec<Excess>, Tried), Error> {
    let Marked { marks, index } = marked;
    let plain: u64 = wholes.iter().map(|whole| whole.plain).sum();
    let share = repo.memory.sample() as f64 / plain.max(1) as f64;
    let (mut places, mut met, mut listed_of) = (IndexPlaces::new(Arc::clone(index)), HashSet::new(), HashMap::new());
    let mut supports = |location: &Location, frame: &Arc<Frame>| {
        let (mut bytes, mut open) = (0, vec![(Arc::clone(frame), location.start, location.len)]);
        while let Some((above, start, len)) = open.pop() {
            for base in bases_at(&above, start, len) {
                let Some(place) = used(marks, &mut places, &base, above.depth)? else { continue };
                let Some(frame) = places.frame(place.pack, place.ordinal)? else { continue };
                let Some(chunk) = frame.chunk_at(place.start, place.len) else { continue };
                let is_support = marks.supports(place.pack, place.ordinal).get(chunk) == Some(&true);
                if is_support && met.insert((place.pack, place.ordinal, chunk)) {
                    // What snapshots ask for is listed, however it is coded; what that is coded against with it.
                    let asked = || marks.asked(place.pack, place.ordinal).iter().filter(|asked| **asked).count();
                    let listed = listed_of.entry((place.pack, place.ordinal)).or_insert_with(asked);
                    *listed += 1;
                    bytes += frame.stored_len(u64::from(place.len)) + listed_len(&frame, *listed) - listed_len(&frame, *listed - 1);
                    open.push((frame, place.start, place.len));
                }
            }
        }
        Ok(bytes)
    };
    let (sample, tried) = trial(repo, kept, share.min(1.0), &mut supports, monitor)?;
    Ok((sample.excess(|numbers| wholes[usize::from(numbers)]), tried))
}

/// Decides what is coded anew.
pub(super) struct Anew<'a> {
    pub(super) repo: &'a Repo,
    pub(super) marked: &'a Marked,
    pub(super) kept: &'a [StoredSnapshot],
    pub(super) monitor: &'a dyn Monitor,
}

impl Anew<'_> {
    /// What becomes of packs when as much as possible is coded anew of what pays; `None` when nothing is. What gives back most comes first.
    pub(super) fn decide(&self, packs: &[PackUse], excess: Vec<Excess>, policy: &Policy) -> Result<Option<(Decision, Rewriting)>, Error> {
        let mut chosen: Vec<Excess> = excess.into_iter().filter(Excess::pays).collect();
        if chosen.is_empty() {
            return Ok(None);
        }
        let candidates = self.candidates(&chosen)?;
        for _ in 0..ROUNDS {
            let strands: BTreeSet<Strand> = chosen.iter().map(|excess| excess.strand).collect();
            let mut anew = BlobSet::default();
            for (_, pack, ordinal) in candidates.iter().filter(|(strand, ..)| strands.contains(strand)) {
                anew.insert(*pack, *ordinal);
            }
            let rewriting = self.rewriting(anew)?;
            let (freed, goes) = self.freed(&rewriting)?;
            let chains = ChainTotals { blobs: rewriting.anew.len(), goes, comes: chosen.iter().map(|excess| excess.comes).sum() };
            let gain: u64 = chosen.iter().map(|excess| excess.gain).sum();
            let policy = Policy { excess: policy.excess.saturating_sub(gain), ..*policy };
            if let Some(decision) = decide_with_chains(packs, &freed, chains, &policy) {
                return Ok(Some((decision, rewriting)));
            }
            let _ = chosen.pop();
            if chosen.is_empty() {
                break;
            }
        }
        Ok(None)
    }

    /// The blobs of which snapshots ask for something that these would code anew, each with its strand.
    fn candidates(&self, chosen: &[Excess]) -> Result<Vec<(Strand, u32, u32)>, Error> {
        let of: BTreeMap<Strand, &Excess> = chosen.iter().map(|excess| (excess.strand, excess)).collect();
        let mut brought = Brought { anew: self, chosen: &of, met: BlobSet::default(), seen: HashSet::new(), found: Vec::new() };
        for ((number, stored), line) in (0u32..).zip(self.kept).zip(lines(self.kept)) {
            brought.of(stored, number, line)?;
        }
        Ok(brought.found)
    }

    /// What goes when these are coded anew. What supports something that stays is not, for nothing would bring it to another pack.
    fn rewriting(&self, mut anew: BlobSet) -> Result<Rewriting, Error> {
        let Marked { marks, index } = self.marked;
        loop {
            let (mut supported, mut places) = (Supported::default(), IndexPlaces::new(Arc::clone(index)));
            for_each_blob(index.as_ref(), &mut |key, frame| supported.look(marks, &mut places, &anew, key, frame))?;
            let (mut supports, mut stays) = (BlobSet::default(), Vec::new());
            for_each_blob(index.as_ref(), &mut |(pack, ordinal), _| {
                let is_supported = supported.contains(pack, ordinal);
                if is_supported && anew.contains(pack, ordinal) {
                    stays.push((pack, ordinal));
                } else if !is_supported && marks.supports(pack, ordinal).contains(&true) {
                    supports.insert(pack, ordinal);
                }
                Ok(())
            })?;
            if stays.is_empty() {
                return Ok(Rewriting { supports, anew });
            }
            stays.into_iter().for_each(|(pack, ordinal)| anew.remove(pack, ordinal));
        }
    }

    /// The stored bytes that go of each pack, and of all.
    fn freed(&self, rewriting: &Rewriting) -> Result<(BTreeMap<u32, u64>, u64), Error> {
        let mut freed: BTreeMap<u32, u64> = BTreeMap::new();
        let Marked { marks, index } = self.marked;
        for_each_blob(index.as_ref(), &mut |(pack, ordinal), frame| {
            let goes = rewriting.goes(marks, pack, ordinal);
            let plain: u64 = goes.iter().zip(&frame.chunk_lens).filter(|(goes, _)| **goes).map(|(_, len)| u64::from(*len)).sum();
            if plain > 0 {
                let count = |which: &[bool]| which.iter().filter(|is_one| **is_one).count();
                let supports = marks.supports(pack, ordinal).iter().zip(&goes).filter(|(is_support, goes)| **is_support && **goes).count();
                // What is coded anew is listed as before.
                let listed = count(&marks.chunks(pack, ordinal));
                *freed.entry(pack).or_default() +=
                    frame.stored_len(plain) + listed_len(frame, listed) - listed_len(frame, listed - supports);
            }
            Ok(())
        })?;
        let sum = freed.values().sum();
        Ok((freed, sum))
    }
}

/// Finds the blobs that each snapshot brought.
struct Brought<'b> {
    anew: &'b Anew<'b>,
    chosen: &'b BTreeMap<Strand, &'b Excess>,
    /// Blobs that this snapshot or one before it brought.
    met: BlobSet,
    seen: HashSet<NodeId>,
    found: Vec<(Strand, u32, u32)>,
}

/// A file of a snapshot.
#[derive(Clone, Copy)]
struct Place {
    line: u32,
    snapshot: u32,
    file: u64,
}

impl Brought<'_> {
    fn of(&mut self, stored: &StoredSnapshot, snapshot: u32, line: u32) -> Result<(), Error> {
        let repo = self.anew.repo;
        let Kind::Directory { entries } = repo.find(stored, b"")?.kind else { return Ok(()) };
        // Nodes of lists of entries with the path to them, and of lists of extents with that of the file.
        let mut open: Vec<(NodeId, Vec<u8>)> = entries.into_iter().map(|node| (node, Vec::new())).collect();
        while let Some((id, path)) = open.pop() {
            if !self.seen.insert(id) {
                continue;
            }
            if self.anew.monitor.interrupted() {
                return Err(Error::new(ErrorKind::Interrupted, "interrupted: nothing was deleted"));
            }
            let place = |path: &[u8]| Place { line, snapshot, file: file_number(path) };
            match repo.node(&id)? {
                Node::EntriesInner { children, .. } => open.extend(children.into_iter().map(|child| (child.id, path.clone()))),
                Node::ExtentsInner { children, .. } => open.extend(children.into_iter().map(|child| (child.id, path.clone()))),
                Node::Extents(extents) => self.extents(&extents, place(&path))?,
                Node::Entries(entries) => {
                    for entry in entries {
                        let mut path = path.clone();
                        path.extend_from_slice(&entry.name);
                        match entry.kind {
                            Kind::Directory { entries: Some(root) } => {
                                path.push(b'/');
                                open.push((root, path));
                            }
                            Kind::File { content: Content::List(root), .. } => open.push((root, path)),
                            Kind::File { content: Content::Inline(extents), .. } => self.extents(&extents, place(&path))?,
                            _ => {}
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn extents(&mut self, extents: &[Extent], Place { line, snapshot, file }: Place) -> Result<(), Error> {
        let Marked { marks, index } = self.anew.marked;
        let ids: Vec<ChunkId> = extents
            .iter()
            .filter_map(|extent| match extent {
                Extent::Chunk { id, .. } => Some(*id),
                Extent::Hole { .. } => None,
            })
            .collect();
        let most = self.anew.repo.memory.blobs / CANDIDATE;
        for (id, first) in ids.iter().zip(index.find(&ids)?) {
            let is_needed = |location: &Location| marks.is_blob_needed(location.pack, location.ordinal);
            let location = match first {
                Some(first) if is_needed(&first) => Some(first),
                Some(_) => index.copies(id)?.into_iter().find(is_needed),
                None => None,
            };
            let Some(Location { pack, ordinal, .. }) = location else { continue };
            if !self.met.insert(pack, ordinal) || self.found.len() >= most {
                continue;
            }
            let Some(frame) = index.blob(pack, ordinal)?.map(|place| place.frame) else { continue };
            let strand = Strand { line, numbers: dtype_of(&frame).is_some() };
            let takes = self.chosen.get(&strand).is_some_and(|excess| excess.takes(snapshot, file));
            if frame.kind == BlobKind::Data && takes {
                self.found.push((strand, pack, ordinal));
            }
        }
        Ok(())
    }
}

/// What is done with a blob, by its pack and ordinal.
type Look<'l> = dyn FnMut((u32, u32), &Frame) -> Result<(), IndexError> + 'l;

/// Looks at each blob, until that fails.
fn for_each_blob(index: &dyn ChunkIndex, look: &mut Look<'_>) -> Result<(), Error> {
    let mut looked = Ok(());
    index.for_each_blob(&mut |pack, ordinal, place| {
        if looked.is_ok() {
            looked = look((pack, ordinal), &place.frame);
        }
    })?;
    Ok(looked?)
}
