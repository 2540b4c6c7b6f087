//! What is lost of this repository and is in a second one, with keys of its own, is written here again (`spec/PROTOCOL.md`, section 6).
//!
//! Chunks are looked for by their places, as a restore does with a second repository: path and offset in snapshots there that are the same, or of
//! the same line of versions. A list of which a node is lost is made again: the file or directory there goes through the pipeline as in a copy, cut
//! by this repository's chunker and named with its keys. So nothing is taken on trust: what is written has the id under which it is missed.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use super::missing::{Missing, find};
use super::whole::WholeWriter;
use crate::base::ids::{ChunkId, NodeId, PackId};
use crate::error::{Error, ErrorKind};
use crate::format::entry::Entry;
use crate::format::snapshot::Totals;
use crate::monitor::{Monitor, Progress};
use crate::ops::check::Diagnosis;
use crate::ops::restore::spare;
use crate::pipeline::{self, How, Input, Spare, StoredTree, Wanted};
use crate::repo::{Grounds, PackWriter, Repo, Standings, StoredSnapshot};

/// What a second repository gave, or would give.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Healed {
    /// Chunks.
    pub chunks: u64,
    /// Nodes of lists. Before it is done these are those whose names are known: what a lost node lists is found once that is there again.
    pub nodes: u64,
    /// Plain bytes of both.
    pub bytes: u64,
    /// Bytes of packs that were written for them.
    pub written_bytes: u64,
}

/// How it is done.
pub(super) struct Healing<'h> {
    pub(super) repo: &'h Repo,
    pub(super) second: &'h Repo,
    pub(super) diagnosis: &'h Diagnosis,
    /// What open plans condemn, read within the session; `None` writes nothing, and says what could be.
    pub(super) condemned: Option<&'h BTreeSet<PackId>>,
    pub(super) monitor: &'h dyn Monitor,
    /// How often the second repository's store had been given up before.
    pub(super) given_up: u64,
}

/// Versions of the same line that are gone through for a list, the nearest in time, besides snapshots that are the same: each is read whole.
const OTHERS: usize = 2;

/// A snapshot of which something is lost, and where it may be.
struct Broken {
    root: NodeId,
    /// The likeliest first, each with whether it is the same.
    candidates: Vec<(StoredSnapshot, bool)>,
}

/// What is lost and was not found yet.
struct Lacking {
    /// All that anything names.
    ids: HashSet<ChunkId>,
    found: HashSet<ChunkId>,
    healed: Healed,
}

impl Lacking {
    fn left(&self) -> HashSet<ChunkId> {
        self.ids.difference(&self.found).copied().collect()
    }
}

