//! `check`: is every snapshot whole? Damage is a finding that names the object, the byte range and the files that it hits; it ends nothing.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};

use rayon::prelude::*;

use crate::backend::{Folder, ObjectPath};
use crate::base::ids::{ChunkId, NodeId, PackId, SegmentId, SnapshotId};
use crate::base::limits;
use crate::base::wire;
use crate::crypto::TAG_LEN;
use crate::error::{Error, ErrorKind, chain};
use crate::format::blob::BlobKind;
use crate::format::entry::{Content, Extent, Kind};
use crate::format::envelope::{HEADER_LEN, ObjectKind, Place, Sealed};
use crate::format::keyslot::SlotInfo;
use crate::format::node::Node;
use crate::format::note::Note;
use crate::format::pack::{PackContents, PackOpener, TRAILER_LEN, pack_id};
use crate::format::session::Session;
use crate::format::snapshot::Outcome;
use crate::index::{BlobPlace, ChunkIndex as _};
use crate::monitor::{Monitor, Progress};
use crate::repo::Repo;

/// How much of the packs is read.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub enum Read {
    /// Only their footers.
    #[default]
    None,
    /// All bytes: hashed, opened, decoded, and each chunk compared with its id.
    All,
    /// This share of the packs, in percent, chosen anew each time.
    Percent(f64),
    /// Part `n`, from 1, of `of` equal parts: `of` runs read all.
    Part {
        /// Which part.
        n: u64,
        /// Of how many.
        of: u64,
    },
    /// Packs of about so many bytes, chosen anew each time.
    Bytes(u64),
}

/// What to check.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Options {
    /// How much of the packs is read.
    pub read: Read,
}

/// A file of a snapshot that a defect hits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hit {
    /// Which snapshot.
    pub snapshot: SnapshotId,
    /// Which file or directory.
    pub path: String,
}

/// One observed defect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Which object.
    pub object: String,
    /// Which of its bytes, as far as is known.
    pub range: Option<Range<u64>>,
    /// What is wrong and what to do.
    pub problem: String,
    /// What it hits: the first few.
    pub hits: Vec<Hit>,
    /// How many more it hits.
    pub more_hits: u64,
}

/// What was looked at and what was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Defects, in the order of their objects.
    pub findings: Vec<Finding>,
    /// Snapshots walked.
    pub snapshots: u64,
    /// Distinct nodes walked.
    pub nodes: u64,
    /// Distinct chunks that they refer to.
    pub chunks: u64,
    /// Packs.
    pub packs: u64,
    /// Blobs in them.
    pub blobs: u64,
    /// Bytes read from packs.
    pub read_bytes: u64,
    /// Packs that no index segment names: left by a push that was cut off. No defect.
    pub unlisted_packs: u64,
}

/// Hits that a finding names; the rest is counted.
const HITS: usize = 10;

/// Checks a repository. Memory grows with the number of distinct chunks that snapshots refer to: about 50 bytes each.
///
/// # Errors
/// When the repository cannot be read at all, or the monitor interrupts. Damage is in the report.
pub fn check(repo: &Repo, options: &Options, monitor: &dyn Monitor) -> Result<Report, Error> {
    let mut checker = Checker { repo, monitor, report: Report::default(), defects: BTreeMap::new(), bad_chunks: HashMap::new() };
    // Listed before the segments: all that these snapshots refer to is in them, whoever pushes meanwhile.
    repo.refresh()?;
    let outcomes = repo.outcome_ids()?;
    checker.records()?;
    let listed = checker.segments()?;
    checker.packs(&listed, options.read)?;
    checker.snapshots(&outcomes)?;
    Ok(checker.finish())
}

/// Where a defect is: object, start and end of the bytes.
type Spot = (String, u64, u64);

#[derive(Default)]
struct Defect {
    problem: String,
    hits: Vec<Hit>,
    more: u64,
}

struct Checker<'r> {
    repo: &'r Repo,
    monitor: &'r dyn Monitor,
    report: Report,
    defects: BTreeMap<Spot, Defect>,
    /// Chunks and nodes that were found damaged or missing, and in which spot.
    bad_chunks: HashMap<ChunkId, Spot>,
}

/// What index segments say of a pack.
struct ListedPack {
    len: u64,
    contents: PackContents,
}

