//! Which format a file has, and the conversation in which its header is fetched.

use super::gguf::Gguf;
use super::npy::{self, Npz};
use super::pytorch::PyTorch;
use super::safetensors::Safetensors;
use super::zip::{Directory, Walk};
use super::{Layout, PREFIX_LEN, REQUESTED_LEN, STEPS};

/// What a [`Detector`] wants or found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Call [`Detector::step`] again with exactly these bytes of the file, which lie within it.
    Need {
        /// Where they begin.
        offset: u64,
        /// How many, at least 1.
        len: usize,
    },
    /// The file's tensors. The detection is over.
    Layout(Layout),
    /// No tensors are known. The detection is over.
    Plain,
}

/// Finds the tensors of one file.
///
/// It is bounded by the file's bytes alone: at most [`STEPS`] steps and [`REQUESTED_LEN`] requested bytes, and memory of about the
/// largest header it may ask for.
#[derive(Debug)]
pub struct Detector {
    file_len: u64,
    state: State,
    /// What was last asked for.
    asked: (u64, usize),
    requested: u64,
    steps: u32,
}

#[derive(Debug)]
enum State {
    Prefix,
    Safetensors(Safetensors),
    Gguf(Gguf),
    Zip(Directory),
    PyTorch(PyTorch),
    Npz(Npz),
    Done,
}

impl Detector {
    /// For a file of `file_len` bytes.
    pub fn new(file_len: u64) -> Self {
        let prefix = file_len.min(PREFIX_LEN as u64) as usize;
        Self { file_len, state: State::Prefix, asked: (0, prefix), requested: 0, steps: 0 }
    }

    /// Goes on with the bytes that were asked for; on the first call, with the first [`PREFIX_LEN`] bytes of the file or all of a
    /// shorter one. More bytes are ignored; fewer mean that the file was cut short, and it is [`Step::Plain`]. So it is after the end.
    pub fn step(&mut self, bytes: &[u8]) -> Step {
        let (offset, len) = self.asked;
        let state = std::mem::replace(&mut self.state, State::Done);
        let Some(bytes) = bytes.get(..len) else { return Step::Plain };
        let (step, state) = self.advance(state, offset, bytes);
        if let Step::Need { offset, len } = step {
            let inside = len > 0 && offset.checked_add(len as u64).is_some_and(|end| end <= self.file_len);
            self.requested = self.requested.saturating_add(len as u64);
            self.steps += 1;
            if !inside || self.requested > REQUESTED_LEN || self.steps > STEPS {
                return Step::Plain;
            }
            self.asked = (offset, len);
            self.state = state;
        }
        step
    }

    fn advance(&self, state: State, offset: u64, bytes: &[u8]) -> (Step, State) {
        let file_len = self.file_len;
        match state {
            State::Prefix => self.recognise(bytes),
            State::Safetensors(parser) => (parser.step(bytes), State::Done),
            State::Gguf(mut parser) => (parser.step(offset, bytes), State::Gguf(parser)),
            State::Zip(mut directory) => match directory.step(offset, bytes) {
                Walk::Need { offset, len } => (Step::Need { offset, len }, State::Zip(directory)),
                Walk::Refused => (Step::Plain, State::Done),
                Walk::Members(members) => match PyTorch::new(members, file_len) {
                    Ok(mut parser) => (parser.start(), State::PyTorch(parser)),
                    Err(members) => {
                        let mut parser = Npz::new(members, file_len);
                        (parser.start(), State::Npz(parser))
                    }
                },
            },
            State::PyTorch(mut parser) => (parser.step(offset, bytes), State::PyTorch(parser)),
            State::Npz(mut parser) => (parser.step(offset, bytes), State::Npz(parser)),
            State::Done => (Step::Plain, State::Done),
        }
    }

    /// Tells the formats apart by their first bytes. No two can match: a safetensors header shorter than its limit leaves the upper
    /// bytes of its length zero, which no magic does.
    fn recognise(&self, prefix: &[u8]) -> (Step, State) {
        if prefix.starts_with(b"GGUF") {
            return match Gguf::new(prefix, self.file_len) {
                Some(mut parser) => (parser.step(0, prefix), State::Gguf(parser)),
                None => (Step::Plain, State::Done),
            };
        }
        if prefix.starts_with(b"PK\x03\x04") {
            let (directory, offset, len) = Directory::new(self.file_len);
            return (Step::Need { offset, len }, State::Zip(directory));
        }
        if prefix.starts_with(npy::MAGIC) {
            let layout = npy::array_file(prefix, self.file_len);
            return (layout.map_or(Step::Plain, Step::Layout), State::Done);
        }
        match Safetensors::new(prefix, self.file_len) {
            Some(parser) => (parser.start(), State::Safetensors(parser)),
            None => (Step::Plain, State::Done),
        }
    }
}

/// The layout of a file that is in memory.
pub fn layout_of(bytes: &[u8]) -> Option<Layout> {
    let mut detector = Detector::new(bytes.len() as u64);
    let mut step = detector.step(bytes);
    loop {
        match step {
            Step::Need { offset, len } => {
                let start = usize::try_from(offset).ok()?;
                step = detector.step(bytes.get(start..start.checked_add(len)?)?);
            }
            Step::Layout(layout) => return Some(layout),
            Step::Plain => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    #[test]
    fn a_file_cut_short_between_two_steps_is_plain() {
        let mut file = samples::safetensors(&[("w", "F32", &[2], 8)]);
        file.resize(PREFIX_LEN * 2, 0);
        let mut detector = Detector::new(file.len() as u64);
        let Step::Need { len, .. } = detector.step(&file) else { panic!("a header is asked for") };
        assert_eq!(detector.step(&file[8..8 + len - 1]), Step::Plain);
        assert_eq!(detector.step(&file[8..8 + len]), Step::Plain, "the end is the end");
    }

    #[test]
    fn a_prefix_that_is_too_short_is_plain() {
        let file = samples::safetensors(&[("w", "F32", &[2], 8)]);
        assert_eq!(Detector::new(file.len() as u64 + 1).step(&file), Step::Plain);
    }

    #[test]
    fn text_images_and_nothing_are_plain() {
        for bytes in [&b""[..], b"P", b"{\"a\": 1}", b"\x89PNG\r\n\x1a\n", b"PK\x03\x04", b"GGUF", b"\x93NUMPY", &[0; 4096]] {
            assert_eq!(layout_of(bytes), None);
        }
    }
}
