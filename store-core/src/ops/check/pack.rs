//! One pack: its footer, and if it is read in full each blob.

use std::cell::Cell;
use std::ops::Range;

use super::Spot;
use super::defects::Part;
use super::packs::ListedPack;
use super::spread::BlobId;
use crate::backend::ObjectPath;
use crate::base::ids::PackId;
use crate::base::limits;
use crate::error::chain;
use crate::format::blob::BlobKind;
use crate::format::envelope::{HEADER_LEN, ObjectError};
use crate::format::pack::{BlobEntry, PackContents, PackOpener, TRAILER_LEN, pack_id};
use crate::index::BlobPlace;
use crate::repo::{ReadError, Repo};

/// What was found in one pack.
#[derive(Default, PartialEq, Eq)]
pub(super) struct PackFindings {
    pub(super) defects: Vec<(Spot, Part, String)>,
    /// Blobs that cannot be had, and the spot that is to blame.
    pub(super) blobs: Vec<(BlobId, Spot)>,
    pub(super) read_bytes: u64,
    pub(super) blob_count: u64,
    /// Whether it is not there any more.
    pub(super) is_gone: bool,
}

impl PackFindings {
    /// Whether nothing is wrong with it, or it is not there to be looked at again.
    pub(super) fn is_sound_or_gone(&self) -> bool {
        self.is_gone || self.defects.is_empty() && self.blobs.is_empty()
    }
}

pub(super) struct PackCheck<'c> {
    repo: &'c Repo,
    id: PackId,
    len: u64,
    listed: Option<&'c ListedPack>,
    found: PackFindings,
}

impl<'c> PackCheck<'c> {
    pub(super) fn new(repo: &'c Repo, id: PackId, len: u64, listed: Option<&'c ListedPack>) -> Self {
        Self { repo, id, len, listed, found: PackFindings::default() }
    }

    fn spot(&self, range: Range<u64>) -> Spot {
        (ObjectPath::Pack(self.id).to_string(), range.start, range.end)
    }

    fn frame(&mut self, problem: impl Into<String>) {
        self.found.defects.push((self.spot(0..self.len), Part::Frame(self.id), problem.into()));
    }

    /// None of its blobs can be had.
    fn unreadable(mut self, problem: String) -> PackFindings {
        let spot = self.spot(0..self.len);
        let count = self.listed.map_or(0, |listed| listed.contents.blobs.len() as u32);
        self.found.blobs = (0..count).map(|ordinal| ((self.id, ordinal), spot.clone())).collect();
        let part = if self.listed.is_some() { Part::Blobs } else { Part::Record };
        self.found.defects.push((spot, part, problem));
        self.found
    }

    /// Looks at the footer, and if `whole` at all bytes.
    pub(super) fn run(mut self, whole: bool) -> PackFindings {
        let path = ObjectPath::Pack(self.id);
        if self.len > limits::PACK_LEN as u64 {
            return self.unreadable("no pack is that long".into());
        }
        let bytes = match whole.then(|| self.repo.backend.read(&path, limits::PACK_LEN)).transpose() {
            Ok(bytes) => bytes,
            Err(error) => {
                self.found.is_gone = error.is_not_found();
                return self.unreadable(chain(&error));
            }
        };
        let is_gone = Cell::new(false);
        let footer = match &bytes {
            Some(bytes) => self.footer(bytes.len() as u64, |offset, len| {
                bytes.get(offset as usize..offset as usize + len).map(<[u8]>::to_vec).ok_or_else(|| "the pack ends too early".to_owned())
            }),
            None => self.footer(self.len, |offset, len| {
                self.repo.backend.read_range(&path, offset, len).map_err(|error| {
                    is_gone.set(error.is_not_found());
                    chain(&error)
                })
            }),
        };
        self.found.is_gone = is_gone.get();
        match (&footer, self.listed) {
            (Err(problem), _) => self.frame(format!("its footer cannot be read: {problem}")),
            (Ok(footer), Some(listed)) if !same_blobs(footer, &listed.contents) => {
                self.frame("its footer and an index segment disagree");
            }
            _ => {}
        }
        let footer = footer.ok();
        let Some(contents) = self.listed.map(|listed| &listed.contents).or(footer.as_ref()) else { return self.found };
        self.found.blob_count = contents.blobs.len() as u64;
        let Some(bytes) = bytes else { return self.found };
        self.found.read_bytes = bytes.len() as u64;
        for (ordinal, (blob, offset)) in contents.blobs.iter().zip(contents.offsets()).enumerate() {
            self.blob(&bytes, ordinal as u32, blob, offset);
        }
        if self.found.defects.is_empty() && self.found.blobs.is_empty() && pack_id(&bytes) != self.id {
            self.frame("its bytes do not have the hash that its name says, yet every blob is whole");
        }
        self.found
    }

