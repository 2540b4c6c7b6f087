//! What a blob may be coded against, and whether that is worth what reading it costs.

use std::borrow::Cow;

use super::chain::{Chain, Charge};
use super::code::element_of;
use super::weighed::Refusal;
use crate::base::ids::ChunkId;
use crate::codec::{Element, convert};
use crate::format::blob::Frame;
use crate::tensor::Dtype;

/// Coding plain bytes against bases saves at least one byte for so many that are read for it.
const READING: usize = 32;

/// What a blob may be coded against.
#[derive(Debug, Clone, Default)]
pub struct Bases {
    /// Which chunks.
    pub ids: Vec<ChunkId>,
    /// Their bytes, one after the other.
    pub bytes: Vec<u8>,
    /// Where in them what is like the first of the plain bytes is likely to begin.
    pub begins: usize,
    /// The greatest depth of the blobs that hold them.
    pub depth: u8,
    /// Whether base and plain bytes correspond place by place, element by element.
    pub aligned: bool,
    /// What the numbers of aligned bases are, where they are others than those that are coded.
    pub kind: Option<Dtype>,
    /// What each of the chunks was before: as many, each as long, or none. Only of aligned bases.
    pub older: Vec<ChunkId>,
    /// Their bytes, one after the other.
    pub older_bytes: Vec<u8>,
    /// What reading the bases takes, but for those that are read for what stands beside this, too.
    pub chain: Chain,
    /// What the snapshot pays for reading them; `None` where nobody counts.
    pub charge: Option<Charge>,
    /// Stored bytes that reading what is coded against these may take, them included; `None` where only the share of `whole` counts.
    pub most_reads: Option<u64>,
}

impl Bases {
    /// Whether coding `plain` bytes against these may take `coded` bytes where `whole` would do without.
    pub(super) fn carry(&self, plain: usize, coded: usize, whole: usize) -> bool {
        self.refusal(plain, coded, whole).is_none()
    }

    /// Why not.
    pub(super) fn refusal(&self, plain: usize, coded: usize, whole: usize) -> Option<Refusal> {
        let chain = self.chain.at_most(plain as u64);
        let (coded_len, whole_len) = (coded as u64, whole as u64);
        // What the snapshot needs anyway costs no more.
        let costs = Chain { reads: self.charge.map_or(chain.reads, |charge| charge.more.min(chain.reads)), ..chain };
        if !self.may_take(plain as u64, coded_len) {
            Some(Refusal::Relied)
        } else if self.worth(coded) + self.reading(chain) >= whole {
            Some(Refusal::Little)
        } else if !costs.carries(coded_len, whole_len) || self.charge.is_some_and(|charge| !charge.is_paid(coded_len, whole_len)) {
            Some(Refusal::Chain)
        } else {
            None
        }
    }

    /// What a chain of plain bytes costs at the least, beside names: what has something of everything is like everything a little, and would be read
    /// with all of that to save next to nothing.
    fn reading(&self, chain: Chain) -> usize {
        if self.aligned { 0 } else { chain.reads as usize / READING }
    }

    /// What a coding with these really costs: their names stand in a footer and in an index segment, reading takes longer, and of plain bytes, whose
    /// next version is coded best against these, a part of what a chain may carry is used up.
    pub(super) fn worth(&self, coded: usize) -> usize {
        let steps = if self.aligned { 1 } else { usize::from(self.depth) + 1 };
        coded + coded * steps / 16 + self.ids.len() * 2 * ChunkId::LEN
    }

    /// Whether `plain` bytes may be coded against these in `stored` bytes, as far as others are concerned who rely on them.
    pub fn may_take(&self, plain: u64, stored: u64) -> bool {
        self.most_reads.is_none_or(|most| self.chain.at_most(plain).reads + stored <= most)
    }

    /// The bytes of aligned bases, as numbers of the kind that is coded.
    pub(super) fn numbers(&self, element: Element, plain: &[u8]) -> Option<Cow<'_, [u8]>> {
        if !self.aligned {
            return None;
        }
        match self.kind {
            None => Some(Cow::Borrowed(&self.bytes[..])).filter(|bytes| bytes.len() == plain.len()),
            Some(kind) => convert(element_of(kind)?, element, &self.bytes, plain.len()).ok().map(Cow::Owned),
        }
    }

    pub(super) fn older_of(&self, plain: &[u8]) -> Option<&[u8]> {
        // What stands before numbers of another type is of that type, too.
        Some(&self.older_bytes[..]).filter(|older| self.kind.is_none() && older.len() == plain.len())
    }

    /// Adds aligned bases for what follows.
    pub fn join(&mut self, bases: Self) {
        self.chain = self.chain.and(bases.chain);
        self.depth = self.depth.max(bases.depth);
        self.ids.extend(bases.ids);
        append(&mut self.bytes, bases.bytes);
        self.older.extend(bases.older);
        append(&mut self.older_bytes, bases.older_bytes);
    }

    /// The bytes of those that a blob refers to.
    pub fn bytes_of(&self, frame: &Frame) -> Cow<'_, [u8]> {
        match frame.bases.len() {
            0 => Cow::Borrowed(&[]),
            len if len > self.ids.len() => Cow::Owned([&self.bytes[..], &self.older_bytes].concat()),
            _ => Cow::Borrowed(&self.bytes),
        }
    }
}

/// Appends bytes; where no room was made for several parts, the first one is not copied.
fn append(bytes: &mut Vec<u8>, more: Vec<u8>) {
    if bytes.capacity() == 0 {
        *bytes = more;
    } else {
        bytes.extend_from_slice(&more);
    }
}
