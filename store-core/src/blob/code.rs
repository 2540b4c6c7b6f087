//! The coding of a blob: which codecs, and back. A choice is made by the estimated cost of a sample; what loses is not used.

use super::bases::Bases;
use super::content::{self, BaseChunk, Content};
use super::weighed::Weighed;
use crate::base::ids::ChunkId;
use crate::base::limits;
use crate::codec::estimate::{self, Estimate};
use crate::codec::{
    CodecError, Compression, Element, convert, converted_from_len, edits, float_diff, looks_incompressible, planes, zstd_decode,
    zstd_decode_with_prefix, zstd_encode, zstd_encode_with_prefix,
};
use crate::crypto::TAG_LEN;
use crate::format::blob::{BlobKind, Frame, Step};
use crate::format::pack::Sketch;
use crate::tensor::{Dtype, GgufType};

/// Codes of codec steps (`spec/CODECS.md`, section 1).
mod codes {
    pub(super) const ZSTD: u8 = 1;
    pub(super) const ZSTD_PREFIX: u8 = 2;
    pub(super) const PLANES: u8 = 3;
    pub(super) const DIFFERENCE: u8 = 4;
    pub(super) const TREND: u8 = 5;
    pub(super) const EDITS: u8 = 6;
}

/// Chunks that are to become a blob.
#[derive(Debug, Clone, Copy)]
pub struct Plain<'a> {
    /// Data or nodes.
    pub kind: BlobKind,
    /// All chunks, one after the other.
    pub bytes: &'a [u8],
    /// What their values are, if they are segments of tensors of one type.
    pub dtype: Option<Dtype>,
}

/// What plain bytes take against bases is clearly worth it at one part in so many of what bytes like these take by themselves.
const CLEARLY: usize = 4;

/// What plain bytes take as edits of their bases is hardly anything at one part in so many.
const HARDLY: usize = 32;

/// A coded blob, ready to be sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodedBlob {
    /// What it is and how it was coded.
    pub frame: Frame,
    /// The coded bytes.
    pub bytes: Vec<u8>,
    /// Bytes that the chunks would take by themselves, as far as is known; `None` where nobody has tried.
    pub alone: Option<u64>,
    /// What was tried or estimated before it was chosen.
    pub weighed: Vec<Weighed>,
}

impl CodedBlob {
    /// A blob that was coded before; what it would take by itself nobody has tried.
    pub fn of(frame: Frame, bytes: Vec<u8>) -> Self {
        let alone = frame.bases.is_empty().then_some(frame.sealed_len.into());
        Self { frame, bytes, alone, weighed: Vec::new() }
    }
}

/// A blob that cannot be decoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// A codec refused the bytes.
    #[error(transparent)]
    Codec(#[from] CodecError),
}

impl Weighed {
    fn real(codec: u8, bytes: usize) -> Self {
        Self { codec: name_of(Some(codec)), bytes: bytes as u64, estimated: false, refused: None }
    }

    fn guess(codec: u8, bytes: u64) -> Self {
        Self { codec: name_of(Some(codec)), bytes, estimated: true, refused: None }
    }
}

/// One way to code a blob.
struct Coding {
    step: Option<(u8, Vec<u8>)>,
    bytes: Vec<u8>,
    uses: Uses,
    /// What it would take to use nothing, as far as is known.
    alone: usize,
}

impl Coding {
    /// That uses nothing.
    fn whole(step: Option<(u8, Vec<u8>)>, bytes: Vec<u8>) -> Self {
        Self { step, alone: bytes.len(), bytes, uses: Uses::Nothing }
    }
}

/// Which bases a coding refers to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Uses {
    Nothing,
    Bases,
    OlderToo,
}

