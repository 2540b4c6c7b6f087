//! Eight processes that push, two that prune and two that restore, on one repository, while every now and then one of them is killed, or
//! stopped for a while and goes on when others have taken it for dead. A usual run takes 15 seconds, with a blow every 250 ms;
//! `SNAP_MELEE=600` takes ten minutes with one every 2 seconds.

use std::collections::BTreeMap;
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::place::{Noise, Place, Tree, change, said, setting, tree_at};

const PUSHERS: u64 = 8;
const PRUNERS: u64 = 2;
const RESTORERS: u64 = 2;
/// How many snapshots of its own a pusher keeps before it forgets the oldest.
const KEEPS: usize = 5;

#[derive(Default)]
struct Field {
    /// What was reported and was not given up: must come back whole, at any moment.
    reported: Mutex<BTreeMap<String, Tree>>,
    running: Mutex<Vec<Pid>>,
    over: AtomicBool,
    pushed: AtomicU64,
    pruned: AtomicU64,
    busy: AtomicU64,
    restored: AtomicU64,
    kills: AtomicU64,
    stops: AtomicU64,
}

impl Field {
    /// Runs a command that may be struck meanwhile. `None`: it was killed.
    fn run(&self, mut command: Command) -> Option<Output> {
        let child = {
            // Held while the process starts, so that nobody strikes a process that has ended and was waited for.
            let mut running = self.running.lock().unwrap();
            let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            running.push(Pid::from_child(&child));
            child
        };
        let pid = Pid::from_child(&child);
        let output = child.wait_with_output().unwrap();
        self.running.lock().unwrap().retain(|other| *other != pid);
        output.status.code().map(|_| output)
    }

    fn going_on(&self) -> bool {
        !self.over.load(Relaxed)
    }

    fn pusher(&self, place: &Place, number: u64) {
        let mut noise = Noise::new(100 + number);
        let data = place.path(&format!("data{number}"));
        // Two share a host, and so a chunk index.
        let cache = format!("cache{}", number / 2);
        let mut own = Vec::new();
        let mut version = 0;
        while self.going_on() {
            change(&data, &mut noise, version);
            version += 1;
            let tree = tree_at(&data);
            if let Some(output) = self.run(place.command_with_cache(&cache, &["push", "-q", data.to_str().unwrap()])) {
                assert_eq!(output.status.code(), Some(0), "push: {}", said(&output));
                let id = String::from_utf8(output.stdout).unwrap().trim().to_owned();
                own.push(id.clone());
                self.reported.lock().unwrap().insert(id, tree);
                self.pushed.fetch_add(1, Relaxed);
            }
            if own.len() > KEEPS {
                let oldest = own.remove(0);
                self.reported.lock().unwrap().remove(&oldest);
                let forget = place.command_with_cache(&cache, &["forget", "-q", &oldest, "--trash", "0d", "--force", "--execute"]);
                if let Some(output) = self.run(forget) {
                    assert_eq!(output.status.code(), Some(0), "forget: {}", said(&output));
                }
            }
            std::thread::sleep(Duration::from_millis(noise.below(200)));
        }
    }

    fn pruner(&self, place: &Place, number: u64) {
        let mut noise = Noise::new(200 + number);
        while self.going_on() {
            let args = ["prune", "-q", "--execute", "--fence-after", "3s", "--wait", "2s", "--max-unused", "0%"];
            if let Some(output) = self.run(place.command_with_cache(&format!("cache-prune{number}"), &args)) {
                match output.status.code() {
                    Some(0) => self.pruned.fetch_add(1, Relaxed),
                    Some(11) => self.busy.fetch_add(1, Relaxed),
                    _ => panic!("prune: {}: {}", output.status, said(&output)),
                };
            }
            std::thread::sleep(Duration::from_millis(noise.below(500)));
        }
    }