    fn footer(&self, len: u64, read: impl Fn(u64, usize) -> Result<Vec<u8>, String>) -> Result<PackContents, String> {
        let text = |error: ObjectError| chain(&error);
        let opener = PackOpener::new(&self.repo.keys, &read(0, HEADER_LEN)?).map_err(text)?;
        let end = len.checked_sub(TRAILER_LEN as u64).ok_or("it is too short")?;
        let footer_len = PackOpener::footer_len(&read(end, TRAILER_LEN)?, len).map_err(text)?;
        opener.open_footer(read(end - footer_len as u64, footer_len)?, len).map_err(text)
    }

    /// Decodes a blob and compares its chunks with their ids.
    fn blob(&mut self, bytes: &[u8], ordinal: u32, blob: &BlobEntry, offset: u64) {
        let range = offset..offset + u64::from(blob.frame.sealed_len);
        let own = self.spot(range.clone());
        let place = BlobPlace { pack: self.id, offset, frame: blob.frame.clone() };
        let sealed = bytes.get(range.start as usize..range.end as usize).map(<[u8]>::to_vec);
        let (spot, problem) = match sealed.map(|sealed| self.repo.decode_blob(&place, ordinal, sealed)) {
            None => (own, "the pack ends before the blob does".to_owned()),
            Some(Err(error)) => blame(error, own),
            Some(Ok(plain)) => match self.wrong_chunks(&plain, blob) {
                0 => return,
                wrong => (own, format!("{wrong} of its {} chunks do not have the ids that they are listed under", blob.ids.len())),
            },
        };
        self.found.defects.push((spot.clone(), Part::Blobs, problem));
        self.found.blobs.push(((self.id, ordinal), spot));
    }

    fn wrong_chunks(&self, plain: &[u8], blob: &BlobEntry) -> usize {
        let keys = &self.repo.keys;
        let mut at = 0;
        let is_wrong = |(id, len): &(&crate::base::ids::ChunkId, &u32)| {
            let chunk = plain.get(at..at + **len as usize).unwrap_or_default();
            at += **len as usize;
            match blob.frame.kind {
                BlobKind::Data => keys.chunk_id(chunk) != **id,
                BlobKind::Nodes => keys.node_id(chunk).as_bytes() != id.as_bytes(),
            }
        };
        blob.ids.iter().zip(&blob.frame.chunk_lens).filter(is_wrong).count()
    }
}

/// The spot that is to blame when a blob cannot be decoded: its own, or that of a blob that it is coded against.
fn blame(error: ReadError, own: Spot) -> (Spot, String) {
    match error {
        ReadError::Object { object, offset, len, source } => ((object, offset, offset.saturating_add(len)), chain(&source)),
        ReadError::Decode { object, offset, len, source } => ((object, offset, offset.saturating_add(len)), chain(&source)),
        error => (own, chain(&error)),
    }
}

fn same_blobs(a: &PackContents, b: &PackContents) -> bool {
    a.blobs.len() == b.blobs.len() && a.blobs.iter().zip(&b.blobs).all(|(a, b)| a.frame == b.frame && a.ids == b.ids)
}
