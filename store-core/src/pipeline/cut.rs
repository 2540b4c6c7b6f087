//! One file becomes pieces, a piece becomes named chunks.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use super::account::Account;
use super::budget::{Budget, Permit};
use super::known::KnownChunks;
use super::parent::OldTensors;
use crate::base::ids::ChunkId;
use crate::base::units::{KIB, MIB};
use crate::chunking::{Chunker, Region, regions, segment_step};
use crate::crypto::RepoKeys;
use crate::error::Error;
use crate::repo::{Drawn, Groups, Scratch};
use crate::source::OpenFile;
use crate::tensor::{Detector, Dtype, Layout, PREFIX_LEN, Step};

/// Bytes that one piece reads at a time.
pub(super) const PIECE: usize = 4 * MIB;
/// Tensors below this many bytes are cut with the plain bytes around them.
pub(super) const LEAST_TENSOR: u64 = 8 * KIB as u64;

/// What cutting and naming needs.
#[derive(Debug, Clone)]
pub(super) struct CutContext {
    pub(super) keys: RepoKeys,
    pub(super) chunker: Chunker,
    pub(super) segment_len: usize,
    pub(super) known: Arc<KnownChunks>,
    /// What a restore of the snapshot will read; `None` where nothing is coded against anything.
    pub(super) account: Option<Arc<Account>>,
    pub(super) read_ahead: Budget,
    /// Which segments a measurement takes; `None` takes them all.
    pub(super) scratch: Option<Arc<Scratch>>,
}

/// A run of a file, before its chunks are named.
#[derive(Debug)]
pub(super) enum Piece {
    /// Plain bytes, read and cut already, because each cut depends on the one before.
    Plain { bytes: Vec<u8>, lens: Vec<usize>, permit: Permit },
    /// Segments of a tensor, not read yet.
    Segments { offset: u64, len: usize, step: usize, dtype: Dtype, hints: Vec<Option<ChunkId>>, drawn: Drawn, permit: Permit },
    /// Zeros that take no room.
    Hole { len: u64 },
}

/// One chunk of a piece.
#[derive(Debug, Clone, Copy)]
pub(super) struct NamedChunk {
    pub(super) id: ChunkId,
    pub(super) start: usize,
    pub(super) len: usize,
    pub(super) known: bool,
    /// The older segment that it continues, as far as its name tells.
    pub(super) hint: Option<ChunkId>,
}

/// A piece with its chunks named and looked up.
#[derive(Debug)]
pub(super) enum Cut {
    Chunks { bytes: Vec<u8>, chunks: Vec<NamedChunk>, dtype: Option<Dtype>, drawn: Drawn, _permit: Permit },
    Hole { len: u64 },
}

/// Why a piece could not be made into chunks.
#[derive(Debug)]
pub(super) enum CutError {
    /// The file could not be read.
    Read(io::Error),
    /// The repository could not be asked.
    Repo(Error),
}

/// What pieces are made of: a file of which several threads may read any part.
pub(super) trait Readable: Send + Sync {
    /// Length in bytes.
    fn size(&self) -> u64;

    /// Where its tensors lie; `None` for plain files.
    fn layout(&self) -> Result<Option<Layout>, CutError>;

    /// The ranges that hold data, sorted and apart; what lies between them is holes.
    fn data_ranges(&self) -> Result<Vec<Range<u64>>, CutError>;

    /// Fills `buffer` from `offset`.
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), CutError>;
}

impl Readable for OpenFile {
    fn size(&self) -> u64 {
        self.len()
    }

    fn layout(&self) -> Result<Option<Layout>, CutError> {
        layout_of(self).map_err(CutError::Read)
    }

    fn data_ranges(&self) -> Result<Vec<Range<u64>>, CutError> {
        Ok(OpenFile::data_ranges(self))
    }

    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), CutError> {
        OpenFile::read_exact_at(self, offset, buffer).map_err(CutError::Read)
    }
}

