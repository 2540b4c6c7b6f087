//! `stats`: how large snapshots are, how much of that is unique, and what it takes in the repository.
//!
//! Memory grows with the distinct chunks of the snapshots looked at, by about 50 bytes each: they are held in one set. A node is walked at
//! most twice, however many snapshots share it.

use std::collections::HashMap;

use super::list::Item;
use crate::backend::{Folder, ObjectPath};
use crate::base::ids::{ChunkId, NodeId, SnapshotId};
use crate::blob::codec_name;
use crate::error::{Error, ErrorKind};
use crate::format::blob::BlobKind;
use crate::format::entry::{Content, Extent, Kind};
use crate::format::node::Node;
use crate::index::PackNumber;
use crate::merkle::NodeSource as _;
use crate::repo::Repo;

/// Chunks that are looked up at a time.
const LOOK_UP: usize = 1024;

/// What chains of bases are called, by their length.
const DEPTHS: [&str; 9] = ["none", "1 base", "2 bases", "3 bases", "4 bases", "5 bases", "6 bases", "7 bases", "8 or more"];

/// A part of the blobs that snapshots need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// What these blobs have in common.
    pub name: &'static str,
    /// How many there are.
    pub blobs: u64,
    /// Plain bytes in them.
    pub plain: u64,
    /// Bytes that they take in packs.
    pub stored: u64,
}

/// What one snapshot has to itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Own {
    /// Which snapshot.
    pub id: SnapshotId,
    /// Bytes of its files.
    pub logical: u64,
    /// Plain bytes of the chunks that it brought when it was made.
    pub new_bytes: u64,
    /// Plain bytes of chunks that no other snapshot of the repository has.
    pub exclusive_plain: u64,
    /// Stored bytes of these and of such nodes: of each blob the share that they have of its plain bytes.
    pub exclusive_stored: u64,
}

/// What was counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Snapshots looked at.
    pub snapshots: u64,
    /// Bytes of all their files.
    pub logical_bytes: u64,
    /// Bytes of their distinct chunks.
    pub unique_bytes: u64,
    /// Stored bytes of all blobs that they need: those that hold a chunk or a node of theirs, and those that these are coded against.
    pub stored_bytes: u64,
    /// Bytes of all objects of the repository, whatever they are for.
    pub repository_bytes: u64,
    /// These blobs by codec, largest first.
    pub by_codec: Vec<Share>,
    /// These blobs by how many others each is a difference from, one upon the other.
    pub by_depth: Vec<Share>,
    /// These blobs by what they hold, data or nodes.
    pub by_kind: Vec<Share>,
    /// One for each snapshot, in the order given.
    pub per_snapshot: Vec<Own>,
}

/// Counts what `items` hold.
///
/// # Errors
/// When a node cannot be read or a chunk is in no pack that is known: half a count would mislead.
pub fn stats(repo: &Repo, items: &[Item]) -> Result<Report, Error> {
    repo.refresh()?;
    let mut reached = Reached { repo, nodes: HashMap::new(), chunks: HashMap::new() };
    for (number, item) in items.iter().enumerate() {
        reached.walk(item.snapshot.root, Owner::Only(number as u32), true)?;
    }
    reached.walk_others(items)?;
    let mut count = Count { repo, blobs: HashMap::new(), bases: Vec::new(), unique: 0, own: vec![(0, 0.0); items.len()] };
    count.all(reached.chunks.iter().map(|(id, owner)| (*id, *owner)))?;
    count.all(
        reached.nodes.iter().filter(|(_, reach)| reach.wanted).map(|(id, reach)| (ChunkId::from_bytes(*id.as_bytes()), reach.owner)),
    )?;
    count.all_bases()?;
    let per_snapshot = items.iter().zip(&count.own).map(|(item, (plain, stored))| {
        let totals = &item.snapshot.totals;
        Own {
            id: item.id,
            logical: totals.bytes,
            new_bytes: totals.new_bytes,
            exclusive_plain: *plain,
            exclusive_stored: stored.round() as u64,
        }
    });
    let blobs = || count.blobs.values();
    Ok(Report {
        snapshots: items.len() as u64,
        logical_bytes: items.iter().fold(0, |sum: u64, item| sum.saturating_add(item.snapshot.totals.bytes)),
        unique_bytes: count.unique,
        stored_bytes: blobs().map(|blob| u64::from(blob.stored)).sum(),
        repository_bytes: repository_bytes(repo)?,
        by_codec: shares(blobs().map(|blob| (blob.codec, blob))),
        by_depth: shares(blobs().map(|blob| (DEPTHS[usize::from(blob.depth).min(DEPTHS.len() - 1)], blob))),
        by_kind: shares(blobs().map(|blob| (if blob.kind == BlobKind::Data { "data" } else { "nodes" }, blob))),
        per_snapshot: per_snapshot.collect(),
    })
}

