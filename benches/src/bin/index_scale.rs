//! How the chunk index grows: `index_scale FOLDER [CHUNKS [sketches]]` takes in that many chunks (50 million) and prints, at each step of
//! the way, what the last ones took and what look-ups take by then. The folder must be empty; it needs 100 bytes a chunk.

#![expect(clippy::print_stdout, reason = "what it prints is its result")]

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use benches::catalogue::{self, PACK};
use benches::inputs;
use rustix::time::{ClockId, clock_gettime};
use store_core::base::ids::ChunkId;
use store_core::base::units::MIB;
use store_core::index::{ChunkIndex, RocksIndex};

/// What a push gives to the index of its 512 MiB.
const MEMORY: usize = 64 * MIB;
/// Chunks of one segment: sixteen packs.
const SEGMENT: usize = 16 * PACK;
/// Names in one question, and questions of each kind.
const ASKED: usize = 1024;
const QUESTIONS: usize = 200;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().ok_or("index_scale FOLDER [CHUNKS [sketches]]")?);
    let most: usize = arguments.next().map_or(Ok(50_000_000), |count| count.parse())?;
    let sketches = arguments.next().is_some();
    let index = RocksIndex::open(&folder.join("index"), MEMORY)?;
    println!("| chunks | taken in: s | of CPU, µs a chunk | absent look-ups a second | present | bytes a chunk on disk | RSS, peak RSS |");
    println!("|---|---|---|---|---|---|---|");
    let (mut held, mut mark) = (0, 1000);
    while held < most {
        let goal = mark.min(most).next_multiple_of(PACK);
        let (wall, cpu, from) = (Instant::now(), cpu(), held);
        let mut making = Duration::ZERO;
        while held < goal {
            let count = (goal - held).min(SEGMENT);
            let began = Instant::now();
            let segment = catalogue::segment(held, count, sketches);
            making += began.elapsed();
            index.apply(None, &segment)?;
            held += count;
        }
        index.flush()?;
        let (wall, cpu) = (wall.elapsed() - making, self::cpu() - cpu - making);
        let absent = look_ups(&index, held, most)?;
        let present = look_ups(&index, 0, held)?;
        println!(
            "| {held} | {:.2} | {:.2} | {absent:.0} | {present:.0} | {:.0} | {} MiB, {} MiB |",
            wall.as_secs_f64(),
            cpu.as_secs_f64() * 1e6 / (held - from) as f64,
            size_of(&folder)? as f64 / held as f64,
            memory("VmRSS:")?,
            memory("VmHWM:")?
        );
        mark *= if mark.to_string().starts_with('1') { 5 } else { 2 };
    }
    Ok(())
}

/// Look-ups a second of names out of `count` from `first` on, by chance, asked as a push asks.
fn look_ups(index: &RocksIndex, first: usize, count: usize) -> Result<f64, Box<dyn Error>> {
    let chance = inputs::noise(first as u8, 8 * ASKED * QUESTIONS);
    let mut numbers =
        chance.chunks_exact(8).map(|bytes| u64::from_le_bytes(bytes.try_into().expect("eight bytes")) as usize % count.max(1) + first);
    let mut taken = Duration::ZERO;
    for _ in 0..QUESTIONS {
        let ids: Vec<ChunkId> = numbers.by_ref().take(ASKED).map(catalogue::chunk).collect();
        let began = Instant::now();
        index.find(&ids)?;
        taken += began.elapsed();
    }
    Ok((ASKED * QUESTIONS) as f64 / taken.as_secs_f64())
}

/// Processor time of all threads.
fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// A figure of this process's memory, in MiB.
fn memory(which: &str) -> Result<u64, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with(which)).ok_or("the kernel does not tell")?;
    Ok(line.split_whitespace().nth(1).ok_or("the kernel does not tell")?.parse::<u64>()? / 1024)
}

fn size_of(folder: &Path) -> std::io::Result<u64> {
    let mut total = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        total += if entry.file_type()?.is_dir() { size_of(&entry.path())? } else { entry.metadata()?.len() };
    }
    Ok(total)
}
