//! Histories by seed of many processes that share a repository: pushes, prunes, restores, checks and forgettings, some of which die at one of
//! their calls, and some of which sleep so long that they are fenced, pruned away, and wake up all the same. Two kinds:
//!
//! - [`nested`]: an operation begins another one in the middle of one of its calls, and that one another; the outer ones sleep meanwhile. The same on
//!   a store that ignores the condition of a creation (`spec/BUCKETS.md`, section 5), where nobody is fenced, one prune at a time deletes, and
//!   whoever died is named to it.
//! - [`crowd`]: 64 that push, four that prune, and some that restore, check, forget and take it back, all at once, with clocks that are wrong by years.
//!   The seed says after each call who makes the next one.
//!
//! In the end every snapshot that was reported and not forgotten is there, and whole. A usual run takes 200 seeds of each and 100 of the careless
//! store. `SNAP_SEEDS=10000 cargo test --release -p store-core --test simulation` takes more; `SNAP_SEED=n` begins with seed `n`. A seed says what
//! is done and when; names and salts are random all the same, and a process has threads, so that the number of calls may differ a little.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod acts;
mod crowd;
#[path = "../disk/mod.rs"]
mod disk;
mod nested;
#[path = "../rig/mod.rs"]
mod rig;
#[path = "../disk/tiny.rs"]
mod tiny;
mod world;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use world::World;

#[test]
fn what_was_reported_survives_all_that_others_do() {
    all(200, |seed| nested::simulate(seed, false));
}

#[test]
fn so_it_does_where_the_store_ignores_the_condition_of_a_creation() {
    all(100, |seed| nested::simulate(seed, true));
}

#[test]
fn so_it_does_in_a_crowd_whose_clocks_are_wrong_by_years() {
    all(200, crowd::simulate);
}

/// Runs seeds, two at a time.
fn all(usual: u64, simulate: impl Fn(u64) -> World + Sync) {
    let number = |name: &str, usual: u64| std::env::var(name).map_or(usual, |number| number.parse().unwrap());
    let (first, seeds) = (number("SNAP_SEED", 0), number("SNAP_SEEDS", usual));
    let (next, totals) = (AtomicU64::new(first), Mutex::new(BTreeMap::<&str, u64>::new()));
    std::thread::scope(|threads| {
        for _ in 0..2 {
            threads.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + seeds {
                        break;
                    }
                    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| simulate(seed))) {
                        Ok(world) => {
                            world.counts().iter().for_each(|(what, count)| *totals.lock().unwrap().entry(what).or_default() += count)
                        }
                        Err(why) => {
                            eprintln!("SNAP_SEED={seed} fails");
                            next.store(first + seeds, Ordering::Relaxed);
                            std::panic::resume_unwind(why);
                        }
                    }
                }
            });
        }
    });
    eprintln!("{seeds} seeds: {:?}", totals.into_inner().unwrap());
}
