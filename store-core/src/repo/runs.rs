//! Runs of packs, where each request takes its time: whoever reads blobs of a pack one after the other gets with the next one what follows it, each
//! time twice as much as the last time.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::base::ids::PackId;

/// Bytes behind a run up to which a part continues it. Less than what a restore reads through (`plan/ranges.rs`): a restore knows all that it wants,
/// and what lies between is read instead of a request; here what follows is only supposed, a part further on begins a request all the same, and that
/// is made twice as long for bytes that nobody may ask for.
const GAP: u64 = 64 << 10;
/// Runs held at a time: so many readers may read on at once without one taking from another what it has not read yet.
const HELD: usize = 16;

/// Bytes of a pack.
#[derive(Debug, Clone)]
struct Run {
    pack: PackId,
    start: u64,
    len: usize,
    /// `None` while they are being read.
    bytes: Option<Arc<Vec<u8>>>,
}

impl Run {
    fn end(&self) -> u64 {
        self.start + self.len as u64
    }

    fn holds(&self, pack: &PackId, offset: u64, end: u64) -> bool {
        self.pack == *pack && self.start <= offset && end <= self.end()
    }

    /// Whether a part that begins at `offset` follows what was read of this run.
    fn leads_to(&self, pack: &PackId, offset: u64) -> bool {
        self.pack == *pack && (self.start..=self.end().saturating_add(GAP)).contains(&offset)
    }
}

/// A run that a thread reads. Dropped before its end, by an error or a panic, it leaves nobody waiting.
struct Coming<'r> {
    runs: &'r Runs,
    run: Run,
}

impl Coming<'_> {
    fn end(mut self, bytes: Option<Arc<Vec<u8>>>) {
        self.run.bytes = bytes;
    }
}

impl Drop for Coming<'_> {
    fn drop(&mut self) {
        let bytes = self.run.bytes.take();
        self.runs.put(&self.run, bytes);
    }
}

/// What was read last, the newest in front.
#[derive(Debug)]
pub(super) struct Runs {
    held: Mutex<VecDeque<Run>>,
    /// Waited on for what another thread reads.
    read: Condvar,
    /// Bytes of one run, at most.
    most: usize,
}

impl Runs {
    /// Holds at most `budget` bytes beyond those that were asked for.
    pub(super) fn new(budget: usize) -> Self {
        Self { held: Mutex::default(), read: Condvar::new(), most: budget / HELD }
    }

    fn held(&self) -> MutexGuard<'_, VecDeque<Run>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `len` bytes of a pack of `pack_len` from `offset`: those that are held, or what `read` gives, which is asked for as many bytes as it pays to
    /// read.
    ///
    /// # Errors
    /// Those of `read`.
    pub(super) fn part<E>(
        &self,
        pack: &PackId,
        pack_len: u64,
        offset: u64,
        len: usize,
        read: &mut dyn FnMut(usize) -> Result<Vec<u8>, E>,
    ) -> Result<Vec<u8>, E> {
        let end = offset.saturating_add(len as u64);
        let mut held = self.held();
        while let Some(run) = held.iter().find(|run| run.holds(pack, offset, end)) {
            if let Some(bytes) = &run.bytes {
                let from = (offset - run.start) as usize;
                return Ok(bytes[from..from + len].to_vec());
            }
            held = self.read.wait(held).unwrap_or_else(PoisonError::into_inner);
        }
        let before = held.iter().find(|run| run.leads_to(pack, offset));
        let wanted = before.map_or(len, |run| len.max((2 * run.len).min(self.most)));
        let left = usize::try_from(pack_len.saturating_sub(offset)).unwrap_or(usize::MAX);
        let run = Run { pack: *pack, start: offset, len: wanted.min(left).max(len), bytes: None };
        held.push_front(run.clone());
        drop(held);
        let coming = Coming { runs: self, run };
        let mut bytes = read(coming.run.len)?;
        let is_whole = bytes.len() == coming.run.len;
        coming.end(is_whole.then(|| Arc::new(bytes.clone())));
        bytes.truncate(len);
        Ok(bytes)
    }

    /// Puts what was read in the place of what was coming; nothing, if it failed.
    fn put(&self, run: &Run, bytes: Option<Arc<Vec<u8>>>) {
        let mut held = self.held();
        let place =
            held.iter().position(|other| other.bytes.is_none() && (other.pack, other.start, other.len) == (run.pack, run.start, run.len));
        match (place, bytes) {
            (Some(place), Some(bytes)) => held[place].bytes = Some(bytes),
            (Some(place), None) => _ = held.remove(place),
            (None, _) => {}
        }
        // What is being read is waited for, and stays.
        while held.len() > HELD
            && let Some(oldest) = held.iter().rposition(|run| run.bytes.is_some())
        {
            held.remove(oldest);
        }
        drop(held);
        self.read.notify_all();
    }

    /// Forgets what is held of a pack: some of it was not what it should be.
    pub(super) fn forget(&self, pack: &PackId) {
        self.held().retain(|run| run.pack != *pack || run.bytes.is_none());
    }

