//! The jobs that find bases for groups of chunks, code them, and see whether they decode.

use std::sync::{Arc, Mutex, PoisonError};

use super::base::{BaseFinder, Continued};
use super::choose::telling;
use super::cut::CutContext;
use super::fresh::{Awaited, Brought, Coding, Coming, Fresh, Sweeps};
use super::prefix::{LARGE, is_nearer};
use super::store::Group;
use crate::base::ids::ChunkId;
use crate::blob::{self, Bases, CodedBlob, Plain};
use crate::clock;
use crate::codec::Compression;
use crate::error::{Error, ErrorKind};
use crate::format::blob::BlobKind;
use crate::format::pack::Sketch;
use crate::monitor::{BaseWays, Decision, Monitor};
use crate::repo::{Drawn, NewBlob, PackWriter, Scratch};
use crate::sketch;
use crate::tensor::Dtype;

/// What the coding jobs share.
pub(super) struct CodingShared<'r> {
    /// Finds bases; `None` when all is to be stored whole.
    pub(super) bases: Option<BaseFinder<'r>>,
    /// What is new and may be what something else resembles; `None` when nothing is written.
    pub(super) fresh: Option<Fresh>,
    pub(super) writer: PackWriter,
    pub(super) context: Arc<CutContext>,
    pub(super) compression: Compression,
    pub(super) failure: Mutex<Option<Error>>,
    /// Who is told of decisions.
    pub(super) monitor: &'r dyn Monitor,
    /// Which groups a measurement takes.
    pub(super) scratch: Option<&'r Scratch>,
}

