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

/// Waits until `there` holds; a machine that is busy takes its time.
fn wait_for(what: &str, there: impl Fn() -> bool) {
    let until = Instant::now() + Duration::from_secs(60);
    while !there() {
        assert!(Instant::now() < until, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_signal_ends_a_push_of_which_the_input_is_silent() {
    let place = Place::new();
    let started = place.path("started");
    // Where there is a terminal, the program alone is ended: what it started is in the group that Ctrl-C reaches.
    let has_terminal = std::fs::File::open("/dev/tty").is_ok();
    let (pid, then) = if has_terminal { ("$$", "exec sleep 1000") } else { ("$!", "wait") };
    let first = if has_terminal { "" } else { "sleep 1000 & " };
    let script = format!("{first}echo {pid} > {0}.tmp; mv {0}.tmp {0}; {then}", started.display());
    for (signal, args) in [
        (Signal::TERM, &["push", "--stdin-from-command", "--", "sh", "-c", &script][..]),
        (Signal::INT, &["push", "--command", &format!("x=sh -c '{script}'"), "--command", "y=touch second"]),
        (Signal::INT, &["push", "-"]),
    ] {
        let mut child = place.command(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let input = child.stdin.take();
        let program = (args.len() > 2).then(|| {
            wait_for("the program never ran", || started.exists());
            std::fs::read_to_string(&started).unwrap()
        });
        // It is listening by the time that it has announced itself.
        wait_for("no session", || std::fs::read_dir(place.path(".snap/sessions")).is_ok_and(|mut all| all.next().is_some()));
        let asked = Instant::now();
        kill_process(Pid::from_child(&child), signal).unwrap();
        let run = Run::from(child.wait_with_output().unwrap());
        assert!(asked.elapsed() < Duration::from_secs(30), "{args:?}");
        run.fails(130);
        drop(input);
        if let Some(program) = program {
            let gone = || std::fs::read_to_string(format!("/proc/{}/stat", program.trim())).map_or(true, |stat| stat.contains(") Z "));
            wait_for("what the program started goes on", gone);
            std::fs::remove_file(&started).unwrap();
        }
        assert_eq!(place.snap(&["list", "-q"]).ok(), "");
        assert_eq!(std::fs::read_dir(place.path(".snap/sessions")).unwrap().count(), 0);
        assert!(!place.path("second").exists());
    }
    place.snap(&["check"]).ok();
}
