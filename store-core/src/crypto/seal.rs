//! The one place where bytes are sealed and opened.

use aes_gcm::aead::{AeadInOut, KeyInit};
use aes_gcm::{Aes256Gcm, Nonce, Tag};
use zeroize::Zeroize;

use super::secret::Secret;
use crate::base::ids::RepoId;

/// Bytes that sealing adds.
pub const TAG_LEN: usize = 16;

/// Sealed bytes that do not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// Another key sealed the object, or its header was changed.
    #[error("the key does not fit: another key sealed this object, or its header is damaged")]
    WrongKey,
    /// The bytes, or what is bound to them, were changed.
    #[error("sealed bytes are damaged or stand in the wrong place")]
    Damaged,
}

/// The key of one object. Each of its parts is sealed under another nonce, and no key serves two objects.
pub struct ObjectKey {
    cipher: Box<Aes256Gcm>,
    nonce: [u8; 12],
    commitment: [u8; 32],
}

impl std::fmt::Debug for ObjectKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ObjectKey(…)")
    }
}

impl ObjectKey {
    /// Derives the key of the object with this kind, epoch and salt from `root`: the master key, or a key slot's key-encryption key.
    pub fn derive(root: &Secret, kind: u8, repo: &RepoId, epoch: u32, salt: &[u8; 32]) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("snap 2026 v1 object key");
        hasher.update(root.expose()).update(&[kind]).update(repo.as_bytes()).update(&epoch.to_le_bytes()).update(salt);
        let mut out = [0; 76];
        hasher.finalize_xof().fill(&mut out);
        let cipher = Box::new(Aes256Gcm::new_from_slice(&out[..32]).expect("AES-256 keys have 32 bytes"));
        let nonce = out[32..44].try_into().expect("twelve bytes");
        let commitment = out[44..].try_into().expect("thirty-two bytes");
        out.zeroize();
        hasher.zeroize();
        Self { cipher, nonce, commitment }
    }

    /// What the object's header carries, so that it opens under this key only.
    pub fn commitment(&self) -> [u8; 32] {
        self.commitment
    }

    /// Refuses an object whose header carries another commitment.
    pub fn check(&self, commitment: &[u8; 32]) -> Result<(), SealError> {
        // The commitment is no secret: it stands in the header.
        if *commitment == self.commitment { Ok(()) } else { Err(SealError::WrongKey) }
    }

    /// Seals `bytes` in place as part `ordinal` of the object and appends the tag. `bound` is what must be the same when it is opened.
    /// A part is sealed once: the caller never gives an ordinal twice.
    pub fn seal(&self, ordinal: u32, bound: &[u8], bytes: &mut Vec<u8>) {
        let tag = self
            .cipher
            .encrypt_inout_detached(&self.nonce(ordinal), bound, bytes.as_mut_slice().into())
            .expect("a part is far below the cipher's limit of 64 GiB");
        bytes.extend_from_slice(&tag);
    }

    /// Opens part `ordinal` in place and removes the tag. After an error the bytes are of no use.
    pub fn open(&self, ordinal: u32, bound: &[u8], bytes: &mut Vec<u8>) -> Result<(), SealError> {
        let split = bytes.len().checked_sub(TAG_LEN).ok_or(SealError::Damaged)?;
        let tag = Tag::try_from(&bytes[split..]).map_err(|_| SealError::Damaged)?;
        bytes.truncate(split);
        self.cipher.decrypt_inout_detached(&self.nonce(ordinal), bound, bytes.as_mut_slice().into(), &tag).map_err(|_| SealError::Damaged)
    }

    fn nonce(&self, ordinal: u32) -> Nonce<aes_gcm::aead::consts::U12> {
        let mut nonce = self.nonce;
        for (byte, n) in nonce[8..].iter_mut().zip(ordinal.to_le_bytes()) {
            *byte ^= n;
        }
        Nonce::from(nonce)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(salt: u8) -> ObjectKey {
        ObjectKey::derive(&Secret::take(&mut [7; 32]), 3, &RepoId::from_bytes([1; 32]), 0, &[salt; 32])
    }

    #[test]
    fn what_is_sealed_opens_in_its_place_only() {
        let mut sealed = b"weights".to_vec();
        key(0).seal(5, b"frame", &mut sealed);
        assert_eq!(sealed.len(), 7 + TAG_LEN);
        let open = |key: ObjectKey, ordinal, bound: &[u8], sealed: &[u8]| {
            let mut bytes = sealed.to_vec();
            key.open(ordinal, bound, &mut bytes).map(|()| bytes)
        };
        assert_eq!(open(key(0), 5, b"frame", &sealed).unwrap(), b"weights");
        assert!(open(key(0), 6, b"frame", &sealed).is_err());
        assert!(open(key(0), 5, b"other", &sealed).is_err());
        assert!(open(key(1), 5, b"frame", &sealed).is_err());
        assert!(open(key(0), 5, b"frame", &sealed[..15]).is_err());
        for at in 0..sealed.len() {
            let mut bad = sealed.clone();
            bad[at] ^= 1;
            assert!(open(key(0), 5, b"frame", &bad).is_err());
        }
    }

    #[test]
    fn each_object_has_its_own_commitment() {
        assert_ne!(key(0).commitment(), key(1).commitment());
        assert_eq!(key(0).check(&key(1).commitment()), Err(SealError::WrongKey));
    }
}
