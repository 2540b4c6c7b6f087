//! How the chunk index grows: `index_scale FOLDER [CHUNKS [sketches] [rebuild]]` takes in that many chunks (50 million) segment by segment, as
//! pushes do, and prints, at each power of ten, what the last ones took and what look-ups take by then. With `rebuild` it writes index
//! segments first and has the index built from them. The folder must be empty; it needs 100 bytes a chunk, 600 with sketches, and twice as
//! many for a rebuild.
//!
//! Processor time is of all threads for taking in, and of the thread that asks for look-ups: so it says something on cores that others use.

#![expect(clippy::print_stdout, reason = "what it prints is its result")]

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use benches::catalogue::{self, PACK};
use benches::inputs;
use rustix::time::{ClockId, clock_gettime};
use store_core::base::ids::{ChunkId, RepoId, SegmentId};
use store_core::base::units::MIB;
use store_core::crypto::{RepoKeys, Secret};
use store_core::format::segment::Segment;
use store_core::index::{ChunkIndex, RocksIndex};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// What a push gives to the index of its 512 MiB.
const MEMORY: usize = 64 * MIB;
/// Chunks of one segment: sixteen packs.
const SEGMENT: usize = 16 * PACK;
/// Names in one question, and questions of each kind.
const ASKED: usize = 1024;
const QUESTIONS: usize = 200;

fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().ok_or("index_scale FOLDER [CHUNKS [sketches] [rebuild]]")?);
    let most: usize = arguments.next().map_or(Ok(50_000_000), |count| count.parse())?;
    let more: Vec<_> = arguments.collect();
    let (sketches, rebuild) = (more.iter().any(|word| word == "sketches"), more.iter().any(|word| word == "rebuild"));
    let segments = folder.join("segments");
    let names = if rebuild { write_segments(&segments, most, sketches)? } else { Vec::new() };
    let index = RocksIndex::open(&folder.join("index"), MEMORY)?;
    println!(
        "| chunks | taken in: s | of CPU, µs a chunk | absent look-ups a second of CPU | present | similar chunks, µs of CPU each | bytes a chunk on disk | RSS, peak RSS |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    if rebuild {
        let (wall, cpu) = (Instant::now(), cpu());
        build(&index, &segments, &names)?;
        return row(
            &index,
            &folder.join("index"),
            names.len() * SEGMENT,
            names.len() * SEGMENT,
            wall.elapsed(),
            self::cpu() - cpu,
            sketches,
        );
    }
    let (mut held, mut goal) = (0, 1000);
    while held < most {
        let until = goal.min(most).next_multiple_of(PACK);
        let (wall, cpu, from) = (Instant::now(), cpu(), held);
        let (mut making, mut making_cpu) = (Duration::ZERO, Duration::ZERO);
        while held < until {
            let count = (until - held).min(SEGMENT);
            let (began, began_cpu) = (Instant::now(), own_cpu());
            let segment = catalogue::segment(held, count, sketches);
            making += began.elapsed();
            making_cpu += own_cpu() - began_cpu;
            index.apply(None, &segment)?;
            held += count;
        }
        index.flush()?;
        row(&index, &folder, held, held - from, wall.elapsed() - making, self::cpu() - cpu - making_cpu, sketches)?;
        goal *= 10;
    }
    Ok(())
}

/// Writes index segments as a repository has them.
fn write_segments(folder: &Path, most: usize, sketches: bool) -> Outcome<Vec<SegmentId>> {
    fs::create_dir_all(folder)?;
    let (keys, mut names) = (keys(), Vec::new());
    for first in (0..most).step_by(SEGMENT) {
        let (id, object) = catalogue::segment(first, SEGMENT, sketches).seal(&keys, *blake3::hash(&first.to_le_bytes()).as_bytes());
        fs::write(folder.join(id.to_string()), object)?;
        names.push(id);
    }
    Ok(names)
}