/// Stored bytes that only `items` taken together need: of each blob the share that their chunks have of its plain bytes.
///
/// # Errors
/// As of [`stats`].
pub fn together(repo: &Repo, items: &[Item]) -> Result<u64, Error> {
    repo.refresh()?;
    let mut reached = Reached { repo, nodes: HashMap::new(), chunks: HashMap::new() };
    for item in items {
        reached.walk(item.snapshot.root, Owner::Only(0), true)?;
    }
    reached.walk_others(items)?;
    let mut count = Count { repo, blobs: HashMap::new(), bases: Vec::new(), unique: 0, own: vec![(0, 0.0)] };
    count.all(reached.chunks.iter().map(|(id, owner)| (*id, *owner)))?;
    count.all(
        reached.nodes.iter().filter(|(_, reach)| reach.wanted).map(|(id, reach)| (ChunkId::from_bytes(*id.as_bytes()), reach.owner)),
    )?;
    Ok(count.own[0].1.round() as u64)
}

fn repository_bytes(repo: &Repo) -> Result<u64, Error> {
    let mut bytes = repo.backend.len(&ObjectPath::Config)?;
    for folder in Folder::ALL {
        bytes += repo.backend.list(folder)?.iter().map(|listed| listed.len).sum::<u64>();
    }
    Ok(bytes)
}

fn shares<'b>(blobs: impl Iterator<Item = (&'static str, &'b Blob)>) -> Vec<Share> {
    let mut shares: HashMap<_, Share> = HashMap::new();
    for (name, blob) in blobs {
        let share = shares.entry(name).or_insert(Share { name, blobs: 0, plain: 0, stored: 0 });
        share.blobs += 1;
        share.plain += u64::from(blob.plain);
        share.stored += u64::from(blob.stored);
    }
    let mut shares: Vec<_> = shares.into_values().collect();
    shares.sort_unstable_by_key(|share| (std::cmp::Reverse(share.stored), share.name));
    shares
}

/// Which snapshot reaches a thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    /// Only the one with this number.
    Only(u32),
    /// Several, or one that is not looked at.
    Shared,
}

impl Owner {
    /// Takes note of one more. `false` if that says nothing new.
    fn add(&mut self, other: Self) -> bool {
        let news = *self != Self::Shared && *self != other;
        if news {
            *self = Self::Shared;
        }
        news
    }

