//! Which bytes of a file are there, and which are holes that read as zeros.

use std::ops::Range;
use std::os::fd::AsFd;

use rustix::fs::SeekFrom;

/// Pieces beyond which a file counts as all data: the map is bounded, and so fragmented a file gains little.
const MOST: usize = 1 << 16;

/// The ranges of `file` that hold data, sorted, not touching each other, all below `len`; what lies between them is holes.
///
/// `allocated` is how many bytes the file takes on disk: a file that takes as many as it has is not searched. Where the file system
/// does not tell, or there are more than 65,536 pieces, all is data. The file's offset is moved.
pub(super) fn data(file: impl AsFd, len: u64, allocated: u64) -> Vec<Range<u64>> {
    let all = || if len == 0 { Vec::new() } else { std::iter::once(0..len).collect() };
    if allocated >= len { all() } else { search(file, len).unwrap_or_else(all) }
}

fn search(file: impl AsFd, len: u64) -> Option<Vec<Range<u64>>> {
    let file = file.as_fd();
    let mut pieces = Vec::new();
    let mut at = 0;
    while at < len {
        let start = match rustix::fs::seek(file, SeekFrom::Data(at)) {
            Ok(start) => start,
            Err(rustix::io::Errno::NXIO) => break,
            Err(_) => return None,
        };
        if start >= len {
            break;
        }
        let end = rustix::fs::seek(file, SeekFrom::Hole(start)).ok()?.min(len);
        // A file that changes meanwhile may answer anything.
        if start < at || end <= start || pieces.len() == MOST {
            return None;
        }
        pieces.push(start..end);
        at = end;
    }
    Some(pieces)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{FileExt, MetadataExt};

    fn map(file: &std::fs::File) -> Vec<Range<u64>> {
        let meta = file.metadata().unwrap();
        data(file, meta.len(), meta.blocks() * 512)
    }

    #[test]
    fn holes_at_both_ends_and_between_are_found() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(16 << 20).unwrap();
        for at in [4u64 << 20, 9 << 20] {
            file.write_all_at(&[7; 65536], at).unwrap();
        }
        let pieces = map(&file);
        if pieces.len() == 1 && pieces[0] == (0..16 << 20) {
            eprintln!("skipped: the file system tells no holes");
            return;
        }
        assert_eq!(pieces, [4 << 20..(4 << 20) + 65536, 9 << 20..(9 << 20) + 65536]);
    }

    #[test]
    fn a_file_that_is_all_hole_has_no_data_and_an_empty_file_neither() {
        let file = tempfile::tempfile().unwrap();
        assert_eq!(map(&file), []);
        file.set_len(8 << 20).unwrap();
        assert!(map(&file).iter().map(|piece| piece.end - piece.start).sum::<u64>() < 8 << 20);
    }

    #[test]
    fn a_file_in_too_many_pieces_is_all_data() {
        let file = tempfile::tempfile().unwrap();
        let step = 8192;
        for piece in 0..MOST as u64 + 2 {
            file.write_all_at(b"x", piece * step).unwrap();
        }
        assert_eq!(map(&file).len(), 1);
    }
}