impl Piece {
    /// Reads what is not read yet, names the chunks and looks them up.
    pub(super) fn cut(self, context: &CutContext, file: Option<&dyn Readable>) -> Result<Cut, CutError> {
        let (bytes, lens, dtype, hints, drawn, permit) = match self {
            Self::Hole { len } => return Ok(Cut::Hole { len }),
            Self::Plain { bytes, lens, permit } => (bytes, lens, None, Vec::new(), Drawn::default(), permit),
            Self::Segments { offset, len, step, dtype, hints, drawn, permit } => {
                let mut bytes = vec![0; len];
                let file = file.ok_or_else(|| CutError::Read(io::ErrorKind::NotSeekable.into()))?;
                file.read_exact_at(offset, &mut bytes)?;
                let lens = bytes.chunks(step).map(<[u8]>::len).collect();
                (bytes, lens, Some(dtype), hints, drawn, permit)
            }
        };
        let mut start = 0;
        let mut chunks: Vec<_> = lens
            .into_iter()
            .enumerate()
            .map(|(i, len)| {
                let id = context.keys.chunk_id(&bytes[start..start + len]);
                start += len;
                NamedChunk { id, start: start - len, len, known: false, hint: hints.get(i).copied().flatten() }
            })
            .collect();
        let ids: Vec<_> = chunks.iter().map(|chunk| chunk.id).collect();
        let mut held = Vec::new();
        for (chunk, known) in chunks.iter_mut().zip(context.known.held(&ids, &mut held).map_err(CutError::Repo)?) {
            chunk.known = known;
        }
        context.account.iter().for_each(|account| account.meet(&held));
        Ok(Cut::Chunks { bytes, chunks, dtype, drawn, _permit: permit })
    }
}

/// Cuts a stream of plain bytes, a buffer at a time.
pub(super) struct PlainCutter<'c> {
    context: &'c CutContext,
    rest: Vec<u8>,
}

impl<'c> PlainCutter<'c> {
    pub(super) fn new(context: &'c CutContext) -> Self {
        Self { context, rest: Vec::new() }
    }

    /// Takes the next bytes from `fill`, which fills as much of its buffer as there is and says how much, less only at the end.
    /// Returns the next piece, and whether it was the last.
    pub(super) fn next<E>(&mut self, room: usize, fill: impl FnOnce(&mut [u8]) -> Result<usize, E>) -> Result<(Option<Piece>, bool), E> {
        let permit = self.context.read_ahead.take(room + self.rest.len());
        let mut bytes = std::mem::take(&mut self.rest);
        let old = bytes.len();
        bytes.resize(old + room, 0);
        let got = fill(&mut bytes[old..])?;
        bytes.truncate(old + got);
        let last = got < room;
        let (mut lens, mut at) = (Vec::new(), 0);
        // A cut is only sure when the chunker has seen the longest chunk, or the end.
        while at < bytes.len() && (last || bytes.len() - at >= self.context.chunker.max()) {
            let len = self.context.chunker.cut(&bytes[at..]);
            lens.push(len);
            at += len;
        }
        if !last {
            // With the room for what is read next.
            self.rest.reserve_exact(bytes.len() - at + room);
            self.rest.extend_from_slice(&bytes[at..]);
        }
        bytes.truncate(at);
        let piece = (!lens.is_empty()).then_some(Piece::Plain { bytes, lens, permit });
        Ok((piece, last))
    }
}

/// Gives the tensors of the older version of a file. It costs reads from the repository, so only a file that has tensors itself asks.
pub(super) type OldVersion<'o> = dyn Fn() -> Option<OldTensors> + 'o;

