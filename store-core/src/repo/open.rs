//! Making and opening a repository.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use zeroize::Zeroizing;

use super::again::looks;
use super::derived::DerivedIndex;
use super::parts::PartCache;
use super::reader::BlobReader;
use super::{MemoryPlan, Repo};
use crate::backend::{Backend, BackendError, Created, Folder, Location, MemoryBackend, ObjectPath, Transport};
use crate::base::ids::{RepoId, SlotId};
use crate::base::limits;
use crate::base::units::MIB;
use crate::clock::{self, Clock};
use crate::codec::Compression;
use crate::crypto::{ARGON2_DEFAULT, KekError, RepoKeys, SealError, Secret, kek_from_key_file, kek_from_passphrase};
use crate::error::{Error, ErrorKind, chain};
use crate::format::config::{CONFIG_PATH, Config, Identity, READS_PLANS};
use crate::format::envelope::ObjectError;
use crate::format::keyslot::{Kdf, SlotInfo};
use crate::rng;

/// Bytes of the memory budget for each worker thread, at the least.
const MEMORY_OF_A_THREAD: usize = 16 * MIB;

/// What the user offers to open a key slot with.
#[derive(Default)]
pub struct Secrets {
    /// A passphrase, without the newline it may have been read with.
    pub passphrase: Option<Zeroizing<Vec<u8>>>,
    /// The secret in a key file.
    pub key_file: Option<Secret>,
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secrets(…)")
    }
}

/// Where a repository is and what may be used to work with it.
#[derive(Debug, Clone)]
pub struct OpenOptions {
    /// Its folder, or its place in a bucket: `s3://bucket/prefix`.
    pub location: String,
    /// Below which folder this host keeps its caches.
    pub cache_dir: PathBuf,
    /// Threads that compute; 0 takes one for each core.
    pub threads: usize,
    /// Bytes of memory.
    pub memory: usize,
    /// How hard to compress.
    pub compression: Compression,
    /// Bytes of disk for what was read of a store where requests take long; 0 keeps nothing. Of a folder nothing is kept.
    pub kept: u64,
}

impl Repo {
    /// Makes an empty repository with one key slot. Nothing may be there yet.
    pub fn init(options: &OpenOptions, secrets: &Secrets, label: &str) -> Result<(Self, SlotId), Error> {
        let backend = Location::parse(&options.location)?.create(&Transport::default())?;
        Self::init_on(backend, Config::new(clock::now()), options, secrets, label)
    }

    /// The same in a backend that holds nothing, with these parameters.
    pub fn init_on(
        backend: Arc<dyn Backend>,
        config: Config,
        options: &OpenOptions,
        secrets: &Secrets,
        label: &str,
    ) -> Result<(Self, SlotId), Error> {
        let mut master = [0; 32];
        rng::fill(&mut master)?;
        let keys = RepoKeys::new(Secret::take(&mut master), RepoId::from_bytes(rng::bytes()?));
        let slot = write_slot(&*backend, &keys, secrets, label)?;
        let identity = Identity { repo: keys.repo(), compatible: 0, read_only: READS_PLANS, incompatible: 0 };
        // The config is what makes a folder a repository: it comes last.
        let object = config.seal(&identity, &keys, rng::bytes()?);
        if backend.create(&ObjectPath::Config, &object)? == Created::Exists {
            return Err(Error::new(ErrorKind::Refused, format!("{} is a repository already", options.location)));
        }
        backend.keep_reserve();
        Ok((Self::assemble(options, backend, keys, config, 0)?, slot))
    }

    /// Opens the repository with the first key slot that fits.
    pub fn open(options: &OpenOptions, secrets: &Secrets) -> Result<Self, Error> {
        Self::open_on(Location::parse(&options.location)?.open(&Transport::default())?, options, secrets)
    }

    /// The same in any backend.
    pub fn open_on(backend: Arc<dyn Backend>, options: &OpenOptions, secrets: &Secrets) -> Result<Self, Error> {
        let mut door = Door::look(&*backend, options)?;
        let mut opened = door.open(secrets);
        for _ in 1..looks(&*backend) {
            if opened.is_ok() {
                break;
            }
            // It may have been spoilt on the way.
            let again = Door::look(&*backend, options)?;
            if again.is_same(&door) {
                break;
            }
            (opened, door) = (again.open(secrets), again);
        }
        let (keys, config, unknown_to_writers) = opened?;
        Self::assemble(options, backend, keys, config, unknown_to_writers)
    }