/// Codes chunks with the lengths `chunk_lens`. Never larger than stored as it is.
pub fn encode(plain: Plain<'_>, chunk_lens: Vec<u32>, bases: Option<&Bases>, compression: Compression) -> CodedBlob {
    debug_assert_eq!(chunk_lens.iter().map(|len| *len as usize).sum::<usize>(), plain.bytes.len());
    debug_assert!(plain.bytes.len() <= limits::BLOB_LEN);
    let bases = bases.filter(|bases| !bases.ids.is_empty() && bases.depth < limits::DEPTH);
    // Nodes are compressed whatever the user says of data.
    let level = if plain.kind == BlobKind::Nodes { Some(compression.level().unwrap_or(3)) } else { compression.level() };
    let mut weighed = Vec::new();
    let coding = level.and_then(|level| match plain.dtype.and_then(element_of) {
        Some(element) => encode_numbers(element, plain.bytes, bases, level, &mut weighed),
        None => encode_plain(plain.bytes, bases, level, &mut weighed),
    });
    let coding = coding.filter(|coding| coding.bytes.len() < plain.bytes.len());
    let coding = coding.unwrap_or_else(|| Coding::whole(None, plain.bytes.to_vec()));
    let step = coding.step.map(|(code, parameters)| Step { code, input_len: plain.bytes.len() as u32, parameters });
    let used = bases.filter(|_| coding.uses != Uses::Nothing);
    let older = used.filter(|_| coding.uses == Uses::OlderToo).map(|bases| &bases.older);
    let frame = Frame {
        kind: plain.kind,
        depth: used.map_or(0, |bases| bases.depth + 1),
        sealed_len: (coding.bytes.len() + TAG_LEN) as u32,
        steps: step.into_iter().collect(),
        chunk_lens,
        bases: used.into_iter().map(|bases| &bases.ids).chain(older).flatten().copied().collect(),
    };
    let taken = codec_name(&frame);
    // A guess stands against guesses.
    let least = weighed.iter().find(|weighed| weighed.codec == taken).map_or(coding.bytes.len() as u64, |weighed| weighed.bytes);
    weighed.iter_mut().filter(|weighed| weighed.bytes >= least).for_each(|weighed| weighed.refused = None);
    CodedBlob { frame, bytes: coding.bytes, alone: Some(coding.alone as u64), weighed }
}

/// How many bytes coding against `bases` takes, as far as can be told cheaply: of numbers an estimate.
pub fn coded_len(plain: Plain<'_>, bases: &Bases, compression: Compression) -> u64 {
    let Some(level) = compression.level() else { return plain.bytes.len() as u64 };
    match plain.dtype.and_then(element_of) {
        Some(element) => {
            let Estimate { planes, difference, trend } = estimate_against(element, plain.bytes, bases);
            difference.into_iter().chain(trend).fold(planes, u64::min) / 8
        }
        None => encode_with_bases(plain.bytes, bases, level, &mut Vec::new()).1.len() as u64,
    }
}

/// Sealed bytes of a blob that was left out.
pub const LEFT_OUT_LEN: usize = TAG_LEN + 1;

/// A blob of one byte that stands for chunks whose bytes nobody wants: a measurement counts them and does not code them. It is never
/// written anywhere, and cannot be decoded.
pub fn left_out(kind: BlobKind, chunk_lens: Vec<u32>, bases: Option<&Bases>) -> CodedBlob {
    let used = bases.filter(|bases| !bases.ids.is_empty() && bases.depth < limits::DEPTH);
    // No codec has this code.
    let step = Step { code: u8::MAX, input_len: chunk_lens.iter().sum(), parameters: Vec::new() };
    let frame = Frame {
        kind,
        depth: used.map_or(0, |bases| bases.depth + 1),
        sealed_len: LEFT_OUT_LEN as u32,
        steps: vec![step],
        chunk_lens,
        bases: used.map_or_else(Vec::new, |bases| bases.ids.clone()),
    };
    CodedBlob { frame, bytes: vec![0], alone: None, weighed: Vec::new() }
}

