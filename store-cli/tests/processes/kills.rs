//! A push and a prune, killed on entering each of their system calls in turn: each call by its name and how many of that name a thread has
//! made. A usual run takes 50 moments of each verb, those that change a file system first; `SNAP_KILLS=1500` takes so many of each.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::os::unix::process::ExitStatusExt as _;

use crate::place::{Noise, Place, Tree, change, said, setting, tree_at};
use crate::trace::{Event, events};

/// Calls after which a disk may differ.
const CHANGING: [&str; 14] = [
    "linkat",
    "unlink",
    "unlinkat",
    "rename",
    "renameat",
    "mkdir",
    "mkdirat",
    "write",
    "pwrite64",
    "fsync",
    "fdatasync",
    "ftruncate",
    "fallocate",
    "rmdir",
];

/// A call of a name: the first, second, … that a thread makes.
type Moment = (String, u32);

/// All moments of a run, in the order in which they come first.
fn moments(record: &str) -> Vec<Moment> {
    let (mut made, mut most, mut found) = (HashMap::new(), HashMap::new(), Vec::new());
    for event in events(record) {
        let Event::Begin { thread, call, .. } = event else { continue };
        let count = made.entry((thread, call.clone())).or_insert(0);
        *count += 1;
        let highest = most.entry(call.clone()).or_insert(0);
        if *count > *highest && call != "execve" {
            *highest = *count;
            found.push((call, *count));
        }
    }
    found
}

/// So many of them: those that change something go first, and of the rest those that are evenly spaced.
fn choose(all: Vec<Moment>, wanted: usize) -> Vec<Moment> {
    let (changing, rest): (Vec<Moment>, Vec<Moment>) = all.into_iter().partition(|(call, _)| CHANGING.contains(&call.as_str()));
    let evenly = |from: Vec<Moment>, wanted: usize| -> Vec<Moment> {
        let step = from.len().div_ceil(wanted.max(1)).max(1);
        from.into_iter().step_by(step).collect()
    };
    let share = wanted.saturating_sub(rest.len()).max(wanted * 3 / 4);
    let mut chosen = evenly(changing, share);
    let left = wanted.saturating_sub(chosen.len());
    chosen.extend(evenly(rest, left));
    chosen
}

/// Runs `args` on copies of `base`, killed at moments of their run; `reported` must survive, and `after` must hold when the verb has been
/// repeated. What the killed run itself printed is given to `after`.
fn kill_at_each_call(base: &Place, args: &[&str], reported: &BTreeMap<String, Tree>, after: impl Fn(&Place, &str)) {
    let trial = base.copy();
    let output = trial.traced(&["-o", "record"], args).output().expect("strace is needed");
    assert!(output.status.success(), "strace must be allowed to trace: {}", said(&output));
    let chosen = choose(moments(&fs::read_to_string(trial.path("record")).unwrap()), setting("SNAP_KILLS", 50) as usize);
    let (mut killed, mut ended) = (0, 0);
    for (call, nth) in &chosen {
        let trial = base.copy();
        let inject = format!("inject={call}:signal=KILL:when={nth}");
        let output = trial.traced(&["-o", "/dev/null", "-e", &format!("trace={call}"), "-e", &inject], args).output().unwrap();
        // The number of calls differs a little from run to run.
        match output.status.signal() {
            Some(9) => killed += 1,
            _ if output.status.code() == Some(0) => ended += 1,
            _ => panic!("{call} {nth}: {}: {}", output.status, said(&output)),
        }
        let at = format!("snap {args:?} killed at {call} {nth}");
        eprintln!("{at}");
        trial.assert_whole(reported);
        after(&trial, String::from_utf8_lossy(&output.stdout).trim());
    }
    eprintln!("snap {}: {killed} killed, {ended} ended before: nothing lost", args.join(" "));
    assert!(killed * 10 >= chosen.len() * 8, "hardly any run was killed");
}

#[test]
fn a_push_that_is_killed_at_any_system_call_loses_nothing() {
    let base = Place::new();
    let mut noise = Noise::new(1);
    change(&base.path("data"), &mut noise, 0);
    let first = (base.push(), tree_at(&base.path("data")));
    change(&base.path("data"), &mut noise, 1);
    let reported = BTreeMap::from([first]);
    let tree = tree_at(&base.path("data"));
    kill_at_each_call(&base, &["push", "-q", "data"], &reported, |place, printed| {
        if !printed.is_empty() {
            place.assert_restores(printed, &tree);
        }
        let next = place.push();
        place.assert_restores(&next, &tree);
        place.assert_whole(&reported);
    });
}

#[test]
fn a_prune_that_is_killed_at_any_system_call_loses_nothing() {
    let base = Place::new();
    let mut noise = Noise::new(2);
    let mut reported = BTreeMap::new();
    for version in 0..4 {
        change(&base.path("data"), &mut noise, version);
        reported.insert(base.push(), tree_at(&base.path("data")));
    }
    let dropped: Vec<String> = reported.keys().take(2).cloned().collect();
    for id in &dropped {
        reported.remove(id);
        base.ok(&["forget", id, "--trash", "0d", "--force", "--execute"]);
    }
    let prune = ["prune", "-q", "--execute", "--fence-after", "0s", "--max-unused", "0%"];
    kill_at_each_call(&base, &prune, &reported, |place, _| {
        place.ok(&prune);
        place.assert_whole(&reported);
        // Nothing is under way any more, and nothing was kept that the first run would have deleted.
        assert!(place.ok(&prune).is_empty());
        change(&place.path("data"), &mut Noise::new(3), 9);
        let next = place.push();
        place.assert_restores(&next, &tree_at(&place.path("data")));
    });
}
