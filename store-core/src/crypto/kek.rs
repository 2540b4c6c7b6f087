//! Key-encryption keys: what a passphrase or a key file gives, under which a slot keeps the master key.

use zeroize::{Zeroize, Zeroizing};

use super::secret::Secret;
use crate::format::keyslot::Kdf;

/// Cost of a new passphrase slot: 64 MiB, two passes, one lane: about a tenth of a second. (RFC 9106 calls 64 MiB the memory-constrained choice.)
pub const ARGON2_DEFAULT: (u32, u32, u32) = (65_536, 2, 1);

const MAX_MEMORY_KIB: u32 = 1 << 20;
const MAX_PASSES: u32 = 64;
const MAX_LANES: u32 = 64;
/// Memory times passes in KiB: about two seconds of one core.
const MAX_WORK_KIB: u64 = 2 << 20;

/// Why no key could be derived.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KekError {
    /// The slot asks for more memory or time than any honest slot does.
    #[error("the key slot asks for Argon2id with {memory_kib} KiB, {passes} passes and {lanes} lanes, which is refused")]
    Cost {
        /// Memory in KiB.
        memory_kib: u32,
        /// Passes over it.
        passes: u32,
        /// Lanes.
        lanes: u32,
    },
    /// The slot is of the other kind.
    #[error("the key slot is for {0}")]
    OtherKind(&'static str),
    /// The file holds no key.
    #[error("a key file holds 64 hexadecimal digits and a newline, this one does not")]
    KeyFile,
}

/// The key that `passphrase` gives for a slot.
pub fn kek_from_passphrase(kdf: &Kdf, passphrase: &[u8]) -> Result<Secret, KekError> {
    let Kdf::Argon2id { memory_kib, passes, lanes, salt } = *kdf else { return Err(KekError::OtherKind("a key file")) };
    let cost = || KekError::Cost { memory_kib, passes, lanes };
    if memory_kib > MAX_MEMORY_KIB || passes > MAX_PASSES || lanes > MAX_LANES || kdf.work_kib() > MAX_WORK_KIB {
        return Err(cost());
    }
    let params = argon2::Params::new(memory_kib, passes, lanes, Some(32)).map_err(|_| cost())?;
    let mut key = [0; 32];
    argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params)
        .hash_password_into(passphrase, &salt, &mut key)
        .map_err(|_| cost())?;
    Ok(Secret::take(&mut key))
}

/// The key that a key file's secret gives for a slot.
pub fn kek_from_key_file(kdf: &Kdf, secret: &Secret) -> Result<Secret, KekError> {
    match kdf {
        Kdf::KeyFile => Ok(Secret::take(&mut blake3::derive_key("snap 2026 v1 key file", secret.expose()))),
        Kdf::Argon2id { .. } => Err(KekError::OtherKind("a passphrase")),
    }
}

/// Reads a key file's text.
pub fn parse_key_file(text: &[u8]) -> Result<Secret, KekError> {
    let digits = text.strip_suffix(b"\n").unwrap_or(text);
    if digits.len() != 64 {
        return Err(KekError::KeyFile);
    }
    let mut key = [0u8; 32];
    for (pair, byte) in digits.chunks_exact(2).zip(&mut key) {
        let digit = |c: u8| (c as char).to_digit(16).map(|d| d as u8);
        let (Some(high), Some(low)) = (digit(pair[0]), digit(pair[1])) else {
            key.zeroize();
            return Err(KekError::KeyFile);
        };
        *byte = high << 4 | low;
    }
    Ok(Secret::take(&mut key))
}

/// Writes a key file's text.
pub fn write_key_file(secret: &Secret) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(65));
    for byte in secret.expose() {
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from_digit(u32::from(digit), 16).expect("four bits are a digit"));
        }
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_file_survives() {
        let secret = Secret::take(&mut std::array::from_fn(|i| i as u8 * 7));
        let text = write_key_file(&secret);
        assert_eq!(parse_key_file(text.as_bytes()).unwrap().expose(), secret.expose());
        assert_eq!(parse_key_file(&text.as_bytes()[1..]).unwrap_err(), KekError::KeyFile);
    }

    #[test]
    fn a_hostile_cost_is_refused_before_it_is_paid() {
        for (memory_kib, passes, lanes) in
            [(u32::MAX, 1, 1), ((1 << 20) + 1, 1, 1), (1 << 20, 3, 1), (64, 65, 1), (64, 1, 65), (u32::MAX, u32::MAX, u32::MAX)]
        {
            let kdf = Kdf::Argon2id { memory_kib, passes, lanes, salt: [0; 32] };
            assert!(matches!(kek_from_passphrase(&kdf, b"x"), Err(KekError::Cost { .. })), "{memory_kib} {passes} {lanes}");
        }
        assert!(matches!(kek_from_passphrase(&Kdf::KeyFile, b"x"), Err(KekError::OtherKind(_))));
    }
}
