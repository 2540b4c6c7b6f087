//! L4: from files to chunks in packs: read, cut, name, look up, group, code, write, on all cores and within a memory budget.
//!
//! A *feeder* thread walks the source in order and hands pieces of files to the worker pool; the *assembler* takes the results in the same
//! order, builds the Merkle lists and groups new chunks into blobs, which the pool codes and the pack writer writes. Two budgets hold memory:
//! bytes read and not yet assembled, and bytes on their way through the coders. Neither waits for the other, so none can block both.

mod account;
mod afford;
mod ahead;
mod ancestry;
mod assemble;
mod base;
mod beside;
mod budget;
mod chains;
mod choose;
mod coding;
mod cut;
mod feed;
mod flow;
mod fresh;
mod gather;
mod known;
mod needed;
mod parent;
mod prefix;
mod recode;
mod relied;
mod replay;
mod restore;
mod sketches;
mod store;
mod stored;
mod streams;
mod trial;
mod tried;

use std::sync::{Arc, Mutex};

pub use assemble::{Assembled, FileCounts};
pub(crate) use cut::{detect_with, regions_of};
pub use known::Wanted;
pub(crate) use recode::{Recoding, recode};
pub(crate) use restore::{Counts as RestoreCounts, FileSlot, RestoreBatch, RestoreContext, Spare};
pub use store::NewCounts;
pub use stored::StoredTree;
pub(crate) use stored::data_ranges;
pub(crate) use trial::{file_number, lines, trial};
pub(crate) use tried::Tried;

use account::Account;
use ahead::Ahead;
use assemble::Assembler;
use base::BaseFinder;
use budget::Budget;
use coding::CodingShared;
use cut::CutContext;
use feed::{Feed, feed_tree};
use fresh::Fresh;
use known::KnownChunks;
use store::BlobStore;
use streams::feed_streams;

use crate::base::ids::NodeId;
use crate::error::{Error, ErrorKind};
use crate::format::entry::Metadata;
use crate::format::snapshot::Totals;
use crate::monitor::Monitor;
use crate::repo::{Grounds, PackWriter, Repo, Written};
use crate::source::{Excludes, Walk};

/// How many items may wait between the feeder and the assembler.
const ITEMS: usize = 512;

/// What goes in.
pub enum Input<'r> {
    /// A tree of files. `parent` is the directory that the same paths gave in an earlier snapshot; with `force` unchanged files are read, too.
    Tree {
        /// What to walk.
        walk: Box<Walk>,
        /// The same once more, to be counted ahead for who watches.
        ahead: Option<Box<Walk>>,
        /// The directory of the parent snapshot.
        parent: Option<NodeId>,
        /// The directory of another snapshot, whose tensors are looked at first for bases of those at the same path.
        base: Option<NodeId>,
        /// Whether files are read that look unchanged.
        force: bool,
    },
    /// Streams of bytes, each read to its end before the next one, in the order of their paths. Half of one is no snapshot.
    Streams {
        /// The streams. No path is there twice, and none is a folder of another.
        streams: Vec<Stream<'r>>,
        /// What is recorded as their metadata.
        meta: Metadata,
    },
    /// A tree in another repository.
    Stored(StoredTree<'r>),
}

/// A stream of bytes that becomes a file.
pub struct Stream<'r> {
    /// The names of its path in the snapshot; at least one.
    pub names: Vec<Vec<u8>>,
    /// The bytes.
    pub reader: Box<dyn std::io::Read + Send + 'r>,
}

/// How it goes through.
#[derive(Debug, Clone, Copy)]
pub struct How<'h> {
    /// Writes nothing.
    pub trial: bool,
    /// Codes new chunks against similar ones that are held.
    pub delta: bool,
    /// Patterns each of which something other than a directory is expected to match.
    pub require: &'h [Excludes],
    /// The packs that may be relied on, learnt within the session.
    pub(crate) grounds: &'h Grounds,
    /// Whether packs were ever deleted, by a prune or a repair, or are to be, as far as it was known after `grounds`.
    pub has_pruned: bool,
    /// The root of the snapshot that unchanged files are taken over from.
    pub parent: Option<NodeId>,
    /// What is stored again though it may look as if it were held.
    pub wanted: Option<&'h Arc<Wanted>>,
}

