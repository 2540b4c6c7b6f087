//! `copy`: snapshots of one repository into another.
//!
//! The two have different keys, so that no name and no sealed byte of the one means anything in the other. A copy reads a snapshot as a
//! restore does and pushes what it reads: chunks are cut, named, compared and coded as if the same files had been pushed to the target, which
//! finds them when they are. Snapshots go in the order of their times, each with the copy of an older one as its parent, and what did not
//! change between the two is taken over unread. The source is only read.
//!
//! A copy records of which snapshot it is one (`spec/FORMAT.md`, section 10), so that a second run passes over it. A snapshot of which
//! anything cannot be read is not copied at all: `repair snapshots` makes one of what is left of it.

mod compare;
pub(super) mod known;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::list::Item;
use super::push::attempt::{Begun, Made, Maker, attempt};
use super::push::{self, root_directory, verify};
use crate::base::ids::SnapshotId;
use crate::clock;
use crate::error::{Error, ErrorKind, chain};
use crate::format::copied::{COPIED, encode_origins};
use crate::format::lost::LOST;
use crate::format::record::Extra;
use crate::format::snapshot::{Snapshot, Totals};
use crate::monitor::{Monitor, Warning};
use crate::notes::Standing;
use crate::pipeline::{self, How, Input, StoredTree};
use crate::repo::{Repo, Standings, StoredSnapshot};
use known::Known;

/// How to copy.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Compares each copy with what it is a copy of, bytes and metadata, before there is a snapshot; and those that were there already.
    pub verify: bool,
    /// Stores new chunks whole, not as differences from similar ones.
    pub no_delta: bool,
    /// Writes nothing, and reports what would be. Each snapshot is compared with what is there, not with those that would be before it.
    pub dry_run: bool,
}

/// What became of one snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It was copied; in a dry run it would be, and the report names no snapshot.
    Copied(push::Report),
    /// The target has this copy of it already, and no prune drops it now.
    Present(SnapshotId),
    /// It cannot be read, or, with `verify`, the copy that is there differs: the monitor was told.
    Failed,
}

/// What a copy did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Report {
    /// Snapshots that were copied.
    pub copied: u64,
    /// Snapshots of which the target had a copy.
    pub present: u64,
    /// Snapshots that cannot be read, or whose copy differs.
    pub failed: u64,
    /// Files in the copied ones.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Plain bytes that were read from the source.
    pub bytes_read: u64,
    /// Plain bytes of chunks that were new to the target.
    pub new_bytes: u64,
    /// Bytes of packs written.
    pub stored_bytes: u64,
    /// How long it took.
    pub duration: Duration,
}

/// Copies `chosen`, snapshots of `from`, to `to`, the oldest first, and calls `told` for each once it is done. A snapshot that was copied
/// survives a power failure by then.
///
/// # Errors
/// When both are one repository, the target cannot be written, or the monitor interrupts: what was copied until then stays. A snapshot that
/// cannot be read is a warning and is counted; the others are copied.
pub fn copy(
    from: &Repo,
    to: &Repo,
    chosen: &[Item],
    options: &Options,
    monitor: &dyn Monitor,
    told: &mut dyn FnMut(&Item, &Fate) -> Result<(), Error>,
) -> Result<Report, Error> {
    let started = Instant::now();
    if from.id() == to.id() {
        let message = "both are one repository, or one is a copy of the other's files: there is nothing to copy";
        return Err(Error::new(ErrorKind::Usage, message));
    }
    let mut chosen: Vec<&Item> = chosen.iter().collect();
    chosen.sort_by_key(|item| (item.snapshot.time, item.id));
    chosen.dedup_by_key(|item| item.id);
    let mut known = Known::new(from, to)?;
    let mut report = Report::default();
    for item in chosen {
        let fate = match known.copy_there(to, item)? {
            Some(there) if !options.verify => Fate::Present(there.id),
            Some(there) => match compare::snapshots(from, item.snapshot.root, to, there.snapshot.root, monitor) {
                Ok(()) => Fate::Present(there.id),
                Err(error) => failed(error, item, monitor, "is not what its copy is")?,
            },
            None => {
                let mut job = Job { from, to, item, known: &mut known, options, monitor };
                match job.run() {
                    Ok(report) => Fate::Copied(report),
                    Err(error) => failed(error, item, monitor, "is not copied")?,
                }
            }
        };
        report.add(&fate);
        told(item, &fate)?;
    }
    report.duration = started.elapsed();
    Ok(report)
}

