use std::io::Write;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{Place, Run, noise};

#[test]
fn ctrl_c_ends_a_push_with_130_and_without_a_snapshot() {
    let place = Place::new();
    let mut child = place.command(&["push", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // By the time it has read this, it listens.
    stdin.write_all(&noise(1, 4_000_000)).unwrap();
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let until = Instant::now() + Duration::from_secs(20);
    // More input wakes a reader that waits; the pipe breaks when it has gone.
    while Instant::now() < until && stdin.write_all(&[0; 65_536]).is_ok() {}
    drop(stdin);
    let run = Run::from(child.wait_with_output().unwrap());
    assert!(run.fails(130).contains("the next push takes up what was written"), "{}", run.err);
    assert_eq!(place.snap(&["list", "-q"]).ok(), "");
    place.snap(&["check"]).ok();
}

#[test]
fn the_end_of_input_after_ctrl_c_is_not_taken_for_the_whole() {
    let place = Place::new();
    let mut child = place.command(&["push", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&noise(2, 2_000_000)).unwrap();
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    drop(stdin);
    let run = Run::from(child.wait_with_output().unwrap());
    run.fails(130);
    assert_eq!(place.snap(&["list", "-q"]).ok(), "");
}