impl Checker<'_> {
    fn defect(&mut self, spot: Spot, problem: impl Into<String>) {
        let problem = problem.into();
        let defect = self.defects.entry(spot).or_default();
        if defect.problem.is_empty() {
            defect.problem = problem;
        }
    }

    fn object_defect(&mut self, object: impl ToString, problem: impl Into<String>) {
        self.defect((object.to_string(), 0, 0), problem);
    }

    fn interrupted(&self) -> Result<(), Error> {
        if self.monitor.interrupted() { Err(Error::new(ErrorKind::Interrupted, "interrupted: not all was checked")) } else { Ok(()) }
    }

    /// Opens every small object: key slots, sessions, notes.
    fn records(&mut self) -> Result<(), Error> {
        for (folder, kind) in
            [(Folder::Keys, ObjectKind::KeySlot), (Folder::Sessions, ObjectKind::Session), (Folder::Notes, ObjectKind::Note)]
        {
            for listed in self.repo.backend.list(folder)? {
                let Some(path) = object_path(folder, &listed.name) else { continue };
                let object = match self.repo.backend.read(&path, limits::RECORD_LEN) {
                    Ok(object) => object,
                    // Sessions end, and slots are removed, while a check runs.
                    Err(error) if error.is_not_found() => continue,
                    Err(error) => {
                        self.object_defect(path, chain(&error));
                        continue;
                    }
                };
                if let Err(why) = self.open_record(&object, &path, kind) {
                    self.object_defect(path, why);
                }
            }
        }
        Ok(())
    }

    fn open_record(&self, object: &[u8], path: &ObjectPath, kind: ObjectKind) -> Result<(), String> {
        if kind == ObjectKind::KeySlot {
            // What is sealed opens only with its own password; what is in the clear can be read.
            let info = SlotInfo::decode(object).map_err(|error| chain(&error))?;
            if info.repo != self.repo.id() {
                return Err("it belongs to another repository".into());
            }
            let sealed = Sealed::parse(object, kind).map_err(|error| chain(&error))?;
            return if sealed.sealed_len() == 32 + TAG_LEN { Ok(()) } else { Err("it is cut short, or bytes follow it".into()) };
        }
        let sealed = Sealed::parse(object, kind).map_err(|error| chain(&error))?;
        let key = self.repo.keys.object(kind as u8, sealed.header.epoch, &sealed.header.salt);
        let body = sealed.open(&key, Place::Path(&path.to_string())).map_err(|error| chain(&error))?;
        let decoded =
            if kind == ObjectKind::Session { wire::decode::<Session>(&body).map(drop) } else { wire::decode::<Note>(&body).map(drop) };
        decoded.map_err(|error| chain(&error))
    }

    /// Reads all index segments.
    fn segments(&mut self) -> Result<HashMap<PackId, ListedPack>, Error> {
        let mut packs = HashMap::new();
        for listed in self.repo.backend.list(Folder::Segments)? {
            self.interrupted()?;
            let Ok(id) = listed.name.parse::<SegmentId>() else { continue };
            match self.repo.read_segment(&id) {
                Ok(segment) => {
                    packs.extend(segment.packs.into_iter().map(|pack| (pack.id, ListedPack { len: pack.len, contents: pack.contents })));
                }
                Err(error) => self.object_defect(ObjectPath::Segment(id), chain(&error)),
            }
        }
        Ok(packs)
    }

    /// Compares packs with what index segments say of them, and reads as many as are wanted.
    fn packs(&mut self, listed: &HashMap<PackId, ListedPack>, read: Read) -> Result<(), Error> {
        let mut there: Vec<(PackId, u64)> = Vec::new();
        for object in self.repo.backend.list(Folder::Packs)? {
            if let Ok(id) = object.name.parse() {
                there.push((id, object.len));
            }
        }
        there.sort_unstable();
        self.report.packs = there.len() as u64;
        let exist: HashSet<PackId> = there.iter().map(|(id, _)| *id).collect();
        for (id, pack) in listed.iter().filter(|(id, _)| !exist.contains(id)) {
            let spot = (ObjectPath::Pack(*id).to_string(), 0, pack.len);
            self.defect(spot.clone(), "the pack is missing: put it back from a copy of the repository, or push the files again");
            self.bad_chunks.extend(pack.contents.blobs.iter().flat_map(|blob| &blob.ids).map(|id| (*id, spot.clone())));
        }
        let total: u64 = there.iter().map(|(_, len)| len).sum();
        let wanted = chosen(&there, read)?;
        let (done, read_bytes, blobs) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
        let found = Mutex::new(Vec::new());
        self.repo.pool.install(|| {
            there.par_iter().try_for_each(|(id, len)| {
                self.interrupted()?;
                let pack = PackCheck { repo: self.repo, id: *id, len: *len, listed: listed.get(id), found: &found };
                let (read, count) = pack.run(wanted.contains(id));
                read_bytes.fetch_add(read, Ordering::Relaxed);
                blobs.fetch_add(count, Ordering::Relaxed);
                let bytes_done = done.fetch_add(*len, Ordering::Relaxed) + len;
                self.monitor.progress(&Progress { bytes_done, bytes_total: total, ..Progress::default() });
                Ok::<(), Error>(())
            })
        })?;
        for (spot, problem, ids) in found.into_inner().unwrap_or_else(PoisonError::into_inner) {
            self.defect(spot.clone(), problem);
            self.bad_chunks.extend(ids.into_iter().map(|id| (id, spot.clone())));
        }
        self.report.read_bytes = read_bytes.into_inner();
        self.report.blobs = blobs.into_inner();
        self.report.unlisted_packs = there.iter().filter(|(id, _)| !listed.contains_key(id)).count() as u64;
        Ok(())
    }

    /// Walks every snapshot. Nodes and chunks that were seen before are not looked at again, unless one in them is bad.
    fn snapshots(&mut self, outcomes: &[SnapshotId]) -> Result<(), Error> {
        let mut seen = Seen { good: HashSet::new(), chunks: HashSet::new() };
        for id in outcomes.iter().copied() {
            self.interrupted()?;
            match self.repo.read_outcome(&id) {
                Ok(Outcome::Commit(snapshot)) => {
                    self.report.snapshots += 1;
                    let mut walk = SnapshotWalk { checker: self, snapshot: id, seen: &mut seen, path: Vec::new() };
                    walk.node(snapshot.root, None, 0)?;
                }
                Ok(Outcome::Abort { .. }) => {}
                Err(error) => self.object_defect(ObjectPath::Outcome(id), chain(&error)),
            }
        }
        self.report.nodes = seen.good.len() as u64;
        self.report.chunks = seen.chunks.len() as u64;
        Ok(())
    }

    fn finish(mut self) -> Report {
        let findings = std::mem::take(&mut self.defects).into_iter().map(|((object, start, end), defect)| Finding {
            object,
            range: (end > 0).then_some(start..end),
            problem: defect.problem,
            hits: defect.hits,
            more_hits: defect.more,
        });
        self.report.findings = findings.collect();
        self.report
    }
}

