//! What is needed of packs that are mostly unused is written to others, in a session of its own. Blobs that are needed whole are opened and
//! sealed under the new pack's key as they are; of the others, what is needed is coded again against the same bases; chains that rest on what
//! nothing else needs are coded anew, last. Nothing relies on the copies: whether they will do is for the second mark to see.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::Run;
use super::contents::for_each_contents;
use super::survey::Survey;
use crate::base::ids::{ChunkId, PackId};
use crate::blob::{self, Bases, CodedBlob, Plain};
use crate::error::{Error, ErrorKind};
use crate::format::blob::{BlobKind, Frame};
use crate::format::pack::{BlobEntry, PackContents, PackOpener};
use crate::format::session::Purpose;
use crate::index::{BlobPlace, Location, PackNumber};
use crate::monitor::Progress;
use crate::pipeline::{Recoding, recode};
use crate::plan::gc::BlobSet;
use crate::repo::{Marked, NewBlob, PackWriter, Repo, chunk_of};

/// Writes what is needed of the packs that are to be rewritten. Returns those all of whose needed blobs are in other packs now.
pub(super) fn repack(run: &mut Run<'_>, survey: &Survey) -> Result<BTreeSet<PackId>, Error> {
    let wanted = survey.decision.repacked();
    if wanted.is_empty() || run.is_over() {
        return Ok(BTreeSet::new());
    }
    let repo = run.repo;
    let session = repo.begin_session(Purpose::Repack)?;
    let before = repo.reader.read_bytes();
    let written = copy(run, survey, &wanted).and_then(|copied| code_anew(run, survey, copied));
    run.report.read_bytes += repo.reader.read_bytes() - before;
    repo.end_session(&session);
    written
}

/// Codes chains anew, once all else is in other packs. Returns the packs of which nothing is needed then.
fn code_anew(run: &mut Run<'_>, survey: &Survey, copied: BTreeSet<PackId>) -> Result<BTreeSet<PackId>, Error> {
    let Survey { marked, decision, rewriting, live, tried, .. } = survey;
    if rewriting.is_empty() || copied.is_empty() {
        return Ok(copied);
    }
    let mut is_complete = copied == decision.repacked();
    if is_complete {
        let condemned = decision.condemned();
        let unneeded = Arc::new(unneeded(marked)?);
        let stays = |pack, ordinal| rewriting.leaves(&marked.marks, pack, ordinal);
        let what = Recoding {
            kept: live,
            condemned: &condemned,
            anew: &rewriting.anew,
            stays: &stays,
            unneeded: &unneeded,
            tried: tried.as_ref(),
        };
        let recoded = recode(run.repo, what, run.monitor, &|| run.is_over())?;
        run.report.recoded_chunks += recoded.chunks;
        run.report.recoded_bytes += recoded.bytes;
        run.report.written_bytes += recoded.written;
        is_complete = recoded.is_complete;
        run.has_got_on |= is_complete;
    }
    if is_complete {
        return Ok(copied);
    }
    // What rests in these packs is still needed: they are for the next prune.
    let mut free = BTreeSet::new();
    for pack in copied {
        if !rests(survey, &pack)? {
            free.insert(pack);
        }
    }
    run.report.repacked_packs = free.len() as u64;
    Ok(free)
}

fn copy(run: &mut Run<'_>, survey: &Survey, wanted: &BTreeSet<PackId>) -> Result<BTreeSet<PackId>, Error> {
    let repo = run.repo;
    if !repo.gc_state()?.open.is_empty() {
        // Another prune decides first.
        return Ok(BTreeSet::new());
    }
    let (mut resting, mut others) = (BTreeSet::new(), BTreeSet::new());
    for pack in wanted {
        let to = if rests(survey, pack)? { &mut resting } else { &mut others };
        to.insert(*pack);
    }
    let mut copying = Copying { run, survey, writer: PackWriter::new(repo, false)?, copied: BTreeSet::new(), total: wanted.len() as u64 };
    // Those that may go once they are copied come first: of the others nothing may before chains are coded anew.
    for (packs, may_go) in [(&others, true), (&resting, false)] {
        for_each_contents(repo, packs, &mut |pack, contents| copying.pack(pack, &contents, may_go))?;
    }
    let Copying { run, writer, copied, .. } = copying;
    let written = writer.finish()?;
    run.report.repacked_packs += copied.len() as u64;
    run.report.written_bytes += written.counts.bytes;
    Ok(copied)
}

