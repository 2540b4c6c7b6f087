//! What a choice of codec had before it, and why it did not take what takes least.

use std::fmt;

/// One way in which a blob could have been coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Weighed {
    /// What the codec is called.
    pub codec: &'static str,
    /// Bytes that it takes, or would.
    pub bytes: u64,
    /// Whether that is a guess from a sample.
    pub estimated: bool,
    /// Why it was not taken, where it takes less than what was.
    pub refused: Option<Refusal>,
}

/// Why a blob was not coded in the way that takes least.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// A restore would read more than `spec/CHAINS.md` allows.
    Chain,
    /// It saves less than the names of its bases take, and a sixteenth for a restore that reads them, too.
    Little,
    /// Others are coded against these chunks already, and their chains may not grow.
    Relied,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Chain => "a restore would read too much",
            Self::Little => "it saves too little for what its bases cost",
            Self::Relied => "others rely on these chunks",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::ChunkId;
    use crate::blob::{Bases, Chain, Plain, encode};
    use crate::codec::Compression;
    use crate::format::blob::BlobKind;
    use crate::tensor::Dtype;

    fn noise(seed: u8, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        blake3::Hasher::new().update(&[seed]).finalize_xof().fill(&mut bytes);
        bytes
    }

    fn weighed(plain: &[u8], dtype: Option<Dtype>, bases: &Bases) -> (Vec<Weighed>, usize) {
        let coded = encode(Plain { kind: BlobKind::Data, bytes: plain, dtype }, vec![plain.len() as u32], Some(bases), Compression::Auto);
        (coded.weighed, coded.frame.bases.len())
    }

    /// Bases that differ from what is coded in a few bytes, at the end of chains that take `reads` bytes to read.
    fn like(plain: &[u8], whole: u64, reads: u64, aligned: bool) -> Bases {
        let mut bytes = plain.to_vec();
        bytes.iter_mut().step_by(4096).for_each(|byte| *byte ^= 1);
        let chain = Chain { plain: plain.len() as u64, reads, last: 0, whole };
        Bases { ids: vec![ChunkId::from_bytes([7; 32])], bytes, aligned, chain, ..Bases::default() }
    }

    #[test]
    fn what_a_restore_would_pay_for_is_refused_with_that_word() {
        let text: Vec<u8> = noise(1, 200_000).iter().map(|byte| b'a' + byte % 16).collect();
        let numbers: Vec<u8> = noise(2, 200_000).chunks(2).flat_map(|pair| [pair[0], 0x3c | pair[1] & 0x81]).collect();
        for (plain, dtype, name) in [(text, None, "edits"), (numbers, Some(Dtype::BF16), "difference")] {
            for (reads, limit, refused) in
                [(100_000, None, None), (2_000_000, None, Some(Refusal::Chain)), (100_000, Some(50), Some(Refusal::Relied))]
            {
                let bases = Bases { most_reads: limit, ..like(&plain, 100_000, reads, dtype.is_some()) };
                let (weighed, used) = weighed(&plain, dtype, &bases);
                let found = weighed.iter().find(|weighed| weighed.codec == name).unwrap();
                assert_eq!((found.refused, used), (refused, usize::from(refused.is_none())), "{name}: {weighed:?}");
                let others = weighed.iter().filter(|weighed| weighed.codec != name);
                assert!(others.clone().count() > 0 || refused.is_none());
                assert!(others.clone().all(|weighed| weighed.refused.is_none()));
            }
        }
    }

    #[test]
    fn what_takes_more_than_was_taken_needs_no_word() {
        let plain: Vec<u8> = noise(3, 100_000).iter().map(|byte| b'a' + byte % 16).collect();
        let other = Bases { bytes: noise(4, 100_000), ..like(&plain, 50_000, 50_000, false) };
        let (weighed, used) = weighed(&plain, None, &other);
        assert!(used == 0 && weighed.iter().all(|weighed| weighed.refused.is_none()), "{weighed:?}");
    }
}