fn zstd(plain: &[u8], level: i32) -> Coding {
    Coding::whole(Some((codes::ZSTD, Vec::new())), zstd_encode(plain, level))
}

fn encode_plain(plain: &[u8], bases: Option<&Bases>, level: i32, weighed: &mut Vec<Weighed>) -> Option<Coding> {
    let alone = |weighed: &mut Vec<Weighed>| {
        let coding = (!looks_incompressible(plain)).then(|| zstd(plain, level));
        weighed.extend(coding.iter().map(|coding| Weighed::real(codes::ZSTD, coding.bytes.len())));
        coding
    };
    let Some(bases) = bases else { return alone(weighed) };
    let first = weighed.len();
    let (code, bytes) = encode_with_bases(plain, bases, level, weighed);
    let coded = bytes.len();
    let with_bases = |alone| Coding { step: Some((code, Vec::new())), bytes, uses: Uses::Bases, alone };
    // Clearly worth it, as far as the starts of the chains tell: the other way need not be tried.
    let starts = bases.chain.share(plain.len() as u64).whole as usize;
    let like_the_bases = starts.min(plain.len() / 4);
    if bases.worth(coded) < like_the_bases / CLEARLY && bases.carry(plain.len(), coded, like_the_bases) {
        return Some(with_bases(starts.min(plain.len())));
    }
    let with = first..weighed.len();
    let alone = alone(weighed);
    let whole = alone.as_ref().map_or(plain.len(), |alone| alone.bytes.len());
    let refused = bases.refusal(plain.len(), coded, whole);
    weighed[with].iter_mut().for_each(|way| way.refused = refused);
    if refused.is_none() { Some(with_bases(whole)) } else { alone }
}

/// What takes least of the ways to code plain bytes given bases. What hardly changed is not tried twice: edits are smaller then, and faster.
fn encode_with_bases(plain: &[u8], bases: &Bases, level: i32, weighed: &mut Vec<Weighed>) -> (u8, Vec<u8>) {
    let edits = edits::encode(plain, &bases.bytes, bases.begins, level);
    weighed.extend(edits.iter().map(|edits| Weighed::real(codes::EDITS, edits.len())));
    let prefix =
        edits.as_ref().is_none_or(|edits| edits.len() > plain.len() / HARDLY).then(|| zstd_encode_with_prefix(plain, &bases.bytes, level));
    weighed.extend(prefix.iter().map(|prefix| Weighed::real(codes::ZSTD_PREFIX, prefix.len())));
    let edits = edits.map(|edits| (codes::EDITS, edits));
    let prefix = prefix.map(|prefix| (codes::ZSTD_PREFIX, prefix));
    edits.into_iter().chain(prefix).min_by_key(|(_, bytes)| bytes.len()).expect("one of the two was tried")
}

fn estimate_against(element: Element, plain: &[u8], bases: &Bases) -> Estimate {
    estimate::estimate(element, plain, bases.numbers(element, plain).as_deref(), bases.older_of(plain))
}

