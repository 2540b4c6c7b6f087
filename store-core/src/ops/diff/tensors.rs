//! Which tensors of weights files differ, in how many elements and by how much.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt as _;

use rayon::prelude::*;

use super::numbers::{Distance, distance};
use super::{Options, Side, What, diff, two_folders};
use crate::base::units::MIB;
use crate::error::{Error, ErrorKind};
use crate::format::entry::{Extent, Kind};
use crate::pipeline::detect_with;
use crate::repo::{Extents, Placed, Repo, StoredFile, clean};
use crate::source::OpenFile;
use crate::tensor::{Dtype, Layout, Tensor};

/// Bytes that one job compares.
const PIECE: u64 = MIB as u64;
/// Jobs at a time; each holds two pieces and a chunk of either side.
const JOBS: usize = 16;

/// A tensor that differs.
#[derive(Debug, Clone, PartialEq)]
pub struct TensorChange {
    /// The file that has it, below what is compared.
    pub file: Vec<u8>,
    /// Its name.
    pub name: String,
    /// What its elements are, on the second side if it is there.
    pub dtype: Dtype,
    /// Its dimensions there.
    pub shape: Vec<u64>,
    /// How it differs: as a whole, in some of its elements, or ([`What::TypeChanged`]) in type or shape.
    pub what: What,
    /// Its elements.
    pub elements: u64,
    /// Those that differ; all, unless it is [`What::Modified`]. Of quantised types, whole blocks count.
    pub changed_elements: u64,
    /// The largest absolute difference of two numbers; `None` where the type has none.
    pub max_abs_diff: Option<f64>,
}

/// Compares the tensors of weights files by name: of two files, or of all files that differ below two directories.
///
/// Chunks that both sides share are not read. Memory is bounded by the files' headers and a few pieces of a mebibyte.
///
/// # Errors
/// When a side is not there or cannot be read, both are folders, or two files are named and neither has tensors.
pub fn tensors(repo: &Repo, old: &Side, new: &Side, options: &Options) -> Result<Vec<TensorChange>, Error> {
    if matches!((old, new), (Side::Folder(_), Side::Folder(_))) {
        return Err(two_folders());
    }
    repo.refresh()?;
    let mut changes = Vec::new();
    if is_file(repo, old)? && is_file(repo, new)? {
        let (old, new) = (open(repo, old, b"")?, open(repo, new, b"")?);
        if !compare(repo, b"", old, new, &mut changes)? {
            return Err(Error::new(ErrorKind::Usage, "neither file is a weights file that snap knows"));
        }
        return Ok(changes);
    }
    let mut differ = Vec::new();
    diff(repo, old, new, options, &mut |change| {
        if change.old_size > 0 || change.new_size > 0 {
            differ.push(change);
        }
        Ok(())
    })?;
    for change in differ {
        let old = if change.old_size > 0 { open(repo, old, &change.path)? } else { None };
        let new = if change.new_size > 0 { open(repo, new, &change.path)? } else { None };
        compare(repo, &change.path, old, new, &mut changes)?;
    }
    Ok(changes)
}

fn is_file(repo: &Repo, side: &Side) -> Result<bool, Error> {
    Ok(match side {
        Side::Snapshot(item, path) => matches!(repo.find(item, path)?.kind, Kind::File { .. }),
        Side::Folder(path) => path.is_file(),
    })
}

/// A file of either side.
enum File<'r> {
    Stored(StoredFile<'r>),
    Live(OpenFile),
}

fn open<'r>(repo: &'r Repo, side: &Side, below: &[u8]) -> Result<Option<File<'r>>, Error> {
    match side {
        Side::Snapshot(item, path) => {
            let path = [&clean(path)[..], below].join(&b'/');
            Ok(StoredFile::new(repo, &repo.find(item, &path)?).map(File::Stored))
        }
        Side::Folder(folder) => {
            let path = if below.is_empty() { folder.clone() } else { folder.join(OsStr::from_bytes(below)) };
            let file = OpenFile::open(&path).map_err(|error| Error::with(ErrorKind::Failed, "cannot compare a file", error))?;
            Ok(Some(File::Live(file)))
        }
    }
}

impl<'r> File<'r> {
    fn layout(&mut self) -> Result<Option<Layout>, Error> {
        match self {
            Self::Stored(file) => file.layout(),
            Self::Live(file) => {
                detect_with(file.len(), |offset, buffer| file.read_exact_at(offset, buffer)).map_err(|error| unread(file, error))
            }
        }
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        match self {
            // Each job has its own last chunk.
            Self::Stored(file) => file.clone().read_at(offset, buffer),
            Self::Live(file) => file.read_exact_at(offset, buffer).map_err(|error| unread(file, error)),
        }
    }

    fn runs(&self, tensor: &Tensor) -> Result<Runs<'r>, Error> {
        Ok(match self {
            Self::Stored(file) => Runs::Stored { extents: file.extents(tensor.offset)?, start: tensor.offset, len: tensor.len },
            Self::Live(_) => Runs::Live(Some(tensor.len)),
        })
    }
}

fn unread(file: &OpenFile, error: std::io::Error) -> Error {
    Error::with(ErrorKind::Failed, format!("cannot read {}", file.path().display()), error)
}

/// The runs of a tensor, by their places within it.
enum Runs<'r> {
    Stored { extents: Extents<'r>, start: u64, len: u64 },
    Live(Option<u64>),
}

/// A run of a tensor's bytes. Where two runs have equal ranges and equal content that is not `None`, their bytes are equal.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Run {
    range: Range<u64>,
    /// The extent, and how much of it lies before the tensor.
    content: Option<(Extent, u64)>,
}