fn object_path(folder: Folder, name: &str) -> Option<ObjectPath> {
    Some(match folder {
        Folder::Keys => ObjectPath::Key(name.parse().ok()?),
        Folder::Sessions => ObjectPath::Session(name.parse().ok()?),
        Folder::Notes => ObjectPath::Note(name.parse().ok()?),
        Folder::Outcomes => ObjectPath::Outcome(name.parse().ok()?),
        Folder::Packs => ObjectPath::Pack(name.parse().ok()?),
        Folder::Segments => ObjectPath::Segment(name.parse().ok()?),
    })
}

/// Which packs are read in full.
fn chosen(packs: &[(PackId, u64)], read: Read) -> Result<HashSet<PackId>, Error> {
    let random = || -> Result<Vec<(PackId, u64)>, Error> {
        let seed: [u8; 32] = crate::rng::bytes()?;
        let mut packs = packs.to_vec();
        packs.sort_by_cached_key(|(id, _)| *blake3::keyed_hash(&seed, id.as_bytes()).as_bytes());
        Ok(packs)
    };
    let names = |packs: &mut dyn Iterator<Item = &(PackId, u64)>| packs.map(|(id, _)| *id).collect();
    Ok(match read {
        Read::None => HashSet::new(),
        Read::All => names(&mut packs.iter()),
        Read::Percent(percent) => {
            let count = (packs.len() as f64 * percent / 100.0).ceil() as usize;
            names(&mut random()?.iter().take(count))
        }
        // By name, so that a pack keeps its part whatever comes and goes.
        Read::Part { n, of } => {
            let part = |id: &PackId| u64::from_le_bytes(id.as_bytes()[..8].try_into().expect("eight bytes")) % of.max(1) + 1;
            names(&mut packs.iter().filter(|(id, _)| part(id) == n))
        }
        Read::Bytes(bytes) => {
            let mut left = bytes;
            let take = |(_, len): &&(PackId, u64)| {
                let take = left > 0;
                left = left.saturating_sub(*len);
                take
            };
            names(&mut random()?.iter().take_while(take))
        }
    })
}

type Found = (Spot, String, Vec<ChunkId>);

struct PackCheck<'c> {
    repo: &'c Repo,
    id: PackId,
    len: u64,
    listed: Option<&'c ListedPack>,
    found: &'c Mutex<Vec<Found>>,
}

