//! What a repaired snapshot says of itself in its `extra`: which one it stands for, and what is missing in it (`spec/FORMAT.md`, section 10).

use crate::base::limits;
use crate::base::wire::{Reader, WireError, put_string, put_varint};

/// In `extra`: the id of the snapshot that this one stands for.
pub const REPAIRS: &str = "repairs";
/// In `extra`: what is missing.
pub const LOST: &str = "lost";

/// Losses that are listed, at the most.
const LOSSES: usize = 16_384;
/// Ranges of a file that are listed, at the most.
const RANGES: usize = 64;
/// Bytes of a path.
const PATH_LEN: usize = 64 << 10;
/// Bytes of losses beyond which no more are listed, so that the record stays within what a reader takes.
const MOST_BYTES: usize = limits::RECORD_LEN / 8;

const FILE: u8 = 1;
const ENTRIES: u8 = 2;

/// Something that a snapshot lacks.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Loss {
    /// A file that is left out.
    File {
        /// Its path, without a `/` at its start.
        path: Vec<u8>,
        /// How many bytes it had.
        size: u64,
        /// Which of them are lost: starts and lengths, ascending and apart; the first few.
        ranges: Vec<(u64, u64)>,
        /// How many more are.
        more_bytes: u64,
    },
    /// A directory of which entries are left out.
    Entries {
        /// Its path; empty for the root.
        path: Vec<u8>,
        /// How many; 0 when that is not known.
        entries: u64,
    },
}

/// All that a snapshot lacks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lost {
    /// What it is, as far as it is listed.
    pub losses: Vec<Loss>,
    /// How many losses are not listed.
    pub more: u64,
}

impl Loss {
    /// A file with lost ranges, of which neighbours are joined and the first few kept.
    pub fn file(path: Vec<u8>, size: u64, lost: impl IntoIterator<Item = (u64, u64)>) -> Self {
        let (mut ranges, mut more_bytes): (Vec<(u64, u64)>, u64) = (Vec::new(), 0);
        // What a hostile list says may be beyond the file.
        let within = lost.into_iter().map(|(start, len)| (start, len.min(size.saturating_sub(start))));
        for (start, len) in within.filter(|(_, len)| *len > 0) {
            let is_full = ranges.len() == RANGES;
            match ranges.last_mut() {
                Some(last) if last.0 + last.1 == start => last.1 += len,
                _ if is_full => more_bytes += len,
                _ => ranges.push((start, len)),
            }
        }
        Self::File { path, size, ranges, more_bytes }
    }

    /// Where it is.
    pub fn path(&self) -> &[u8] {
        match self {
            Self::File { path, .. } | Self::Entries { path, .. } => path,
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::File { path, size, ranges, more_bytes } => {
                out.push(FILE);
                put_string(out, path);
                put_varint(out, *size);
                put_varint(out, ranges.len() as u64);
                ranges.iter().flat_map(|(start, len)| [*start, *len]).for_each(|value| put_varint(out, value));
                put_varint(out, *more_bytes);
            }
            Self::Entries { path, entries } => {
                out.push(ENTRIES);
                put_string(out, path);
                put_varint(out, *entries);
            }
        }
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let tag = reader.u8()?;
        let path = reader.string("a lost path", PATH_LEN)?.to_vec();
        match tag {
            FILE => {
                let size = reader.varint()?;
                let count = reader.count("lost ranges", RANGES)?;
                let mut ranges: Vec<(u64, u64)> = Vec::new();
                for _ in 0..count {
                    let (start, len) = (reader.varint()?, reader.varint()?);
                    let end = start.checked_add(len).filter(|end| *end <= size);
                    let before = ranges.last().map(|(start, len)| start + len);
                    if len == 0 || end.is_none() || before.is_some_and(|before| start <= before) {
                        return Err(WireError::Invalid("lost ranges are not ascending and apart within their file"));
                    }
                    ranges.push((start, len));
                }
                Ok(Self::File { path, size, ranges, more_bytes: reader.varint()? })
            }
            ENTRIES => Ok(Self::Entries { path, entries: reader.varint()? }),
            _ => Err(WireError::Invalid("a kind of loss that there is not")),
        }
    }
}

impl Lost {
    /// Encodes it; what would be too much is counted.
    pub fn encode(&self) -> Vec<u8> {
        let (mut listed, mut bytes) = (0, Vec::new());
        for loss in self.losses.iter().take(LOSSES) {
            if loss.path().len() > PATH_LEN || bytes.len() > MOST_BYTES {
                break;
            }
            loss.encode(&mut bytes);
            listed += 1;
        }
        let mut out = Vec::new();
        put_varint(&mut out, listed);
        out.append(&mut bytes);
        put_varint(&mut out, self.more.saturating_add(self.losses.len() as u64 - listed));
        out
    }

    /// Reads it.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(bytes);
        let count = reader.count("losses", LOSSES)?;
        let losses = (0..count).map(|_| Loss::decode(&mut reader)).collect::<Result<_, _>>()?;
        let more = reader.varint()?;
        reader.finish()?;
        Ok(Self { losses, more })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some() -> Lost {
        let file = Loss::file(b"a/b".to_vec(), 300, [(0, 5), (5, 5), (200, 100)]);
        Lost { losses: vec![file, Loss::Entries { path: Vec::new(), entries: 7 }], more: 2 }
    }

    #[test]
    fn losses_have_these_bytes() {
        let bytes = [2, 1, 3, b'a', b'/', b'b', 172, 2, 2, 0, 10, 200, 1, 100, 0, 2, 0, 7, 2];
        assert_eq!(some().encode(), bytes);
        assert_eq!(Lost::decode(&bytes), Ok(some()));
    }

    #[test]
    fn no_damaged_byte_panics_and_odd_ranges_are_refused() {
        let bytes = some().encode();
        for at in 0..bytes.len() {
            assert!(Lost::decode(&bytes[..at]).is_err());
            for bit in 0..8 {
                let mut bad = bytes.clone();
                bad[at] ^= 1 << bit;
                let _ = Lost::decode(&bad);
            }
        }
        // Beyond the file, touching the one before, empty, another kind, a byte behind it.
        for bad in [[1, 1, 0, 5, 1, 4, 2, 0, 0], [1, 1, 0, 5, 1, 4, 0, 0, 0], [1, 3, 0, 5, 1, 1, 1, 0, 0]] {
            assert!(Lost::decode(&bad).is_err(), "{bad:?}");
        }
        assert!(Lost::decode(&[1, 1, 0, 9, 2, 0, 2, 2, 1, 0, 0]).is_err());
        assert!(Lost::decode(&[0, 0, 0]).is_err());
    }

    #[test]
    fn what_is_too_much_is_counted() {
        let losses = vec![Loss::Entries { path: vec![b'x'; 1000], entries: 1 }; 20_000];
        let lost = Lost::decode(&Lost { losses, more: 1 }.encode()).unwrap();
        assert!(lost.losses.len() < 1000 && lost.losses.len() as u64 + lost.more == 20_001);
        let many = Loss::file(Vec::new(), 1000, (0..100).map(|range| (range * 10, 5)));
        assert!(matches!(&many, Loss::File { ranges, more_bytes: 180, .. } if ranges.len() == 64));
    }
}
