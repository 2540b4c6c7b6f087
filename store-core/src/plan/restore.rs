//! The order of a restore: the bytes wanted, grouped by blob, blobs by pack, so that each blob is read and decoded once.

/// A run of a file that one chunk fills.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Want {
    /// The pack that holds the chunk, as a number.
    pub pack: u32,
    /// The blob within the pack.
    pub ordinal: u32,
    /// Where the chunk starts in the blob's plain bytes.
    pub start: u32,
    /// Its length in bytes.
    pub len: u32,
    /// Which file, by a number of the caller's.
    pub file: u32,
    /// Where in the file.
    pub offset: u64,
}

/// One blob to be read, with what it is wanted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlobRead<'w> {
    /// The pack that holds it.
    pub pack: u32,
    /// Which blob of it.
    pub ordinal: u32,
    /// Its chunks that are wanted, in the order of their place in the blob.
    pub wants: &'w [Want],
}

/// Puts the wants in the order in which packs are read best, and groups them by blob.
pub fn blob_reads(wants: &mut [Want]) -> Vec<BlobRead<'_>> {
    wants.sort_unstable_by_key(|want| (want.pack, want.ordinal, want.start, want.file, want.offset));
    let same_blob = |a: &Want, b: &Want| (a.pack, a.ordinal) == (b.pack, b.ordinal);
    wants.chunk_by(same_blob).map(|wants| BlobRead { pack: wants[0].pack, ordinal: wants[0].ordinal, wants }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_blob_is_read_once_in_the_order_of_the_packs() {
        let want = |pack, ordinal, start, file| Want { pack, ordinal, start, len: 1, file, offset: 0 };
        let mut wants = [want(1, 5, 0, 0), want(0, 2, 9, 1), want(1, 5, 3, 2), want(0, 2, 0, 3), want(0, 1, 0, 4)];
        let reads = blob_reads(&mut wants);
        let order: Vec<_> =
            reads.iter().map(|read| (read.pack, read.ordinal, read.wants.iter().map(|w| w.file).collect::<Vec<_>>())).collect();
        assert_eq!(order, [(0, 1, vec![4]), (0, 2, vec![3, 1]), (1, 5, vec![0, 2])]);
    }
}