impl PackCheck<'_> {
    fn found(&self, range: Range<u64>, problem: impl Into<String>, ids: Vec<ChunkId>) {
        let spot = (ObjectPath::Pack(self.id).to_string(), range.start, range.end);
        self.found.lock().unwrap_or_else(PoisonError::into_inner).push((spot, problem.into(), ids));
    }

    /// Returns the bytes read and the blobs there are.
    fn run(&self, whole: bool) -> (u64, u64) {
        let path = ObjectPath::Pack(self.id);
        if self.len > limits::PACK_LEN as u64 {
            self.found(0..self.len, "no pack is that long", self.all_ids());
            return (0, 0);
        }
        let bytes = if whole {
            match self.repo.backend.read(&path, limits::PACK_LEN) {
                Ok(bytes) => Some(bytes),
                Err(error) => {
                    self.found(0..self.len, chain(&error), self.all_ids());
                    return (0, 0);
                }
            }
        } else {
            None
        };
        let sound = bytes.as_ref().is_none_or(|bytes| pack_id(bytes) == self.id);
        let footer = match &bytes {
            Some(bytes) => self.footer(bytes.len() as u64, |offset, len| {
                bytes.get(offset as usize..offset as usize + len).map(<[u8]>::to_vec).ok_or_else(|| "the pack ends too early".to_owned())
            }),
            None => self.footer(self.len, |offset, len| self.repo.backend.read_range(&path, offset, len).map_err(|error| chain(&error))),
        };
        let footer = match footer {
            Ok(footer) => Some(footer),
            Err(problem) => {
                self.found(0..self.len, format!("its footer cannot be read: {problem}"), Vec::new());
                None
            }
        };
        if let (Some(footer), Some(listed)) = (&footer, self.listed)
            && !same_blobs(footer, &listed.contents)
        {
            self.found(0..self.len, "its footer and an index segment disagree", Vec::new());
        }
        let contents = self.listed.map(|listed| &listed.contents).or(footer.as_ref());
        let blobs = contents.map_or(0, |contents| contents.blobs.len() as u64);
        let mut named = false;
        if let (Some(bytes), Some(contents)) = (&bytes, contents) {
            named = self.blobs(bytes, contents);
        }
        if !sound && !named && footer.is_some() {
            self.found(0..self.len, "its bytes do not have the hash that its name says, yet every blob is whole", Vec::new());
        }
        (bytes.map_or(0, |bytes| bytes.len() as u64), blobs)
    }

    fn all_ids(&self) -> Vec<ChunkId> {
        self.listed.iter().flat_map(|listed| &listed.contents.blobs).flat_map(|blob| blob.ids.iter().copied()).collect()
    }

    fn footer(&self, len: u64, read: impl Fn(u64, usize) -> Result<Vec<u8>, String>) -> Result<PackContents, String> {
        let text = |error: crate::format::envelope::ObjectError| chain(&error);
        let opener = PackOpener::new(&self.repo.keys, &read(0, HEADER_LEN)?).map_err(text)?;
        let end = len.checked_sub(TRAILER_LEN as u64).ok_or("it is too short")?;
        let footer_len = PackOpener::footer_len(&read(end, TRAILER_LEN)?, len).map_err(text)?;
        opener.open_footer(read(end - footer_len as u64, footer_len)?, len).map_err(text)
    }

    /// Decodes every blob. Returns whether any is bad.
    fn blobs(&self, bytes: &[u8], contents: &PackContents) -> bool {
        let mut bad = false;
        let keys = &self.repo.keys;
        for (ordinal, (blob, offset)) in contents.blobs.iter().zip(contents.offsets()).enumerate() {
            let range = offset..offset + u64::from(blob.frame.sealed_len);
            let place = BlobPlace { pack: self.id, offset, frame: blob.frame.clone() };
            let sealed = bytes.get(range.start as usize..range.end as usize).map(<[u8]>::to_vec);
            let decoded = match sealed {
                Some(sealed) => self.repo.decode_blob(&place, ordinal as u32, sealed).map_err(|error| chain(&error)),
                None => Err("the pack ends before the blob does".into()),
            };
            let plain = match decoded {
                Ok(plain) => plain,
                Err(problem) => {
                    bad = true;
                    self.found(range, problem, blob.ids.clone());
                    continue;
                }
            };
            let mut at = 0;
            for (id, len) in blob.ids.iter().zip(&blob.frame.chunk_lens) {
                let chunk = plain.get(at..at + *len as usize).unwrap_or_default();
                at += *len as usize;
                let same = match blob.frame.kind {
                    BlobKind::Data => keys.chunk_id(chunk) == *id,
                    BlobKind::Nodes => keys.node_id(chunk).as_bytes() == id.as_bytes(),
                };
                if !same {
                    bad = true;
                    self.found(range.clone(), "a chunk does not have the hash that its name says", vec![*id]);
                }
            }
        }
        bad
    }
}

