//! What a simple delta of weights costs: `xor_planes VERSION…` prints, for each version folder, its bytes and the bytes that are left of
//! it when each tensor is XORed with the tensor of that name in the same file of the version before, split into byte planes and
//! compressed by zstd at level 1. What is no tensor costs zstd at level 3; what is equal to before costs nothing.
//!
//! This is the yardstick that others use for checkpoints, and no store: nothing is kept.

#![expect(clippy::print_stdout, reason = "what it prints is its result")]

use std::collections::HashMap;
use std::error::Error;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use store_core::tensor::{Tensor, layout_of};

const TENSOR_LEVEL: i32 = 1;
const PLAIN_LEVEL: i32 = 3;

fn main() -> Result<(), Box<dyn Error>> {
    let mut before: Option<PathBuf> = None;
    for version in std::env::args_os().skip(1).map(PathBuf::from) {
        let (mut raw, mut left) = (0, 0);
        for path in files(&version)? {
            let new = fs::read(&path)?;
            let old = before.as_ref().and_then(|before| fs::read(before.join(path.strip_prefix(&version).ok()?)).ok());
            raw += new.len();
            left += cost(&new, old.as_deref().unwrap_or_default())?;
        }
        println!("{}\t{raw}\t{left}", version.display());
        before = Some(version);
    }
    Ok(())
}

/// The regular files below a folder.
fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut names: Vec<OsString> = fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.file_name())).collect::<Result<_, _>>()?;
    names.sort();
    for path in names.into_iter().map(|name| folder.join(name)) {
        let kind = fs::symlink_metadata(&path)?.file_type();
        if kind.is_dir() {
            found.extend(files(&path)?);
        } else if kind.is_file() {
            found.push(path);
        }
    }
    Ok(found)
}

/// The bytes left of a file, given the file of that name in the version before (empty if there is none).
fn cost(new: &[u8], old: &[u8]) -> io::Result<usize> {
    if new == old {
        return Ok(0);
    }
    let known: HashMap<String, Tensor> = tensors(old).into_iter().map(|tensor| (tensor.name.clone(), tensor)).collect();
    let (mut left, mut plain, mut end) = (0, Vec::new(), 0);
    for tensor in tensors(new) {
        plain.extend_from_slice(&new[end..tensor.offset as usize]);
        end = tensor.end() as usize;
        let base = known.get(&tensor.name).filter(|base| base.len == tensor.len && base.dtype == tensor.dtype);
        left += tensor_cost(bytes_of(new, &tensor), base.map(|base| bytes_of(old, base)), tensor.dtype.block_bytes() as usize)?;
    }
    plain.extend_from_slice(&new[end..]);
    Ok(left + zstd::bulk::compress(&plain, PLAIN_LEVEL)?.len())
}

fn tensors(file: &[u8]) -> Vec<Tensor> {
    layout_of(file).map(|layout| layout.tensors).unwrap_or_default()
}

fn bytes_of<'a>(file: &'a [u8], tensor: &Tensor) -> &'a [u8] {
    &file[tensor.offset as usize..tensor.end() as usize]
}

/// The bytes left of a tensor of elements (or blocks) of `width` bytes.
fn tensor_cost(new: &[u8], old: Option<&[u8]>, width: usize) -> io::Result<usize> {
    if old == Some(new) {
        return Ok(0);
    }
    let mut planes = Vec::with_capacity(new.len());
    for plane in 0..width {
        match old {
            Some(old) => planes.extend(new.iter().zip(old).skip(plane).step_by(width).map(|(new, old)| new ^ old)),
            None => planes.extend(new.iter().skip(plane).step_by(width)),
        }
    }
    Ok(zstd::bulk::compress(&planes, TENSOR_LEVEL)?.len())
}