fn encode_numbers(element: Element, plain: &[u8], bases: Option<&Bases>, level: i32, weighed: &mut Vec<Weighed>) -> Option<Coding> {
    let numbers = bases.and_then(|bases| bases.numbers(element, plain));
    let aligned = bases.zip(numbers.as_deref());
    let older = aligned.and_then(|(bases, _)| bases.older_of(plain));
    let estimate = estimate::estimate(element, plain, numbers.as_deref(), older);
    let kind = bases.and_then(|bases| element_of(bases.kind?));
    weighed.push(Weighed::guess(codes::PLANES, estimate.planes / 8));
    let refused = |bits: u64| bases.and_then(|bases| bases.refusal(plain.len(), (bits / 8) as usize, (estimate.planes / 8) as usize));
    weighed.extend(estimate.difference.map(|bits| Weighed {
        codec: name_of_difference(kind.is_some()),
        bytes: bits / 8,
        estimated: true,
        refused: refused(bits),
    }));
    weighed.extend(estimate.trend.map(|bits| Weighed { refused: refused(bits), ..Weighed::guess(codes::TREND, bits / 8) }));
    let parameters = vec![element.code()];
    let bytes_of = |bits: u64| (bits / 8) as usize;
    if let (Some((bases, base)), Some(older), Some(trend)) = (aligned, older, estimate.trend)
        && estimate.goes_on()
        && bases.carry(plain.len(), bytes_of(trend), bytes_of(estimate.planes))
    {
        let bytes = float_diff::encode_trend(element, plain, base, older);
        return Some(Coding { step: Some((codes::TREND, parameters)), bytes, uses: Uses::OlderToo, alone: bytes_of(estimate.planes) });
    }
    if let (Some((bases, base)), Some(difference)) = (aligned, estimate.difference)
        && bases.carry(plain.len(), bytes_of(difference), bytes_of(estimate.planes))
    {
        let bytes = float_diff::encode(element, plain, base);
        let parameters = parameters.into_iter().chain(kind.map(Element::code)).collect();
        // Numbers that are in the snapshot in another type would be there if it were alone, too.
        let with_others = bases.kind.and(bases.charge).map(|charge| charge.more as usize + bytes.len());
        let alone = bytes_of(estimate.planes).min(with_others.unwrap_or(usize::MAX));
        return Some(Coding { step: Some((codes::DIFFERENCE, parameters)), bytes, uses: Uses::Bases, alone });
    }
    // Numbers that repeat, as in tables and masks, are text to zstd and noise to planes.
    let as_text = sample_zstd(plain);
    weighed.push(Weighed::guess(codes::ZSTD, as_text as u64));
    if as_text < (estimate.planes / 8) as usize {
        return Some(zstd(plain, level));
    }
    Some(Coding::whole(Some((codes::PLANES, parameters)), planes::encode(element, plain)))
}

/// What zstd at its fastest would make of `plain`, from two pieces of it.
fn sample_zstd(plain: &[u8]) -> usize {
    const PIECE: usize = 8 << 10;
    if plain.len() <= 2 * PIECE {
        return zstd_encode(plain, 1).len();
    }
    let middle = plain.len() / 2;
    let coded = zstd_encode(&plain[..PIECE], 1).len() + zstd_encode(&plain[middle..middle + PIECE], 1).len();
    coded * plain.len() / (2 * PIECE)
}

/// Decodes a blob's coded bytes. `bases` are the bytes of all its bases, one after the other.
///
/// # Errors
/// When a codec refuses the bytes. Memory is bounded by the lengths that the frame was checked for.
pub fn decode(frame: &Frame, coded: Vec<u8>, bases: &[u8]) -> Result<Vec<u8>, DecodeError> {
    let mut bytes = coded;
    for step in frame.steps.iter().rev() {
        let len = step.input_len as usize;
        let known = |code| Element::from_code(code).ok_or(CodecError::Malformed("unknown kind of element"));
        let element = || match step.parameters[..] {
            [code] => known(code),
            _ => Err(CodecError::Malformed("the parameters of a codec step")),
        };
        bytes = match step.code {
            codes::ZSTD | codes::ZSTD_PREFIX | codes::EDITS if !step.parameters.is_empty() => {
                return Err(CodecError::Malformed("the parameters of a codec step").into());
            }
            codes::ZSTD => zstd_decode(&bytes, len)?,
            codes::ZSTD_PREFIX => zstd_decode_with_prefix(&bytes, bases, len)?,
            codes::EDITS => edits::decode(&bytes, bases, len)?,
            codes::PLANES => planes::decode(element()?, &bytes, len)?,
            codes::DIFFERENCE => match step.parameters[..] {
                [code, of_bases] => float_diff::decode(known(code)?, &bytes, &convert(known(of_bases)?, known(code)?, bases, len)?, len)?,
                _ => float_diff::decode(element()?, &bytes, bases, len)?,
            },
            codes::TREND => float_diff::decode_trend(element()?, &bytes, bases, len)?,
            unknown => return Err(CodecError::Unknown(unknown).into()),
        };
    }
    if bytes.len() == frame.plain_len() { Ok(bytes) } else { Err(CodecError::Truncated.into()) }
}