fn same_blobs(a: &PackContents, b: &PackContents) -> bool {
    a.blobs.len() == b.blobs.len() && a.blobs.iter().zip(&b.blobs).all(|(a, b)| a.frame == b.frame && a.ids == b.ids)
}

struct Seen {
    /// Nodes below which all is well.
    good: HashSet<NodeId>,
    chunks: HashSet<ChunkId>,
}

struct SnapshotWalk<'w, 'r> {
    checker: &'w mut Checker<'r>,
    snapshot: SnapshotId,
    seen: &'w mut Seen,
    path: Vec<Vec<u8>>,
}

impl SnapshotWalk<'_, '_> {
    fn hit(&mut self, spot: Spot, problem: &str) {
        self.checker.defect(spot.clone(), problem);
        let path = self.path.iter().skip(1).map(|name| String::from_utf8_lossy(name)).collect::<Vec<_>>().join("/");
        let hit = Hit { snapshot: self.snapshot, path: format!("/{path}") };
        let Some(defect) = self.checker.defects.get_mut(&spot) else { return };
        if defect.hits.len() < HITS {
            defect.hits.push(hit);
        } else {
            defect.more += 1;
        }
    }

    /// Walks a node and what is below it. Returns whether all is well there.
    fn node(&mut self, id: NodeId, level: Option<u8>, depth: usize) -> Result<bool, Error> {
        if self.seen.good.contains(&id) {
            return Ok(true);
        }
        self.checker.interrupted()?;
        let as_chunk = ChunkId::from_bytes(*id.as_bytes());
        if let Some(spot) = self.checker.bad_chunks.get(&as_chunk).cloned() {
            self.hit(spot, "");
            return Ok(false);
        }
        let node = match crate::merkle::NodeSource::node(self.checker.repo, &id) {
            Ok(node) => node,
            Err(error) => {
                let spot = (format!("node {id}"), 0, 0);
                self.checker.bad_chunks.insert(as_chunk, spot.clone());
                self.hit(spot, &chain(&error));
                return Ok(false);
            }
        };
        if level.is_some_and(|level| level != node.level()) || depth > limits::TREE_DEPTH {
            self.hit((format!("node {id}"), 0, 0), "it does not belong where its parent points to it");
            return Ok(false);
        }
        let mut good = true;
        match node {
            Node::EntriesInner { level, children } => {
                for child in children {
                    good &= self.node(child.id, Some(level - 1), depth)?;
                }
            }
            Node::ExtentsInner { level, children } => {
                for child in children {
                    good &= self.node(child.id, Some(level - 1), depth)?;
                }
            }
            Node::Extents(extents) => good = self.extents(&extents)?,
            Node::Entries(entries) => {
                for entry in entries {
                    self.path.push(entry.name);
                    good &= match entry.kind {
                        Kind::Directory { entries: Some(root) } => self.node(root, None, depth + 1)?,
                        Kind::File { content: Content::List(root), .. } => self.node(root, None, depth + 1)?,
                        Kind::File { content: Content::Inline(extents), .. } => self.extents(&extents)?,
                        _ => true,
                    };
                    self.path.pop();
                }
            }
        }
        if good {
            self.seen.good.insert(id);
        }
        Ok(good)
    }

    fn extents(&mut self, extents: &[Extent]) -> Result<bool, Error> {
        let chunks = extents.iter().filter_map(|extent| match extent {
            Extent::Chunk { id, len } if self.checker.bad_chunks.contains_key(id) || !self.seen.chunks.contains(id) => Some((*id, *len)),
            _ => None,
        });
        let (ids, lens): (Vec<_>, Vec<_>) = chunks.unzip();
        let located = self.checker.repo.index()?.find(&ids)?;
        let mut good = true;
        for ((id, len), location) in ids.into_iter().zip(lens).zip(located) {
            if let Some(spot) = self.checker.bad_chunks.get(&id).cloned() {
                self.hit(spot, "");
                good = false;
            } else if location.is_none_or(|location| location.len != len) {
                self.hit((format!("chunk {id}"), 0, 0), "no pack holds it: push the same files again to heal it");
                good = false;
            } else {
                self.seen.chunks.insert(id);
            }
        }
        Ok(good)
    }
}
