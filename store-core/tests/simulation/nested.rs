//! Processes that interrupt one another like nested calls.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use store_core::clock::Clock;

use super::acts::Process;
use super::rig::Noise;
use super::world::World;

/// How deep operations interrupt one another.
const DEPTH: usize = 4;
/// One call in so many begins another operation.
const BUSY: u64 = 30;
/// Operations of a history.
const OPERATIONS: u64 = 70;
/// How many folders the pushes have among them.
const KINDS: u64 = 4;

struct History {
    world: Arc<World>,
    noise: Mutex<Noise>,
    /// Operations that may still begin.
    left: AtomicU64,
}

impl History {
    fn below(&self, end: u64) -> u64 {
        self.noise.lock().unwrap().below(end)
    }

    /// What a process does before each of its calls.
    fn interruptions(self: &Arc<Self>, depth: usize) -> impl Fn() + Send + Sync + 'static {
        let (history, inside) = (Arc::clone(self), AtomicBool::new(false));
        move || {
            if depth < DEPTH && !inside.swap(true, Ordering::SeqCst) {
                if history.below(BUSY) == 0 {
                    // In a thread of its own, as another process would be: this one may hold locks and be one of a pool.
                    std::thread::scope(|threads| _ = threads.spawn(|| history.act(depth + 1)));
                }
                inside.store(false, Ordering::SeqCst);
            }
        }
    }

    /// Begins some operation of some process, and lets it come to some end.
    fn act(self: &Arc<Self>, depth: usize) {
        if self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_err() {
            return;
        }
        let dies_at = (self.below(5) == 0).then(|| self.below(120));
        let noise = Noise::new(self.noise.lock().unwrap().next());
        let (folder, repo) = self.world.open(Box::new(self.interruptions(depth)), dies_at, Clock::default());
        let Some(repo) = repo else { return };
        let mut process = Process { world: Arc::clone(&self.world), repo, folder, noise, may_fail: dies_at.is_some() };
        match self.below(10) {
            0..=4 => process.push(KINDS),
            5 | 6 => process.prune(),
            7 => process.forget(),
            8 => process.restore(),
            _ => process.check(),
        }
    }
}

pub(crate) fn simulate(seed: u64, is_careless: bool) -> World {
    let world = World::new(is_careless);
    let history =
        Arc::new(History { world: Arc::clone(&world), noise: Mutex::new(Noise::new(seed + 1)), left: AtomicU64::new(OPERATIONS) });
    while history.left.load(Ordering::SeqCst) > 0 {
        history.act(0);
    }
    world.assert_kept();
    drop(history);
    Arc::into_inner(world).unwrap()
}
