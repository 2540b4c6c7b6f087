//! The repository's identity, features and parameters (`spec/FORMAT.md`, section 5).

use bincode::{Decode, Encode};

use super::envelope::{ObjectError, ObjectKind, Place, Sealed, seal_object};
use super::record::{Extra, Time};
use crate::base::ids::RepoId;
use crate::base::limits;
use crate::base::units::{KIB, MIB};
use crate::base::wire::{self, WireError};
use crate::crypto::RepoKeys;

/// Where the config stands.
pub const CONFIG_PATH: &str = "config";

/// What everybody may read.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Identity {
    /// Names the repository.
    pub repo: RepoId,
    /// Features that a reader and writer may ignore.
    pub compatible: u64,
    /// Features that a writer must know.
    pub read_only: u64,
    /// Features that every reader must know.
    pub incompatible: u64,
}

/// A feature that writers must know: packs are deleted by prune records, so whoever relies on packs reads open plans first
/// (`spec/PROTOCOL.md`, section 5). Repositories made before prunes were thought of do not say so, and may be pruned all the same.
pub const READS_PLANS: u64 = 1;

/// Parameters of a repository, fixed when it is made.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Config {
    /// When it was made.
    pub created: Time,
    /// Shortest chunk of plain data, in bytes, but for a file's last one.
    pub chunk_min: u32,
    /// Mean chunk of plain data, in bytes.
    pub chunk_avg: u32,
    /// Longest chunk of plain data, in bytes.
    pub chunk_max: u32,
    /// Segment within a tensor, in bytes.
    pub segment_len: u32,
    /// Plain bytes that go together into a blob.
    pub blob_len: u32,
    /// Bytes at which a pack is finished.
    pub pack_len: u32,
    /// Whether packs are padded to hide the size of small pushes.
    pub pad: bool,
    /// Room for later.
    pub extra: Extra,
}

impl Identity {
    /// Features that a writer must know and this program does not.
    pub fn unknown_to_writers(&self) -> u64 {
        self.read_only & !READS_PLANS
    }

    /// Reads the clear part and refuses a repository that this program must not read.
    pub fn decode(object: &[u8]) -> Result<Self, ObjectError> {
        let identity: Self = wire::decode(Sealed::parse(object, ObjectKind::Config)?.clear)?;
        if identity.incompatible != 0 {
            return Err(ObjectError::Unknown { what: "repository feature set", value: identity.incompatible });
        }
        Ok(identity)
    }
}

impl Config {
    /// The parameters of a new repository.
    pub fn new(created: Time) -> Self {
        Self {
            created,
            chunk_min: 64 * KIB as u32,
            chunk_avg: 256 * KIB as u32,
            chunk_max: 1024 * KIB as u32,
            segment_len: MIB as u32,
            blob_len: 3 * MIB as u32,
            pack_len: 64 * MIB as u32,
            pad: false,
            extra: Extra::new(),
        }
    }

    /// Seals the config of the repository with these keys.
    pub fn seal(&self, identity: &Identity, keys: &RepoKeys, salt: [u8; 32]) -> Vec<u8> {
        let key = keys.object(ObjectKind::Config as u8, 0, &salt);
        seal_object(ObjectKind::Config, salt, &key, &wire::encode(identity), Place::Path(CONFIG_PATH), wire::encode(self))
    }

    /// Opens a config and checks that its parameters make sense.
    pub fn open(object: &[u8], keys: &RepoKeys) -> Result<Self, ObjectError> {
        let sealed = Sealed::parse(object, ObjectKind::Config)?;
        let key = keys.object(ObjectKind::Config as u8, sealed.header.epoch, &sealed.header.salt);
        let config: Self = wire::decode(&sealed.open(&key, Place::Path(CONFIG_PATH))?)?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), WireError> {
        let sizes_ascend = 64 <= self.chunk_min && self.chunk_min < self.chunk_avg && self.chunk_avg < self.chunk_max;
        // The chunker looks at bytes in pairs.
        let even = self.chunk_min.is_multiple_of(2) && self.chunk_max.is_multiple_of(2);
        let in_limits =
            [self.chunk_max, self.segment_len, self.blob_len].iter().all(|len| (1..=limits::CHUNK_LEN).contains(&(*len as usize)));
        if sizes_ascend && even && in_limits && self.chunk_avg.is_power_of_two() && self.pack_len as usize <= limits::PACK_LEN {
            return Ok(());
        }
        Err(WireError::Invalid("the repository's parameters are out of range"))
    }
}