impl CodingShared<'_> {
    /// Codes a group as blobs.
    pub(super) fn code(&self, kind: BlobKind, group: Group) -> Result<(), Error> {
        let finder = self.bases.as_ref().filter(|_| kind == BlobKind::Data);
        let sketches = finder.map(|finder| finder.sketches(&group)).unwrap_or_default();
        let Some(finder) = finder.filter(|_| !group.whole) else {
            let ways = BaseWays { none: group.ids.len() as u64, ..BaseWays::default() };
            return self.code_one(kind, group, sketches, None, ways);
        };
        match group.dtype {
            Some(dtype) => self.code_numbers(finder, group, dtype, sketches),
            None => self.code_plain(finder, group, sketches),
        }
    }

    /// Codes plain chunks as one blob.
    fn code_plain(&self, finder: &BaseFinder<'_>, group: Group, sketches: Vec<Sketch>) -> Result<(), Error> {
        let known = &self.context.known;
        let sweeps = self.sweeps();
        let telling = telling(&sketches, |chunk| group.lens[chunk] >= LARGE);
        let mut resembled = finder.resembled(known, &group, &telling)?;
        let (_coding, awaited) = self.meet(sweeps, &group, &telling, |i, brought, votes| is_nearer(resembled[i].as_ref(), brought, votes));
        if self.is_named(awaited)? {
            resembled = finder.resembled(known, &group, &telling)?;
        }
        let mut ways = BaseWays::default();
        let bases = finder.prefix(known, &group, &sketches, &resembled, &mut ways);
        self.code_one(BlobKind::Data, group, sketches, bases.as_ref(), ways)
    }

    /// Codes numbers as one blob; as several where some segments have a base, or one of another type, and others have none.
    fn code_numbers(&self, finder: &BaseFinder<'_>, group: Group, dtype: Dtype, sketches: Vec<Sketch>) -> Result<(), Error> {
        let known = &self.context.known;
        let mut ways = BaseWays::default();
        let sweeps = self.sweeps();
        let mut continued = finder.continued(known, &group, &sketches, &mut ways)?;
        let is_nearer = |i: usize, brought: &Brought, votes: usize| continued[i].is_further(dtype, group.lens[i], brought, votes);
        let (_coding, awaited) = self.meet(sweeps, &group, &sketches, is_nearer);
        if self.is_named(awaited)? {
            ways = BaseWays::default();
            continued = finder.continued(known, &group, &sketches, &mut ways)?;
        }
        let none = BaseWays { none: std::mem::take(&mut ways.none), ..BaseWays::default() };
        let mut rest = (group, sketches, continued);
        // Mostly there is one sort of segments, and one part.
        while let Some(sort) = rest.2.first().map(Continued::sort) {
            let taken: Vec<bool> = rest.2.iter().map(|continued| continued.sort() == sort).collect();
            let (part, others) = if taken.contains(&false) { rest.0.part(|i| taken[i]) } else { (rest.0, Group::default()) };
            let (mut of_part, of_others) = parted(rest.1, &taken);
            let (continued, left) = parted(rest.2, &taken);
            let same: Vec<_> = continued.iter().filter_map(|continued| continued.same).collect();
            let other: Vec<_> = continued.iter().filter_map(|continued| continued.other).map(|(location, _)| location).collect();
            let aligned = if sort.0 { finder.aligned(known, &part, &same) } else { None };
            let deepest = same.iter().map(|location| location.depth).max();
            let is_full = deepest.is_some_and(|deepest| aligned.as_ref().is_none_or(|bases| bases.depth < deepest));
            let converted = sort.1.and_then(|kind| finder.converted(known, &part, &other, kind));
            let bases = finder.cheaper(&part, aligned, converted);
            let is_converted = bases.as_ref().is_some_and(|bases| bases.kind.is_some());
            of_part.iter_mut().for_each(|kept| *kept = sketch::kept(*kept, dtype, is_converted));
            let mut ways = if sort == (false, None) { none } else { std::mem::take(&mut ways) };
            ways.full = if is_full { part.ids.len() as u64 } else { 0 };
            self.code_one(BlobKind::Data, part, of_part, bases.as_ref(), ways)?;
            rest = (others, of_others, left);
        }
        Ok(())
    }

    /// See [`Fresh::sweeps`].
    fn sweeps(&self) -> Sweeps {
        self.fresh.as_ref().map_or_else(Sweeps::default, Fresh::sweeps)
    }

    /// Tells those that come later of a group, and whether it waits for others: see [`Fresh::meet`].
    fn meet(
        &self,
        sweeps: Sweeps,
        group: &Group,
        sketches: &[Sketch],
        is_nearer: impl Fn(usize, &Brought, usize) -> bool,
    ) -> (Option<Coding<'_>>, Option<Awaited>) {
        let Some(fresh) = &self.fresh else { return (None, None) };
        let coming = Coming { number: group.number, dtype: group.dtype, ids: &group.ids, lens: &group.lens, sketches };
        let (coding, awaited) = fresh.meet(&self.writer, sweeps, coming, is_nearer);
        (Some(coding), awaited)
    }

    /// Whether something was awaited, and is named from now on, so that bases are to be looked for again.
    fn is_named(&self, awaited: Option<Awaited>) -> Result<bool, Error> {
        let (Some(fresh), Some(awaited)) = (&self.fresh, awaited) else { return Ok(false) };
        fresh.name(&self.writer, &awaited).map(|()| true)
    }

    /// Sees to it that the index names these chunks, as far as they were coded or are being coded. Says whether that is new.
    pub(super) fn name(&self, ids: &[ChunkId]) -> Result<bool, Error> {
        self.fresh.as_ref().map_or(Ok(false), |fresh| fresh.name_all(&self.writer, ids))
    }

    /// Adds a blob that was coded before, as if it came from the group with this number.
    pub(super) fn add(&self, blob: NewBlob, number: u64) -> Result<(), Error> {
        if let Some(finder) = &self.bases {
            finder.enter(&self.context.known, number, &blob.coded.frame, blob.coded.frame.sealed_len.into(), blob.coded.alone)?;
        }
        if let Some(fresh) = &self.fresh {
            let frame = &blob.coded.frame;
            fresh.bring(Coming { number, dtype: blob::dtype_of(frame), ids: &blob.ids, lens: &frame.chunk_lens, sketches: &blob.sketches });
        }
        self.writer.add(blob)
    }

    fn code_one(&self, kind: BlobKind, group: Group, sketches: Vec<Sketch>, bases: Option<&Bases>, ways: BaseWays) -> Result<(), Error> {
        let scratch = self.scratch.filter(|_| kind == BlobKind::Data);
        let Drawn { taken, share, unit } = group.drawn;
        let told = self.monitor.wants_decisions().then(|| Decision {
            path: group.path.as_deref().unwrap_or_default().to_owned(),
            what: match (kind, group.dtype) {
                (BlobKind::Nodes, _) => "nodes",
                (BlobKind::Data, Some(dtype)) => dtype.name(),
                (BlobKind::Data, None) => "plain",
            },
            chunks: group.ids.len() as u64,
            plain: group.plain.len() as u64,
            bases: ways,
            weighed: Vec::new(),
            codec: None,
            share,
            unit,
            stored: 0,
            coding: clock::of_this_thread(),
        });
        let tell = |coded: Option<&CodedBlob>| {
            let Some(mut decision) = told else { return };
            decision.coding = clock::of_this_thread().saturating_sub(decision.coding);
            if let Some(coded) = coded {
                decision.weighed.clone_from(&coded.weighed);
                decision.codec = Some(blob::codec_name(&coded.frame));
                decision.stored = u64::from(coded.frame.sealed_len);
            }
            self.monitor.decision(&decision);
        };
        if !taken {
            tell(None);
            let coded = blob::left_out(kind, group.lens, bases);
            if let (Some(finder), Some(scratch)) = (&self.bases, scratch) {
                let takes = |is_based| scratch.would_take(group.plain.len() as u64, is_based);
                finder.enter(&self.context.known, group.number, &coded.frame, takes(!coded.frame.bases.is_empty()), Some(takes(false)))?;
            }
            return self.writer.add(NewBlob { coded, ids: group.ids, sketches });
        }
        let plain = Plain { kind, bytes: &group.plain, dtype: group.dtype };
        let coded = blob::encode(plain, group.lens, bases, self.compression);
        tell(Some(&coded));
        if let (Some(scratch), None) = (scratch, group.dtype) {
            scratch.coded(group.plain.len() as u64, coded.frame.sealed_len.into(), !coded.frame.bases.is_empty());
        }
        if let Some(finder) = self.bases.as_ref().filter(|_| kind == BlobKind::Data) {
            finder.enter(&self.context.known, group.number, &coded.frame, coded.frame.sealed_len.into(), coded.alone)?;
        }
        // Decoded and compared before it is sealed: a coder that errs costs a push, never a byte.
        let base_bytes = bases.map(|bases| bases.bytes_of(&coded.frame)).unwrap_or_default();
        if blob::decode(&coded.frame, coded.bytes.clone(), &base_bytes).ok().as_deref() != Some(&group.plain[..]) {
            return Err(Error::new(ErrorKind::Failed, "a blob does not decode to what was coded: is the memory of this machine sound?"));
        }
        self.writer.add(NewBlob { coded, ids: group.ids, sketches })
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take().map_or(Ok(()), Err)
    }
}

/// Those that are taken, and the others; none where there are none.
fn parted<T>(all: Vec<T>, taken: &[bool]) -> (Vec<T>, Vec<T>) {
    let (of_first, others): (Vec<_>, Vec<_>) = all.into_iter().zip(taken).partition(|(_, taken)| **taken);
    let only = |pairs: Vec<(T, &bool)>| pairs.into_iter().map(|(item, _)| item).collect();
    (only(of_first), only(others))
}
