//! `push`: makes a snapshot.

pub(super) mod attempt;
mod fenced;
mod streams;
pub(super) mod verify;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Read;
use std::time::{Duration, Instant};

use attempt::{Begun, Made, Maker};

use super::tag;
use crate::base::ids::{NodeId, SnapshotId};
use crate::clock;
use crate::error::{Error, ErrorKind};
use crate::format::entry::Kind;
use crate::format::record::Time;
use crate::format::snapshot::{Line, Snapshot, Totals};
use crate::merkle::EntriesCursor;
use crate::monitor::{Monitor, Warning};
use crate::pipeline::{self, Assembled, How, Input};
use crate::repo::{Repo, Standings, StoredSnapshot, Written, WrittenCounts};
use crate::retention::Refusal;
use crate::source::{Case, ExcludeBuilder, Excludes, Selection};

/// What is pushed.
pub enum Source {
    /// Files and folders.
    Paths(Selection),
    /// A stream, as the file `name`.
    Reader {
        /// Path inside the snapshot.
        name: String,
        /// The bytes.
        reader: Box<dyn Read + Send>,
    },
    /// What programs write to their standard outputs, each as the file of this path inside the snapshot. They run one after the other.
    /// Unless all end well, there is no snapshot.
    Commands(Vec<(String, Vec<OsString>)>),
}

/// What unchanged files are told by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Parent {
    /// The last snapshot of the same series, or of the same paths and host.
    #[default]
    Auto,
    /// Nothing: all files are read.
    None,
    /// This snapshot.
    Is(SnapshotId),
}

/// What to push and what to say of it.
pub struct Options {
    /// What is pushed.
    pub source: Source,
    /// The line of versions that it continues.
    pub series: Option<String>,
    /// Labels.
    pub tags: Vec<String>,
    /// Names for it.
    pub refs: Vec<String>,
    /// What it is, in words.
    pub description: Option<String>,
    /// What its maker says of it.
    pub meta: BTreeMap<String, String>,
    /// Host to record; this one when `None`.
    pub host: Option<String>,
    /// Time to record; now when `None`.
    pub time: Option<Time>,
    /// What unchanged files are told by.
    pub parent: Parent,
    /// A snapshot whose tensors are looked at first for bases of those at the same path.
    pub base: Option<SnapshotId>,
    /// Patterns, as of excludes: unless something other than a directory matches each of them, by its path in the snapshot, there is no snapshot.
    pub require: Vec<String>,
    /// Reads all that was written once more before there is a snapshot.
    pub verify: bool,
    /// Makes no snapshot when the tree is the parent's.
    pub skip_if_unchanged: bool,
    /// Stores new chunks whole, not as differences from similar ones.
    pub no_delta: bool,
    /// Writes nothing, and reports what would be.
    pub dry_run: bool,
}

impl Options {
    /// A push of `source` with nothing said of it.
    pub fn new(source: Source) -> Self {
        Self {
            source,
            series: None,
            tags: Vec::new(),
            refs: Vec::new(),
            description: None,
            meta: BTreeMap::new(),
            host: None,
            time: None,
            parent: Parent::Auto,
            base: None,
            require: Vec::new(),
            verify: false,
            skip_if_unchanged: false,
            no_delta: false,
            dry_run: false,
        }
    }
}

/// What a push did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    /// The snapshot; `None` after a dry run, or when nothing had changed and none was wanted.
    pub snapshot: Option<SnapshotId>,
    /// What unchanged files were told by.
    pub parent: Option<SnapshotId>,
    /// Files that the parent does not have.
    pub files_new: u64,
    /// Files that were read again.
    pub files_changed: u64,
    /// Files that were taken over unread.
    pub files_unmodified: u64,
    /// Directories.
    pub directories: u64,
    /// Links, pipes, devices.
    pub others: u64,
    /// Bytes of all files.
    pub bytes: u64,
    /// Bytes of files that were read.
    pub bytes_read: u64,
    /// Plain bytes of new chunks.
    pub new_bytes: u64,
    /// Bytes of packs written.
    pub stored_bytes: u64,
    /// New chunks.
    pub chunks_new: u64,
    /// Chunks among those read that were held already.
    pub chunks_known: u64,
    /// Paths that could not be read.
    pub unreadable: u64,
    /// Whether there is no snapshot because nothing had changed.
    pub skipped: bool,
    /// How long it took.
    pub duration: Duration,
}