    /// The id of the repository in a backend, which stands there in the clear; `None` where none can be read.
    pub fn id_on(backend: &dyn Backend) -> Option<RepoId> {
        let config = backend.read(&ObjectPath::Config, limits::RECORD_LEN).ok()?;
        Identity::decode(&config).ok().map(|identity| identity.repo)
    }

    pub(super) fn assemble(
        options: &OpenOptions,
        backend: Arc<dyn Backend>,
        keys: RepoKeys,
        config: Config,
        unknown_to_writers: u64,
    ) -> Result<Self, Error> {
        let threads = if options.threads == 0 { std::thread::available_parallelism().map_or(1, usize::from) } else { options.threads };
        // Each has buffers of its own: a blob, its bases, and what codes it.
        let threads = threads.min((options.memory / MEMORY_OF_A_THREAD).max(1));
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).thread_name(|i| format!("snap-{i}")).build();
        let pool = Arc::new(pool.map_err(|error| Error::with(ErrorKind::Failed, "cannot start the worker threads", error))?);
        let memory = MemoryPlan::new(options.memory, threads);
        let cache_dir = options.cache_dir.join(keys.repo().to_string());
        let index = DerivedIndex::new(cache_dir.join("index"), memory.index);
        let reader = BlobReader::new(memory.blobs, memory.runs);
        let kept = if backend.lanes() > 1 { PartCache::new(cache_dir.join("sealed"), options.kept) } else { PartCache::none() };
        Ok(Self {
            backend,
            keys,
            config,
            index,
            reader,
            kept,
            pool,
            compression: options.compression,
            memory,
            cache_dir,
            unknown_to_writers,
            scratch: None,
            clock: Clock::default(),
            warnings: Mutex::default(),
        })
    }

    /// An empty repository in memory with the same keys and parameters, which is gone when it is dropped.
    pub(crate) fn in_memory(&self) -> Self {
        Self {
            backend: Arc::new(MemoryBackend::default()),
            keys: self.keys.clone(),
            config: self.config.clone(),
            index: DerivedIndex::in_memory(),
            reader: BlobReader::new(self.memory.blobs / 2, self.memory.runs / 2),
            kept: PartCache::none(),
            pool: Arc::clone(&self.pool),
            compression: self.compression,
            memory: self.memory,
            cache_dir: self.cache_dir.clone(),
            unknown_to_writers: self.unknown_to_writers,
            scratch: None,
            clock: self.clock,
            warnings: Mutex::default(),
        }
    }

    /// Keeps the chunk index in memory instead of on disk: for tests, and for repositories that are looked at once.
    #[must_use]
    pub fn with_index_in_memory(mut self) -> Self {
        self.index = DerivedIndex::in_memory();
        self
    }

    /// Goes by another clock than the host's: for tests of what a wrong one does.
    #[must_use]
    pub fn with_clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// All key slots with what they say in the clear; one that cannot be read says nothing, and is a [warning](Self::take_warnings).
    pub fn slots(&self) -> Result<Vec<(SlotId, Option<SlotInfo>)>, Error> {
        let decode = |(id, object): SlotObject| {
            let read = object
                .map_err(Error::from)
                .and_then(|object| SlotInfo::decode(&object).map_err(|error| damaged(&ObjectPath::Key(id).to_string(), error)));
            let why = match read {
                Ok(info) if info.repo == self.id() => return (id, Some(info)),
                Ok(_) => "belongs to another repository".to_owned(),
                Err(error) => chain(&error),
            };
            let short = id.short();
            self.warn(&ObjectPath::Key(id), &format!("{why}: put it back from a copy of the repository, or `snap key remove {short}`"));
            (id, None)
        };
        Ok(slots(&*self.backend)?.into_iter().map(decode).collect())
    }

    /// Adds a key slot that `secrets` opens.
    pub fn add_slot(&self, secrets: &Secrets, label: &str) -> Result<SlotId, Error> {
        self.check_writable()?;
        write_slot(&*self.backend, &self.keys, secrets, label)
    }

    /// Which slot the given secrets open.
    pub fn slot_of(&self, secrets: &Secrets) -> Result<Option<SlotId>, Error> {
        self.slot_besides(secrets, None)
    }

    /// The same but for this one.
    pub(crate) fn slot_besides(&self, secrets: &Secrets, other: Option<SlotId>) -> Result<Option<SlotId>, Error> {
        for (id, object) in cheapest_first(&slots(&*self.backend)?) {
            if Some(*id) != other
                && let Ok(object) = object
                && matches!(open_slot(*id, object, self.id(), secrets), Ok(Some(_)))
            {
                return Ok(Some(*id));
            }
        }
        Ok(None)
    }
}

