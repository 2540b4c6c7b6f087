//! Small objects: key slots, sessions, notes, prune records, results of trials.

use super::Checker;
use crate::backend::{BackendError, Folder, GcStage, ObjectPath, parse_gc_name};
use crate::base::limits;
use crate::base::wire;
use crate::crypto::TAG_LEN;
use crate::error::{Error, chain};
use crate::format::envelope::{ObjectKind, Place, Sealed};
use crate::format::gc::{Done, Final, Plan};
use crate::format::keyslot::SlotInfo;
use crate::format::note::Note;
use crate::format::probe::Probe;
use crate::format::session::Session;
use crate::repo::again::opened;

/// What is wrong with a small object.
enum Wrong {
    Backend(BackendError),
    Record(String),
}

impl Checker<'_> {
    /// Opens every small object: key slots, sessions, notes, prune records.
    pub(super) fn records(&mut self) -> Result<(), Error> {
        for (folder, kind) in [
            (Folder::Keys, ObjectKind::KeySlot),
            (Folder::Sessions, ObjectKind::Session),
            (Folder::Notes, ObjectKind::Note),
            (Folder::Gc, ObjectKind::Gc),
            (Folder::Probes, ObjectKind::Probe),
        ] {
            for listed in self.repo.backend.list(folder)? {
                let Some(path) = object_path(folder, &listed.name) else { continue };
                let read = || self.repo.backend.read(&path, limits::RECORD_LEN).map_err(Wrong::Backend);
                match opened(&*self.repo.backend, read, |object| self.open_record(object, &path, kind).map_err(Wrong::Record)) {
                    Ok(_) => {}
                    // Sessions end, and slots are removed, while a check runs.
                    Err(Wrong::Backend(error)) if error.is_not_found() => {}
                    Err(Wrong::Backend(error)) => self.defects.object(path, chain(&error)),
                    Err(Wrong::Record(_)) if self.is_settled(&path) => {}
                    Err(Wrong::Record(why)) => self.defects.object(path, why),
                }
            }
        }
        Ok(())
    }

    /// Whether a record says nothing any more: a plan once there is a final.
    fn is_settled(&self, path: &ObjectPath) -> bool {
        matches!(path, ObjectPath::Gc(number, GcStage::Plan) if matches!(self.repo.read_final(*number), Ok(Some(_))))
    }

    /// Finds notes that others have seen and that are not there.
    pub(super) fn missing_notes(&mut self) -> Result<(), Error> {
        let standings = self.repo.read_standing()?;
        for id in standings.fold.lost.difference(&standings.unread) {
            let problem = "it is missing, though others have seen it, and may say what is to be kept: put it back from a copy, or `snap repair notes`";
            self.defects.object(ObjectPath::Note(*id), problem);
        }
        Ok(())
    }

    fn open_record(&self, object: &[u8], path: &ObjectPath, kind: ObjectKind) -> Result<(), String> {
        if kind == ObjectKind::KeySlot {
            // What is sealed opens only with its own password; what is in the clear can be read.
            let info = SlotInfo::decode(object).map_err(|error| chain(&error))?;
            if info.repo != self.repo.id() {
                return Err("it belongs to another repository".into());
            }
            let sealed = Sealed::parse(object, kind).map_err(|error| chain(&error))?;
            return if sealed.sealed_len() == 32 + TAG_LEN { Ok(()) } else { Err("it is cut short, or bytes follow it".into()) };
        }
        let sealed = Sealed::parse(object, kind).map_err(|error| chain(&error))?;
        let key = self.repo.keys.object(kind as u8, sealed.header.epoch, &sealed.header.salt);
        let body = sealed.open(&key, Place::Path(&path.to_string())).map_err(|error| chain(&error))?;
        let decoded = match path {
            ObjectPath::Session(_) => wire::decode::<Session>(&body).map(drop),
            ObjectPath::Gc(_, GcStage::Plan) => wire::decode::<Plan>(&body).and_then(|plan| plan.check()),
            ObjectPath::Gc(_, GcStage::Final) => wire::decode::<Final>(&body).and_then(|last| last.check()),
            ObjectPath::Gc(_, GcStage::Done) => wire::decode::<Done>(&body).map(drop),
            ObjectPath::Probe(_) => wire::decode::<Probe>(&body).map(drop),
            _ => wire::decode::<Note>(&body).map(drop),
        };
        decoded.map_err(|error| chain(&error))
    }
}

fn object_path(folder: Folder, name: &str) -> Option<ObjectPath> {
    Some(match folder {
        Folder::Keys => ObjectPath::Key(name.parse().ok()?),
        Folder::Sessions => ObjectPath::Session(name.parse().ok()?),
        Folder::Notes => ObjectPath::Note(name.parse().ok()?),
        Folder::Gc => {
            let (number, stage) = parse_gc_name(name)?;
            ObjectPath::Gc(number, stage)
        }
        Folder::Probes => ObjectPath::Probe(name.parse().ok()?),
        Folder::Outcomes | Folder::Packs | Folder::Segments | Folder::Trials => return None,
    })
}