/// Makes a snapshot of `options.source`. When it returns one, that snapshot survives a power failure.
///
/// # Errors
/// When the repository cannot be written, the source as a whole cannot be read, a command fails, nothing matches what is required, what was
/// written reads back differently, or the monitor interrupts. Of kind [`ErrorKind::Unreadable`] when nothing of it could be read. Of kind
/// [`ErrorKind::Busy`] when prunes took the push for dead time and again.
/// Single files that cannot be read are warnings and are counted.
pub fn push(repo: &Repo, mut options: Options, monitor: &dyn Monitor) -> Result<Report, Error> {
    let started = Instant::now();
    options.refs.iter().try_for_each(|name| tag::check_ref(name))?;
    let require = options.require.iter().map(|pattern| requirement(pattern)).collect::<Result<Vec<_>, _>>()?;
    let source = std::mem::replace(&mut options.source, Source::Commands(Vec::new()));
    let again = match &source {
        Source::Paths(selection) => Some(selection.clone()),
        Source::Reader { .. } | Source::Commands(_) => None,
    };
    if let (Some(set), None) = (repo.clock_jump().map(Refusal::ClockSet), options.time) {
        monitor.warning(&Warning { item: "the time of this snapshot".into(), message: format!("may be wrong: {set}") });
    }
    let host = options.host.clone().unwrap_or_else(clock::host);
    let (paths, dry_run) = (recorded_paths(&source), options.dry_run);
    let mut job = Job { repo, paths, host, require, options, monitor, source: Some(source), again };
    let mut report = attempt::attempt(repo, dry_run, &mut job, monitor)?.report;
    report.duration = started.elapsed();
    Ok(report)
}

/// What is pushed, time and again if need be.
struct Job<'p> {
    repo: &'p Repo,
    options: Options,
    paths: Vec<Vec<u8>>,
    host: String,
    require: Vec<Excludes>,
    monitor: &'p dyn Monitor,
    /// What is read at the first try.
    source: Option<Source>,
    /// What is read at each further one.
    again: Option<Selection>,
}

impl Maker for Job<'_> {
    fn make(&mut self, session: &Begun) -> Result<Made, Error> {
        let source = self.source.take().or_else(|| self.again.clone().map(Source::Paths));
        self.write(session, source.ok_or_else(|| Error::new(ErrorKind::Failed, "a stream can be read once"))?)
    }

    fn can_begin_again(&self) -> bool {
        self.again.is_some()
    }
}

impl Job<'_> {
    fn write(&self, session: &Begun, source: Source) -> Result<Made, Error> {
        let Self { repo, options, monitor, .. } = self;
        session.take_up(repo, *monitor)?;
        let Standings { snapshots, fold, has_pruned, .. } = repo.known_standing()?;
        let parent = choose_parent(&snapshots, options, &self.host, &self.paths)?;
        let writer = repo.writer()?;
        let previous = snapshots.iter().rev().find(|stored| stored.snapshot.writer == writer).map(|stored| stored.id);
        let root = parent.and_then(|parent| root_directory(repo, &parent.snapshot));
        let base = options.base.map(|id| named(&snapshots, id)).transpose()?;
        let base = base.and_then(|base| root_directory(repo, &base.snapshot));
        let expected = parent.map_or_else(Totals::default, |parent| parent.snapshot.totals);
        let how = How {
            trial: options.dry_run,
            delta: !options.no_delta,
            require: &self.require,
            grounds: &session.grounds,
            has_pruned,
            parent: parent.map(|parent| parent.snapshot.root),
            wanted: None,
        };
        let against = Against { parent: root, base, force: options.parent == Parent::None };
        let (assembled, Written { counts: written, packs }) = run(repo, source, against, how, expected, *monitor)?;
        if let Some(unmet) = assembled.unmet.first() {
            let message = format!("nothing that was pushed matches '{}', which is required: there is no snapshot", options.require[*unmet]);
            return Err(Error::new(ErrorKind::Failed, message));
        }
        // Nothing is no version of anything, and must not be the latest.
        let Totals { files, others, unreadable, .. } = assembled.totals;
        if unreadable > 0 && files == 0 && others == 0 {
            let message = "nothing of what was to be pushed could be read, so there is no snapshot of it: see what was said of each";
            return Err(Error::new(ErrorKind::Unreadable, message));
        }
        if options.verify {
            verify::packs(repo, &packs, *monitor)?;
        }
        let unchanged = parent.is_some_and(|parent| parent.snapshot.root == assembled.root);
        let skipped = options.skip_if_unchanged && unchanged && assembled.totals.unreadable == 0;
        let report = report(&assembled, written, parent.map(|parent| parent.id), skipped);
        if skipped || options.dry_run {
            return Ok(Made { report, snapshot: None, before: None });
        }
        let time = options.time.unwrap_or_else(|| repo.now());
        let snapshot = Snapshot {
            root: assembled.root,
            time,
            zone: clock::zone_at(time),
            host: self.host.clone(),
            user: clock::user(),
            writer,
            previous,
            parent: parent.map(|parent| parent.id),
            series: options.series.clone(),
            tags: options.tags.iter().cloned().collect(),
            refs: options.refs.iter().cloned().collect(),
            description: options.description.clone(),
            meta: options.meta.clone(),
            paths: self.paths.clone(),
            incompatible: 0,
            totals: Totals { new_bytes: assembled.new.bytes, stored_bytes: written.bytes, ..assembled.totals },
            program: clock::PROGRAM.into(),
            extra: Repo::seen_notes(&fold.heads).into_iter().collect(),
        };
        Ok(Made { report, snapshot: Some(snapshot), before: parent.map(|parent| parent.snapshot.root) })
    }
}

