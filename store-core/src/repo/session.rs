//! Sessions: a push announces itself, writes, and ends with one record that makes its snapshot visible (`spec/PROTOCOL.md`, section 3).

use std::sync::atomic::{AtomicBool, Ordering};

use super::Repo;
use crate::backend::{Created, ObjectPath};
use crate::base::ids::{SessionId, SnapshotId, WriterId};
use crate::base::limits;
use crate::base::wire;
use crate::clock;
use crate::error::{Error, ErrorKind};
use crate::format::envelope::{ObjectKind, Place, seal_object};
use crate::format::record::Extra;
use crate::format::session::{Purpose, Session, TURN};
use crate::format::snapshot::{Outcome, Snapshot};
use crate::process;
use crate::rng;

/// A session that has not ended.
#[derive(Debug)]
pub struct SessionHandle {
    id: SessionId,
    /// Whether its writer has given it an abort.
    given_up: AtomicBool,
}

impl SessionHandle {
    /// Its name, which its snapshot will have.
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// Whether its abort is its writer's own, and no fence.
    pub(crate) fn was_given_up(&self) -> bool {
        self.given_up.load(Ordering::Relaxed)
    }
}

/// What came of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Committed {
    /// The snapshot is there.
    Snapshot(SnapshotId),
    /// Another process had ended the session with an abort: there is no snapshot, and packs that it relied on may go.
    Fenced,
}

impl Repo {
    /// Fails in a repository that this version can only read.
    pub(crate) fn check_writable(&self) -> Result<(), Error> {
        if self.unknown_to_writers == 0 {
            return Ok(());
        }
        let message = format!(
            "the repository has features ({:#x}) that this version of snap can read but not write: use a newer one",
            self.unknown_to_writers
        );
        Err(Error::new(ErrorKind::Failed, message))
    }

    /// Announces a session. It is durable before the caller looks at what exists.
    pub fn begin_session(&self, purpose: Purpose) -> Result<SessionHandle, Error> {
        self.announce(purpose, process::marks())
    }

    /// Announces that a prune wants to delete (`spec/BUCKETS.md`, section 5).
    pub(crate) fn begin_turn(&self) -> Result<SessionHandle, Error> {
        let mut extra = process::marks();
        extra.insert(TURN.to_owned(), Vec::new());
        self.announce(Purpose::Repack, extra)
    }

    fn announce(&self, purpose: Purpose, extra: Extra) -> Result<SessionHandle, Error> {
        // What killed writers left takes room, and is in nobody's way.
        let _ = self.backend.clean_unfinished();
        self.check_writable()?;
        let id = SessionId::from_bytes(rng::bytes()?);
        let session = Session {
            writer: self.writer()?,
            started: self.now(),
            host: clock::host(),
            pid: std::process::id(),
            program: clock::PROGRAM.into(),
            purpose,
            extra,
        };
        let _ = self.create_record(&ObjectPath::Session(id), ObjectKind::Session, wire::encode(&session))?;
        Ok(SessionHandle { id, given_up: AtomicBool::new(false) })
    }

    /// Ends a session with its snapshot. When it returns one, that survives a power failure.
    pub(crate) fn commit(&self, session: &SessionHandle, snapshot: &Snapshot) -> Result<Committed, Error> {
        let body = wire::encode(&Outcome::Commit(snapshot.clone()));
        let created = self.create_record(&ObjectPath::Outcome(session.id), ObjectKind::Outcome, body)?;
        // A leftover announcement costs a later prune a moment; it harms nobody.
        let _ = self.backend.delete(&ObjectPath::Session(session.id));
        self.backend.keep_reserve();
        Ok(if created == Created::New { Committed::Snapshot(session.id) } else { Committed::Fenced })
    }

    /// Gives up a session that has no outcome and for which none was asked: takes its announcement away. Where this host may not delete, it
    /// gets an abort, so that no prune waits for it.
    pub fn end_session(&self, session: &SessionHandle) {
        // A leftover announcement costs a later prune a moment; it harms nobody.
        if let Err(error) = self.backend.delete(&ObjectPath::Session(session.id))
            && error.is_denied()
        {
            let host = clock::host();
            let by = format!("{}, process {} of {host}", clock::PROGRAM, std::process::id());
            let abort = Outcome::Abort { time: self.now(), by, reason: "its writer gave it up".into() };
            let created = self.create_record(&ObjectPath::Outcome(session.id), ObjectKind::Outcome, wire::encode(&abort));
            session.given_up.store(matches!(created, Ok(Created::New)), Ordering::Relaxed);
        }
    }

    pub(crate) fn create_record(&self, path: &ObjectPath, kind: ObjectKind, body: Vec<u8>) -> Result<Created, Error> {
        if body.len() > limits::RECORD_LEN / 2 {
            return Err(Error::new(ErrorKind::Usage, format!("{path} would have {} bytes: use less metadata", body.len())));
        }
        let salt = rng::bytes()?;
        let key = self.keys.object(kind as u8, 0, &salt);
        let object = seal_object(kind, salt, &key, &[], Place::Path(&path.to_string()), body);
        let created = self.backend.create(path, &object)?;
        if created == Created::New && matches!(kind, ObjectKind::Outcome | ObjectKind::Note) {
            self.kept.keep_object(path, &object);
        }
        Ok(created)
    }

    /// The name of this installation as a writer, kept beside its cache and made on first use.
    pub(crate) fn writer(&self) -> Result<WriterId, Error> {
        let file = self.cache_dir.join("writer");
        let failed = |error: std::io::Error| {
            let full = matches!(error.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded);
            let kind = if full { ErrorKind::NoSpace } else { ErrorKind::Failed };
            Error::with(kind, format!("cannot use {}: see --cache-dir", file.display()), error)
        };
        if let Ok(text) = std::fs::read_to_string(&file)
            && let Ok(id) = text.trim_end().parse()
        {
            return Ok(id);
        }
        let id = WriterId::from_bytes(rng::bytes()?);
        self.make_cache_dir().map_err(failed)?;
        std::fs::write(&file, format!("{id}\n")).map_err(failed)?;
        Ok(id)
    }
}