    fn restorer(&self, place: &Place, number: u64) {
        let mut noise = Noise::new(300 + number);
        while self.going_on() {
            let any = {
                let reported = self.reported.lock().unwrap();
                reported.iter().nth(noise.below(reported.len().max(1) as u64) as usize).map(|(id, tree)| (id.clone(), tree.clone()))
            };
            let Some((id, tree)) = any else { continue };
            let target = tempfile::tempdir_in(place.path(".")).unwrap();
            let args = ["restore", "-q", &id, "-t", target.path().to_str().unwrap()];
            if let Some(output) = self.run(place.command_with_cache(&format!("cache-restore{number}"), &args)) {
                let good = output.status.code() == Some(0) && tree_at(target.path()) == tree;
                // It may have been forgotten and pruned away meanwhile.
                assert!(good || !self.reported.lock().unwrap().contains_key(&id), "restore {id}: {}: {}", output.status, said(&output));
                self.restored.fetch_add(1, Relaxed);
            }
        }
    }

    /// Kills or stops one of those that run. What was stopped goes on after a while that is often longer than a prune waits.
    fn strike(&self, noise: &mut Noise, stopped: &mut Vec<(Instant, Pid)>) {
        let running = self.running.lock().unwrap();
        let now = Instant::now();
        stopped.retain(|(until, pid)| {
            let goes_on = *until <= now || !running.contains(pid);
            if goes_on && running.contains(pid) {
                let _ = kill_process(*pid, Signal::CONT);
            }
            !goes_on
        });
        if running.is_empty() {
            return;
        }
        let pid = running[noise.below(running.len() as u64) as usize];
        if noise.below(2) == 0 {
            self.kills.fetch_add(u64::from(kill_process(pid, Signal::KILL).is_ok()), Relaxed);
        } else if kill_process(pid, Signal::STOP).is_ok() {
            self.stops.fetch_add(1, Relaxed);
            stopped.push((now + Duration::from_millis(500 + noise.below(8_000)), pid));
        }
    }
}

#[test]
fn many_at_once_that_are_killed_and_stopped_lose_nothing() {
    let length = Duration::from_secs(setting("SNAP_MELEE", 15));
    let pause = if length > Duration::from_secs(60) { Duration::from_secs(2) } else { Duration::from_millis(250) };
    let place = Place::new();
    let field = Field::default();
    std::thread::scope(|scope| {
        let (field, place) = (&field, &place);
        let all: Vec<_> = (0..PUSHERS)
            .map(|number| scope.spawn(move || field.pusher(place, number)))
            .chain((0..PRUNERS).map(|number| scope.spawn(move || field.pruner(place, number))))
            .chain((0..RESTORERS).map(|number| scope.spawn(move || field.restorer(place, number))))
            .collect();
        let mut noise = Noise::new(setting("SNAP_SEED", 1));
        let mut stopped = Vec::new();
        let until = Instant::now() + length;
        let mut next = Instant::now() + pause;
        // Ends early when somebody has found something wrong.
        while Instant::now() < until && !all.iter().any(|thread| thread.is_finished()) {
            std::thread::sleep(Duration::from_millis(50));
            if Instant::now() >= next {
                field.strike(&mut noise, &mut stopped);
                next = Instant::now() + pause;
            }
        }
        field.over.store(true, Relaxed);
        while !all.iter().all(|thread| thread.is_finished()) {
            field.running.lock().unwrap().iter().for_each(|pid| {
                let _ = kill_process(*pid, Signal::CONT);
            });
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    let reported = field.reported.into_inner().unwrap();
    place.ok(&["prune", "-q", "--execute", "--fence-after", "0s", "--max-unused", "0%"]);
    place.assert_whole(&reported);
    let count = |counter: &AtomicU64| counter.load(Relaxed);
    eprintln!(
        "{} pushes, {} prunes ({} more found pushes under way), {} restores; {} killed, {} stopped; all {} snapshots that were reported are whole",
        count(&field.pushed),
        count(&field.pruned),
        count(&field.busy),
        count(&field.restored),
        count(&field.kills),
        count(&field.stops),
        reported.len()
    );
    assert!(count(&field.pushed) > 0 && count(&field.restored) > 0 && count(&field.kills) > 0 && count(&field.stops) > 0);
}