/// Runs the pipeline. When it returns, all that the root leads to is durable, except in a trial.
/// `expected` is a guess at what there will be, for progress.
pub fn run(
    repo: &Repo,
    mut input: Input<'_>,
    how: How<'_>,
    expected: Totals,
    monitor: &dyn Monitor,
) -> Result<(Assembled, Written), Error> {
    let known = KnownChunks::new(repo, how.grounds, how.has_pruned, how.parent.as_ref())?.but_for(how.wanted);
    // A copy without bases is the one that the index names from now on, whatever others there are.
    let delta = how.delta && !known.is_incomplete();
    let account = delta.then(|| Arc::new(Account::new(known.packs())));
    let context = Arc::new(CutContext {
        keys: repo.keys.clone(),
        chunker: repo.chunker(),
        segment_len: repo.config.segment_len as usize,
        known: Arc::new(known),
        account: account.clone(),
        read_ahead: Budget::new(repo.memory.pieces),
        scratch: repo.scratch.clone(),
    });
    let writer = PackWriter::new(repo, how.trial)?;
    let bases = account.map(|account| BaseFinder::new(repo, account));
    let coding = Arc::new(CodingShared {
        fresh: (delta && !how.trial).then(|| Fresh::new(&repo.config)),
        bases,
        writer,
        context: Arc::clone(&context),
        compression: repo.compression,
        failure: Mutex::new(None),
        monitor,
        scratch: repo.scratch.as_deref(),
    });
    let counts = || coding.writer.counts();
    let walk_ahead = if let Input::Tree { ahead, .. } = &mut input { ahead.take() } else { None };
    let ahead = walk_ahead.as_ref().map(|_| Ahead::default());
    let assembled = repo.pool.in_place_scope_fifo(|scope| {
        std::thread::scope(|threads| {
            if let (Some(ahead), Some(walk)) = (&ahead, walk_ahead) {
                let started = std::thread::Builder::new().name("snap-ahead".into()).spawn_scoped(threads, move || ahead.look(*walk));
                started.map_err(|error| Error::with(ErrorKind::Failed, "cannot start a thread", error))?;
            }
            // However this ends, nobody asks then, and the scope waits.
            let _ends = Ends(ahead.as_ref());
            // Dropped behind `received`: what was sent and is not taken keeps its bytes of the budget as long as the feeder runs, which waits for them.
            let _lets_go = LetsGo(&context.read_ahead);
            let (items, received) = crossbeam_channel::bounded(ITEMS);
            // What the parent refers to may be among what is missing: only what is read is sure to be stored.
            let force = matches!(input, Input::Tree { force: true, .. }) || context.known.is_incomplete();
            let feed = Feed { repo, scope, context: Arc::clone(&context), items, force, delta };
            let started = std::thread::Builder::new().name("snap-feed".into()).spawn_scoped(threads, move || match input {
                Input::Tree { walk, parent, base, .. } => feed_tree(&feed, *walk, parent, base),
                Input::Streams { streams, meta } => feed_streams(&feed, streams, &meta),
                Input::Stored(tree) => stored::feed_stored(&feed, tree),
            });
            started.map_err(|error| Error::with(ErrorKind::Failed, "cannot start a thread", error))?;
            let store = BlobStore::new(scope, Arc::clone(&coding), Budget::new(repo.memory.coding), &repo.config);
            Assembler::new(&repo.keys, Arc::clone(&context), store, monitor, &counts, (expected, ahead.as_ref()), how.require)
                .run(&received)
        })
    })?;
    coding.check()?;
    let coding = Arc::into_inner(coding).ok_or_else(|| Error::new(ErrorKind::Failed, "a coding job outlived the pipeline"))?;
    let sums = coding.bases.map(|finder| finder.sums(&context.known));
    let mut written = coding.writer.finish()?;
    if let Some(sums) = sums.filter(|_| !how.trial && how.wanted.is_none() && repo.scratch.is_none()) {
        match gather::gather(repo, &how, assembled.root, sums, written.counts.bytes, monitor) {
            Ok(gathered) => {
                written.counts.packs += gathered.counts.packs;
                written.counts.bytes += gathered.counts.bytes;
                written.packs.extend(gathered.packs);
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => return Err(error),
            // All that the snapshot needs is durable.
            Err(error) => monitor.detail(&format_args!("nothing is stored once more so that a restore reads less: {error}")),
        }
    }
    Ok((assembled, written))
}

/// Lets the feeder go when it is dropped.
struct LetsGo<'a>(&'a Budget);

impl Drop for LetsGo<'_> {
    fn drop(&mut self) {
        self.0.open_to_all();
    }
}

/// Ends a look ahead when it is dropped.
struct Ends<'a>(Option<&'a Ahead>);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.iter().for_each(|ahead| ahead.end());
    }
}
