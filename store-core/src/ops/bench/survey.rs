//! A first look: which files there are, what is in them, and a few blocks of each kind to try codecs on.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::units::MIB;
use crate::error::{Error, ErrorKind};
use crate::monitor::Monitor;
use crate::pipeline::regions_of;
use crate::source::{Event, Selection, What};
use crate::tensor::Dtype;

/// Plain bytes of a block.
const BLOCK: u64 = MIB as u64;
/// Blocks of one kind of data that are kept.
const KEPT: usize = 16;

/// One version, looked at and not read.
#[derive(Debug, Default)]
pub(super) struct Surveyed {
    /// Its files and their lengths, in the order of a push.
    pub(super) files: Vec<(Arc<Path>, u64)>,
    pub(super) bytes: u64,
    /// Bytes by kind: a dtype's name, or `plain`.
    pub(super) kinds: BTreeMap<&'static str, u64>,
}

/// Bytes of one kind, about as many as go into a blob.
#[derive(Debug, Clone, Default)]
pub(super) struct Block {
    pub(super) pieces: Vec<(Arc<Path>, u64, usize)>,
    len: u64,
}

/// A random choice among blocks that come by, of a length that is not known beforehand (Vitter's algorithm R).
#[derive(Debug, Default)]
struct Reservoir {
    kept: Vec<Block>,
    seen: u64,
    open: Block,
    bytes: u64,
}

/// What was seen of all versions.
#[derive(Debug, Default)]
pub(super) struct Survey {
    pub(super) versions: Vec<Surveyed>,
    reservoirs: BTreeMap<Option<Kind>, Reservoir>,
}

/// A dtype that can be put in order: by its name.
#[derive(Debug, Clone, Copy)]
struct Kind(Dtype);

impl PartialEq for Kind {
    fn eq(&self, other: &Self) -> bool {
        self.0.name() == other.0.name()
    }
}

impl Eq for Kind {}

impl PartialOrd for Kind {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Kind {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.name().cmp(other.0.name())
    }
}

/// What a kind of data is called.
pub(super) fn name_of(dtype: Option<Dtype>) -> &'static str {
    dtype.map_or("plain", |dtype| dtype.name())
}

impl Survey {
    /// Looks at all versions. Files that cannot be read are left to the push to tell of.
    pub(super) fn of(versions: &[PathBuf], monitor: &dyn Monitor) -> Result<Self, Error> {
        let mut survey = Self::default();
        for path in versions {
            let selection = Selection { paths: vec![path.clone()], ..Selection::default() };
            let walk = selection.walk().map_err(|error| Error::with(ErrorKind::Usage, "cannot measure this path", error))?;
            let mut version = Surveyed::default();
            for event in walk {
                if monitor.interrupted() {
                    return Err(Error::new(ErrorKind::Interrupted, "interrupted"));
                }
                let Event::Entry(found) = event else { continue };
                if !matches!(found.what, What::File { .. }) {
                    continue;
                }
                let Ok(file) = found.open() else { continue };
                let Ok((layout, regions)) = regions_of(&file) else { continue };
                let path: Arc<Path> = file.path().into();
                version.files.push((Arc::clone(&path), file.len()));
                version.bytes += file.len();
                for region in regions {
                    let dtype = region.tensor.and_then(|index| Some(layout.as_ref()?.tensors.get(index)?.dtype));
                    *version.kinds.entry(name_of(dtype)).or_default() += region.len;
                    survey.reservoirs.entry(dtype.map(Kind)).or_default().add(&path, region.offset, region.len);
                }
            }
            // What two versions have in common no codec may find within one block.
            survey.reservoirs.values_mut().for_each(Reservoir::close);
            survey.versions.push(version);
        }
        Ok(survey)
    }

    /// Bytes of all versions.
    pub(super) fn bytes(&self) -> u64 {
        self.versions.iter().map(|version| version.bytes).sum()
    }

    /// Bytes of one kind, of all versions.
    pub(super) fn of_kind(&self, name: &str) -> u64 {
        self.versions.iter().filter_map(|version| version.kinds.get(name)).sum()
    }

    /// For each kind of data its bytes in all versions and blocks of it.
    pub(super) fn blocks(self) -> Vec<(Option<Dtype>, u64, Vec<Block>)> {
        self.reservoirs.into_iter().map(|(kind, reservoir)| (kind.map(|kind| kind.0), reservoir.bytes, reservoir.kept)).collect()
    }
}

impl Reservoir {
    fn add(&mut self, path: &Arc<Path>, offset: u64, len: u64) {
        self.bytes += len;
        let mut at = 0;
        while at < len {
            let take = (BLOCK - self.open.len).min(len - at);
            self.open.pieces.push((Arc::clone(path), offset + at, take as usize));
            self.open.len += take;
            at += take;
            if self.open.len >= BLOCK {
                self.close();
            }
        }
    }

    fn close(&mut self) {
        let block = std::mem::take(&mut self.open);
        if block.len == 0 {
            return;
        }
        self.seen += 1;
        if self.kept.len() < KEPT {
            self.kept.push(block);
            return;
        }
        // The same choice each time: the hash of the number stands for chance.
        let chance = blake3::hash(&self.seen.to_le_bytes());
        let chance = u64::from_le_bytes(chance.as_bytes()[..8].try_into().expect("a hash has 32 bytes")) % self.seen;
        if let Some(slot) = self.kept.get_mut(chance as usize) {
            *slot = block;
        }
    }
}
