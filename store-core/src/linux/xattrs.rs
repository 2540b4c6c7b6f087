//! Extended attributes, ACLs among them (`system.posix_acl_*`), of what is open or of an entry that is not followed.

use std::io;
use std::os::fd::BorrowedFd;

use rustix::fs::{self, XattrFlags};
use rustix::io::Errno;

/// The longest list of names and the longest value that Linux has (`XATTR_LIST_MAX`, `XATTR_SIZE_MAX`).
const LARGEST: usize = 64 << 10;
/// What a first attempt makes room for.
const USUAL: usize = 512;

/// What has the attributes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Of<'a> {
    /// An inode opened for reading or writing.
    Open(BorrowedFd<'a>),
    /// The entry at a path, which is not followed if it is a symbolic link; see [`proc_path`](super::proc_path).
    Entry(&'a [u8]),
}

/// Names of all attributes, in the file system's order; none where the file system has no attributes.
pub(crate) fn list(of: Of<'_>) -> io::Result<Vec<Vec<u8>>> {
    let bytes = sized(|buffer| match of {
        Of::Open(fd) => fs::flistxattr(fd, buffer),
        Of::Entry(path) => fs::llistxattr(path, buffer),
    });
    match bytes {
        Ok(bytes) => Ok(bytes.split(|&byte| byte == 0).filter(|name| !name.is_empty()).map(<[u8]>::to_vec).collect()),
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

/// The value of one attribute, `None` when there is none of that name.
pub(crate) fn get(of: Of<'_>, name: &[u8]) -> io::Result<Option<Vec<u8>>> {
    let bytes = sized(|buffer| match of {
        Of::Open(fd) => fs::fgetxattr(fd, name, buffer),
        Of::Entry(path) => fs::lgetxattr(path, name, buffer),
    });
    match bytes {
        Ok(bytes) => Ok(Some(bytes)),
        Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Sets one attribute.
pub(crate) fn set(of: Of<'_>, name: &[u8], value: &[u8]) -> io::Result<()> {
    match of {
        Of::Open(fd) => fs::fsetxattr(fd, name, value, XattrFlags::empty()),
        Of::Entry(path) => fs::lsetxattr(path, name, value, XattrFlags::empty()),
    }
    .map_err(Into::into)
}

/// Removes one attribute, if it is there.
pub(crate) fn remove(of: Of<'_>, name: &[u8]) -> io::Result<()> {
    let removed = match of {
        Of::Open(fd) => fs::fremovexattr(fd, name),
        Of::Entry(path) => fs::lremovexattr(path, name),
    };
    match removed {
        Err(Errno::NODATA) => Ok(()),
        other => other.map_err(Into::into),
    }
}

fn sized(read: impl Fn(&mut [u8]) -> rustix::io::Result<usize>) -> rustix::io::Result<Vec<u8>> {
    let mut small = [0; USUAL];
    match read(&mut small) {
        Ok(len) => Ok(small[..len.min(USUAL)].to_vec()),
        Err(Errno::RANGE) => {
            let mut large = vec![0; LARGEST];
            let len = read(&mut large)?;
            large.truncate(len);
            large.shrink_to_fit();
            Ok(large)
        }
        Err(error) => Err(error),
    }
}
