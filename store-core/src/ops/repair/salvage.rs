//! What can still be read of a damaged pack: found out blob by blob, and copied to other packs as it is coded.

use std::collections::BTreeSet;

use crate::backend::ObjectPath;
use crate::base::ids::{ChunkId, PackId};
use crate::blob::{CodedBlob, decode};
use crate::error::{Error, ErrorKind};
use crate::format::blob::BlobKind;
use crate::format::envelope::HEADER_LEN;
use crate::format::pack::{BlobEntry, PackContents, PackOpener};
use crate::index::{BlobPlace, ChunkIndex, Location};
use crate::ops::check::ListedPack;
use crate::plan::repair::{BlobState, PackState};
use crate::repo::{NewBlob, PackWriter, ReadError, Repo};

/// A pack, what it should hold, and what of it can be read.
pub(super) struct Salvage {
    pub(super) id: PackId,
    /// Its length; 0 when it is not there.
    pub(super) len: u64,
    pub(super) state: PackState,
    contents: PackContents,
    opener: Option<PackOpener>,
}

/// What reading gave, before it is known where else it is.
enum Look {
    Whole,
    Waiting,
    Lost,
    Withheld,
}

impl Salvage {
    /// Looks at each blob. `len` is that of the listing, `None` when the pack is not there; `listed` what segments say; `is_framed` whether a
    /// check found nothing wrong with footer, length and hash.
    pub(super) fn look(repo: &Repo, id: PackId, len: Option<u64>, listed: Option<&ListedPack>, is_framed: bool) -> Self {
        let contents = match (listed, len) {
            (Some(listed), _) => Some(listed.contents.clone()),
            (None, Some(len)) => repo.pack_contents(&id, len).ok(),
            (None, None) => None,
        };
        let is_known = contents.is_some();
        let mut salvage = Self {
            id,
            len: len.unwrap_or(0),
            state: PackState { is_there: len.is_some(), is_framed, blobs: None },
            contents: contents.unwrap_or_default(),
            opener: None,
        };
        if !is_known {
            return salvage;
        }
        let otherwise = match len.map(|_| salvage.open(repo)) {
            Some(Ok(())) => None,
            Some(Err(Look::Withheld)) => Some(BlobState::Withheld),
            Some(Err(_)) | None => Some(BlobState::Lost),
        };
        let blobs = 0..salvage.contents.blobs.len();
        let offsets: Vec<u64> = salvage.contents.offsets().collect();
        salvage.state.blobs =
            Some(blobs.map(|ordinal| otherwise.unwrap_or_else(|| salvage.blob(repo, ordinal, offsets[ordinal]))).collect());
        salvage
    }

    /// Opens the pack's header; what fails is tried once more.
    fn open(&mut self, repo: &Repo) -> Result<(), Look> {
        let path = ObjectPath::Pack(self.id);
        let read = || match repo.backend.read_range(&path, 0, HEADER_LEN) {
            Ok(header) => PackOpener::new(&repo.keys, &header).map_err(|_| Look::Lost),
            Err(error) => Err(self.of_backend(&error.source, HEADER_LEN as u64)),
        };
        let opener = read().or_else(|_| read())?;
        self.opener = Some(opener);
        Ok(())
    }

    fn blob(&self, repo: &Repo, ordinal: usize, offset: u64) -> BlobState {
        let look = || self.look_at(repo, ordinal, offset);
        let first = look();
        match if matches!(first, Look::Whole) { first } else { look() } {
            Look::Whole => BlobState::Whole,
            Look::Waiting => BlobState::Waiting,
            Look::Lost => BlobState::Lost,
            Look::Withheld => BlobState::Withheld,
        }
    }

    fn look_at(&self, repo: &Repo, ordinal: usize, offset: u64) -> Look {
        let entry = &self.contents.blobs[ordinal];
        let place = BlobPlace { pack: self.id, offset, frame: entry.frame.clone() };
        let sealed = match repo.read_sealed(&place) {
            Ok(sealed) => sealed,
            Err(ReadError::Backend(error)) => return self.of_backend(&error.source, offset + u64::from(entry.frame.sealed_len)),
            Err(_) => return Look::Lost,
        };
        let Some(coded) = self.opened(ordinal, sealed.clone()) else { return Look::Lost };
        if entry.frame.bases.is_empty() {
            let is_whole = decode(&entry.frame, coded, &[]).is_ok_and(|plain| have_their_ids(repo, entry, &plain));
            return if is_whole { Look::Whole } else { Look::Lost };
        }
        match repo.decode_blob(&place, ordinal as u32, sealed) {
            Ok(plain) if have_their_ids(repo, entry, &plain) => Look::Whole,
            // It opens, so it is what was written: if that makes no sense, what it is coded against is not what it was.
            _ => Look::Waiting,
        }
    }

    /// Whether bytes up to `end` are surely not there, since the pack ends before, or may come another time.
    fn of_backend(&self, error: &std::io::Error, end: u64) -> Look {
        if error.kind() == std::io::ErrorKind::UnexpectedEof && end > self.len { Look::Lost } else { Look::Withheld }
    }