/// Packs that are being written anew.
struct Copying<'c, 'r> {
    run: &'c mut Run<'r>,
    survey: &'c Survey,
    writer: PackWriter,
    copied: BTreeSet<PackId>,
    total: u64,
}

impl Copying<'_, '_> {
    /// Writes what is needed of a pack. Breaks when time is over.
    fn pack(&mut self, pack: PackId, contents: &PackContents, may_go: bool) -> Result<ControlFlow<()>, Error> {
        let Some(number) = self.survey.marked.index.number(&pack)? else { return Ok(ControlFlow::Continue(())) };
        if self.run.is_over() {
            return Ok(ControlFlow::Break(()));
        }
        let repo = self.run.repo;
        let opener = repo.opener(&pack)?;
        for (ordinal, (entry, offset)) in contents.blobs.iter().zip(contents.offsets()).enumerate() {
            if self.run.monitor.interrupted() {
                return Err(Error::new(ErrorKind::Interrupted, "interrupted: nothing was deleted"));
            }
            let needed = needed(self.survey, number, ordinal as u32);
            let place = BlobPlace { pack, offset, frame: entry.frame.clone() };
            if let Some(blob) = rewritten(repo, &opener, &place, ordinal as u32, entry, &needed)? {
                self.writer.add(blob)?;
            }
        }
        self.copied.insert(pack);
        self.run.has_got_on |= may_go;
        let files_done = self.copied.len() as u64;
        self.run.monitor.progress(&Progress { files_done, files_total: self.total, ..Progress::default() });
        Ok(ControlFlow::Continue(()))
    }
}

/// Whether something rests in a pack that is coded anew first.
fn rests(survey: &Survey, pack: &PackId) -> Result<bool, Error> {
    let number = survey.marked.index.number(pack)?;
    Ok(number.is_some_and(|number| survey.rewriting.reaches(number)))
}

/// Which chunks of a blob are written to another pack as they are, or nearly: not those that are coded anew, nor what only these rest on.
fn needed(survey: &Survey, pack: PackNumber, ordinal: u32) -> Vec<bool> {
    let (marks, rewriting) = (&survey.marked.marks, &survey.rewriting);
    if rewriting.anew.contains(pack, ordinal) {
        Vec::new()
    } else if rewriting.supports.contains(pack, ordinal) {
        marks.asked(pack, ordinal)
    } else {
        marks.chunks(pack, ordinal)
    }
}

/// Blobs of which nothing is needed, in packs that were there when it was marked what is.
fn unneeded(marked: &Marked) -> Result<BlobSet, Error> {
    let mut found = BlobSet::default();
    marked.index.for_each_blob(&mut |pack, ordinal, _| {
        if pack < marked.marks.packs() && !marked.marks.is_blob_needed(pack, ordinal) {
            found.insert(pack, ordinal);
        }
    })?;
    Ok(found)
}

