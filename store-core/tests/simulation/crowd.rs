//! Many processes at once: after each call the seed says who makes the next one, and who sleeps for a while, or until most others have ended.

use std::sync::{Arc, Condvar, Mutex};

use store_core::clock::Clock;

use super::acts::Process;
use super::rig::Noise;
use super::world::World;

/// What each process does in its life.
#[derive(Debug, Clone, Copy)]
enum Job {
    Push,
    Prune,
    Restore,
    Check,
    Forget,
}

/// Who is there, and how many of them.
const CROWD: [(Job, usize); 5] = [(Job::Push, 64), (Job::Prune, 4), (Job::Restore, 3), (Job::Check, 1), (Job::Forget, 6)];
/// How many folders the pushes have among them.
const KINDS: u64 = 8;
/// Within so many calls of all of them each begins.
const BEGIN: u64 = 3000;
/// Whoever is to make a call falls asleep, once in so many calls.
const SLEEPY: u64 = 60;
/// Seconds of ten years, by which a clock may be wrong.
const WRONG: u64 = 10 * 365 * 24 * 3600;

/// Lets one process at a time make a call.
struct Turns {
    state: Mutex<State>,
    /// For each process: its turn has come.
    called: Vec<Condvar>,
}

struct State {
    noise: Noise,
    processes: Vec<Waiting>,
    /// Calls that were made.
    calls: u64,
}

#[derive(Clone, Default)]
struct Waiting {
    /// Its threads that wait to make a call.
    threads: usize,
    /// Of them, those whose turn has come.
    granted: usize,
    asleep_until: u64,
    has_ended: bool,
}

impl Turns {
    fn new(mut noise: Noise, count: usize) -> Self {
        let processes = (0..count).map(|_| Waiting { asleep_until: noise.below(BEGIN), ..Waiting::default() }).collect();
        Self { state: Mutex::new(State { noise, processes, calls: 0 }), called: (0..count).map(|_| Condvar::new()).collect() }
    }

    /// Waits until it is this process's turn.
    fn wait(&self, process: usize) {
        let mut state = self.state.lock().unwrap();
        state.processes[process].threads += 1;
        self.next(&mut state);
        while state.processes[process].granted == 0 {
            state = self.called[process].wait(state).unwrap();
        }
        state.processes[process].granted -= 1;
        state.processes[process].threads -= 1;
        // This one may wait for another of its threads, which waits here.
        if state.processes[process].threads > 0 {
            self.next(&mut state);
        }
    }

    fn end(&self, process: usize) {
        let mut state = self.state.lock().unwrap();
        state.processes[process].has_ended = true;
        self.next(&mut state);
    }

    /// Once all wait, calls one of them.
    fn next(&self, state: &mut State) {
        let State { noise, processes, calls } = state;
        if processes.iter().any(|process| !process.has_ended && (process.threads == 0 || process.granted > 0)) {
            return;
        }
        loop {
            let awake: Vec<usize> =
                (0..processes.len()).filter(|at| !processes[*at].has_ended && processes[*at].asleep_until <= *calls).collect();
            if awake.is_empty() {
                // All sleep: until the first wakes up.
                let left = processes.iter().filter(|process| !process.has_ended);
                let Some(first) = left.map(|process| process.asleep_until).min() else { return };
                *calls = first;
                continue;
            }
            let at = awake[noise.below(awake.len() as u64) as usize];
            if noise.below(SLEEPY) == 0 {
                processes[at].asleep_until = *calls + [100, 1000, 10_000][noise.below(3) as usize];
                continue;
            }
            *calls += 1;
            processes[at].granted = 1;
            self.called[at].notify_one();
            return;
        }
    }
}

pub(crate) fn simulate(seed: u64) -> World {
    let world = World::new(false);
    let mut noise = Noise::new(seed + 1);
    let jobs: Vec<Job> = CROWD.iter().flat_map(|(job, count)| std::iter::repeat_n(*job, *count)).collect();
    let turns = Arc::new(Turns::new(Noise::new(noise.next()), jobs.len()));
    std::thread::scope(|threads| {
        for (number, job) in jobs.into_iter().enumerate() {
            let (world, turns, noise) = (Arc::clone(&world), Arc::clone(&turns), Noise::new(noise.next()));
            threads.spawn(move || {
                let _end = End(&turns, number);
                live(&world, &turns, number, job, noise);
            });
        }
    });
    world.assert_kept();
    Arc::into_inner(world).unwrap()
}

/// The life of one process.
fn live(world: &Arc<World>, turns: &Arc<Turns>, number: usize, job: Job, mut noise: Noise) {
    let dies_at = (noise.below(8) == 0).then(|| noise.below(150));
    // Half of all clocks are right.
    let ahead = if noise.below(2) == 0 { 0 } else { noise.below(2 * WRONG) as i64 - WRONG as i64 };
    let wait = {
        let turns = Arc::clone(turns);
        move || turns.wait(number)
    };
    let (folder, repo) = world.open(Box::new(wait), dies_at, Clock { ahead });
    let Some(repo) = repo else { return };
    let mut process = Process { world: Arc::clone(world), repo, folder, noise, may_fail: dies_at.is_some() };
    match job {
        Job::Push => process.push(KINDS),
        Job::Prune => (0..3).for_each(|_| process.prune()),
        Job::Restore => (0..4).for_each(|_| process.restore()),
        Job::Check => (0..2).for_each(|_| process.check()),
        Job::Forget => (0..3).for_each(|_| process.forget()),
    }
}

/// Ends a process, however it does.
struct End<'t>(&'t Turns, usize);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.end(self.1);
    }
}