    /// Whether all that is lost is lost for one look more.
    pub(super) fn is_still_lost(&mut self, repo: &Repo) -> bool {
        if !self.state.is_there {
            return true;
        }
        if self.state.blobs.is_none() {
            return repo.pack_contents(&self.id, self.len).is_err_and(|error| error.kind() == ErrorKind::Damage);
        }
        if self.opener.is_none() {
            return matches!(self.open(repo), Err(Look::Lost));
        }
        let offsets: Vec<u64> = self.contents.offsets().collect();
        let is_lost = |ordinal: &usize| matches!(self.state_of(*ordinal), BlobState::Lost | BlobState::Elsewhere);
        let mut lost = (0..self.contents.blobs.len()).filter(is_lost);
        lost.all(|ordinal| matches!(self.look_at(repo, ordinal, offsets[ordinal]), Look::Lost))
    }

    fn opened(&self, ordinal: usize, mut sealed: Vec<u8>) -> Option<Vec<u8>> {
        let opener = self.opener.as_ref()?;
        opener.open_blob(ordinal as u32, &self.contents.blobs[ordinal].frame, &mut sealed).ok()?;
        Some(sealed)
    }

    /// Notes which blobs, whole or lost, are in other packs, too: each of their chunks was read and compared there, no deeper than here, and not
    /// in `unsafe_packs`.
    pub(super) fn find_held(&mut self, repo: &Repo, unsafe_packs: &BTreeSet<PackId>) -> Result<(), Error> {
        let Some(states) = &mut self.state.blobs else { return Ok(()) };
        let index = repo.index()?;
        for (entry, state) in self.contents.blobs.iter().zip(states) {
            let found = match state {
                BlobState::Whole => BlobState::Held,
                BlobState::Lost => BlobState::Elsewhere,
                BlobState::Held | BlobState::Elsewhere | BlobState::Waiting | BlobState::Withheld => continue,
            };
            let is_held = |id: &ChunkId| -> Result<bool, Error> {
                for copy in index.copies(id)? {
                    if copy.depth <= entry.frame.depth
                        && is_elsewhere(&*index, &copy, unsafe_packs)?
                        && repo.read_as(&index, &copy, id, entry.frame.kind).is_ok()
                    {
                        return Ok(true);
                    }
                }
                Ok(false)
            };
            let mut all = true;
            for id in &entry.ids {
                all = all && is_held(id)?;
            }
            if all {
                *state = found;
            }
        }
        Ok(())
    }

    /// Writes what is whole or waiting, and nowhere else, to other packs.
    pub(super) fn copy(&self, repo: &Repo, writer: &PackWriter) -> Result<(), Error> {
        for (ordinal, (entry, offset)) in self.contents.blobs.iter().zip(self.contents.offsets()).enumerate() {
            if !matches!(self.state_of(ordinal), BlobState::Whole | BlobState::Waiting) {
                continue;
            }
            let place = BlobPlace { pack: self.id, offset, frame: entry.frame.clone() };
            let bytes = self.opened(ordinal, repo.read_sealed(&place)?).ok_or_else(|| {
                let message = format!("blob {ordinal} of pack {} opened once and does not any more: nothing was deleted", self.id);
                Error::new(ErrorKind::Damage, message)
            })?;
            let coded = CodedBlob::of(entry.frame.clone(), bytes);
            writer.add(NewBlob { coded, ids: entry.ids.clone(), sketches: entry.sketches.clone() })?;
        }
        Ok(())
    }

    /// The chunks and nodes of whole blobs, with the depth below which each must be found elsewhere.
    pub(super) fn whole(&self) -> impl Iterator<Item = (ChunkId, u8)> {
        let blobs = self.contents.blobs.iter().enumerate();
        let whole = blobs.filter(|(ordinal, _)| matches!(self.state_of(*ordinal), BlobState::Whole | BlobState::Held));
        whole.flat_map(|(_, entry)| entry.ids.iter().map(|id| (*id, entry.frame.depth + 1)))
    }

    fn state_of(&self, ordinal: usize) -> BlobState {
        self.state.blobs.as_ref().and_then(|blobs| blobs.get(ordinal)).copied().unwrap_or(BlobState::Lost)
    }

    /// How many blobs are in one of these states, and their sealed bytes.
    pub(super) fn count(&self, is_counted: impl Fn(BlobState) -> bool) -> (u64, u64) {
        let blobs = self.contents.blobs.iter().enumerate().filter(|(ordinal, _)| is_counted(self.state_of(*ordinal)));
        blobs.fold((0, 0), |(count, bytes), (_, entry)| (count + 1, bytes + u64::from(entry.frame.sealed_len)))
    }
}

fn is_elsewhere(index: &dyn ChunkIndex, copy: &Location, unsafe_packs: &BTreeSet<PackId>) -> Result<bool, Error> {
    Ok(index.pack(copy.pack)?.is_some_and(|(pack, _)| !unsafe_packs.contains(&pack)))
}

fn have_their_ids(repo: &Repo, entry: &BlobEntry, plain: &[u8]) -> bool {
    let mut at = 0;
    entry.ids.iter().zip(&entry.frame.chunk_lens).all(|(id, len)| {
        let chunk = plain.get(at..at + *len as usize).unwrap_or_default();
        at += *len as usize;
        match entry.frame.kind {
            BlobKind::Data => repo.keys.chunk_id(chunk) == *id,
            BlobKind::Nodes => repo.keys.node_id(chunk).as_bytes() == id.as_bytes(),
        }
    })
}
