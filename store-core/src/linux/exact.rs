//! Folders that take names as the bytes that they are.

use std::os::fd::AsFd;

use rustix::fs::IFlags;
use rustix::io::Errno;

/// By `f_type` of `statfs(2)`: ext2 to 4, Btrfs, memory, F2FS, overlays. Not XFS, which can be made to ignore case and has no such flag.
const EXACT: [u64; 5] = [0xef53, 0x9123_683e, 0x0102_1994, 0xf2f5_2010, 0x794c_7630];
/// Set for folders of these that ignore case and the form of accents, all the same. `FS_CASEFOLD_FL` of `linux/fs.h`.
const CASEFOLD: IFlags = IFlags::from_bits_retain(0x4000_0000);

/// Whether two names of other bytes are two files in this folder, which is opened for reading; `false` where that is not known.
pub(crate) fn is_exact(folder: impl AsFd) -> bool {
    let folder = folder.as_fd();
    let is_known = rustix::fs::fstatfs(folder).is_ok_and(|found| EXACT.contains(&(found.f_type as u64 & 0xffff_ffff)));
    let is_folded = || match rustix::fs::ioctl_getflags(folder) {
        Ok(flags) => flags.contains(CASEFOLD),
        // Where such flags cannot be asked for there are none.
        Err(error) => !matches!(error, Errno::NOTTY | Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS),
    };
    is_known && !is_folded()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_exact_and_the_kernels_own_are_not_known() {
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        assert!(is_exact(std::fs::File::open(folder.path()).unwrap()));
        assert!(!is_exact(std::fs::File::open("/proc").unwrap()));
    }
}
