//! Room that a local repository keeps for prunes (`spec/PROTOCOL.md`, section 2): a file of bytes that mean nothing. A prune on a full disk
//! shortens it to have room for its records; whoever ends a push or a prune when there is room again makes it whole.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

/// Its name in the folder of the repository.
const NAME: &str = "reserve";
/// Its length in bytes when it is whole.
pub(super) const LEN: u64 = 128 << 10;
/// So many bytes are given back at a time. The rest stays out of the reach of whoever else fills the disk, until it is needed.
const STEP: u64 = 16 << 10;

/// The file. A link to something else is none, whoever put it there.
fn open(root: &Path, create: bool) -> io::Result<File> {
    // Nor is anything that opening would wait for.
    let flags = (rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK).bits() as i32;
    let file = File::options().write(true).create(create).truncate(false).mode(0o600).custom_flags(flags).open(root.join(NAME))?;
    let meta = file.metadata()?;
    if meta.is_file() && meta.nlink() == 1 { Ok(file) } else { Err(io::ErrorKind::InvalidInput.into()) }
}

/// Makes the file whole, unless that took more than half of the room that there is.
pub(super) fn fill(root: &Path) -> io::Result<()> {
    let len = match std::fs::symlink_metadata(root.join(NAME)) {
        Ok(meta) => meta.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        Err(error) => return Err(error),
    };
    let missing = LEN.saturating_sub(len);
    let room = rustix::fs::statvfs(root)?;
    if missing == 0 || room.f_bavail.saturating_mul(room.f_frsize) / 2 < missing {
        return Ok(());
    }
    let file = open(root, true)?;
    // Bytes that no file system makes smaller.
    let mut bytes = vec![0; missing as usize];
    getrandom::fill(&mut bytes)?;
    let written = file.write_all_at(&bytes, len).and_then(|()| file.sync_data());
    if written.is_err() {
        // A quota, say, ends sooner than the disk: what is left of it is not taken.
        file.set_len(len)?;
    }
    written
}

/// Gives some of it back. `false` when nothing is left.
pub(super) fn shorten(root: &Path) -> io::Result<bool> {
    let file = match open(root, false) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        file => file?,
    };
    let len = file.metadata()?.len();
    if len == 0 {
        return Ok(false);
    }
    file.set_len(len.saturating_sub(STEP))?;
    // Some file systems give room back only once that is on the disk.
    file.sync_all()?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn len(root: &Path) -> u64 {
        std::fs::metadata(root.join(NAME)).unwrap().len()
    }

    #[test]
    fn it_is_given_back_in_steps_and_made_whole_again() {
        let root = tempfile::tempdir().unwrap();
        assert!(!shorten(root.path()).unwrap());
        fill(root.path()).unwrap();
        assert_eq!(len(root.path()), LEN);
        let before = std::fs::read(root.path().join(NAME)).unwrap();
        for left in (0..LEN / STEP).rev() {
            assert!(shorten(root.path()).unwrap());
            assert_eq!(len(root.path()), left * STEP);
        }
        assert!(!shorten(root.path()).unwrap());
        fill(root.path()).unwrap();
        let after = std::fs::read(root.path().join(NAME)).unwrap();
        assert!(after.len() == before.len() && after != before);
    }

    #[test]
    fn what_is_cut_short_in_the_middle_of_a_step_is_made_whole() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join(NAME), [7; 1000]).unwrap();
        fill(root.path()).unwrap();
        assert_eq!(len(root.path()), LEN);
        std::fs::write(root.path().join(NAME), [7; 1000]).unwrap();
        assert!(shorten(root.path()).unwrap() && !shorten(root.path()).unwrap());
    }

    #[test]
    fn a_link_in_its_place_leads_to_nothing_that_is_cut_short() {
        let root = tempfile::tempdir().unwrap();
        let other = root.path().join("other");
        for hard in [false, true] {
            std::fs::write(&other, "precious").unwrap();
            if hard {
                std::fs::hard_link(&other, root.path().join(NAME)).unwrap();
            } else {
                std::os::unix::fs::symlink(&other, root.path().join(NAME)).unwrap();
            }
            assert!(shorten(root.path()).is_err() && fill(root.path()).is_err());
            assert_eq!(std::fs::read(&other).unwrap(), b"precious");
            std::fs::remove_file(root.path().join(NAME)).unwrap();
        }
    }
}