/// What a repository is opened by, as it was read.
struct Door {
    config: Vec<u8>,
    slots: Vec<SlotObject>,
}

impl Door {
    fn look(backend: &dyn Backend, options: &OpenOptions) -> Result<Self, Error> {
        let config = backend.read(&ObjectPath::Config, limits::RECORD_LEN).map_err(|error| {
            let has_keys = || backend.list(Folder::Keys).is_ok_and(|keys| !keys.is_empty());
            if error.is_not_found() && has_keys() {
                let message = format!(
                    "the repository at {} has lost its file '{CONFIG_PATH}', without which nothing in it can be read: put it back from a copy of \
                     this repository; that of another is of no use",
                    options.location
                );
                Error::with(ErrorKind::Damage, message, error)
            } else if error.is_no_bucket() {
                Error::with(ErrorKind::NoRepository, format!("there is no bucket for the repository at {}", options.location), error)
            } else if error.is_not_found() || error.source.kind() == std::io::ErrorKind::NotADirectory {
                let message = format!("there is no repository at {}: make one with `snap init -r {}`", options.location, options.location);
                Error::new(ErrorKind::NoRepository, message)
            } else {
                error.into()
            }
        })?;
        Ok(Self { config, slots: slots(backend)? })
    }

    fn is_same(&self, other: &Self) -> bool {
        let bytes = |door: &Self| door.slots.iter().map(|(id, object)| (*id, object.as_ref().ok().cloned())).collect::<Vec<_>>();
        self.config == other.config && bytes(self) == bytes(other)
    }

    /// The keys, the config, and features that a writer must know and this version does not.
    fn open(&self, secrets: &Secrets) -> Result<(RepoKeys, Config, u64), Error> {
        let identity = Identity::decode(&self.config).map_err(|error| damaged(CONFIG_PATH, error))?;
        let keys = RepoKeys::new(unlock(&self.slots, identity.repo, secrets)?, identity.repo);
        let config = Config::open(&self.config, &keys).map_err(|error| damaged(CONFIG_PATH, error))?;
        Ok((keys, config, identity.unknown_to_writers()))
    }
}

fn damaged(object: &str, error: ObjectError) -> Error {
    let kind = if matches!(error, ObjectError::Unknown { .. }) { ErrorKind::Failed } else { ErrorKind::Damage };
    Error::with(kind, format!("cannot read {object}"), error)
}

/// A key slot as it stands in the repository, if it can be read.
type SlotObject = (SlotId, Result<Vec<u8>, BackendError>);

/// All key slots, by name.
fn slots(backend: &dyn Backend) -> Result<Vec<SlotObject>, Error> {
    let mut ids: Vec<SlotId> = backend.list(Folder::Keys)?.iter().filter_map(|listed| listed.name.parse().ok()).collect();
    ids.sort_unstable();
    let read = |id| match backend.read(&ObjectPath::Key(id), limits::RECORD_LEN) {
        Err(error) if error.is_not_found() => None,
        object => Some((id, object)),
    };
    Ok(ids.into_iter().filter_map(read).collect())
}

/// So that slots which ask for much work, as a hostile one may, keep nobody from the others.
fn cheapest_first(slots: &[SlotObject]) -> Vec<&SlotObject> {
    let mut slots: Vec<_> = slots.iter().collect();
    slots.sort_by_cached_key(|(_, object)| {
        let info = object.as_ref().ok().and_then(|object| SlotInfo::decode(object).ok());
        info.map_or(0, |info| info.kdf.work_kib())
    });
    slots
}