    /// Forgets everything that was read.
    pub(super) fn clear(&self) {
        self.held().retain(|run| run.bytes.is_none());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACK: PackId = PackId::from_bytes([1; 32]);
    const LEN: u64 = 10_000;

    /// The pack, which counts what is asked for.
    struct Store {
        asked: Vec<(u64, usize)>,
    }

    impl Store {
        fn part(&mut self, runs: &Runs, offset: u64, len: usize) -> Vec<u8> {
            let mut read = |most: usize| {
                self.asked.push((offset, most));
                Ok::<_, ()>((offset..offset + most as u64).map(|at| (at % 251) as u8).collect())
            };
            let found = runs.part(&PACK, LEN, offset, len, &mut read).unwrap();
            assert!(found.iter().zip(offset..).all(|(byte, at)| *byte == (at % 251) as u8) && found.len() == len);
            found
        }
    }

    #[test]
    fn who_reads_on_asks_for_twice_as_much_each_time_within_limits() {
        let (runs, mut store) = (Runs::new(HELD * 400), Store { asked: Vec::new() });
        for offset in (0..2000).step_by(100) {
            store.part(&runs, offset, 100);
        }
        assert_eq!(store.asked, [(0, 100), (100, 200), (300, 400), (700, 400), (1100, 400), (1500, 400), (1900, 400)]);
        // What is longer than that is read whole, and no request goes beyond the end.
        store.part(&runs, 2300, 900);
        store.part(&runs, LEN - 50, 50);
        store.part(&runs, LEN - 50 - 100, 100);
        assert_eq!(store.asked[7..], [(2300, 900), (LEN - 50, 50), (LEN - 150, 150)]);
    }

    #[test]
    fn who_jumps_about_asks_for_no_more_than_is_wanted() {
        let (runs, mut store) = (Runs::new(1 << 20), Store { asked: Vec::new() });
        let far = Runs::new(1 << 20);
        for offset in [9000, 5000, 7000, 1000] {
            runs.clear();
            store.part(&runs, offset, 10);
        }
        assert_eq!(store.asked, [(9000, 10), (5000, 10), (7000, 10), (1000, 10)]);
        // Another pack of the same places is another thing.
        let mut other = |most: usize| Ok::<_, ()>(vec![9; most]);
        assert_eq!(far.part(&PACK, LEN, 0, 10, &mut other).unwrap(), [9; 10]);
        let second = PackId::from_bytes([2; 32]);
        assert_eq!(far.part(&second, LEN, 0, 10, &mut |most| Ok::<_, ()>(vec![8; most])).unwrap(), [8; 10]);
    }

    #[test]
    fn what_lies_more_than_64_kib_further_on_begins_a_run_of_its_own() {
        let mut asked = Vec::new();
        for gap in [64 << 10, (64 << 10) + 1, 256 << 10] {
            let runs = Runs::new(HELD << 20);
            let mut read = |most: usize| {
                asked.push(most);
                Ok::<_, ()>(vec![0; most])
            };
            runs.part(&PACK, 1 << 30, 0, 1000, &mut read).unwrap();
            runs.part(&PACK, 1 << 30, 1000 + gap, 1000, &mut read).unwrap();
        }
        assert_eq!(asked, [1000, 2000, 1000, 1000, 1000, 1000]);
    }

    #[test]
    fn what_another_thread_reads_is_waited_for_and_read_once() {
        let (runs, times) = (Runs::new(1 << 20), std::sync::atomic::AtomicUsize::new(0));
        let read = |most: usize| {
            times.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            std::thread::sleep(std::time::Duration::from_millis(20));
            Ok::<_, ()>(vec![7; most])
        };
        runs.part(&PACK, LEN, 0, 100, &mut { read }).unwrap();
        std::thread::scope(|threads| {
            for _ in 0..4 {
                let mut read = read;
                let runs = &runs;
                threads.spawn(move || assert_eq!(runs.part(&PACK, LEN, 100, 150, &mut read).unwrap(), [7; 150]));
            }
        });
        assert_eq!(times.load(std::sync::atomic::Ordering::SeqCst), 2);
    }

    #[test]
    fn whoever_waits_for_one_that_fails_or_panics_reads_by_itself() {
        let runs = Runs::new(1 << 20);
        for is_panic in [false, true] {
            std::thread::scope(|threads| {
                let (began, begins) = std::sync::mpsc::channel();
                let runs = &runs;
                let first = threads.spawn(move || {
                    let mut read = |_| {
                        began.send(()).unwrap();
                        std::thread::sleep(std::time::Duration::from_millis(20));
                        if is_panic { std::panic::resume_unwind(Box::new("amid a run")) } else { Err::<Vec<u8>, _>("no") }
                    };
                    runs.part(&PACK, LEN, 0, 100, &mut read)
                });
                begins.recv().unwrap();
                assert_eq!(runs.part(&PACK, LEN, 0, 100, &mut |most| Ok::<_, ()>(vec![3; most])).unwrap(), [3; 100]);
                assert_eq!(first.join().is_err(), is_panic);
            });
            runs.clear();
        }
    }

    #[test]
    fn several_readers_each_read_on_and_what_failed_is_asked_for_again() {
        let (runs, mut store) = (Runs::new(HELD * 1000), Store { asked: Vec::new() });
        // Further apart than what one request may as well read.
        let long = 10 * GAP;
        let mut asked = Vec::new();
        for step in 0..3 {
            for reader in 0..3 {
                let offset = reader * 2 * GAP + step * 10;
                let mut read = |most: usize| {
                    asked.push(most);
                    Ok::<_, ()>(vec![0; most])
                };
                runs.part(&PACK, long, offset, 10, &mut read).unwrap();
            }
        }
        assert_eq!(asked, [10, 10, 10, 20, 20, 20]);
        runs.clear();
        assert!(runs.part(&PACK, LEN, 0, 10, &mut |_| Err::<Vec<u8>, _>("no")).is_err());
        store.part(&runs, 0, 10);
        store.part(&runs, 0, 10);
        runs.forget(&PACK);
        store.part(&runs, 0, 10);
        assert_eq!(store.asked, [(0, 10), (0, 10)]);
    }
}