/// Goes on past damage, which is that of one snapshot.
fn failed(error: Error, item: &Item, monitor: &dyn Monitor, what: &str) -> Result<Fate, Error> {
    if error.kind() != ErrorKind::Damage {
        return Err(error);
    }
    monitor.warning(&Warning { item: format!("snapshot {}", item.id.short()), message: format!("{what}: {}", chain(&error)) });
    Ok(Fate::Failed)
}

impl Report {
    fn add(&mut self, fate: &Fate) {
        match fate {
            Fate::Copied(one) => {
                self.copied += 1;
                self.files += one.files_new + one.files_changed + one.files_unmodified;
                self.bytes += one.bytes;
                self.bytes_read += one.bytes_read;
                self.new_bytes += one.new_bytes;
                self.stored_bytes += one.stored_bytes;
            }
            Fate::Present(_) => self.present += 1,
            Fate::Failed => self.failed += 1,
        }
    }
}

/// One snapshot on its way.
struct Job<'c> {
    from: &'c Repo,
    to: &'c Repo,
    item: &'c Item,
    known: &'c mut Known,
    options: &'c Options,
    monitor: &'c dyn Monitor,
}

impl Job<'_> {
    fn run(&mut self) -> Result<push::Report, Error> {
        let started = Instant::now();
        let (to, dry_run, monitor) = (self.to, self.options.dry_run, self.monitor);
        let Made { mut report, snapshot, .. } = attempt(to, dry_run, self, monitor)?;
        if let (Some(id), Some(snapshot)) = (report.snapshot, snapshot) {
            self.known.add(StoredSnapshot { id, snapshot, standing: Standing::default() });
        }
        report.duration = started.elapsed();
        Ok(report)
    }
}

impl Maker for Job<'_> {
    fn make(&mut self, session: &Begun) -> Result<Made, Error> {
        let Self { from, to, item, known, options, monitor } = self;
        session.take_up(to, *monitor)?;
        let old = &item.snapshot;
        let parent = known.parent_of(item);
        let copied = parent.and_then(|parent| known.source_of(parent)).and_then(|copied| root_directory(from, &copied.snapshot));
        let before = parent.map(|parent| parent.snapshot.root);
        let tree = StoredTree {
            from,
            root: from.find(item, b"")?,
            before: copied,
            parent: parent.and_then(|parent| root_directory(to, &parent.snapshot)),
        };
        let how = How {
            trial: options.dry_run,
            delta: !options.no_delta,
            require: &[],
            grounds: &session.grounds,
            has_pruned: !to.gc_names()?.is_empty(),
            parent: before,
            wanted: None,
        };
        let (assembled, written) = pipeline::run(to, Input::Stored(tree), how, old.totals, *monitor)?;
        if options.verify && !options.dry_run {
            verify::packs(to, &written.packs, *monitor)?;
            compare::snapshots(from, old.root, to, assembled.root, *monitor)?;
        }
        let mut report = push::report(&assembled, written.counts, parent.map(|parent| parent.id), false);
        // Directories that were taken over were not counted.
        let Totals { files, directories, others, bytes, .. } = old.totals;
        let read = report.files_new + report.files_changed;
        report = push::Report { files_unmodified: files.saturating_sub(read), directories, others, bytes, ..report };
        if options.dry_run {
            return Ok(Made { report, snapshot: None, before: None });
        }
        let writer = to.writer()?;
        let Standings { fold, .. } = &known.standings;
        let mut extra: Extra = Repo::seen_notes(&fold.heads).into_iter().collect();
        extra.insert(COPIED.into(), encode_origins(&known::origins(from.id(), item)));
        extra.extend(old.extra.get(LOST).map(|lost| (LOST.to_owned(), lost.clone())));
        // A name that the target has means something there: a copy moves none.
        let refs: BTreeSet<String> = old.refs.iter().filter(|name| !known.has_ref(name)).cloned().collect();
        let snapshot = Snapshot {
            root: assembled.root,
            writer,
            previous: known.last_of(&writer),
            parent: parent.map(|parent| parent.id),
            refs,
            incompatible: 0,
            totals: Totals { new_bytes: assembled.new.bytes, stored_bytes: written.counts.bytes, ..old.totals },
            program: clock::PROGRAM.into(),
            extra,
            ..old.clone()
        };
        Ok(Made { report, snapshot: Some(snapshot), before })
    }

    fn can_begin_again(&self) -> bool {
        true
    }
}