    fn number(self) -> Option<usize> {
        match self {
            Self::Only(number) => Some(number as usize),
            Self::Shared => None,
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Reach {
    owner: Owner,
    /// Whether one of the snapshots that are looked at reaches it.
    wanted: bool,
}

/// What snapshots consist of.
struct Reached<'r> {
    repo: &'r Repo,
    nodes: HashMap<NodeId, Reach>,
    /// Only those of the snapshots that are looked at.
    chunks: HashMap<ChunkId, Owner>,
}

impl Reached<'_> {
    /// What others have too is nobody's own: what is in the trash needs all its bytes as well.
    fn walk_others(&mut self, items: &[Item]) -> Result<(), Error> {
        let (standings, now) = (self.repo.shown_standing()?, self.repo.now());
        let in_trash = |item: &&Item| item.standing.forgotten.as_ref().is_some_and(|forgotten| forgotten.in_trash(now));
        let others = standings.snapshots.iter().chain(standings.forgotten.iter().filter(in_trash));
        for other in others.filter(|other| !items.iter().any(|item| item.id == other.id)) {
            self.walk(other.snapshot.root, Owner::Shared, false)?;
        }
        Ok(())
    }

    /// Walks all nodes below `root` that were not walked for `owner` before.
    fn walk(&mut self, root: NodeId, owner: Owner, wanted: bool) -> Result<(), Error> {
        let mut pending = vec![root];
        while let Some(id) = pending.pop() {
            let news = match self.nodes.entry(id) {
                std::collections::hash_map::Entry::Occupied(mut known) => known.get_mut().owner.add(owner),
                std::collections::hash_map::Entry::Vacant(slot) => {
                    slot.insert(Reach { owner, wanted });
                    true
                }
            };
            if !news {
                continue;
            }
            match self.repo.node(&id)? {
                Node::EntriesInner { children, .. } => pending.extend(children.iter().map(|child| child.id)),
                Node::ExtentsInner { children, .. } => pending.extend(children.iter().map(|child| child.id)),
                Node::Extents(extents) => self.chunks(&extents, owner, wanted),
                Node::Entries(entries) => {
                    for entry in entries {
                        match entry.kind {
                            Kind::File { content: Content::Inline(extents), .. } => self.chunks(&extents, owner, wanted),
                            Kind::File { content: Content::List(root), .. } => pending.push(root),
                            Kind::Directory { entries } => pending.extend(entries),
                            _ => {}
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn chunks(&mut self, extents: &[Extent], owner: Owner, wanted: bool) {
        for extent in extents {
            let Extent::Chunk { id, .. } = extent else { continue };
            if let Some(known) = self.chunks.get_mut(id) {
                known.add(owner);
            } else if wanted {
                self.chunks.insert(*id, owner);
            }
        }
    }
}

#[derive(Debug)]
struct Blob {
    kind: BlobKind,
    codec: &'static str,
    depth: u8,
    plain: u32,
    stored: u32,
}

/// What chunks and nodes take in the repository.
struct Count<'r> {
    repo: &'r Repo,
    blobs: HashMap<(PackNumber, u32), Blob>,
    /// Chunks that blobs are coded against, not looked up yet.
    bases: Vec<ChunkId>,
    /// Plain bytes of data.
    unique: u64,
    /// Plain bytes of data and stored bytes that each snapshot has to itself.
    own: Vec<(u64, f64)>,
}

impl Count<'_> {
    fn all(&mut self, things: impl Iterator<Item = (ChunkId, Owner)>) -> Result<(), Error> {
        let mut things = things.peekable();
        while things.peek().is_some() {
            let (ids, owners): (Vec<_>, Vec<_>) = things.by_ref().take(LOOK_UP).unzip();
            self.some(&ids, &owners)?;
        }
        Ok(())
    }

    /// A blob that a needed one is coded against is needed as well, whole.
    fn all_bases(&mut self) -> Result<(), Error> {
        while !self.bases.is_empty() {
            let ids = std::mem::take(&mut self.bases);
            for ids in ids.chunks(LOOK_UP) {
                self.some(ids, &[])?;
            }
        }
        Ok(())
    }

    /// Counts the blobs of these chunks, and the chunks themselves where there are owners.
    fn some(&mut self, ids: &[ChunkId], owners: &[Owner]) -> Result<(), Error> {
        let index = self.repo.index()?;
        for (i, location) in index.find(ids)?.into_iter().enumerate() {
            let missing = || {
                let message = format!("{} is in no pack that is known: `snap check` finds what it belongs to", ids[i]);
                Error::new(ErrorKind::Damage, message)
            };
            let location = location.ok_or_else(missing)?;
            let blob = match self.blobs.entry((location.pack, location.ordinal)) {
                std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
                std::collections::hash_map::Entry::Vacant(slot) => {
                    let frame = index.blob(location.pack, location.ordinal)?.ok_or_else(missing)?.frame;
                    let (plain, codec) = (frame.plain_len() as u32, codec_name(&frame));
                    let blob = Blob { kind: frame.kind, codec, depth: frame.depth, plain, stored: frame.sealed_len };
                    self.bases.extend(frame.bases);
                    slot.insert(blob)
                }
            };
            let Some(owner) = owners.get(i) else { continue };
            let is_data = blob.kind == BlobKind::Data;
            if is_data {
                self.unique += u64::from(location.len);
            }
            if let Some((plain, stored)) = owner.number().and_then(|number| self.own.get_mut(number)) {
                *plain += if is_data { u64::from(location.len) } else { 0 };
                *stored += f64::from(blob.stored) * f64::from(location.len) / f64::from(blob.plain.max(1));
            }
        }
        Ok(())
    }
}
