//! Reading back what a push wrote, before its snapshot becomes visible.

use rayon::prelude::*;

use crate::backend::ObjectPath;
use crate::base::ids::PackId;
use crate::base::limits;
use crate::error::{Error, ErrorKind};
use crate::format::blob::BlobKind;
use crate::format::pack::{pack_id, read_contents};
use crate::index::BlobPlace;
use crate::monitor::Monitor;
use crate::repo::Repo;
use crate::repo::again::opened;

/// Reads these packs from the repository, and compares each with its name, and each chunk and node in it, decoded with its bases, with its id.
///
/// # Errors
/// Of kind [`ErrorKind::Damage`] when anything differs.
pub(in crate::ops) fn packs(repo: &Repo, packs: &[(PackId, u64)], monitor: &dyn Monitor) -> Result<(), Error> {
    let _past = repo.past_cache();
    repo.pool.install(|| {
        packs.par_iter().try_for_each(|(id, _)| {
            if monitor.interrupted() {
                return Err(Error::new(ErrorKind::Interrupted, "interrupted"));
            }
            pack(repo, *id)
        })
    })
}

fn pack(repo: &Repo, id: PackId) -> Result<(), Error> {
    let path = ObjectPath::Pack(id);
    let differs = |why: &str| {
        let message = format!("{path} is not what was written ({why}): there is no snapshot; check the disk, and `snap check --read-data`");
        Error::new(ErrorKind::Damage, message)
    };
    let is_it = |bytes: &[u8]| if pack_id(bytes) == id { Ok(()) } else { Err(differs("its hash is another one")) };
    let ((), bytes) = opened(&*repo.backend, || Ok(repo.backend.read(&path, limits::PACK_LEN)?), is_it)?;
    let contents = read_contents(&repo.keys, &bytes).map_err(|error| differs(&error.to_string()))?;
    for (ordinal, (blob, offset)) in contents.blobs.iter().zip(contents.offsets()).enumerate() {
        let place = BlobPlace { pack: id, offset, frame: blob.frame.clone() };
        // The footer was found to add up to the pack's length.
        let sealed = bytes[offset as usize..offset as usize + blob.frame.sealed_len as usize].to_vec();
        let plain = repo.decode_blob(&place, ordinal as u32, sealed)?;
        let mut rest = &plain[..];
        for (id, len) in blob.ids.iter().zip(&blob.frame.chunk_lens) {
            let (chunk, after) = rest.split_at_checked(*len as usize).ok_or_else(|| differs("a blob is too short"))?;
            rest = after;
            let same = match blob.frame.kind {
                BlobKind::Data => repo.keys.chunk_id(chunk) == *id,
                BlobKind::Nodes => repo.keys.node_id(chunk).as_bytes() == id.as_bytes(),
            };
            if !same {
                return Err(differs("a chunk has another id"));
            }
        }
    }
    Ok(())
}
