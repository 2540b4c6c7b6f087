use std::io::Write;
use std::process::Stdio;

use crate::harness::{Place, Run, noise};

fn push_stdin(place: &Place, bytes: &[u8], args: &[&str]) -> Run {
    let words = [&["push", "-"], args].concat();
    let mut child = place.command(&words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(bytes).unwrap();
    child.wait_with_output().unwrap().into()
}

#[test]
fn standard_input_comes_back_on_standard_output() {
    let place = Place::new();
    let bytes = noise(7, 2_500_000);
    push_stdin(&place, &bytes, &["--stdin-filename", "db/app.sql", "--series", "app"]).ok();
    let dumped = place.command(&["dump", "--series", "app", "latest:db/app.sql"]).output().unwrap();
    assert!(dumped.status.success() && dumped.stdout == bytes);
    push_stdin(&place, b"x", &[]).ok();
    assert_eq!(place.snap(&["cat", "latest:stdin"]).ok(), "x");
}

#[test]
fn what_a_program_prints_is_kept() {
    let place = Place::new();
    place.snap(&["push", "--stdin-from-command", "--stdin-filename", "o", "--", "sh", "-c", "echo one; echo two"]).ok();
    assert_eq!(place.snap(&["dump", "latest:o"]).ok(), "one\ntwo\n");
}

#[test]
fn a_program_that_fails_makes_no_snapshot() {
    let place = Place::new();
    let run = place.snap(&["push", "--stdin-from-command", "--", "sh", "-c", "echo half; exit 7"]);
    assert!(run.fails(1).contains('7'), "{}", run.err);
    assert_eq!(place.snap(&["list", "-q"]).ok(), "");
    place.snap(&["push", "--stdin-from-command", "--", "no-such-program"]).fails(1);
}

#[test]
fn a_folder_is_dumped_as_tar() {
    let place = Place::new();
    place.write("d/a", "hello");
    place.push(&["d"]);
    let tar = place.command(&["dump", "latest"]).output().unwrap().stdout;
    assert_eq!(&tar[257..262], b"ustar");
}

#[test]
fn whoever_stops_reading_is_not_told_off() {
    let place = Place::new();
    place.write("d/a", noise(3, 4_000_000));
    place.push(&["d"]);
    let mut child = place.command(&["dump", "latest:a"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let run = child.wait_with_output().unwrap();
    assert_eq!((run.status.code(), run.stderr.as_slice()), (Some(0), &b""[..]));
}