/// What is needed of a blob, as another blob; `None` when nothing is.
fn rewritten(
    repo: &Repo,
    opener: &PackOpener,
    place: &BlobPlace,
    ordinal: u32,
    entry: &BlobEntry,
    needed: &[bool],
) -> Result<Option<NewBlob>, Error> {
    if !needed.contains(&true) {
        return Ok(None);
    }
    if !needed.contains(&false) {
        let damaged = |error| {
            Error::with(ErrorKind::Damage, format!("blob {ordinal} of pack {} does not open: nothing is deleted", place.pack), error)
        };
        let bytes = repo.read_opened(place, |mut sealed| {
            opener.open_blob(ordinal, &entry.frame, &mut sealed).map_err(damaged)?;
            Ok(sealed)
        })?;
        let coded = CodedBlob::of(entry.frame.clone(), bytes);
        return Ok(Some(NewBlob { coded, ids: entry.ids.clone(), sketches: entry.sketches.clone() }));
    }
    let plain = repo.read_opened(place, |sealed| Ok(repo.decode_blob(place, ordinal, sealed)?))?;
    let mut kept = Kept::default();
    let mut start = 0;
    for (i, (id, len)) in entry.ids.iter().zip(&entry.frame.chunk_lens).enumerate() {
        let chunk = &plain[start..start + *len as usize];
        start += *len as usize;
        if needed.get(i) != Some(&true) {
            continue;
        }
        let found = match entry.frame.kind {
            BlobKind::Data => repo.keys.chunk_id(chunk),
            BlobKind::Nodes => ChunkId::from_bytes(*repo.keys.node_id(chunk).as_bytes()),
        };
        if found != *id {
            let message = format!("blob {ordinal} of pack {} holds other bytes than it should: nothing is deleted", place.pack);
            return Err(Error::new(ErrorKind::Damage, message));
        }
        kept.ids.push(*id);
        kept.lens.push(*len);
        kept.bytes.extend_from_slice(chunk);
        kept.sketches.extend(entry.sketches.get(i));
        kept.indices.push(i);
    }
    let bases = bases(repo, &entry.frame, &kept.indices)?;
    let plain = Plain { kind: entry.frame.kind, bytes: &kept.bytes, dtype: blob::dtype_of(&entry.frame) };
    let coded = blob::encode(plain, kept.lens, bases.as_ref(), repo.compression);
    let again =
        blob::decode(&coded.frame, coded.bytes.clone(), &bases.map(|bases| bases.bytes_of(&coded.frame).into_owned()).unwrap_or_default());
    if !again.is_ok_and(|again| again == kept.bytes) {
        return Err(Error::new(ErrorKind::Failed, "a blob does not decode right after it was coded: is the memory of this machine sound?"));
    }
    Ok(Some(NewBlob { coded, ids: kept.ids, sketches: kept.sketches }))
}

/// The chunks of a blob that are needed.
#[derive(Default)]
struct Kept {
    ids: Vec<ChunkId>,
    lens: Vec<u32>,
    bytes: Vec<u8>,
    sketches: Vec<crate::format::pack::Sketch>,
    indices: Vec<usize>,
}

/// What the chunks at `indices` of a blob are coded against: their own bases where each has one, otherwise all.
fn bases(repo: &Repo, frame: &Frame, indices: &[usize]) -> Result<Option<Bases>, Error> {
    if frame.bases.is_empty() {
        return Ok(None);
    }
    let own: Option<Vec<ChunkId>> = indices.iter().map(|index| blob::base_of(frame, *index)).collect();
    let aligned = own.is_some();
    let ids = own.unwrap_or_else(|| frame.bases.clone());
    let index = repo.index()?;
    let mut bases = Bases { aligned, kind: blob::kind_of_bases(frame), ..Bases::default() };
    for id in ids {
        let mut places: Vec<Location> = index.copies(&id)?;
        places.retain(|place| place.depth < frame.depth);
        let read = places.iter().find_map(|place| {
            let (blob, _) = repo.blob_bytes(place).ok()?;
            let bytes = chunk_of(&blob, place)?;
            (repo.keys.chunk_id(bytes) == id).then(|| (bytes.to_vec(), place.depth))
        });
        let (bytes, depth) = read.ok_or_else(|| Error::new(ErrorKind::Damage, format!("base {id} cannot be read: nothing is deleted")))?;
        bases.ids.push(id);
        bases.bytes.extend_from_slice(&bytes);
        bases.depth = bases.depth.max(depth);
    }
    Ok(Some(bases))
}