/// Whether a blob is edits of its bases.
pub fn is_edits(frame: &Frame) -> bool {
    matches!(&frame.steps[..], [step] if step.code == codes::EDITS)
}

/// Decodes a blob that is edits of `bases`, which are those of its frame and in that order, to pieces of what these are made of.
///
/// # Errors
/// When the codec refuses the bytes, or the frame is another one's.
pub fn follow(frame: &Frame, coded: &[u8], bases: &[BaseChunk]) -> Result<Content, DecodeError> {
    match &frame.steps[..] {
        [step] if step.code == codes::EDITS && step.parameters.is_empty() && step.input_len as usize == frame.plain_len() => {
            content::follow(coded, frame.plain_len(), bases)
        }
        _ => Err(CodecError::Malformed("the parameters of a codec step").into()),
    }
}

/// The chunks that the chunk at `start` of the plain bytes, `len` long, is coded against: its own base, where each has one, else all of the blob.
pub fn bases_at(frame: &Frame, start: u32, len: u32) -> Vec<ChunkId> {
    let own = frame.chunk_at(start, len).and_then(|index| base_of(frame, index));
    own.map_or_else(|| frame.bases.clone(), |base| vec![base])
}

/// The chunk that chunk `index` of a blob is coded against, where chunks and bases correspond one to one.
pub fn base_of(frame: &Frame, index: usize) -> Option<ChunkId> {
    let of_each = match frame.steps.first()?.code {
        codes::DIFFERENCE => 1,
        codes::TREND => 2,
        _ => return None,
    };
    frame.bases.get(index).filter(|_| frame.bases.len() == of_each * frame.chunk_lens.len()).copied()
}

/// Bytes that so many of a blob's chunks take in its pack's footer and in an index segment, nearly: ids and sketches, which do not compress, and bases.
/// Those of plain chunks are all listed as long as any chunk is there.
pub fn listed_len(frame: &Frame, chunks: usize) -> u64 {
    let sketch = if frame.kind == BlobKind::Data { size_of::<Sketch>() } else { 0 };
    let all = frame.chunk_lens.len().max(1);
    let bases = if base_of(frame, 0).is_some() { frame.bases.len() * chunks / all } else { frame.bases.len() * chunks.min(1) };
    (chunks * (2 * ChunkId::LEN + sketch) + 2 * ChunkId::LEN * bases) as u64
}

/// A type of tensor whose numbers are coded as those of this blob are; `None` where bytes are all that is known.
pub fn dtype_of(frame: &Frame) -> Option<Dtype> {
    let step = frame.steps.first().filter(|step| matches!(step.code, codes::PLANES | codes::DIFFERENCE | codes::TREND))?;
    dtype_like(*step.parameters.first()?)
}

/// What the numbers of a blob's bases are, where they are others than its own.
pub fn kind_of_bases(frame: &Frame) -> Option<Dtype> {
    match frame.steps.first().filter(|step| step.code == codes::DIFFERENCE)?.parameters[..] {
        [_, of_bases] => dtype_like(of_bases),
        _ => None,
    }
}

/// A type of tensor whose elements are coded as those with this code.
fn dtype_like(code: u8) -> Option<Dtype> {
    let element = Element::from_code(code)?;
    let plain =
        [Dtype::F64, Dtype::F32, Dtype::F16, Dtype::BF16, Dtype::F8E4M3, Dtype::F8E5M2, Dtype::I64, Dtype::I32, Dtype::I16, Dtype::I8];
    let mut all = plain.into_iter().chain(GgufType::ALL.iter().map(|kind| Dtype::GgufBlock(*kind)));
    all.find(|dtype| element_of(*dtype) == Some(element))
}

