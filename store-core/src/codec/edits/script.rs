//! Scripts: which ranges of the base are copied, and how many literals come before each.

use super::super::entropy::{BitDecoder, BitEncoder, Bits, Chance, Model, tree};
use super::super::{CodecError, zstd_decode};
use super::forms;
use crate::base::wire::Reader;

/// Literals, and then a range of the base.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Copied {
    /// Literals before it.
    pub literals: u32,
    /// Where it starts in the base.
    pub from: u32,
    /// Its bytes.
    pub len: u32,
}

/// What plain bytes are made of: copies of the base with literals before each, and literals behind the last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// In order. Each is within the base.
    pub copies: Vec<Copied>,
    /// All literals, one run after the other: as many as the copies name, and those behind them.
    pub literals: Vec<u8>,
}

/// A script has one copy for so many plain bytes at the most, and one more.
pub(super) const PLAIN_FOR_A_COPY: usize = 8;

/// Bits that name a kind.
const KIND_BITS: u32 = 2;
/// Where a copy starts, of what is known when it comes.
mod kinds {
    /// Behind as many bytes of the base as there are literals.
    pub(super) const REPLACED: u32 = 0;
    /// Where the last copy ended.
    pub(super) const INSERTED: u32 = 1;
    /// Behind the former by a distance.
    pub(super) const FORWARD: u32 = 2;
    /// Before it.
    pub(super) const BACK: u32 = 3;
    pub(super) const ALL: usize = 4;
}

/// The numbers of a script, as far as they are known.
struct Numbers {
    kind: usize,
    end: u32,
    kinds: [[Chance; 1 << KIND_BITS]; kinds::ALL],
    literals: [Model; kinds::ALL],
    lens: [Model; kinds::ALL],
    distances: [Model; 2],
}

impl Numbers {
    fn new() -> Self {
        let models = |_| Model::new();
        Self {
            kind: 0,
            end: 0,
            kinds: [[Chance::NEW; 1 << KIND_BITS]; kinds::ALL],
            literals: [0; kinds::ALL].map(models),
            lens: [0; kinds::ALL].map(models),
            distances: [0; 2].map(models),
        }
    }

    /// How many literals come next.
    fn literals(&mut self, bits: &mut impl Bits, literals: u32) -> Result<u32, CodecError> {
        self.literals[self.kind].number(bits, literals)
    }

    /// Where, behind so many literals, a copy starts and how long it is. What a decoder gives for `copy` is passed over.
    fn copy(&mut self, bits: &mut impl Bits, literals: u32, copy: Copied) -> Result<Copied, CodecError> {
        const OUTSIDE: CodecError = CodecError::Malformed("a copy outside the base");
        let replaced = self.end.checked_add(literals).ok_or(OUTSIDE)?;
        let kind = match copy.from {
            from if from == replaced => kinds::REPLACED,
            from if from == self.end => kinds::INSERTED,
            from if from > replaced => kinds::FORWARD,
            _ => kinds::BACK,
        };
        let kind = tree(bits, &mut self.kinds[self.kind], KIND_BITS, kind);
        self.kind = kind as usize;
        let from = match kind {
            kinds::REPLACED => Some(replaced),
            kinds::INSERTED => Some(self.end),
            kinds::FORWARD => {
                let distance = self.distances[0].number(bits, copy.from.wrapping_sub(replaced).wrapping_sub(1))?;
                replaced.checked_add(distance).and_then(|from| from.checked_add(1))
            }
            _ => {
                let distance = self.distances[1].number(bits, replaced.wrapping_sub(copy.from).wrapping_sub(1))?;
                replaced.checked_sub(distance).and_then(|from| from.checked_sub(1))
            }
        };
        let from = from.ok_or(OUTSIDE)?;
        let len = self.lens[self.kind].number(bits, copy.len.wrapping_sub(1))? + 1;
        self.end = from.checked_add(len).ok_or(OUTSIDE)?;
        Ok(Copied { literals, from, len })
    }
}

/// The coded bits of copies that make `plain_len` bytes with the literals.
pub(super) fn write(copies: &[Copied], plain_len: u32) -> Vec<u8> {
    let (mut bits, mut numbers) = (BitEncoder::new(), Numbers::new());
    let mut left = plain_len;
    let fits = "a blob is shorter than the longest number";
    for copy in copies {
        numbers.literals(&mut bits, copy.literals).expect(fits);
        numbers.copy(&mut bits, copy.literals, *copy).expect(fits);
        left -= copy.literals + copy.len;
    }
    if left > 0 || plain_len == 0 {
        numbers.literals(&mut bits, left).expect(fits);
    }
    bits.finish()
}

/// The copies in coded bits, and how many literals there are with them.
fn read(coded: &[u8], base_len: usize, plain_len: usize) -> Result<(Vec<Copied>, usize), CodecError> {
    const BEYOND: CodecError = CodecError::Malformed("a script beyond the plain bytes");
    let (mut bits, mut numbers) = (BitDecoder::new(coded)?, Numbers::new());
    let nothing = Copied { literals: 0, from: 0, len: 0 };
    let (mut copies, mut left, mut literals) = (Vec::new(), plain_len, 0);
    loop {
        let run = numbers.literals(&mut bits, 0)?;
        left = left.checked_sub(run as usize).ok_or(BEYOND)?;
        literals += run as usize;
        if left == 0 {
            break;
        }
        if copies.len() > plain_len / PLAIN_FOR_A_COPY {
            return Err(CodecError::Malformed("a script of too many copies"));
        }
        let copy = numbers.copy(&mut bits, run, nothing)?;
        if numbers.end as usize > base_len {
            return Err(CodecError::Malformed("a copy outside the base"));
        }
        left = left.checked_sub(copy.len as usize).ok_or(BEYOND)?;
        copies.push(copy);
        if left == 0 {
            break;
        }
    }
    bits.finish()?;
    Ok((copies, literals))
}

impl Script {
    /// Reads coded bytes that make `len` plain bytes of a base of `base_len`.
    ///
    /// # Errors
    /// When no encoder writes such bytes.
    pub fn read(coded: &[u8], base_len: usize, len: usize) -> Result<Self, CodecError> {
        let mut reader = Reader::new(coded);
        let script = reader.string("a script", coded.len())?;
        let count = reader.count("literals", len)?;
        let form = reader.u8()?;
        let rest = reader.bytes(reader.remaining())?;
        let (copies, literals) = read(script, base_len, len)?;
        if literals != count {
            return Err(CodecError::Malformed("other literals than the script's"));
        }
        let literals = match form {
            forms::PLAIN if rest.len() < count => return Err(CodecError::Truncated),
            forms::PLAIN if rest.len() > count => return Err(CodecError::Trailing),
            forms::PLAIN => rest.to_vec(),
            forms::ZSTD => zstd_decode(rest, count)?,
            _ => return Err(CodecError::Malformed("the form of literals")),
        };
        Ok(Self { copies, literals })
    }
}
