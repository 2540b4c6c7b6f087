//! `ls`: what is in a snapshot: its entries, the tensors of a weights file, the SHA-256 of a file.

use globset::GlobBuilder;
use sha2::{Digest as _, Sha256};

use super::list::{Item, SnapPath};
use crate::error::{Error, ErrorKind};
use crate::format::entry::{Entry, Kind};
use crate::repo::{Part, Repo, StoredFile, clean};
use crate::tensor::Tensor;

/// Zeros that stand for holes.
static ZEROS: [u8; 1 << 16] = [0; 1 << 16];

/// What to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// A directory, whose entries are listed, or something else, which is listed itself. Empty for the root.
    pub path: Vec<u8>,
    /// Whether directories are followed by what is in them.
    pub recursive: bool,
}

/// One line of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line<'e> {
    /// Path within the snapshot, without a `/` at its start.
    pub path: Vec<u8>,
    /// What is there.
    pub entry: &'e Entry,
}

/// Calls `give` for each entry, names of a directory ascending as bytes.
///
/// # Errors
/// When there is no such path, it cannot be read, or `give` fails.
pub fn ls(repo: &Repo, item: &Item, options: &Options, give: &mut dyn FnMut(Line<'_>) -> Result<(), Error>) -> Result<(), Error> {
    repo.refresh()?;
    let entry = repo.find(item, &options.path)?;
    match entry.kind {
        Kind::Directory { entries } => {
            repo.walk(&options.path, entries, options.recursive, &mut |path, entry| give(Line { path: path.to_vec(), entry }))
        }
        _ => give(Line { path: clean(&options.path), entry: &entry }),
    }
}

/// The tensors of a weights file, by their place in it: those whose names match `place.tensor`, where `*` matches anything, or all.
/// Only its header is read.
///
/// # Errors
/// When it is no weights file, no name matches, or it cannot be read.
pub fn tensors(repo: &Repo, item: &Item, place: &SnapPath) -> Result<Vec<Tensor>, Error> {
    repo.refresh()?;
    let usage = |message| Error::new(ErrorKind::Usage, message);
    let shown = String::from_utf8_lossy(&place.path);
    let entry = repo.find(item, &place.path)?;
    let mut file = StoredFile::new(repo, &entry)
        .ok_or_else(|| usage(format!("'{shown}' is no file: name a weights file, as in latest:model.safetensors")))?;
    let layout = file.layout()?.ok_or_else(|| {
        usage(format!("'{shown}' is no weights file that snap knows: it knows safetensors, GGUF, PyTorch and NumPy files"))
    })?;
    let mut tensors = layout.tensors;
    if let Some(glob) = &place.tensor {
        let matcher = GlobBuilder::new(glob).literal_separator(false).build();
        let matcher =
            matcher.map_err(|error| Error::with(ErrorKind::Usage, format!("'{glob}' is no pattern for names of tensors"), error))?;
        let matcher = matcher.compile_matcher();
        tensors.retain(|tensor| matcher.is_match(&tensor.name));
        if tensors.is_empty() {
            return Err(usage(format!("no tensor of '{shown}' matches '{glob}'")));
        }
    }
    Ok(tensors)
}

/// The SHA-256 of a file's bytes.
///
/// # Errors
/// When `entry` is no file or cannot be read.
pub fn sha256(repo: &Repo, entry: &Entry) -> Result<[u8; 32], Error> {
    let file = StoredFile::new(repo, entry);
    let file = file.ok_or_else(|| Error::new(ErrorKind::Usage, format!("'{}' is no file", String::from_utf8_lossy(&entry.name))))?;
    let mut hasher = Sha256::new();
    file.for_each(&mut |part| {
        match part {
            Part::Bytes(bytes) => hasher.update(bytes),
            Part::Hole(mut len) => {
                while len > 0 {
                    let some = len.min(ZEROS.len() as u64);
                    hasher.update(&ZEROS[..some as usize]);
                    len -= some;
                }
            }
        }
        Ok(())
    })?;
    Ok(hasher.finalize().into())
}
