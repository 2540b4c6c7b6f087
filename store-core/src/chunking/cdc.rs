//! Keyed FastCDC. The cuts of a text are frozen by a golden vector: a faster scan may replace this one, other cuts may not.

use fastcdc::v2020::{Normalization, cut_gear, select_masks};

use crate::format::config::Config;

/// Cuts plain bytes into chunks.
#[derive(Clone)]
pub struct Chunker {
    min: usize,
    avg: usize,
    max: usize,
    mask_s: u64,
    mask_l: u64,
    gear: Vec<u64>,
    gear_ls: Vec<u64>,
}

impl std::fmt::Debug for Chunker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Chunker").field("min", &self.min).field("avg", &self.avg).field("max", &self.max).finish_non_exhaustive()
    }
}

impl Chunker {
    /// A chunker with the repository's sizes and its secret table of 256 words.
    pub fn new(config: &Config, gear: &[u64]) -> Self {
        let avg = config.chunk_avg as usize;
        let (mask_s, mask_l) = select_masks(avg, Normalization::Level1);
        let gear_ls = gear.iter().map(|word| word << 1).collect();
        Self { min: config.chunk_min as usize, avg, max: config.chunk_max as usize, mask_s, mask_l, gear: gear.to_vec(), gear_ls }
    }

    /// Longest chunk in bytes.
    pub fn max(&self) -> usize {
        self.max
    }

    /// The length of the first chunk of `bytes`. Unless these are the last bytes of a file, at least [`max`](Self::max) of them are needed.
    pub fn cut(&self, bytes: &[u8]) -> usize {
        if bytes.len() <= self.min {
            return bytes.len();
        }
        let (mask_s_ls, mask_l_ls) = (self.mask_s << 1, self.mask_l << 1);
        let (_, len) =
            cut_gear(bytes, self.min, self.avg, self.max, self.mask_s, self.mask_l, mask_s_ls, mask_l_ls, &self.gear, &self.gear_ls);
        len.clamp(1, bytes.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::RepoId;
    use crate::crypto::{RepoKeys, Secret};
    use crate::format::record::Time;

    /// Bytes without pattern, from a fixed seed.
    fn noise(len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        blake3::Hasher::new_derive_key("chunker test").finalize_xof().fill(&mut bytes);
        bytes
    }

    fn chunker(key: u8) -> Chunker {
        let keys = RepoKeys::new(Secret::take(&mut [key; 32]), RepoId::from_bytes([2; 32]));
        let config = Config::new(Time { seconds: 0, nanos: 0 });
        Chunker::new(&Config { chunk_min: 16 << 10, chunk_avg: 64 << 10, chunk_max: 256 << 10, ..config }, keys.gear())
    }

    fn cuts(chunker: &Chunker, mut bytes: &[u8]) -> Vec<usize> {
        let mut cuts = Vec::new();
        while !bytes.is_empty() {
            let len = chunker.cut(bytes);
            cuts.push(len);
            bytes = &bytes[len..];
        }
        cuts
    }

    #[test]
    fn cuts_are_frozen() {
        assert_eq!(cuts(&chunker(1), &noise(1 << 20)), GOLDEN);
    }

    #[test]
    fn cuts_depend_on_the_key_and_keep_to_the_sizes() {
        let noise = noise(8 << 20);
        let (one, two) = (cuts(&chunker(1), &noise), cuts(&chunker(2), &noise));
        assert_ne!(one, two);
        for len in &one[..one.len() - 1] {
            assert!((16 << 10..=256 << 10).contains(len));
        }
        let mean = noise.len() / one.len();
        assert!((48 << 10..96 << 10).contains(&mean), "{mean}");
    }

    #[test]
    fn an_insertion_moves_only_the_cuts_around_it() {
        let old = noise(4 << 20);
        let new = [&old[..1 << 20], b"inserted", &old[1 << 20..]].concat();
        let chunker = chunker(1);
        let (old, new) = (cuts(&chunker, &old), cuts(&chunker, &new));
        assert_eq!(old[..8], new[..8]);
        assert_eq!(old[old.len() - 30..], new[new.len() - 30..]);
    }

    const GOLDEN: [usize; 13] = [25964, 141463, 64164, 28177, 65692, 170013, 52832, 53083, 132636, 108890, 72221, 77831, 55610];
}