impl Runs<'_> {
    fn next(&mut self) -> Result<Option<Run>, Error> {
        match self {
            Self::Live(len) => Ok(len.take().map(|len| Run { range: 0..len, content: None })),
            Self::Stored { extents, start, len } => {
                let Some(Placed { offset, extent }) = extents.next()? else { return Ok(None) };
                let (end, before) = (offset + extent.len(), start.saturating_sub(offset));
                let range = offset.saturating_sub(*start)..end.saturating_sub(*start).min(*len);
                Ok((!range.is_empty()).then_some(Run { range, content: Some((extent, before)) }))
            }
        }
    }
}

/// Compares two files, of which one may be missing. `false` if neither has tensors.
fn compare(repo: &Repo, path: &[u8], old: Option<File<'_>>, new: Option<File<'_>>, changes: &mut Vec<TensorChange>) -> Result<bool, Error> {
    let (mut old, mut new) = (old, new);
    let layout = |file: &mut Option<File<'_>>| file.as_mut().map_or(Ok(None), File::layout);
    let (old_layout, new_layout) = (layout(&mut old)?, layout(&mut new)?);
    if old_layout.is_none() && new_layout.is_none() {
        return Ok(false);
    }
    let list = |layout: Option<Layout>| layout.map(|layout| layout.tensors).unwrap_or_default();
    let (old_list, new_list) = (list(old_layout), list(new_layout));
    let whole = |tensor: &Tensor, what| {
        let elements = elements(tensor);
        let (name, shape) = (tensor.name.clone(), tensor.shape.clone());
        TensorChange {
            file: path.to_vec(),
            name,
            dtype: tensor.dtype,
            shape,
            what,
            elements,
            changed_elements: elements,
            max_abs_diff: None,
        }
    };
    let mut gone: HashMap<&str, &Tensor> = old_list.iter().map(|tensor| (tensor.name.as_str(), tensor)).collect();
    for tensor in &new_list {
        let Some(before) = gone.remove(tensor.name.as_str()) else {
            changes.push(whole(tensor, What::Added));
            continue;
        };
        if (before.dtype, &before.shape) != (tensor.dtype, &tensor.shape) {
            changes.push(whole(tensor, What::TypeChanged));
            continue;
        }
        let (Some(old), Some(new)) = (&old, &new) else { continue };
        let distance = compare_tensor(repo, (old, before), (new, tensor))?;
        if distance.changed > 0 {
            let change = whole(tensor, What::Modified);
            changes.push(TensorChange {
                changed_elements: distance.changed.min(change.elements),
                max_abs_diff: distance.largest,
                ..change
            });
        }
    }
    changes.extend(old_list.iter().filter(|tensor| gone.contains_key(tensor.name.as_str())).map(|tensor| whole(tensor, What::Removed)));
    Ok(true)
}

fn elements(tensor: &Tensor) -> u64 {
    tensor.shape.iter().fold(1, |product: u64, dim| product.saturating_mul(*dim))
}

/// Compares two tensors of one type and shape.
fn compare_tensor(repo: &Repo, (old, at): (&File<'_>, &Tensor), (new, to): (&File<'_>, &Tensor)) -> Result<Distance, Error> {
    let block = to.dtype.block_bytes();
    let job = |range: &Range<u64>| -> Result<Distance, Error> {
        let len = (range.end - range.start) as usize;
        let (mut a, mut b) = (vec![0; len], vec![0; len]);
        old.read(at.offset + range.start, &mut a)?;
        new.read(to.offset + range.start, &mut b)?;
        Ok(distance(to.dtype, &a, &b))
    };
    let run = |jobs: &mut Vec<Range<u64>>| -> Result<Distance, Error> {
        let all = |jobs: &Vec<Range<u64>>| jobs.par_iter().map(job).try_reduce(Distance::default, |a, b| Ok(a.and(b)));
        let found = repo.pool.install(|| all(jobs))?;
        jobs.clear();
        Ok(found)
    };
    let (mut total, mut jobs, mut done) = (Distance::default(), Vec::new(), 0);
    let (mut olds, mut news) = (old.runs(at)?, new.runs(to)?);
    let (mut x, mut y) = (olds.next()?, news.next()?);
    while let (Some(a), Some(b)) = (&x, &y) {
        let range = a.range.start.max(b.range.start)..a.range.end.min(b.range.end);
        if a.content.is_none() || !same(a, b) {
            // Whole elements, none of them twice.
            let mut start = (range.start / block * block).max(done);
            let end = range.end.div_ceil(block).saturating_mul(block).min(to.len);
            while start < end {
                let piece = start..end.min(start + PIECE / block * block);
                start = piece.end;
                jobs.push(piece);
                if jobs.len() == JOBS {
                    total = total.and(run(&mut jobs)?);
                }
            }
            done = done.max(end);
        }
        let (a_ends, b_ends) = (a.range.end == range.end, b.range.end == range.end);
        if a_ends {
            x = olds.next()?;
        }
        if b_ends {
            y = news.next()?;
        }
    }
    Ok(total.and(run(&mut jobs)?))
}

fn same(a: &Run, b: &Run) -> bool {
    match (&a.content, &b.content) {
        (Some((Extent::Hole { .. }, _)), Some((Extent::Hole { .. }, _))) => true,
        // The parts of one chunk that lie at one place of the tensor.
        (Some((x, before)), Some((y, other))) => x == y && before == other && a.range.start == b.range.start,
        _ => false,
    }
}