/// What a tree is compared with.
struct Against {
    parent: Option<NodeId>,
    base: Option<NodeId>,
    force: bool,
}

fn run(
    repo: &Repo,
    source: Source,
    against: Against,
    how: How<'_>,
    expected: Totals,
    monitor: &dyn Monitor,
) -> Result<(Assembled, Written), Error> {
    let input = match source {
        Source::Paths(selection) => {
            let walk = |selection: Selection| {
                selection.walk().map(Box::new).map_err(|error| Error::with(ErrorKind::Usage, "cannot push these paths", error))
            };
            let ahead = if monitor.wants_totals() { Some(Box::new(walk(selection.clone())?.without_attributes())) } else { None };
            Input::Tree { walk: walk(selection)?, ahead, parent: against.parent, base: against.base, force: against.force }
        }
        Source::Reader { name, reader } => streams::input(vec![(name, reader)])?,
        Source::Commands(commands) => streams::input(streams::of_commands(commands, monitor))?,
    };
    pipeline::run(repo, input, how, expected, monitor)
}

/// Compiles a pattern that something must match.
fn requirement(pattern: &str) -> Result<Excludes, Error> {
    let mut builder = ExcludeBuilder::new();
    let compiled = builder.glob(pattern, Case::Sensitive, "--require").and_then(|()| builder.build());
    compiled.map_err(|error| Error::with(ErrorKind::Usage, "cannot tell what is required", error))
}

fn recorded_paths(source: &Source) -> Vec<Vec<u8>> {
    match source {
        Source::Paths(selection) => selection.recorded(),
        Source::Reader { name, .. } => vec![name.clone().into_bytes()],
        Source::Commands(commands) => commands.iter().map(|(name, _)| name.clone().into_bytes()).collect(),
    }
}

fn choose_parent<'s>(
    snapshots: &'s [StoredSnapshot],
    options: &Options,
    host: &str,
    paths: &[Vec<u8>],
) -> Result<Option<&'s StoredSnapshot>, Error> {
    match options.parent {
        Parent::Is(id) => named(snapshots, id).map(Some),
        Parent::Auto | Parent::None => {
            let line = Line::of(options.series.as_deref(), host, paths);
            Ok(snapshots.iter().rev().find(|stored| stored.snapshot.line() == line))
        }
    }
}

fn named(snapshots: &[StoredSnapshot], id: SnapshotId) -> Result<&StoredSnapshot, Error> {
    let found = snapshots.iter().find(|stored| stored.id == id);
    found.ok_or_else(|| Error::new(ErrorKind::Usage, format!("there is no snapshot {id} to compare with")))
}

/// The directory that a snapshot's paths gave. One that cannot be read costs time, no more.
pub(super) fn root_directory(repo: &Repo, snapshot: &Snapshot) -> Option<NodeId> {
    match EntriesCursor::new(repo, Some(snapshot.root)).next().ok()??.kind {
        Kind::Directory { entries } => entries,
        _ => None,
    }
}

pub(super) fn report(assembled: &Assembled, written: WrittenCounts, parent: Option<SnapshotId>, skipped: bool) -> Report {
    Report {
        snapshot: None,
        parent,
        files_new: assembled.files.new,
        files_changed: assembled.files.changed,
        files_unmodified: assembled.files.unmodified,
        directories: assembled.totals.directories,
        others: assembled.totals.others,
        bytes: assembled.totals.bytes,
        bytes_read: assembled.read_bytes,
        new_bytes: assembled.new.bytes,
        stored_bytes: written.bytes,
        chunks_new: assembled.new.chunks,
        chunks_known: assembled.known_chunks,
        unreadable: assembled.totals.unreadable,
        skipped,
        duration: Duration::ZERO,
    }
}