/// Whether the numbers of two types are coded as the same kind of element.
pub fn is_coded_alike(one: Dtype, other: Dtype) -> bool {
    element_of(one) == element_of(other)
}

/// Bytes of numbers of the type `from` that `len` bytes of the type `to` can be coded against; `None` if these are no bases of those.
pub fn base_len(from: Dtype, to: Dtype, len: u32) -> Option<u32> {
    let (from, to) = (element_of(from)?, element_of(to)?);
    if from == to { Some(len) } else { converted_from_len(from, to, len as usize)?.try_into().ok() }
}

/// The chunks that a blob is coded against, without those that its bases are themselves coded against.
pub fn bases_below(frame: &Frame) -> &[ChunkId] {
    let is_trend = frame.steps.first().is_some_and(|step| step.code == codes::TREND);
    if is_trend { &frame.bases[..frame.bases.len() / 2] } else { &frame.bases }
}

/// What people call the coding of a blob.
pub fn codec_name(frame: &Frame) -> &'static str {
    match frame.steps.first() {
        Some(step) if step.code == codes::DIFFERENCE => name_of_difference(step.parameters.len() > 1),
        step => name_of(step.map(|step| step.code)),
    }
}

fn name_of_difference(is_converted: bool) -> &'static str {
    if is_converted { "converted" } else { name_of(Some(codes::DIFFERENCE)) }
}

fn name_of(code: Option<u8>) -> &'static str {
    match code {
        None => "stored",
        Some(codes::ZSTD) => "zstd",
        Some(codes::ZSTD_PREFIX) => "zstd delta",
        Some(codes::PLANES) => "planes",
        Some(codes::DIFFERENCE) => "difference",
        Some(codes::TREND) => "trend",
        Some(codes::EDITS) => "edits",
        Some(_) => "unknown",
    }
}

/// The kind of element that codes a dtype best; `None` where bytes are all that is known.
pub(super) fn element_of(dtype: Dtype) -> Option<Element> {
    use crate::codec::BlockKind;
    Some(match dtype {
        Dtype::F64 | Dtype::C128 => Element::F64,
        Dtype::F32 | Dtype::C64 => Element::F32,
        Dtype::F16 => Element::F16,
        Dtype::BF16 => Element::Bf16,
        Dtype::F8E4M3 | Dtype::F8E4M3Fnuz => Element::F8E4M3,
        Dtype::F8E5M2 | Dtype::F8E5M2Fnuz => Element::F8E5M2,
        Dtype::I64 | Dtype::U64 => Element::Int64,
        Dtype::I32 | Dtype::U32 => Element::Int32,
        Dtype::I16 | Dtype::U16 => Element::Int16,
        Dtype::I8 | Dtype::U8 | Dtype::F8E8M0 | Dtype::F4 => Element::Int8,
        Dtype::GgufBlock(kind) => Element::Block(match kind {
            GgufType::Q4_0 => BlockKind::Q4_0,
            GgufType::Q4_1 => BlockKind::Q4_1,
            GgufType::Q5_0 => BlockKind::Q5_0,
            GgufType::Q5_1 => BlockKind::Q5_1,
            GgufType::Q8_0 => BlockKind::Q8_0,
            GgufType::Q8_1 => BlockKind::Q8_1,
            GgufType::Q2K => BlockKind::Q2_K,
            GgufType::Q3K => BlockKind::Q3_K,
            GgufType::Q4K => BlockKind::Q4_K,
            GgufType::Q5K => BlockKind::Q5_K,
            GgufType::Q6K => BlockKind::Q6_K,
            GgufType::Q8K => BlockKind::Q8_K,
            _ => return None,
        }),
        _ => return None,
    })
}