fn keys() -> RepoKeys {
    RepoKeys::new(Secret::take(&mut [1; 32]), RepoId::from_bytes([1; 32]))
}

/// Builds an index as a command does that finds none, with the look at each blob for bases that are missing.
fn build(index: &RocksIndex, folder: &Path, names: &[SegmentId]) -> Outcome<()> {
    let (keys, mut load) = (keys(), index.load()?);
    for id in names {
        load.add(&Segment::open(&fs::read(folder.join(id.to_string()))?, id, &keys)?)?;
    }
    load.finish()?;
    let mut coded = 0u64;
    index.for_each_blob(&mut |_, _, place| coded += place.frame.bases.len() as u64)?;
    Ok(index.settle(names, &[], &[].into())?)
}

/// Prints how the index is now that the last `new` chunks took so much.
fn row(index: &RocksIndex, folder: &Path, held: usize, new: usize, wall: Duration, cpu: Duration, sketches: bool) -> Outcome<()> {
    let absent = look_ups(index, held, 1 << 40)?;
    let present = look_ups(index, 0, held)?;
    let similar = if sketches { format!("{:.1}", similar(index, held)?) } else { String::new() };
    println!(
        "| {held} | {:.2} | {:.2} | {absent:.0} | {present:.0} | {similar} | {:.0} | {} MiB, {} MiB |",
        wall.as_secs_f64(),
        cpu.as_secs_f64() * 1e6 / new as f64,
        size_of(folder)? as f64 / held as f64,
        memory("VmRSS:")?,
        memory("VmHWM:")?
    );
    Ok(())
}

/// Look-ups in a second of processor time, of names out of `count` from `first` on, by chance, asked as a push asks.
fn look_ups(index: &RocksIndex, first: usize, count: usize) -> Outcome<f64> {
    let chance = inputs::noise(first as u8, 8 * ASKED * QUESTIONS);
    let mut numbers =
        chance.chunks_exact(8).map(|bytes| u64::from_le_bytes(bytes.try_into().expect("eight bytes")) as usize % count.max(1) + first);
    let mut taken = Duration::ZERO;
    for _ in 0..QUESTIONS {
        let ids: Vec<ChunkId> = numbers.by_ref().take(ASKED).map(catalogue::chunk).collect();
        let began = own_cpu();
        index.find(&ids)?;
        taken += own_cpu() - began;
    }
    Ok((ASKED * QUESTIONS) as f64 / taken.as_secs_f64())
}

/// Microseconds of processor time to ask what is like a chunk that is like none, as a push asks.
fn similar(index: &RocksIndex, held: usize) -> Outcome<f64> {
    let new = catalogue::segment(held.next_multiple_of(PACK) + PACK, 4 * PACK, true);
    let blobs = new.packs.iter().flat_map(|pack| &pack.contents.blobs);
    let sketches: Vec<_> = blobs.flat_map(|blob| blob.sketches.iter().copied()).collect();
    let began = own_cpu();
    for asked in sketches.chunks(64) {
        index.similar(asked)?;
    }
    Ok((own_cpu() - began).as_secs_f64() * 1e6 / sketches.len() as f64)
}

/// Processor time of all threads.
fn cpu() -> Duration {
    clock(ClockId::ProcessCPUTime)
}

/// Processor time of this thread.
fn own_cpu() -> Duration {
    clock(ClockId::ThreadCPUTime)
}

fn clock(id: ClockId) -> Duration {
    let time = clock_gettime(id);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// A figure of this process's memory, in MiB.
fn memory(which: &str) -> Outcome<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with(which)).ok_or("the kernel does not tell")?;
    Ok(line.split_whitespace().nth(1).ok_or("the kernel does not tell")?.parse::<u64>()? / 1024)
}

fn size_of(folder: &Path) -> std::io::Result<u64> {
    let mut total = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        total += if entry.file_type()?.is_dir() { size_of(&entry.path())? } else { entry.metadata()?.len() };
    }
    Ok(total)
}
