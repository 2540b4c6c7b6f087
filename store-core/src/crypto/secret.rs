//! Thirty-two secret bytes.

use std::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

/// A key of 32 bytes. It is wiped when dropped, is compared nowhere and never shows in text.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Secret([u8; 32]);

impl Secret {
    /// Takes over the bytes; the caller's copy is wiped.
    pub fn take(bytes: &mut [u8; 32]) -> Self {
        let secret = Self(*bytes);
        bytes.zeroize();
        secret
    }

    /// The bytes, for a cipher, a hash or a key slot.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}
