//! What a push that was cut off left behind: packs that no index segment names, and its session (`spec/PROTOCOL.md`, section 3).

use std::collections::HashSet;

use super::again::opened;
use super::derived::NewSegments;
use super::probes::StoreStanding;
use super::{Grounds, Repo};
use crate::backend::{Folder, ObjectPath};
use crate::base::ids::{PackId, SegmentId, SessionId};
use crate::base::limits;
use crate::base::wire;
use crate::clock;
use crate::error::Error;
use crate::format::envelope::{ObjectKind, Place, Sealed};
use crate::format::segment::{PackEntry, Segment};
use crate::format::session::Session;
use crate::format::snapshot::Outcome;
use crate::process;
use crate::repo::SessionHandle;
use crate::rng;

/// Packs whose footers are held at a time, besides those of a segment.
const AT_A_TIME: usize = 64;

/// What was taken up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Adopted {
    /// Packs that are in an index segment now.
    pub(crate) packs: u64,
    /// Their bytes.
    pub(crate) bytes: u64,
    /// Sessions that were ended for processes that are gone.
    pub(crate) sessions: u64,
}

impl Repo {
    /// Takes up what killed pushes left: names their packs in index segments, and ends their sessions as far as they are of this
    /// installation and their processes are surely gone. To be called within `session`, with what it may rely on.
    ///
    /// A pack whose footer cannot be read stays as it is: nobody relies on it. While segments or packs are missing nothing is adopted:
    /// that is what `repair index` is for.
    pub(crate) fn adopt(&self, session: &SessionHandle, grounds: &Grounds) -> Result<Adopted, Error> {
        let mut adopted = Adopted { sessions: self.end_dead_sessions(Some(session))?, ..Adopted::default() };
        let index = self.index()?;
        if self.index.is_incomplete() {
            return Ok(adopted);
        }
        let Grounds { condemned, packs: listed } = grounds;
        // The index has no pack that is not in this listing, and numbers from 0 on: where the last number is taken, it knows all.
        if listed.is_empty() || index.pack(listed.len() as u32 - 1)?.is_some() {
            return Ok(adopted);
        }
        let known: HashSet<PackId> = index.packs()?.into_iter().collect();
        let (mut segment, mut new) = (Segment::default(), NewSegments::default());
        let is_stray = |id: &PackId| !known.contains(id) && !condemned.contains(id);
        let strays: Vec<(PackId, u64)> = listed.iter().filter(|(id, _)| is_stray(id)).map(|(id, len)| (*id, *len)).collect();
        for some in strays.chunks(AT_A_TIME) {
            for (&(id, len), contents) in some.iter().zip(self.contents_of(some)?) {
                // Nobody relies on what cannot be read, or was deleted since it was listed.
                let Some(contents) = contents else { continue };
                // Whoever wrote it may have been killed before its name was durable.
                self.backend.settle(&ObjectPath::Pack(id))?;
                if !segment.has_room(&contents) {
                    self.write_segment(std::mem::take(&mut segment), &mut new)?;
                }
                segment.packs.push(PackEntry { id, len, contents });
                adopted.packs += 1;
                adopted.bytes += len;
            }
        }
        self.write_segment(segment, &mut new)?;
        if !new.seen.is_empty() {
            // Their bases were there when they were coded, and may have been deleted since.
            self.settle_index(&*index, &new)?;
        }
        Ok(adopted)
    }

    /// Writes an index segment, unless it is empty, and takes it in.
    fn write_segment(&self, segment: Segment, new: &mut NewSegments) -> Result<(), Error> {
        if segment.packs.is_empty() {
            return Ok(());
        }
        let id = self.create_segment(&segment)?;
        self.index()?.apply(None, &segment)?;
        new.packs.extend(segment.packs.iter().map(|pack| pack.id));
        new.seen.insert(id);
        new.whole.push(id);
        Ok(())
    }

    /// Writes an index segment.
    pub(crate) fn create_segment(&self, segment: &Segment) -> Result<SegmentId, Error> {
        let (id, object) = segment.seal(&self.keys, rng::bytes()?);
        // Segments are named by their bytes: one that exists is this one.
        let _ = self.backend.create(&ObjectPath::Segment(id), &object)?;
        Ok(id)
    }

    /// Ends the sessions of this installation whose processes are gone: with an abort, unless they have an outcome.
    pub(crate) fn end_dead_sessions(&self, own: Option<&SessionHandle>) -> Result<u64, Error> {
        let (writer, host) = (self.writer()?, clock::host());
        let mut ended = 0;
        for listed in self.backend.list(Folder::Sessions)? {
            let Some(id) = listed.name.parse::<SessionId>().ok().filter(|id| own.is_none_or(|own| *id != own.id())) else { continue };
            // What cannot be read is a finding of a check, and may be anybody's.
            let Some(session) = self.read_session(&id) else { continue };
            if session.writer != writer || session.host != host || !process::has_ended(session.pid, &session.extra) {
                continue;
            }
            // Where a store does not keep what it should, an abort could destroy the commit that it meets.
            if self.store_standing()? != StoreStanding::Sound {
                break;
            }
            let abort = Outcome::Abort {
                time: self.now(),
                by: format!("{}, process {} of {host}", clock::PROGRAM, std::process::id()),
                reason: format!("process {} of {host} ended without an outcome", session.pid),
            };
            // Where there is an outcome already, the session says no more.
            let _ = self.create_record(&ObjectPath::Outcome(id), ObjectKind::Outcome, wire::encode(&abort))?;
            match self.backend.delete(&ObjectPath::Session(id)) {
                // A prune will: that it has an outcome is what counts.
                Err(error) if error.is_denied() => {}
                deleted => deleted?,
            }
            ended += 1;
        }
        Ok(ended)
    }

    pub(crate) fn read_session(&self, id: &SessionId) -> Option<Session> {
        let path = ObjectPath::Session(*id);
        let open = |object: &[u8]| {
            let sealed = Sealed::parse(object, ObjectKind::Session).map_err(drop)?;
            let key = self.keys.object(ObjectKind::Session as u8, sealed.header.epoch, &sealed.header.salt);
            wire::decode(&sealed.open(&key, Place::Path(&path.to_string())).map_err(drop)?).map_err(drop)
        };
        opened(&*self.backend, || self.backend.read(&path, limits::RECORD_LEN).map_err(drop), open).ok().map(|(session, _)| session)
    }
}
