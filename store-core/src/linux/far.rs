//! File systems whose bytes go elsewhere later than they are written.

use std::os::fd::AsFd;

/// By `f_type` of `statfs(2)`: NFS, SMB in three versions, FUSE (sshfs, and what mounts buckets), Ceph, AFS, 9P, Lustre.
const FAR: [u64; 9] = [0x6969, 0x517b, 0xff53_4d42, 0xfe53_4d42, 0x6573_5546, 0x00c3_6400, 0x5346_414f, 0x0102_1997, 0x0bd0_0bd0];

/// Whether a write there can fail after it was said to be done: the server is full, or a quota is used up, which is told when a file is synced or
/// closed. What cannot be asked is taken to be near.
pub(crate) fn is_far(on: impl AsFd) -> bool {
    rustix::fs::fstatfs(on).is_ok_and(|found| FAR.contains(&(found.f_type as u64 & 0xffff_ffff)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_near() {
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        assert!(!is_far(std::fs::File::open(folder.path()).unwrap()));
    }
}