impl Healing<'_> {
    /// Writes what is lost, as far as the second repository has it.
    pub(super) fn run(&self) -> Result<Healed, Error> {
        let Standings { snapshots, forgotten, .. } = self.repo.read_standing()?;
        self.second.refresh()?;
        let there = self.second.snapshots()?;
        let is_broken = |stored: &&StoredSnapshot| !self.diagnosis.seen.good.contains(&stored.snapshot.root);
        let broken: Vec<Broken> = snapshots.iter().chain(&forgotten).filter(is_broken).map(|stored| self.broken(stored, &there)).collect();
        let mut lacking = Lacking { ids: self.diagnosis.lost.clone(), found: HashSet::new(), healed: Healed::default() };
        // Listed once: what comes from now on is this repair's own, or others', and not for it to rely on.
        let mut grounds = Grounds { condemned: self.condemned.cloned().unwrap_or_default(), packs: self.repo.current_packs()? };
        loop {
            let before = lacking.healed;
            self.chunks(&broken, &mut lacking, &mut grounds)?;
            self.lists(&broken, &mut lacking, &mut grounds)?;
            self.go_on(&lacking.healed)?;
            // What a list names that was made again may be lost, too.
            if self.condemned.is_none() || lacking.healed.nodes == before.nodes {
                return Ok(lacking.healed);
            }
        }
    }

    fn broken(&self, stored: &StoredSnapshot, there: &[StoredSnapshot]) -> Broken {
        Broken { root: stored.snapshot.root, candidates: spare::candidates(self.repo, stored, self.second, there) }
    }

    fn go_on(&self, healed: &Healed) -> Result<(), Error> {
        if self.monitor.interrupted() {
            return Err(Error::new(ErrorKind::Interrupted, "interrupted: nothing was deleted, and what was written is of use"));
        }
        if self.second.backend.given_up() != self.given_up {
            let message =
                format!("{} could not be reached all the time, so that not all was looked for: try again", self.second.location());
            return Err(Error::new(ErrorKind::Unreachable, message));
        }
        self.monitor.progress(&Progress { bytes_done: healed.bytes, ..Progress::default() });
        Ok(())
    }

    /// Chunks whose places are known.
    fn chunks(&self, broken: &[Broken], lacking: &mut Lacking, grounds: &mut Grounds) -> Result<(), Error> {
        let writer = self.condemned.map(|_| PackWriter::new(self.repo, false)).transpose()?;
        let mut whole = writer.as_ref().map(|writer| WholeWriter::new(self.repo, writer));
        for Broken { root, candidates } in broken {
            let candidates = candidates.iter().map(|(stored, _)| stored.clone()).collect();
            let spare = Spare { repo: self.second, candidates, base: Vec::new(), keys: &self.repo.keys };
            find(self.repo, *root, &self.diagnosis.seen, &mut |path, missing| {
                let Missing::Chunk { id, offset, len } = missing else { return Ok(()) };
                if lacking.found.contains(&id) {
                    return Ok(());
                }
                self.go_on(&lacking.healed)?;
                let Some(bytes) = spare.chunk(path, offset, len, &id) else { return Ok(()) };
                whole.as_mut().map_or(Ok(()), |whole| whole.chunk(id, &bytes))?;
                lacking.found.insert(id);
                lacking.healed.chunks += 1;
                lacking.healed.bytes += bytes.len() as u64;
                Ok(())
            })?;
        }
        whole.map_or(Ok(()), WholeWriter::finish)?;
        if let Some(writer) = writer {
            let written = writer.finish()?;
            lacking.healed.written_bytes += written.counts.bytes;
            grounds.packs.extend(written.packs);
        }
        Ok(())
    }

    /// Lists of which nodes are lost.
    fn lists(&self, broken: &[Broken], lacking: &mut Lacking, grounds: &mut Grounds) -> Result<(), Error> {
        for Broken { root, candidates } in broken {
            let mut lists: BTreeMap<Vec<u8>, Vec<NodeId>> = BTreeMap::new();
            find(self.repo, *root, &self.diagnosis.seen, &mut |path, missing| {
                if let Missing::Node(id) = missing
                    && !lacking.found.contains(&as_chunk(&id))
                {
                    lists.entry(path.to_vec()).or_default().push(id);
                }
                Ok(())
            })?;
            let same = candidates.iter().filter(|(_, is_same)| *is_same).count();
            for (path, nodes) in lists {
                lacking.ids.extend(nodes.iter().map(as_chunk));
                for (candidate, is_same) in candidates.iter().take(same + OTHERS) {
                    self.go_on(&lacking.healed)?;
                    let Ok(entry) = self.second.find(candidate, &path) else { continue };
                    self.list(entry, *is_same, lacking, grounds)?;
                    if nodes.iter().all(|id| lacking.found.contains(&as_chunk(id))) {
                        break;
                    }
                }
            }
        }
        Ok(())
    }

    /// Makes the lists of a file, or of a directory and all below it, once more, and writes what is lost of these.
    fn list(&self, entry: Entry, is_same: bool, lacking: &mut Lacking, grounds: &mut Grounds) -> Result<(), Error> {
        // All of the same tree belongs here: what a lost node lists is stored with it, though nothing names it yet.
        let is_all = !is_same || self.condemned.is_none();
        let left = Arc::new(Wanted::new(lacking.left(), is_all));
        let how = How {
            trial: self.condemned.is_none(),
            // What a repair writes must not rest on what may be damaged.
            delta: false,
            require: &[],
            grounds,
            has_pruned: true,
            parent: None,
            wanted: Some(&left),
        };
        let tree = StoredTree { from: self.second, root: entry, before: None, parent: None };
        let ((assembled, written), is_trial) = match pipeline::run(self.repo, Input::Stored(tree), how, Totals::default(), self.monitor) {
            Ok(done) => (done, how.trial),
            // It is damaged there, too: another one may do.
            Err(error) if error.kind() == ErrorKind::Damage => return Ok(()),
            Err(error) => return Err(error),
        };
        lacking.found.extend(left.met());
        let (new, healed) = (assembled.new, &mut lacking.healed);
        healed.chunks += new.chunks;
        healed.nodes += new.nodes;
        healed.bytes += new.bytes + new.node_bytes;
        if !is_trial {
            healed.written_bytes += written.counts.bytes;
            grounds.packs.extend(written.packs);
        }
        Ok(())
    }
}

fn as_chunk(id: &NodeId) -> ChunkId {
    ChunkId::from_bytes(*id.as_bytes())
}