/// Makes the pieces of a file, in order.
pub(super) fn pieces(
    context: &CutContext,
    file: &dyn Readable,
    old: &OldVersion<'_>,
    give: &mut dyn FnMut(Piece) -> Result<(), CutError>,
) -> Result<(), CutError> {
    let data = file.data_ranges()?;
    let layout = file.layout()?;
    let regions = regions_in(layout.as_ref(), file.size());
    let old = layout.as_ref().and_then(|_| old());
    let mut groups = Groups::default();
    for Region { offset, len, tensor } in regions {
        let tensor = tensor.and_then(|index| layout.as_ref()?.tensors.get(index));
        let Some(tensor) = tensor else {
            with_holes(context, file, &data, offset..offset + len, give)?;
            continue;
        };
        let step = segment_step(context.segment_len, tensor.dtype);
        // What a measurement leaves out, it leaves out a segment at a time.
        let piece = if context.scratch.is_some() { step } else { (PIECE / step).max(1) * step };
        let mut at = 0;
        while at < len {
            let part = (len - at).min(piece as u64) as usize;
            let here = offset + at..offset + at + part as u64;
            let draw = |scratch: &Arc<Scratch>| scratch.segment(&mut groups, context.segment_len, tensor, at, part);
            let drawn = context.scratch.as_ref().map(draw).unwrap_or_default();
            if !drawn.taken {
                give(Piece::Hole { len: part as u64 })?;
                at += part as u64;
                continue;
            }
            let first = data.partition_point(|range| range.end <= here.start);
            let is_data = data.get(first).is_some_and(|range| range.start <= here.start && here.end <= range.end);
            if is_data {
                let permit = context.read_ahead.take(part);
                let starts = (0..part).step_by(step);
                let hint = |start: usize| old.as_ref().and_then(|old| old.segment(tensor, at + start as u64, step.min(part - start)));
                let hints = starts.map(hint).collect();
                give(Piece::Segments { offset: here.start, len: part, step, dtype: tensor.dtype, hints, drawn, permit })?;
            } else {
                with_holes(context, file, &data, here, give)?;
            }
            at += part as u64;
        }
    }
    Ok(())
}

/// Makes the pieces of a range of plain bytes, in which there may be holes.
fn with_holes(
    context: &CutContext,
    file: &dyn Readable,
    data: &[Range<u64>],
    within: Range<u64>,
    give: &mut dyn FnMut(Piece) -> Result<(), CutError>,
) -> Result<(), CutError> {
    let mut at = within.start;
    let first = data.partition_point(|range| range.end <= within.start);
    for range in data[first..].iter().take_while(|range| range.start < within.end) {
        let (start, end) = (range.start.max(within.start), range.end.min(within.end));
        if start > at {
            give(Piece::Hole { len: start - at })?;
        }
        plain(context, file, start, end - start, give)?;
        at = end;
    }
    if within.end > at { give(Piece::Hole { len: within.end - at }) } else { Ok(()) }
}

fn plain(
    context: &CutContext,
    file: &dyn Readable,
    offset: u64,
    len: u64,
    give: &mut dyn FnMut(Piece) -> Result<(), CutError>,
) -> Result<(), CutError> {
    let mut cutter = PlainCutter::new(context);
    let mut at = 0;
    loop {
        let left = len - at;
        // One byte more than is left shows the cutter the end.
        let room = (left.saturating_add(1)).min(PIECE as u64) as usize;
        let (piece, last) = cutter.next(room, |buffer| {
            let take = (left.min(buffer.len() as u64)) as usize;
            file.read_exact_at(offset + at, &mut buffer[..take])?;
            at += take as u64;
            Ok(take)
        })?;
        if let Some(piece) = piece {
            give(piece)?;
        }
        if last {
            return Ok(());
        }
    }
}

/// Where the tensors of a file lie, `None` for plain files, and the regions that it is cut in.
pub(crate) fn regions_of(file: &OpenFile) -> io::Result<(Option<Layout>, Vec<Region>)> {
    let layout = layout_of(file)?;
    let regions = regions_in(layout.as_ref(), file.len());
    Ok((layout, regions))
}

fn layout_of(file: &OpenFile) -> io::Result<Option<Layout>> {
    detect_with(file.len(), |offset, buffer| file.read_exact_at(offset, buffer))
}

fn regions_in(layout: Option<&Layout>, len: u64) -> Vec<Region> {
    match layout {
        Some(layout) => regions(layout, len, LEAST_TENSOR),
        None if len > 0 => vec![Region { offset: 0, len, tensor: None }],
        None => Vec::new(),
    }
}

/// Where the tensors of `len` bytes lie that `read` gives.
pub(crate) fn detect_with(len: u64, mut read: impl FnMut(u64, &mut [u8]) -> io::Result<()>) -> io::Result<Option<Layout>> {
    let mut detector = Detector::new(len);
    let mut bytes = vec![0; len.min(PREFIX_LEN as u64) as usize];
    read(0, &mut bytes)?;
    loop {
        match detector.step(&bytes) {
            Step::Layout(layout) => return Ok(Some(layout)),
            Step::Plain => return Ok(None),
            Step::Need { offset, len } => {
                bytes.clear();
                bytes.resize(len, 0);
                read(offset, &mut bytes)?;
            }
        }
    }
}
