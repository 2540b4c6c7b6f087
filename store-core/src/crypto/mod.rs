//! L1: keys, seals and names of content (`spec/FORMAT.md`, section 4). Pure: randomness and passwords come from above.

mod kek;
mod keys;
mod seal;
mod secret;

pub use kek::{ARGON2_DEFAULT, KekError, kek_from_key_file, kek_from_passphrase, parse_key_file, write_key_file};
pub use keys::RepoKeys;
pub use seal::{ObjectKey, SealError, TAG_LEN};
pub use secret::Secret;
