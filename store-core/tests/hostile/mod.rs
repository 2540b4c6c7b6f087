//! Tries hostile files: an allocator that counts, files that may claim any length, and what the worst of a family took.

use std::alloc::{GlobalAlloc, Layout as Memory, System};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use store_core::tensor::{Detector, PREFIX_LEN, Step};

pub const MIB: usize = 1 << 20;
const MEMORY_LIMIT: usize = 128 * MIB;
const TIME_LIMIT: Duration = Duration::from_secs(1);

/// Counts the bytes that are allocated.
struct Meter;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

#[allow(unsafe_code, reason = "a global allocator cannot be had otherwise; this one only counts")]
// SAFETY: every call is the system allocator's, with the same arguments.
unsafe impl GlobalAlloc for Meter {
    unsafe fn alloc(&self, memory: Memory) -> *mut u8 {
        let live = LIVE.fetch_add(memory.size(), Relaxed) + memory.size();
        PEAK.fetch_max(live, Relaxed);
        // SAFETY: the caller's promise is the system allocator's condition.
        unsafe { System.alloc(memory) }
    }

    unsafe fn dealloc(&self, at: *mut u8, memory: Memory) {
        LIVE.fetch_sub(memory.size(), Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(at, memory) }
    }
}

#[global_allocator]
static METER: Meter = Meter;

/// One family of inputs at a time, so that the meter counts it alone.
static TURN: Mutex<()> = Mutex::new(());

/// A file: pieces of bytes, zeros between them.
#[derive(Default)]
pub struct Sparse {
    pub len: u64,
    pub pieces: BTreeMap<u64, Vec<u8>>,
}

impl Sparse {
    pub fn of(bytes: Vec<u8>) -> Self {
        Self { len: bytes.len() as u64, pieces: BTreeMap::from([(0, bytes)]) }
    }

    pub fn with_len(bytes: Vec<u8>, len: u64) -> Self {
        Self { len, pieces: BTreeMap::from([(0, bytes)]) }
    }

    pub fn put(&mut self, offset: u64, bytes: Vec<u8>) {
        self.len = self.len.max(offset + bytes.len() as u64);
        self.pieces.insert(offset, bytes);
    }

    fn fetch(&self, offset: u64, len: usize) -> Vec<u8> {
        let mut fetched = vec![0; len];
        let end = offset + len as u64;
        let first = self.pieces.range(..=offset).next_back().map_or(0, |(&at, _)| at);
        for (&at, piece) in self.pieces.range(first..end) {
            let (from, to) = (at.max(offset), end.min(at + piece.len() as u64));
            if from < to {
                let source = &piece[(from - at) as usize..(to - at) as usize];
                fetched[(from - offset) as usize..(to - offset) as usize].copy_from_slice(source);
            }
        }
        fetched
    }
}

/// Tries the inputs of one family and keeps what the worst of them took.
pub struct Family {
    name: &'static str,
    pub inputs: usize,
    layouts: usize,
    memory: (usize, String),
    time: (Duration, String),
    _turn: MutexGuard<'static, ()>,
}

impl Family {
    pub fn new(name: &'static str) -> Self {
        let turn = TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        Self { name, inputs: 0, layouts: 0, memory: Default::default(), time: Default::default(), _turn: turn }
    }

    /// Says whether there was a layout. What is fetched is counted too.
    pub fn try_file(&mut self, what: &str, file: &Sparse) -> bool {
        let prefix = file.fetch(0, file.len.min(PREFIX_LEN as u64) as usize);
        let before = LIVE.load(Relaxed);
        PEAK.store(before, Relaxed);
        let start = Instant::now();
        let mut detector = Detector::new(file.len);
        let mut step = detector.step(&prefix);
        while let Step::Need { offset, len } = step {
            assert!(len > 0 && offset.checked_add(len as u64).is_some_and(|end| end <= file.len), "{what}: asks outside the file");
            step = detector.step(&file.fetch(offset, len));
        }
        let time = start.elapsed();
        let memory = PEAK.load(Relaxed) - before;
        // Without optimisation it may take longer.
        let limit = if cfg!(debug_assertions) { TIME_LIMIT * 20 } else { TIME_LIMIT };
        assert!(memory <= MEMORY_LIMIT, "{what}: {} MiB", memory / MIB);
        assert!(time <= limit, "{what}: {time:?}");
        self.inputs += 1;
        if memory > self.memory.0 {
            self.memory = (memory, what.to_owned());
        }
        if time > self.time.0 {
            self.time = (time, what.to_owned());
        }
        let Step::Layout(layout) = step else { return false };
        assert!(layout.is_valid(file.len), "{what}: {:?}", layout.format);
        self.layouts += 1;
        true
    }

    pub fn try_bytes(&mut self, what: &str, bytes: Vec<u8>) -> bool {
        self.try_file(what, &Sparse::of(bytes))
    }
}

impl Drop for Family {
    fn drop(&mut self) {
        let Self { name, inputs, layouts, memory: (memory, large), time: (time, slow), .. } = self;
        eprintln!("{name}: {inputs} inputs, {layouts} with a layout, at most {} KiB ({large}) and {time:?} ({slow})", *memory / 1024);
    }
}