fn unlock(slots: &[SlotObject], repo: RepoId, secrets: &Secrets) -> Result<Secret, Error> {
    if slots.is_empty() {
        return Err(Error::new(ErrorKind::Damage, "the repository has no key slot: restore one below keys/ from a copy of the repository"));
    }
    let mut bad = None;
    // A slot that cannot be read is no error while another one opens.
    for (id, object) in cheapest_first(slots) {
        match object.as_ref().map(|object| open_slot(*id, object, repo, secrets)) {
            Ok(Ok(Some(master))) => return Ok(master),
            Ok(Ok(None)) => {}
            Ok(Err(error)) => bad = Some((ObjectPath::Key(*id), BadSlot::Object(error))),
            Err(error) => bad = Some((ObjectPath::Key(*id), BadSlot::Backend(chain(error)))),
        }
    }
    let message = match (&secrets.passphrase, &secrets.key_file) {
        (None, None) => "no password or key was given: use --password-file, --password-command, SNAP_PASSWORD or --key-file",
        (Some(_), _) => "wrong password: no key slot of this repository opens with it",
        (None, Some(_)) => "wrong key file: no key slot of this repository opens with it",
    };
    match bad {
        None => Err(Error::new(ErrorKind::WrongKey, message)),
        // The key fits: it is surely the slot.
        Some((path, error @ BadSlot::Object(ObjectError::Seal(SealError::Damaged)))) => {
            Err(Error::with(ErrorKind::Damage, format!("{path} is damaged: put it back from a copy of the repository"), error))
        }
        Some((path, error)) => Err(Error::with(ErrorKind::WrongKey, format!("{message}, and {path} cannot be read"), error)),
    }
}

/// Why a slot cannot be read.
#[derive(Debug, thiserror::Error)]
enum BadSlot {
    #[error(transparent)]
    Object(ObjectError),
    #[error("{0}")]
    Backend(String),
}

/// The master key, if the slot is one for these secrets and opens with them.
fn open_slot(id: SlotId, object: &[u8], repo: RepoId, secrets: &Secrets) -> Result<Option<Secret>, ObjectError> {
    let info = SlotInfo::decode(object)?;
    let kek = match (&info.kdf, &secrets.passphrase, &secrets.key_file) {
        _ if info.repo != repo => return Ok(None),
        (Kdf::Argon2id { .. }, Some(passphrase), _) => kek_from_passphrase(&info.kdf, passphrase),
        (Kdf::KeyFile, _, Some(secret)) => kek_from_key_file(&info.kdf, secret),
        _ => return Ok(None),
    };
    let Ok(kek) = kek else { return Ok(None) };
    match info.open(object, &kek, &ObjectPath::Key(id).to_string()) {
        Err(ObjectError::Seal(SealError::WrongKey)) => Ok(None),
        opened => opened.map(Some),
    }
}

fn write_slot(backend: &dyn Backend, keys: &RepoKeys, secrets: &Secrets, label: &str) -> Result<SlotId, Error> {
    let failed = |error: KekError| Error::with(ErrorKind::Failed, "cannot derive a key", error);
    let (kdf, kek) = match (&secrets.key_file, &secrets.passphrase) {
        (Some(secret), _) => (Kdf::KeyFile, kek_from_key_file(&Kdf::KeyFile, secret).map_err(failed)?),
        (None, Some(passphrase)) if passphrase.is_empty() => {
            return Err(Error::new(ErrorKind::Usage, "an empty password protects nothing: choose another one"));
        }
        (None, Some(passphrase)) => {
            let (memory_kib, passes, lanes) = ARGON2_DEFAULT;
            let kdf = Kdf::Argon2id { memory_kib, passes, lanes, salt: rng::bytes()? };
            let kek = kek_from_passphrase(&kdf, passphrase).map_err(failed)?;
            (kdf, kek)
        }
        (None, None) => {
            let message = "a password or key file is needed: use --password-file, --password-command, SNAP_PASSWORD or --key-file";
            return Err(Error::new(ErrorKind::Usage, message));
        }
    };
    let id = SlotId::from_bytes(rng::bytes()?);
    let path = ObjectPath::Key(id);
    let info = SlotInfo { repo: keys.repo(), created: clock::now(), label: label.to_owned(), host: clock::host(), kdf };
    let object = info.seal(keys.master(), &kek, rng::bytes()?, &path.to_string());
    match backend.create(&path, &object)? {
        Created::New => Ok(id),
        Created::Exists => Err(Error::new(ErrorKind::Failed, format!("{path} exists already, which chance does not explain"))),
    }
}

impl From<BackendError> for Error {
    fn from(error: BackendError) -> Self {
        let kind = match () {
            () if error.is_no_space() => ErrorKind::NoSpace,
            () if error.is_unreachable() => ErrorKind::Unreachable,
            () => ErrorKind::Failed,
        };
        let message = error.to_string();
        Self::with(kind, message, error.source)
    }
}
