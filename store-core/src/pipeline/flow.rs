//! A plain file that comes in order, as pieces: for what is decoded ahead, and not read here and there.

use std::convert::Infallible;

use super::cut::{CutContext, PIECE, Piece, PlainCutter};
use super::feed::Gone;
use crate::repo::Part;

/// Cuts what comes in order into pieces, as [`pieces`](super::cut::pieces) cuts a plain file: each run of data by itself, each run of holes as one.
pub(super) struct Flow<'c> {
    cutter: PlainCutter<'c>,
    /// Bytes that are not with the cutter yet, less than a piece.
    pending: Vec<u8>,
    /// Whether a run of data has begun.
    is_data: bool,
    /// Length of the run of holes.
    hole: u64,
}

/// Takes pieces.
pub(super) type Give<'g> = dyn FnMut(Piece) -> Result<(), Gone> + 'g;

impl<'c> Flow<'c> {
    pub(super) fn new(context: &'c CutContext) -> Self {
        Self { cutter: PlainCutter::new(context), pending: Vec::new(), is_data: false, hole: 0 }
    }

    /// The next part of the file.
    pub(super) fn take(&mut self, part: Part<'_>, give: &mut Give<'_>) -> Result<(), Gone> {
        let mut bytes = match part {
            Part::Hole(len) => {
                self.end_data(give)?;
                self.hole += len;
                return Ok(());
            }
            Part::Bytes(bytes) => bytes,
        };
        self.end_hole(give)?;
        self.is_data = true;
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(PIECE - self.pending.len()));
            self.pending.extend_from_slice(now);
            bytes = later;
            if self.pending.len() == PIECE {
                self.cut(PIECE, give)?;
            }
        }
        Ok(())
    }

    /// Its end.
    pub(super) fn end(mut self, give: &mut Give<'_>) -> Result<(), Gone> {
        self.end_data(give)?;
        self.end_hole(give)
    }

    fn end_data(&mut self, give: &mut Give<'_>) -> Result<(), Gone> {
        if std::mem::take(&mut self.is_data) {
            // One byte more than there is shows the cutter the end.
            self.cut(self.pending.len() + 1, give)?;
        }
        Ok(())
    }

    fn end_hole(&mut self, give: &mut Give<'_>) -> Result<(), Gone> {
        match std::mem::take(&mut self.hole) {
            0 => Ok(()),
            len => give(Piece::Hole { len }),
        }
    }

    fn cut(&mut self, room: usize, give: &mut Give<'_>) -> Result<(), Gone> {
        let pending = std::mem::take(&mut self.pending);
        let cut = self.cutter.next(room, |buffer| {
            buffer[..pending.len()].copy_from_slice(&pending);
            Ok::<_, Infallible>(pending.len())
        });
        match cut {
            Ok((Some(piece), _)) => give(piece),
            Ok((None, _)) => Ok(()),
        }
    }
}
