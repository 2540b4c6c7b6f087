//! Repositories for unit tests.

use std::path::Path;
use std::sync::Arc;

use super::{OpenOptions, Repo, Secrets};
use crate::backend::Backend;
use crate::clock;
use crate::codec::Compression;
use crate::crypto::Secret;
use crate::format::config::Config;

/// A new one on `backend`, with one thread.
pub(crate) fn init_on(backend: Arc<dyn Backend>, cache: &Path) -> Repo {
    let options = OpenOptions {
        location: "test".into(),
        cache_dir: cache.to_path_buf(),
        threads: 1,
        memory: 64 << 20,
        compression: Compression::Fastest,
        kept: 0,
    };
    let secrets = Secrets { passphrase: None, key_file: Some(Secret::take(&mut [7; 32])) };
    Repo::init_on(backend, Config::new(clock::now()), &options, &secrets, "test").unwrap().0
}
