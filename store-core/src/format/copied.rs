//! What a copied snapshot says of itself in its `extra`: of which snapshots of other repositories it is a copy (`spec/FORMAT.md`, section 10).

use crate::base::ids::{RepoId, SnapshotId};

/// In `extra`: the snapshots that this one is a copy of.
pub const COPIED: &str = "copied";

/// Origins that are recorded, at the most.
pub const ORIGINS: usize = 16;

/// Bytes of one.
const LEN: usize = 64;

/// A snapshot of a repository.
pub type Origin = (RepoId, SnapshotId);

/// Encodes origins, the nearest first; what would be too much is left out.
pub fn encode_origins(origins: &[Origin]) -> Vec<u8> {
    origins.iter().take(ORIGINS).flat_map(|(repo, snapshot)| [*repo.as_bytes(), *snapshot.as_bytes()]).flatten().collect()
}

/// Reads them. What is no list of origins names none: whoever needs them copies once more.
pub fn decode_origins(bytes: &[u8]) -> Vec<Origin> {
    if !bytes.len().is_multiple_of(LEN) || bytes.len() > ORIGINS * LEN {
        return Vec::new();
    }
    let (ids, _) = bytes.as_chunks::<32>();
    ids.chunks_exact(2).map(|pair| (RepoId::from_bytes(pair[0]), SnapshotId::from_bytes(pair[1]))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(byte: u8) -> Origin {
        (RepoId::from_bytes([byte; 32]), SnapshotId::from_bytes([byte + 1; 32]))
    }

    #[test]
    fn origins_have_these_bytes() {
        let bytes: Vec<u8> = [1, 2, 5, 6].into_iter().flat_map(|byte| [byte; 32]).collect();
        assert_eq!(encode_origins(&[origin(1), origin(5)]), bytes);
        assert_eq!(decode_origins(&bytes), [origin(1), origin(5)]);
    }

    #[test]
    fn odd_lengths_name_nothing_and_no_more_than_the_limit_is_written() {
        for len in [1, 32, 63, 65, 96, LEN * (ORIGINS + 1)] {
            assert_eq!(decode_origins(&vec![7; len]), [], "{len}");
        }
        assert_eq!(decode_origins(&[]), []);
        assert_eq!(decode_origins(&encode_origins(&vec![origin(3); ORIGINS + 4])).len(), ORIGINS);
    }
}
