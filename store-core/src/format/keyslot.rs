//! Key slots: the master key under a passphrase or a key file (`spec/FORMAT.md`, section 6).

use bincode::{Decode, Encode};

use super::envelope::{ObjectError, ObjectKind, Place, Sealed, seal_object};
use super::record::Time;
use crate::base::ids::RepoId;
use crate::base::wire;
use crate::crypto::{ObjectKey, Secret};
use zeroize::Zeroize;

/// How a slot's key-encryption key is made.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Kdf {
    /// From a passphrase, by Argon2id.
    Argon2id {
        /// Memory in KiB.
        memory_kib: u32,
        /// Passes over the memory.
        passes: u32,
        /// Lanes.
        lanes: u32,
        /// Random.
        salt: [u8; 32],
    },
    /// From the secret in a key file.
    KeyFile,
}

impl Kdf {
    /// What the derivation costs: memory in KiB times passes over it. A key file costs nothing.
    pub fn work_kib(&self) -> u64 {
        match *self {
            Self::Argon2id { memory_kib, passes, .. } => u64::from(memory_kib) * u64::from(passes),
            Self::KeyFile => 0,
        }
    }
}

/// What a slot says in the clear.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct SlotInfo {
    /// The repository.
    pub repo: RepoId,
    /// When it was made.
    pub created: Time,
    /// What its maker calls it.
    pub label: String,
    /// Where it was made.
    pub host: String,
    /// How its key is made.
    pub kdf: Kdf,
}

impl SlotInfo {
    /// Reads the clear part of a slot.
    pub fn decode(object: &[u8]) -> Result<Self, ObjectError> {
        Ok(wire::decode(Sealed::parse(object, ObjectKind::KeySlot)?.clear)?)
    }

    /// Makes a slot that stands at `path` and keeps `master` under the key-encryption key `kek`.
    pub fn seal(&self, master: &Secret, kek: &Secret, salt: [u8; 32], path: &str) -> Vec<u8> {
        let key = ObjectKey::derive(kek, ObjectKind::KeySlot as u8, &self.repo, 0, &salt);
        seal_object(ObjectKind::KeySlot, salt, &key, &wire::encode(self), Place::Path(path), master.expose().to_vec())
    }

    /// Opens the slot that stands at `path` with the key-encryption key `kek`.
    pub fn open(&self, object: &[u8], kek: &Secret, path: &str) -> Result<Secret, ObjectError> {
        let sealed = Sealed::parse(object, ObjectKind::KeySlot)?;
        let key = ObjectKey::derive(kek, ObjectKind::KeySlot as u8, &self.repo, sealed.header.epoch, &sealed.header.salt);
        let mut body = sealed.open(&key, Place::Path(path))?;
        let master = <&mut [u8; 32]>::try_from(body.as_mut_slice()).map(Secret::take);
        let opened = master.map_err(|_| wire::WireError::Invalid("a master key has 32 bytes").into());
        body.zeroize();
        opened
    }
}
